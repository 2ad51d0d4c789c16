# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directories of a TIFF file (TIFF 6.0, section 2), of a BigTIFF, and of raw files with another signature. Whole numbers only."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

MOST_ENTRIES = 4096
MOST_VALUES = 1 << 20  # of one entry
MOST_BYTES = 1 << 40  # of a file
LENGTH = 65536  # bytes that are read of a directory
SUB_DIRECTORIES = 330
TYPES = {1: "B", 2: "B", 3: "H", 4: "L", 13: "L", 16: "Q"}
Tags = dict[int, list[int]]


def first(file: BinaryIO, head: bytes) -> Tags:
    """The entries of the first directory of a file that begins with ``head`` and is read at most once; values elsewhere are left out."""
    place = start(head)
    content = head
    if place is None or not 8 <= place < MOST_BYTES:
        return {}
    if place + 1024 > len(head):
        file.seek(place)
        content, place = head[:8] + file.read(LENGTH), 8
    return _entries(content, place, far_values=False)[0]


def end_of_first(content: bytes) -> int | None:
    """Where the first directory ends; None if ``content`` is no TIFF file."""
    place = start(content)
    if place is None:
        return None
    big = _is_big(content)
    try:
        count: int = struct.unpack_from(f"{_order(content)}{'Q' if big else 'H'}", content, place)[0]
    except (struct.error, OverflowError):
        return place + 2
    return place + (16 + 20 * count if big else 6 + 12 * count)


def value(tags: Tags, tag: int, default: int) -> int:
    """The first number of an entry, or ``default``."""
    return (tags.get(tag) or [default])[0]


def each(content: bytes, most: int) -> Iterator[Tags]:
    """The entries of the directories in ``content``: the chain of pages, each with its sub-directories; ``most`` at most."""
    left, seen = [start(content)], 0
    known = set()
    while left and seen < most:
        place = left.pop(0)
        if place is None or place < 8 or place in known:
            continue
        known.add(place)
        tags, following = _entries(content, place, far_values=True)
        if not tags:
            continue
        seen += 1
        yield tags
        left += [*tags.get(SUB_DIRECTORIES, []), following][:most]


def start(content: bytes) -> int | None:
    """Where the first directory starts; None if ``content`` is no TIFF file."""
    order = _order(content)
    if order is None or len(content) < 16:
        return None
    place: int = struct.unpack_from(order + ("Q" if _is_big(content) else "L"), content, 8 if _is_big(content) else 4)[0]
    return place


def _order(content: bytes) -> str | None:
    return {b"II": "<", b"MM": ">"}.get(content[:2])


def _is_big(content: bytes) -> bool:
    return content[2:4] in (b"+\0", b"\0+")


def _entries(content: bytes, start: int, far_values: bool) -> tuple[Tags, int | None]:
    """The entries of the directory at ``start`` and the start of the next one; nothing of what lies beyond the end of the file."""
    order, big = _order(content), _is_big(content)
    tags: Tags = {}
    try:
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, start)
        end = start + (8 + 20 * count if big else 2 + 12 * count)
        for place in range(start + (8 if big else 2), min(end, start + 20 * MOST_ENTRIES), 20 if big else 12):
            tag, type_, length = struct.unpack_from(f"{order}{'HHQ' if big else 'HHL'}", content, place)
            letter = TYPES.get(type_)
            if letter is None or length > MOST_VALUES:
                continue
            values = place + (12 if big else 8)
            if length * struct.calcsize(f"={letter}") > (8 if big else 4):
                if not far_values:
                    tags[tag] = []
                    continue
                (values,) = struct.unpack_from(f"{order}{'Q' if big else 'L'}", content, values)
            if values + length * struct.calcsize(f"={letter}") <= len(content):
                tags[tag] = list(struct.unpack_from(f"{order}{length}{letter}", content, values))
        (following,) = struct.unpack_from(f"{order}{'Q' if big else 'L'}", content, end)
    except (struct.error, OverflowError):
        return tags, None
    return tags, following
