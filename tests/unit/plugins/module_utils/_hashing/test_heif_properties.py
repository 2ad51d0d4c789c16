# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from pathlib import Path

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    decoder_limits,
    ffmpeg_decoder,
    heif_properties,
    image_decoder,
    image_formats,
    pillow_decoder,
    pyav_decoder,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
SIZE = (96, 64)
ROTATIONS = (None, 0, 1, 2, 3)
MIRRORS = (None, 0, 1)


@functools.cache
def avif(rotation: int | None, mirror: int | None) -> bytes:
    """An AVIF with these boxes: Pillow writes them for an orientation, and their values are replaced."""
    orientation = {(False, False): 1, (True, False): 6, (False, True): 2, (True, True): 7}[rotation is not None, mirror is not None]
    exif = Image.Exif()
    exif[pillow_decoder.ORIENTATION] = orientation
    content = pictures.encode(pictures.colour(SIZE), "AVIF", quality=95, exif=exif.tobytes())
    for box, value in ((b"irot", rotation), (b"imir", mirror)):
        assert content.count(box) == (value is not None)
        if value is not None:
            content = content[:content.index(box) + 4] + bytes([value]) + content[content.index(box) + 5:]
    return content


def orientation_of(content: bytes) -> int:
    return heif_properties.exif_orientation(io.BytesIO(content))


@pytest.mark.parametrize("mirror", MIRRORS)
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_boxes_mean_the_orientation_that_libavif_reads(rotation: int | None, mirror: int | None) -> None:
    content = avif(rotation, mirror)
    with Image.open(io.BytesIO(content)) as im:
        assert orientation_of(content) == im.getexif().get(pillow_decoder.ORIENTATION, 1)


def by_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.setenv("PATH", "/nowhere")


def by_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    if ffmpeg_decoder.version() is None:
        pytest.skip("FFmpeg is not installed")
    monkeypatch.setattr(pyav_decoder, "can_decode", lambda format_: False)


@pytest.mark.slow
@pytest.mark.parametrize("mirror", MIRRORS)
@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("only", [by_pyav, by_ffmpeg])
def test_every_decoder_hashes_an_avif_upright(
        only: Callable[[pytest.MonkeyPatch], None], rotation: int | None, mirror: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.avif"
    file.write_bytes(avif(rotation, mirror))

    def levels() -> tuple[str, bytes]:
        pixels = image_decoder.read_pixels(str(file), "pillow", [str(tmp_path.resolve())], decoder_limits.Limits())
        return pixels.decoder, pixels.horizontal + pixels.vertical

    decoder, expected = levels()
    assert decoder == "pillow"
    can_open = pillow_decoder.can_open
    monkeypatch.setattr(pillow_decoder, "can_open", lambda format_, head: format_ is not image_formats.AVIF and can_open(format_, head))
    only(monkeypatch)
    decoder, found = levels()
    assert decoder == only.__name__.removeprefix("by_")
    assert max(abs(one - other) for one, other in zip(found, expected)) < 10


def test_properties_of_another_item_do_not_count() -> None:
    content = avif(3, None)
    place = content.index(b"ipma") + 8  # behind its version and flags
    assert content[place:place + 6] == bytes([0, 0, 0, 1, 0, 1])  # one item, whose number is 1
    assert orientation_of(content) == 6
    assert orientation_of(content[:place + 5] + bytes([2]) + content[place + 6:]) == 1


def test_a_file_with_wide_numbers_is_read_too() -> None:
    def box(kind: bytes, content: bytes) -> bytes:
        return (len(content) + 8).to_bytes(4, "big") + kind + content

    item = (70_000).to_bytes(4, "big")
    properties = box(b"ipco", box(b"ispe", bytes(12)) + box(b"irot", bytes([1])))
    associations = box(b"ipma", bytes([1, 0, 0, 1]) + (2).to_bytes(4, "big") + bytes([0, 0, 0, 9, 1, 0, 1]) + item + bytes([2, 0, 1, 0x80, 2]))
    meta = bytes(4) + box(b"pitm", bytes([1, 0, 0, 0]) + item) + box(b"iprp", properties + associations)
    large = bytes([0, 0, 0, 1]) + b"meta" + (len(meta) + 16).to_bytes(8, "big") + meta
    assert orientation_of(box(b"ftyp", b"avif\0\0\0\0") + large) == 8
    assert orientation_of(box(b"ftyp", b"avis\0\0\0\0") + large) == 1


@given(st.data())
def test_a_damaged_file_is_taken_as_it_stands(data: st.DataObject) -> None:
    content = bytearray(avif(1, 0))
    for _change in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    assert 1 <= orientation_of(bytes(content[:data.draw(st.integers(0, 320))])) <= 8


def test_avif_beyond_the_limit_of_pixels_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(avif(None, None).replace(struct.pack(">LL", *SIZE), struct.pack(">LL", 40_000, 40_000)))
    with pytest.raises(ImageError) as error:
        image_decoder.read_pixels(str(tmp_path / "a.avif"), "pillow", [str(tmp_path.resolve())], decoder_limits.Limits())
    assert error.value.kind == "too_large"
