# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edits that a copy of a picture may have gone through, each with the format in which the copy is saved."""
from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps, features

Change = Callable[[Image.Image, random.Random], Image.Image]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Edit(NamedTuple):
    change: Change
    format: str = "JPEG"
    options: Mapping[str, Any] = {"quality": 85}


def save(im: Image.Image, format_: str, options: Mapping[str, Any]) -> io.BytesIO:
    """The picture as a file in memory."""
    file = io.BytesIO()
    im.save(file, format_, **options)
    file.seek(0)
    return file


def cut(im: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = im.size
    return im.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))


def crop(share: float) -> Change:
    return lambda im, rng: cut(im, share / 2, share / 2, share / 2, share / 2)


def side_crop(share: float) -> Change:
    def change(im: Image.Image, rng: random.Random) -> Image.Image:
        shares = [0.0, 0.0, 0.0, 0.0]
        shares[rng.randrange(4)] = share
        return cut(im, *shares)

    return change


def border(share: float, colour: str) -> Change:
    return lambda im, rng: ImageOps.expand(im, max(1, round(max(im.size) * share)), colour)


def rotate(degrees: float) -> Change:
    return lambda im, rng: im.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(0, 0, 0))


def straighten(degrees: float) -> Change:
    """Rotated, and cropped so that no corner is black."""
    margin = 0.5 * float(np.sin(np.radians(degrees))) * 1.05
    return lambda im, rng: cut(im.rotate(degrees, Image.Resampling.BICUBIC), margin, margin, margin, margin)


def gamma(power: float) -> Change:
    levels = [round(255 * (level / 255) ** power) for level in range(256)]
    return lambda im, rng: im.point(levels * len(im.getbands()))


def contrast(factor: float) -> Change:
    return lambda im, rng: ImageEnhance.Contrast(im).enhance(factor)


def brightness(factor: float) -> Change:
    return lambda im, rng: ImageEnhance.Brightness(im).enhance(factor)


def filtered(filter_: ImageFilter.Filter) -> Change:
    return lambda im, rng: im.filter(filter_)


def resize(horizontal: float, vertical: float) -> Change:
    return lambda im, rng: im.resize((int(im.width * horizontal), int(im.height * vertical)))


def noise(sigma: float) -> Change:
    def change(im: Image.Image, rng: random.Random) -> Image.Image:
        added = np.random.default_rng(rng.getrandbits(32)).normal(0, sigma, (im.height, im.width, 3))
        return Image.fromarray(np.clip(np.asarray(im) + added, 0, 255).astype(np.uint8))

    return change


def box(colour: str, share: float = 0.06) -> Change:
    """A box of one colour at a random position."""
    def change(im: Image.Image, rng: random.Random) -> Image.Image:
        im = im.copy()
        width, height = round(im.width * share ** 0.5), round(im.height * share ** 0.5)
        left, top = rng.randint(0, im.width - width), rng.randint(0, im.height - height)
        ImageDraw.Draw(im).rectangle((left, top, left + width, top + height), colour)
        return im

    return change


def banner(im: Image.Image, _rng: random.Random) -> Image.Image:
    """A black bar over the lowest 15 %."""
    im = im.copy()
    ImageDraw.Draw(im).rectangle((0, round(im.height * 0.85), im.width, im.height), (0, 0, 0))
    return im


