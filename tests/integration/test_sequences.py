# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One playbook after another one that was interrupted: no library is lost, and no service is left down."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_service import Service, record, rollback_is_killed
from conftest import COLLECTIONS, ROOT, Site, sha256, wait_for


def call(site: Site, module: str, **arguments: Any) -> dict[str, Any]:
    result = site.module(module, library=str(site.library), state_dir=str(site.state), **arguments)
    assert not result.get("failed"), result
    return result


def is_settled(site: Site, service: Service) -> bool:
    last = record(site)
    return (last["phase"], last["restart_owed"], last["stopped_at"], last["unfinished"]) == ("verified", False, None, False) and not service.is_stopped()


@pytest.mark.parametrize("playbook", ["verify", pytest.param("rollback", marks=pytest.mark.thorough)])
def test_killed_rollback_is_finished_before_its_service_starts(site: Site, service: Service, playbook: str) -> None:
    before = rollback_is_killed(site, service, is_swapped=True)
    run = site.playbook(playbook, **service.settings)
    assert run.code == 0 and "had been stopped since" in " ".join(run.output.split()), run.output
    assert site.library.read_bytes() == before and is_settled(site, service)
    assert service.told()[-1][0] == "start"


def test_verify_names_a_rollback_killed_before_its_swap(site: Site, service: Service) -> None:
    before = rollback_is_killed(site, service, is_swapped=False)
    new = site.library.read_bytes()
    run = site.playbook("verify", **service.settings)
    assert run.code == 0 and site.library.read_bytes() == new and not service.is_stopped(), run.output
    left = record(site)
    assert (left["phase"], left["restart_owed"], left["stopped_at"]) == ("prepared", False, None)
    assert f"the restore of run {left['run']} is unfinished" in run.of("Report an operation that is unfinished")["msg"]
    assert run.of("Report an operation that is unfinished")["msg"].endswith("ansible-playbook mobius.dhash.rollback")
    again = site.playbook("rollback", **service.settings)
    assert again.code == 0 and site.library.read_bytes() == before and is_settled(site, service), again.output


@pytest.mark.thorough
def test_rollback_without_its_backup_is_finished_as_advised(site: Site, service: Service) -> None:
    before = rollback_is_killed(site, service, is_swapped=False)
    for backup in site.library.parent.glob("library.json.bak.*"):
        backup.unlink()
    refused = site.playbook("migrate", **service.settings)
    assert refused.code != 0 and "ansible-playbook mobius.dhash.rollback" in refused.failures()[-1] and not service.is_stopped(), refused.output
    run = site.playbook("rollback", **service.settings)
    assert run.code == 0 and site.library.read_bytes() == before and is_settled(site, service), run.output


RESCUED, FINISHED, LEFT = "rescued", "finished", "left"


@pytest.mark.thorough
@pytest.mark.parametrize(("playbook", "variables", "code", "outcome"), [
    ("migrate", {}, 2, RESCUED), ("monitor", {}, 2, RESCUED), ("review_import", {}, 2, RESCUED),
    ("rollback", {}, 0, RESCUED), ("rollback", {"dhash_rollback_remove_dhash": True}, 0, RESCUED), ("verify", {}, 0, FINISHED),
    ("dry_run", {}, 0, LEFT)])
def test_any_playbook_may_follow_a_rescue_that_was_killed(
        site: Site, service: Service, playbook: str, variables: dict[str, Any], code: int, outcome: str) -> None:
    old = site.read()
    call(site, "library_backup")
    call(site, "library_migrate", parallel=1)
    new = call(site, "library_deploy", service_manager="command")["new_sha256"]
    call(site, "library_rollback", undo_sha256=new)
    call(site, "library_deploy", state="announced", service_manager="command")
    service.stopped.touch()
    run = site.playbook(playbook, **service.settings, **variables)
    assert run.code == code and "Traceback" not in run.output, run.output
    if outcome == RESCUED:
        assert site.read() == old and is_settled(site, service), run.output
        return
    assert sha256(site.library) == new and service.is_stopped() is (outcome == LEFT)
    assert "has been stopped since" in " ".join(run.output.split())
    rescued = site.playbook("migrate", **service.settings)
    assert rescued.code != 0 and site.read() == old and is_settled(site, service), rescued.output


