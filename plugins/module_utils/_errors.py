# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of the engine. A module passes their text to ``fail_json``.

The text of an exception is ``path: cause. next step``. The cause is a clause without a capital letter and a period, and the next step
one or more whole sentences. Each is read alone, so neither refers to the path as "it".
"""

from __future__ import annotations

import errno
import os

NEXT_STEPS = {
    errno.ENOENT: "Check the path.",
    errno.EACCES: "Give the user that runs the module access to this path, or run with become.",
    errno.EPERM: "Give the user that runs the module this permission, or run with become.",
    errno.ENOSPC: "Free space on this file system, then run again.",
    errno.EDQUOT: "Raise the quota or free space, then run again.",
    errno.EFBIG: "Raise the file size limit (ulimit -f), then run again.",
    errno.EROFS: "Mount this file system read-write, then run again.",
    errno.EIO: "Check the disk (dmesg, smartctl), then run again.",
    errno.ELOOP: "Remove the loop of symbolic links.",
    errno.ENOTDIR: "Check the path: one of its parent folders is a file.",
    errno.EISDIR: "Give the path of a file instead of a folder.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


NAMED_FAULTS = 50  # in a message


class DhashError(Exception):
    """An error that an operator can act on: the path, the cause, and the next step."""

    def __init__(self, cause: str, path: str | None = None, next_step: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.path = path
        self.next_step = next_step

    def __str__(self) -> str:
        text = self.cause if self.path is None else f"{printable(self.path)}: {self.cause}"
        if self.next_step:
            text = f"{text.rstrip('.')}. {self.next_step}"
        return text


class RefusedError(DhashError):
    """The operation was refused before it began. Nothing was changed."""


class BoundsError(DhashError):
    """A file is refused because it is not a regular file, or has more bytes than are read."""


class LibraryError(RefusedError):
    """The library cannot be read, or is not valid."""


class QueueError(RefusedError):
    """Decisions that cannot be imported. Each of ``faults`` is a text with the file, the match and the problem."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        named = "".join(f"\n- {fault}" for fault in faults[:NAMED_FAULTS])
        more = f"\n- and {len(faults) - NAMED_FAULTS} more" if len(faults) > NAMED_FAULTS else ""
        problems = "1 problem" if len(faults) == 1 else f"{len(faults)} problems"
        super().__init__(f"the review was not imported and nothing was changed; {problems}:{named}{more}")


class HandoverError(DhashError):
    """A file that another host has handed over is refused. ``reason`` is the token of the reason."""

    def __init__(self, reason: str, cause: str, path: str | None = None, next_step: str | None = None) -> None:
        super().__init__(cause, path, next_step)
        self.reason = reason


class LockedError(RefusedError):
    """Another operation holds the library's lock."""


class ForeignFileError(RefusedError):
    """A file that the collection did not write is at a path where this operation writes."""


class MissingRequirementError(RefusedError):
    """The host lacks something that this operation needs."""


class ImageError(DhashError):
    """An image cannot be hashed. ``kind`` is one of the kinds in docs/operations.md. ``cause`` is the same on every run."""

    def __init__(self, kind: str, cause: str, next_step: str | None = None) -> None:
        super().__init__(cause, next_step=next_step)
        self.kind = kind


def from_os_error(error: OSError, doing: str, path: str | None = None) -> DhashError:
    """The ``DhashError`` for an ``OSError`` met while ``doing`` (a phrase: "write the backup").

    ``path`` overrides the path that the error itself carries.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    place = path if path is not None else error.filename
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    return DhashError(f"could not {doing}: {reason}", place, NEXT_STEPS.get(error.errno or 0))


def printable(text: str) -> str:
    """``text`` with what cannot be encoded as UTF-8 (odd file names) and control characters escaped."""
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escaped)
