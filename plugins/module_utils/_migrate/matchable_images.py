# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a library that can be matched, with the journal entries of their files."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from .._errors import LibraryError
from .._files import file_stamps
from .._hashing import difference_hash, hash_journal
from .._library import library_fields, library_file


class Image(NamedTuple):
    """An image of the library that can be matched. ``file`` is its path on disk; ``size`` (bytes) and ``mtime_ns`` are
    None if there is no file (``is_missing``) or this user cannot access it; ``vertical`` (hash) and ``luma`` (144 pixels)
    are None if they are not known. ``is_current``: the journal knows the file as it is now. ``identity`` is that of its file."""

    path: str
    filename: str
    dhash: str
    vertical: str | None
    file: str
    size: int | None
    mtime_ns: int | None
    is_current: bool
    identity: file_stamps.Identity | None
    is_missing: bool = False
    luma: bytes | None = None


def read_migrated(library: str, purpose: str, next_step: str) -> dict[str, Any]:
    """The content of the library. Raises ``LibraryError`` with ``next_step`` if there are no hashes that could serve the ``purpose``."""
    value = library_file.read(library)[0].value
    if not isinstance(value.get("dhash_migration"), dict):
        raise LibraryError(f"the library has no hashes yet, so there is nothing to {purpose}", library, next_step)
    return value


def survey(library: str, value: dict[str, Any], state: str) -> list[Image]:
    """The images of the library at the real path ``library`` that can be matched: hashed, not too flat, each path once."""
    chosen: dict[str, dict[str, Any]] = {}
    for image in value["images"]:
        if difference_hash.is_hex(image.get("dhash")) and image.get("dhash_low_detail") is not True:
            chosen.setdefault(image["path"], image)
    files = [os.path.join(os.path.dirname(library), path) for path in chosen]
    with hash_journal.open_for_reading(state, library_fields.algorithm(value), limits="") as journal:
        return list(map(_matchable, files, chosen.values(), journal.look_up_all(files)))


def look_up(file: str, image: dict[str, Any], journal: hash_journal.Journal) -> Image:
    """The hashed ``image`` of a library, with the journal entry of its file ``file``."""
    return _matchable(file, image, journal.look_up(file))


def _matchable(file: str, image: dict[str, Any], found: hash_journal.Found) -> Image:
    stamp, entry, is_missing, identity = found
    vertical, luma = (entry.vertical, entry.luma) if entry and entry.dhash == image["dhash"] else (None, None)
    size, mtime_ns = (stamp.size, stamp.mtime_ns) if stamp else (None, None)
    return Image(image["path"], image["filename"], image["dhash"], vertical, file, size, mtime_ns, entry is not None,
                 identity, is_missing, luma)


def distances(one: Image, other: Image) -> tuple[int, int | None]:
    """The horizontal and the vertical distance in bits; None if a vertical hash is not known."""
    vertical = None
    if one.vertical is not None and other.vertical is not None:
        vertical = difference_hash.distance(one.vertical, other.vertical)
    return difference_hash.distance(one.dhash, other.dhash), vertical


def is_same_file(one: Image, other: Image) -> bool:
    """Whether two images are names of one file."""
    return one.identity is not None and one.identity == other.identity
