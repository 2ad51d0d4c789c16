# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two libraries of one name on one host, with one folder for backups, for copies and on the controller."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import BIN, ROOT, Run, Site, sha256


@pytest.fixture
def other(site: Site) -> Path:
    """Another library of the same name, with an image of its own."""
    library = site.folder / "other/library.json"
    library.parent.mkdir()
    library.write_text(json.dumps({"version": 3, "images": [{"path": "theirs.jpg", "filename": "theirs.jpg"}]}, indent=2))
    return library


def back_up(site: Site, library: Path, **arguments: Any) -> dict[str, Any]:
    result = site.module("library_backup", library=str(library), state_dir=str(site.state), **arguments)
    assert "msg" not in result, result
    return result


def run_role(site: Site, library: Path, **variables: Any) -> Run:
    """Run the role backup alone."""
    given = {"dhash_library": str(library), "dhash_state_dir": str(site.state), "dhash_log_dir": "", **variables}
    shown = subprocess.run(
        [str(BIN / "ansible"), "localhost", "-i", "localhost,", "-c", "local", "-m", "include_role", "-a", "name=mobius.dhash.backup",
         "-e", json.dumps(given)], cwd=ROOT, env=site.environment(), capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return site.read_run(shown.returncode, shown.stdout)


def test_fetched_backups_of_two_libraries_are_kept_apart(site: Site, other: Path) -> None:
    fetched, backups = site.folder / "controller", site.folder / "backups"
    for library in (site.library, other):
        variables = {"dhash_backup_dir": str(backups), "dhash_backup_fetch_dir": str(fetched)}
        run_role(site, library, **variables)
        folder = Path(f"{fetched}/localhost{library.parent}")
        (backup,) = folder.glob("library.json.bak.*Z")
        assert sha256(backup) == sha256(library)
        assert {path.name for path in folder.iterdir()} == {f"{backup.name}{suffix}" for suffix in ("", ".sha256", ".json")}
        assert {path.stat().st_mode & 0o777 for path in [backup]} == {0o600}
        check = subprocess.run(["sha256sum", "--strict", "--check", f"{backup.name}.sha256"], cwd=folder, capture_output=True, check=False)
        assert check.returncode == 0, check.stderr


def test_rollback_never_restores_another_library(site: Site, other: Path) -> None:
    backups = str(site.folder / "backups")
    theirs = back_up(site, other, backup_dir=backups)["backup"]
    before = sha256(site.library)
    refused = site.playbook("rollback", dhash_backup_dir=backups)
    assert refused.code != 0 and "there is no intact backup of this library without hashes" in " ".join(refused.failures())
    named = site.playbook("rollback", dhash_backup_dir=backups, dhash_rollback_to=os.path.basename(theirs))
    assert named.code != 0 and f"this is a backup of another library, {other} on {socket.gethostname()}" in " ".join(named.failures())
    assert sha256(site.library) == before
    listed = site.playbook("list_backups", dhash_backup_dir=backups)
    assert f"OF ANOTHER LIBRARY, {other} on {socket.gethostname()}" in " ".join(listed.of("Show them, the newest first")["msg"])


def test_migration_never_prunes_another_library(site: Site, other: Path) -> None:
    backups = site.folder / "backups"
    theirs = back_up(site, other, backup_dir=str(backups))
    for number in range(3):
        site.library.write_text(site.library.read_text(encoding="utf-8") + " " * number, encoding="utf-8")
        result = back_up(site, site.library, backup_dir=str(backups), keep=1, keep_days=0)
    assert len(result["pruned"]) == 1
    assert sha256(Path(theirs["backup"])) == sha256(other)
    listed = site.module("library_backup_info", library=str(other), state_dir=str(site.state), backup_dir=str(backups))
    assert (listed["good"], sorted(backup["belongs"] for backup in listed["backups"])) == (1, ["foreign", "own"])
    assert {backup["library"] for backup in listed["backups"]} == {str(site.library), str(other)}


def test_backups_are_listed_without_a_readable_record(site: Site) -> None:
    back_up(site, site.library)
    assert site.module("library_migrate", library=str(site.library), state_dir=str(site.state), parallel=1)["changed"]
    (record,) = site.state.glob("*/run.json")
    record.write_text("{")
    listed = site.module("library_backup_info", library=str(site.library), state_dir=str(site.state))
    assert listed["good"] == 1 and str(record) in str(listed["warnings"])


@pytest.mark.thorough
def test_backups_from_before_manifests_stay_in_use(site: Site) -> None:
    path = site.library.with_name("library.json.bak.20240115T103000Z")
    shutil.copy(site.library, path)
    path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert back_up(site, site.library)["created"] is False
    assert site.module("library_backup_info", library=str(site.library), state_dir=str(site.state))["backups"][0]["belongs"] == "own"
    before = sha256(site.library)
    assert site.playbook("migrate").code == 0
    assert site.playbook("rollback").code == 0
    assert sha256(site.library) == before


def test_result_of_a_rollback_names_what_it_keeps(site: Site) -> None:
    backup = back_up(site, site.library)["backup"]
    library = site.read()
    library["images"][0]["notes"] = "mine"
    library["images"].append({"path": "later.jpg", "filename": "later.jpg"})
    site.library.write_text(json.dumps({**library, "albums": []}, indent=2), encoding="utf-8")
    arguments = {"library": str(site.library), "state_dir": str(site.state), "backup": os.path.basename(backup), "force": True}
    counts = {"lost_images": 1, "changed_images": 1, "lost_fields": 1}
    check = site.module("library_rollback", check=True, **arguments)
    assert check["kept"] == f"{site.library}.pre-rollback.YYYYMMDDTHHMMSSZ" and counts.items() <= check.items()
    prepared = site.module("library_rollback", **arguments)
    assert counts.items() <= prepared.items()
    assert site.module("library_rollback", check=True, **arguments)["kept"] == prepared["kept"]
    assert site.module("library_deploy", library=str(site.library), state_dir=str(site.state))["changed"]
    assert json.loads(Path(prepared["kept"]).read_text())["albums"] == []
    assert sha256(site.library) == sha256(Path(backup))
