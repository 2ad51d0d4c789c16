# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migration that waits: for a file to be removed, and for a command to allow it. Others work meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import BIN, IMAGES, PATIENCE, ROOT, Site, sha256, wait_for
from test_kill import hashed

HASHED = IMAGES - 5


class Waits(NamedTuple):
    """A playbook that waits and is no migration: its task, its options, how its lines begin, and what a killed one says."""

    task: str
    options: dict[str, Any]
    line: str
    killed: str
    kept: str


WAITING: dict[str, Waits] = {
    "rehearse": Waits("Migrate a part of the library in a folder of its own, and roll it back", {"dhash_rehearse_first_images": 12},
                      r"hashing: 0 of \d+ images, ", "rehearsal",
                      "The library was not changed. Run the playbook again: it removes what this rehearsal has left."),
    "calibrate": Waits("Measure the library and write the report", {"dhash_calibration_pictures": 3}, "editing pictures: 0 of 3 images, ",
                       "calibration", "The library was not changed. Run the playbook again."),
    "review_export": Waits("Export the queue", {"dhash_review_min_distance": 0, "dhash_confirm": False}, r"making previews: 0 of \d+ images, ",
                           "export of the review", "The library was not changed, and all previews but the last 200 at most are kept."
                           " Run the playbook again."),
}
# With the lock of the library: a backup, a migration, and a rollback to its end.
OF_OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("library_backup", {}), ("library_migrate", {"parallel": 1}), ("library_rollback", {"remove_dhash": True}), ("library_deploy", {}),
    ("library_deploy", {"state": "verified"}))


