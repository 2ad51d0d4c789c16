# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find all 64-bit hashes within a Hamming distance of each other: exact, on one core, with numpy alone.

The search is multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing",
CVPR 2012) with the general pigeonhole principle: the 64 bits are split into chunks, chunk c with a reach t_c, such that
the sum of (t_c + 1) is the radius + 1. Two hashes within the radius then differ in at most t_c bits of some chunk c, so only
hashes in near buckets of some chunk are compared. A single chunk without bits is brute force.
"""
from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # difference_hash.require_numpy checks this before the search; check mode needs no numpy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Found = tuple[Numbers, Numbers, Bytes]  # positions, other positions, distances

_TILE_PAIRS = 65536  # as 8-byte words they stay in a core's second-level cache
_TILE_COLUMNS = 4096
_MAX_CHUNKS = 16
_MAX_WIDTH = 20  # the buckets of a chunk are a dense array

# A match as one integer: the smallest is the nearest, and among equally near matches the earliest.
INDEX_BITS = 32
INDEX_MASK = (1 << INDEX_BITS) - 1
NO_MATCH = (1 << 63) - 1

# Measured seconds. They only decide which split is taken, never what is found.
_SORT_COST = 150e-9  # per hash and chunk
_BUCKET_COST = 20e-6  # per occupied bucket
_FLIP_COST = 10e-9  # per neighbour of a bucket
_GATHER_COST = 10e-9  # per hash in the neighbourhood of a bucket
_PAIR_COST = 1.5e-9 if hasattr(np, "bitwise_count") else 5e-9  # per comparison


def nearest_earlier(hashes: ArrayLike, threshold: int) -> Found:
    """Find for each image the nearest earlier image within a distance; among equally near images, the earliest.

    :arg hashes: (n,) uint64, in library order; n below 2**32.
    :arg threshold: the greatest Hamming distance in bits that is still a match, an int from 0 to 64.
    :returns: three arrays of one length, at most one element per image: the positions of the later images (int64,
        ascending), of their originals (int64), and the distances in bits (uint8).
    """
    hashes = np.asarray(hashes, np.uint64)
    _distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    original = first[inverse]
    distance = np.zeros(len(hashes), np.uint8)
    matched = original != np.arange(len(hashes))

    # If a hash occurs again, the first image with it is the match. Only these first images are searched: among several images with
    # one hash the earliest is the first, so each hash is searched for once.
    first.sort()
    best = _nearest_earlier_distinct(hashes[first], threshold)
    found = np.flatnonzero(best != NO_MATCH)
    original[first[found]] = first[best[found] & INDEX_MASK]
    distance[first[found]] = best[found] >> INDEX_BITS
    matched[first[found]] = True

    later = np.flatnonzero(matched)
    return later, original[later], distance[later]


def distances(a: ArrayLike, b: ArrayLike) -> Bytes:
    """Return the Hamming distances in bits of two uint64 arrays that broadcast, as a uint8 array of their shape."""
    words = np.array(np.bitwise_xor(np.asarray(a, np.uint64), np.asarray(b, np.uint64)))
    counts = np.empty(words.shape, np.uint8)
    _count_bits(words, counts, np.empty_like(words))
    return counts


def _nearest_earlier_distinct(hashes: Words, threshold: int) -> Numbers:
    best = np.full(len(hashes), NO_MATCH, np.int64)
    radii = np.full(len(hashes), threshold, np.uint8)
    for one, other, distance in pairs_within(hashes, radii, cheapest_split(len(hashes), threshold)):
        later = np.maximum(one, other)
        match = distance.astype(np.int64) << INDEX_BITS | np.minimum(one, other)
        better = match < best[later]
        later = later[better]
        np.minimum.at(best, later, match[better])
        radii[later] = best[later] >> INDEX_BITS
    return best


def pairs_within(hashes: Words, radii: Bytes, split: Sequence[tuple[int, int]], minimum: int = 0, once: bool = False) -> Iterator[Found]:
    """Yield the pairs of hashes that are within the radius of either, some at a time.

    :arg hashes: (n,) uint64.
    :arg radii: (n,) uint8. The caller may lower them between two yields, to get fewer pairs.
    :arg split: the (width, reach) of each chunk; it must be a split for the greatest radius.
    :arg minimum: pairs with a smaller distance are left out.
    :arg once: whether each pair comes once; otherwise a pair comes at least once, and at most once for each chunk.
    :returns: an iterator of three arrays of one length: positions, other positions (int64), distances (uint8).
    """
    radius = np.max(radii, initial=0)
    words, scratch = np.empty((2, _TILE_PAIRS), np.uint64)
    counts = np.empty(_TILE_PAIRS, np.uint8)
    spread = _spread_bits(hashes)
    shift = 0
    earlier: list[tuple[np.uint64, int]] = []  # the bits and the reach of the chunks before
    for width, reach in split:
        bits = np.uint64((1 << width) - 1 << shift)
        keys = ((spread & bits) >> np.uint64(shift)).astype(np.int64)
        shift += width
        order = np.argsort(keys, kind="stable")
        in_order = spread[order]
        sizes = np.bincount(keys, minlength=1 << width)
        starts = np.cumsum(sizes) - sizes
        flips = _ball(width, reach)
        for bucket in np.flatnonzero(sizes).tolist():
            # Of two near buckets only the lower one is compared with the other. The first of ``buckets`` is the bucket itself.
            buckets = bucket ^ flips
            buckets = buckets[buckets >= bucket]
            places = _ranges(starts[buckets], sizes[buckets])
            columns = in_order[places]
            rows = columns[:sizes[bucket]]
            for top, bottom, left, right in _tiles(len(rows), len(columns)):
                shape = bottom - top, right - left
                size = shape[0] * shape[1]
                np.bitwise_xor(rows[top:bottom, None], columns[left:right], out=words[:size].reshape(shape))
                _count_bits(words[:size], counts[:size], scratch[:size])
                near = counts[:size] <= radius
                if minimum:
                    near &= counts[:size] >= minimum
                if left == top:
                    near[::right - left + 1] = False  # the diagonal: each row with itself
                if not near.any():
                    continue
                ones, others = order[places[top:bottom]], order[places[left:right]]
                near &= counts[:size] <= np.maximum(radii[ones, None], radii[others]).ravel()
                hits = np.flatnonzero(near)
                row, column = np.divmod(hits, right - left)
                new = column + left > row + top
                if once:
                    differing = spread[ones[row]] ^ spread[others[column]]
                    for chunk, chunk_reach in earlier:
                        new &= distances(differing & chunk, 0) > chunk_reach
                yield ones[row[new]], others[column[new]], counts[hits[new]]
        earlier.append((bits, reach))


def gathered(found: Iterator[Found], least: int) -> Iterator[Found]:
    """Yield the same pairs, at least ``least`` at a time but for the last ones: work on few pairs costs as much as on many."""
    held: list[Found] = []
    count = 0
    for pairs in found:
        held.append(pairs)
        count += len(pairs[0])
        if count >= least:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(held: list[Found]) -> Found:
    one, other, distance = (np.concatenate(pieces) for pieces in zip(*held))
    return one, other, distance


def _tiles(rows: int, columns: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut the part of a matrix that lies right of its diagonal into tiles: top, bottom, left, right of each."""
    wide = min(columns, _TILE_COLUMNS)
    high = _TILE_PAIRS // wide
    for top in range(0, rows, high):
        for left in range(top, columns, wide):
            yield top, min(top + high, rows), left, min(left + wide, columns)


