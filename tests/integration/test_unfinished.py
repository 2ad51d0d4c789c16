# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook that meets the unfinished operation of another one: it refuses or finishes it, and never discards it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_service import Service, record
from conftest import ROOT, Site, sha256


def call(site: Site, module: str, **arguments: Any) -> dict[str, Any]:
    result = site.module(module, library=str(site.library), state_dir=str(site.state), **arguments)
    assert not result.get("failed"), result
    return result


def migrate(site: Site) -> bytes:
    """Migrate the library, verified; returns the bytes that it had."""
    before = site.library.read_bytes()
    for module, arguments in (("library_backup", {"state_dir": None}), ("library_migrate", {}), ("library_deploy", {}),
                              ("library_deploy", {"state": "verified"})):
        given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state), **arguments}
        result = site.module(module, **{name: value for name, value in given.items() if value is not None})
        assert not result.get("failed"), result
    return before


def meanwhile(site: Site, service: Service, playbook: str) -> None:
    """Have the playbook run as soon as the service is stopped."""
    command = shlex.join(site.command(playbook, **service.settings))
    service.meanwhile.write_text(f"cd {shlex.quote(str(ROOT))} && {command} >'{site.home}/other.log' 2>&1 || true\n", encoding="utf-8")


def other(site: Site) -> str:
    """What the playbook in between has shown, on one line."""
    return " ".join((site.home / "other.log").read_text(encoding="utf-8").replace("\\n", " ").split())


def is_settled(site: Site, run: str) -> bool:
    found = record(site)
    return (found["run"], found["phase"], found["restart_owed"], found["stopped_at"]) == (run, "verified", False, None)


def decide(site: Site) -> str:
    """Export the review and approve its first pair; the path of the decisions."""
    call(site, "review_export", min_distance=0, confirm=False, include_images=False, review_dir=str(site.home / "review"))
    queue = json.loads((site.home / "review/queue.json").read_text(encoding="utf-8"))
    queue["matches"][0].update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(queue), encoding="utf-8")
    return str(decisions)


@pytest.mark.thorough
def test_migration_does_not_cancel_a_rollback_in_progress(site: Site, service: Service) -> None:
    before = migrate(site)
    meanwhile(site, service, "migrate")
    run = site.playbook("rollback", **service.settings)
    assert run.code == 0, run.output
    assert site.library.read_bytes() == before
    prepared = run.of("Prepare the library to go back to")["run"]
    assert f"a rollback is unfinished: run {prepared}" in other(site) and "failed=1" in other(site)
    assert is_settled(site, prepared)


def starts_only_when_stopped(service: Service) -> None:
    """As the start command of many services, this one does nothing while the service runs."""
    start = Path(service.settings["dhash_start_command"])
    start.write_text(start.read_text(encoding="utf-8").replace("#!/bin/sh\n", f"#!/bin/sh\n[ -e '{service.stopped}' ] || exit 0\n"), encoding="utf-8")


def test_rollback_beside_a_running_migration_withdraws_it(site: Site, service: Service) -> None:
    before = sha256(site.library)
    starts_only_when_stopped(service)
    meanwhile(site, service, "rollback")
    run = site.playbook("migrate", **service.settings)
    migration = run.of("Hash and write the migrated library")["run"]
    assert "is already the library to roll back to" in other(site) and "failed=0" in other(site), other(site)
    assert f"Withdrawn, because nothing of it was deployed: the migration of run {migration}" in other(site)
    rollback = record(site)["run"]
    assert run.code != 0 and f"the restore of run {rollback} came in between" in run.failures()[-1], run.output
    assert sha256(site.library) == before and not service.is_stopped() and is_settled(site, rollback)


@pytest.mark.parametrize("who", ["operator", pytest.param("verify", marks=pytest.mark.thorough)])
def test_service_started_before_the_swap_serves_the_new_library(site: Site, service: Service, who: str) -> None:
    before = sha256(site.library)
    starts_only_when_stopped(service)
    if who == "verify":
        meanwhile(site, service, "verify")
    else:
        service.meanwhile.write_text(f"'{service.settings['dhash_start_command']}'\n", encoding="utf-8")
    run = site.playbook("migrate", **service.settings)
    assert run.code == 0 and sha256(site.library) != before, run.output
    new = sha256(site.library)
    assert service.told() == [("stop", before), ("start", before), ("stop", new), ("start", new)], run.output
    assert not service.is_stopped() and is_settled(site, record(site)["run"])


@pytest.mark.thorough
def test_migration_does_not_cancel_an_import_in_progress(site: Site, service: Service) -> None:
    migrate(site)
    decisions = decide(site)
    images = len(site.read()["images"])
    meanwhile(site, service, "migrate")
    run = site.playbook("review_import", **service.settings, dhash_review_decisions=[decisions])
    assert run.code == 0, run.output
    assert len(site.read()["images"]) == images - 1
    assert "an import of review decisions is unfinished: run" in other(site) and "failed=1" in other(site)
    assert is_settled(site, record(site)["run"])


@pytest.mark.thorough
def test_next_migration_finishes_a_killed_rescue(site: Site, service: Service) -> None:
    before = site.library.read_bytes()

    def answer() -> tuple[int, str]:
        if site.library.read_bytes() == before:
            return 200, '{"status": "ok"}'
        service.to_kill.write_text(str(killed.pid), encoding="utf-8")  # it dies as the rescue stops the service
        return 500, "out of order"

    service.answer = answer
    with subprocess.Popen(site.command("migrate", **service.settings), cwd=ROOT, env=site.environment(), start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        pass
    service.to_kill.unlink()
    assert killed.returncode == -signal.SIGKILL
    left = record(site)
    assert left["operation"] == "restore" and left["undoes"] and left["stopped_at"] and site.library.read_bytes() != before

    again = site.playbook("migrate", **service.settings)
    assert again.code != 0 and left["undoes"] in " ".join(again.failures()), again.output
    assert site.library.read_bytes() == before
    assert is_settled(site, left["run"])
    assert service.told()[-1][0] == "start"


@pytest.mark.thorough
def test_import_is_rolled_back_without_its_backup_folder(site: Site, service: Service) -> None:
    migrate(site)
    decisions, backups = decide(site), site.home / "backups"
    before = site.library.read_bytes()

    def answer() -> tuple[int, str]:
        if site.library.read_bytes() == before:
            return 200, '{"status": "ok"}'
        if backups.is_dir():
            backups.rename(site.home / "moved")
            backups.touch()
        return 500, "out of order"

    service.answer = answer
    run = site.playbook("review_import", **service.settings, dhash_review_decisions=[decisions], dhash_backup_dir=str(backups))
    assert run.code != 0 and backups.is_file(), run.output
    assert site.library.read_bytes() == before and not service.is_stopped()
    assert is_settled(site, record(site)["run"])
