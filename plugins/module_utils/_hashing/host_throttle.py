# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hash only while the host has time for it: no image is begun while the host is busy, a command says so, or a file pauses the run.

As gh-ost does (doc/throttle.md), the host is looked at about once a second, and images in progress finish. The format of
``/proc/pressure`` is that of the kernel's ``Documentation/accounting/psi.rst``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from .._errors import DhashError, LockedError, RefusedError, from_os_error, printable
from .._files import locking

LOAD, CPU_PRESSURE, IO_PRESSURE, COMMAND, PAUSE_FILE, LOCK = "load", "cpu_pressure", "io_pressure", "command", "pause_file", "lock"
SECONDS_BETWEEN_LOOKS = 1.0
COMMAND_SECONDS = 10
CANNOT_RUN = (126, 127)  # exit codes of a shell for a command that it cannot run or find
SHOWN = 200  # characters of what a command writes to stderr
NAMES = {LOAD: "the load average", CPU_PRESSURE: "/proc/pressure/cpu", IO_PRESSURE: "/proc/pressure/io"}
_SOME_AVG10 = re.compile(r"^some avg10=(\d+(?:\.\d+)?) ", re.MULTILINE)


class Settings(NamedTuple):
    """When to wait; None: never for this reason. ``max_pressure`` is in percent, ``command`` is run by ``/bin/sh -c``."""

    max_load: float | None = None
    max_pressure: float | None = None
    command: str | None = None
    pause_file: str | None = None


OFF = Settings()


class Reason(NamedTuple):
    """Why a run waits: a token, and a text for people."""

    token: str
    text: str


class Answer(NamedTuple):
    """How a command has ended: its exit code, negative for a signal, and the begin of what it wrote to stderr."""

    code: int
    stderr: str

    def __str__(self) -> str:
        return f"exit code {self.code}" + (f": {self.stderr}" if self.stderr else "")


class Host(NamedTuple):
    """How this host is read. A reading that the host does not have is None."""

    load: Callable[[], float | None]
    pressure: Callable[[str], float | None]
    command: Callable[[str], Answer]


class Throttle:
    """Decides whether images may be begun, and waits while they may not.

    While it waits, ``locks`` are released, and the lock file ``waiting`` in the folder ``state`` has the reason. ``tell`` is called
    at the beginning of a wait, about once a second, and with None at its end: with the text, whether the reason is another one, and the
    seconds so far. ``resumed`` is called when the locks are held again. ``unavailable`` has the limits that this host has no reading for.
    """

    def __init__(self, settings: Settings, host: Host | None = None, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self.locks: list[locking.Held] = []
        self.state: str | None = None
        self.tell: Callable[[str | None, bool, float], None] = _ignore
        self.resumed: Callable[[], None] = _nothing
        self._host = host or Host(read_load, read_pressure, run_command)
        self._clock, self._sleep = clock, sleep
        self._reason: Reason | None = None
        self._looked: float | None = None
        self._seconds: dict[str, float] = {}
        self.unavailable = [token for token, _limit, reading in self._readings() if reading is None]

    def may_begin(self) -> bool:
        """Whether an image may be begun now. Raises ``DhashError`` if the command cannot be run, or the pause file cannot be looked for."""
        if self.settings != OFF and (self._looked is None or self._clock() >= self._looked + SECONDS_BETWEEN_LOOKS):
            self._reason = self._look()
            self._looked = self._clock()
        return self._reason is None

    def wait(self) -> None:
        """Return once images may be begun, with the locks held. Raises what :meth:`may_begin` and ``resumed`` raise."""
        if self.may_begin():
            return
        began = self._clock()
        for lock in self.locks:
            lock.release()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_module_kept_by_tmpfiles(__file__))
            announced = self._announce(stack)
            reason, token = self._reason, ""
            while reason:
                before = self._clock()
                is_new, token = reason.token != token, reason.token
                if announced and is_new:
                    announced.show(operation=self.locks[0].shown["operation"], run=self.locks[0].shown["run"], reason=reason.token,
                                   text=reason.text, since=datetime.now(timezone.utc).isoformat(timespec="seconds"))
                self.tell(reason.text, is_new, before - began)
                self._sleep(SECONDS_BETWEEN_LOOKS)
                self._seconds[reason.token] = self._seconds.get(reason.token, 0.0) + self._clock() - before
                reason = (None if self.may_begin() else self._reason) or self._take_locks()
        self.tell(None, True, self._clock() - began)
        self.resumed()

    def seconds_without_waits(self) -> float:
        """The reading of a clock, in seconds, that stands still during waits."""
        return self._clock() - sum(self._seconds.values())

    def result(self) -> dict[str, Any]:
        """How long the run has waited and why, in the form of a module's result."""
        return {"seconds": round(sum(self._seconds.values()), 1),
                "reasons": {token: round(seconds, 1) for token, seconds in sorted(self._seconds.items())},
                "unavailable": self.unavailable}

    def _announce(self, stack: contextlib.ExitStack) -> locking.Held | None:
        """The lock that shows other runs that this one waits; None if another one waits already, or the folder cannot be written."""
        if self.state is None or not self.locks:
            return None
        with contextlib.suppress(DhashError):
            return stack.enter_context(locking.lock(os.path.join(self.state, locking.WAITING), locking.WAITING, "", 0, like=self.state))
        return None

    def _take_locks(self) -> Reason | None:
        """Take the released locks again; the reason to wait longer if another operation has one of them."""
        for lock in self.locks:
            try:
                lock.take_again()
            except LockedError as error:
                for taken in self.locks:
                    taken.release()
                return Reason(LOCK, error.cause)
        return None

    def _look(self) -> Reason | None:
        wanted = self.settings
        if wanted.pause_file and exists(wanted.pause_file):
            return Reason(PAUSE_FILE, f"paused ({printable(wanted.pause_file)} exists)")
        for token, limit, reading in self._readings():
            if reading is not None and reading > limit:
                return Reason(token, f"throttled ({token.replace('_', ' ')} {reading:.1f}{'' if token == LOAD else ' %'})")
        if wanted.command:
            answer = self._host.command(wanted.command)
            if answer.code:
                return Reason(COMMAND, f"throttled (dhash_throttle_command: {answer})")
        return None

    def _readings(self) -> Iterator[tuple[str, float, float | None]]:
        """What is limited: the token, the limit, and the reading."""
        if self.settings.max_load is not None:
            yield LOAD, self.settings.max_load, self._host.load()
        if self.settings.max_pressure is not None:
            for token, resource in ((CPU_PRESSURE, "cpu"), (IO_PRESSURE, "io")):
                yield token, self.settings.max_pressure, self._host.pressure(resource)


