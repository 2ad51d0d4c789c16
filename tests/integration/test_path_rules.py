# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every playbook refuses a path that is a library, or one of its files. One run of each, a host for each variable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Site, sha256

STATE = ["dhash_state_dir"]
LOGGED = [*STATE, "dhash_log_dir", "dhash_metrics_dir"]
PREPARED = [*LOGGED, "dhash_output", "dhash_report", "dhash_dry_run_report", "dhash_calibration_report", "dhash_backup_dir", "dhash_backup_copy_dir",
            "dhash_review_dir", "dhash_temp_dir", "dhash_review_fetch_dir", "dhash_backup_fetch_dir"]
PLAYBOOKS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "migrate": ([*PREPARED, "dhash_postpone_file"], {"dhash_serial": "100%"}),
    "dry_run": (PREPARED, {}),
    "rehearse": (PREPARED, {}),
    "rollback": ([*LOGGED, "dhash_backup_dir"], {}),
    "calibrate": ([*STATE, "dhash_calibration_report", "dhash_temp_dir"], {}),
    "review_export": ([*STATE, "dhash_metrics_dir", "dhash_review_dir", "dhash_temp_dir"], {}),
    # A state folder would fail first, and end the run for all hosts.
    "review_import": ([*LOGGED[1:], "dhash_review_dir"], {"dhash_review_state": "absent"}),
    "verify": (LOGGED, {}),
    "list_backups": ([*STATE, "dhash_backup_dir"], {}),
    "fleet_duplicates": (STATE, {}),
    "monitor": ([*STATE, "dhash_log_dir"], {"dhash_monitor_minutes": 0.01, "dhash_monitor_error_log": "{{ dhash_library }}"}),
    "migrate_sharded": ([*STATE, "dhash_temp_dir"], {}),
}
SOONER = ("migrate",)  # the others take their time with make matrix
TARGETS = ["library.json", "library.json.lock", "library.json.bak.20260131T120000Z", "other.json", "other.json.lock"]
OTHER = {"images": [{"path": "0.png", "filename": "0.png"}]}


@pytest.fixture(scope="module")
def migrated(make_site: Callable[[str], Site]) -> Path:
    """The folder of a migrated library, with files beside it that no run may touch."""
    site = make_site("migrated")
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}
    for module, arguments in (("library_migrate", {"parallel": 1}), ("library_deploy", {}), ("library_deploy", {"state": "verified"})):
        result = site.module(module, **given, **arguments)
        assert not result.get("failed"), result
    folder = site.library.parent
    shutil.copy(site.library, folder / "library.json.bak.20260131T120000Z")
    for name, text in (("other.json", json.dumps(OTHER)), ("other.json.lock", ""), ("library.json.lock", "")):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("playbook", "check"), [
    pytest.param(playbook, check, id=f"{'check' if check else 'run'}-{playbook}",
                 marks=[] if playbook in SOONER and not check else pytest.mark.thorough)
    for check in (False, True) for playbook in PLAYBOOKS])
def test_no_variable_of_a_playbook_may_name_a_library(make_site: Callable[[str], Site], migrated: Path, playbook: str, check: bool) -> None:
    site = make_site("rules")
    variables, options = PLAYBOOKS[playbook]
    hosts = {}
    for number, variable in enumerate(variables):
        folder = site.home / "hosts" / variable
        shutil.copytree(migrated, folder)
        # A folder cannot be one of the files anyway: what counts there is that none is damaged.
        target = TARGETS[(number + check) % len(TARGETS)]
        hosts[variable] = {"dhash_library": str(folder / "library.json"), "dhash_state_dir": str(site.home / "states" / variable),
                           variable: str(folder / target)}
    inventory = site.home / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}, "dhash_shards": {"hosts": dict.fromkeys(hosts)}}), encoding="utf-8")
    before = {variable: contents(site.home / "hosts" / variable) for variable in variables}
    run = site.playbook(playbook, *["--check"] * check, inventory=inventory, **{
        "dhash_library": None, "dhash_state_dir": None, "dhash_media_roots": [str(migrated)], **options})
    assert run.code != 0
    for variable in variables:
        told = " ".join(run.failures(variable))
        assert variable in told and hosts[variable][variable] in told, (variable, run.output)
        after = contents(site.home / "hosts" / variable)
        assert before[variable].items() <= after.items()
        assert {name for name in after if name not in before[variable] and not name.startswith("logs/")} == set()


