# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Survey a library before anything is hashed: its file, the files of its images, and their journal entries."""

from __future__ import annotations

import os
import random
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence

from .._errors import LibraryError
from .._files import file_stamps
from .._hashing import entry_columns, hash_batches, hash_journal, image_decoder
from .._hashing.hash_journal import Entry
from .._library import library_index

CHANGING_READS = 20
NO_FILE = -1


class Source:
    """The library that was read (only its first images in a trial), and what was found for its images before they are hashed.

    ``sha256`` is that of the file of the library. ``entries``: the journal entries of the images, None for one that has to be hashed.
    ``stamps``: the stamps of the files that have to be hashed, by position; None if this user cannot access the file. ``identities``:
    those of the files. ``stamps_of_files``: the stamps of all files, in columns; the size of a file without one is ``NO_FILE``.
    """

    def __init__(self, path: str, index: library_index.Index, sha256: str) -> None:
        self.path, self.index, self.sha256 = path, index, sha256
        self.entries = entry_columns.Entries()
        self.stamps: dict[int, file_stamps.Stamp | None] = {}
        self.identities = file_stamps.Identities()
        self.stamps_of_files: tuple[array[int], ...] = tuple(array("q") for _field in file_stamps.Stamp._fields)
        self._folder = os.path.dirname(path)
        self._is_present = bytearray()

    def restore(self, entries: entry_columns.Entries, identities: file_stamps.Identities, stamps_of_files: tuple[array[int], ...]) -> None:
        """Take what an earlier survey has found for all images, none of which has to be hashed."""
        self.entries, self.identities, self.stamps_of_files = entries, identities, stamps_of_files
        self._is_present = bytearray(size != NO_FILE for size in stamps_of_files[0])

    def file(self, position: int) -> str:
        """The path of the file of the image at ``position``."""
        return os.path.join(self._folder, self.index.paths[position])

    def add(self, found: hash_journal.Found) -> None:
        """Add what was found for the next image. If this user cannot access its file, the worker reports why."""
        position = len(self.entries)
        self._is_present.append(found.stamp is not None)
        if found.is_missing:
            self.entries.append(hash_batches.failure("missing", str(image_decoder.missing(self.file(position)))))
        else:
            self.entries.append(found.entry)
        if self.entries.is_pending(position):
            self.stamps[position] = found.stamp
        self.identities.append(found.identity)
        sizes, mtimes, ctimes, inodes = self.stamps_of_files
        size, mtime, ctime, inode = found.stamp or (NO_FILE, 0, 0, 0)
        sizes.append(size)
        mtimes.append(mtime)
        ctimes.append(ctime or 0)
        inodes.append(inode or 0)

    def entries_of_files(self) -> Iterator[Entry]:
        """The entry of each file, once none is to be hashed any more."""
        return map(self.entries.known, {path: position for position, path in enumerate(self.index.paths)}.values())

    def files_to_hash(self) -> dict[str, file_stamps.Stamp | None]:
        """The stamps of the files that have to be hashed, by path."""
        return {self.file(position): self.stamps[position] for position in self.entries.pending()}

    def take(self, entries: Mapping[str, Entry]) -> None:
        """Take the entries of files, by path, for the images that have to be hashed."""
        for position in self.entries.pending():
            self.entries[position] = entries.get(self.file(position))

    def files_on_disk(self) -> set[str]:
        """The paths of the files that this user can access."""
        return {self.file(position) for position, is_present in enumerate(self._is_present) if is_present}

    def forget(self, files: Collection[str], journal: hash_journal.Journal) -> None:
        """Have the images of ``files`` hashed again."""
        journal.forget(files)
        for position in range(len(self.entries)):
            if self.file(position) in files:
                self.entries[position], self.stamps[position] = None, journal.look_up(self.file(position)).stamp


def survey(path: str, index: library_index.Index, digest: str, journal: hash_journal.Journal) -> Source:
    """Look each image of the library at ``path`` up in the journal."""
    source = Source(path, index, digest)
    for found in journal.look_up_all(map(source.file, range(len(index)))):
        source.add(found)
    return source


def sample(hashed: Sequence[int], digest: str, count: int) -> list[int]:
    """``count`` of the positions ``hashed`` of the hashed images of a library, drawn with the digest of its file as the seed."""
    return random.Random(digest).sample(hashed, min(count, len(hashed)))


def read_stable(path: str) -> tuple[library_index.Index, str]:
    """Read a library, and its SHA-256, while a writer may be writing it in place. Raises ``LibraryError``.

    An invalid library is read again as long as the file changes.
    """
    for _attempt in range(CHANGING_READS):
        before = _time_of_change(path)
        try:
            return library_index.read(path)
        except LibraryError:
            time.sleep(0.05)
            if before is None or _time_of_change(path) == before:
                break
    return library_index.read(path)


def _time_of_change(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def expect_known_failures_again(source: Source) -> None:
    """Expect the failures of the last run that the library records and every run tries again (unreadable, timeout, ...)."""
    errors = source.index.rest.get("dhash_errors")
    folder = os.path.dirname(source.path)
    source.take({
        os.path.join(folder, error["path"]): hash_batches.failure(error["kind"], error["error"])
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict) and all(isinstance(error.get(key), str) for key in ("path", "kind", "error"))
        and error["kind"] not in hash_journal.REMEMBERED_KINDS})
