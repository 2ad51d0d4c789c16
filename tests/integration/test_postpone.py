# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swap that is postponed by a file on the host."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_service import Service
from conftest import IMAGES, PATIENCE, ROOT, Site, sha256


@contextlib.contextmanager
def postponed(site: Site, flag: Path, inventory: str | Path = "localhost,", **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A migration that has hashed, and waits with its swap as long as ``flag`` exists."""
    flag.touch()
    # Extra variables come before those of the role: a second instead of a minute.
    with subprocess.Popen(site.command("migrate", inventory=inventory, dhash_postpone_file=str(flag), __dhash_postpone_seconds=1, **options),
                          cwd=ROOT, env=site.environment(PYTHONUNBUFFERED="1"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playbook:
        assert playbook.stdout is not None
        line = ""
        while "RETRYING" not in line:
            line = playbook.stdout.readline()
            assert line, "the playbook has ended and did not wait"
        try:
            yield playbook
        finally:
            flag.unlink(missing_ok=True)
            playbook.kill()  # of a test that has failed: nobody reads its output any more


def window(begin: int, end: int) -> str:
    """The maintenance window from ``begin`` to ``end``, in hours from now."""
    now = datetime.now()
    return f"{now + timedelta(hours=begin):%H:%M}-{now + timedelta(hours=end):%H:%M}"


@pytest.mark.thorough
def test_a_window_that_closes_during_the_wait_stops_no_service(site: Site, service: Service) -> None:
    old, closed = sha256(site.library), window(-3, -1)
    text = site.home / "window"
    text.write_text(window(-1, 1), encoding="utf-8")
    options: dict[str, Any] = {**service.settings, "dhash_maintenance_window": f"{{{{ lookup('ansible.builtin.file', '{text}') }}}}"}
    with postponed(site, site.home / "postpone", **options) as playbook:
        text.write_text(closed, encoding="utf-8")
        (site.home / "postpone").unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, output)
    assert run.code != 0 and service.told() == [] and sha256(site.library) == old, output
    message = run.of("Refuse to deploy outside the maintenance window")["msg"]
    assert f"{site.library} is not deployed outside the maintenance window: the time on this host is " in message
    assert f"the window is {closed}. Nothing was stopped or changed." in message
    assert "Nothing was deployed by this run; the library and its service were left alone." in run.failures()[-1]

    # The same command deploys in the window, from the journal.
    text.write_text(window(-1, 1), encoding="utf-8")
    again = site.playbook("migrate", **options)
    assert again.code == 0 and [verb for verb, _digest in service.told()] == ["stop", "start"], again.output
    assert again.of("Migrate | Plan")["to_hash"] == 0 and sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5


@pytest.mark.thorough
def test_a_batch_in_which_one_window_closes_deploys_nothing(site: Site) -> None:
    old = sha256(site.library)
    other = site.folder / "other/library.json"
    shutil.copytree(site.library.parent, other.parent)
    text = site.home / "window"
    text.write_text(window(-1, 1), encoding="utf-8")
    inventory = site.home / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {
        "open": {"dhash_library": str(other), "dhash_maintenance_window": window(-1, 1)},
        "closes": {"dhash_library": str(site.library), "dhash_maintenance_window": f"{{{{ lookup('ansible.builtin.file', '{text}') }}}}"},
    }}}), encoding="utf-8")
    with postponed(site, site.home / "postpone", inventory, dhash_library=None, dhash_media_roots=[str(site.folder)], dhash_serial="100%",
                   dhash_fleet_report_dir=str(site.home / "report")) as playbook:
        text.write_text(window(-3, -1), encoding="utf-8")
        (site.home / "postpone").unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, output)
    assert run.code != 0 and sha256(site.library) == old == sha256(other), output
    assert run.failures("open") == [
        "open: another host of this batch failed before this one was deployed. Its library and its service were left alone."]
    (report,) = (site.home / "report").rglob("fleet.json")
    assert {host["host"]: host["phase"] for host in json.loads(report.read_text(encoding="utf-8"))["hosts"]} == {"open": "aborted", "closes": "failed"}


@pytest.mark.thorough
def test_a_stopped_service_is_started_outside_the_window_too(site: Site, service: Service) -> None:
    announced: dict[str, Any] = {"state": "announced", "service_manager": "command"}
    for module, arguments in (("library_migrate", {"parallel": 1}), ("library_deploy", announced)):
        result = site.module(module, library=str(site.library), state_dir=str(site.state), **arguments)
        assert not result.get("failed"), result
    service.stopped.touch()
    run = site.playbook("migrate", **service.settings, dhash_maintenance_window=window(-3, -1))
    assert run.code == 0 and not service.is_stopped(), run.output
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5


def test_migration_postpones_its_swap_until_the_file_is_removed(site: Site, service: Service) -> None:
    old = sha256(site.library)
    flag = site.home / "postpone"
    flag.touch()
    options: dict[str, Any] = {**service.settings, "dhash_postpone_file": str(flag)}

    status = site.playbook("fleet_status", dhash_postpone_file=str(flag), dhash_fleet_status_file=str(site.home / "status.json"))
    assert "swap postponed" in status.output
    assert json.loads((site.home / "status.json").read_text(encoding="utf-8"))[0]["postponed"] is True

    # Extra variables come before those of the role: a second instead of a minute.
    with subprocess.Popen(site.command("migrate", **options, __dhash_postpone_seconds=1), cwd=ROOT,
                          env=site.environment(PYTHONUNBUFFERED="1"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playbook:
        assert playbook.stdout is not None
        shown: list[str] = []
        while sum("RETRYING" in line for line in shown) < 2:
            shown.append(playbook.stdout.readline())
            assert shown[-1], "".join(shown)
        assert sha256(site.library) == old and service.told() == []
        locked = site.module("library_backup", library=str(site.library), state_dir=str(site.state), lock_timeout=0)
        assert not locked.get("failed"), locked
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, "".join(shown) + output)
    assert run.code == 0, run.output
    assert f"postponed until {flag} is removed" in run.of("Show that the run waits")["msg"]
    assert [verb for verb, _digest in service.told()] == ["stop", "start"]
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5

    flag.touch()
    again = site.playbook("migrate", **options)
    assert again.code == 0 and again.changed() == [], again.output
    back = site.playbook("rollback", **options)
    assert back.code == 0, back.output
    assert sha256(site.library) == old
    check = site.playbook("migrate", "--check", **options)
    assert check.code == 0 and f"until {flag} is removed" in check.of("Show that a run would wait")["msg"]


@pytest.mark.thorough
def test_a_link_to_no_file_postpones_nothing_and_is_named(site: Site, service: Service) -> None:
    """wait_for takes it for a file that is gone, so the host check refuses it."""
    flag, before = site.home / "postpone", site.library.read_bytes()
    flag.symlink_to("nothing")
    run = site.playbook("migrate", **service.settings, dhash_postpone_file=str(flag))
    assert run.code != 0 and f"{flag}: this is a link that leads to no file" in run.failures()[-1], run.output
    late = site.playbook("migrate", "--skip-tags", "prerequisites", **service.settings, dhash_postpone_file=str(flag))
    assert late.code != 0 and f"{flag} is a link that leads to no file. Nothing was stopped or changed." in late.output.replace("\n", " "), late.output
    assert site.library.read_bytes() == before
