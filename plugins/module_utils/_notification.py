# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send one message to several targets at once, within a time limit for all of them; it runs on the controller.

Sources: Slack's incoming webhooks (https://api.slack.com/messaging/webhooks) and its escaping of text
(https://api.slack.com/reference/surfaces/formatting#escaping); RFC 9110 for the meaning of an HTTP status.
"""

from __future__ import annotations

import base64
import email.message
import email.utils
import http.client
import json
import smtplib
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ._errors import printable

EVENTS = ("start", "approval", "success", "failure", "rollback")
FIRST_PAUSE = 0.5  # seconds before an attempt is repeated; twice as long each time
WORTH_REPEATING = (408, 425, 429)  # and 500 or more
LONGEST_SLACK_TEXT = 3900  # Slack's advice is 4,000 characters
MAX_REASON = 200
LAST_PORT = 65535


class DeliveryResult(NamedTuple):
    """The result of a message to one target. ``reason`` is why it was not delivered; None if it was."""

    target: str
    reason: str | None


class DeliveryError(Exception):
    """A failed attempt. ``retryable``: another attempt may succeed."""

    def __init__(self, reason: str, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, so secrets in a URL or a header are not sent to another server."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


def deliver(targets: Sequence[dict[str, Any]], message: dict[str, Any], seconds: float, retries: int) -> list[DeliveryResult]:
    """Send ``message`` to each of ``targets`` that has its event, in parallel; returns one answer per target.

    Returns after at most ``seconds``. Targets that have not answered by then count as failed. A failed attempt is repeated at most
    ``retries`` times. A server that answers too late may get a message twice.
    """
    deadline = time.monotonic() + seconds
    wanted = [(number, target) for number, target in enumerate(targets, 1) if message["event"] in target["events"]]
    reasons: dict[int, str | None] = {}

    def work(number: int, target: dict[str, Any]) -> None:
        try:
            reasons[number] = _attempts(_sender(target, message), deadline, retries)
        except Exception as error:  # the traceback of a thread is not shown, and its text may contain a secret
            reasons[number] = f"the message could not be sent ({type(error).__name__})"

    # Daemon threads end with the process. A name lookup, or an answer that never ends, has no other limit.
    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silence = f"no answer within {seconds:g} s"
    return [DeliveryResult(name(number, target), reasons.get(number, silence)) for number, target in wanted]


def problems(targets: Sequence[dict[str, Any]]) -> list[str]:
    """The targets whose port cannot be the port of a server, each with its name. The text of a URL may be secret, and is not shown."""
    found = []
    for number, target in enumerate(targets, 1):
        try:
            port = target["port"] if target["type"] == "mail" else urllib.parse.urlsplit(target["url"]).port
            if port is None or 1 <= port <= LAST_PORT:
                continue
            got = f", got {port}"
        except ValueError:
            got = ""
        found.append(f"the port of target {name(number, target)} must be a number between 1 and {LAST_PORT}{got}")
    return found


def name(number: int, target: dict[str, Any]) -> str:
    """The name of a target in messages: its number, its type and its host. The rest of the URL may be secret."""
    if target["type"] == "mail":
        return f"{number} (mail by {printable(target['host'])})"
    try:
        host = urllib.parse.urlsplit(target["url"]).hostname
    except ValueError:
        host = None
    return f"{number} ({target['type']} {printable(host or 'without a host')})"


def slack_text(text: str) -> str:
    """``text`` escaped for Slack, so that it contains no links or mentions."""
    cut = text if len(text) <= LONGEST_SLACK_TEXT else text[:LONGEST_SLACK_TEXT] + " … (cut off)"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attempts(send: Callable[[float], None], deadline: float, retries: int) -> str | None:
    """The reason why no attempt succeeded; None if one did."""
    pause = FIRST_PAUSE
    for left in range(retries, -1, -1):
        try:
            send(max(0.1, (deadline - time.monotonic()) / (left + 1)))
            return None
        except DeliveryError as refusal:
            reason = str(refusal)
            if not refusal.retryable or not left or time.monotonic() + pause >= deadline:
                break
        time.sleep(pause)
        pause *= 2
    return reason


def _sender(target: dict[str, Any], message: dict[str, Any]) -> Callable[[float], None]:
    if target["type"] == "mail":
        return lambda seconds: _send_mail(target, message, seconds)
    if target["type"] == "slack":
        body: Any = {"text": slack_text(message["text"])}
    else:
        body = message if target["template"] is None else target["template"]
    return lambda seconds: _post(target, body, seconds)


def _post(target: dict[str, Any], body: Any, seconds: float) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "mobius.dhash",
               **{str(key): str(value) for key, value in (target["headers"] or {}).items()}}
    content = body if isinstance(body, str) else json.dumps(body)
    kind = next(value for key, value in reversed(list(headers.items())) if key.lower() == "content-type")
    if "json" in kind:
        try:
            json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DeliveryError(f"the template does not render to valid JSON: {printable(str(error))}", retryable=False) from None
    try:
        url, credentials = _without_credentials(target["url"])
        request = urllib.request.Request(url, content.encode(), {**headers, **credentials}, method="POST")
        opener = urllib.request.build_opener(NoRedirects, urllib.request.HTTPSHandler(context=_ssl_context(target)))
        with opener.open(request, timeout=seconds):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise DeliveryError(f"the server returned HTTP {error.code}", error.code >= 500 or error.code in WORTH_REPEATING) from None
    except urllib.error.URLError as error:
        raise DeliveryError(_reason(error.reason), retryable=not isinstance(error.reason, ssl.SSLCertVerificationError)) from None
    except OSError as error:
        raise DeliveryError(_reason(error), retryable=True) from None
    except (ValueError, http.client.HTTPException) as error:  # their texts may hold the URL
        raise DeliveryError(f"invalid URL or not an HTTP response ({type(error).__name__})", retryable=False) from None


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its user and password, and a header with them. Raises ``ValueError`` for an invalid URL."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("neither http nor https")
    if parts.username is None:
        return url, {}
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    authority = parts.netloc.rpartition("@")[2]
    return (urllib.parse.urlunsplit(parts._replace(netloc=authority)),
            {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()})


def _send_mail(target: dict[str, Any], message: dict[str, Any], seconds: float) -> None:
    try:
        mail = email.message.EmailMessage()
        mail["Subject"] = printable(message["text"].partition("\n")[0])[:MAX_REASON]
        mail["From"] = target["from"]
        mail["To"] = ", ".join(target["to"])
        mail["Date"] = email.utils.localtime()
        mail["Message-ID"] = email.utils.make_msgid()
        mail.set_content(message["text"])
        where = {"host": target["host"], "port": target["port"], "timeout": seconds}
        with (smtplib.SMTP_SSL(context=_ssl_context(target), **where) if target["secure"] == "always"
              else smtplib.SMTP(**where)) as server:
            if target["secure"] == "starttls":
                server.starttls(context=_ssl_context(target))
            if target["username"] is not None:
                server.login(target["username"], target["password"] or "")
            refused = server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
        raise DeliveryError(f"the server returned {error.smtp_code} {printable(said)[:MAX_REASON]}", error.smtp_code < 500) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise DeliveryError(_reason(error), retryable=not isinstance(error, (ValueError, ssl.SSLCertVerificationError))) from None
    if refused:
        raise DeliveryError(f"the server refused {len(refused)} of {len(target['to'])} recipients", retryable=False)


def _ssl_context(target: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target["ca_path"])
    if not target["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: object) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(str(text))[:MAX_REASON]
