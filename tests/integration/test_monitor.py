# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that is watched after a deploy: what turns bad so late is warned of, fails the run, or is taken back by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_service import Service
from conftest import IMAGES, ROOT, Run, Site, sha256, wait_for
from listeners import WebServer

SECONDS = 5
WELL, ILL = (200, '{"status": "ok"}'), (503, "out of order")
GATES = {"health": {"limit": 2}}
# The service is asked once before the migration and once after it; what comes then is the watch.
BEFORE_THE_WATCH = 2


@pytest.fixture
def service(service: Service) -> Service:
    service.settings |= {"dhash_monitor_minutes": SECONDS / 60, "dhash_monitor_gates": GATES}
    return service


def turns_ill(service: Service, polls: int) -> list[int]:
    """Let the service be ill after so many polls of the watch, until it is restarted once more."""
    asked = []

    def answer() -> tuple[int, str]:
        asked.append(service.restarts())
        return ILL if len(asked) > BEFORE_THE_WATCH + polls and service.restarts() == asked[BEFORE_THE_WATCH] else WELL

    service.answer = answer
    return asked


def watch(site: Site) -> Any:
    """The summary of the watch; None where there was none."""
    return site.module("library_info", library=str(site.library), state_dir=str(site.state), check_media=False)["watch"]


def polls(run: Run) -> list[str]:
    return [line for line in run.output.splitlines() if line.startswith("[localhost] poll ")]


def hashed(site: Site) -> int:
    return sum("dhash" in image for image in site.read()["images"])


@pytest.mark.thorough
def test_healthy_service_passes_and_a_second_run_watches_nothing(site: Site, service: Service) -> None:
    before = site.snapshot()
    check = site.playbook("migrate", "--check", **service.settings)
    assert check.code == 0, check.output
    foreseen = check.of("Show what a run would monitor")["msg"]
    assert foreseen.startswith(f"Would watch {service.url}") and f"for {SECONDS / 60} minutes" in foreseen
    assert site.snapshot() == before

    run = site.playbook("migrate", **service.settings)
    assert run.code == 0, run.output
    assert len(polls(run)) >= 4 and "health ok" in polls(run)[0]
    assert run.of("Show the summary")["msg"][0].startswith(f"Monitored for 0:0{SECONDS}: ")
    assert watch(site)["verdict"] == "passed" and watch(site)["pending"] is False
    assert not list(site.home.glob(".ansible_async/*"))

    tree = site.snapshot()
    again = site.playbook("migrate", **service.settings)
    assert again.code == 0 and again.changed() == [] and polls(again) == []
    assert site.snapshot() == tree


@pytest.mark.thorough
def test_health_that_degrades_after_the_deploy_is_rolled_back(site: Site, service: Service) -> None:
    before = site.library.read_bytes()
    turns_ill(service, polls=3)
    run = site.playbook("migrate", **service.settings)
    assert run.code != 0
    assert site.library.read_bytes() == before
    (message,) = run.failures()[-1:]
    assert f"{site.library}.bak." in message  # the verification had removed the library that the deploy kept
    assert [gate["gate"] for gate in watch(site)["broken"]] == ["health"]
    assert len(polls(run)) == 5
    evidence = watch(site)["evidence"]
    assert all(place in message for place in evidence)
    kept = json.loads(Path(evidence[0]).read_text(encoding="utf-8"))
    assert kept["evidence"]["poll"]["health"]["problem"] == "status"
    assert "ROLLBACK: " in Path(evidence[1]).read_text(encoding="utf-8")
    assert [verb for verb, _digest in service.told()] == ["stop", "start", "stop", "start"]
    assert "Traceback" not in run.output

    again = site.playbook("monitor", **service.settings)
    assert again.code == 0, again.output  # the library that was put back is what is watched now
    assert site.library.read_bytes() == before


@pytest.mark.thorough
def test_what_the_service_has_edited_since_is_kept(site: Site, service: Service) -> None:
    original = site.read()
    turns_ill(service, polls=3)
    well, asked = service.answer, []

    def edits_and_turns_ill() -> tuple[int, str]:
        asked.append(1)
        if len(asked) == BEFORE_THE_WATCH + 2:
            site.library.write_text(json.dumps({**site.read(), "edited": True}, indent=2), encoding="utf-8")
        return well()

    service.answer = edits_and_turns_ill
    run = site.playbook("migrate", **service.settings)
    assert run.code != 0 and "its edits are kept" in run.failures()[-1]
    library = site.read()
    assert library.pop("edited") is True
    assert library == original


