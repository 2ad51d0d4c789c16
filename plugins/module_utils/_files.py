# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tells whether the file at a path is still the one that was read."""

from __future__ import annotations

import os
from typing import NamedTuple


class Stamp(NamedTuple):
    """The metadata of a file that change with its content.

    ``ctime_ns`` and ``inode`` are compared on one host only, and are None if they are not known or not to be trusted.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None = None
    inode: int | None = None

    def without_ctime(self) -> Stamp:
        """What another host, or a file system with unstable metadata, tells of the same file."""
        return self._replace(ctime_ns=None, inode=None)

    def fits(self, other: Stamp) -> bool:
        """Whether both can be of one unchanged file; what one of them does not know is not compared."""
        return self.without_ctime() == other.without_ctime() and all(
            one is None or two is None or one == two for one, two in zip(self[2:], other[2:]))


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of the file with that status."""
    inode = status.st_ino if status.st_ino < 1 << 63 else status.st_ino - (1 << 64)  # SQLite's integers have a sign
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode)
