# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of a run: once for each event, with what happened, and whatever the one who is told does."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site, sha256, snapshot
from listeners import MailServer, WebServer, closed_port

HOSTS = ("canary", "second", "third")
SECRET = "T0SECRET"
TEMPLATE = """{"what": {{ dhash_notification.event | to_json }}, "why": {{ dhash_notification.failed | map(attribute='cause') | list | to_json }},
"hosts": {{ dhash_notification.hosts | length }}}"""
BROKEN = {"dhash_service_manager": "command", "dhash_start_command": "sh -c 'echo \"<b>no</b> {{ 7 }}\" >&2; exit 1'"}


class Listening(NamedTuple):
    """Hosts that are this machine, each with a library of its own, and servers that are told of what is done to them."""

    sites: dict[str, Site]
    web: WebServer
    mail: MailServer

    @property
    def site(self) -> Site:
        return self.sites["canary"]

    def run(self, playbook: str, *options: str, hosts: dict[str, Any] | None = None, notify: list[Any] | None = None, **variables: Any) -> Run:
        inventory = self.site.home / "hosts.yml"
        known = {host: {"dhash_library": str(site.library), "dhash_state_dir": str(site.state), **(hosts or {}).get(host, {})}
                 for host, site in self.sites.items()}
        others = {host: variables for host, variables in (hosts or {}).items() if host not in known}
        inventory.write_text(json.dumps({"all": {"hosts": {**others, **known}, "vars": {"dhash_notify": notify or [self.webhook()]}}}))
        return self.site.playbook(playbook, *options, inventory=inventory, dhash_library=None, dhash_state_dir=None, dhash_notify_total_timeout=3,
                                  **variables)

    def webhook(self, **given: Any) -> dict[str, Any]:
        return {"type": "webhook", "url": self.web.url(f"/hook/{SECRET}"), **given}

    def told(self, path: str = f"/hook/{SECRET}") -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.web.bodies(path)]


@pytest.fixture(scope="module")
def listen(make_site: Callable[[str], Site]) -> Iterator[Callable[..., Listening]]:
    servers: list[WebServer | MailServer] = []

    def make(*hosts: str) -> Listening:
        web, mail = WebServer(), MailServer()
        servers.extend([web, mail])
        return Listening({host: make_site(host) for host in hosts}, web, mail)

    yield make
    for server in servers:
        server.close()


class Failed(NamedTuple):
    place: Listening
    run: Run


@pytest.fixture(scope="module")
def failed(listen: Callable[..., Listening]) -> Failed:
    """A run in which the service of the second host does not start, with all kinds of targets, shown as verbosely as can be."""
    place = listen(*HOSTS)
    token = {"Authorization": f"Bearer {SECRET}"}
    notify = [
        place.webhook(headers=token),
        {"type": "slack", "url": place.web.url(f"/slack/{SECRET}"), "events": ["failure"]},
        {"type": "webhook", "url": place.web.url(f"/mine/{SECRET}"), "template": TEMPLATE},
        {"type": "mail", "host": "127.0.0.1", "port": place.mail.port, "to": ["team@example.org"], "events": ["failure"]},
        {"type": "webhook", "url": place.web.url(f"/hang/{SECRET}")},
        {"type": "webhook", "url": f"http://user:{SECRET}@127.0.0.1:{closed_port()}/{SECRET}"},
    ]
    reports = str(place.site.home / "reports")
    return Failed(place, place.run("migrate", "-vvv", "--diff", hosts={"second": BROKEN}, notify=notify, dhash_fleet_report_dir=reports))


@pytest.mark.thorough
def test_failed_run_notifies_start_rollback_and_failure_once(failed: Failed) -> None:
    assert failed.run.code != 0
    assert sorted(message["event"] for message in failed.place.told()) == ["failure", "rollback", "start"]
    start, failure, rollback = (next(message for message in failed.place.told() if message["event"] == event)
                                for event in ("start", "failure", "rollback"))
    assert start["hosts"] == list(HOSTS) and start["failed"] == [] and start["seconds"] < 60
    assert start["text"].startswith(f"migrate {start['run']} begins on 3 hosts: canary, second, third")
    assert (start["user"], start["controller"]) == (getpass.getuser(), socket.gethostname())
    (second,) = failure["failed"]
    library = failed.place.sites["second"].library
    assert (second["host"], second["phase"], second["put_back"]) == ("second", "rolled_back", f"{library}.pre-dhash")
    assert "Restart | Run the restart command" in second["cause"]
    assert (failure["not_started"], failure["run"], failure["images"], failure["changed"]) == (["third"], start["run"], 2 * IMAGES, 2)
    assert failure["report"].endswith(f"/reports/{start['run']}/index.html")
    assert f"second: {second['phase_text']} from {library}.pre-dhash. " in failure["text"] and ": third\n" in failure["text"]
    assert [host["host"] for host in rollback["put_back"]] == ["second"]
    assert {request.headers.get("authorization") for request in failed.place.web.requests if request.path.startswith("/hook")} == {f"Bearer {SECRET}"}


