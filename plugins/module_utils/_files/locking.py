# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks between processes: flock, with the name of the holder in the file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from .._errors import DhashError, LockedError, from_os_error
from . import bounded_reads, durable, file_metadata

WAITING = "waiting"  # in a state folder: its lock file names the run that waits for a quieter host
WAIT = "Wait for that operation to end, then run again."
MAX_HOLDER = 4096  # bytes
NOT_OURS = "Another program may use it as a lock of its own. When that program has ended, move it away, then run again."
WAIT_LONGER = "Wait for that operation to end, or raise dhash_lock_timeout, then run again."


@contextlib.contextmanager
def lock(path: str, operation: str, run: str, timeout: float, what: str = "the library",
         next_step: str = WAIT_LONGER, like: str | None = None) -> Iterator[Held]:
    """Hold the one lock on ``path`` (``flock`` on ``<path>.lock``, which is never unlinked).

    Waits at most ``timeout`` seconds for another holder, then raises ``LockedError``, whose text names the holder and ``what``.
    The kernel releases the lock of a process that dies. The lock file has the owner and the mode of ``path``; of ``like`` if
    ``path`` does not exist.
    """
    lock_path = f"{path}.lock"
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ELOOP):
            raise DhashError("a folder or a symbolic link is in the place of the lock file", lock_path, NOT_OURS) from error
        raise from_os_error(error, "open the lock file", lock_path) from error
    try:
        # Whoever may change the library may lock it, whichever user made the lock file.
        with contextlib.suppress(OSError):
            owner = like if like is not None and not durable.exists(path) else path
            file_metadata.give_owner_where_allowed(owner, descriptor)
            os.fchmod(descriptor, stat.S_IMODE(os.stat(owner).st_mode) & 0o666 | 0o600)
        _acquire(descriptor, lock_path, timeout, what, next_step)
        held = Held(descriptor, lock_path, what, next_step)
        held.show(operation=operation, run=run, process=os.getpid(), host=socket.gethostname(),
                  since=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        try:
            yield held
        finally:
            held.release()
    finally:
        with contextlib.suppress(OSError):  # the file is closed all the same, and the work is done
            os.close(descriptor)


class Held:
    """A lock that is held, and may be released for a while. ``shown`` is what its file tells others of the holder."""

    def __init__(self, descriptor: int, lock_path: str, what: str, next_step: str) -> None:
        self.shown: dict[str, Any] = {}
        self._descriptor, self._lock_path, self._what, self._next_step = descriptor, lock_path, what, next_step
        self._is_held = True

    def show(self, **fields: Any) -> None:
        """Add ``fields`` to what others see of the holder."""
        self.shown.update(fields)
        _write_holder(self._descriptor, json.dumps(self.shown).encode())

    def release(self) -> None:
        """Let others take the lock. Without effect on a lock that is released."""
        if self._is_held:
            _write_holder(self._descriptor, b"")
            self._is_held = False
            with contextlib.suppress(OSError):  # the lock ends with its file at the latest
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def take_again(self) -> None:
        """Take a released lock again. Raises ``LockedError`` at once if another process holds it."""
        if not self._is_held:
            _acquire(self._descriptor, self._lock_path, 0, self._what, self._next_step)
            self._is_held = True
            self.show()


def holder(path: str) -> dict[str, Any] | None:
    """The holder of the lock on the library at ``path``; None if nobody holds it. Takes no lock and writes nothing."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def flock_within(descriptor: int, seconds: float) -> bool:
    """Take the exclusive lock (``flock``); False if another process holds it for ``seconds``. Raises ``OSError`` if locks are not supported."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def _acquire(descriptor: int, lock_path: str, timeout: float, what: str, next_step: str) -> None:
    try:
        if flock_within(descriptor, timeout):
            return
    except OSError as error:
        raise from_os_error(error, "lock the file", lock_path) from error
    holder = _read_holder(descriptor)
    who = ("{operation} (process {process} on {host}, run {run}, since {since})".format(**holder)
           if holder else "another process")
    raise LockedError(f"{what} is in use by {who}", lock_path, next_step)


def _write_holder(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(OSError):  # only for people to read: a full disk must not keep a rollback from its lock
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _read_holder(descriptor: int) -> dict[str, Any] | None:
    try:
        holder = bounded_reads.parse_json(os.pread(descriptor, MAX_HOLDER, 0))
    except (OSError, ValueError):
        return None
    complete = isinstance(holder, dict) and {"operation", "process", "host", "run", "since"} <= holder.keys()
    return holder if complete else None
