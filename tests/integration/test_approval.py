# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that waits for an approval after its canary."""

from __future__ import annotations

import http.server
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import IMAGES, ROOT, RUN_SECONDS, Run, Site, snapshot, wait_for
from listeners import WebServer
from test_fleet import Fleet

APPROVAL: dict[str, Any] = {"dhash_approve_after_canary": "true", "__dhash_approval_seconds": 1}
TWO = ("--limit", "canary,second")


def untouched(fleet: Fleet, *hosts: str) -> dict[str, Any]:
    return {host: snapshot(fleet.sites[host].folder, without=fleet.site.home) for host in hosts}


def is_migrated(site: Site) -> bool:
    return sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5


def is_unlocked(site: Site) -> bool:
    return not site.module("library_backup", library=str(site.library), state_dir=str(site.state), lock_timeout=0).get("failed")


@pytest.fixture
def fleet(make_site: Callable[[str], Site]) -> Fleet:
    return Fleet(make_site)


class Waiting:
    """A run of the playbook migrate that goes on while the test looks at it. ``terminal`` is its standard input, if it has one."""

    def __init__(self, fleet: Fleet, *options: str, terminal: bool = False, **variables: Any) -> None:
        self._fleet = fleet
        self.output = fleet.site.home / "output"
        command = fleet.command("migrate", *options, **variables)
        stdin: int = subprocess.DEVNULL
        if terminal:
            self.keyboard, stdin = pty.openpty()
            command = ["setsid", "--ctty", *command]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, cwd=ROOT, env=fleet.site.environment(PYTHONUNBUFFERED="1"), stdin=stdin, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=not terminal)
        if terminal:
            os.close(stdin)

    def shown(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_until_shown(self, text: str) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while text not in self.shown():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(self.shown())
            time.sleep(0.1)

    def end(self) -> Run:
        code = self.process.wait(timeout=RUN_SECONDS)
        return self._fleet.site.read_run(code, self.shown())


def asked(run: Run) -> int:
    return len([result for result in run.results if result["task"].endswith("Run | Show how to approve")])


def phases(fleet: Fleet) -> dict[str, str]:
    return {host: entry["phase"] for host, entry in fleet.report().items()}


def test_later_hosts_wait_for_the_id_of_the_run_in_a_file(fleet: Fleet) -> None:
    approval = fleet.site.home / "approval"
    approval.write_text("20260101T000000Z\n", encoding="utf-8")
    options: dict[str, Any] = {**APPROVAL, "dhash_approval_file": os.path.relpath(approval, ROOT), "dhash_serial": 1}
    hosts = ("--limit", "canary,second,mate")
    before = untouched(fleet, "second", "mate")
    waiting = Waiting(fleet, *hosts, **options)
    waiting.wait_until_shown("RETRYING")
    assert is_migrated(fleet.site) and untouched(fleet, "second", "mate") == before
    assert is_unlocked(fleet.sites["second"]) and is_unlocked(fleet.site)
    assert phases(fleet) == {"canary": "verified", "second": "awaiting_approval", "mate": "not_started"}
    approval.write_text(max(fleet.reports.iterdir()).name, encoding="utf-8")
    run = waiting.end()
    assert run.code == 0, run.output
    assert asked(run) == 1
    assert all(is_migrated(fleet.sites[host]) for host in ("canary", "second", "mate"))
    assert set(phases(fleet).values()) == {"verified"}

    again = fleet.run("migrate", *hosts, **options)
    assert again.code == 0 and again.changed() == [] and asked(again) == 0, again.output


def test_a_run_that_nobody_approves_ends_as_it_stands(fleet: Fleet) -> None:
    log = fleet.site.home / "hooks.log"
    hooks = fleet.site.home / "hooks"
    hooks.mkdir()
    for hook in ("before_prerequisites", "on_failure"):
        (hooks / f"{hook}.yml").write_text(f'[{{"ansible.builtin.shell": "echo {hook} {{{{ inventory_hostname }}}} >> {log}"}}]', encoding="utf-8")
    before = untouched(fleet, "second", "mate", "third")
    options: dict[str, Any] = {**APPROVAL, "dhash_serial": [1, 2, "100%"], "dhash_hooks": str(hooks), "dhash_approval_file": str(fleet.site.home / "approval")}
    server = WebServer()
    try:
        run = fleet.run("migrate", **options, dhash_approval_minutes="0.03", dhash_notify=[{"type": "webhook", "url": server.url("/x")}])
    finally:
        server.close()
    start, wait, end = (json.loads(request.body) for request in server.requests)
    assert run.code == 2, run.output
    message = run.failures("second")[-1]
    for part in ("was not approved within 0.03 minutes", "Done: canary.", "Not changed: second, mate and 1 more after them.",
                 "run the same command again", "ansible-playbook mobius.dhash.rollback --limit canary"):
        assert part in message
    assert phases(fleet) == {"canary": "verified", "second": "not_approved", "mate": "not_approved", "third": "not_started"}
    assert untouched(fleet, "second", "mate", "third") == before
    assert log.read_text(encoding="utf-8").splitlines() == ["before_prerequisites canary"]
    assert (wait["event"], [entry["phase"] for entry in wait["details"]]) == ("approval", ["verified", *["awaiting_approval"] * 2, "not_started"])
    assert wait["text"].startswith(f"migrate {end['run']} waits for an approval before it changes second, mate\nRun {end['run']} waits for an approval.")
    assert "To approve, run on the controller: echo" in wait["text"] and wait["report"] == end["report"]
    assert (start["event"], end["event"], end["not_approved"], end["changed"]) == ("start", "failure", ["second", "mate"], 1)
    assert "was not approved\nNot approved, and not changed: second, mate\nNot started: third" in end["text"]

    check = fleet.run("migrate", "--check", **{**options, "dhash_approval_file": None})
    assert check.code == 0 and "would wait for an approval before it changes second, mate" in check.output, check.output


@pytest.mark.thorough
def test_an_interrupted_wait_leaves_nothing_behind(fleet: Fleet) -> None:
    before = untouched(fleet, "second")
    options: dict[str, Any] = {**APPROVAL, "dhash_approval_file": str(fleet.site.home / "approval")}
    waiting = Waiting(fleet, *TWO, **options)
    waiting.wait_until_shown("RETRYING")
    os.killpg(waiting.process.pid, signal.SIGINT)
    assert waiting.end().code != 0
    assert untouched(fleet, "second") == before and is_unlocked(fleet.sites["second"]) and is_unlocked(fleet.site)
    assert phases(fleet) == {"canary": "verified", "second": "awaiting_approval"}


@pytest.mark.parametrize(("typed", "minutes", "code", "said"), [
    pytest.param("yes\r", 60, 0, "", marks=pytest.mark.matrix),
    pytest.param("no\r", 60, 2, "(answer: no)", marks=pytest.mark.thorough),
    pytest.param("\x03", 60, 2, "(answer: none)", marks=pytest.mark.thorough),
    pytest.param("yes", "0.05", 2, "(answer: none)", marks=pytest.mark.thorough),  # without the Enter key
], ids=["yes", "no", "ctrl-c", "time-limit"])
def test_a_terminal_is_asked(fleet: Fleet, typed: str, minutes: int | str, code: int, said: str) -> None:
    before = untouched(fleet, "second")
    waiting = Waiting(fleet, *TWO, terminal=True, **APPROVAL, dhash_approval_minutes=minutes)
    waiting.wait_until_shown("type yes")
    time.sleep(1)  # Ansible discards what was typed before
    os.write(waiting.keyboard, typed.encode())
    run = waiting.end()
    os.close(waiting.keyboard)
    assert run.code == code and said in "".join(run.failures("second")), run.output
    assert is_migrated(fleet.site) and is_migrated(fleet.sites["second"]) == (code == 0)
    assert code == 0 or untouched(fleet, "second") == before


@pytest.mark.thorough
def test_a_url_approves_if_its_answer_has_the_id_of_the_run(fleet: Fleet) -> None:
    answers = [(404, ""), (200, "pending")]
    asked_for: list[str] = []

    class Approvals(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append(self.path)
            code, text = answers.pop(0) if answers else (200, max(fleet.reports.iterdir()).name)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Approvals) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = fleet.run("migrate", *TWO, **APPROVAL, dhash_approval_url=f"http://127.0.0.1:{server.server_address[1]}/secret-path")
        server.shutdown()
    assert run.code == 0 and is_migrated(fleet.sites["second"]), run.output
    assert len(asked_for) == 3 and "secret-path" not in run.output


@pytest.mark.parametrize(("variables", "said"), [
    pytest.param({}, "started without a terminal", marks=pytest.mark.matrix),
    pytest.param({"awx_job_id": 7}, "a job of AWX has no prompt", marks=pytest.mark.thorough),
    pytest.param({"dhash_approval_file": "/missing/approval"}, "/missing is not a folder", marks=pytest.mark.thorough),
    pytest.param({"dhash_approval_file": "/"}, "/ is a folder", marks=pytest.mark.thorough),
    pytest.param({"dhash_approval_url": "file:///etc/passwd"}, "not an http or https URL", marks=pytest.mark.thorough),
    ({"dhash_serial": "100%", "dhash_approval_file": "/tmp/approval"}, "no host is a canary"),
], ids=["terminal", "awx", "folder", "directory", "url", "one-batch"])
def test_a_run_that_nobody_can_approve_is_refused_at_once(fleet: Fleet, variables: dict[str, Any], said: str) -> None:
    before = untouched(fleet, "second", "canary")
    run = fleet.run("migrate", *TWO, **APPROVAL, **variables)
    assert run.code == 2 and said in run.failures("canary")[0], run.output
    assert untouched(fleet, "second", "canary") == before


@pytest.mark.thorough
def test_a_canary_that_fails_and_a_single_host_ask_for_nothing(fleet: Fleet) -> None:
    alone = fleet.run("migrate", "--limit", "second", **APPROVAL)
    assert alone.code == 0 and is_migrated(fleet.sites["second"]) and asked(alone) == 0, alone.output
    before = untouched(fleet, "mate")
    failed = fleet.run("migrate", "--limit", "canary,mate", **APPROVAL, dhash_approval_file=str(fleet.site.home / "approval"), dhash_max_failure_rate=0)
    assert failed.code == 2 and asked(failed) == 0 and untouched(fleet, "mate") == before, failed.output


@pytest.mark.thorough
def test_a_host_left_stopped_is_started_before_the_wait(fleet: Fleet) -> None:
    log = fleet.site.home / "service.log"
    hooks = fleet.site.home / "hooks"
    hooks.mkdir()
    for hook in ("before_stop", "after_verify"):
        (hooks / f"{hook}.yml").write_text(f'[{{"ansible.builtin.shell": "echo {hook} >> {log}"}}]', encoding="utf-8")
    service: dict[str, Any] = {"dhash_service_manager": "command", "dhash_start_command": f"sh -c 'echo start >> {log}'", "dhash_hooks": str(hooks)}
    killed = Waiting(fleet, "--limit", "second", **service, dhash_stop_command=f"sh -c 'echo stop >> {log}; touch {fleet.site.home}/stopping; sleep 600'")
    wait_for((fleet.site.home / "stopping").exists, "the stop")
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    log.write_text("", encoding="utf-8")
    approval = fleet.site.home / "approval"
    waiting = Waiting(fleet, *TWO, **APPROVAL, **service, dhash_stop_command=f"sh -c 'echo stop >> {log}'", dhash_approval_file=str(approval))
    waiting.wait_until_shown("RETRYING")
    canary = ["before_stop", "stop", "start", "after_verify"]
    assert log.read_text(encoding="utf-8").split() == [*canary, "start", "after_verify"]
    approval.write_text(max(fleet.reports.iterdir()).name, encoding="utf-8")
    run = waiting.end()
    assert run.code == 0 and log.read_text(encoding="utf-8").split() == [*canary, "start", "after_verify", *canary], run.output
