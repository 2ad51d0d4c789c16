# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The largest picture that a camera has put into its raw file, and the size of the sensor.

Developing sensor data needs knowledge of each camera, and every program does it differently. Cameras put JPEG previews into their raw
files, which are what people see of them. They are found by their signature: each maker keeps them at another place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from . import tiff_directory
from .image_formats import Format

TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
MOST_PREVIEWS = 64
MOST_DIRECTORIES = 32
MOST_SEGMENTS = 200
MAKE, ORIENTATION, SUB_DIRECTORIES, DNG_VERSION = 271, 274, 330, 50706  # TIFF 6.0; DNG specification 1.7
PHOTOMETRIC, COMPRESSION = 262, 259
OF_SENSORS = (32803, 34892)  # photometric: colour filter array, linear raw
NIKON, SONY, PENTAX = 34713, 32767, 65535  # compressions of sensor data
MAKERS = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "RICOH": "PEF", "SAMSUNG": "SRW", "HASSELBLAD": "3FR", "EPSON": "ERF", "LEICA": "RWL"}
PANASONIC_SIZE, PANASONIC_BORDERS = (2, 3), (4, 5, 6, 7)  # exiftool, PanasonicRaw: sensor width, height; top, left, bottom, right
FUJI_SIZES = (0x0111, 0x0100)  # exiftool, FujiFilm::RAF: the cropped and the full size, height before width


class Raw(NamedTuple):
    """``previews``: JPEG files, the largest first. ``width`` and ``height``: of the sensor's picture, upright. ``orientation``: as in Exif."""

    previews: list[bytes]
    width: int
    height: int
    orientation: int


def format_of(file: BinaryIO, head: bytes) -> Format | None:
    """The format of a TIFF file that begins with ``head`` if it is a camera raw file, otherwise None.

    Of a TIFF without sub-directories, only the first directory is read.
    """
    if head[8:10] == b"CR":
        return Format("CR2", is_raw=True)
    tags = tiff_directory.first(file, head)
    if not (_is_sensor(tags) or DNG_VERSION in tags or SUB_DIRECTORIES in tags):
        return None
    file.seek(0)
    directories = list(tiff_directory.each(file.read(), MOST_DIRECTORIES))
    if DNG_VERSION in tags:
        return Format("DNG", is_raw=True)
    if not any(_is_sensor(directory) for directory in directories):
        return None
    make = bytes(number & 0xFF for number in directories[0].get(MAKE, [])).decode("ascii", "replace").upper()
    return Format(next((name for maker, name in MAKERS.items() if make.startswith(maker)), "camera raw"), is_raw=True)


def read(content: bytes) -> Raw:
    """The previews in the raw file ``content``, the size of its picture and its orientation."""
    directories = list(tiff_directory.each(content, MOST_DIRECTORIES))
    orientation = tiff_directory.value(directories[0], ORIENTATION, 1) if directories else _orientation_of_cr3(content)
    found = sorted(_previews(content), reverse=True)
    sizes = [_size_of(directory) for directory in directories] + _other_sizes(content, directories) + [(0, 0)]
    width, height = max([*sizes, *((width, height) for _area, width, height, _start in found)], key=_area)
    if orientation >= 5:
        width, height = height, width
    return Raw([_turned(content[start:], orientation) for _area, _width, _height, start in found], width, height, orientation)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _is_sensor(directory: tiff_directory.Tags) -> bool:
    return tiff_directory.value(directory, PHOTOMETRIC, 0) in OF_SENSORS or tiff_directory.value(directory, COMPRESSION, 0) in (NIKON, SONY, PENTAX)


def _size_of(directory: tiff_directory.Tags) -> tuple[int, int]:
    top, left, bottom, right = (tiff_directory.value(directory, tag, 0) for tag in PANASONIC_BORDERS)
    if all(tag in directory for tag in PANASONIC_SIZE):
        whole = tiff_directory.value(directory, 2, 0), tiff_directory.value(directory, 3, 0)
        return (right - left, bottom - top) if bottom > top and right > left else whole
    return tiff_directory.value(directory, 256, 0), tiff_directory.value(directory, 257, 0)


def _other_sizes(content: bytes, directories: list[tiff_directory.Tags]) -> list[tuple[int, int]]:
    """The sizes of the sensor's picture that no TIFF directory has: in RAF, and in the sample entries of CR3."""
    if content.startswith(b"FUJIFILM"):
        return _sizes_of_raf(content)
    sizes: list[tuple[int, int]] = []
    start = -1 if directories else content.find(b"CRAW")
    while start >= 0 and start + 32 <= len(content) and len(sizes) < MOST_DIRECTORIES:
        width, height = struct.unpack_from(">HH", content, start + 28)  # ISO/IEC 14496-12, 12.1.3
        sizes.append((width, height))
        start = content.find(b"CRAW", start + 4)
    return sizes


def _sizes_of_raf(content: bytes) -> list[tuple[int, int]]:
    try:
        (place,) = struct.unpack_from(">L", content, 92)
        (count,) = struct.unpack_from(">L", content, place)
        records, place = {}, place + 4
        for _record in range(min(count, MOST_SEGMENTS)):
            tag, length = struct.unpack_from(">HH", content, place)
            if tag in FUJI_SIZES and length == 4:
                height, width = struct.unpack_from(">HH", content, place + 4)
                records[tag] = (width, height)
            place += 4 + length
    except struct.error:
        return []
    return [records[tag] for tag in FUJI_SIZES if tag in records][:1]


def _orientation_of_cr3(content: bytes) -> int:
    """The orientation in the TIFF header in the box CMT1 of a CR3."""
    start = content.find(b"CMT1", 0, 1 << 20)
    if start < 0:
        return 1
    return tiff_directory.value(next(tiff_directory.each(content[start + 4:start + 4 + 65536], 1), {}), ORIENTATION, 1)


def _previews(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The area, the width, the height and the start of each JPEG file in ``content``."""
    start, number = content.find(b"\xff\xd8\xff"), 0
    while start >= 0 and number < MOST_PREVIEWS:
        size = _size_of_jpeg(content, start)
        if size is not None:
            yield _area(size), *size, start
        start, number = content.find(b"\xff\xd8\xff", start + 3), number + 1


def _size_of_jpeg(content: bytes, start: int) -> tuple[int, int] | None:
    """The width and the height of the JPEG at ``start`` (ITU-T T.81, B.2.2); None if it is none, or holds sensor data (lossless)."""
    place = start + 2
    for _segment in range(MOST_SEGMENTS):
        if place + 9 > len(content) or content[place] != 0xFF:
            return None
        marker, length = content[place + 1], int.from_bytes(content[place + 2:place + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            bits, height, width = struct.unpack_from(">BHH", content, place + 4)
            return (width, height) if bits == 8 and width and height else None
        if marker in (0xC3, 0xD9, 0xDA) or length < 2:
            return None
        place += 2 + length
    return None


def _turned(jpeg: bytes, orientation: int) -> bytes:
    """``jpeg`` with Exif data that have ``orientation``, unless it has Exif data itself."""
    if orientation == 1 or b"Exif\0\0" in jpeg[:64]:
        return jpeg
    exif = b"Exif\0\0MM\0*" + struct.pack(">LHHHLHHL", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def has_plain_picture(content: bytes) -> bool:
    """Whether the first directory of a raw file is a picture that a TIFF decoder reads, as in many NEF and DNG files."""
    first = next(tiff_directory.each(content, 1), None)
    return content[:4] in TIFF_SIGNATURES and first is not None and not _is_sensor(first) and 273 in first
