# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast photographs are hashed, beside other packages in the same run.

    bench_hashing.py [PHOTOS] [--rounds N]

PHOTOS is a folder of JPEG files; without it, 60 pictures of 1600 x 1200 are drawn that take as long as photographs do.
The rounds alternate and the best of each counts, so that what else the machine does counts less. A worker's start is
not in it, everything from the path to the hash is. The start, and what the sandbox has in it, is told at the end. Needs Pillow,
numpy and ImageHash. For each format, OpenCV (opencv-python-headless), PyAV and libvips (pyvips) take part where they are installed, each
on one core and with its way to decode a smaller picture, if it has one. Their hashes have other bits: each reduces the picture in its way.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
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
import numpy as np
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


def hash_with_imagehash(path: str) -> Any:
    with Image.open(path) as im:
        return imagehash.dhash(im)


def hash_with_opencv(path: str) -> Any:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    grey = cv2.imread(path, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    if grey is None:
        raise ValueError("OpenCV does not read this format")
    return np.diff(cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(int)) > 0


def hash_with_pyav(path: str) -> Any:
    av = importlib.import_module("av")
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        grey = next(container.decode(video=0)).reformat(9, 8, "gray", interpolation="AREA").to_ndarray()
    return np.diff(grey.astype(int)) > 0


def hash_with_libvips(path: str) -> Any:
    pyvips = importlib.import_module("pyvips")
    pyvips.cache_set_max(0)  # else it remembers a file that it has read
    grey = pyvips.Image.thumbnail(path, 9, height=8, size="force").colourspace("b-w").flatten()
    return np.diff(grey.numpy().astype(int)) > 0


PEERS: dict[str, tuple[str, Callable[[str], Any]]] = {  # the module that has to be there
    "ImageHash": ("imagehash", hash_with_imagehash),
    "OpenCV": ("cv2", hash_with_opencv),
    "PyAV": ("av", hash_with_pyav),
    "libvips": ("pyvips", hash_with_libvips),
}


def show_formats(folder: str, rounds: int) -> None:
    """The milliseconds of an image of each format, one worker beside its peers."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    peers = {name: function for name, (module, function) in PEERS.items() if importlib.util.find_spec(module)}
    print(f"{'milliseconds':26}" + "".join(f"{name:>12}" for name in ("one worker", *peers)))
    for name, (size, suffix, options) in FORMATS.items():
        if f".{suffix}" not in Image.registered_extensions():
            continue
        paths = [f"{folder}/{name}-{seed}.{suffix}" for seed in range(3)]
        for seed, path in enumerate(paths):
            photograph(seed, size).save(path, **options)
        paths *= 4
        best = [float("inf")] * (1 + len(peers))
        for _round in range(rounds):
            seconds = [seconds_of_workers(paths, 1, warm_up=3), *(seconds_of_peer(function, paths) for function in peers.values())]
            best = [min(pair) for pair in zip(best, seconds)]
        print(f"{name:26}" + "".join(f"{1000 * second / len(paths):12.1f}" if second < float("inf") else f"{'-':>12}" for second in best), flush=True)


def seconds_of_peer(function: Callable[[str], Any], paths: list[str]) -> float:
    """Infinite for a format that the peer does not read."""
    try:
        function(paths[0])
    except Exception:  # pylint: disable=broad-exception-caught # each package has its own
        return float("inf")
    start = time.perf_counter()
    for path in paths:
        function(path)
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
            "imagehash.dhash": lambda: seconds_of_peer(hash_with_imagehash, paths),
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
