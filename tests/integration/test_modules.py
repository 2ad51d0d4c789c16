# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module by itself: in check mode, for real, in check mode again, for real again."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, ROOT, Site, sha256


class Case(NamedTuple):
    """What a module is called with, after which other calls, and whether a first call changes anything."""

    arguments: dict[str, Any] | Callable[[Site], dict[str, Any]]
    after: tuple[tuple[str, dict[str, Any]], ...] = ()
    changes: bool = True


MIGRATED: tuple[tuple[str, dict[str, Any]], ...] = (("library_backup", {}), ("library_migrate", {}))
DEPLOYED = (*MIGRATED, ("library_deploy", {}))


def of_two_hosts(site: Site) -> dict[str, Any]:
    """The hashes of the site, as those of two hosts."""
    (exported,) = site.state.glob("*/exchange/hashes.jsonl.gz")
    return {"hashes": {"one": str(exported), "two": str(exported)}, "dest": str(site.folder / "duplicates")}


CASES = {
    "fleet_duplicates": Case(of_two_hosts, (*DEPLOYED, ("hash_export", {}))),
    "hash_export": Case({}, (*DEPLOYED, ("hash_export", {})), changes=False),
    "health_info": Case({"url": "http://127.0.0.1:9/health"}, changes=False),
    "host_info": Case({"require_ffmpeg": True, "node_min_version": "1"}, changes=False),
    "image_hash": Case({"sample": 5}, DEPLOYED, changes=False),
    "journal_merge": Case({}, (("journal_merge", {}),), changes=False),
    "library_backup": Case({}),
    "library_backup_info": Case({}, MIGRATED, changes=False),
    "library_calibrate": Case({"pictures": 3}, DEPLOYED),
    "library_deploy": Case({}, MIGRATED),
    "library_deploy announced": Case({"state": "announced"}, MIGRATED),
    "library_deploy started": Case({"state": "started"}, (*MIGRATED, ("library_deploy", {"state": "announced"}))),
    "library_deploy verified": Case({"state": "verified"}, DEPLOYED),
    "library_hash": Case({"shard": 0}, (("journal_merge", {}),), changes=False),
    "library_info": Case({}, DEPLOYED, changes=False),
    "library_info without the library": Case({"check_library": False}, DEPLOYED, changes=False),
    "library_migrate": Case({}),
    "library_migrate dry_run": Case({"dry_run": True}, changes=False),
    "library_migrate limit": Case({"limit": 3}),
    "library_monitor": Case({"minutes": 0.01}, DEPLOYED, changes=False),
    "library_rehearse": Case({}, (("library_rehearse", {}),), changes=False),
    "notify": Case({"notification": {"event": "start", "text": "it begins"}, "targets": []}, changes=False),
    "recovery_info": Case({}, DEPLOYED, changes=False),
    "service_info": Case({}, changes=False),
    "review_export": Case({"min_distance": 0, "include_images": False}, DEPLOYED),
    "review_import": Case({"state": "absent"}, DEPLOYED, changes=False),
    "library_rollback": Case({}, DEPLOYED),
}
WITHOUT_STATE = ("health_info", "service_info", "host_info", "image_hash", "fleet_duplicates", "notify")
WITHOUT_DIFF = ("library_deploy announced", "library_deploy started", "library_deploy verified")
WITHOUT_LIBRARY = ("fleet_duplicates", "health_info", "service_info", "notify")


def call(site: Site, name: str, arguments: dict[str, Any] | Callable[[Site], dict[str, Any]], check: bool = False) -> dict[str, Any]:
    module = name.split(maxsplit=1)[0]
    state = {} if module in WITHOUT_STATE else {"state_dir": str(site.state)}
    library = {} if module in WITHOUT_LIBRARY else {"library": str(site.library)}
    result = site.module(module, check, **library, **state, **(arguments(site) if callable(arguments) else arguments))
    assert not result.get("failed"), result
    return result


def tree(site: Site) -> dict[str, tuple[Any, ...]]:
    """The snapshot, less what is no change: who held a lock, what the journal knows and hands over, when a rehearsal passed,
    what a watch has seen."""
    found = site.snapshot()
    return {name: (mode, content) if name.endswith(".lock") else (mode, time, content)
            for name, (mode, time, content) in found.items()
            if not re.fullmatch(r"state/[^/]+(/journal\.sqlite|/rehearsal\.json|/monitor\.json(\.lock)?|/exchange(\.lock|/.*)?)?", name)}