def caption(im: Image.Image, _rng: random.Random) -> Image.Image:
    im = im.copy()
    size = im.height // 12
    ImageDraw.Draw(im).text((im.width // 8, im.height * 5 // 6), "A DAY TO REMEMBER", (255, 255, 255), _font(size),
                            stroke_width=max(1, size // 12), stroke_fill=(0, 0, 0))
    return im


def caption_below(im: Image.Image, _rng: random.Random) -> Image.Image:
    """A white bar with text below the picture, which makes the picture higher."""
    added = max(8, im.height // 10)
    taller = Image.new("RGB", (im.width, im.height + added), (255, 255, 255))
    taller.paste(im)
    ImageDraw.Draw(taller).text((4, im.height + added // 6), "fig. 3: as seen from the bridge", (0, 0, 0), _font(added // 2))
    return taller


def watermark(im: Image.Image, _rng: random.Random) -> Image.Image:
    """Half-transparent text across the whole picture."""
    layer = Image.new("L", im.size, 0)
    draw = ImageDraw.Draw(layer)
    for row in range(-1, 4):
        draw.text((im.width // 10 * (row % 2), row * im.height // 3), "PREVIEW SAMPLE", 110, _font(im.width // 7))
    return Image.composite(Image.new("RGB", im.size, "white"), im, layer.rotate(20))


def vignette(im: Image.Image, _rng: random.Random) -> Image.Image:
    y, x = np.mgrid[-1:1:im.height * 1j, -1:1:im.width * 1j]
    return Image.fromarray((np.asarray(im) * np.clip(1.1 - 0.4 * (x * x + y * y), 0, 1)[..., None]).astype(np.uint8))


def sepia(im: Image.Image, _rng: random.Random) -> Image.Image:
    return im.convert("RGB", (.393, .769, .189, 0, .349, .686, .168, 0, .272, .534, .131, 0))


def thumbnail(im: Image.Image, _rng: random.Random) -> Image.Image:
    return im.resize((160, max(1, 160 * im.height // im.width)))


def palette(im: Image.Image, _rng: random.Random) -> Image.Image:
    return im.convert("P", palette=Image.Palette.ADAPTIVE)


def unchanged(im: Image.Image, _rng: random.Random) -> Image.Image:
    return im


def _font(size: int) -> Font:
    return ImageFont.load_default(max(8, size))


EDITS = {
    "crop 3 %": Edit(crop(.03)),
    "crop 5 %": Edit(crop(.05)),
    "crop 10 %": Edit(crop(.10)),
    "side crop 3 %": Edit(side_crop(.03)),
    "side crop 5 %": Edit(side_crop(.05)),
    "side crop 10 %": Edit(side_crop(.10)),
    "border white 2 %": Edit(border(.02, "white")),
    "border black 2 %": Edit(border(.02, "black")),
    "border white 4 %": Edit(border(.04, "white")),
    "rotated 1°": Edit(rotate(1)),
    "rotated 3°": Edit(rotate(3)),
    "straightened 1°": Edit(straighten(1)),
    "gamma 0.5": Edit(gamma(.5)),
    "gamma 2": Edit(gamma(2)),
    "gamma 3": Edit(gamma(3)),
    "contrast 0.6": Edit(contrast(.6)),
    "contrast 1.5": Edit(contrast(1.5)),
    "equalised": Edit(lambda im, rng: ImageOps.equalize(im)),
    "brightness 0.7": Edit(brightness(.7)),
    "brightness 1.3": Edit(brightness(1.3)),
    "vignette": Edit(vignette),
    "watermark": Edit(watermark),
    "banner 15 %": Edit(banner),
    "white box 6 %": Edit(box("white")),
    "black box 6 %": Edit(box("black")),
    "caption": Edit(caption),
    "caption below": Edit(caption_below),
    "noise 10": Edit(noise(10)),
    "noise 25": Edit(noise(25)),
    "blur 2": Edit(filtered(ImageFilter.GaussianBlur(2))),
    "blur 5": Edit(filtered(ImageFilter.GaussianBlur(5))),
    "sharpened": Edit(filtered(ImageFilter.UnsharpMask(3, 150))),
    "JPEG 10": Edit(unchanged, "JPEG", {"quality": 10}),
    "JPEG 30": Edit(unchanged, "JPEG", {"quality": 30}),
    "WebP": Edit(unchanged, "WEBP", {"quality": 70}),
    "AVIF": Edit(unchanged, "AVIF", {"quality": 50, "speed": 10}),
    "GIF": Edit(palette, "GIF", {}),
    "grey": Edit(lambda im, rng: im.convert("L")),
    "sepia": Edit(sepia),
    "swapped channels": Edit(lambda im, rng: Image.merge("RGB", im.split()[::-1])),
    "half size": Edit(resize(.5, .5)),
    "double size": Edit(resize(2, 2)),
    "thumbnail": Edit(thumbnail),
    "squeezed": Edit(resize(1, .8)),
}
if not features.check("avif"):  # Pillow before 11.3, or built without it
    del EDITS["AVIF"]
