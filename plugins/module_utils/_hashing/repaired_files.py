# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies in memory of files that Pillow refuses although all pixels are there.

Browsers show such files: a PNG with a large text or a wrong checksum in a chunk that is not needed, a JPEG without its end marker, an
animation whose later frame is cut off, a BMP with unusual bit fields or an unusual header. The copy has the pixels and the orientation
alone. If pixels are missing, the error says how much of the picture is there.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._errors import ImageError
from . import image_formats
from .image_formats import Format

if TYPE_CHECKING:
    from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED_BY_PNG = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
ORIENTATION_OF_PNG = (b"eXIf", b"tEXt", b"zTXt")
LONGEST_TEXT = 1 << 20  # Pillow's MAX_TEXT_CHUNK; larger metadata hold no orientation
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG colour type: samples of a pixel
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # PNG specification, 8.2
PIECE = 1 << 20
SHORT_OS2, BIT_FIELDS, BIT_FIELDS_WITH_ALPHA = 16, 3, 6  # the length of a header; compressions
JPEG_END = b"\xff\xd9"
OTHER_DATA = bytes(range(1, 255)) * 4  # no marker is in it, and no run of blocks decodes to what libjpeg fills in
WHOLE_SHARE = 0.999  # of the pixels of a JPEG; browsers show a JPEG that lacks a few bytes as whole
IMAGE_OF_WEBP = (b"VP8 ", b"VP8L", b"ANMF")
ANIMATED, TRANSPARENT, WITH_EXIF = 0x02, 0x10, 0x08  # flags of a WebP (RFC 9649, 2.7)


def repaired(content: bytes, format_: Format, max_pixels: int) -> bytes | None:
    """A copy of the file ``content`` that decoders accept and that has the same pixels; None if there is nothing to repair.

    Raises ImageError of kind truncated if pixels are missing, of kind damaged if the pixels have a wrong checksum.
    """
    if format_.name == "PNG":
        return _repaired_png(content)
    if format_.name == "JPEG":
        return _repaired_jpeg(content, max_pixels)
    if format_.name == "WebP":
        return _repaired_webp(content)
    if format_.name == "BMP":
        return _repaired_bmp(content, max_pixels)
    return None


def _incomplete(name: str, share: float) -> ImageError:
    """The error of a picture of which only a ``share``, 0 to 1, is there."""
    return ImageError("truncated", f"{name}: the file is cut off, and {min(99.9, int(1000 * share) / 10):g} % of the picture is there")


def _repaired_png(content: bytes) -> bytes | None:
    """The chunks with the pixels and the orientation (PNG specification, 5.3), with right checksums and an end."""
    kept, header, pixels = [], b"", []
    for name, data, checksum in _chunks_of_png(content):
        if name == b"IEND":
            break
        wrong = checksum is not None and checksum != zlib.crc32(name + data)
        if name in NEEDED_BY_PNG and wrong:
            raise ImageError("damaged", f"PNG: the checksum of chunk {name.decode('ascii')} is wrong")
        if name == b"IHDR":
            header = data
        if name == b"IDAT":
            pixels.append(data)
        elif name in NEEDED_BY_PNG or (name in ORIENTATION_OF_PNG and checksum is not None and _may_turn(name, data)):
            kept.append((name, data))
    if len(header) != 13:
        return None
    chunks = b"".join(_png_chunk(name, data) for name, data in kept)
    return PNG_SIGNATURE + chunks + _png_chunk(b"IDAT", _whole_pixels(header, pixels)) + _png_chunk(b"IEND", b"")


