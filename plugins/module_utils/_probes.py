# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watch looks at: the health URL, the service, its memory, the library, the disk.

None of them raises for what it finds, nor takes longer than ``SECONDS``: what cannot be told is None.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.error
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ansible.module_utils.urls import open_url
from ansible_collections.mobius.dhash.plugins.module_utils import _library
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, printable

SECONDS = 10
MAX_ANSWER = 64 << 10
SHOWN = 200  # characters of what somebody else says
SYSTEMD_FACTS = "LoadState,ActiveState,SubState,MainPID,MemoryCurrent"


class Health(NamedTuple):
    """What the health URL answered."""

    well: bool
    says: str


class Service(NamedTuple):
    """What its manager says of a service. ``memory`` in bytes; None is what cannot be told."""

    running: bool | None
    says: str
    memory: int | None = None


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after so many seconds: a server that drips outlasts the limit of a socket."""
    def stop(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"no whole answer within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def health(url: str, body: str | None, seconds: float = SECONDS) -> Health:
    """Ask ``url``: well is status 200, and ``body``, a regular expression, found in the answer. Main thread only."""
    try:
        with time_limit(seconds), open_url(url, timeout=seconds, follow_redirects="safe", use_netrc=False) as answer:
            status, content = answer.getcode(), answer.read(MAX_ANSWER)
    except urllib.error.HTTPError as error:
        error.close()
        return Health(False, f"status {error.code}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Health(False, printable(str(reason) or type(error).__name__)[:SHOWN])
    if status != 200:
        return Health(False, f"status {status}")
    if body and not re.search(body, content.decode("utf-8", "replace")):
        return Health(False, f"nothing in the answer matches {printable(body)[:SHOWN]}")
    return Health(True, "ok")


def service(manager: str, name: str | None, scope: str, command: str | None) -> Service | None:
    """Ask the manager of the service, by its own program. None where there is nobody to ask."""
    if manager == "command":
        return _ask_command(command) if command else None
    ask = {"systemd": _ask_systemd, "docker": _ask_docker, "pm2": _ask_pm2}.get(manager)
    return ask(name, scope) if ask and name else None


def _ask_command(command: str) -> Service:
    try:
        done = _run(shlex.split(command))
    except ValueError as error:
        done = f"the command is not complete: {error}"
    if isinstance(done, str):
        return Service(None, done)
    return Service(done.returncode == 0, "running" if done.returncode == 0 else f"exit code {done.returncode}")


def _ask_systemd(name: str, scope: str) -> Service:
    user = scope == "user"
    environment = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"} if user else None
    whose = ["--user"] if user else []
    done = _run(["systemctl", *whose, "show", f"--property={SYSTEMD_FACTS}", "--", name], environment)
    if isinstance(done, str):
        return Service(None, done)
    facts = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if "ActiveState" not in facts:
        return Service(None, _said(done))
    is_there = facts.get("LoadState") == "loaded"
    says = f"{facts['ActiveState']} ({facts.get('SubState', '')})" if is_there else "not there"
    memory = facts.get("MemoryCurrent", "")
    return Service(facts["ActiveState"] in ("active", "reloading"), printable(says)[:SHOWN],
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
    # Before the list pm2 may tell of a daemon that it has started, or of an update.
    processes = next((found for line in done.stdout.splitlines() if isinstance(found := _json(line), list)), None)
    if processes is None:
        return Service(None, "pm2 did not answer with JSON")
    named = [process for process in processes
             if isinstance(process, dict) and name in (process.get("name"), str(process.get("pm_id")))]
    states = [process.get("pm2_env", {}).get("status") for process in named if isinstance(process.get("pm2_env"), dict)]
    memory = [_resident(process.get("pid")) for process in named]
    says = printable(", ".join(map(str, states)))[:SHOWN] or "not there"
    return Service(bool(states) and set(states) == {"online"}, says, sum(filter(None, memory)) or None)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess | str:
    """The program when it has ended, or why it has not told anything."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not answer within {SECONDS} s"
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"


def _said(done: subprocess.CompletedProcess) -> str:
    return printable(" ".join((done.stderr or done.stdout).split()))[:SHOWN] or f"exit code {done.returncode}"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _resident(process: Any) -> int | None:
    """The bytes of memory that a process holds (VmRSS, proc(5)); None where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        with open(f"/proc/{int(process)}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    return None


class Library:
    """Looks at a library, and reads it only where it has changed since."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._facts: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """``readable``, what it ``says`` if not, ``sha256``, counts, and average and p95 of the last run (ms)."""
        try:
            status = os.stat(self._path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if seen != self._seen:
                read, digest = _library.read(self._path)
                self._facts = {"readable": True, "says": "", "sha256": digest, **_of(read.value)}
                self._seen = seen
            return self._facts
        except (OSError, DhashError) as error:
            self._seen = None
            return {"readable": False, "says": printable(str(error))[:SHOWN]}


def _of(value: dict[str, Any]) -> dict[str, Any]:
    counts = _library.counts(value)
    record = value.get("dhash_migration")
    times = {name: record.get(field) if isinstance(record, dict) else None
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