@pytest.mark.thorough
@pytest.mark.parametrize("lost", ["logs", "metrics", "copies", "reports"])
def test_folder_lost_after_the_stop_leaves_no_service_down(site: Site, service: Service, lost: str) -> None:
    old = site.library.read_bytes()
    folders = {name: site.home / name for name in ("logs", "metrics", "copies", "reports")}
    for folder in folders.values():
        folder.mkdir()
    service.meanwhile.write_text(f"mv '{folders[lost]}' '{folders[lost]}.moved' && touch '{folders[lost]}'\n", encoding="utf-8")
    paths: dict[str, Any] = {"dhash_log_dir": str(folders["logs"]), "dhash_metrics_dir": str(folders["metrics"]),
                             "dhash_backup_copy_dir": str(folders["copies"]),
                             "dhash_report": str(folders["reports"] / "report.json")}
    run = site.playbook("migrate", **service.settings, **paths)
    assert not service.is_stopped() and folders[lost].is_file(), run.output
    assert (site.library.read_bytes() == old) is (run.code != 0), run.output
    folders[lost].unlink()
    again = site.playbook("migrate", **service.settings, **paths)
    assert again.code == 0 and site.library.read_bytes() != old and is_settled(site, service), again.output


def advised(site: Site, message: str) -> str:
    """The playbook that the message says to run next, after what it says to do first."""
    for folder in re.findall(r"\(mv '([^']+)' '([^']+)'\)", message):
        os.rename(*folder)
    found = re.findall(r"ansible-playbook mobius\.dhash\.(\w+)", message)
    assert found, message
    assert str(site.library) in message
    return str(found[-1])


@pytest.mark.parametrize("what", ["removed", *(pytest.param(what, marks=pytest.mark.thorough) for what in ("edited", "folder"))])
def test_library_replaced_after_the_stop_is_never_lost(site: Site, service: Service, what: str) -> None:
    old, theirs = site.library.read_bytes(), site.home / "theirs.json"
    theirs.write_text(json.dumps({**site.read(), "theirs": True}, indent=2), encoding="utf-8")
    service.meanwhile.write_text({"edited": f"cp '{theirs}' '{site.library}.new' && mv '{site.library}.new' '{site.library}'\n",
                                  "removed": f"rm '{site.library}'\n",
                                  "folder": f"rm '{site.library}' && mkdir '{site.library}' && touch '{site.library}/theirs'\n"}[what], encoding="utf-8")
    run = site.playbook("migrate", **service.settings)
    assert not service.is_stopped() and "Traceback" not in run.output, run.output
    if what == "edited":
        assert run.code == 0 and site.read()["theirs"] is True and is_settled(site, service), run.output
        return
    assert run.code != 0 and "The service is running" in run.failures()[-1], run.output
    playbook = advised(site, run.failures()[-1])
    assert what != "folder" or site.library.with_name("library.json.old").joinpath("theirs").exists()
    back = site.playbook(playbook, **service.settings)
    assert back.code == 0 and site.library.read_bytes() == old and is_settled(site, service), back.output


def deploy(site: Site, service: Service) -> bytes:
    """A migration was killed after its swap, its service is stopped; returns the bytes that it has replaced."""
    before = site.library.read_bytes()
    call(site, "library_backup")
    call(site, "library_migrate", parallel=1)
    call(site, "library_deploy", state="announced", service_manager="command")
    call(site, "library_deploy", service_manager="command")
    service.stopped.touch()
    return before