def _chunks_of_png(content: bytes) -> Iterator[tuple[bytes, bytes, int | None]]:
    """The name, the data and the checksum of each chunk; a chunk that is cut off has no checksum."""
    start = len(PNG_SIGNATURE)
    while start + 8 <= len(content):
        length, name = struct.unpack_from(">L4s", content, start)
        end = start + 8 + length
        checksum = struct.unpack_from(">L", content, end)[0] if end + 4 <= len(content) else None
        yield name, content[start + 8:end], checksum
        start = end + 4


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def _may_turn(name: bytes, data: bytes) -> bool:
    if name == b"eXIf":
        return True
    keyword, _separator, text = data.partition(b"\0")
    if keyword != b"Raw profile type exif":
        return False
    if name == b"tEXt":
        return len(text) < LONGEST_TEXT
    try:
        return len(zlib.decompressobj().decompress(text[1:], LONGEST_TEXT)) < LONGEST_TEXT
    except zlib.error:
        return False


def _whole_pixels(header: bytes, pixels: list[bytes]) -> bytes:
    """The compressed pixels as one stream that is complete. Raises ImageError if pixels are missing."""
    expected = _length_of_pixels(header)
    unpacking, packing = zlib.decompressobj(), zlib.compressobj(1)
    length, packed = 0, []
    try:
        for data in pixels:
            while data and not unpacking.eof and length < expected:
                piece = unpacking.decompress(data, PIECE)
                data = unpacking.unconsumed_tail
                length += len(piece)
                packed.append(packing.compress(piece))
    except zlib.error:
        raise ImageError("damaged", f"PNG: the compressed pixels are damaged after {_share(length, expected)} of the picture") from None
    if length < expected:
        raise _incomplete("PNG", length / expected)
    return b"".join(packed) + packing.flush()


def _share(part: int, whole: int) -> str:
    return f"{int(1000 * part / whole) / 10:g} %"


