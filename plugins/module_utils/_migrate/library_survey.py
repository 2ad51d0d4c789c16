# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Survey a library before anything is hashed: its file, the files of its images, and their journal entries."""

from __future__ import annotations

import os
import random
import time
from typing import NamedTuple

from .._errors import LibraryError
from .._files import file_stamps
from .._hashing import hash_batches, hash_journal, image_decoder
from .._hashing.hash_journal import Entry
from .._library import library_file

CHANGING_READS = 20


class Image(NamedTuple):
    """The file of an image at the survey, and its journal entry (``entry`` None: it has to be hashed).

    ``stamp`` is None if there is no file, or if this user cannot access it. ``identity`` is that of the file.
    """

    path: str
    stamp: file_stamps.Stamp | None
    entry: Entry | None
    identity: file_stamps.Identity | None = None

    @property
    def known(self) -> Entry:
        """``entry``, once none is to be hashed any more."""
        if self.entry is None:
            raise ValueError(f"{self.path} is not hashed")
        return self.entry


class Source(NamedTuple):
    """The library that was read (only its first images in a trial) and the SHA-256 of its file."""

    path: str
    library: library_file.Library
    sha256: str
    images: list[Image]


def survey(path: str, library: library_file.Library, digest: str, journal: hash_journal.Journal) -> Source:
    """Look each image of the library at ``path`` up in the journal."""
    folder = os.path.dirname(path)
    paths = [os.path.join(folder, image["path"]) for image in library.value["images"]]
    return Source(path, library, digest, list(map(_image, paths, journal.look_up_all(paths))))


def sample(hashed: list[int], digest: str, count: int) -> list[int]:
    """``count`` of the positions ``hashed`` of the hashed images of a library, drawn with the digest of its file as the seed."""
    return random.Random(digest).sample(hashed, min(count, len(hashed)))


def read_settled(path: str) -> tuple[library_file.Library, str]:
    """Read a library, and its SHA-256, while a writer may be writing it in place. Raises ``LibraryError``.

    An invalid library is read again as long as the file changes.
    """
    for _attempt in range(CHANGING_READS):
        before = _time_of_change(path)
        try:
            return library_file.read(path)
        except LibraryError:
            time.sleep(0.05)
            if before is None or _time_of_change(path) == before:
                break
    return library_file.read(path)


def _time_of_change(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _image(path: str, found: hash_journal.Found) -> Image:
    if found.is_missing:
        return Image(path, None, hash_batches.failure("missing", str(image_decoder.missing(path))))
    return Image(path, found.stamp, found.entry, found.identity)  # if this user cannot access the file, the worker reports why


def expect_known_failures_again(source: Source) -> Source:
    """``source`` with the failures of the last run that the library records and every run tries again (unreadable, timeout, ...)."""
    errors = source.library.value.get("dhash_errors")
    folder = os.path.dirname(source.path)
    return expect_again(source, {
        os.path.join(folder, error["path"]): hash_batches.failure(error["kind"], error["error"])
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict) and all(isinstance(error.get(key), str) for key in ("path", "kind", "error"))
        and error["kind"] not in hash_journal.REMEMBERED_KINDS})


def expect_again(source: Source, failed: dict[str, Entry]) -> Source:
    """``source`` with the failures ``failed``, by path, for the files without a journal entry."""
    return source._replace(images=[image if image.entry else image._replace(entry=failed.get(image.path))
                                   for image in source.images])