UNWRITABLE: dict[str, tuple[str, list[str], dict[str, Any]]] = {  # a host for each variable; each host of a run fails at the same task
    "migrate": ("migrate", [*STATE, "dhash_log_dir", "dhash_output", "dhash_report", "dhash_dry_run_report", "dhash_backup_dir",
                            "dhash_backup_copy_dir", "dhash_backup_encrypt_to", "dhash_review_dir", "dhash_temp_dir"], {"dhash_serial": "100%"}),
    "review_import": ("review_import", ["dhash_backup_dir", "dhash_backup_copy_dir", "dhash_backup_encrypt_to"], {}),
    "review_import fetched": ("review_import", ["dhash_backup_fetch_dir"], {}),
    "migrate fetched": ("migrate", ["dhash_backup_fetch_dir"], {}),
    "review_import without a backup": ("review_import", ["dhash_backup_encrypt_to"], {"dhash_backup": False}),
    "review_import itself": ("review_import", [*STATE, "dhash_log_dir", "dhash_review_dir"], {}),
    "review_export": ("review_export", ["dhash_review_fetch_dir"], {"dhash_review_min_distance": 0, "dhash_review_include_images": False}),
    "rollback": ("rollback", ["dhash_backup_encrypt_to"], {}),
    "rollback itself": ("rollback", [*STATE, "dhash_log_dir"], {}),
    "monitor": ("monitor", ["dhash_backup_encrypt_to"], {"dhash_monitor_minutes": 0.01, "dhash_monitor_error_log": "{{ dhash_library }}"}),
}
IN_A_FOLDER = ("dhash_output", "dhash_report", "dhash_dry_run_report")


@pytest.fixture(scope="module")
def reviewed(make_site: Callable[[str], Site]) -> tuple[Path, Path]:
    """The folder of a migrated library, and a file with a decision on it."""
    site = make_site("reviewed")
    site.migrate()
    review = site.home / "review"
    result = site.module("review_export", library=str(site.library), state_dir=str(site.state), min_distance=0, confirm=False,
                         include_images=False, review_dir=str(review))
    assert not result.get("failed"), result
    queue = json.loads((review / "queue.json").read_text(encoding="utf-8"))
    queue["matches"][0].update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(queue), encoding="utf-8")
    return site.library.parent, decisions


@pytest.mark.parametrize(("name", "check"), [
    pytest.param(name, check, id=f"{'check' if check else 'run'}-{name}", marks=[] if name == "review_import" else pytest.mark.thorough)
    for check in (True, False) for name in UNWRITABLE])
def test_playbook_names_an_unwritable_path_before_service_stop(
        make_site: Callable[[str], Site], drawn: tuple[Path, dict[str, Any]], reviewed: tuple[Path, Path], name: str, check: bool) -> None:
    site = make_site("unwritable")
    playbook, variables, options = UNWRITABLE[name]
    source, decisions = reviewed
    if shutil.which("age") is None:
        variables = [variable for variable in variables if variable != "dhash_backup_encrypt_to"]
    hosts = {}
    for variable in variables:
        folder = site.home / "hosts" / variable
        shutil.copytree(drawn[0] if playbook == "migrate" else source, folder)
        value = ["age1abc"] if variable == "dhash_backup_encrypt_to" else "/proc/x/y.json" if variable in IN_A_FOLDER else "/proc/x"
        hosts[variable] = {"dhash_library": str(folder / "library.json"), "dhash_state_dir": str(site.home / "states" / variable),
                           "dhash_stop_command": f"touch '{site.home}/stopped-{variable}'", variable: value}
    inventory = site.home / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    before = {variable: contents(site.home / "hosts" / variable) for variable in variables}
    run = site.playbook(playbook, *["--check"] * check, inventory=inventory, **{
        "dhash_library": None, "dhash_state_dir": None, "dhash_media_roots": [str(drawn[0]), str(source)], "dhash_rollback_remove_dhash": True,
        "dhash_review_decisions": [str(decisions)], "dhash_service_manager": "command", "dhash_start_command": "true", **options})
    assert run.code != 0
    for variable in variables:
        told = " ".join(run.failures(variable))
        assert variable in told, (variable, run.output)
        assert contents(site.home / "hosts" / variable) == before[variable]
        assert not list((site.home / "states" / variable).glob("*/run.json"))
    assert not list(site.home.glob("stopped-*"))


@pytest.mark.thorough
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_rules_and_dashboard_folders_may_not_be_a_library(site: Site, check: bool) -> None:
    before = contents(site.library.parent)
    for variable in ("dhash_monitoring_rules_dir", "dhash_monitoring_dashboard_dir"):
        run = site.playbook("install_monitoring", *["--check"] * check, **dict[str, Any]({variable: str(site.library)}))
        assert run.code != 0 and str(site.library) in " ".join(run.failures())
    assert contents(site.library.parent) == before


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_the_report_of_a_fleet_may_not_be_a_library(site: Site, check: bool) -> None:
    before = contents(site.library.parent)
    run = site.playbook("migrate", *["--check"] * check, dhash_fleet_report_dir=str(site.library))
    assert run.code != 0 and "dhash_fleet_report_dir" in " ".join(run.failures())
    assert contents(site.library.parent) == before


def test_the_status_of_a_fleet_may_not_be_a_library(site: Site) -> None:
    def status(file: Path) -> Run:
        return site.playbook("fleet_status", dhash_fleet_status_file=str(file))

    before = contents(site.library.parent)
    refused = status(site.library)
    assert refused.code != 0 and "dhash_fleet_status_file" in " ".join(refused.failures())
    assert contents(site.library.parent) == before
    file = site.home / "status.json"
    assert [status(file).code, status(file).code] == [0, 0] and json.loads(file.read_text())
