# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent to whom, how long it may take at most, and what an operator sees of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _notification
from listeners import MailServer, WebServer, closed_port

LIMIT = 1.0
SCHEDULING = 1.0  # what a busy machine may add
HOSTILE = 'it said "no"\nand {{ 7 * 7 }} <!channel> & \\ \x1b[31m'
MESSAGE = {"event": "failure", "text": f"migrate failed on a\n{HOSTILE}", "failed": [{"host": "a", "cause": HOSTILE}]}


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


def target(**given: Any) -> dict[str, Any]:
    return {"type": "webhook", "events": list(_notification.EVENTS), "url": None, "template": None, "headers": None, "to": None, "host": "127.0.0.1",
            "port": 25, "secure": "never", "username": None, "password": None, "validate_certs": True, "ca_path": None, "from": "a@example.org", **given}


def reasons(targets: list[dict[str, Any]], seconds: float = 10, retries: int = 2) -> list[str | None]:
    return [answer.reason for answer in _notification.deliver(targets, MESSAGE, seconds, retries)]


def test_webhook_gets_the_whole_message_as_json_with_headers(web: WebServer) -> None:
    assert reasons([target(url=web.url("/taken?key=1"), headers={"X-Token": 7})]) == [None]
    (request,) = web.requests
    assert (request.path, json.loads(request.body)) == ("/taken?key=1", MESSAGE)
    assert (request.headers["content-type"], request.headers["x-token"]) == ("application/json", "7")


def test_slack_gets_a_text_in_which_nothing_is_a_mention(web: WebServer) -> None:
    assert reasons([target(type="slack", url=web.url("/slack"))]) == [None]
    sent = json.loads(web.requests[0].body)
    assert list(sent) == ["text"]
    assert "&lt;!channel&gt; &amp;" in sent["text"] and "<" not in sent["text"]
    assert len(_notification.slack_text("x" * 100_000)) < 4000


def test_template_is_sent_verbatim_unless_its_json_is_invalid(web: WebServer) -> None:
    made = json.dumps({"mine": HOSTILE})
    plain = {"content-type": "text/plain"}
    answers = reasons([target(url=web.url("/a"), template=made), target(url=web.url("/b"), template='{"mine": "it said "no""}'),
                       target(url=web.url("/c"), template="plain text", headers=plain), target(url=web.url("/d"), template={"mine": 1})])
    assert answers[0] is None and answers[2:] == [None, None]
    assert str(answers[1]).startswith("the template does not render to valid JSON: Expecting ',' delimiter: line 1")
    assert {request.path: request.body for request in web.requests} == {"/a": made, "/c": "plain text", "/d": '{"mine": 1}'}


def test_mail_has_the_first_line_as_subject_and_the_text_as_body(mail: MailServer) -> None:
    assert reasons([target(type="mail", port=mail.port, to=["team@example.org", "boss@example.org"])]) == [None]
    (sent,) = mail.mails
    assert (sent["Subject"], sent["To"], sent["From"]) == ("migrate failed on a", "team@example.org, boss@example.org", "a@example.org")
    assert 'it said "no"' in sent.get_content()
    assert reasons([target(type="mail", port=mail.port, to=["nobody@example.org"])]) == ["the server refused 1 of 1 recipients"]
    assert reasons([target(type="mail", port=mail.port, to=["a@example.org\nBcc: b@example.org"])], retries=0)[0] is not None
    assert len(mail.mails) == 1


def test_only_who_wants_an_event_is_told(web: WebServer) -> None:
    answers = _notification.deliver([target(url=web.url("/a"), events=["start"]), target(url=web.url("/b"))], MESSAGE, 10, 0)
    assert [answer.target for answer in answers] == ["2 (webhook 127.0.0.1)"]
    assert [request.path for request in web.requests] == ["/b"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_unresponsive_server_delays_nobody_beyond_the_timeout(web: WebServer, path: str) -> None:
    started = time.monotonic()
    answers = reasons([target(url=web.url(path)), target(url=web.url(path)), target(url=web.url("/taken"))], LIMIT)
    assert time.monotonic() - started < LIMIT + SCHEDULING
    assert answers[2] is None
    assert all(str(answer).startswith("no answer") for answer in answers[:2])


def test_failing_or_refusing_server_is_retried_then_given_up(web: WebServer) -> None:
    assert reasons([target(url=web.url("/fail")), target(url=f"http://127.0.0.1:{closed_port()}/x"),
                    target(type="mail", to=["a@b"], port=closed_port())], retries=1) == [
                        "the server returned HTTP 500", "Connection refused", "Connection refused"]
    assert len(web.bodies("/fail")) == 2


def test_no_redirect_is_followed_and_no_other_protocol_spoken(web: WebServer) -> None:
    assert reasons([target(url=web.url("/elsewhere")), target(url="file:///etc/passwd"), target(url="http://[::1"), target(url="http:///path")]) == [
        "the server returned HTTP 302", *["invalid URL or not an HTTP response (ValueError)"] * 3]
    assert [request.path for request in web.requests] == ["/elsewhere"]


def test_url_credentials_become_a_header_and_only_the_host_shows(web: WebServer) -> None:
    secret = f"http://user:pass%40word@127.0.0.1:{web.port}/fail/services/T0/B0?token=topsecret"
    (answer,) = _notification.deliver([target(url=secret)], MESSAGE, 10, 0)
    assert answer == ("1 (webhook 127.0.0.1)", "the server returned HTTP 500")
    assert web.requests[0].headers["authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_a_problem_of_its_target(port: int) -> None:
    mail = target(type="mail", to=["a@example.org"], host="mail.example.org", port=port)
    hook = target(url=f"https://hooks.example.org:{port}/T0SECRET")
    problems = _notification.problems([target(url="https://hooks.example.org/x"), mail, hook, target(type="mail", port=65535), target(url="http://a:1/")])
    assert problems[0] == f"the port of target 2 (mail by mail.example.org) must be a number between 1 and 65535, got {port}"
    assert problems[1].startswith("the port of target 3 (webhook hooks.example.org) must be a number between 1 and 65535")
    assert len(problems) == 2 and "T0SECRET" not in "".join(problems)


@pytest.mark.parametrize("url", ["https://hooks.example.org:https/T0SECRET", "https://hooks.example.org:4 4/T0SECRET"])
def test_a_port_that_is_no_number_is_a_problem_of_its_target(url: str) -> None:
    assert _notification.problems([target(url=url)]) == ["the port of target 1 (webhook hooks.example.org) must be a number between 1 and 65535"]


def test_a_url_that_cannot_be_read_is_left_to_the_delivery() -> None:
    assert _notification.problems([target(url=url) for url in ("", "hooks", "mailto:a@example.org")]) == []