def starts_at_the_second_attempt(site: Site, service: Service) -> None:
    start, once = Path(service.settings["dhash_start_command"]), site.home / "fails-once"
    once.touch()
    fails = f"if rm '{once}' 2>/dev/null; then echo 'not yet' >&2; exit 1; fi"
    start.write_text(start.read_text(encoding="utf-8").replace("#!/bin/sh\n", f"#!/bin/sh\n{fails}\n"), encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.parametrize("playbook", ["verify", "rollback", "monitor", "migrate"])
def test_start_that_fails_once_is_reported_as_it_ends(site: Site, service: Service, playbook: str) -> None:
    old = deploy(site, service)
    starts_at_the_second_attempt(site, service)
    run = site.playbook(playbook, **service.settings)
    message = run.failures()[-1]
    assert run.code != 0 and "not yet" in message and not service.is_stopped(), run.output
    assert "The service is running" in message and (playbook == "migrate" or "After that, the service was started." in message), message
    assert (site.library.read_bytes() == old) is (playbook in ("rollback", "migrate"))
    again = site.playbook(advised(site, message), **service.settings)
    assert again.code == 0 and is_settled(site, service), again.output


# A controller that is killed as a step of its rescue begins, and then whatever an operator may run.
STEPS = ["Rollback | Prepare the library to go back to", "Deploy | Record the pending restart", "Restart | Run the stop command",
         "Deploy | Put the new library in place", "Restart | Run the restart command", "Restart | Record that the service runs again",
         "Verify | Mark the library as verified", "Rescue | End in failure"]


def fails_and_is_killed(site: Site, service: Service, step: str) -> bytes:
    """A migration whose service is not healthy with hashes, killed in its rescue; returns the library from before."""
    old = site.library.read_bytes()
    service.answer = lambda: (200, '{"status": "ok"}') if site.library.read_bytes() == old else (500, "out of order")
    with subprocess.Popen(site.command("migrate", **service.settings), cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL,
                          env=site.environment(KILL_AFTER="Rescue | Remember the task that failed", KILL_AT=step),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        pass
    assert killed.returncode == -signal.SIGKILL
    (site.home / "task-results.jsonl").unlink()
    return old


@pytest.mark.parametrize(("step", "playbook"), [
    pytest.param(step, playbook, marks=[] if step == STEPS[3] else pytest.mark.thorough)
    for step, playbook in zip(STEPS, 2 * ["migrate", "rollback", "monitor", "verify"])])
def test_any_playbook_may_follow_a_rescue_killed_at_any_step(site: Site, service: Service, step: str, playbook: str) -> None:
    old = fails_and_is_killed(site, service, step)
    for name in (playbook, "migrate"):  # a rollback and a verification leave what is not theirs to the migration
        run = site.playbook(name, **service.settings)
        assert "Traceback" not in run.output and not service.is_stopped(), run.output
        if run.code:
            assert "The service is running" in run.failures()[-1], run.output
        site.read()
    assert site.library.read_bytes() == old and is_settled(site, service), run.output


class Killer:
    """Holds the lock of the library, and kills the next module that waits for it."""

    def __init__(self, site: Site) -> None:
        self._lock = site.library.with_name("library.json.lock")
        self.killed, self.is_ordered = 0, False

    def kill_next(self) -> None:
        self.is_ordered, held = True, threading.Event()
        threading.Thread(target=self._kill, args=[held], daemon=True).start()
        held.wait()

    def _kill(self, held: threading.Event) -> None:
        with self._lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held.set()
            self.killed = wait_for(self._waiting, "a module that waits for the lock")
            os.kill(self.killed, signal.SIGKILL)

    def _waiting(self) -> int | None:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if int(link.parts[2]) != os.getpid() and os.readlink(link) == str(self._lock):
                    return int(link.parts[2])
            except OSError:
                continue
        return None


@pytest.mark.thorough
@pytest.mark.parametrize("verb", [None, "stop", "start"])
def test_module_killed_in_a_rescue_leaves_work_to_the_next_run(site: Site, service: Service, verb: str | None) -> None:
    old, killer, order = site.library.read_bytes(), Killer(site), site.home / "kill-next"

    def answer() -> tuple[int, str]:
        if site.library.read_bytes() == old:
            return 200, '{"status": "ok"}'
        if verb is None and not killer.is_ordered:
            killer.kill_next()
        elif verb is not None and not killer.is_ordered:
            killer.is_ordered = True
            wait = f"touch '{order}'; while [ -e '{order}' ]; do sleep 0.05; done\n"
            later = f"printf '%s' \"{wait}\" > '{service.meanwhile}'\n"
            service.meanwhile.write_text(wait if verb == "stop" else later, encoding="utf-8")
            threading.Thread(target=kill_on_order, daemon=True).start()
        return 500, "out of order"

    def kill_on_order() -> None:
        wait_for(order.exists, f"the {verb} of the rescue")
        killer.kill_next()
        order.unlink()

    service.answer = answer
    run = site.playbook("migrate", **service.settings, dhash_lock_timeout=60)
    assert killer.killed and run.code != 0 and not service.is_stopped() and "Traceback" not in run.output, run.output
    assert "The service is running" in run.failures()[-1], run.output
    again = site.playbook("migrate", **service.settings)
    assert site.library.read_bytes() == old and is_settled(site, service), f"{run.output}\n{again.output}"


@pytest.mark.thorough
def test_rescue_that_cannot_read_the_record_says_so(site: Site, service: Service) -> None:
    old, kept = site.library.read_bytes(), site.home / "run.json"

    def answer() -> tuple[int, str]:
        if site.library.read_bytes() == old:
            return 200, '{"status": "ok"}'
        (file,) = site.state.glob("*/run.json")
        if not kept.exists():
            file.rename(kept)
            file.mkdir()
        return 500, "out of order"

    service.answer = answer
    run = site.playbook("migrate", **service.settings)
    message = run.failures()[-1]
    assert run.code != 0 and "The rollback failed, too" in message and "the record of the last run is not a regular file" in message, run.output
    assert "Nothing was deployed" not in message and "The service is running" in message and not service.is_stopped()
    (file,) = site.state.glob("*/run.json")
    file.rmdir()
    shutil.copy(kept, file)
    site.playbook("migrate", **service.settings)
    assert site.library.read_bytes() == old and is_settled(site, service)


@pytest.fixture
def public(drawn: tuple[Path, dict[str, Any]]) -> Iterator[Site]:
    """A library of the user nobody, beside pytest's own folders, which nobody but their user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    site = Site(folder)
    shutil.copytree(drawn[0], site.library.parent)
    for path in (site.library.parent, *site.library.parent.rglob("*")):
        os.chown(path, 65534, 65534)
    yield site
    shutil.rmtree(folder)


@pytest.mark.thorough
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_beside_a_running_migration(public: Site) -> None:
    service, nobody = Service(public), public.home / "nobody"
    nobody.write_text('#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 "$@"\n', encoding="utf-8")
    nobody.chmod(0o755)
    command = public.command("migrate", **service.settings, dhash_state_dir=None, ansible_python_interpreter=str(nobody))
    service.meanwhile.write_text(f"cd '{ROOT}' && {shlex.join(command)} >'{public.home}/other.log' 2>&1 || true\n", encoding="utf-8")
    run = public.playbook("migrate", **service.settings)
    service.close()
    other = " ".join((public.home / "other.log").read_text(encoding="utf-8").split())
    assert run.code == 0 and is_settled(public, service), run.output
    assert f"root has work pending for this library: migration of run {record(public)['run']}" in other and "failed=1" in other, other
    assert "and this user cannot read it -> Run as root, or set dhash_state_dir to" in other and "move it away" not in other, other
    assert [verb for verb, _digest in service.told()] == ["stop", "start"]


@pytest.mark.thorough
def test_two_controllers_can_migrate_one_library_at_once(site: Site, service: Service) -> None:
    homes = [site.home, site.home / "second"]
    checkout = homes[1] / "collections/ansible_collections/mobius/dhash"  # as another version of the project, or a tarball, is installed
    for folder in ("meta", "playbooks", "plugins", "roles"):
        shutil.copytree(ROOT / folder, checkout / folder)
    collections = [COLLECTIONS, homes[1] / "collections"]
    runs = [subprocess.Popen(site.command("migrate", **service.settings, dhash_lock_timeout=120), cwd=ROOT, stdin=subprocess.DEVNULL,
                             env=site.environment(ANSIBLE_HOME=str(home / ".ansible"), TASK_RESULTS=str(home / "results.jsonl"),
                                                  ANSIBLE_COLLECTIONS_PATH=str(path)),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for home, path in zip(homes, collections)]
    outputs = [run.communicate(timeout=600)[0] for run in runs]
    assert "Traceback" not in "".join(outputs) and 0 in [run.returncode for run in runs], outputs
    assert site.read()["dhash_migration"] and is_settled(site, service), outputs
