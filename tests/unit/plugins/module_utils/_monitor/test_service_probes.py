# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rule for a healthy service: status, body, time, TLS and proxies."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Server:
    """Answers every request with ``status`` and ``body``."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"ok"
        self.requests: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                self.send_response(server.status)
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_args: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_args: object) -> None:
                pass  # a client that does not trust the certificate

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.address}/health"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def closed_address() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{closed.getsockname()[1]}"


def test_a_healthy_answer_has_a_listed_status(server: Server) -> None:
    for status in (200, 204):
        server.status, server.body = status, b""
        assert service_probes.health(server.url, None) == (True, "ok", None)
    for status in (404, 503):
        server.status = status
        assert service_probes.health(server.url, None) == (False, f"status {status}", "status")
        assert service_probes.health(server.url, None, [status]).healthy


def test_a_healthy_answer_matches_the_body(server: Server) -> None:
    server.body = b'{"status": "starting"}'
    health = service_probes.health(server.url, '"status": *"ok"')
    assert health.problem == "body" and '"status": *"ok"' in health.message and "starting" in health.message
    server.status = 401
    assert service_probes.health(server.url, "starting", [401]).healthy
    server.status, server.body = 204, b""
    assert service_probes.health(server.url, "ok").problem == "body"


def test_a_body_that_is_no_regular_expression_is_named(server: Server) -> None:
    health = service_probes.health(server.url, "status: (ok")
    assert health.problem == "pattern" and "status: (ok is not a regular expression" in health.message
    assert server.requests == []


def test_a_closed_port_and_a_wrong_url_are_named() -> None:
    health = service_probes.health(f"http://{closed_address()}/", None)
    assert health.problem == "connection" and "refused" in health.message
    assert service_probes.health("localhost:5001/health", None).problem == "url"


@pytest.mark.slow
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Unavailable\r\n\r\n", b"no HTTP at all\r\n\r\n"])
def test_an_answer_that_never_ends_takes_its_time_in_all(beginning: bytes) -> None:
    refused = beginning.startswith(b"no")  # at its first line, however long the rest takes
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def drip() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.sendall(beginning)
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b"x" if beginning else b"")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        started = time.monotonic()
        health = service_probes.health(f"http://127.0.0.1:{listener.getsockname()[1]}/", None, seconds=30 if refused else 0.5)
        assert not health.healthy and time.monotonic() - started < 10
        assert health.problem == ("connection" if refused else "timeout"), health
        ended.set()
        thread.join(10)  # a busy machine may have spent its time before it connected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loopback_address_is_never_asked_through_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("http_proxy", f"http://{closed_address()}")
    assert service_probes.health(server.url.replace("127.0.0.1", host), None).healthy


def test_a_proxy_that_fails_is_named_without_its_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = closed_address()
    monkeypatch.setenv("http_proxy", f"http://ada:secret@{proxy}")
    health = service_probes.health("http://198.51.100.1/health", None)
    assert health.problem == "proxy" and proxy in health.message and "secret" not in health.message
    monkeypatch.setenv("http_proxy", f"http://{server.address}")
    assert service_probes.health("http://198.51.100.1/health", None).healthy
    server.status = 407
    assert service_probes.health("http://198.51.100.1/health", None).problem == "proxy"
    monkeypatch.setenv("no_proxy", "198.51.100.1")
    assert service_probes._proxy("http://198.51.100.1/health") is None


def test_a_certificate_that_is_not_trusted_is_named(server: Server, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
                   .sign(key, hashes.SHA256()))
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    plain = service_probes.health(server.url.replace("http:", "https:"), None)
    assert plain.problem == "tls" and plain.message.startswith("TLS error")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    refused = service_probes.health(url, None)
    assert refused.problem == "certificate" and "TLS error" in refused.message and "self" in refused.message
    assert "dhash_health_validate_certs" in service_probes.FIXES[refused.problem]
    assert service_probes.health(url, None, validate_certs=False).healthy
