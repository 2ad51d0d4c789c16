# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the structure of an image file says, without decoding it: its variant, and how long the whole file is by the lengths it declares."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .._errors import printable
from . import heif_properties, tiff_directory
from .image_formats import Format

MOST_BOXES = 4096
MOST_DIRECTORIES = 32
USUAL_CODINGS = ("av01", "hvc1", "hev1", "grid", "iovl", "iden")
BMP_COMPRESSIONS = {0: "uncompressed", 1: "8-bit run lengths", 2: "4-bit run lengths", 3: "bit fields", 4: "JPEG", 5: "PNG", 6: "bit fields with alpha"}
PHOTOMETRICS = {0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab",
                10: "ITULab", 32803: "CFA", 34892: "linear raw"}
TIFF_COMPRESSIONS = {1: "", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate", 32773: "PackBits",
                     32946: "Deflate", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 34925: "LZMA",
                     50000: "Zstandard", 50001: "WebP", 52546: "JPEG XL"}
RARE_COMPRESSIONS = TIFF_COMPRESSIONS.keys() - {1, 2, 3, 4, 5, 7, 8, 32773, 32946}
USUAL_JPEG_PROCESSES = (0xC0, 0xC1, 0xC2)
JPEG_PROCESSES = {0xC3: "lossless", 0xC5: "differential", 0xC6: "differential progressive", 0xC7: "differential lossless", 0xC9: "arithmetic",
                  0xCA: "arithmetic progressive", 0xCB: "arithmetic lossless", 0xCD: "arithmetic differential",
                  0xCE: "arithmetic differential progressive", 0xCF: "arithmetic differential lossless", 0xF7: "JPEG-LS"}
