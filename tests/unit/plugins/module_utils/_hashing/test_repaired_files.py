# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, image_decoder
from PIL import Image, ImageOps

LARGE = (640, 480)
DEPTHS = {2: ((0x3, 0x1C, 0xE0), 16), 3: ((0x7C0, 0x3F, 0xF800), 16), 4: ((0x3FF00000, 0xFFC00, 0x3FF), 32), 5: ((0x7F0000, 0xFF00, 0xFF), 32)}
IHDR_END = 33


@pytest.fixture
def seen(tmp_path: Path) -> Callable[..., tuple[bytes, bytes]]:
    """The pixels of a file with this content, as they are hashed."""
    def read(content: bytes, **limits: Any) -> tuple[bytes, bytes]:
        (tmp_path / "picture").write_bytes(content)
        pixels = image_decoder.read_pixels(str(tmp_path / "picture"), "pillow", [str(tmp_path.resolve())], decoder_limits.Limits(**limits))
        assert pixels.decoder == "pillow"
        return pixels.horizontal, pixels.vertical
    return read


def with_chunk(png: bytes, name: bytes, data: bytes, place: int = IHDR_END, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(name + data) ^ wrong
    return png[:place] + struct.pack(">L", len(data)) + name + data + struct.pack(">L", checksum) + png[place:]


def turned(**options: object) -> bytes:
    turn = pictures.TURN_BACK[6]
    assert turn is not None
    return pictures.encode(pictures.colour().transpose(turn), "PNG", **options)


LARGE_TEXT = zlib.compress(bytes(3 << 20))
PNG = pictures.encode(pictures.colour(), "PNG")
BLEMISHES = {
    "zTXt": with_chunk(PNG, b"zTXt", b"Comment\0\0" + LARGE_TEXT),
    "iTXt": with_chunk(PNG, b"iTXt", b"Comment\0\1\0\0\0" + LARGE_TEXT),
    "iCCP": with_chunk(PNG, b"iCCP", b"profile\0\0" + LARGE_TEXT),
    "a wrong checksum": with_chunk(PNG, b"tEXt", b"Comment\0text", wrong=True),
    "a wrong checksum of the resolution": with_chunk(PNG, b"pHYs", struct.pack(">LLB", 1, 1, 0), wrong=True),
    "no IEND": PNG[:-12],
    "half an IEND": PNG[:-6],
    "a later chunk is cut off": with_chunk(PNG, b"tEXt", b"Comment\0" + bytes(200), place=len(PNG) - 12)[:-60],
}


@pytest.mark.parametrize("blemish", sorted(BLEMISHES))
def test_png_with_all_its_pixels_keeps_its_hash(seen: Callable[..., tuple[bytes, bytes]], blemish: str) -> None:
    assert seen(BLEMISHES[blemish]) == seen(PNG)


@pytest.mark.parametrize("png", [
    with_chunk(turned(exif=pictures.exif(6)), b"pHYs", bytes(9), wrong=True),
    with_chunk(with_chunk(turned(), b"eXIf", pictures.exif(6)[6:]), b"iCCP", b"profile\0\0" + LARGE_TEXT),
    with_chunk(with_chunk(turned(), b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
        b"\nexif\n%8d\n%s\n" % (len(pictures.exif(6)) - 6, pictures.exif(6)[6:].hex().encode("ascii")))), b"tEXt", b"a\0b", wrong=True),
])
def test_a_repaired_png_keeps_its_orientation(seen: Callable[..., tuple[bytes, bytes]], png: bytes) -> None:
    assert seen(png) == seen(PNG)


@pytest.mark.parametrize("interlaced", [False, True])
def test_png_that_lacks_pixels_reports_the_share_present(seen: Callable[..., tuple[bytes, bytes]], interlaced: bool) -> None:
    rows = [bytes(range(40)) for _row in range(100)]
    png = pictures.png((40, 100), 8, 0, rows[:75])
    if interlaced:
        header = struct.pack(">LLBBBBB", 40, 100, 8, 0, 0, 0, 1)
        png = with_chunk(b"\x89PNG\r\n\x1a\n" + png[IHDR_END:], b"IHDR", header, place=8)
    with pytest.raises(ImageError, match=r"the file is cut off, and 7[345].* % of the picture is there") as error:
        seen(with_chunk(png, b"tEXt", b"a\0b", wrong=True))
    assert error.value.kind == "truncated"