def test_no_module_is_left_out() -> None:
    in_ansible = {"fleet_report"}  # an action plugin does it; see test_controller.py
    assert {name.split()[0] for name in CASES} | in_ansible == {file.stem for file in (ROOT / "plugins/modules").glob("[!_]*.py")}


@pytest.mark.parametrize("name", CASES)
def test_check_predicts_the_run_and_a_second_run_does_nothing(name: str, site: Site) -> None:
    case = CASES[name]
    for module, arguments in case.after:
        call(site, module, arguments)
    before = tree(site)

    assert call(site, name, case.arguments, check=True)["changed"] is case.changes
    assert tree(site) == before
    first = call(site, name, case.arguments)
    assert first["changed"] is case.changes
    after = tree(site)
    if case.changes:
        assert after != before
        assert "diff" in first or name in WITHOUT_DIFF
    elif name != "library_migrate dry_run":
        assert after == before
    assert call(site, name, case.arguments, check=True)["changed"] is False
    assert tree(site) == after
    assert call(site, name, case.arguments)["changed"] is False
    assert tree(site) == after


UNWRITABLE = [  # a module, what it is called with, and the variable of the one place that cannot be written
    ("library_backup", {"backup_dir": "/proc/x"}, "dhash_backup_dir"),
    ("library_backup", {"copy_dir": "/proc/x"}, "dhash_backup_copy_dir"),
    ("library_migrate", {"log_dir": "/proc/x"}, "dhash_log_dir"),
    ("library_migrate", {"state_dir": "/proc/x"}, "dhash_state_dir"),
    ("library_migrate", {"report": "/proc/x/y.json"}, "dhash_report"),
    ("library_migrate", {"report": "/proc/x/y.json", "dry_run": True}, "dhash_dry_run_report"),
    ("library_migrate", {"output": "/proc/x/y.json"}, "dhash_output"),
    ("library_migrate", {"output": "missing/y.json"}, "dhash_output"),
    ("library_migrate", {"temp_dir": "/missing"}, "dhash_temp_dir"),
    ("library_calibrate", {"state_dir": "/proc/x"}, "dhash_state_dir"),
    ("library_calibrate", {"calibration_report": "/proc/x/y.html"}, "dhash_calibration_report"),
    ("library_calibrate", {"temp_dir": "/missing"}, "dhash_temp_dir"),
    ("library_hash", {"state_dir": "/proc/x"}, "dhash_state_dir"),
    ("library_rehearse", {"state_dir": "/proc/x"}, "dhash_state_dir"),
    ("library_monitor", {"log_dir": "/proc/x"}, "dhash_log_dir"),
    ("library_rollback", {"remove_dhash": True, "log_dir": "/proc/x"}, "dhash_log_dir"),
    ("library_rollback", {"remove_dhash": True, "state_dir": "/proc/x"}, "dhash_state_dir"),
    ("review_export", {"review_dir": "/proc/x"}, "dhash_review_dir"),
    ("review_export", {"temp_dir": "/missing"}, "dhash_temp_dir"),
    ("review_import", {"state": "checked", "review_dir": "/proc/x"}, "dhash_review_dir"),
    ("review_import", {"state": "absent", "log_dir": "/proc/x"}, "dhash_log_dir"),
    ("journal_merge", {"state_dir": "/proc/x"}, "dhash_state_dir"),
    ("hash_export", {"state_dir": "/proc/x"}, "dhash_state_dir"),
]


@pytest.fixture(scope="module")
def migrated(make_site: Callable[[str], Site]) -> Site:
    site = make_site("unwritable")
    site.migrate()
    return site


@pytest.mark.parametrize(("module", "arguments", "variable"), UNWRITABLE)
def test_check_and_run_refuse_an_unwritable_path_by_its_variable(
        module: str, arguments: dict[str, Any], variable: str, migrated: Site) -> None:
    before = migrated.snapshot()
    for check in (True, False):
        result = migrated.module(module, check, **{"library": str(migrated.library), "state_dir": str(migrated.state), **arguments})
        assert result.get("failed"), (check, result)
        assert f"{variable}: " in result["msg"] and f"set {variable} to another path, then run again" in result["msg"].replace("Set", "set")
    assert migrated.snapshot() == before


@pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")
@pytest.mark.parametrize("module", ["library_backup", "library_rehearse", "library_deploy"])
def test_check_and_run_refuse_recipients_that_age_refuses(module: str, migrated: Site) -> None:
    before = migrated.snapshot()
    for check in (True, False):
        result = migrated.module(module, check, library=str(migrated.library), state_dir=str(migrated.state), encrypt_to=["age1abc"])
        assert result.get("failed") and "dhash_backup_encrypt_to" in result["msg"], (check, result)
    assert migrated.snapshot() == before


@pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")
def test_recipients_that_age_refuses_leave_no_restart_pending(site: Site) -> None:
    for module, arguments in DEPLOYED:
        call(site, module, arguments)
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state), "state": "verified", "encrypt_to": ["age1abc"]}
    assert "dhash_backup_encrypt_to" in site.module("library_deploy", True, **given)["msg"]
    assert "dhash_backup_encrypt_to" in site.module("library_deploy", **given)["msg"]
    record = call(site, "library_info", {})["run"]
    assert (record["phase"], record["restart_owed"]) == ("verified", False)


@pytest.mark.parametrize("folder", ["/proc/x", "a file"])
def test_failed_run_is_rolled_back_even_without_usable_folders(folder: str, site: Site) -> None:
    (site.library.parent / "a file").touch()
    before = sha256(site.library)
    for module, arguments in DEPLOYED:
        call(site, module, arguments)
    arguments = {"undo_sha256": sha256(site.library), "backup_dir": folder, "log_dir": folder}
    assert call(site, "library_rollback", arguments, check=True)["due"]
    call(site, "library_rollback", arguments)
    folders = {"log_dir": folder, "metrics_dir": folder}
    for state in ("announced", "deployed", "started", "verified"):
        call(site, "library_deploy", {**folders, "state": state})
    assert sha256(site.library) == before
    refused = site.module("library_deploy", library=str(site.library), state_dir=str(site.state), log_dir=str(site.library))
    assert "dhash_log_dir" in refused["msg"]  # nothing is left to roll back


def test_check_and_run_warn_of_an_unwritable_metrics_folder(site: Site) -> None:
    for check in (True, False):
        result = site.module("library_migrate", check, library=str(site.library), state_dir=str(site.state), metrics_dir="/proc/x")
        assert not result.get("failed") and "dhash_metrics_dir" in json.dumps(result["warnings"]), result


def test_each_change_or_failure_is_a_line_of_the_audit_log(site: Site) -> None:
    log: dict[str, Any] = {"log_dir": "logs", "origin": {"user": "ada"}}
    steps: list[tuple[str, dict[str, Any]]] = [
        *MIGRATED, ("library_deploy", {}), ("library_deploy", {"state": "verified"}),
        ("library_rollback", {"remove_dhash": True}), ("library_deploy", {}), ("library_deploy", {"state": "verified"})]
    for module, arguments in steps:
        call(site, module, {**arguments, **log}, check=True)
        call(site, module, {**arguments, **log})
        if arguments != {"remove_dhash": True}:
            call(site, module, {**arguments, **log})
    assert site.module("library_migrate", library=str(site.library), state_dir=str(site.state), media_roots=["/none"], **log)["failed"]
    (file,) = (site.library.parent / "logs").glob("*.operations-*.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["operation"], line["result"]) for line in lines] == [(operation, "ok") for operation in (
        "backup", "migration", "deploy", "verify", "rollback", "deploy", "verify")] + [("migration", "failed")]
    backup, migration, deploy, verify, rollback = lines[:5]
    assert backup["before"] == migration["before"] == deploy["before"] and migration["after"] == deploy["after"] == rollback["before"]
    assert migration["run"] == deploy["run"] == verify["run"] != rollback["run"]
    assert migration["details"]["hashed_now"] == IMAGES - 1 and rollback["details"]["operation"] == "remove_dhash"
    assert all(line["controller"] == {"user": "ada"} and line["library"] == str(site.library) for line in lines)
    assert lines[-1]["error"].startswith("/none: the media root does not exist") and lines[-1]["before"] == sha256(site.library)


