# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import pytest
import raw_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, image_decoder, preview_maker
from PIL import Image, ImageOps

SIZE = (640, 480)
SHOWN = pictures.encode(pictures.colour(SIZE), "JPEG", quality=90)
THUMBNAIL = pictures.encode(ImageOps.mirror(pictures.colour((160, 120))), "JPEG")
TURN_BACK = pictures.TURN_BACK[6]
assert TURN_BACK is not None
LYING = pictures.encode(pictures.colour(SIZE).transpose(TURN_BACK), "JPEG", quality=90)
LOSSLESS = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 11, 14, 3000, 4000, 1) + bytes(200)
FILES = {
    "CR2": raw_files.tiff(b"II*\0", b"Canon", [THUMBNAIL, SHOWN, LOSSLESS]),
    "CR3": raw_files.cr3([THUMBNAIL, SHOWN]),
    "NEF": raw_files.tiff(b"MM\0*", b"NIKON CORPORATION", [THUMBNAIL, SHOWN], compression=34713),
    "ARW": raw_files.tiff(b"II*\0", b"SONY", [SHOWN, THUMBNAIL], compression=32767),
    "DNG": raw_files.tiff(b"II*\0", b"Some Phone", [THUMBNAIL, SHOWN], dng=True, directory_at_end=True),
    "PEF": raw_files.tiff(b"MM\0*", b"PENTAX", [THUMBNAIL, SHOWN], compression=65535),
    "camera raw": raw_files.tiff(b"II*\0", b"Unknown", [THUMBNAIL, SHOWN]),
    "ORF": raw_files.tiff(b"IIRO", b"OLYMPUS", [THUMBNAIL, SHOWN]),
    "RW2": raw_files.rw2([SHOWN]),
    "RAF": raw_files.raf([SHOWN, THUMBNAIL]),
}
TURNED = {
    "NEF": raw_files.tiff(b"MM\0*", b"NIKON", [LYING], orientation=6),
    "CR2": raw_files.tiff(b"II*\0", b"Canon", [LYING], orientation=6),
    "RW2": raw_files.rw2([LYING], orientation=6),
    "CR3": raw_files.cr3([LYING], orientation=6),
    "RAF": raw_files.raf([pictures.encode(pictures.colour(SIZE).transpose(TURN_BACK), "JPEG", quality=90, exif=pictures.exif(6))]),
}


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], tuple[str, list[str]]]:
    """Write a file; its path and the media roots."""
    def write(content: bytes) -> tuple[str, list[str]]:
        (tmp_path / "picture").write_bytes(content)
        return str(tmp_path / "picture"), [str(tmp_path.resolve())]
    return write


@pytest.fixture
def read(put: Callable[[bytes], tuple[str, list[str]]]) -> Callable[..., difference_hash.Pixels]:
    def pixels(content: bytes, algorithm: str = "pillow", **limits: Any) -> difference_hash.Pixels:
        path, roots = put(content)
        return image_decoder.read_pixels(path, algorithm, roots, decoder_limits.Limits(**limits))
    return pixels


@pytest.mark.parametrize("name", sorted(FILES))
def test_of_a_raw_file_the_largest_preview_is_hashed(read: Callable[..., difference_hash.Pixels], name: str) -> None:
    pixels = read(FILES[name])
    assert (pixels.horizontal, pixels.decoder) == (read(SHOWN).horizontal, "raw_preview")


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_review_shows_the_size_of_the_sensor(put: Callable[[bytes], tuple[str, list[str]]], name: str) -> None:
    path, roots = put(FILES[name])
    made = preview_maker.read_preview(path, 200, roots, decoder_limits.Limits())
    assert (made.width, made.height, made.format) == (*raw_files.SENSOR, name)


@pytest.mark.parametrize("name", sorted(TURNED))
def test_a_preview_is_upright(put: Callable[[bytes], tuple[str, list[str]]], read: Callable[..., difference_hash.Pixels], name: str) -> None:
    drawn = read(SHOWN).horizontal
    assert max(abs(one - other) for one, other in zip(read(TURNED[name]).horizontal, drawn)) < 8
    path, roots = put(TURNED[name])
    made = preview_maker.read_preview(path, 200, roots, decoder_limits.Limits())
    assert (made.width, made.height) == ((2400, 1800) if name == "RAF" else (1800, 2400))