def test_a_png_whose_pixels_have_a_wrong_checksum_is_damaged(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    place = PNG.index(b"IDAT") + 20
    with pytest.raises(ImageError, match="checksum of chunk IDAT") as error:
        seen(PNG[:place] + bytes((PNG[place] ^ 1,)) + PNG[place + 1:])
    assert error.value.kind == "damaged"


def test_the_pixels_of_a_repaired_png_are_limited(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    with pytest.raises(ImageError) as error:
        seen(BLEMISHES["zTXt"], pixels=100)
    assert error.value.kind == "too_large"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2, "optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_has_the_hash_of_the_same_picture(
        seen: Callable[..., tuple[bytes, bytes]], mode: str, options: dict[str, object]) -> None:
    jpeg = pictures.encode(pictures.colour(LARGE).convert(mode), "JPEG", quality=90, **options)
    assert seen(jpeg[:-2]) == seen(jpeg[:-1]) == seen(jpeg)


def test_jpeg_that_lacks_pixels_reports_the_share_present(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    noise = Image.effect_noise(LARGE, 80).convert("RGB")
    jpeg = pictures.encode(noise, "JPEG", quality=90)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(ImageError, match="the file is cut off") as error:
            seen(jpeg[:int(part * len(jpeg))])
        assert error.value.kind == "truncated"
        assert abs(float(error.value.cause.split("and ")[1].split(" %")[0]) / 100 - part) < 0.04


def animation(format_: str) -> bytes:
    first = pictures.colour(LARGE)
    return pictures.encode(first, format_, save_all=True, append_images=[ImageOps.mirror(first), ImageOps.flip(first)])


@pytest.mark.parametrize(("format_", "part"), [("GIF", 0.5), ("GIF", 0.9), ("WEBP", 0.5), ("WEBP", 0.9), ("PNG", 0.5), ("PNG", 0.9), ("MPO", 0.5)])
def test_animation_with_a_truncated_later_frame_keeps_its_hash(
        seen: Callable[..., tuple[bytes, bytes]], format_: str, part: float) -> None:
    whole = animation(format_)
    assert seen(whole[:int(part * len(whole))]) == seen(whole)


def test_webp_that_lacks_pixels_reports_the_share_present(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    webp = pictures.encode(pictures.colour(LARGE), "WEBP")
    with pytest.raises(ImageError, match=r"the file is cut off, and (49|50)\S* % of the picture is there"):
        seen(webp[:len(webp) // 2 + 10])


def test_webp_with_truncated_metadata_keeps_its_hash(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    webp = pictures.encode(pictures.colour(LARGE), "WEBP", xmp=bytes(500))
    assert seen(webp[:-100]) == seen(webp)


def bmp_of_fields(masks: tuple[int, ...], bits: int, compression: int) -> bytes:
    """The drawn picture with these fields; a fourth mask is alpha."""
    im = pictures.colour()
    bands = [band.tobytes() for band in (*im.split(), pictures.alpha())]
    packed = bytearray()
    for levels in zip(*bands):
        word = sum(level * (mask // (mask & -mask)) // 255 * (mask & -mask) for level, mask in zip(levels, masks))
        packed += word.to_bytes(bits // 8, "little")
    info = struct.pack("<LllHHLLllLL", 40, im.width, -im.height, 1, bits, compression, len(packed), 0, 0, 0, 0)
    fields = struct.pack(f"<{len(masks)}L", *masks)
    start = 14 + 40 + len(fields)
    return b"BM" + struct.pack("<LHHL", start + len(packed), 0, 0, start) + info + fields + bytes(packed)


@pytest.mark.parametrize("case", sorted(DEPTHS))
def test_a_bmp_with_unusual_bit_fields_is_decoded(seen: Callable[..., tuple[bytes, bytes]], case: int) -> None:
    masks, bits = DEPTHS[case]
    pixels = seen(bmp_of_fields(masks, bits, 3))[0]
    assert max(abs(one - other) for one, other in zip(pixels, seen(PNG)[0])) < (80 if case == 2 else 6)


def test_a_bmp_with_alpha_fields_is_over_white(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    im = pictures.colour()
    im.putalpha(pictures.alpha())
    assert seen(bmp_of_fields((0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, 6)) == seen(pictures.encode(im, "PNG"))


def test_bmp_with_a_short_header_or_extra_colours_keeps_its_hash(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    bmp = pictures.encode(pictures.grey(), "BMP")
    palette, rows = bmp[54:54 + 1024], bmp[54 + 1024:]
    short = b"BM" + struct.pack("<LHHL", 0, 0, 0, 30 + 1024) + struct.pack("<LLLHH", 16, 48, 40, 1, 8) + palette + rows
    many = (b"BM" + struct.pack("<LHHL", 0, 0, 0, 54 + 1200) + struct.pack("<LllHHLLllLL", 40, 48, 40, 1, 8, 0, 0, 0, 0, 300, 0) + palette
            + bytes(176) + rows)
    assert seen(short) == seen(many) == seen(bmp)


def test_the_pixels_of_a_bmp_with_bit_fields_are_limited(seen: Callable[..., tuple[bytes, bytes]]) -> None:
    with pytest.raises(ImageError) as error:
        seen(bmp_of_fields((0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, 6), pixels=100)
    assert error.value.kind == "too_large"