def test_edit_between_migration_and_deploy_is_not_lost(site: Site) -> None:
    call(site, "library_migrate", {})
    edited = site.read()
    edited["name"] = "renamed by somebody else"
    site.library.write_text(json.dumps(edited, indent=2), encoding="utf-8")
    call(site, "library_deploy", {})
    live = site.read()
    assert live["name"] == "renamed by somebody else"
    assert sum("dhash" in image for image in live["images"]) == IMAGES - 5


def test_what_the_migration_did_not_write_is_not_deployed(site: Site) -> None:
    call(site, "library_migrate", {})
    output = site.library.parent / "library.dhash.json"
    output.write_bytes(output.read_bytes().replace(b"a drawn library", b"something else"))
    live = sha256(site.library)
    result = site.module("library_deploy", library=str(site.library), state_dir=str(site.state))
    assert result["failed"]
    assert result["msg"].startswith(f"{output}: the staged library is not the one that the last run wrote. If the file is not needed here, move it away")
    assert sha256(site.library) == live
    assert not (site.library.parent / "library.json.pre-dhash").exists()


def test_image_hash_tells_how_far_two_pictures_are_apart(site: Site) -> None:
    original, edited = next((variant["of"], name) for name, variant in site.truth["variants"].items() if variant["near"])
    paths = {image["filename"]: site.library.parent / image["path"] for image in site.read()["images"]}
    result = site.module("image_hash", images=[str(paths[original]), str(paths[edited])], media_roots=[str(site.library.parent)])
    ((pair, distance),) = ((found["images"], found["distance"]) for found in result["distances"])
    assert pair == [str(paths[original]), str(paths[edited])]
    assert 0 <= distance <= 10
    one, other = (int(image["dhash"], 16) for image in result["images"])
    assert bin(one ^ other).count("1") == distance


@pytest.mark.parametrize("damage", ["the library", "the watch", "the library and the watch"])
def test_record_is_read_and_start_recorded_despite_damage(site: Site, damage: str) -> None:
    for name, arguments in (*MIGRATED, ("library_deploy", {"state": "announced"})):
        call(site, name, arguments)
    state = next(site.state.iterdir())
    if "library" in damage:
        site.library.write_text('{"images": [NaN')
    if "watch" in damage:
        (state / "monitor.json").write_text("{")
    info = call(site, "library_info", {"check_library": False})
    assert info["run"]["stopped_at"] and info["run"]["unfinished"] and "sha256" not in info
    assert ("the monitoring record is damaged" in str(info.get("warnings"))) is ("watch" in damage)
    call(site, "library_deploy", {"state": "started"})
    info = call(site, "library_info", {"check_library": False})
    assert info["run"]["stopped_at"] is None and not info["run"]["restart_owed"]


def test_rollback_with_nothing_to_restore_waits_for_a_deploy(site: Site) -> None:
    call(site, "library_backup", {})
    holder = {"operation": "migration", "process": 1, "host": "here", "run": "of somebody", "since": "now"}
    assert call(site, "library_rollback", {})["changed"] is False
    with open(f"{site.library}.lock", "r+", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        json.dump(holder, held)
        held.flush()
        result = site.module("library_rollback", library=str(site.library), state_dir=str(site.state), lock_timeout=0)
    assert result["failed"] and "the library is in use by migration" in result["msg"]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_ports_of_targets_are_numbers_in_range_or_their_text(check: bool, site: Site) -> None:
    def notify(port: object) -> dict[str, Any]:
        mail = {"type": "mail", "to": ["a@example.org"], "host": "127.0.0.1", "port": port, "events": ["failure"]}
        return site.module("notify", check, notification={"event": "start", "text": "it begins"}, targets=[mail])

    assert "targets" in notify("587")
    for port in (70000, "-1", "0"):
        assert f"the port of target 1 (mail by 127.0.0.1) must be a number between 1 and 65535, got {port}" in notify(port)["msg"]
    for port in ("smtp", "25.5"):
        assert notify(port)["failed"]


def test_metrics_of_a_library_that_was_moved_are_removed(site: Site) -> None:
    metrics = site.folder / "metrics"
    metrics.mkdir()
    for place in (site.library.parent, site.folder / "moved"):
        site.library.parent.rename(place)
        site.library = place / "library.json"
        site.library.write_text('{"images": []}', encoding="utf-8")
        call(site, "library_migrate", {"metrics_dir": str(metrics), "output": f"{place}.json"})
        (file,) = metrics.glob("*.prom")
        assert f'library="{site.library}"' in file.read_text(encoding="utf-8")