PHOTOSHOP_MODES = {0: "bitmap", 1: "grayscale", 2: "indexed", 3: "RGB", 4: "CMYK", 7: "multichannel", 8: "duotone", 9: "Lab"}
USUAL_PHOTOSHOP_MODES = ((0, 1), (0, 8), (1, 8), (2, 8), (3, 8), (4, 8), (7, 8), (8, 8), (9, 8))  # mode, bits
RAW_DATA, RUN_LENGTHS = 0, 1  # compressions of a Photoshop file
PCX_RUN = re.compile(rb"[\xc0-\xff].|[^\xc0-\xff]+", re.DOTALL)
EXR_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}  # compression: lines of a chunk
EXR_COMPRESSIONS = {0: "no compression", 1: "run lengths", 2: "ZIPS", 3: "ZIP", 4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
USUAL_DPX = ((8, 0), (8, 1), (10, 1), (12, 1), (16, 0), (16, 1))  # bits, packing
LONGEST_LIST = 80  # characters
EXR_TILED, EXR_DEEP, EXR_PARTS = 0x200, 0x800, 0x1000
ELSEWHERE = 0xFFFFFFFF  # the offset of the sensor's data in an RW2, which another tag has
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
    describe_format = _raw if format_.is_raw else DESCRIBED.get(format_.name)
    if describe_format is None:
        return Structure(format_.name)
    try:
        return describe_format(content, format_)
    except (struct.error, LookupError, ValueError, OverflowError):  # a header that is cut off or nonsense
        return Structure(format_.name)


def _jpeg(content: bytes, format_: Format) -> Structure:
    """The segments before the first scan (ITU-T T.81, B.1.1.4); the length of a scan is known to its decoder alone."""
    place, variant, is_rare = 2, format_.name, False
    while content[place:place + 1] == b"\xff" and content[place:place + 2] != b"\xff\xda":
        process = content[place + 1] if place + 10 <= len(content) else 0
        if process in JPEG_PROCESSES or process in USUAL_JPEG_PROCESSES:
            bits, components = content[place + 4], content[place + 9]
            is_rare = process in JPEG_PROCESSES or bits != 8
            if is_rare:
                variant = f"{format_.name} with {components} \N{MULTIPLICATION SIGN} {bits} bits, {JPEG_PROCESSES.get(process, 'DCT')}"
        place += 2 + struct.unpack_from(">H", content, place + 2)[0] if place + 4 <= len(content) else 4
    return Structure(variant, place + 2 if place + 2 > len(content) else None, is_rare=is_rare)


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


def _heif(content: bytes, format_: Format) -> Structure:
    """The end of the last box, and the coding of the primary picture (ISO/IEC 23008-12)."""
    coding = heif_properties.primary_type(io.BytesIO(content))
    is_rare = coding not in (None, *USUAL_CODINGS)
    variant = f"{format_.name} with {printable(str(coding))}" if is_rare else format_.name
    return Structure(variant, _boxes(content, format_).length, is_rare=is_rare)


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


def _raw(content: bytes, format_: Format) -> Structure:
    """The end of the last strip, tile or JPEG of all directories of a camera raw file (TIFF 6.0, sections 8, 15 and 22)."""
    ends = []
    for tags in tiff_directory.each(content, MOST_DIRECTORIES):
        for offsets, lengths in ((273, 279), (324, 325), (513, 514)):
            ends += [offset + length for offset, length in zip(tags.get(offsets, []), tags.get(lengths, [])) if offset != ELSEWHERE]
    return Structure(format_.name, max(ends, default=None))


def _photoshop(content: bytes, format_: Format) -> Structure:
    """The sections of a Photoshop file up to the merged picture (Adobe Photoshop File Formats Specification)."""
    version, channels, height, width, bits, mode = struct.unpack_from(">4xH6xHLLHH", content)
    is_large = version == 2
    variant = (f"{format_.name}{', large document,' if is_large else ''} with {channels} \N{MULTIPLICATION SIGN} {bits} bits,"
               f" {PHOTOSHOP_MODES.get(mode, f'mode {mode}')}")
    if version not in (1, 2) or mode not in PHOTOSHOP_MODES or bits not in (1, 8, 16, 32) or not (0 < channels <= 56 and width and height):
        return Structure(variant, damage="the header is not valid")
    place = 26
    for size in (4, 4, 8 if is_large else 4):  # colours, resources, layers
        place += size + int.from_bytes(content[place:place + size], "big")
        if place + 2 > len(content):
            return Structure(variant, place + 2)
    (compression,) = struct.unpack_from(">H", content, place)
    if compression > 3:
        return Structure(variant, damage=f"compression {compression} does not exist")
    end, lines = None, channels * height
    if compression == RAW_DATA:
        end = place + 2 + lines * ((width * bits + 7) // 8)
    elif compression == RUN_LENGTHS:
        lengths = place + 2 + lines * (4 if is_large else 2)
        end = lengths
        if lengths <= len(content):
            end += sum(struct.unpack_from(f">{lines}{'L' if is_large else 'H'}", content, place + 2))
    is_usual = not is_large and (mode, bits) in USUAL_PHOTOSHOP_MODES and compression in (RAW_DATA, RUN_LENGTHS)
    return Structure(variant, end, is_rare=not is_usual)


def _pcx(content: bytes, format_: Format) -> Structure:
    """Whether the run lengths of a PCX fill all of its lines (ZSoft PCX File Format Technical Reference Manual, revision 5)."""
    bits, left, top, right, bottom = struct.unpack_from("<3xB4H", content)
    planes, bytes_per_line = struct.unpack_from("<65xBH", content)
    wanted = (bottom - top + 1) * planes * bytes_per_line
    if right < left or wanted <= 0:
        return Structure(format_.name, damage="the header is not valid")
    found = 0
    for run in PCX_RUN.finditer(content, 128):
        first = content[run.start()]
        found += first & 0x3F if first >= 0xC0 else run.end() - run.start()
        if found >= wanted:
            break
    variant = f"{format_.name} with {planes} \N{MULTIPLICATION SIGN} {bits} bits"
    return Structure(variant, is_rare=found >= wanted)


def _exr(content: bytes, format_: Format) -> Structure:
    """The end of the last chunk by the table of their offsets (OpenEXR File Layout)."""
    (flags,) = struct.unpack_from("<L", content, 4)
    attributes, place = {}, 8
    while content[place]:
        end_of_name = content.index(0, place)
        end_of_type = content.index(0, end_of_name + 1)
        (length,) = struct.unpack_from("<L", content, end_of_type + 1)
        attributes[content[place:end_of_name]] = content[end_of_type + 5:end_of_type + 5 + length]
        place = end_of_type + 5 + length
    compression = attributes[b"compression"][0]
    channels = dict(_channels_of_exr(attributes[b"channels"]))
    is_plain = (b"Y" in channels or {b"R", b"G", b"B"} <= channels.keys()) and set(channels.values()) == {(1, 1)}
    parts = [EXR_COMPRESSIONS.get(compression, f"compression {compression}"),
             *([] if is_plain else [f"channels {printable(b' '.join(channels).decode('utf-8', 'replace'))[:LONGEST_LIST]}"]),
             *(["deep data"] if flags & EXR_DEEP else []), *(["several parts"] if flags & EXR_PARTS else [])]
    is_rare = compression > 7 or len(parts) > 1
    end = None
    if not flags & (EXR_TILED | EXR_DEEP | EXR_PARTS) and compression in EXR_LINES:
        top, bottom = struct.unpack_from("<4xl4xl", attributes[b"dataWindow"])
        chunks = (bottom - top) // EXR_LINES[compression] + 1
        end = place + 1 + 8 * chunks
        if end <= len(content):
            last = max(struct.unpack_from(f"<{chunks}Q", content, place + 1))
            end = last + 8 + (struct.unpack_from("<L", content, last + 4)[0] if last + 8 <= len(content) else 0)
    return Structure(f"{format_.name} with {', '.join(parts)}", end, is_rare=is_rare)


def _channels_of_exr(attribute: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The name of each channel, and how many columns and rows have one sample."""
    place = 0
    while attribute[place]:
        end = attribute.index(0, place)
        across, down = struct.unpack_from("<LL", attribute, end + 9)
        yield attribute[place:end], (across, down)
        place = end + 17


def _dpx(content: bytes, format_: Format) -> Structure:
    """The size of the file and the packing of its first element (SMPTE 268M-2003, tables 1 and 3)."""
    order = ">" if content[:4] == b"SDPX" else "<"
    (length,) = struct.unpack_from(f"{order}L", content, 16)
    bits, packing, encoding = struct.unpack_from(f"{order}BHH", content, 803)
    variant = f"{format_.name} with {bits} bits, packing {packing}{', run lengths' if encoding else ''}"
    return Structure(variant, length if length != 0xFFFFFFFF else None, is_rare=bool(encoding) or (bits, packing) not in USUAL_DPX)


DESCRIBED: dict[str, Callable[[bytes, Format], Structure]] = {
    "JPEG": _jpeg, "BMP": _bmp, "TIFF": _tiff, "PNG": _png, "GIF": _gif, "WebP": _riff, "AVIF": _heif, "HEIC": _heif, "JPEG 2000": _jpeg_2000,
    "MP4 or QuickTime": _boxes, "Photoshop": _photoshop, "PCX": _pcx, "OpenEXR": _exr, "DPX": _dpx,
}
