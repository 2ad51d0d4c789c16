# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that is not well after its restart: the restart stays owed until it is, or the host is put back."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_service import Service, record
from conftest import IMAGES, ROOT, Run, Site, sha256


def test_a_restart_is_owed_until_the_service_is_well(site: Site, service: Service) -> None:
    service.answer = lambda: (500, "out of order") if service.restarts() else (200, '{"status": "ok"}')
    failed = site.playbook("migrate", **service.settings, dhash_auto_rollback=False)
    assert failed.code != 0
    assert any(service.url in message for message in failed.failures()), failed.output
    assert "Traceback" not in failed.output
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
    assert record(site)["restart_owed"] is True
    assert [verb for verb, _digest in service.told()] == ["stop", "start"]
    assert site.library.with_name("library.json.pre-dhash").exists()

    # somebody mends it; what it needs is the restart that it is owed, before which it is as sick as it was
    service.answer = lambda: (200, '{"status": "ok"}') if service.restarts() else (500, "out of order")
    again = site.playbook("migrate", **service.settings)
    assert again.code == 0, again.output
    assert [verb for verb, _digest in service.told()] == ["start"]
    assert record(site)["restart_owed"] is False
    assert not site.library.with_name("library.json.pre-dhash").exists()


@pytest.mark.thorough
def test_run_killed_with_the_service_stopped_is_finished_next(site: Site, service: Service) -> None:
    before = site.library.read_bytes()
    service.answer = lambda: (503, "stopped") if service.is_stopped() else (200, '{"status": "ok"}')
    with subprocess.Popen(site.command("migrate", **service.settings), cwd=ROOT, env=site.environment(), start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        service.to_kill.write_text(str(killed.pid), encoding="utf-8")
    service.to_kill.unlink()
    assert killed.returncode == -signal.SIGKILL
    assert service.is_stopped() and site.library.read_bytes() == before
    assert record(site)["restart_owed"] is True

    again = site.playbook("migrate", **service.settings)
    assert again.code == 0, again.output
    assert [verb for verb, _digest in service.told()] == ["stop", "stop", "start"]
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
    assert record(site)["restart_owed"] is False


@pytest.mark.thorough
def test_operator_sees_that_the_stop_command_hangs(site: Site, service: Service) -> None:
    seen, output = site.home / "seen", site.home / "output.log"
    service.meanwhile.write_text(f"for second in $(seq 120); do [ ! -e '{seen}' ] || break; sleep 1; done\n", encoding="utf-8")
    with output.open("w", encoding="utf-8") as log, subprocess.Popen(
            site.command("migrate", **service.settings), cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL, stdout=log) as run:
        while run.poll() is None and not service.is_stopped():
            time.sleep(0.1)
        shown = output.read_text(encoding="utf-8")
        seen.touch()
    assert run.returncode == 0 and "Stopping the service (command)." in shown, shown


@pytest.mark.thorough
def test_service_is_not_left_stopped_when_another_run_intervenes(site: Site, service: Service) -> None:
    other = shlex.join(site.command("migrate", **service.settings))
    service.meanwhile.write_text(f"cd {shlex.quote(str(ROOT))} && {other} >'{site.home}/other.log'\n", encoding="utf-8")
    run = site.playbook("migrate", **service.settings)
    assert run.code == 0, run.output
    assert "failed=0" in (site.home / "other.log").read_text(encoding="utf-8")
    assert [verb for verb, _digest in service.told()] == ["stop", "stop", "start", "start"]
    assert record(site)["restart_owed"] is False
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5


@pytest.mark.thorough
def test_service_that_rejects_the_new_library_gets_the_old_one(site: Site, service: Service) -> None:
    before = site.library.read_bytes()
    old = sha256(site.library)
    service.answer = lambda: (200, '{"status": "ok"}' if site.library.read_bytes() == before else '{"status": "confused"}')
    run = site.playbook("migrate", **service.settings)
    assert run.code != 0
    assert site.library.read_bytes() == before
    (last,) = run.failures()[-1:]
    assert str(site.library) in last and service.url in last
    told = service.told()
    assert [verb for verb, _digest in told] == ["stop", "start", "stop", "start"]
    assert [digest == old for _verb, digest in told] == [True, False, False, True]
    assert record(site)["restart_owed"] is False
    assert [sha256(backup) for backup in site.backups()] == [old]


def test_an_answer_that_is_not_the_expected_one_is_told(site: Site, service: Service) -> None:
    for step in ("library_migrate", "library_deploy"):
        assert not site.module(step, library=str(site.library), state_dir=str(site.state)).get("failed")
    service.answer = lambda: (200, '{"status": "starting"}')
    before = site.snapshot()
    run = site.playbook("verify", **service.settings)
    assert run.code != 0
    _asked, message, end = run.failures()
    assert service.url in message and "starting" in message and "run the playbook again" in message
    assert end == f'localhost: the verification of {site.library} failed at "Verify | Report what the service answered".'
    assert site.snapshot() == before
    assert record(site)["restart_owed"] is True


def call(site: Site, module: str, **arguments: Any) -> None:
    result = site.module(module, library=str(site.library), state_dir=str(site.state), **arguments)
    assert not result.get("failed"), result


def said(run: Run) -> list[str]:
    """What the run has shown or failed with, in this order."""
    return [str(shown["result"].get("msg")) for shown in run.results if shown["status"] != "skipped" and shown["result"].get("msg")]


def killed_with_the_service_stopped(site: Site, service: Service) -> str:
    """Since when an earlier run has the service stopped."""
    call(site, "library_migrate")
    call(site, "library_deploy", state="announced")
    service.stopped.touch()
    return str(record(site)["stopped_at"])


@pytest.mark.parametrize(("playbook", "manager", "cause"), [
    ("migrate", "comand", "dhash_service_manager is comand"), ("verify", "none", "dhash_service_manager is none"),
    ("verify", "command", "start is broken")])
def test_failed_start_is_reported_with_the_time_of_the_stop(site: Site, service: Service, playbook: str, manager: str, cause: str) -> None:
    since = killed_with_the_service_stopped(site, service)
    service.broken["start"].touch()
    run = site.playbook(playbook, **service.settings | {"dhash_service_manager": manager})
    assert run.code != 0 and "Could not find" not in run.output
    told = [number for number, message in enumerate(said(run)) if f"has been stopped since {since}" in message]
    tried = [number for number, message in enumerate(said(run)) if message.startswith("Starting ")]
    assert not tried or min(told) < min(tried), run.output
    last = run.failures()[-1]
    assert f"The service of {site.library} has been stopped since {since}" in last
    assert cause in last and "ansible-playbook mobius.dhash.verify" in last
    assert (record(site)["stopped_at"], record(site)["restart_owed"]) == (since, True)


@pytest.mark.thorough
def test_pending_restart_survives_a_run_without_the_service(site: Site, service: Service) -> None:
    service.broken["start"].touch()
    assert site.playbook("migrate", **service.settings | {"dhash_stop_command": None}, dhash_auto_rollback=False).code != 0
    service.broken["start"].unlink()
    owed = record(site)
    assert (owed["phase"], owed["restart_owed"], owed["stopped_at"]) == ("deployed", True, None)
    before = site.snapshot()

    for options in ([], ["--check"]):
        without = site.playbook("verify", *options)
        assert without.code != 0, without.output
        message, end = without.failures()
        assert f"a restart of the service (command) has been pending since {owed['service']['since']}" in message
        assert str(site.library) in message and "dhash_service_manager" in message
        assert end.startswith(f"localhost: the verification of {site.library} failed at ")
    assert site.snapshot() == before and record(site) == owed

    again = site.playbook("verify", **service.settings)
    assert again.code == 0, again.output
    assert [verb for verb, _digest in service.told()] == ["start"]
    assert (record(site)["restart_owed"], record(site)["service"]) == (False, None)


class Linked(NamedTuple):
    """A library that is named by a symbolic link, and a command that replaces this link by a file, as os.replace does."""

    path: Path
    replace: str


@pytest.fixture
def linked(site: Site) -> Linked:
    link = site.folder / "elsewhere/library.json"
    link.parent.mkdir()
    link.symlink_to(site.library)
    return Linked(link, f"[ ! -L '{link}' ] || {{ cat '{link}' > '{link}.new'; mv '{link}.new' '{link}'; }}\n")


def is_told_of_another_file(site: Site, run: Run, linked: Linked) -> bool:
    assert "has no attribute" not in run.output and "is undefined" not in run.output and "Traceback" not in run.output
    return any(f"{linked.path}: the library is another file now: {linked.path}, was {site.library}" in message for message in run.failures())


@pytest.mark.thorough
def test_link_replaced_at_service_stop_is_not_deployed_to(site: Site, service: Service, linked: Linked) -> None:
    before = site.library.read_bytes()
    service.meanwhile.write_text(linked.replace, encoding="utf-8")
    run = site.playbook("migrate", **service.settings, dhash_library=str(linked.path))
    assert run.code != 0 and is_told_of_another_file(site, run, linked), run.output
    assert f"ln -s {site.library} {linked.path}" in run.failures()[-1] and "Nothing was deployed" in run.failures()[-1]
    assert site.library.read_bytes() == linked.path.read_bytes() == before
    assert [verb for verb, _digest in service.told()] == ["stop", "start"] and not service.is_stopped()
    left = record(site)
    assert (left["phase"], left["restart_owed"], left["stopped_at"]) == ("prepared", False, None)


@pytest.mark.thorough
def test_link_replaced_at_service_start_leaves_a_usable_record(site: Site, service: Service, linked: Linked) -> None:
    script = site.home / "replacing"
    script.write_text(f"#!/bin/sh\n{linked.replace}exec {service.commands['dhash_start_command']}\n", encoding="utf-8")
    script.chmod(0o755)
    run = site.playbook("migrate", **service.settings | {"dhash_start_command": str(script)}, dhash_library=str(linked.path))
    assert run.code != 0 and is_told_of_another_file(site, run, linked), run.output
    assert "Nothing was rolled back, because the library is another file now" in run.failures()[-1]
    assert f"ansible-playbook mobius.dhash.verify -e dhash_library={site.library}" in run.failures()[-1]
    assert record(site)["restart_owed"] is True and not service.is_stopped()

    advised = site.playbook("verify", **service.settings)
    assert advised.code == 0, advised.output
    assert record(site)["restart_owed"] is False


def replaced_after_a_kill(site: Site, service: Service, linked: Linked) -> str:
    """Leave the service stopped by a killed run, and replace the link by a file; the time since which the service is stopped."""
    steps: list[tuple[str, dict[str, Any]]] = [("library_migrate", {}), ("library_deploy", {"state": "announced", "service_manager": "command"})]
    for module, arguments in steps:
        result = site.module(module, library=str(linked.path), state_dir=str(site.state), **arguments)
        assert not result.get("failed"), result
    service.stopped.touch()
    since = record(site)["stopped_at"]
    subprocess.run(["/bin/sh", "-c", linked.replace], check=True)
    return str(since)


@pytest.mark.thorough
def test_fleet_status_shows_the_service_behind_a_replaced_link(site: Site, service: Service, linked: Linked) -> None:
    since = replaced_after_a_kill(site, service, linked)
    status = site.playbook("fleet_status", dhash_library=str(linked.path))
    assert status.code == 0 and f"the service has been stopped since {since}" in status.output, status.output


@pytest.mark.parametrize(("playbook", "options"), [
    ("verify", []), pytest.param("migrate", [], marks=pytest.mark.thorough), pytest.param("monitor", [], marks=pytest.mark.thorough),
    pytest.param("migrate", ["--check"], marks=pytest.mark.thorough), pytest.param("dry_run", [], marks=pytest.mark.thorough)])
def test_link_replaced_after_a_kill_hides_no_stopped_service(
        site: Site, service: Service, linked: Linked, playbook: str, options: list[str]) -> None:
    since = replaced_after_a_kill(site, service, linked)
    variables = {**service.settings, "dhash_library": str(linked.path), "dhash_media_roots": [str(site.library.parent)]}

    run = site.playbook(playbook, *options, **variables)
    told = " ".join((run.failures() or [message for message in said(run) if "stopped" in message])[0].split())
    assert f"service has been stopped since {since}" in told and f"ansible-playbook mobius.dhash.verify -e dhash_library={site.library}" in told
    assert (run.code == 0) is (playbook == "dry_run"), run.output
    assert service.told() == []

    advised = site.playbook("verify", **service.settings)  # which fails, because nothing was deployed
    assert [verb for verb, _digest in service.told()] == ["start"] and not service.is_stopped(), advised.output
    assert (record(site)["restart_owed"], record(site)["stopped_at"]) == (False, None)


@pytest.mark.thorough
def test_failed_run_is_rolled_back_without_the_identity_file(site: Site, service: Service) -> None:
    before = site.library.read_bytes()
    service.answer = lambda: (200, '{"status": "ok"}') if site.library.read_bytes() == before else (500, "out of order")
    identity: dict[str, Any] = {"dhash_rollback_identity_file": str(site.home / "key.txt")}
    run = site.playbook("migrate", **service.settings, **identity)
    assert run.code != 0 and site.library.read_bytes() == before, run.output
    assert "The library is the old one again" in run.failures()[-1] and not service.is_stopped()

    asked = site.playbook("rollback", **service.settings, **identity)  # an operator who names a file wants it read
    assert asked.code != 0 and identity["dhash_rollback_identity_file"] in " ".join(asked.failures())


@pytest.mark.thorough
def test_library_that_crashes_the_service_is_not_kept(site: Site, service: Service) -> None:
    before = site.home / "before.json"
    before.write_bytes(site.library.read_bytes())
    # Its commands succeed as those of a daemon do: a start whose process dies soon after it, but no stop of what does not run.
    service.answer = lambda: (500, "out of order") if service.is_stopped() else (200, '{"status": "ok"}')
    commands = {"dhash_start_command": f"{service.commands['dhash_start_command']} && {{ cmp -s '{before}' '{site.library}' || touch '{service.stopped}'; }}",
                "dhash_stop_command": f"if [ -e '{service.stopped}' ]; then echo 'not running' >&2; exit 1; fi; {service.commands['dhash_stop_command']}"}
    run = site.playbook("migrate", **service.settings | commands)
    assert run.code != 0 and site.library.read_bytes() == before.read_bytes(), run.output
    assert "The library is the old one again" in run.failures()[-1] and not service.is_stopped()
    assert (record(site)["restart_owed"], record(site)["stopped_at"]) == (False, None)


@pytest.mark.thorough
def test_crashed_service_is_rolled_back_without_a_status_command(site: Site) -> None:
    before, pid = site.home / "before.json", site.home / "pid"
    before.write_bytes(site.library.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = shlex.join([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(site.library.parent), str(port)])
    start = site.home / "start"
    start.write_text(f"if kill -0 $(cat '{pid}') || ! cmp -s '{before}' '{site.library}'; then exit 0; fi 2>/dev/null\n"
                     f"setsid {serve} >/dev/null 2>&1 </dev/null &\necho $! >'{pid}'\n", encoding="utf-8")
    stop = f"kill $(cat '{pid}') && rm '{pid}'"
    service: dict[str, Any] = {
        "dhash_service_manager": "command", "dhash_start_command": f"sh '{start}'", "dhash_stop_command": stop,
        "dhash_health_url": f"http://127.0.0.1:{port}/library.json", "dhash_health_retries": 10, "dhash_health_delay": 1}
    subprocess.run(["sh", str(start)], check=True)
    try:
        run = site.playbook("migrate", **service)
        assert run.code != 0 and site.library.read_bytes() == before.read_bytes(), run.output
        assert "The library is the old one again" in run.failures()[-1] and pid.exists()
        assert (record(site)["restart_owed"], record(site)["stopped_at"]) == (False, None)
        # A service that answers, and whose stop command fails, is not known to be down: its library stays.
        failed = site.playbook("migrate", **service | {"dhash_stop_command": "echo out of order >&2; false", "dhash_health_retries": 1})
        assert failed.code != 0 and site.library.read_bytes() == before.read_bytes(), failed.output
        assert "out of order" in failed.failures()[-1] and "set dhash_status_command" in failed.failures()[-1]
    finally:
        if pid.exists():
            os.kill(int(pid.read_text(encoding="utf-8")), signal.SIGTERM)


@pytest.mark.thorough
def test_library_broken_by_the_starting_service_is_not_verified(site: Site, service: Service) -> None:
    before = site.library.read_bytes()

    def answer() -> tuple[int, str]:
        if site.library.read_bytes() != before and service.restarts() == 1:
            site.library.write_text('{"images": [', encoding="utf-8")
        return 200, '{"status": "ok"}'

    service.answer = answer
    run = site.playbook("migrate", **service.settings)
    assert run.code != 0 and site.library.read_bytes() == before, run.output
    assert "the file is not JSON" in run.failures()[-1] and "The library is the old one again" in run.failures()[-1]
    (kept,) = site.library.parent.glob("library.json.pre-rollback.*")
    assert kept.read_text(encoding="utf-8") == '{"images": ['
    assert not service.is_stopped() and record(site)["restart_owed"] is False
