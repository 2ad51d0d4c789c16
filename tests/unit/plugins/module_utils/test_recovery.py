# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failed run leaves, in tokens and in sentences; and what a stop of a service takes down with it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _recovery
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, rollback_plan, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes

OLD, NEW = ({"images": [{"path": "a.jpg", "filename": "a.jpg"}], "version": version} for version in (1, 2))


class Host:
    """A library and the record of a run that replaced it."""

    def __init__(self, folder: Path) -> None:
        self.library = folder / "library.json"
        self.state = folder / "state"
        self.status = folder / "status"
        self.status.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        self.status.chmod(0o755)
        self.live(NEW)
        self.record = run_record.Record(
            "run-1", run_record.MIGRATION, run_record.DEPLOYED, str(self.library), f"{self.library}.out", f"{self.library}.pre-dhash",
            self.digest(OLD), self.digest(NEW), True, {})

    @staticmethod
    def digest(value: dict[str, Any]) -> str:
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()

    def live(self, value: dict[str, Any]) -> None:
        self.library.write_text(json.dumps(value), encoding="utf-8")

    def report(self, manager: str = "command", **changes: Any) -> dict[str, Any]:
        run_record.write(str(self.state), self.record._replace(**changes))
        return _recovery.report(_recovery.Host(
            library=str(self.library), state=str(self.state), backup_dir=str(self.library.parent), manager=manager, name=None,
            scope="system", status_command=str(self.status), playbook="verify"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_live_library_is_named_by_its_digest(host: Host) -> None:
    assert host.report()["live"] == "new"
    host.live(OLD)
    assert host.report()["live"] == "old"
    assert "is the old library, from before run run-1" in host.report()["summary"][0]
    host.live({**OLD, "version": 3})
    assert host.report()["live"] == "edited"
    host.library.write_text('{"images": [], "ratio": NaN}', encoding="utf-8")
    assert host.report()["live"] == "unreadable"
    host.library.unlink()
    assert host.report()["live"] == "missing"


@pytest.mark.parametrize("live", [None, '{"images": [], "ratio": NaN}'])
def test_lost_library_is_rolled_back_if_any_copy_exists(host: Host, live: str | None) -> None:
    host.live(OLD)
    backup_files.make(str(host.library), str(host.library.parent))
    host.library.unlink()
    if live:
        host.library.write_text(live, encoding="utf-8")
    assert host.report()["next"] == "ansible-playbook mobius.dhash.rollback"
    for file in host.library.parent.glob("library.json.bak.*"):
        file.unlink()
    report = host.report()
    assert (report["backups"], report["kept"]) == (0, [])
    assert "mobius.dhash.rollback" not in report["next"]
    assert "There is no backup to roll back to" in report["next"] and str(host.library.parent) in report["next"]
    assert "from elsewhere" in report["next"] and report["summary"][-1] == f"Next: {report['next']}"
    host.library.with_name("library.json.pre-dhash").write_text(json.dumps(OLD), encoding="utf-8")
    report = host.report()
    assert report["next"] == "ansible-playbook mobius.dhash.rollback"
    assert report["summary"][-1] == f"Next: {report['next']}, with the same inventory and options."


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_no_file_in_the_place_of_a_library_is_moved_away_first(host: Host, kind: str) -> None:
    host.live(OLD)
    backup_files.make(str(host.library), str(host.library.parent))
    host.library.unlink()
    {"folder": os.mkdir, "pipe": os.mkfifo}[kind](host.library)
    report = host.report()
    assert f"Move the {kind} away" in report["next"]
    assert report["summary"][0] == f"{host.library} cannot be read as a library."
    assert f"(mv '{host.library}' '{host.library}.old')" in report["next"] and "mobius.dhash.rollback" in report["next"]
    for backup in (rollback_plan.LATEST, next(host.library.parent.glob("*Z")).name):
        with pytest.raises(RefusedError) as refused:
            rollback_plan.make_plan(str(host.library), str(host.state), str(host.library.parent), rollback_plan.RollbackRequest(backup, False, False))
        assert report["next"] in str(refused.value)

    host.library.rename(f"{host.library}.old")
    assert rollback_plan.make_plan(str(host.library), str(host.state), str(host.library.parent), rollback_plan.RollbackRequest("latest", False, False)).due
    host.library.mkdir()
    for file in host.library.parent.glob("library.json.bak.*"):
        file.unlink()
    advised = host.report()["next"]
    assert f"'{host.library}.old1'" in advised and "There is no backup to roll back to" in advised


def test_a_backup_of_another_library_is_nothing_to_roll_back_to(host: Host, tmp_path: Path) -> None:
    other = tmp_path / "other" / "library.json"
    other.parent.mkdir()
    other.write_text(json.dumps(OLD), encoding="utf-8")
    backup_files.make(str(other), str(tmp_path))
    host.library.unlink()
    assert "There is no backup to roll back to" in host.report()["next"]


def test_a_rollback_restores_the_old_library(host: Host) -> None:
    rolled_back = {"operation": run_record.RESTORE, "undoes": "run-0"}
    report = host.report(**rolled_back)
    assert report["live"] == "old" and "which run run-1 restored" in report["summary"][0]
    assert report["next"] == "ansible-playbook mobius.dhash.migrate"
    host.live(OLD)
    assert host.report(**rolled_back)["live"] == "new"


def test_a_host_without_a_record_has_an_unrecorded_library(host: Host) -> None:
    report = _recovery.report(_recovery.Host(
        library=str(host.library), state=str(host.state), backup_dir=str(host.library.parent), manager="none", name=None,
        scope="system", status_command=None, playbook="migrate"))
    assert (report["live"], report["service"], report["next"]) == ("unrecorded", "unmanaged", "ansible-playbook mobius.dhash.migrate")


def test_a_damaged_record_is_told_and_hides_nothing_else(host: Host) -> None:
    host.report()
    (host.state / "run.json").write_text("{", encoding="utf-8")
    report = _recovery.report(_recovery.Host(
        library=str(host.library), state=str(host.state), backup_dir=str(host.library.parent), manager="command", name=None,
        scope="system", status_command=str(host.status), playbook="migrate"))
    assert report["live"] == "unrecorded" and report["service"] == "running"
    assert any("run.json" in line for line in report["summary"])


def test_the_service_is_asked_before_its_record(host: Host) -> None:
    assert host.report()["service"] == "running"
    host.status.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    assert host.report()["service"] == "stopped"
    host.status.unlink()
    assert host.report()["service"] == "unknown"
    stopped = host.report(stopped_at="2026-01-31T12:00:00Z")
    assert stopped["service"] == "stopped" and any("since 2026-01-31T12:00:00Z" in line for line in stopped["summary"])


def test_only_kept_files_that_exist_are_named(host: Host) -> None:
    assert host.report()["kept"] == [] and not any(line.startswith("Kept:") for line in host.report()["summary"])
    kept = host.library.with_name("library.json.pre-dhash")
    kept.write_text(json.dumps(OLD), encoding="utf-8")
    report = host.report()
    assert report["kept"] == [str(kept)] and f"Kept: {kept}." in report["summary"]


def test_pending_work_decides_on_the_next_command(host: Host) -> None:
    assert host.report()["next"] == "ansible-playbook mobius.dhash.migrate"
    assert host.report(phase=run_record.VERIFIED, restart_owed=False)["next"] == "ansible-playbook mobius.dhash.verify"
    assert host.report(operation=run_record.RESTORE)["next"] == "ansible-playbook mobius.dhash.rollback"
    assert host.report(operation=run_record.REVIEW_IMPORT)["next"] == "ansible-playbook mobius.dhash.review_import"


UNITS = {  # name: (state, what it lists, as systemctl show does)
    "web.service": ("active", {"RequiredBy": "proxy.service idle.service", "ConsistsOf": "worker.service"}),
    "proxy.service": ("active", {"BoundBy": "tunnel.service"}),
    "tunnel.service": ("activating", {"RequiredBy": "proxy.service"}),
    "worker.service": ("active", {"RequisiteOf": "web.service"}),
    "idle.service": ("inactive", {"PropagatesStopTo": "deep.service"}),
    "deep.service": ("active", {}),
    "alone.service": ("active", {}),
}


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that knows ``UNITS``."""
    cases = []
    for name, (state, properties) in UNITS.items():
        shown = "".join(f"{key}={value}\\n" for key, value in {"Id": name, "ActiveState": state, **properties}.items())
        cases.append(f"{name}|{name.removesuffix('.service')}) printf '{shown}' ;;")
    script = tmp_path / "bin/systemctl"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift\nseparator=\n"
                      "for unit; do printf \"$separator\"; separator='\\n'\ncase \"$unit\" in\n" + "\n".join(cases) + "\nesac; done\n",
                      encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    return script


def test_all_active_units_that_stop_with_a_service_are_found(systemctl: Path) -> None:
    assert service_probes.dependents("web", "system") == ["deep.service", "proxy.service", "tunnel.service", "worker.service"]
    assert service_probes.dependents("alone.service", "system") == []


def test_a_systemctl_that_does_not_answer_is_an_error(systemctl: Path) -> None:
    systemctl.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(DhashError, match="Failed to connect to bus"):
        service_probes.dependents("web", "system")


@pytest.mark.parametrize(("answer", "removed"), [("true", True), ("false", False), ("", False)])
def test_a_container_that_a_stop_removes_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, removed: bool) -> None:
    script = tmp_path / "docker"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert service_probes.is_removed_when_stopped("web") is removed
