# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export review queues of growing size: memory of the whole export, and the search for pairs against brute force.

    PYTHONPATH=.ansible/collections .venv/bin/python tests/bench/bench_review.py --limits 10000 1000000

Seconds differ from machine to machine; what is to be compared is the ratio in each line, and the peak with the 1,024 MB
that an export of 1,000,000 pairs may take.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import confirmation, decoder_limits, hamming_search, near_pairs
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_queue
from bench_matching import realistic_hashes, timed
from numpy.typing import NDArray

DISTANCES = 8, 15


def brute_force(hashes: NDArray[np.uint64], minimum: int, maximum: int, high: int = 16, wide: int = 4096) -> NDArray[np.int64]:
    """The peer: how many pairs there are at each distance."""
    counts = np.zeros(65, np.int64)
    for top in range(0, len(hashes), high):
        rows = np.arange(top, min(top + high, len(hashes)))
        for left in range(top, len(hashes), wide):
            columns = np.arange(left, min(left + wide, len(hashes)))
            block = hamming_search.distances(hashes[rows, None], hashes[columns])
            block[columns <= rows[:, None]] = 255
            counts += np.bincount(block.ravel(), minlength=256)[:65]
    counts[:minimum] = counts[maximum + 1:] = 0
    return counts


def search(hashes: NDArray[np.uint64], limit: int) -> near_pairs.Pairs:
    pictures = confirmation.Pictures(np.zeros(len(hashes), np.uint64), np.zeros(len(hashes), bool), [None] * len(hashes))
    return near_pairs.pairs_between(hashes, pictures, near_pairs.Rule(*DISTANCES, True, -1), limit)


def export(hashes: NDArray[np.uint64], limit: int, answer: Connection) -> None:
    """Export the queue of a library with these hashes, in a process of its own; its counts, seconds and peak in MB."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.json"
        images = [{"path": f"media/{number:07d}.jpg", "filename": f"{number:07d}.jpg", "dhash": f"{value:016X}"}
                  for number, value in enumerate(hashes.tolist())]
        library.write_text(json.dumps({"images": images}, indent=2), encoding="utf-8")
        del images
        settings = review_export.Settings(
            str(library), f"{folder}/state", f"{folder}/review", "bench", ("json", "csv", "html"),
            review_queue.PairOptions(*DISTANCES, True, limit), False, (folder,), decoder_limits.Limits(), 1, None, 0)
        outcome, seconds = timed(review_export.run, settings)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = sum(path.stat().st_size for path in Path(folder, "review").iterdir()) / 2**20
    answer.send((outcome.result, seconds, peak, size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000], help="numbers of hashes, for the search")
    parser.add_argument("--images", type=int, default=150_000, help="in the library whose queue is exported")
    parser.add_argument("--limits", type=int, nargs="+", default=[10_000, 1_000_000], help="numbers of pairs to export")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    for size in options.sizes:
        hashes = realistic_hashes(np.random.default_rng(options.seed), size)
        found, seconds = timed(search, hashes, 10_000)
        counts, peer_seconds = timed(brute_force, hashes, *DISTANCES)
        assert (found.counts == counts).all()
        print(f"search {size:9,}: {counts.sum():10,} pairs  {seconds:7.2f} s  brute force {peer_seconds:7.2f} s"
              f"  ratio {peer_seconds / seconds:5.1f}", flush=True)
    hashes = realistic_hashes(np.random.default_rng(options.seed), options.images)
    for limit in options.limits:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=export, args=(hashes, limit, theirs))
        started = time.monotonic()
        process.start()
        result, seconds, peak, size = ours.recv()
        process.join()
        print(f"export {result['exported_matches']:9,} of {result['total_matches']:10,} pairs of {options.images:,} images:"
              f" {seconds:7.2f} s ({time.monotonic() - started:.0f} s by the clock)  {size:7.0f} MB written"
              f"  peak {peak:6.0f} MB, {peak / 1024:.2f} of what is allowed", flush=True)


if __name__ == "__main__":
    main()