@pytest.mark.thorough
def test_a_gate_that_fails_stops_the_run_and_leaves_the_library(site: Site, service: Service) -> None:
    log = site.home / "error.log"
    log.write_text("ERROR of old\n", encoding="utf-8")

    def complains() -> tuple[int, str]:
        with log.open("a", encoding="utf-8") as file:
            file.write("ERROR cannot bear it\n")
        return WELL

    service.answer = complains
    gates = {"error_log": {"limit": 1, "action": "fail"}, "disk": {"limit": 1e18}}
    run = site.playbook("migrate", **{**service.settings, "dhash_monitor_gates": gates}, dhash_monitor_error_log=str(log))
    assert run.code != 0 and hashed(site) == IMAGES - 5
    (message,) = run.failures()[-1:]
    assert "2 new lines in the error log, more than 1" in message
    assert {gate["gate"]: gate["action"] for gate in watch(site)["broken"]} == {"error_log": "fail", "disk": "warn"}
    assert "(gate disk, " in run.of("Warn of what is not as it should be")["results"][0]["msg"]
    assert [verb for verb, _digest in service.told()] == ["stop", "start"]

    again = site.playbook("migrate", **service.settings)
    assert again.code == 0 and polls(again) == [], again.output


@pytest.mark.thorough
def test_a_gate_that_warns_lets_the_run_go_on(site: Site, service: Service) -> None:
    service.settings["dhash_monitor_gates"] = {"health": {"limit": 1, "action": "warn"}}
    turns_ill(service, polls=1)
    run = site.playbook("migrate", **service.settings)
    assert run.code == 0, run.output
    (warning,) = run.of("Warn of what is not as it should be")["results"]
    assert warning["msg"].startswith("WARNING: ") and "(gate health, " in warning["msg"]
    assert hashed(site) == IMAGES - 5


@pytest.mark.thorough
def test_next_run_acts_on_the_outcome_of_an_orphaned_watch(site: Site, service: Service) -> None:
    before = site.library.read_bytes()
    asked = turns_ill(service, polls=3)
    with subprocess.Popen(site.command("migrate", **service.settings), cwd=ROOT, env=site.environment(), start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as controller:
        wait_for(lambda: len(asked) > BEFORE_THE_WATCH, "the first poll")
        os.killpg(controller.pid, signal.SIGKILL)
    found = wait_for(lambda: ((site.state.exists() and watch(site)) or {}).get("verdict") and watch(site), "the verdict")
    assert found["verdict"] == "rollback" and found["waits"] is True
    assert hashed(site) == IMAGES - 5
    (site.home / "task-results.jsonl").unlink(missing_ok=True)

    tree = site.snapshot()
    check = site.playbook("migrate", "--check", **service.settings)
    assert check.code == 0 and "Would first act on the last watch, whose verdict is rollback" in " ".join(check.output.split()), check.output
    assert site.snapshot() == tree
    run = site.playbook("migrate", **service.settings)
    assert run.code != 0 and [gate["gate"] for gate in watch(site)["broken"]] == ["health"], run.output
    assert site.library.read_bytes() == before
    assert watch(site)["waits"] is False


@pytest.mark.thorough
def test_monitor_playbook_rolls_back_long_after_the_deploy(site: Site, service: Service) -> None:
    before = sha256(site.library)
    site.migrate()
    assert watch(site) is None
    with contextlib.closing(WebServer()) as web:
        told: dict[str, Any] = {"dhash_notify": [{"type": "webhook", "url": web.url("/taken")}]}
        assert site.playbook("monitor", **service.settings, **told).code == 0
        service.answer = lambda: ILL if sha256(site.library) != before else WELL
        run = site.playbook("monitor", **service.settings, **told)
        assert run.code != 0 and "restored from" in run.failures()[-1], run.output
        assert [json.loads(request.body)["event"] for request in web.requests] == ["success", "rollback", "failure"]
    assert sha256(site.library) == before


def test_unknown_gate_or_action_is_refused_before_any_change(site: Site, service: Service) -> None:
    before = site.snapshot()
    for gates, named in (({"helth": {}}, "error_log"), ({"health": {"action": "explode"}}, "rollback")):
        run = site.playbook("migrate", **{**service.settings, "dhash_monitor_gates": gates})
        assert run.code != 0 and named in run.failures()[-1], run.output
    assert site.snapshot() == before


def test_monitor_with_nothing_to_check_says_so_and_does_not_wait(site: Site) -> None:
    run = site.playbook("migrate", dhash_monitor_minutes=30)
    assert run.code == 0 and "there is no dhash_health_url" in run.of("Report that nothing is monitored")["msg"]
    assert watch(site) is None
