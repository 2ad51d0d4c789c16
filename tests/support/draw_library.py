# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw a labelled library of pictures: the demo's, and that of the tests that migrate a whole one.

    draw_library.py OUT [--count 300] [--seed 7]

Makes OUT/library.json, which a migration has not seen yet, its pictures, and OUT/truth.json, which tells what is in it:

    originals   filenames of pictures that have nothing to do with one another
    variants    filename -> {"of": original's filename, "edit": name, "near": true or false}
    flat        filenames of pictures without any detail
    broken      filename -> {"kind": as in dhash_errors, "why": text}

``near`` is true where the edit leaves the picture recognisable to a 64-bit difference hash. Needs Pillow. The same seed and count
give the same pictures, names and fields.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, features

ODD_NAMES = [
    "two words and  more.jpg",
    "it's \"quoted\" `here`.png",
    "$(touch owned); rm -rf *.jpg",
    "été à Zürich, 日本.jpg",
    "🎲 dice 🦊.png",
    "line\nbreak.jpg",
    "back\\slash.jpg",
    "{{ braces }} %d {0}.png",
    '"><img src=x onerror=alert(1)>.jpg',
    "long " + "and longer " * 20 + ".jpg",
    "-n.jpg",
    ".hidden",
]

EDITS: dict[str, tuple[str, dict[str, Any], bool, Callable[[Image.Image], Image.Image]]] = {  # name: (suffix, options of Image.save, near, edit)
    "quality_30": (".jpg", {"quality": 30}, True, lambda im: im),
    "half_size": (".jpg", {"quality": 85}, True, lambda im: im.resize((im.width // 2, im.height // 2))),
    "thumbnail": (".jpg", {"quality": 80}, True, lambda im: im.resize((160, 160 * im.height // im.width))),
    "enlarged": (".jpg", {"quality": 85}, True, lambda im: im.resize((im.width * 3 // 2, im.height * 3 // 2))),
    "brighter": (".jpg", {"quality": 85}, True, lambda im: ImageEnhance.Brightness(im).enhance(1.15)),
    "low_contrast": (".jpg", {"quality": 85}, True, lambda im: ImageEnhance.Contrast(im).enhance(0.7)),
    "grey": (".jpg", {"quality": 85}, True, lambda im: im.convert("L")),
    "turned_by_exif": (".jpg", {"quality": 85, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}, True,
                       lambda im: im.transpose(Image.Transpose.ROTATE_90)),
    "as_png": (".png", {"compress_level": 1}, True, lambda im: im),
    "as_gif": (".gif", {}, True, lambda im: im.quantize(128)),
    "as_tiff": (".tif", {}, True, lambda im: im),
    "as_webp": (".webp", {"quality": 70, "method": 0}, True, lambda im: im),
    "mirrored": (".jpg", {"quality": 85}, False, lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "deep_crop": (".jpg", {"quality": 85}, False, lambda im: im.crop((im.width // 4, im.height // 4, im.width * 3 // 4, im.height * 3 // 4))),
}

FOREIGN_FIELDS: list[dict[str, Any]] = [  # what other programs keep in their library; every third image has the next of these
    {"tags": ["photo", "été", "日本"], "game": {"name": "Hanamikoji", "page": 12, "box": [0.25, 1.0, -0.0, 5e-324]}},
    {"rating": None, "score": 1.0, "favourite": True, "notes": ""},
    {"serial": 12345678901234567890, "size": 1e21, "tiny": 1.5e-07, "empty": {}, "none": []},
    {"title": 'He said "no"\\\n\ttab \u0000 \u2028', "emoji": "🎲👩\u200d🔬", "half an emoji": "\ud83d"},
    {"review": {"by": {"name": "Zoë", "roles": [["a", ["b"]], {"c": {"d": [{}]}}]}}, "hash": "not ours", "dhashes": 0},
]


def draw_picture(rng: random.Random) -> Image.Image:
    """A picture with the light of a photograph at large, and shapes, grain and a caption in the small."""
    size = rng.choice([(480, 360), (360, 480), (512, 512), (640, 360)])
    light = Image.frombytes("RGB", (9, 8), rng.randbytes(9 * 8 * 3)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(light)
    for shape in rng.choices((draw.ellipse, draw.rectangle, draw.line), k=rng.randint(5, 10)):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        box = (x, y, x + rng.randint(10, 120), y + rng.randint(10, 120))
        shape(box, fill=tuple(rng.randbytes(3)))
    draw.text((20, size[1] // 2), f"picture {rng.randrange(10 ** 6)}", fill=(255, 255, 255))
    grain = Image.frombytes("L", (size[0] // 4, size[1] // 4), rng.randbytes((size[0] // 4) * (size[1] // 4)))
    return Image.blend(light, grain.resize(size).convert("RGB"), 0.08)


def broken_files(rng: random.Random, picture: bytes) -> dict[str, tuple[bytes | None, str, str]]:
    """filename -> (content or None for a file that is not there, kind, why); ``picture`` is a whole JPEG file."""
    return {
        "empty.jpg": (b"", "truncated", "no bytes"),
        "truncated.jpg": (picture[:400], "truncated", "cut off in the header"),
        "page.jpg": (b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n", "not_an_image", "a web page under a picture's name"),
        "noise.png": (rng.randbytes(4096), "not_an_image", "random bytes"),
        "missing.jpg": (None, "missing", "no such file"),
    }


def draw_library(out: Path, count: int = 300, seed: int = 7) -> dict[str, Any]:
    """Draw ``count`` images (40 or more) into the folder ``out``; returns what truth.json holds."""
    rng = random.Random(seed)
    out = out.resolve()
    images: list[dict[str, Any]] = []
    truth: dict[str, Any] = {"originals": [], "variants": {}, "flat": [], "broken": {}}
    edits = [name for name in EDITS if name != "as_webp" or features.check("webp")]
    turn = iter(range(10 ** 9))

    def place(name: str) -> Path:
        # "-n.jpg" lies beside the library, so that its relative path begins with a dash
        file = out / name if name.startswith("-") else out / "media" / rng.choice(["2023", "2024", "no date"]) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def add(file: Path) -> None:
        number = next(turn)
        path = str(file) if number % 10 == 9 else str(file.relative_to(out))
        image: dict[str, Any] = {"id": f"img-{number:06d}", "filename": file.name, "path": path}
        if number % 3 == 0:
            image.update(FOREIGN_FIELDS[number // 3 % len(FOREIGN_FIELDS)])
        images.append(image)

    def add_variant(picture: Image.Image, original: str) -> None:
        edit = edits[len(truth["variants"]) % len(edits)]
        suffix, options, near, apply = EDITS[edit]
        file = place(f"{Path(original).stem[:60]} {edit}{suffix}".lstrip("-"))
        apply(picture).save(file, **options)
        truth["variants"][file.name] = {"of": original, "edit": edit, "near": near}
        add(file)

    for name, shade in (("white.png", 255), ("grey.png", 128)):
        file = place(name)
        Image.new("RGB", (320, 240), (shade, shade, shade)).save(file)
        truth["flat"].append(name)
        add(file)
    names = iter(ODD_NAMES)
    while len(images) < count - 5:
        name = next(names, f"picture {len(truth['originals']):04d}.jpg")
        file = place(name)
        picture = draw_picture(rng)
        if name.endswith(".png"):
            picture.save(file, compress_level=1)
        else:
            picture.save(file, format="JPEG", quality=90)
        truth["originals"].append(name)
        add(file)
        for _copy in range(min(rng.choice([0, 0, 1, 2]), count - 5 - len(images))):
            add_variant(picture, name)
    for name, (content, kind, why) in broken_files(rng, file.read_bytes()).items():
        broken = place(name)
        if content is not None:
            broken.write_bytes(content)
        truth["broken"][name] = {"kind": kind, "why": why}
        add(broken)

    rng.shuffle(images)
    library = {"version": 3, "name": "a drawn library", "schema": {"ratio": 0.1, "limits": [1.0, 12345678901234567890, -1e-07, None]},
               "images": images, "settings": {"locale": "fr", "recent": [], "window": {}}, "größe": "naïve"}
    # As JSON.stringify(library, null, 2) lays it out: no line break at the end, and half a surrogate pair as its escape
    text = json.dumps(library, indent=2, ensure_ascii=False)
    (out / "library.json").write_bytes(text.encode("utf-8", "backslashreplace"))
    (out / "truth.json").write_text(json.dumps(truth, indent=2, ensure_ascii=False), encoding="utf-8")
    return truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=300, help="images in the library, 40 or more (default 300)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if args.count < 40:
        parser.error("--count must be 40 or more, to have every odd name and every kind of broken file")
    truth = draw_library(args.out, args.count, args.seed)
    print(f"Drew {args.count} images: {len(truth['originals'])} pictures, {len(truth['variants'])} edited copies of them, "
          f"{len(truth['flat'])} flat ones, {len(truth['broken'])} broken files: {args.out}/library.json")


if __name__ == "__main__":
    main()
