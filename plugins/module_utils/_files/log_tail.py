# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow the log of another program: its new lines, across rotations, with a bounded amount of reading."""

from __future__ import annotations

import os
import re
from collections import deque
from typing import Any

from .._errors import BoundsError, DhashError, from_os_error, printable
from . import bounded_reads

MAX_BYTES = 1 << 20  # that are read at one time
MAX_LINE = 2000  # characters that are searched
SHOWN = 500  # characters that are kept
KEPT = 20  # lines
PATTERN = r"\b(ERROR|FATAL|CRITICAL|PANIC|panic|Traceback)\b"


class Tail:
    """Counts the new lines of the log ``path`` in which ``pattern`` is found; keeps the last of them.

    ``place`` is the :attr:`place` of an earlier ``Tail``, from which this one continues. Without it, only lines that are added from now
    on are new.
    """

    def __init__(self, path: str, pattern: str, place: dict[str, Any] | None = None) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise DhashError(f"the pattern {printable(pattern)} is not a regular expression: {error}",
                             next_step="Correct dhash_monitor_error_log_pattern.") from error
        self._path = path
        self.found = 0
        self.skipped = 0
        self.last: deque[str] = deque(maxlen=KEPT)
        self.problem = ""
        self._inode, self._offset = None, 0
        if place and place.get("path") == path:
            self._inode, self._offset, self.found = place["inode"], place["offset"], place["found"]
        else:
            status = self._status()
            if status is not None:
                self._inode, self._offset = status.st_ino, status.st_size

    @property
    def place(self) -> dict[str, Any]:
        """Where the next read begins, for a later ``Tail``."""
        return {"path": self._path, "inode": self._inode, "offset": self._offset, "found": self.found}

    def look(self) -> None:
        """Read the lines that were added since the last call. If that fails, ``problem`` is the error message."""
        self.problem = ""
        status = self._status()
        if status is None or status.st_ino != self._inode:
            self._read(f"{self._path}.1", self._inode)  # where logrotate moves the lines that were not read yet
            self._inode, self._offset = status and status.st_ino, 0
        elif status.st_size < self._offset:  # logrotate has copied and truncated it (copytruncate)
            self._offset = 0
        if status is not None:
            self._read(self._path, self._inode)

    def _status(self) -> os.stat_result | None:
        try:
            return os.stat(self._path)
        except OSError:
            return None

    def _read(self, path: str, inode: int | None) -> None:
        try:
            with bounded_reads.open_file(path) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != inode:
                    return
                if status.st_size - self._offset > MAX_BYTES:
                    self.skipped += status.st_size - MAX_BYTES - self._offset
                    self._offset = status.st_size - MAX_BYTES
                file.seek(self._offset)
                data = file.read(MAX_BYTES)
        except (FileNotFoundError, BoundsError):
            return
        except OSError as error:
            self.problem = str(from_os_error(error, "read the log", path))
            return
        whole = data.rfind(b"\n") + 1  # the last line may be incomplete
        if not whole and len(data) >= MAX_LINE:
            whole = len(data)
        self._offset += whole
        for line in data[:whole].split(b"\n"):
            text = line[:4 * MAX_LINE].decode("utf-8", "replace")[:MAX_LINE]
            if text and self._pattern.search(text):
                self.found += 1
                self.last.append(printable(text.rstrip("\r"))[:SHOWN])
