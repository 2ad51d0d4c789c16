# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the structure of an image file says, without decoding it: its variant, and how long the whole file is by the lengths it declares."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import tiff_directory
from .image_formats import Format

MOST_BOXES = 4096
BMP_COMPRESSIONS = {0: "uncompressed", 1: "8-bit run lengths", 2: "4-bit run lengths", 3: "bit fields", 4: "JPEG", 5: "PNG", 6: "bit fields with alpha"}
PHOTOMETRICS = {0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab",
                10: "ITULab", 32803: "CFA", 34892: "linear raw"}
TIFF_COMPRESSIONS = {1: "", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate", 32773: "PackBits",
                     32946: "Deflate", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 34925: "LZMA",
                     50000: "Zstandard", 50001: "WebP", 52546: "JPEG XL"}
RARE_COMPRESSIONS = TIFF_COMPRESSIONS.keys() - {1, 2, 3, 4, 5, 7, 8, 32773, 32946}
SAMPLE_FORMATS = {1: "", 2: "signed ", 3: "floating point ", 5: "complex ", 6: "complex "}


class Structure(NamedTuple):
    """What the structure of a file says. ``variant``: which kind of file of its format it is. ``length``: of the file if it was whole, in
    bytes; None if the structure does not say. ``damage``: what is contradictory in it. ``is_rare``: whether many decoders lack this variant."""

    variant: str
    length: int | None = None
    damage: str | None = None
    is_rare: bool = False


def describe(content: bytes, format_: Format) -> Structure:
    """The structure of the file ``content``. Of a format that is not described here, and of a file cut off in its header, only the name."""
    describe_format = DESCRIBED.get(format_.name)
    if describe_format is None:
        return Structure(format_.name)
    try:
        return describe_format(content, format_)
    except (struct.error, IndexError, ValueError, OverflowError):  # a header that is cut off or nonsense
        return Structure(format_.name)


def _jpeg(content: bytes, format_: Format) -> Structure:
    """The segments before the first scan (ITU-T T.81, B.1.1.4); the length of a scan is known to its decoder alone."""
    place = 2
    while content[place:place + 1] == b"\xff" and content[place:place + 2] != b"\xff\xda":
        place += 2 + struct.unpack_from(">H", content, place + 2)[0] if place + 4 <= len(content) else 4
    return Structure(format_.name, place + 2 if place + 2 > len(content) else None)


def _bmp(content: bytes, format_: Format) -> Structure:
    (start,) = struct.unpack_from("<L", content, 10)
    header, width, height = struct.unpack_from("<Lll", content, 14)
    if header == 12:
        width, height, _planes, bits = struct.unpack_from("<4H", content, 18)
        compression = 0
    else:
        bits, compression = struct.unpack_from("<HL", content, 28)
    variant = f"{format_.name} with {bits} bits, {BMP_COMPRESSIONS.get(compression, f'compression {compression}')}, header of {header} bytes"
    if width <= 0 or height == 0 or bits > 64:
        return Structure(variant, damage="the header is not valid")
    row = (width * bits + 31) // 32 * 4
    return Structure(variant, start + row * abs(height) if compression in (0, 3, 6) else None)


def _tiff(content: bytes, format_: Format) -> Structure:
    """The first directory of a TIFF (TIFF 6.0, section 2) or of a BigTIFF, and the end of its strips or tiles."""
    tags, end_of_directory = next(tiff_directory.each(content, 1), None), tiff_directory.end_of_first(content)
    if tags is None or (end_of_directory or 0) > len(content):
        return Structure(format_.name, end_of_directory)
    bits, samples, photometric, compression, kind = (tiff_directory.value(tags, tag, default)
                                                     for tag, default in ((258, 1), (277, 1), (262, -1), (259, 1), (339, 1)))
    parts = [f"{SAMPLE_FORMATS.get(kind, '')}{samples} \N{MULTIPLICATION SIGN} {bits} bits", PHOTOMETRICS.get(photometric, f"photometric {photometric}"),
             TIFF_COMPRESSIONS.get(compression, f"compression {compression}")]
    variant = f"{format_.name} with {', '.join(part for part in parts if part)}"
    offsets, lengths = tags.get(273) or tags.get(324) or [], tags.get(279) or tags.get(325) or []
    if not (offsets and tags.get(256) and tags.get(257)):
        return Structure(variant, damage="it has no size, or no pixels")
    end = max((offset + length for offset, length in zip(offsets, lengths)), default=None)
    return Structure(variant, end, is_rare=compression in RARE_COMPRESSIONS)


