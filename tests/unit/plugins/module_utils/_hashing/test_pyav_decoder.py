# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    decoder_limits,
    difference_hash,
    image_decoder,
    image_formats,
    pillow_decoder,
    pyav_decoder,
)
from PIL import Image
from raw_files import box

ODD = (321, 243)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., difference_hash.Pixels]:
    """The pixels of a file that Pillow does not open, on a host without the FFmpeg program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    can_open = pillow_decoder.can_open
    monkeypatch.setattr(pillow_decoder, "can_open", lambda format_, head: format_ is not image_formats.AVIF and can_open(format_, head))

    def pixels(content: bytes, **limits: Any) -> difference_hash.Pixels:
        (tmp_path / "picture").write_bytes(content)
        return image_decoder.read_pixels(str(tmp_path / "picture"), "pillow", [str(tmp_path.resolve())], decoder_limits.Limits(**limits))
    return pixels


def test_an_avif_is_decoded_in_process_with_its_transparency(read: Callable[..., difference_hash.Pixels]) -> None:
    pytest.importorskip("av")
    im = pictures.colour(ODD)
    im.putalpha(pictures.alpha(ODD))
    pixels = read(pictures.encode(im, "AVIF", quality=95))
    drawn = pillow_decoder._scaled(pictures.over_white(pictures.colour(ODD), pictures.alpha(ODD)), 9, 8)
    assert pixels.decoder == "pyav"
    assert max(abs(one - other) for one, other in zip(pixels.horizontal, drawn)) < 10


def in_tiles(im: Image.Image, columns: int, rows: int) -> bytes:
    """An AVIF whose primary picture is put together from tiles (ISO/IEC 23008-12, 6.6.2.3), each of which Pillow has encoded."""
    width, height = im.width // columns, im.height // rows
    corners = [(column * width, row * height) for row in range(rows) for column in range(columns)]
    files = [pictures.encode(im.crop((left, top, left + width, top + height)), "AVIF", quality=95) for left, top in corners]
    start = files[0].index(b"av1C") - 4
    coding = files[0][start:start + int.from_bytes(files[0][start:start + 4], "big")]
    data = [struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, im.width, im.height), *(file[file.index(b"mdat") + 4:] for file in files)]
    items = range(1, len(data) + 1)
    sizes = [box(b"ispe", bytes(4), struct.pack(">LL", *size)) for size in (im.size, (width, height))]
    belong = [struct.pack(">HB", item, 1) + b"\x01" if item == 1 else struct.pack(">HB", item, 2) + b"\x02\x83" for item in items]
    properties = box(b"iprp", box(b"ipco", *sizes, coding), box(b"ipma", bytes(4), struct.pack(">L", len(data)), *belong))
    kinds = [box(b"infe", b"\2\0\0\0", struct.pack(">HH", item, 0), b"grid\0" if item == 1 else b"av01\0") for item in items]
    parts = [box(b"hdlr", bytes(8), b"pict", bytes(13)), box(b"pitm", bytes(4), struct.pack(">H", 1)),
             box(b"iinf", bytes(4), struct.pack(">H", len(data)), *kinds),
             box(b"iref", bytes(4), box(b"dimg", struct.pack(f">HH{len(files)}H", 1, len(files), *items[1:]))), properties]
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")

    def meta(first: int) -> bytes:
        starts = [first + sum(map(len, data[:number])) for number in range(len(data))]
        places = b"".join(struct.pack(">HHHLL", item, 0, 1, start, len(content)) for item, start, content in zip(items, starts, data))
        return box(b"meta", bytes(4), *parts, box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(data)), places))

    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *data)


@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (1, 3), (3, 2)])
def test_a_picture_in_tiles_is_put_together(read: Callable[..., difference_hash.Pixels], columns: int, rows: int) -> None:
    pytest.importorskip("av")
    im = pictures.colour((384, 192))
    pixels = read(in_tiles(im, columns, rows))
    assert pixels.decoder == "pyav"
    assert max(abs(one - other) for one, other in zip(pixels.horizontal, read(pictures.encode(im, "PNG")).horizontal)) < 10
    with pytest.raises(ImageError) as error:
        read(in_tiles(im, columns, rows).replace(struct.pack(">LL", *im.size), struct.pack(">LL", 400, 700)))
    assert error.value.kind == "unsupported"


def test_a_picture_that_is_no_transparency_is_not_taken_for_it(read: Callable[..., difference_hash.Pixels]) -> None:
    pytest.importorskip("av")
    im = pictures.colour(ODD)
    opaque = read(pictures.encode(im, "AVIF", quality=95)).horizontal
    im.putalpha(pictures.alpha(ODD))
    with_another_picture = pictures.encode(im, "AVIF", quality=95).replace(b"auxiliary:alpha", b"auxiliary:other")
    assert max(abs(one - other) for one, other in zip(read(with_another_picture).horizontal, opaque)) < 10


@pytest.mark.parametrize(("content", "kind"), [("whole", "too_large"), ("cut", "truncated"), ("tiles", "unsupported")])
def test_what_pyav_does_not_decode_has_its_kind(read: Callable[..., difference_hash.Pixels], content: str, kind: str) -> None:
    pytest.importorskip("av")
    avif = pictures.encode(pictures.colour(ODD), "AVIF")
    files = {"whole": avif, "cut": avif[:-100], "tiles": avif.replace(b"av01", b"grid")}
    with pytest.raises(ImageError) as error:
        read(files[content], pixels=1000 if content == "whole" else 10**6)
    assert error.value.kind == kind


def test_each_error_of_pyav_is_an_error_of_its_image(read: Callable[..., difference_hash.Pixels], monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    avif = pictures.encode(pictures.colour(ODD), "AVIF")
    kinds = {error for error in vars(av.error).values() if isinstance(error, type) and issubclass(error, av.FFmpegError)}
    for error in kinds:
        def fails(*_arguments: object, _error: type[Exception] = error, **_options: object) -> NoReturn:
            raise _error(0, "not done")

        monkeypatch.setattr(av, "open", fails)
        with pytest.raises(ImageError) as raised:
            read(avif)
        assert raised.value.kind in ("truncated", "unsupported", "damaged")
    assert len(kinds) > 10


@pytest.mark.parametrize("format_", [image_formats.PNG, image_formats.QUICKTIME, image_formats.AVIF])
def test_without_pyav_nothing_is_left_to_it(monkeypatch: pytest.MonkeyPatch, format_: image_formats.Format) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert not pyav_decoder.can_decode(format_)


def test_pyav_is_only_asked_for_what_it_has_a_decoder_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", types.ModuleType("av"))
    assert not pyav_decoder.can_decode(image_formats.AVIF)
    package = types.ModuleType("av")
    package.__dict__["codec"] = types.SimpleNamespace(codecs_available={"libdav1d", "png"})
    monkeypatch.setitem(sys.modules, "av", package)
    able = [format_ for format_ in (image_formats.PNG, image_formats.AVIF, image_formats.JPEG_XL) if pyav_decoder.can_decode(format_)]
    assert able == [image_formats.AVIF]
