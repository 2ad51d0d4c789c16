# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of files, and the stamps and identities by which a file is recognised as unchanged."""

from __future__ import annotations

import itertools
import os
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

Identity = tuple[int, int, int, int]  # device, inode, size and mtime: some file systems have one inode for several files


class Stamp(NamedTuple):
    """The metadata of a file that change with its content.

    ``ctime_ns`` and ``inode`` are compared on one host only, and are None if they are not known or not to be trusted.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None = None
    inode: int | None = None

    def without_ctime(self) -> Stamp:
        """The stamp of the same file on another host, or on a file system with unstable metadata."""
        return self._replace(ctime_ns=None, inode=None)

    def fits(self, other: Stamp) -> bool:
        """Whether both can be stamps of one unchanged file. Fields that are None in either stamp are not compared."""
        return self == other or (self[:2] == other[:2] and all(
            one is None or two is None or one == two for one, two in zip(self[2:], other[2:])))


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of the file with that status."""
    inode = status.st_ino if status.st_ino < 1 << 63 else status.st_ino - (1 << 64)  # SQLite's integers have a sign
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode)


def identity_of(status: os.stat_result) -> Identity | None:
    """What all names (hard links) of the file with that status share and no other file has; None if it is unknown."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status.st_ino else None


class Identities:
    """The identities of many files, in columns."""

    def __init__(self, identities: Iterable[Identity | None] = ()) -> None:
        self._columns = tuple(array(code) for code in "QQqq")
        self._unknown: set[int] = set()
        for identity in identities:
            self.append(identity)

    def append(self, identity: Identity | None) -> None:
        """Add the identity of the next file."""
        if identity is None:
            self._unknown.add(len(self._columns[0]))
        devices, inodes, sizes, mtimes = self._columns
        device, inode, size, mtime = identity or (0, 0, 0, 0)
        devices.append(device)
        inodes.append(inode)
        sizes.append(size)
        mtimes.append(mtime)

    def shared(self) -> dict[int, int]:
        """The position of the first name of its file, for each that shares its file with another one."""
        _device, inodes, _size, _mtime = self._columns
        count = Counter(inodes)
        positions = sorted((position for position, inode in enumerate(inodes) if count[inode] > 1 and position not in self._unknown),
                           key=inodes.__getitem__)
        found: dict[int, int] = {}
        for _inode, alike in itertools.groupby(positions, inodes.__getitem__):
            of_file: dict[tuple[int, ...], list[int]] = {}
            for position in alike:
                of_file.setdefault(tuple(column[position] for column in self._columns), []).append(position)
            found.update((position, names[0]) for names in of_file.values() if len(names) > 1 for position in names)
        return found


def in_another_form(path: str) -> str | None:
    """The path of an existing file whose name differs from ``path`` only in its Unicode normalization form; None if there is none.

    ``path`` itself does not exist. macOS and some archives decompose names (NFD), most other programs compose them (NFC).
    """
    if path.isascii():
        return None
    found = "/" if path.startswith("/") else ""
    for part in path.split("/"):
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        name = next((name for name in forms if os.path.lexists(os.path.join(found, name))), None)
        if name is None:
            return None
        found = os.path.join(found, name)
    return found


def form_of(text: str) -> str:
    """The Unicode normalization form of a name."""
    return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, text)), "neither NFC nor NFD")