def test_slack_a_template_and_a_mail_get_what_they_are_made_for(failed: Failed) -> None:
    (slack,) = failed.place.told(f"/slack/{SECRET}")
    assert list(slack) == ["text"] and " failed on second" in slack["text"] and "<" not in slack["text"]
    mine = {message["what"]: message for message in failed.place.told(f"/mine/{SECRET}")}
    assert mine["start"] == {"what": "start", "why": [], "hosts": 3}
    assert len(mine) == 3 and "Restart | Run the restart command" in mine["failure"]["why"][0]
    (mail,) = failed.place.mail.mails
    assert " failed on second" in mail["Subject"] and ": third" in mail.get_content()


def test_unanswered_targets_are_named_without_any_secret(failed: Failed) -> None:
    warnings = [record["result"]["msg"] for record in failed.run.results
                if record["task"].endswith("Warn about targets that were not notified") and record["status"] == "ok"]
    assert len(warnings) >= 2
    assert warnings[0].startswith("WARNING: not told of the start: 5 (webhook 127.0.0.1): no answer in time; 6 (webhook 127.0.0.1): Connection refused")
    assert SECRET not in failed.run.output
    assert "WARNING: not told of the rollback and the failure" in failed.run.output


def test_the_report_says_who_was_told_of_the_start(failed: Failed) -> None:
    (report,) = (failed.place.site.home / "reports").glob("*/fleet.json")
    told = json.loads(report.read_text(encoding="utf-8"))["told_of_the_start"]
    assert told == ["1 (webhook 127.0.0.1)", "3 (webhook 127.0.0.1)"]


@pytest.mark.thorough
def test_batched_run_notifies_success_once_and_each_rollback(listen: Callable[..., Listening]) -> None:
    place = listen("canary", "second")
    run = place.run("migrate", dhash_require_notified=True)
    assert run.code == 0, run.output
    assert [message["event"] for message in place.told()] == ["start", "success"]
    success = place.told()[1]
    assert (success["images"], success["hashed"], success["errors"], success["changed"]) == (2 * IMAGES, 2 * (IMAGES - 5), 10, 2)
    assert success["report"] == ""
    assert f"succeeded on 2 hosts: canary, second\n{2 * IMAGES} images" in success["text"]
    place.web.requests.clear()
    (log,) = (place.site.library.parent / "logs").glob("*.operations-*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["operation"] for line in lines] == ["backup", "migration", "deploy", "verify"]
    assert all(line["controller"] == {"user": getpass.getuser(), "host": socket.gethostname(), "playbook": "migrate", "run": success["run"]}
               for line in lines)

    (place.sites["second"].library.parent / "library.json.pre-dhash").unlink(missing_ok=True)
    for backup in place.sites["second"].backups():
        backup.unlink()
    back = place.run("rollback")
    assert back.code != 0
    events = {message["event"]: message for message in place.told()}
    assert len(place.told()) == 3 and sorted(events) == ["failure", "rollback", "start"]
    assert [(host["host"], host["phase"]) for host in events["rollback"]["put_back"]] == [("canary", "restored")]
    assert [host["host"] for host in events["failure"]["failed"]] == ["second"]
    assert "there is no backup" in events["failure"]["failed"][0]["cause"]


def test_a_check_sends_nothing_and_says_who_would_be_told(listen: Callable[..., Listening]) -> None:
    place = listen("canary")
    run = place.run("migrate", "--check")
    assert run.code == 0, run.output
    assert place.web.requests == []
    assert "Would tell of the start: 1 (webhook 127.0.0.1)" in run.output


@pytest.mark.parametrize(("notify", "said"), [
    ([{"type": "webhook", "url": f"http://127.0.0.1:1/{SECRET}"}], "No target accepted the start notification"),
    ([{"type": "slakc", "url": f"http://127.0.0.1:1/{SECRET}"}], "value of type must be one of: webhook, slack, mail, got: slakc"),
    ([{"type": "webhook", "url": f"http://127.0.0.1:1/{SECRET}", "template": "{{ no_such_thing.at_all }}"}], "no_such_thing"),
], ids=["nobody", "wrong", "template"])
def test_undeliverable_or_invalid_target_stops_before_changes(
        listen: Callable[..., Listening], notify: list[Any], said: str) -> None:
    place = listen("canary")
    before = (sha256(place.site.library), snapshot(place.site.folder, without=place.site.home))
    run = place.run("migrate", "-vvv", notify=notify, dhash_require_notified=True)
    assert run.code != 0 and said in " ".join(run.output.split()), run.output
    *_others, message, end = run.failures("canary")
    assert end.startswith('canary: the run ends at "Notify | ') and message not in end
    assert SECRET not in run.output
    assert (sha256(place.site.library), snapshot(place.site.folder, without=place.site.home)) == before


def test_a_batch_that_cannot_be_reached_at_all_is_told_too(listen: Callable[..., Listening]) -> None:
    place = listen("canary")
    gone = {"gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_timeout": 2,
                     "dhash_library": "/srv/library.json"}}
    before = sha256(place.site.library)
    run = place.run("migrate", hosts=gone)
    assert run.code != 0 and "No answer from gone. The run stops here" in " ".join(run.output.split())
    assert sha256(place.site.library) == before
    start, failure = place.told()
    assert start["hosts"] == ["gone", "canary"]
    assert (failure["event"], failure["unreachable"], failure["not_started"]) == ("failure", ["gone"], ["canary"])
