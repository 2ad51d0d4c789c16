# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Phases of a playbook that an operator chooses or leaves out by tags, and what no tag leaves out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_service import Service, record
from conftest import Run, Site, sha256
from listeners import WebServer


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def roles_of(run: Run) -> set[str]:
    """The roles whose tasks were not skipped."""
    return {task["task"].split(" | ")[0].rpartition(" : ")[2] for task in run.results if " | " in task["task"] and task["status"] != "skipped"}


def phases(reports: Path) -> list[str]:
    return [json.loads(report.read_text(encoding="utf-8"))["hosts"][0]["phase"] for report in sorted(reports.glob("*/fleet.json"))]


@pytest.mark.matrix
def test_verify_tag_changes_no_library_but_starts_the_service(site: Site, service: Service) -> None:
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}
    for module, arguments in (("library_migrate", {"parallel": 1}), ("library_deploy", {"state": "announced"}), ("library_deploy", {})):
        result = site.module(module, **given, **arguments)
        assert not result.get("failed"), result
    service.stopped.touch()
    service.answer = lambda: (503, "stopped") if service.is_stopped() else (200, '{"status": "ok"}')
    migrated = sha256(site.library)

    run = site.playbook("migrate", "--tags", "verify", **service.settings)
    assert run.code == 0, run.output
    assert sha256(site.library) == migrated and record(site)["phase"] == "verified"
    assert not service.is_stopped() and [verb for verb, _digest in service.told()] == ["start"]
    assert roles_of(run).isdisjoint({"Backup", "Migrate", "Deploy", "Monitor"}) and {"Restart", "Verify"} <= roles_of(run)


@pytest.mark.thorough
def test_migration_is_staged_in_one_run_and_deployed_in_another(site: Site) -> None:
    before = sha256(site.library)
    reports = site.home / "reports"
    staged = site.playbook("migrate", "--skip-tags", "deploy", dhash_fleet_report_dir=str(reports))
    assert staged.code == 0, staged.output
    assert sha256(site.library) == before and site.library.with_name("library.dhash.json").exists()
    assert record(site)["phase"] == "prepared" and phases(reports) == ["partial"]

    deployed = site.playbook("migrate", "--tags", "deploy", dhash_fleet_report_dir=str(reports))
    assert deployed.code == 0, deployed.output
    assert sha256(site.library) != before and record(site)["phase"] == "verified"
    assert roles_of(deployed).isdisjoint({"Prerequisites", "Migrate"}) and phases(reports)[-1] == "verified"


def test_no_tag_leaves_out_the_check_of_variables_or_the_rescue(site: Site, service: Service) -> None:
    refused = site.playbook("migrate", "--tags", "deploy", dhash_verify_sample_size=-1)
    assert refused.code != 0 and "dhash_verify_sample_size must be at least 0" in " ".join(refused.failures())

    before = sha256(site.library)
    site.module("library_migrate", library=str(site.library), state_dir=str(site.state), parallel=1)
    service.answer = lambda: (200, '{"status": "ok"}') if sha256(site.library) == before else (500, "out of order")
    failed = site.playbook("migrate", "--tags", "deploy", **service.settings)
    assert failed.code != 0 and "The library is the old one again" in " ".join(failed.failures()[-1].split()), failed.output
    assert sha256(site.library) == before and not service.is_stopped()


@pytest.mark.matrix
@pytest.mark.thorough
def test_notifications_can_be_left_out(site: Site, web: WebServer) -> None:
    targets = [{"type": "webhook", "url": web.url("/hook")}]
    silent = site.playbook("migrate", "--tags", "prerequisites", "--skip-tags", "notify", dhash_notify=targets, dhash_require_notified=True)
    assert silent.code == 0 and web.bodies("/hook") == [], silent.output
    assert {"Prerequisites"} <= roles_of(silent) and roles_of(silent).isdisjoint({"Backup", "Migrate", "Deploy", "Verify"})

    told = site.playbook("migrate", "--tags", "prerequisites", dhash_notify=targets)
    assert told.code == 0, told.output
    assert [json.loads(body)["event"] for body in web.bodies("/hook")] == ["start", "success"]
