# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller does: strategies, output, delegated tasks, paths, reports, and what the command line says."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, RUN_SECONDS, Run, Site, sha256


def inventory_of(site: Site, hosts: dict[str, dict[str, Any]], **everywhere: Any) -> Path:
    """An inventory with these hosts, and a group_vars/all.yml, which is what reaches the implicit localhost too."""
    (site.home / "inventory/group_vars").mkdir(parents=True)
    (site.home / "inventory/group_vars/all.yml").write_text(json.dumps(everywhere), encoding="utf-8")
    file = site.home / "inventory/hosts.yml"
    file.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    return file


def run_text(site: Site, playbook: str, *options: str, **variables: Any) -> Run:
    """Run a playbook with these variables as ``-e NAME=VALUE``, which makes text of them."""
    return site.playbook(playbook, *(part for name, value in variables.items() for part in ("-e", f"{name}={value}")), *options)


def test_progress_lines_leave_standard_output_alone(site: Site) -> None:
    shown = subprocess.run(site.command("dry_run"), cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL, text=True,
                           capture_output=True, check=True, timeout=RUN_SECONDS)
    assert "[localhost] hash" not in shown.stdout
    assert "[localhost] hashed: " in shown.stderr


@pytest.mark.matrix
def test_awx_job_logs_its_user_and_takes_survey_answers_as_text(site: Site) -> None:
    """AWX passes variables as JSON, in which the answers of a survey are text. The answers are those of docs/awx.md.

    The commands of the service need a shell.
    """
    service = site.home / "service.log"
    run = site.playbook("migrate", awx_user_name="grace", dhash_max_failure_rate="0.2", dhash_monitor_minutes="0", dhash_auto_rollback="true",
                        dhash_serial='[1, "25%", "100%"]', dhash_verify_sample_size="0", dhash_parallel="1", dhash_service_manager="command",
                        dhash_stop_command=f"true && echo stopped >> {service}", dhash_start_command=f"echo started | cat >> {service}")
    assert run.code == 0, run.output
    assert service.read_text(encoding="utf-8").split() == ["stopped", "started"]
    (log,) = (site.library.parent / "logs").glob("*.operations-*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["operation"] for line in lines] == ["backup", "migration", "announce", "deploy", "start", "verify"]
    assert {line["controller"]["user"] for line in lines} == {"grace"}


@pytest.mark.matrix
@pytest.mark.thorough
def test_inventory_become_leaves_controller_tasks_alone(site: Site) -> None:
    """The example inventory has ``ansible_become: true`` for all; the operator may not become another user on the controller."""
    inventory = inventory_of(site, {"images1": {"ansible_become": False}},
                             ansible_become=True, ansible_become_user="nobody", ansible_become_exe="/bin/false")
    run = site.playbook("migrate", inventory=inventory, dhash_fleet_report_dir=str(site.home / "reports"),
                        dhash_backup_fetch_dir=str(site.home / "backups"))
    assert run.code == 0, run.output
    assert len(list((site.home / "reports").glob("*/index.html"))) == 1
    assert len(list((site.home / "backups/images1").rglob("*.bak.*Z"))) == 1


@pytest.mark.matrix
def test_free_strategy_still_stops_at_first_failed_batch(make_site: Callable[[str], Site]) -> None:
    first, second = make_site("first"), make_site("second")
    before = sha256(second.library)
    inventory = inventory_of(first, {
        "first": {"dhash_library": str(first.library) + ".gone", "dhash_state_dir": str(first.state)},
        "second": {"dhash_library": str(second.library), "dhash_state_dir": str(second.state)}})
    run = first.playbook("migrate", inventory=inventory, dhash_library=None, dhash_state_dir=None, environment={"ANSIBLE_STRATEGY": "free"})
    assert run.code != 0
    begun = [record["task"] for record in run.results if record["host"] == "second" and record["status"] != "skipped"]
    assert begun in ([], ["Stop where the inventory sets dhash_serial"]), begun
    assert sha256(second.library) == before


def decided(queue: dict[str, Any], approved: Sequence[int] = (), different: Sequence[int] = ()) -> str:
    """The queue as a reviewer sends it back, with these matches decided."""
    queue = json.loads(json.dumps(queue))
    for number in approved:
        queue["matches"][number].update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
    for number in different:
        queue["matches"][number].update(reviewStatus="rejected", isDuplicate=False, keepImage="both", needsReview=False)
    return json.dumps(queue)


@pytest.mark.thorough
def test_decision_files_of_one_name_are_both_imported(site: Site) -> None:
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}
    for module, arguments in (("library_migrate", {"parallel": 1}), ("library_deploy", {}), ("library_deploy", {"state": "verified"}),
                              ("review_export", {"min_distance": 0, "confirm": False, "include_images": False, "parallel": 1})):
        assert "failed" not in site.module(module, **given, **arguments)
    queue = json.loads(next(site.library.parent.rglob("queue.json")).read_text(encoding="utf-8"))
    ada, grace = (site.home / name / "decisions.json" for name in ("ada", "grace"))
    for file in (ada, grace):
        file.parent.mkdir()
    ada.write_text(decided(queue, approved=[0]), encoding="utf-8")
    grace.write_text(decided(queue, different=[0]), encoding="utf-8")
    before = sha256(site.library)
    refused = site.playbook("review_import", dhash_review_decisions=[str(ada), str(grace)])
    assert refused.code != 0 and "the reviewers contradict each other" in " ".join(refused.failures())
    assert sha256(site.library) == before

    grace.write_text(decided(queue, approved=[1]), encoding="utf-8")
    imported = run_text(site, "review_import", dhash_review_decisions=f"{ada},{grace}", dhash_review_validate_only="false")
    assert imported.code == 0, imported.output
    images = {image["path"] for image in site.read()["images"]}
    assert not images & {match["image2"]["path"] for match in queue["matches"][:2]}
    assert site.read()["lcm_import"]["reviewedMatches"] == 2


