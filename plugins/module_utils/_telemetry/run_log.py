# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log of a run, and the file with its progress for the action plugin."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from .._errors import ImageError, from_os_error
from .._files import durable

SECONDS_BETWEEN_UPDATES = 0.5
SECONDS_BETWEEN_LOG_LINES = 10


class Log:
    """The log of one run, ``<library>.<operation>-YYYYMMDD-HHMMSS.log`` (UTC) in ``log_dir``. If ``log_dir`` is None, nothing is written."""

    def __init__(self, log_dir: str | None, library: str, operation: str) -> None:
        self.path: str | None = None
        self._file = None
        if log_dir is None:
            return
        durable.make_folder(log_dir, 0o750)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.path = os.path.join(log_dir, f"{os.path.basename(library)}.{operation}-{stamp}.log")
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._file = open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115 # until close
        except OSError as error:
            raise from_os_error(error, "open the log file", self.path) from error
        with contextlib.suppress(OSError):
            owner = os.stat(library)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()

    def line(self, text: str) -> None:
        """Add a line with the time. If the disk is full, the line is lost and the migration continues."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")


def _ignore(_state: dict[str, Any]) -> None:
    """For a run whose progress nobody sees."""


@contextlib.contextmanager
def progress_to(path: str | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes the progress to the file ``path`` for the action plugin. If ``path`` is None, it does nothing."""
    def progress(state: dict[str, Any]) -> None:
        if path is not None:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump({"process": os.getpid(), **state}, file)
            os.replace(f"{path}.new", path)
    try:
        progress({})
        yield progress
    finally:
        if path is not None and os.path.exists(path):
            os.unlink(path)


class Meter:
    """Counts images that are done, and reports to ``progress`` and to ``log``, if there is one, from time to time."""

    def __init__(self, progress: Callable[[dict[str, Any]], None] = _ignore, log: Log | None = None) -> None:
        self._progress = progress
        self._log = log or Log(None, "", "")
        self._done = self._errors = self._total = 0
        self._started = self._told = self._logged = self._waited = 0.0
        self._waiting: str | None = None

    def start(self, total: int) -> None:
        """Begin to count; ``total`` images will be hashed."""
        self._total = total
        self._started = self._told = self._logged = time.monotonic()
        self._log.line(f"Hashing {total} images")
        self._progress(self._state())

    def count(self, path: str, result: object) -> None:
        """One more image is done."""
        self._done += 1
        if isinstance(result, ImageError):
            self._errors += 1
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_UPDATES or self._done == self._total:
            self._told = now
            self._progress(self._state())
        if now - self._logged >= SECONDS_BETWEEN_LOG_LINES:
            self._logged = now
            self._log.line("{done} of {total}, {images_per_second} images per second, {errors} failed".format(
                **self._state()))

    def wait(self, reason: str | None, is_new: bool, seconds: float) -> None:
        """The run has waited for ``seconds``, and waits for ``reason``, which may be of another kind than before (``is_new``); None: it goes on."""
        if is_new:
            self._log.line(f"Hashing waits: {reason}" if reason else f"Hashing goes on after {seconds:.0f} s")
        if reason is None:
            self._started += seconds  # a wait does not lower the speed
        self._waiting, self._waited = reason, seconds
        self._progress(self._state())

    def _state(self) -> dict[str, Any]:
        elapsed = time.monotonic() - self._started - (self._waited if self._waiting else 0.0)
        rate = self._done / elapsed if elapsed > 0 else 0.0
        left = (self._total - self._done) / rate if rate else None
        return {"done": self._done, "total": self._total, "errors": self._errors,
                "images_per_second": round(rate, 1), "seconds_left": None if left is None else round(left),
                **({"waiting": self._waiting, "waited": round(self._waited)} if self._waiting else {})}
