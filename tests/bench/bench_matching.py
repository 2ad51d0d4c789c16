# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the processor time of the search for duplicates with that of blocked brute force, and what the two find.

    PYTHONPATH=.ansible/collections .venv/bin/python tests/bench/bench_matching.py --sizes 10000 100000
"""
from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import hamming_search
from numpy.typing import NDArray

Result = TypeVar("Result")


def uniform_hashes(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def realistic_hashes(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """5 % near-duplicates at distance 0 to 12, 2 % in families of nearly flat pictures, strangers otherwise."""
    hashes = uniform_hashes(rng, count)
    shuffled = rng.permutation(count)
    near, flat, others = np.split(shuffled, [count // 20, count // 20 + count // 50])
    hashes[near] = flip_bits(rng, hashes[rng.choice(others, len(near))], rng.integers(0, 13, len(near)))
    families = np.array([0, 2**64 - 1, 0x0101010101010101, 0xFF], np.uint64)
    hashes[flat] = flip_bits(rng, rng.choice(families, len(flat)), rng.integers(0, 5, len(flat)))
    return hashes


def flip_bits(rng: np.random.Generator, hashes: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    chosen = rng.random((len(hashes), 64)).argsort(axis=1) < counts[:, None]
    return hashes ^ np.sum(chosen * (np.uint64(1) << np.arange(64, dtype=np.uint64)), axis=1, dtype=np.uint64)


def brute_force(hashes: NDArray[np.uint64], threshold: int, high: int = 16,
                wide: int = 4096) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """The peer: what nearest_earlier returns, from every pair."""
    original = np.zeros(len(hashes), np.int64)
    distance = np.full(len(hashes), 255, np.uint8)
    for top in range(0, len(hashes), high):
        rows = np.arange(top, min(top + high, len(hashes)))
        for left in range(0, rows[-1], wide):
            columns = np.arange(left, min(left + wide, rows[-1]))
            block = hamming_search.distances(hashes[rows, None], hashes[columns])
            if columns[-1] >= top:
                block[columns >= rows[:, None]] = 255
            if np.min(block) > threshold:
                continue
            nearest = block.argmin(axis=1)
            reached = block[np.arange(len(rows)), nearest]
            nearer = reached < distance[rows]
            original[rows[nearer]] = columns[nearest[nearer]]
            distance[rows[nearer]] = reached[nearer]
    later = np.flatnonzero(distance <= threshold)
    return later, original[later], distance[later]


def timed(function: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    started = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of hashes")
    parser.add_argument("--threshold", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true", help="time ours alone, where brute force takes minutes")
    options = parser.parse_args()

    print(f"numpy {np.__version__}, threshold {options.threshold}, processor seconds")
    for size in options.sizes:
        for make in (uniform_hashes, realistic_hashes):
            hashes = make(np.random.default_rng(options.seed), size)
            found, seconds = timed(hamming_search.nearest_earlier, hashes, options.threshold)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            line = f"{make.__name__:16} {size:>10,}  {len(found[0]):>7,} found"
            line += f"  ours {seconds:7.2f} s  peak so far {peak:4.0f} MB"
            if not options.no_peer:
                peers, peer_seconds = timed(brute_force, hashes, options.threshold)
                for ours, theirs in zip(found, peers):
                    np.testing.assert_array_equal(ours, theirs)
                line += f"  brute force {peer_seconds:7.2f} s  ratio {peer_seconds / seconds:5.1f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
