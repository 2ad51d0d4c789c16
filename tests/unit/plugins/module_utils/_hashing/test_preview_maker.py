# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, preview_maker, worker_pool
from PIL import Image

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture
def preview(tmp_path: Path) -> Callable[..., tuple[preview_maker.Preview, Image.Image]]:
    """The preview of a file with this content, and the picture in it."""
    def preview(
            content: bytes, name: str = "image", edge: int = 640, roots: list[str] | None = None, **limits: Any) -> tuple[preview_maker.Preview, Image.Image]:
        (tmp_path / name).write_bytes(content)
        made = preview_maker.read_preview(str(tmp_path / name), edge, roots or [os.path.realpath(tmp_path)], decoder_limits.Limits(**limits))
        return made, Image.open(io.BytesIO(made.jpeg))
    return preview


def encoded(picture: Image.Image, format_: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, format_, **options)
    return content.getvalue()


def is_about(picture: Image.Image, expected: tuple[int, ...], place: tuple[float, float] = (0.5, 0.5)) -> bool:
    pixel = picture.convert("RGB").getpixel((int(place[0] * picture.width), int(place[1] * picture.height)))
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= 16 for one, other in zip(pixel, expected))


@pytest.mark.parametrize(("size", "expected"), [
    ((1280, 960), (640, 480)), ((960, 1280), (480, 640)), ((640, 640), (640, 640)), ((100, 20), (100, 20)), ((6400, 10), (640, 1)),
])
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_preview_is_at_most_640_pixels_and_is_never_enlarged(
        preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], size: tuple[int, int], expected: tuple[int, int], format_: str) -> None:
    made, picture = preview(encoded(Image.new("RGB", size, "red"), format_))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", expected)
    assert (made.width, made.height, made.format) == (*size, format_)
    assert is_about(picture, RED)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_preview_is_upright(preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], orientation: int, format_: str) -> None:
    upright = Image.new("RGB", (120, 80), "white")
    upright.paste("red", (0, 0, 30, 40))  # in the upper left corner
    turn = pictures.TURN_BACK[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if format_ == "TIFF" else {"exif": exif.tobytes(), "lossless": True}
    made, picture = preview(encoded(stored, format_, **options))
    assert (made.width, made.height) == picture.size == (120, 80)
    assert is_about(picture, RED, (0.1, 0.2))
    assert is_about(picture, WHITE, (0.9, 0.8))


def transparent(mode: str) -> tuple[Image.Image, dict[str, Any]]:
    picture = Image.new("RGBA", (20, 20), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 20, 10))
    if mode == "P":
        paletted = Image.new("P", (20, 20), 1)
        paletted.putpalette([0, 0, 0, 255, 0, 0])
        paletted.paste(0, (0, 0, 20, 10))
        return paletted, {"transparency": 0}
    return (picture, {}) if mode == "RGBA" else (picture.convert("RGB"), {"transparency": (0, 0, 0)})


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGB"])
def test_what_is_transparent_is_shown_over_white(preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], mode: str) -> None:
    picture, options = transparent(mode)
    shown = preview(encoded(picture, "PNG", **options))[1]
    assert is_about(shown, WHITE, (0.5, 0.2))
    assert is_about(shown, RED, (0.5, 0.8))


@pytest.mark.parametrize(("mode", "format_", "colour", "shown"), [
    ("L", "PNG", 100, (100,) * 3), ("1", "PNG", 1, WHITE), ("CMYK", "JPEG", (0, 255, 255, 0), RED), ("I;16", "PNG", 128 * 256, (128,) * 3),
    ("F", "TIFF", 100.0, (100,) * 3), ("P", "GIF", 0, (255, 0, 0)), ("L", "PPM", 100, (100,) * 3),
])
def test_every_kind_of_picture_can_be_shown(
        preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], mode: str, format_: str, colour: float | tuple[int, ...],
        shown: tuple[int, int, int]) -> None:
    picture = Image.new(mode, (30, 20), colour)
    if mode == "P":
        picture.putpalette([255, 0, 0])
    assert is_about(preview(encoded(picture, format_))[1], shown)


def test_preview_holds_no_metadata_of_the_original(preview: Callable[..., tuple[preview_maker.Preview, Image.Image]]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    content = encoded(Image.new("RGB", (80, 80)), "JPEG", exif=exif, comment=b"where I live", icc_profile=b"where I live")
    assert b"where I live" in content
    assert b"where I live" not in preview(content)[0].jpeg


@pytest.mark.parametrize(("content", "limits", "kind"), [
    (b"", {}, "truncated"), (b"<html>", {}, "not_an_image"), (encoded(Image.new("RGB", (99, 99)), "PNG")[:80], {}, "truncated"),
    (encoded(Image.new("RGB", (99, 99)), "PNG"), {"pixels": 99 * 99 - 1}, "too_large"),
    (encoded(Image.new("RGB", (99, 99)), "PNG"), {"file_bytes": 50}, "too_large"),
])
def test_what_cannot_be_shown_says_why(
        preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], content: bytes, limits: dict[str, Any], kind: str) -> None:
    with pytest.raises(ImageError) as failed:
        preview(content, **limits)
    assert failed.value.kind == kind


def test_nothing_outside_the_media_roots_is_shown(preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir()
    with pytest.raises(ImageError) as failed:
        preview(encoded(Image.new("RGB", (9, 9)), "PNG"), roots=[os.path.realpath(tmp_path / "roots")])
    assert failed.value.kind == "outside_media_root"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the FFmpeg program is not there")
def test_what_pillow_cannot_decode_is_shown_by_ffmpeg(
        preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ffmpeg")
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import pillow_decoder

    can_open = pillow_decoder.can_open
    monkeypatch.setattr(pillow_decoder, "can_open", lambda format_, head: format_.pillow != "JPEG" and can_open(format_, head))
    made, picture = preview(encoded(Image.new("RGB", (1280, 960), "red"), "JPEG"))
    assert (made.width, made.height, made.format, picture.size) == (1280, 960, "JPEG", (640, 480))
    assert is_about(picture, RED)


@pytest.mark.slow
def test_workers_make_the_same_previews_and_survive_crashes(
        preview: Callable[..., tuple[preview_maker.Preview, Image.Image]], tmp_path: Path) -> None:
    alone = preview(encoded(Image.new("RGB", (700, 50), "red"), "PNG"), "good.png")[0]
    huge = encoded(Image.new("L", (20000, 10000)), "PNG")
    (tmp_path / "huge.png").write_bytes(huge)
    (tmp_path / "page.png").write_bytes(b"<html>")
    paths = [(name, str(tmp_path / name)) for name in ("huge.png", "good.png", "page.png", "none.png")]
    limits = decoder_limits.Limits(memory_bytes=400 << 20)
    results = dict(worker_pool.make_previews(paths, 640, [os.path.realpath(tmp_path)], limits, 1))
    good = results["good.png"]
    assert isinstance(good, preview_maker.Preview) and good._replace(seconds=0) == alone._replace(seconds=0)
    assert {name: result.kind for name, result in results.items() if isinstance(result, ImageError)} == \
        {"huge.png": "too_large", "page.png": "not_an_image", "none.png": "missing"}
