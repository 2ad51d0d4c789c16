# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edit a picture in memory, as people edit the copies that they pass on, and hash each edited copy.

Runs in a worker, within the same limits as hashing. A small copy of the picture is edited: the file itself is only read.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._hashing import decoder_limits, image_decoder, image_formats, preview_maker

if TYPE_CHECKING:
    from PIL import Image

    Change = Callable[[Image.Image], Image.Image]

EDGE = 512  # pixels, at most, of the longer side of the copy
QUALITY = 85  # of the JPEG that an edited copy is saved as
WORDS = "A DAY TO REMEMBER"


class Edit(NamedTuple):
    """An edit. ``name``: what people call it. ``change`` is a function of this file, ``quality`` that of the saved JPEG."""

    name: str
    change: Change
    quality: int = QUALITY


class Edited(NamedTuple):
    """The 144 luma pixels of a picture, and those of its edited copies in the order of EDITS."""

    original: bytes
    copies: tuple[bytes, ...]
    seconds: float


def read_edits(path: str, media_roots: Sequence[str], limits: decoder_limits.Limits) -> Edited:
    """Hash the image at ``path`` and its edited copies. Needs Pillow. Raises ImageError.

    ``media_roots`` are real paths of folders. ``limits.memory_bytes`` is for the caller to set on its process.
    """
    from PIL import Image

    started = time.monotonic()
    pixels = image_decoder.read_pixels(path, "pillow", media_roots, limits)
    small = preview_maker.read_preview(path, EDGE, media_roots, limits)
    with Image.open(io.BytesIO(small.jpeg), formats=["JPEG"]) as opened:
        picture = opened.convert("RGB")
    copies = tuple(_luma(edit.change(picture), edit.quality) for edit in EDITS)
    return Edited(pixels.horizontal + pixels.vertical, copies, time.monotonic() - started)


def _luma(copy: Image.Image, quality: int) -> bytes:
    from .._hashing import pillow_decoder

    content = io.BytesIO()
    copy.save(content, "JPEG", quality=quality)
    format_ = image_decoder.identify(content.getvalue()[:image_formats.HEAD_BYTES])
    content.seek(0)
    horizontal, vertical = pillow_decoder.luma_pixels(content, format_, copy.width * copy.height)
    return horizontal + vertical


def _unchanged(im: Image.Image) -> Image.Image:
    return im


def _scaled(im: Image.Image, across: float, down: float) -> Image.Image:
    from .._hashing import pillow_decoder

    return im.resize((max(1, round(im.width * across)), max(1, round(im.height * down))), pillow_decoder.BICUBIC)


def _half(im: Image.Image) -> Image.Image:
    return _scaled(im, 0.5, 0.5)


def _larger(im: Image.Image) -> Image.Image:
    return _scaled(im, 1.5, 1.5)


def _squeezed(im: Image.Image) -> Image.Image:
    return _scaled(im, 1, 0.8)


def _thumbnail(im: Image.Image) -> Image.Image:
    return _scaled(im, 128 / max(im.size), 128 / max(im.size))


def _cropped(im: Image.Image) -> Image.Image:
    across, down = round(im.width * 0.015), round(im.height * 0.015)
    return im.crop((across, down, im.width - across, im.height - down))


def _cut_at_one_side(im: Image.Image) -> Image.Image:
    return im.crop((round(im.width * 0.03), 0, im.width, im.height))


def _multiplied(im: Image.Image, factor: float) -> Image.Image:
    return im.point([min(255, round(level * factor)) for level in range(256)] * 3)


def _brighter(im: Image.Image) -> Image.Image:
    return _multiplied(im, 1.3)


def _darker(im: Image.Image) -> Image.Image:
    return _multiplied(im, 0.7)


def _less_contrast(im: Image.Image) -> Image.Image:
    return im.point([round(128 + (level - 128) * 0.6) for level in range(256)] * 3)


def _grey(im: Image.Image) -> Image.Image:
    return im.convert("L")


def _blurred(im: Image.Image) -> Image.Image:
    from PIL import ImageFilter

    return im.filter(ImageFilter.GaussianBlur(2))


def _captioned(im: Image.Image) -> Image.Image:
    """White text with a dark edge across the lower part."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    font = ImageFont.load_default()
    left, top, right, bottom = map(int, ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), WORDS, font=font))
    text = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(text).text((-left, -top), WORDS, 255, font=font)
    width = max(1, round(im.width * 0.75))
    height = max(1, round(width * text.height / text.width))
    mask = Image.new("L", im.size, 0)
    mask.paste(text.resize((width, height)), ((im.width - width) // 2, im.height * 9 // 10 - height))
    edge = mask.filter(ImageFilter.MaxFilter(5))
    dark = Image.composite(Image.new("RGB", im.size, "black"), im, edge)
    return Image.composite(Image.new("RGB", im.size, "white"), dark, mask)


def _bordered(im: Image.Image) -> Image.Image:
    from PIL import Image

    border = max(1, round(max(im.size) * 0.02))
    larger = Image.new("RGB", (im.width + 2 * border, im.height + 2 * border), "white")
    larger.paste(im, (border, border))
    return larger


def _banner(im: Image.Image) -> Image.Image:
    """A black bar over the lowest 15 %."""
    copy = im.copy()
    copy.paste((0, 0, 0), (0, round(im.height * 0.85), im.width, im.height))
    return copy


EDITS = (
    Edit("JPEG, quality 30", _unchanged, 30),
    Edit("JPEG, quality 10", _unchanged, 10),
    Edit("half size", _half),
    Edit("one and a half times the size", _larger),
    Edit("thumbnail of 128 pixels", _thumbnail),
    Edit("squeezed to 80 % of the height", _squeezed),
    Edit("cropped by 3 %", _cropped),
    Edit("cropped by 3 % at one side", _cut_at_one_side),
    Edit("brighter", _brighter),
    Edit("darker", _darker),
    Edit("less contrast", _less_contrast),
    Edit("grey", _grey),
    Edit("blurred", _blurred),
    Edit("captioned", _captioned),
    Edit("white border of 2 %", _bordered),
    Edit("black banner over the lowest 15 %", _banner),
)