@contextlib.contextmanager
def begun(site: Site, flag: Path, name: str = "migrate", temporary: Path | None = None, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A migration, or another playbook, that waits as long as ``flag`` exists, with its temporary files in ``temporary``."""
    flag.touch()
    environment = {"TMPDIR": str(temporary)} if temporary else {}
    with subprocess.Popen(site.command(name, **options), cwd=ROOT, env=site.environment(PYTHONUNBUFFERED="1", **environment),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playbook:
        try:
            yield playbook
        finally:
            flag.unlink(missing_ok=True)
            playbook.kill()  # of a test that has failed: nobody reads its output any more


def read_until(playbook: subprocess.Popen[str], text: str) -> str:
    assert playbook.stdout is not None
    shown = ""
    while text not in shown:
        line = playbook.stdout.readline()
        assert line, shown
        shown += line
    return shown


def waiting(site: Site) -> dict[str, Any] | None:
    found: dict[str, Any] | None = site.module("library_info", library=str(site.library), state_dir=str(site.state), check_media=False)["waiting"]
    return found


@pytest.mark.thorough
def test_others_verify_and_roll_back_while_a_migration_is_paused(site: Site) -> None:
    site.migrate()
    old = sha256(site.backups()[0])
    value = site.read()
    value["images"].append({"filename": "new.png", "path": "media/new.png"})
    picture = next(path for path in sorted((site.library.parent / "media").rglob("*.png")) if path.stat().st_size > 500)
    shutil.copy(picture, site.library.parent / "media/new.png")
    site.library.write_text(json.dumps(value), encoding="utf-8")
    flag = site.home / "pause"
    with begun(site, flag, dhash_pause_file=str(flag)) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        assert re.search(r"hashing: 0 of \d+ images, paused", shown), shown
        assert (waiting(site) or {})["reason"] == "pause_file"
        verified = site.playbook("verify", dhash_pause_file=str(flag), dhash_lock_timeout=0)
        assert verified.code == 0, verified.output
        status = site.playbook("fleet_status", dhash_pause_file=str(flag), dhash_fleet_status_file=str(site.home / "status.json"))
        assert status.code == 0 and "hashing paused since 20" in status.output, status.output
        row = json.loads((site.home / "status.json").read_text(encoding="utf-8"))[0]
        assert (row["paused"], row["waiting"], row["lock"], row["postponed_since"]) == (True, "pause_file", None, None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["paused_since"])
        back = site.playbook("rollback", dhash_rollback_force=True, dhash_lock_timeout=0)
        assert back.code == 0, back.output
        assert sha256(site.library) == old and playbook.poll() is None
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, shown + output)
    assert run.code == 0, run.output
    assert run.of("Hash and write the migrated library")["throttled"]["reasons"].keys() == {"pause_file"}
    assert sum("dhash" in image for image in site.read()["images"]) == HASHED
    assert waiting(site) is None


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="needs systemd-tmpfiles")
def test_a_pause_outlives_the_cleaning_of_temporary_files(site: Site) -> None:
    flag, temporary, rule = site.home / "pause", site.home / "tmp", site.home / "tmpfiles.conf"
    temporary.mkdir()
    rule.write_text(f"d {temporary} - - - 1s\n", encoding="utf-8")
    with begun(site, flag, temporary=temporary, dhash_pause_file=str(flag)) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        (archive,) = temporary.glob("*payload*/*.zip")
        unused = temporary / "unused"
        unused.touch()

        def is_cleaned() -> bool:
            subprocess.run(["systemd-tmpfiles", "--clean", rule], check=True)
            return not unused.exists()

        wait_for(is_cleaned, "systemd-tmpfiles")
        assert archive.exists()
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    assert playbook.returncode == 0, shown + output
    assert sum("dhash" in image for image in site.read()["images"]) == HASHED


@pytest.mark.parametrize("name", WAITING)
def test_others_show_their_wait_and_lock_nothing_that_is_needed(site: Site, name: str) -> None:
    site.migrate()
    waits, flag = WAITING[name], site.home / "pause"
    options: dict[str, Any] = {**waits.options, "dhash_pause_file": str(flag)}
    with begun(site, flag, name, **options) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        assert re.search(rf"\[localhost\] {waits.line}paused", shown) and shown.count("paused (") == 1, shown
        for module, arguments in OF_OTHERS:
            result = site.module(module, library=str(site.library), state_dir=str(site.state), lock_timeout=0, **arguments)
            assert not result.get("failed"), result
        assert playbook.poll() is None
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, shown + output)
    assert run.code == 0, run.output
    assert run.of(waits.task)["throttled"]["reasons"].keys() == {"pause_file"}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAITING)
def test_others_killed_while_paused_say_what_is_kept(site: Site, name: str) -> None:
    site.migrate()
    before = sha256(site.library)
    waits, flag = WAITING[name], site.home / "pause"
    options: dict[str, Any] = {**waits.options, "dhash_pause_file": str(flag)}
    with begun(site, flag, name, **options) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        check = site.playbook(name, "--check", environment={"TASK_RESULTS": str(site.home / "check.jsonl")}, **options)  # does not wait
        assert check.code == 0 and "paused (" not in check.output, check.output
        (progress,) = site.home.glob(".ansible_async/*.progress")
        os.kill(json.loads(progress.read_text(encoding="utf-8"))["process"], signal.SIGKILL)
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, shown + output)
    assert run.code != 0 and sha256(site.library) == before
    assert run.failures() == [f"{site.library}: the {waits.killed} was interrupted (killed, out of memory, or the host went down). {waits.kept}"]
    again = site.playbook(name, **options)
    assert again.code == 0, again.output
    assert not list(site.state.rglob("rehearsal"))


@pytest.mark.thorough
def test_a_migration_killed_while_paused_goes_on_when_run_again(site: Site) -> None:
    old = sha256(site.library)
    flag = site.home / "pause"
    with begun(site, flag, dhash_pause_file=str(flag)) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        process = (waiting(site) or {})["process"]
        os.kill(process, signal.SIGKILL)
        output = playbook.communicate(timeout=PATIENCE)[0]
        assert playbook.returncode != 0 and "was interrupted" in shown + output
        assert sha256(site.library) == old and waiting(site) is None

        check = site.playbook("migrate", "--check", dhash_pause_file=str(flag))  # does not wait
        assert check.code == 0, check.output
    again = site.playbook("migrate", dhash_pause_file=str(flag))
    assert again.code == 0, again.output
    assert sum("dhash" in image for image in site.read()["images"]) == HASHED


@pytest.mark.thorough
def test_a_migration_killed_while_paused_undoes_no_other(site: Site) -> None:
    flag = site.home / "pause"
    with begun(site, flag, dhash_pause_file=str(flag)) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        process = (waiting(site) or {})["process"]
        other = site.playbook("migrate", environment={"TASK_RESULTS": str(site.home / "other.jsonl")}, dhash_lock_timeout=0)
        assert other.code == 0, other.output
        migrated = sha256(site.library)
        os.kill(process, signal.SIGKILL)
        output = shown + playbook.communicate(timeout=PATIENCE)[0]
    assert playbook.returncode != 0 and "was interrupted" in output, output
    assert sha256(site.library) == migrated and sum("dhash" in image for image in site.read()["images"]) == HASHED
    site.read_run(0, "")  # of the one that was killed
    again = site.playbook("migrate")
    assert again.code == 0 and again.recap["localhost"]["changed"] == 0, again.output
    assert sha256(site.library) == migrated


@pytest.mark.thorough
def test_what_is_replaced_after_a_pause_has_a_backup(site: Site) -> None:
    flag = site.home / "pause"
    with begun(site, flag, dhash_pause_file=str(flag)) as playbook:
        shown = read_until(playbook, f"paused ({flag} exists)")
        value = site.read()
        value["images"].pop(0)
        site.library.write_text(json.dumps(value), encoding="utf-8")
        edited = sha256(site.library)
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    assert playbook.returncode == 0, shown + output
    assert [image["path"] for image in site.read()["images"]] == [image["path"] for image in value["images"]]
    assert sha256(site.backups()[-1]) == edited


@pytest.mark.thorough
@pytest.mark.matrix
def test_a_command_that_says_no_at_first_is_waited_for(site: Site) -> None:
    flag = site.home / "busy"
    with begun(site, flag, dhash_throttle_command=f"test ! -e {flag}") as playbook:
        shown = read_until(playbook, "throttled (dhash_throttle_command: exit code 1)")
        wait_for(lambda: (waiting(site) or {}).get("reason") == "command", "the run to say that it waits")
        assert hashed(site) == 0
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, shown + output)
    assert run.code == 0, run.output
    report: dict[str, Any] = json.loads(Path(run.of("Hash and write the migrated library")["report"]).read_text(encoding="utf-8"))
    assert report["throttled"]["reasons"]["command"] >= 1


def test_throttle_values_that_cannot_be_meant_are_refused(site: Site) -> None:
    before = site.snapshot()

    def written() -> set[str]:
        return {name for name, what in site.snapshot().items() if before.get(name) != what and "audit" not in name
                and "logs" not in name and "operations" not in name and what[2]}

    run = site.playbook("migrate", dhash_max_load="-1", dhash_max_pressure="101")
    told = " ".join(run.output.split())
    assert run.code != 0 and "dhash_max_load must be at least 0.01, got -1" in told, run.output
    assert "dhash_max_pressure must be between 0.01 and 100, got 101" in told and written() == set()
    run = site.playbook("migrate", dhash_pause_file=str(site.library))
    assert run.code != 0 and "dhash_pause_file: this is the library itself" in " ".join(run.output.split()) and written() == set(), run.output
    result = site.module("library_migrate", library=str(site.library), state_dir=str(site.state), throttle_command="/no/such/program")
    assert result.get("failed") and "dhash_throttle_command: no program" in result["msg"] and written() == set(), result


@pytest.mark.thorough
def test_a_task_with_async_runs_like_that_of_any_other_module(site: Site) -> None:
    site.migrate()
    arguments = json.dumps({"library": str(site.library), "state_dir": str(site.state), "pictures": 2, "parallel": 1})
    shown = subprocess.run([str(BIN / "ansible"), "localhost", "-i", "localhost,", "-c", "local", "-m", "mobius.dhash.library_calibrate", "-a", arguments,
                            "-B", "60", "-P", "1"], cwd=ROOT, env=site.environment(ANSIBLE_ASYNC_DIR=str(site.home / "jobs")), check=False,
                           stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    assert shown.returncode == 0 and re.search('"?pictures_edited"?: 2', shown.stdout), shown.stdout