def test_uncompressed_thumbnail_is_hashed_if_it_is_the_only_one(
        put: Callable[[bytes], tuple[str, list[str]]], read: Callable[..., difference_hash.Pixels]) -> None:
    small = pictures.colour((160, 120))
    nef = raw_files.tiff(b"II*\0", b"NIKON", [], thumbnail=(*small.size, small.tobytes()))
    pixels = read(nef)
    assert (pixels.horizontal, pixels.decoder) == (read(pictures.encode(small, "PNG")).horizontal, "raw_preview")
    path, roots = put(nef)
    made = preview_maker.read_preview(path, 200, roots, decoder_limits.Limits())
    assert (made.width, made.height, made.format) == (*raw_files.SENSOR, "NEF")


@pytest.mark.parametrize("name", ["ORF", "RW2", "RAF", "CR3", "DNG"])
def test_a_raw_file_without_a_preview_is_unsupported(read: Callable[..., difference_hash.Pixels], name: str) -> None:
    content = FILES[name].replace(b"\xff\xd8\xff", bytes(3))
    words = rf"{name}: no decoder of this host reads it \(raw_preview: the file has sensor data and no preview\)\. Develop"
    with pytest.raises(ImageError, match=words) as error:
        read(content)
    assert error.value.kind == "unsupported"


def test_the_pixels_of_a_preview_are_limited(read: Callable[..., difference_hash.Pixels]) -> None:
    with pytest.raises(ImageError) as error:
        read(raw_files.raf([pictures.encode(pictures.colour(SIZE), "JPEG", progressive=True)]), pixels=1000)
    assert error.value.kind == "too_large"


def test_a_tiff_with_smaller_copies_of_itself_is_no_raw_file(read: Callable[..., difference_hash.Pixels]) -> None:
    tiff = pictures.encode(pictures.colour(), "TIFF", tiffinfo={330: 8})
    assert read(tiff).decoder == "pillow"


def test_directories_that_name_each_other_end(read: Callable[..., difference_hash.Pixels]) -> None:
    entries: list[raw_files.Entry] = [(330, 4, [8] * 500), (50706, 1, [1, 4, 0, 0])]
    with pytest.raises(ImageError):
        read(b"II*\0" + struct.pack("<L", 8) + raw_files.directory(8, entries, following=8))


def test_an_orientation_without_a_value_is_upright(read: Callable[..., difference_hash.Pixels]) -> None:
    preview = pictures.encode(pictures.colour(), "JPEG")
    nothing: list[raw_files.Entry] = [(274, 3, [])]
    raw = (b"IIRO" + struct.pack("<L", 8) + raw_files.directory(8, nothing)).ljust(200, b"\0") + preview
    assert read(raw).horizontal == read(preview).horizontal


def test_algorithm_ffmpeg_does_not_hash_raw_files(read: Callable[..., difference_hash.Pixels]) -> None:
    with pytest.raises(ImageError, match="algorithm ffmpeg cannot hash RAF"):
        read(FILES["RAF"], "ffmpeg")


@pytest.mark.parametrize("part", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_raw_file_that_is_cut_off_is_an_error_or_has_a_preview(read: Callable[..., difference_hash.Pixels], name: str, part: float) -> None:
    try:
        assert read(FILES[name][:int(part * len(FILES[name]))]).decoder in ("raw_preview", "pillow")
    except ImageError as error:
        assert error.kind in ("unsupported", "truncated", "damaged")


def test_image_made_from_a_raw_file_is_its_duplicate(read: Callable[..., difference_hash.Pixels]) -> None:
    derived = pictures.encode(Image.open(io.BytesIO(SHOWN)).resize((320, 240)), "JPEG")
    hashes = difference_hash.hash_pixels([read(FILES["NEF"]), read(derived)])
    assert difference_hash.distance(hashes[0][0], hashes[1][0]) <= 2


@pytest.mark.parametrize("header", [b"II+\0\x08\0\0\0" + b"\xff" * 8, b"II*\0" + b"\xff" * 4, b"MM\0*\0\0\0\1"])
def test_directory_past_the_end_of_a_file_is_that_files_error(read: Callable[..., difference_hash.Pixels], header: bytes) -> None:
    with pytest.raises(ImageError) as error:
        read(header + bytes(100))
    assert error.value.kind in ("truncated", "damaged")