def _spread_bits(hashes: Words) -> Words:
    """Permute the bits: a dHash's neighbouring bits are correlated, and a chunk of them would fill few buckets."""
    spread = np.zeros_like(hashes)
    for bit in range(64):
        spread |= (hashes >> np.uint64(bit) & np.uint64(1)) << np.uint64(11 * bit % 64)
    return spread


def _ball(width: int, reach: int) -> Numbers:
    """Return every number of `width` bits of which at most `reach` are set, 0 first."""
    bits = [1 << bit for bit in range(width)]
    subsets = (subset for size in range(reach + 1) for subset in itertools.combinations(bits, size))
    return np.array([sum(subset) for subset in subsets], np.int64)


def _ranges(starts: Numbers, sizes: Numbers) -> Numbers:
    """Return the numbers of all ranges, one range after the other; there is at least one."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - ends + sizes, sizes) + np.arange(ends[-1])


def cheapest_split(count: int, radius: int) -> tuple[tuple[int, int], ...]:
    """Return the split, the (width, reach) of each chunk, that is cheapest for ``count`` evenly spread hashes."""
    splits: list[tuple[tuple[int, int], ...]] = [((0, radius),)]
    for chunks in range(1, min(radius + 1, _MAX_CHUNKS) + 1):
        slots, wider = divmod(radius + 1, chunks)
        for bits in range(65) if wider else (0,):
            widths = _shares(bits, wider) + _shares(64 - bits, chunks - wider)
            if max(widths) <= _MAX_WIDTH:
                splits.append(tuple(zip(widths, [slots] * wider + [slots - 1] * (chunks - wider))))
    cost = functools.cache(functools.partial(_chunk_cost, count))
    return min(splits, key=lambda split: sum(cost(width, reach) for width, reach in split))


def _shares(total: int, parts: int) -> list[int]:
    return [(total + part) // parts for part in range(parts)]


def _chunk_cost(count: int, width: int, reach: int) -> float:
    ball = sum(math.comb(width, size) for size in range(reach + 1))
    buckets = min(count, 1 << width)
    neighbourhood = count * (ball + 1) / 2 / (1 << width)  # hashes, in the half that a bucket is compared with
    return (count * _SORT_COST + buckets * (_BUCKET_COST + ball * _FLIP_COST + neighbourhood * _GATHER_COST)
            + count * neighbourhood * _PAIR_COST)


def _count_bits_native(words: Words, counts: Bytes, _scratch: Words) -> None:
    np.bitwise_count(words, out=counts)


def _count_bits_swar(words: Words, counts: Bytes, scratch: Words) -> None:
    """Count the bits of each word in place, by adding fields of 1, 2 and 4 bits and then all bytes. Overwrites ``words``.

    Source: Warren, Hacker's Delight, section 5-1. On numpy 1.24 a table of 16-bit counts took a third longer.
    """
    np.right_shift(words, np.uint64(1), out=scratch)
    np.bitwise_and(scratch, np.uint64(0x5555555555555555), out=scratch)
    np.subtract(words, scratch, out=words)
    np.right_shift(words, np.uint64(2), out=scratch)
    np.bitwise_and(scratch, np.uint64(0x3333333333333333), out=scratch)
    np.bitwise_and(words, np.uint64(0x3333333333333333), out=words)
    np.add(words, scratch, out=words)
    np.right_shift(words, np.uint64(4), out=scratch)
    np.add(words, scratch, out=words)
    np.bitwise_and(words, np.uint64(0x0F0F0F0F0F0F0F0F), out=words)
    np.multiply(words, np.uint64(0x0101010101010101), out=words)
    np.right_shift(words, np.uint64(56), out=words)
    np.copyto(counts, words, casting="unsafe")


_count_bits = _count_bits_native if hasattr(np, "bitwise_count") else _count_bits_swar
