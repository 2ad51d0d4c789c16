# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probes of the monitoring: the health URL, the service, its memory, the library, the disk.

A probe raises no error for a bad result, and takes at most ``SECONDS``. An unknown value is None.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._errors import DhashError, printable
from .._files import bounded_reads
from .._library import library_index

SECONDS = 10
MAX_ANSWER = 64 << 10
SHOWN = 200  # characters of a text from outside
HEALTHY_STATUS = (200, 204)
CANNOT_BE_RUN = (126, 127)  # exit codes of a shell that did not find a program, or may not run it
PROXY_AUTHENTICATION_REQUIRED = 407
FIXES = {  # problem: what to do about it
    "connection": "Start the service that should answer at this address.",
    "timeout": "Check the log of the service: the answer was not completed.",
    "status": "Check the log of the service, or add the status to dhash_health_status.",
    "body": "Check the log of the service, or correct dhash_health_body.",
    "pattern": "Correct dhash_health_body.",
    "url": "Correct the URL.",
    "certificate": "Install the certificate of its CA on this host, or set dhash_health_validate_certs: false.",
    "tls": "Check whether the URL has to begin with http:// or https://, and the TLS settings of the server.",
    "proxy": "Correct the proxy settings of this host (http_proxy, https_proxy), or add the server to no_proxy.",
}
# The properties of a unit that name the units which stop with it, systemd.unit(5).
STOPPED_WITH = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")
SYSTEMD_FACTS = "LoadState,ActiveState,SubState,MainPID,MemoryCurrent"


class Health(NamedTuple):
    """The answer of a health URL. ``problem`` is a key of ``FIXES``, None for a healthy service."""

    healthy: bool
    message: str
    problem: str | None = None