def _png(content: bytes, format_: Format) -> Structure:
    width, height, depth, colour, compression, filter_, _interlaced = struct.unpack_from(">LLBBBBB", content, 16)
    variant = f"{format_.name} of colour type {colour} with {depth} bits"
    if not (width and height) or compression or filter_:
        return Structure(variant, damage="the header is not valid")
    end = 8
    while end + 8 <= len(content) and content[end + 4:end + 8] != b"IEND":
        end += 12 + struct.unpack_from(">L", content, end)[0]
    return Structure(variant, end + 12)


def _gif(content: bytes, format_: Format) -> Structure:
    """The end of the first frame (GIF89a specification, 20 to 22)."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    if not (width and height):
        return Structure(format_.name, damage="the header is not valid")
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while place < len(content) and content[place] == 0x21:
        place = _end_of_blocks(content, place + 2)
    if place < len(content) and content[place] != 0x2C:
        return Structure(format_.name, damage="it has no frame")
    frame = content[place + 9] if place + 9 < len(content) else 0
    return Structure(format_.name, _end_of_blocks(content, place + 11 + (3 << (frame & 7) + 1 if frame & 0x80 else 0)))


def _end_of_blocks(content: bytes, place: int) -> int:
    while place < len(content) and content[place]:
        place += 1 + content[place]
    return place + 1


def _riff(content: bytes, format_: Format) -> Structure:
    return Structure(format_.name, 8 + struct.unpack_from("<L", content, 4)[0])


def _boxes(content: bytes, format_: Format) -> Structure:
    """The end of the last box of an ISO base media file (ISO/IEC 14496-12, 4.2)."""
    end = 0
    for start, length, _name in _each_box(content):
        end = start + length
    return Structure(format_.name, end)


def _each_box(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    start, number = 0, 0
    while start + 8 <= len(content) and number < MOST_BOXES:
        length, name = struct.unpack_from(">L4s", content, start)
        if length == 1:
            (length,) = struct.unpack_from(">Q", content, start + 8)
        if length == 0:
            length = len(content) - start
        if length < 8:
            raise ValueError("a box is too short")
        yield start, length, name
        start, number = start + length, number + 1


def _jpeg_2000(content: bytes, format_: Format) -> Structure:
    """The end of the boxes, and of the tile parts of the codestream (ISO/IEC 15444-1, A.4.2)."""
    if content[:4] != b"\xff\x4f\xff\x51":
        return _boxes(content, format_)
    place = 2
    while content[place:place + 2] not in (b"\xff\xd9", b""):
        marker, length = struct.unpack_from(">HH", content, place)
        if marker == 0xFF90:  # the start of a tile part
            (part,) = struct.unpack_from(">L", content, place + 6)
            place += part or len(content) - place - 2
            if part and part < 14:
                return Structure(format_.name, damage="a tile part is too short")
        else:
            place += 2 + length
    return Structure(format_.name, place + 2)


DESCRIBED: dict[str, Callable[[bytes, Format], Structure]] = {
    "JPEG": _jpeg, "BMP": _bmp, "TIFF": _tiff, "PNG": _png, "GIF": _gif, "WebP": _riff, "AVIF": _boxes, "HEIC": _boxes, "JPEG 2000": _jpeg_2000,
    "MP4 or QuickTime": _boxes,
}
