# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast photographs are hashed, beside the ImageHash package in the same run.

    bench_hashing.py [PHOTOS] [--rounds N]

PHOTOS is a folder of JPEG files; without it, 60 pictures of 1600 x 1200 are drawn that take as long as photographs do.
The rounds alternate and the best of each counts, so that what else the machine does counts less. A worker's start is
not in it, everything from the path to the hash is. The start, and what the sandbox has in it, is told at the end. Needs Pillow,
numpy and ImageHash.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".ansible" / "collections"))

import imagehash
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, sandbox, worker_pool
from PIL import Image, ImageChops


def photograph(seed: int, size: tuple[int, int] = (1600, 1200)) -> Image.Image:
    """Clouds of colour with detail of every scale down to the pixel."""
    noise = random.Random(seed)
    picture = Image.new("RGB", size, "grey")
    for octave in range(3, 11):
        width, height = min(2 ** octave, size[0]), min(2 ** octave * 3 // 4, size[1])
        layer = Image.frombytes("RGB", (width, height), noise.randbytes(3 * width * height))
        depth = 256 >> octave // 2
        layer = layer.point([(value - 128) * depth // 256 + 128 for value in range(256)] * 3)
        picture = ImageChops.add(picture, layer.resize(size, Image.Resampling.BICUBIC), offset=-128)
    return picture


FORMATS: dict[str, tuple[tuple[int, int], str, dict[str, Any]]] = {  # size, suffix, options of Image.save
    "JPEG, 0.3 MP": ((640, 480), "jpg", {"quality": 85}),
    "JPEG, 12 MP": ((4000, 3000), "jpg", {"quality": 85}),
    "JPEG, 12 MP, progressive": ((4000, 3000), "jpg", {"quality": 85, "progressive": True}),
    "PNG, 3 MP": ((2048, 1536), "png", {}),
    "WebP, 3 MP": ((2048, 1536), "webp", {"quality": 80}),
    "AVIF, 3 MP": ((2048, 1536), "avif", {"quality": 60}),
    "TIFF, 3 MP": ((2048, 1536), "tif", {}),
    "GIF, 3 MP": ((2048, 1536), "gif", {}),
}


def show_formats(folder: str, rounds: int) -> None:
    """The milliseconds of an image of each format, one worker beside imagehash.dhash."""
    print(f"{'format':26} {'one worker':>12} {'imagehash':>12}")
    for name, (size, suffix, options) in FORMATS.items():
        if f".{suffix}" not in Image.registered_extensions():
            continue
        paths = [f"{folder}/{name}-{seed}.{suffix}" for seed in range(3)]
        for seed, path in enumerate(paths):
            photograph(seed, size).save(path, **options)
        paths *= 4
        best = [float("inf")] * 2
        for _round in range(rounds):
            best = [min(best[0], seconds_of_workers(paths, 1, warm_up=3)), min(best[1], seconds_of_imagehash(paths))]
        print(f"{name:26} {1000 * best[0] / len(paths):9.1f} ms {1000 * best[1] / len(paths):9.1f} ms", flush=True)


def seconds_of_imagehash(paths: list[str]) -> float:
    start = time.perf_counter()
    for path in paths:
        with Image.open(path) as im:
            imagehash.dhash(im)
    return time.perf_counter() - start


def seconds_of_workers(paths: list[str], count: int, warm_up: int = 100) -> float:
    """From the first result to the last one, with the images before the first result left out, and the bits at the end."""
    warm = [(None, paths[0])] * count * warm_up
    roots = [str(Path(path).resolve().parent) for path in paths[:1]]
    results = worker_pool.hash_files([*warm, *enumerate(paths)], "pillow", roots, decoder_limits.Limits(), count)
    for _image in warm:
        next(results)
    start = time.perf_counter()
    difference_hash.hash_pixels([pixels for _key, pixels in results if not isinstance(pixels, ImageError)])
    return time.perf_counter() - start


def seconds_of_start(path: str, count: int) -> float:
    """Until each of ``count`` workers has started, hashed an image and ended."""
    start = time.perf_counter()
    for _result in worker_pool.hash_files([(number, path) for number in range(count)], "pillow", [str(Path(path).resolve().parent)],
                                          decoder_limits.Limits(), count):
        pass
    return time.perf_counter() - start


def seconds_of_sandbox(path: str, count: int) -> float:
    """What the sandbox of ``count`` workers takes at most: its plan, and for each worker a process that applies it."""
    start = time.perf_counter()
    plan = sandbox.make_plan([str(Path(path).resolve().parent)], decoder_limits.Limits(), count)
    for _worker in range(count):
        sandbox.try_out(plan)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.photos is None:
            for seed in range(60):
                photograph(seed).save(Path(folder, f"{seed}.jpg"), quality=85)
        photos = sorted(map(str, (arguments.photos or Path(folder)).glob("*.jp*g")))
        paths = photos * max(1, 400 // len(photos))
        measures: dict[str, Callable[[], float]] = {
            "imagehash.dhash": lambda: seconds_of_imagehash(paths),
            "one worker": lambda: seconds_of_workers(paths, 1),
            "two workers": lambda: seconds_of_workers(paths, 2),
        }
        best = dict.fromkeys(measures, float("inf"))
        for _round in range(arguments.rounds):
            for name, measure in measures.items():
                best[name] = min(best[name], measure())
        starts = [min(measure(paths[0], 2) for _round in range(arguments.rounds)) for measure in (seconds_of_start, seconds_of_sandbox)]
        show_formats(folder, arguments.rounds)
    for name, seconds in best.items():
        print(f"{name:16} {len(paths) / seconds:8.0f} images/s")
    print(f"one worker       {best['imagehash.dhash'] / best['one worker']:8.2f} times imagehash.dhash")
    print(f"two workers      {best['one worker'] / best['two workers']:8.2f} times one worker")
    print(f"two workers start in {starts[0]:.2f} s, and their sandbox takes {starts[1]:.3f} s of it at most")


if __name__ == "__main__":
    main()