class Service(NamedTuple):
    """The state of a service by its manager. ``memory`` in bytes. None: unknown."""

    running: bool | None
    message: str
    memory: int | None = None


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after ``seconds``. The timeout of a socket does not stop a slow answer that never ends."""
    def stop(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"no complete answer within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def health(url: str, body: str | None, status: Sequence[int] = HEALTHY_STATUS, validate_certs: bool = True,
           seconds: float = SECONDS) -> Health:
    """Ask ``url``: healthy is one of ``status``, and ``body``, a regular expression, found in the answer. Main thread only.

    A proxy is never used for a loopback address, because the host of the proxy would answer.
    """
    proxy = None
    try:
        pattern = re.compile(body or "")
    except re.error as error:
        return Health(False, f"{printable(str(body))[:SHOWN]} is not a regular expression: {error}", "pattern")
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a URL begins with http:// or https:// and names a server")
        with time_limit(seconds):
            proxy = _proxy(url)
            found, content = _get(url, proxy is not None, validate_certs, seconds)
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem, message = _explain(error, proxy)
        return Health(False, message + (f" (through the proxy {proxy})" if proxy else ""), problem)
    if proxy and found == PROXY_AUTHENTICATION_REQUIRED:
        return Health(False, f"the proxy {proxy} answered with status {found}", "proxy")
    if found not in status:
        return Health(False, f"status {found}" + (f" (through the proxy {proxy})" if proxy else ""), "status")
    text = content.decode("utf-8", "replace")
    if not pattern.search(text):
        return Health(False, f"the answer does not match {printable(str(body))[:SHOWN]}: {printable(text[:SHOWN])}", "body")
    return Health(True, "ok")


def _get(url: str, use_proxy: bool, validate_certs: bool, seconds: float) -> tuple[int, bytes]:
    from ansible.module_utils.urls import open_url  # here, because it takes longer to import than a look at a service does

    try:
        with open_url(url, timeout=seconds, follow_redirects="safe", use_netrc=False, use_proxy=use_proxy,
                      validate_certs=validate_certs) as answer:
            return answer.getcode(), answer.read(MAX_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MAX_ANSWER)


def _proxy(url: str) -> str | None:
    """The proxy that this host uses for ``url``, without its password; None if there is none, or the address is a loopback one."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc) or _is_loopback(parts.hostname or ""):
        return None
    return printable(proxy.rpartition("@")[2] if "@" in proxy else proxy)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        addresses = {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)}
    except OSError:  # only the proxy can resolve the name
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _explain(error: Exception, proxy: str | None) -> tuple[str, str]:
    """The kind of problem, and its text."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    message = printable(str(reason) or type(reason).__name__)[:SHOWN]
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "certificate", f"TLS error, the certificate is not trusted: {printable(reason.verify_message or message)[:SHOWN]}"
    if isinstance(reason, ssl.SSLError):
        return "tls", f"TLS error: {message}"
    if isinstance(reason, TimeoutError):
        return "timeout", message
    if isinstance(error, ValueError):
        return "url", f"invalid URL: {message}"
    if proxy and isinstance(reason, OSError):
        return "proxy", f"proxy error: {message}"
    return "connection", message


def service(manager: str, name: str | None, scope: str, command: str | None) -> Service | None:
    """Ask the manager of the service with its own program. None if there is no manager to ask."""
    if manager == "command":
        return _ask_command(command) if command else None
    ask = {"systemd": _ask_systemd, "docker": _ask_docker, "pm2": _ask_pm2}.get(manager)
    return ask(name, scope) if ask and name else None


def _ask_command(command: str) -> Service:
    checked = _run(["/bin/sh", "-nc", command])
    if isinstance(checked, str):
        return Service(None, checked)
    if checked.returncode != 0:
        return Service(None, f"incomplete command: {_said(checked)}")
    done = _run(["/bin/sh", "-c", command])
    if isinstance(done, str):
        return Service(None, done)
    if done.returncode in CANNOT_BE_RUN:
        return Service(None, f"the command cannot be run: {_said(done)}")
    return Service(done.returncode == 0, "running" if done.returncode == 0 else f"exit code {done.returncode}")


def dependents(name: str, scope: str) -> list[str]:
    """The active systemd units that a stop of the unit ``name`` stops with it, in the order of their names.

    Raises ``DhashError`` if systemctl does not answer.
    """
    found: dict[str, bool] = {}
    left = [name]
    while left:
        shown = _show_units(left, f"Id,ActiveState,{','.join(STOPPED_WITH)}", scope)
        if isinstance(shown, str):
            raise DhashError(f"the units that stop with {printable(name)} are not known: {shown}",
                             next_step="Check that systemctl answers on this host, then run again.")
        left = []
        for facts in shown:
            found[facts.get("Id", "")] = facts.get("ActiveState") in ("active", "activating", "reloading")
            left += [unit for kind in STOPPED_WITH for unit in facts.get(kind, "").split()]
        left = sorted(set(left) - found.keys())
    itself = next(iter(found))
    return sorted(unit for unit, is_active in found.items() if is_active and unit != itself)


def is_removed_when_stopped(name: str) -> bool:
    """Whether the container was started with ``--rm``: a stop removes it. False if docker cannot tell."""
    done = _run(["docker", "container", "inspect", "--format", "{{json .HostConfig.AutoRemove}}", "--", name])
    return not isinstance(done, str) and done.returncode == 0 and _json(done.stdout) is True


def _show_units(names: Sequence[str], properties: str, scope: str) -> list[dict[str, str]] | str:
    """The ``properties`` of each unit, or the reason why they are unknown."""
    user = scope == "user"
    environment = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"} if user else None
    whose = ["--user"] if user else []
    done = _run(["systemctl", *whose, "show", f"--property={properties}", "--", *names], environment)
    if isinstance(done, str):
        return done
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in done.stdout.split("\n\n")]
    units = [facts for facts in blocks if "ActiveState" in facts]
    return units or _said(done)


def _ask_systemd(name: str, scope: str) -> Service:
    shown = _show_units([name], SYSTEMD_FACTS, scope)
    if isinstance(shown, str):
        return Service(None, shown)
    facts = shown[0]
    is_there = facts.get("LoadState") == "loaded"
    message = f"{facts['ActiveState']} ({facts.get('SubState', '')})" if is_there else "not found"
    memory = facts.get("MemoryCurrent", "")
    return Service(facts["ActiveState"] in ("active", "reloading"), printable(message)[:SHOWN],
                   int(memory) if memory.isdecimal() and int(memory) < 1 << 63 else _resident(facts.get("MainPID")))


def _ask_docker(name: str, _scope: str) -> Service:
    done = _run(["docker", "container", "inspect", "--format", "{{json .State}}", "--", name])
    if isinstance(done, str):
        return Service(None, done)
    if done.returncode != 0:
        return Service(False if "no such container" in done.stderr.lower() else None, _said(done))
    state = _json(done.stdout)
    if not isinstance(state, dict):
        return Service(None, "docker did not answer with JSON")
    running = state.get("Running") is True and not state.get("Restarting") and not state.get("Paused")
    return Service(running, printable(str(state.get("Status")))[:SHOWN], _resident(state.get("Pid")))


def _ask_pm2(name: str, _scope: str) -> Service:
    done = _run(["pm2", "jlist"])
    if isinstance(done, str):
        return Service(None, done)
    # Before the list pm2 may print that it started its daemon, or that an update is available.
    processes = next((found for line in done.stdout.splitlines() if isinstance(found := _json(line), list)), None)
    if processes is None:
        return Service(None, "pm2 did not answer with JSON")
    named = [process for process in processes
             if isinstance(process, dict) and name in (process.get("name"), str(process.get("pm_id")))]
    states = [process.get("pm2_env", {}).get("status") for process in named if isinstance(process.get("pm2_env"), dict)]
    memory = [_resident(process.get("pid")) for process in named]
    message = printable(", ".join(map(str, states)))[:SHOWN] or "not found"
    return Service(bool(states) and set(states) == {"online"}, message, sum(filter(None, memory)) or None)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str] | str:
    """The finished program, or the reason why it gave no answer."""
    try:
        return subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS, env=environment,
            check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not answer within {SECONDS} s"
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return printable(" ".join((done.stderr or done.stdout).split()))[:SHOWN] or f"exit code {done.returncode}"


def _json(text: str) -> Any:
    try:
        return bounded_reads.parse_json(text)
    except ValueError:
        return None


def _resident(process: Any) -> int | None:
    """The bytes of memory that a process holds (VmRSS, proc(5)); None if that is unknown."""
    with contextlib.suppress(OSError, ValueError, TypeError), open(f"/proc/{int(process)}/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return None


class Library:
    """Probes a library, and reads it only if it has changed since the last probe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._facts: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """``readable``, the reason ``message`` if it is not, ``sha256``, counts, and average and p95 of the last migration (ms)."""
        try:
            status = os.stat(self._path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if seen != self._seen:
                read, digest = library_index.read(self._path)
                self._facts = {"readable": True, "says": "", "sha256": digest, **_of(read)}
                self._seen = seen
            return self._facts
        except (OSError, DhashError) as error:
            self._seen = None
            return {"readable": False, "says": printable(str(error))[:SHOWN]}


def _of(read: library_index.Index) -> dict[str, Any]:
    counts = read.counts()
    record = read.rest.get("dhash_migration")
    times: dict[str, Any] = {
        name: record.get(field) if isinstance(record, dict) else None
        for name, field in (("average_ms", "average_time_per_image"), ("p95_ms", "p95_time_per_image"))}
    milliseconds = {name: round(1000 * seconds, 3) if type(seconds) in (int, float) else None
                    for name, seconds in times.items()}
    return {**counts, "failure_rate": counts["errors"] / counts["images"] if counts["images"] else 0.0, **milliseconds}


def disk_free(library: str) -> int | None:
    """The bytes that are free beside the library."""
    try:
        return shutil.disk_usage(os.path.dirname(library)).free
    except OSError:
        return None