@pytest.mark.matrix
def test_rate_in_percent_is_refused_before_any_change(site: Site) -> None:
    before = site.snapshot()
    run = run_text(site, "migrate", dhash_max_failure_rate="5", dhash_first_images="-1")
    told = " ".join(run.failures())
    assert run.code != 0 and "For 5 percent give 0.05" in told and "dhash_first_images must be at least 1, got -1" in told
    assert site.snapshot() == before


@pytest.mark.parametrize(("given", "meant", "where"), [
    ("dhash_first_image", "dhash_first_images", "command line"), ("dhash_review_validateonly", "dhash_review_validate_only", "inventory")])
def test_mistyped_variable_is_refused_before_any_change(site: Site, given: str, meant: str, where: str) -> None:
    before = site.snapshot()
    if where == "inventory":
        run = site.playbook("migrate", inventory=inventory_of(site, {"localhost": {given: True}}))
    else:
        run = run_text(site, "migrate", **{given: "5"})
    assert run.code != 0 and f"{given} is not a variable of mobius.dhash. Did you mean {meant}?" in " ".join(run.failures())
    assert site.snapshot() == before


@pytest.mark.matrix
def test_missing_library_is_said_without_a_templating_error(site: Site) -> None:
    run = site.playbook("migrate", dhash_library=None)
    assert [message.split(".")[0] for message in run.failures()] == ["missing required arguments: dhash_library"]


@pytest.mark.thorough
def test_later_playbook_ignores_results_of_earlier_one(site: Site) -> None:
    """migrate, rollback and verify in one run: verify looks at what the library is, not at what the rollback registered."""
    both = site.home / "both.yml"
    both.write_text("".join(f"- ansible.builtin.import_playbook: mobius.dhash.{name}\n" for name in ("migrate", "rollback", "migrate", "verify")),
                    encoding="utf-8")
    command = site.command("migrate", dhash_fleet_report_dir=str(site.home / "reports"))
    command[1] = str(both)
    shown = subprocess.run(command, cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False, timeout=2 * RUN_SECONDS)
    run = site.read_run(shown.returncode, shown.stdout)
    assert run.code == 0, run.output
    assert "Images with DHash after rollback" not in run.of("Show the result")["msg"]
    reports = sorted((site.home / "reports").iterdir())
    assert [json.loads((report / "fleet.json").read_text(encoding="utf-8"))["hosts"][0]["phase"] for report in reports] == ["verified"] * 2