def settings_of(params: Mapping[str, Any]) -> Settings:
    """The settings in the options of a module. Raises ``DhashError`` for a pause file or a command that cannot be used. Runs no command."""
    settings = Settings(params.get("max_load"), params.get("max_pressure"), params.get("throttle_command") or None, params.get("pause_file") or None)
    if settings.pause_file and not os.path.isabs(settings.pause_file):
        raise RefusedError("dhash_pause_file: this is a relative path", settings.pause_file, "Give an absolute path, then run again.")
    if settings.pause_file:
        exists(settings.pause_file)
    if settings.command:
        _require_usable(settings.command)
    return settings


def _require_usable(command: str) -> None:
    steps = "Correct the command, then run again."
    syntax = _run_shell("-n", "-c", command)
    if syntax is None or syntax.code:
        raise RefusedError(f"dhash_throttle_command: not a command of /bin/sh ({syntax or 'it did not answer'})", command, steps)
    words = []
    with contextlib.suppress(ValueError):  # such as an apostrophe in a comment
        words = shlex.split(command)
    if words and os.path.isabs(words[0]) and not (os.path.isfile(words[0]) and os.access(words[0], os.X_OK)):
        raise RefusedError("dhash_throttle_command: no program that this user can run", words[0], steps)


def together(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The result of several runs, of :meth:`Throttle.result`, as that of one."""
    reasons: dict[str, float] = {}
    unavailable: set[str] = set()
    for result in results:
        unavailable.update(result["unavailable"])
        for token, seconds in result["reasons"].items():
            reasons[token] = round(reasons.get(token, 0.0) + seconds, 1)
    return {"seconds": round(sum(reasons.values()), 1), "reasons": dict(sorted(reasons.items())), "unavailable": sorted(unavailable)}


def text_of_unavailable(tokens: Iterable[str]) -> str:
    """That the limits ``tokens`` have no effect, as a sentence."""
    return f"This host does not have {', '.join(NAMES[token] for token in tokens)}, so no limit on it makes the hashing wait"


@contextlib.contextmanager
def _module_kept_by_tmpfiles(source: str) -> Iterator[None]:
    """Have systemd-tmpfiles leave the archive alone from which Python imports ``source``: a wait may last longer than the days after which
    it removes unused files in /tmp. It skips a folder that has a lock (tmpfiles.d(5), "Age")."""
    archive = next((path for path in Path(source).parents if path.is_file()), None)
    if archive is None:  # not started by Ansible
        yield
        return
    folder = os.open(archive.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(folder)


def exists(pause_file: str) -> bool:
    """Whether something of this name exists, if only a link that leads nowhere. Raises ``DhashError`` if this user cannot see that."""
    try:
        os.lstat(pause_file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise from_os_error(error, "look for dhash_pause_file", pause_file) from error
    return True


def read_load() -> float | None:
    """The load average of one minute; None if this system does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def read_pressure(resource: str) -> float | None:
    """The share of the last 10 s in which at least one task waited for ``resource``, in percent; None if this kernel does not tell."""
    try:
        with open(f"/proc/pressure/{resource}", encoding="ascii") as file:
            found = _SOME_AVG10.search(file.read())
    except OSError:
        return None
    return float(found[1]) if found else None


def run_command(command: str) -> Answer:
    """Run ``command``. Raises ``DhashError`` if it cannot be run, is killed, or takes longer than COMMAND_SECONDS."""
    steps = "Correct the command. Hashed images are kept: run again."
    answer = _run_shell("-c", command)
    if answer is None:
        raise DhashError(f"dhash_throttle_command did not end within {COMMAND_SECONDS} s", command, steps)
    if answer.code in CANNOT_RUN or answer.code < 0:
        raise DhashError(f"dhash_throttle_command cannot be run: {answer}", command, steps)
    return answer


def _run_shell(*arguments: str) -> Answer | None:
    """The answer of ``/bin/sh``; None if it has not ended within COMMAND_SECONDS, and was killed with all that it had begun."""
    try:
        # Not a pipe: a child that stays would keep it open.
        with tempfile.TemporaryFile() as stderr, subprocess.Popen(  # pylint: disable=ansible-bad-function # run_command has no time limit
                ["/bin/sh", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True) as shell:
            try:
                code = shell.wait(COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                return None
            stderr.seek(0)
            return Answer(code, printable(" ".join(stderr.read(4 * SHOWN).decode("utf-8", "replace").split()))[:SHOWN])
    except OSError as error:
        raise from_os_error(error, "run dhash_throttle_command", "/bin/sh") from error


def _ignore(_text: str | None, _is_new: bool, _seconds: float) -> None:
    """For a run without a progress."""


def _nothing() -> None:
    """For a run without locks."""


NEVER = Throttle(OFF)
