# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One playbook after another one that was interrupted: no library is lost, and no service is left down."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from command_service import Service, record, rollback_is_killed
from conftest import ROOT, Site, sha256


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


@pytest.mark.thorough
def test_two_controllers_can_migrate_one_library_at_once(site: Site, service: Service) -> None:
    homes = [site.home, site.home / "second"]
    homes[1].mkdir()
    runs = [subprocess.Popen(site.command("migrate", **service.settings, dhash_lock_timeout=120), cwd=ROOT, stdin=subprocess.DEVNULL,
                             env=site.environment(ANSIBLE_HOME=str(home / ".ansible"), TASK_RESULTS=str(home / "results.jsonl")),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for home in homes]
    outputs = [run.communicate(timeout=600)[0] for run in runs]
    assert "Traceback" not in "".join(outputs) and 0 in [run.returncode for run in runs], outputs
    assert site.read()["dhash_migration"] and is_settled(site, service), outputs
