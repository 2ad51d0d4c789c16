# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one family of exceptions that the engine raises; a module turns it into ``fail_json``."""

from __future__ import annotations

import errno
import os

NEXT_STEPS = {
    errno.ENOENT: "Check the path.",
    errno.EACCES: "Give the user that runs this access to it, or run with become.",
    errno.EPERM: "Give the user that runs this the right to do that, or run with become.",
    errno.ENOSPC: "Free some space on that file system, then run again.",
    errno.EDQUOT: "Raise the quota or free some space, then run again.",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), then run again.",
    errno.EROFS: "Mount that file system writable, then run again.",
    errno.EIO: "Check the disk (dmesg, smartctl), then run again.",
    errno.ELOOP: "Remove the circle of symbolic links.",
    errno.ENOTDIR: "Check the path: a part of it that should be a folder is a file.",
    errno.EISDIR: "Give the path of a file, not of a folder.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


NAMED_FAULTS = 50  # in a message


class DhashError(Exception):
    """Something that an operator can act on: which path, what happened, what to do next."""

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
    """The operation was declined before it began; nothing was changed."""


class LibraryError(RefusedError):
    """The library cannot be read, or is not what a library has to be."""


class QueueError(RefusedError):
    """Decisions that cannot be imported; ``faults`` tells of each one the file, the match and what is wrong."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        named = "".join(f"\n- {fault}" for fault in faults[:NAMED_FAULTS])
        more = f"\n- and {len(faults) - NAMED_FAULTS} more" if len(faults) > NAMED_FAULTS else ""
        super().__init__(f"the review was not imported, nothing was changed; {len(faults)} faults:{named}{more}")


class HandoverError(DhashError):
    """A file that another host has handed over is not taken; ``reason`` is the token for why."""

    def __init__(self, reason: str, cause: str, path: str | None = None, next_step: str | None = None) -> None:
        super().__init__(cause, path, next_step)
        self.reason = reason


class LockedError(RefusedError):
    """Another operation holds the library's lock."""


class ForeignFileError(RefusedError):
    """A file of somebody else's is where this operation writes."""


class MissingRequirementError(RefusedError):
    """The host lacks something that this operation needs."""


class ImageError(DhashError):
    """No hash can be made of one image; ``kind`` is one of those in docs/operations.md, ``cause`` the same at every run."""

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
