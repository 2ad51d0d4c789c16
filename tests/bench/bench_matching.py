# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the processor time of the search for duplicates with that of its peers, and what they find.

    PYTHONPATH=.ansible/collections .venv/bin/python tests/bench/bench_matching.py --sizes 10000 100000

The peers are blocked brute force with numpy, and of these packages those that are installed: faiss-cpu (its exact search, on one core),
imagededup (its brute force in C++) and pybktree. A peer takes part up to the number of hashes that it searches in some minutes.
"""
from __future__ import annotations

import argparse
import contextlib
import importlib
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import hamming_search
from numpy.typing import NDArray

# The positions of the hashes that have an earlier one within the threshold, and after them what else the search returns of nearest_earlier.
Duplicates = tuple[NDArray[Any], ...]

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


def with_faiss(hashes: NDArray[np.uint64], threshold: int, queries: int = 10_000) -> Duplicates:
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    vectors = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(vectors)
    found = []
    for start in range(0, len(hashes), queries):
        limits, _distances, neighbours = index.range_search(vectors[start:start + queries], threshold + 1)  # nearer than that
        later = np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64))) + start
        found.append(np.unique(later[neighbours < later]))
    return (np.concatenate(found),)


def with_imagededup(hashes: NDArray[np.uint64], threshold: int) -> Duplicates:
    search = importlib.import_module("imagededup.handlers.search.brute_force_cython")
    database = {str(position): f"{value:016x}" for position, value in enumerate(hashes.tolist())}
    index = search.BruteForceCython(database, None)
    return (np.array([position for position, value in enumerate(database.values())
                      if any(int(name) < position for name, _distance in index.search(value, threshold))], np.int64),)


def with_pybktree(hashes: NDArray[np.uint64], threshold: int) -> Duplicates:
    tree = importlib.import_module("pybktree").BKTree(lambda one, other: (one ^ other).bit_count())
    found = []
    for position, value in enumerate(hashes.tolist()):
        if tree.find(value, threshold):
            found.append(position)
        tree.add(value)
    return (np.array(found, np.int64),)


PEERS: dict[str, tuple[str, int, Callable[[NDArray[np.uint64], int], Duplicates]]] = {  # the package, the most hashes, the search
    "numpy": ("numpy", 100_000, brute_force),
    "faiss": ("faiss", 1_000_000, with_faiss),
    "imagededup": ("brute_force_cython_ext", 10_000, with_imagededup),
    "pybktree": ("pybktree", 10_000, with_pybktree),
}


def timed(function: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    started = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of hashes")
    parser.add_argument("--threshold", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true", help="time ours alone")
    options = parser.parse_args()

    print(f"numpy {np.__version__}, threshold {options.threshold}, processor seconds")
    for size in options.sizes:
        for make in (uniform_hashes, realistic_hashes):
            hashes = make(np.random.default_rng(options.seed), size)
            found, seconds = timed(hamming_search.nearest_earlier, hashes, options.threshold)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            line = f"{make.__name__:16} {size:>10,}  {len(found[0]):>7,} found"
            line += f"  ours {seconds:7.2f} s  peak so far {peak:4.0f} MB"
            print(line, flush=True)
            for name, (package, most, search) in {} if options.no_peer else PEERS.items():
                with contextlib.suppress(ModuleNotFoundError):
                    if size <= most and importlib.import_module(package):
                        peers, peer_seconds = timed(search, hashes, options.threshold)
                        for ours, theirs in zip(found, peers):
                            np.testing.assert_array_equal(ours, theirs)
                        print(f"{'':16} {name:>10}  {peer_seconds:38.2f} s  {peer_seconds / seconds:8.1f} times ours", flush=True)


if __name__ == "__main__":
    main()
