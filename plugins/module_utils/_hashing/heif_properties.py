# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the boxes of an AVIF say about its picture, for decoders that leave this to their caller or know it only in some versions.

The boxes are those of ISO/IEC 14496-12 and 23008-12 (HEIF). The properties of the primary item include ``irot``, a number of quarter turns to
the left, and ``imir``, a mirror that is applied after it. Exif data in the file do not count (23008-12, A.2.1 and MIAF, 7.3.6.7).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

UPRIGHT = 1
MOST_BYTES = 1 << 20  # of the box with the properties, which describes one picture or its tiles
OF_ROTATION = (UPRIGHT, 8, 3, 6)  # Exif orientations, by quarter turns
OF_MIRROR = {0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}  # by the axis: 0 swaps top and bottom, 1 left and right; then by quarter turns
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")  # AV1 Image File Format, 4.1; ISO/IEC 23008-12, B.2.5
MALFORMED = (struct.error, IndexError)
Value = TypeVar("Value")


def exif_orientation(file: BinaryIO) -> int:
    """The Exif orientation, 1-8, that means the same as the boxes of the primary picture in ``file``; 1 if there are none.

    An image sequence (brand ``avis``) has 1, because its pictures are those of a track.
    """
    return _read_primary(file, _orientation, UPRIGHT)


def size(file: BinaryIO) -> tuple[int, int] | None:
    """The width and the height of the primary picture in ``file`` by its box ``ispe``; None if the file does not say."""
    return _read_primary(file, _size, None)


def primary_type(file: BinaryIO) -> str | None:
    """The type of the primary picture in ``file``, for example ``av01`` or ``grid``; None if the file does not say."""
    return _read_primary(file, _type, None)


def tiles(file: BinaryIO) -> list[int]:
    """The numbers of the items of which the primary picture in ``file`` is put together, row by row (ISO/IEC 23008-12, 6.6.2.3)."""
    return _read_primary(file, _tiles, [])


def has_alpha(file: BinaryIO) -> bool:
    """Whether a picture in ``file`` is the transparency of another one. Other pictures that it may hold are gain maps and thumbnails."""
    file.seek(0)
    head = file.read(MOST_BYTES)
    return any(name in head for name in ALPHA)


def _read_primary(file: BinaryIO, read: Callable[[bytes, int | None], Value], otherwise: Value) -> Value:
    """What ``read`` finds about the primary item in the box ``meta`` of the file; ``otherwise`` without that box, and if it is malformed."""
    try:
        meta = _meta(file)
        return otherwise if meta is None else read(meta, _primary_item(meta))
    except MALFORMED:
        return otherwise


def _meta(file: BinaryIO) -> bytes | None:
    """The boxes in the box ``meta`` of the file."""
    place = 0
    while True:
        file.seek(place)
        header = file.read(16)
        if len(header) < 8:
            return None
        size, kind = struct.unpack(">I4s", header[:8])
        start = 8
        if size == 1:
            (size,) = struct.unpack(">Q", header[8:])
            start = 16
        if (kind == b"ftyp" and header[8:12] == b"avis") or size < start:
            return None
        if kind == b"meta":
            file.seek(place + start + 4)  # its version and flags
            return file.read(min(size - start - 4, MOST_BYTES))
        place += size


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kinds of the boxes in ``content``, and what is in them."""
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if size < 8:
            return
        yield kind, content[place + 8:place + size]
        place += size


def _primary_item(meta: bytes) -> int | None:
    for kind, content in _boxes(meta):
        if kind == b"pitm":
            number: int = struct.unpack_from(">I" if content[0] else ">H", content, 4)[0]
            return number
    return None


def _orientation(meta: bytes, item: int | None) -> int:
    properties = _properties(meta, item)
    turns = properties[b"irot"][0] & 3 if b"irot" in properties else 0
    return OF_MIRROR[properties[b"imir"][0] & 1][turns] if b"imir" in properties else OF_ROTATION[turns]


def _size(meta: bytes, item: int | None) -> tuple[int, int] | None:
    extent = _properties(meta, item).get(b"ispe")
    if not extent:
        return None
    width, height = struct.unpack_from(">LL", extent, 4)
    return width, height


def _type(meta: bytes, item: int | None) -> str | None:
    """The type of an item by the box ``iinf`` (ISO/IEC 14496-12, 8.11.6)."""
    items = next((content for kind, content in _boxes(meta) if kind == b"iinf"), bytes(6))
    for kind, content in _boxes(items[8 if items[0] else 6:]):
        if kind == b"infe" and content[0] in (2, 3):
            number, start = struct.unpack_from(">I" if content[0] == 3 else ">H", content, 4)[0], 10 if content[0] == 3 else 8
            if number == item:
                return content[start:start + 4].decode("ascii", "replace") or None
    return None


def _tiles(meta: bytes, item: int | None) -> list[int]:
    references = next((content for kind, content in _boxes(meta) if kind == b"iref"), bytes(4))
    letter = "L" if references[0] else "H"
    for kind, content in _boxes(references[4:]):
        number, count = struct.unpack_from(f">{letter}H", content)
        if kind == b"dimg" and number == item:
            return list(struct.unpack_from(f">{count}{letter}", content, struct.calcsize(f">{letter}H")))
    return []


def _properties(meta: bytes, item: int | None) -> dict[bytes, bytes]:
    """The properties of an item, by their kinds."""
    known: list[tuple[bytes, bytes]] = []
    numbers: list[int] = []
    for kind, content in _boxes(next((content for kind, content in _boxes(meta) if kind == b"iprp"), b"")):
        if kind == b"ipco":
            known = list(_boxes(content))
        elif kind == b"ipma":
            numbers += _associations(content, item)
    return dict(known[number - 1] for number in numbers if 0 < number <= len(known))


def _associations(content: bytes, item: int | None) -> list[int]:
    """The numbers, from 1 up, of the properties that a box ``ipma`` gives an item."""
    version, wide = content[0], content[3] & 1
    (items,) = struct.unpack_from(">I", content, 4)
    place = 8
    for _item in range(items):
        (found,) = struct.unpack_from(">I" if version else ">H", content, place)
        place += 4 if version else 2
        count, step = content[place], 2 if wide else 1
        place += 1
        if found == item:
            return [number & (0x7FFF if wide else 0x7F) for (number,) in struct.iter_unpack(">H" if wide else ">B", content[place:place + count * step])]
        place += count * step
    return []