def _length_of_pixels(header: bytes) -> int:
    """The length of the filtered rows in bytes, by the IHDR chunk. Raises ImageError if the header is not valid."""
    width, height, depth, colour, _compression, _filter, interlaced = struct.unpack(">LLBBBBB", header)
    if colour not in SAMPLES or depth not in (1, 2, 4, 8, 16) or interlaced > 1 or not (width and height):
        raise ImageError("damaged", "PNG: the header is not valid")
    bits = SAMPLES[colour] * depth
    passes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in ADAM7] if interlaced else [(width, height)]
    return sum((1 + -(-columns * bits // 8)) * rows for columns, rows in passes if columns > 0 and rows > 0)


def _repaired_jpeg(content: bytes, max_pixels: int) -> bytes | None:
    """The file with an end marker.

    libjpeg fills in what is missing. The share that is missing is found by decoding twice, with other data before the end marker: from
    the first difference on, nothing was in the file. The picture is compared at the scale at which it is hashed.
    """
    from PIL import ImageChops

    from . import pillow_decoder

    whole = content + JPEG_END
    try:
        decoded, other = (pillow_decoder.luma(io.BytesIO(data), image_formats.JPEG, max_pixels)
                          for data in (whole, content + OTHER_DATA + JPEG_END))
    except ImageError as error:
        if error.kind == "too_large":
            raise
        return None
    share = _share_until_first(ImageChops.difference(decoded, other))
    if share < WHOLE_SHARE:
        raise _incomplete("JPEG", share)
    return whole


def _share_until_first(difference: Image.Image) -> float:
    """The share, 0 to 1, of the pixels before the first one that is not 0, in rows of blocks."""
    box = difference.getbbox()
    if box is None:
        return 1.0
    top = box[1]
    row = difference.crop((0, top, difference.width, top + 1)).getbbox() or box
    height = box[3] - top if box[3] == difference.height and box[3] - top <= 16 else 1  # the last row of blocks
    return (top + height * row[0] / difference.width) / difference.height


def _repaired_webp(content: bytes) -> bytes | None:
    """The file without what follows its first picture (RFC 9649), except the Exif data."""
    kept, start, has_picture, has_exif = [], 12, False, False
    while start + 8 <= len(content):
        name, length = struct.unpack_from("<4sL", content, start)
        data = content[start + 8:start + 8 + length]
        if name in IMAGE_OF_WEBP and not has_picture:
            if len(data) < length:
                raise _incomplete("WebP", len(data) / length)
            has_picture = True
            kept.append((name, data))
        elif len(data) == length and name in (b"VP8X", b"ANIM", b"ALPH", b"EXIF"):
            has_exif |= name == b"EXIF"
            kept.append((name, data))
        start += 8 + length + length % 2
    if not has_picture:
        return None
    chunks = b""
    for name, data in kept:
        if name == b"VP8X":
            data = bytes((data[0] & (ANIMATED | TRANSPARENT) | (WITH_EXIF if has_exif else 0),)) + data[1:]
        chunks += struct.pack("<4sL", name, len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<L", 4 + len(chunks)) + b"WEBP" + chunks


def _repaired_bmp(content: bytes, max_pixels: int) -> bytes | None:
    """A BMP (Windows GDI, BITMAPINFOHEADER to BITMAPV5HEADER; OS/2 2.0) with a plain header; None if its pixels are in another order."""
    try:
        (start,) = struct.unpack_from("<L", content, 10)
        (header,) = struct.unpack_from("<L", content, 14)
        width, height, _planes, bits = struct.unpack_from("<llHH", content, 18)
        if header == SHORT_OS2:
            return _bmp(width, height, bits, content[14 + header:start], content[start:])
        compression, _size, _across, _down, colours = struct.unpack_from("<LLllL", content, 30)
        if bits <= 8 and compression == 0 and colours > 256:
            return _bmp(width, height, bits, content[14 + header:14 + header + 1024], content[start:], 256)
        if header < 40 or compression not in (BIT_FIELDS, BIT_FIELDS_WITH_ALPHA) or bits not in (16, 32):
            return None
        masks = list(struct.unpack_from("<LLLL", content, 54))
    except struct.error:
        return None
    if width * abs(height) > max_pixels:
        raise ImageError("too_large", "the image has more pixels than the limit allows")
    if header == 40 and compression == BIT_FIELDS:
        masks[3] = 0
    return _bmp_of_fields(content[start:], width, height, bits, masks)


def _bmp(width: int, height: int, bits: int, palette: bytes, pixels: bytes, colours: int = 0) -> bytes:
    start = 14 + 40 + len(palette)
    info = struct.pack("<LllHHLLllLL", 40, width, height, 1, bits, 0, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<LHHL", start + len(pixels), 0, 0, start) + info + palette + pixels


def _bmp_of_fields(pixels: bytes, width: int, height: int, bits: int, masks: list[int]) -> bytes | None:
    """A BMP with 8 bits of blue, green, red and alpha, of pixels that have these fields. None if pixels are missing."""
    import numpy as np

    row = (width * bits + 31) // 32 * 4
    if width <= 0 or height == 0 or len(pixels) < row * abs(height) or any(mask >> bits for mask in masks):
        return None
    rows = np.frombuffer(pixels, np.uint8, row * abs(height)).reshape(abs(height), row)
    packed = np.ascontiguousarray(rows[:, :width * bits // 8]).view("<u2" if bits == 16 else "<u4").astype(np.uint64)
    spread = np.zeros((abs(height), width, 4), np.uint8)
    for place, mask in zip((2, 1, 0, 3), masks):
        if mask:
            lowest = mask & -mask
            spread[:, :, place] = (packed & np.uint64(mask)) // np.uint64(lowest) * np.uint64(255) // np.uint64(mask // lowest)
    if not masks[3]:
        return _bmp(width, height, 32, b"", spread.tobytes())
    info = struct.pack("<LllHHLLllLL", 108, width, height, 1, 32, BIT_FIELDS, spread.size, 0, 0, 0, 0)
    info += struct.pack("<LLLL", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<LHHL", 14 + 108 + spread.size, 0, 0, 14 + 108) + info + spread.tobytes()
