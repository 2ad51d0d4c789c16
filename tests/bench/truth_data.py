# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of which it is known which are copies of each other, and what the collection and other tools make of them.

The pictures are photographs, their mirror images and quarters, generated pictures, and edits. Each is made in memory, saved in its
format and decoded as a migration decodes it.
"""
from __future__ import annotations

import importlib.util
import io
import itertools
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, image_decoder, image_formats, pillow_decoder
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from truth_edits import EDITS, save

Numbers = NDArray[np.int64]
Draw = Callable[[tuple[int, int], random.Random], Image.Image]
Hasher = Callable[[io.BytesIO], list[int]]

WHOLE, MIRRORED, QUARTER, GENERATED = range(4)
HALVES = {"fit": 0, "held-out": 1}  # which of two photographs; of five generated pictures each, which
UNEDITED = -1
DRAWN, DRAWN_SIZE = 12, (480, 360)
GENERATED_PICTURES = 200
GENERATED_KINDS = 5


class Pictures(NamedTuple):
    """A picture is followed by its edits, which have its ``group``. ``luma``: (n, 144). ``others``: (n, tools) hashes.

    ``source``: the position of the photograph; -1, -2, … for generated pictures. ``edit``: a position in EDITS, or UNEDITED.
    """

    kind: Numbers
    source: Numbers
    group: Numbers
    edit: Numbers
    luma: NDArray[np.uint8]
    others: NDArray[np.uint64]
    tools: tuple[str, ...]


class Row(NamedTuple):
    kind: int
    source: int
    group: int
    edit: int


def load(folder: Path | None, half: str | None, cache: Path | None) -> Pictures:
    """Make the pictures of the photographs in ``folder``, or of one half of them, or read them from ``cache`` if it exists."""
    photographs = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")) if folder else []
    if folder and not photographs:
        sys.exit(f"{folder}: no photographs (.jpg, .jpeg, .png) in this folder")
    key = [half or "", *(path.name for path in photographs), *EDITS]
    if cache and cache.exists():
        kept = np.load(cache)
        if kept["key"].tolist() != key:
            sys.exit(f"{cache}: these are pictures of other photographs, another half, or other edits. Remove the file or name another one.")
        return Pictures(**{name: kept[name] for name in Pictures._fields if name != "tools"}, tools=tuple(kept["tools"].tolist()))
    pictures = make(photographs, half)
    if cache:
        np.savez_compressed(cache, key=key, **pictures._asdict())
    return pictures


def make(photographs: Sequence[Path], half: str | None) -> Pictures:
    """``photographs``: none to draw pictures instead. ``half``: a key of HALVES, or None for both halves."""
    names, hasher = other_tools()
    rows, luma, others = [], [], []
    for row, file in files(photographs, half):
        rows.append(row)
        luma.append(decode(file))
        others.append(hasher(file))
    kind, source, group, edit = np.array(rows, np.int64).T
    return Pictures(kind, source, group, edit, np.frombuffer(b"".join(luma), np.uint8).reshape(len(rows), -1),
                    np.array(others, np.uint64).reshape(len(rows), len(names)), names)


def decode(file: io.BytesIO) -> bytes:
    """The 144 luma pixels of a file, as the collection decodes it."""
    head = file.getvalue()[:image_formats.HEAD_BYTES]
    format_ = image_decoder.identify(head)
    assert image_decoder.decoders_for(format_, head) == ["pillow"]
    return b"".join(pillow_decoder.luma_pixels(file, format_, decoder_limits.Limits().pixels))


def other_tools() -> tuple[tuple[str, ...], Hasher]:
    """The hashes of ImageHash and of imagededup, as far as the packages are installed: their names, and what computes them."""
    names: list[str] = []
    of_picture: list[Callable[[Image.Image], Any]] = []
    of_array: list[Any] = []
    if importlib.util.find_spec("imagehash"):
        import imagehash

        names += ["ImageHash dHash", "ImageHash pHash"]
        of_picture += [imagehash.dhash, imagehash.phash]
    if importlib.util.find_spec("imagededup"):
        from imagededup.methods import DHash, PHash

        names += ["imagededup DHash", "imagededup PHash"]
        of_array += [DHash(verbose=False), PHash(verbose=False)]

    def hash_file(file: io.BytesIO) -> list[int]:
        file.seek(0)
        with Image.open(file) as im:
            rgb = np.asarray(im.convert("RGB"))
            return [*(int(str(hash_(im)), 16) for hash_ in of_picture),
                    *(int(method.encode_image(image_array=rgb), 16) for method in of_array)]

    return tuple(names), hash_file


def files(photographs: Sequence[Path], half: str | None) -> Iterator[tuple[Row, io.BytesIO]]:
    halves = (0, 1) if half is None else (HALVES[half],)
    groups = itertools.count()
    for source in range(len(photographs) or DRAWN):
        if source % 2 in halves:
            im = read(photographs[source]) if photographs else draw_photograph(source)
            for name, kind, part in parts(im):
                yield from copies(Row(kind, source, next(groups), UNEDITED), part, (source, name), kind != QUARTER)
        if source % 20 == 19:
            print(f"{source + 1} of {len(photographs)} photographs", file=sys.stderr, flush=True)
    edited = 50 if photographs else 10
    for number in range(GENERATED_PICTURES):
        if number // GENERATED_KINDS % 2 in halves:
            row = Row(GENERATED, -1 - number, next(groups), UNEDITED)
            yield from copies(row, generate(number), ("made", number), number < edited)


def copies(row: Row, im: Image.Image, seed: tuple[object, ...], edited: bool) -> Iterator[tuple[Row, io.BytesIO]]:
    """The picture as a JPEG, and each of its edits."""
    yield row, save(im, "JPEG", {"quality": 92})
    for number, (name, edit) in enumerate(EDITS.items() if edited else ()):
        yield row._replace(edit=number), save(edit.change(im, random_of(*seed, name)), edit.format, edit.options)


def read(path: Path) -> Image.Image:
    with Image.open(path) as im:
        picture: Image.Image = im.convert("RGB")
    return picture


def draw_photograph(number: int) -> Image.Image:
    from bench_hashing import photograph  # not above: it imports ImageHash

    return photograph(number, DRAWN_SIZE)


def parts(im: Image.Image) -> Iterator[tuple[str, int, Image.Image]]:
    """The picture and its quarters, and the mirror images of all five: a name, the kind, the picture."""
    width, height = im.size
    quarters = {"nw": (0, 0, width // 2, height // 2), "ne": (width // 2, 0, width, height // 2),
                "sw": (0, height // 2, width // 2, height), "se": (width // 2, height // 2, width, height)}
    yield "whole", WHOLE, im
    yield "wholemirror", MIRRORED, ImageOps.mirror(im)
    for name, box in quarters.items():
        yield name, QUARTER, im.crop(box)
        yield name + "mirror", QUARTER, ImageOps.mirror(im.crop(box))


def random_of(*seed: object) -> random.Random:
    return random.Random(zlib.crc32("/".join(map(str, seed)).encode()))


def generate(number: int) -> Image.Image:
    """A picture that no camera made: clouds, shapes, a slope with a disc, a page of text, or a chart."""
    rng = random_of("generated", number)
    numbers = np.random.default_rng(rng.getrandbits(32))
    size = rng.choice([(400, 300), (300, 400), (360, 360)])
    kind = number % GENERATED_KINDS
    if kind == 0:
        return clouds(size, rng, numbers)
    draw: Draw = (shapes, slope, page, chart)[kind - 1]
    return draw(size, rng)


def clouds(size: tuple[int, int], rng: random.Random, numbers: np.random.Generator) -> Image.Image:
    width, height = size
    spectrum = np.fft.fft2(numbers.normal(size=(height, width, 3)), axes=(0, 1))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) + 1 / max(size)
    field = np.real(np.fft.ifft2(spectrum / radius[..., None] ** rng.uniform(1, 1.8), axes=(0, 1)))
    field = (field - field.mean()) / field.std() * 50 + 128
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def shapes(size: tuple[int, int], rng: random.Random) -> Image.Image:
    im = Image.new("RGB", size, _colour(rng, 256))
    draw = ImageDraw.Draw(im)
    for _shape in range(rng.randint(5, 25)):
        x, y, width, height = rng.randrange(size[0]), rng.randrange(size[1]), rng.randrange(20, 160), rng.randrange(20, 160)
        box = x - width // 2, y - height // 2, x + width // 2, y + height // 2
        fill = rng.choice([draw.ellipse, draw.rectangle])
        fill(box, _colour(rng, 256))
    return im


def slope(size: tuple[int, int], rng: random.Random) -> Image.Image:
    angle, x0, y0 = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1), rng.uniform(-1, 1)
    y, x = np.mgrid[-1:1:size[1] * 1j, -1:1:size[0] * 1j]
    disc = np.hypot(x - x0, y - y0) < rng.uniform(.2, .7)
    field = 128 + 80 * (x * np.cos(angle) + y * np.sin(angle)) + 90 * disc
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8)).convert("RGB")


def page(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    im = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(im)
    y = height // 12
    while y < height * 11 // 12:
        if rng.random() < .8:
            draw.rectangle((width // 10, y, rng.randint(width // 2, width * 9 // 10), y + 5), (40, 40, 40))
        elif rng.random() < .3:
            box = width // 10, y, width // 10 + rng.randint(width // 6, width // 2), y + height // 6
            draw.rectangle(box, (rng.randrange(200),) * 3)
            y += height // 6
        y += 12
    return im


def chart(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    im = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(im)
    columns = rng.randint(4, 10)
    for column in range(columns):
        box = width * column // columns + 3, height - rng.randint(10, height - 10), width * (column + 1) // columns - 3, height
        draw.rectangle(box, _colour(rng, 220))
    return im


def _colour(rng: random.Random, levels: int) -> tuple[int, int, int]:
    return rng.randrange(levels), rng.randrange(levels), rng.randrange(levels)