def test_a_report_changes_no_host_and_is_checked_without_a_file(site: Site) -> None:
    directory = site.home / "shared" / "report"
    directory.parent.mkdir(mode=0o711)
    report: dict[str, Any] = {"directory": str(directory), "fallback_directory": "/proc/nowhere", "report": {"hosts": [{"images": 3}]}, "page": "<p>é</p>"}
    tasks = [{"name": name, "mobius.dhash.fleet_report": report, "check_mode": is_check, "register": "last"} for name, is_check in (
        ("Check", True), ("Write", False), ("Check again", True), ("Write again", False))]
    tasks.insert(1, {"name": "Look", "ansible.builtin.stat": {"path": str(directory)}})
    play = site.home / "report.yml"
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    command = site.command("migrate")
    command[1] = str(play)
    shown = subprocess.run(command, cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False, timeout=RUN_SECONDS)
    run = site.read_run(shown.returncode, shown.stdout)
    assert run.code == 0 and run.changed() == [] and run.of("Look")["stat"]["exists"] is False, run.output
    assert [(run.of(name)["directory"], run.of(name).get("warnings", [])) for name in ("Check", "Write", "Check again", "Write again")] \
        == [(str(directory), [])] * 4
    assert {path.name: (stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")) for path in directory.iterdir()} == {
        "fleet.json": (0o640, json.dumps(report["report"], indent=2, sort_keys=True) + "\n"), "index.html": (0o640, "<p>é</p>")}
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (directory, directory.parent)] == [0o750, 0o711]


@pytest.mark.thorough
def test_report_falls_back_to_the_home_of_the_operator(site: Site) -> None:
    blocked = "/proc/nowhere"  # not even root can make a directory there
    run = site.playbook("migrate", dhash_fleet_report_dir=f"{blocked}/reports")
    assert run.code == 0, run.output
    assert len(list((site.home / "mobius-dhash-reports").glob("*/fleet.json"))) == 1
    [warning] = run.of("Write the report")["warnings"]
    assert warning.startswith(f"The report is in {site.home}/mobius-dhash-reports/") and f"{blocked}" in warning


@pytest.mark.matrix
def test_unwritable_status_replaces_no_file_in_the_home(site: Site) -> None:
    library = site.home / "library.json"
    library.write_bytes(site.library.read_bytes())
    before = sha256(library)
    status = site.playbook("fleet_status", dhash_fleet_status_file="/proc/nowhere/library.json")
    assert status.code == 0 and sha256(library) == before, status.output
    [written] = (site.home / "mobius-dhash-reports").glob("fleet-status-*.json")
    assert json.loads(written.read_text(encoding="utf-8"))[0]["library"] == str(site.library)
    assert str(written) in status.of("Warn that the status is somewhere else")["msg"]


@pytest.mark.thorough
def test_report_without_any_directory_fails_no_run(make_site: Callable[[str], Site]) -> None:
    """Two hosts in one batch: the task that fails is run once for both."""
    sites = {host: make_site(host) for host in ("one", "two")}
    home = sites["one"].home
    (home / "mobius-dhash-reports").touch()
    inventory = inventory_of(sites["one"], {host: {"dhash_library": str(site.library), "dhash_state_dir": str(site.state)}
                                            for host, site in sites.items()})
    run = sites["one"].playbook("migrate", inventory=inventory, dhash_library=None, dhash_state_dir=None, dhash_serial=2,
                                dhash_fleet_report_dir="/proc/nowhere/reports")
    assert run.code == 0, run.output
    [warning] = run.of("Write the report", "one")["warnings"]
    assert warning.startswith("The report of this run could not be written.") and "/proc/nowhere" in warning and "Move this file away" not in warning
