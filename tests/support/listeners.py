# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers for the tests of notifications: one that takes messages, some that do not, and one for mail."""

from __future__ import annotations

import email
import email.policy
import socket
import socketserver
import threading
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

DRIP_SECONDS = 0.2
LONGEST_SECONDS = 60


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: str


class WebServer:
    """Takes what is posted, but at /fail (500), /hang (never answers), /drip (a byte now and then) and /elsewhere (a redirect)."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._ended = ended = threading.Event()
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                requests.append(Request(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                if self.path.startswith("/hang"):
                    ended.wait(LONGEST_SECONDS)
                elif self.path.startswith("/drip"):
                    for byte in b"HTTP/1.1 200 OK" * 100:
                        if ended.wait(DRIP_SECONDS):
                            return
                        self.wfile.write(bytes([byte]))
                elif self.path.startswith("/elsewhere"):
                    self.send_response(302)
                    self.send_header("Location", "/taken")
                    self.end_headers()
                else:
                    self.send_response(500 if self.path.startswith("/fail") else 200)
                    self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_args: Any) -> None:
                pass  # a client that has given up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def bodies(self, path: str) -> list[str]:
        return [request.body for request in self.requests if request.path == path]

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class MailServer:
    """Takes mail by SMTP (RFC 5321), and keeps it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        mails = self.mails

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

            def handle(self) -> None:
                self.say("220 test")
                while line := self.rfile.readline():
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.say("354 go on")
                        lines = []
                        while (text := self.rfile.readline()) != b".\r\n":
                            lines.append(text[1:] if text.startswith(b"..") else text)
                        mails.append(email.message_from_bytes(b"".join(lines), policy=email.policy.default))
                        self.say("250 taken")
                    elif verb == b"QUIT":
                        self.say("221 bye")
                        return
                    elif verb == b"RCPT" and b"nobody" in line:
                        self.say("550 no such user")
                    else:
                        self.say("250 test")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def closed_port() -> int:
    """A port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
