# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the pairs of images to review, in bounded memory: all pairs are counted, the most likely duplicates are returned."""
from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # difference_hash.require_numpy checks this before the search; check mode needs no numpy

from . import confirmation, hamming_search

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .hamming_search import Found, Numbers, Words

_POSITION_BITS = 32  # a pair of images is one integer: the smaller of two integers is the earlier pair
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_KIND_BITS = 28  # two of these, and 8 bits for the distance of the two
_BATCH = 16384  # pairs that are judged at a time
_SLACK = 65536  # numbers that are collected before the smallest are selected


class Rule(NamedTuple):
    """Which pairs are to be reviewed: those with a distance from ``minimum`` to ``maximum`` bits.

    With ``confirm`` pairs that are clearly refuted are left out, and so are pairs that are clearly confirmed and within ``recorded``
    bits: the library records them as duplicates.
    """

    minimum: int
    maximum: int
    confirm: bool
    recorded: int


class Judged(NamedTuple):
    """Which of m pairs are to be reviewed (bool), which are left out because they are refuted or recorded (bool), and the order of the
    pairs: the smallest number (int64, below 256) is the most likely duplicate."""

    to_review: NDArray[np.bool_]
    refuted: NDArray[np.bool_]
    recorded: NDArray[np.bool_]
    rank: Numbers


class Pairs(NamedTuple):
    """The most likely pairs of images, in order. ``one`` and ``other``: their positions (int64), one < other.

    ``counts``: (65,) int64, the number of pairs to review at each distance, including those above the limit; ``refuted`` and
    ``recorded``: the numbers of pairs that are left out.
    """

    one: Numbers
    other: Numbers
    counts: Numbers
    refuted: int
    recorded: int


def judge(pictures: confirmation.Pictures, rule: Rule, one: Numbers, other: Numbers, distances: NDArray[np.uint8]) -> Judged:
    """Decide which pairs within the distances of ``rule`` are to be reviewed. ``one``, ``other``: positions in ``pictures``."""
    if not rule.confirm:
        none = np.zeros(len(one), bool)
        return Judged(~none, none, none, pictures.far(one, other, distances))
    hundredths = pictures.hundredths(one, other, distances)
    refuted = hundredths < confirmation.CLEARLY_REFUTED
    recorded = (hundredths >= confirmation.CLEARLY_CONFIRMED) & (distances.astype(np.int64) <= rule.recorded)
    return Judged(~refuted & ~recorded, refuted, recorded, 100 - hundredths)


def pairs_between(hashes: ArrayLike, pictures: confirmation.Pictures, rule: Rule, limit: int) -> Pairs:
    """Find the pairs of images that ``rule`` wants: all pairs are counted, the most likely duplicates are returned.

    Without confirmation the most likely pair has the smallest sum of both distances (twice the horizontal distance if a vertical
    hash is not known), with it the highest confidence; among equally likely pairs it has the smallest positions. The limit bounds the
    memory for all hashes: images that cannot be told apart are searched for once, and only the pairs that are returned are generated.

    :arg hashes: (n,) uint64, in library order; n up to 2**28.
    :arg pictures: what confirms the pairs of these images.
    :arg limit: the largest number of pairs that are returned, 1 or more.
    """
    kinds = _Kinds(np.asarray(hashes, np.uint64), pictures.kinds(rule.confirm))
    likely = _Smallest(limit + 1)  # one more, because a kind's pair with itself may begin after its pair with the next kind
    counts, refuted, recorded = np.zeros(65, np.int64), 0, 0
    for one, other, distance in hamming_search.gathered(kinds.pairs(rule.minimum, rule.maximum), _BATCH):
        pairs = np.where(one == other, kinds.sizes[one] - 1, kinds.sizes[other]) * kinds.sizes[one]
        pairs[one == other] //= 2
        judged = judge(pictures, rule, kinds.firsts[one], kinds.firsts[other], distance)
        np.add.at(counts, distance[judged.to_review], pairs[judged.to_review])
        refuted += int(pairs[judged.refuted].sum())
        recorded += int(pairs[judged.recorded].sum())
        keys = judged.rank.astype(np.uint64) << np.uint64(2 * _KIND_BITS) | one.astype(np.uint64) << np.uint64(_KIND_BITS)
        likely.add((keys | other.astype(np.uint64))[judged.to_review])
    kept = kinds.expand(likely.sorted(), limit)
    one, other = kept >> np.uint64(_POSITION_BITS), kept & np.uint64(_POSITION_MASK)
    return Pairs(one.astype(np.int64), other.astype(np.int64), counts, refuted, recorded)


class _Kinds:
    """Kinds of images: those with the same hash and the same ``contents`` are one kind. In the order of their first appearance."""

    def __init__(self, hashes: Words, contents: Numbers) -> None:
        order = np.lexsort((contents, hashes))
        new = np.ones(len(order), bool)
        for key in (hashes, contents):
            new[1:] &= key[order[1:]] == key[order[:-1]]
        new[1:] = ~new[1:]
        starts = np.flatnonzero(new)
        firsts = order[starts]
        appearance = np.argsort(firsts)
        self._order, self._starts = order, starts[appearance]  # members of a kind are adjacent, in ascending order
        self.sizes = np.diff(starts, append=len(order))[appearance]
        self.firsts = firsts[appearance]
        self.hashes = hashes[self.firsts]

    def pairs(self, minimum: int, maximum: int) -> Iterator[Found]:
        """Yield each pair of kinds within the bounds once, the lower one first, and its distance, as three arrays."""
        radii = np.full(len(self.hashes), maximum, np.uint8)
        split = hamming_search.cheapest_split(len(radii), maximum)
        for one, other, distance in hamming_search.pairs_within(self.hashes, radii, split, minimum, once=True):
            yield np.minimum(one, other), np.maximum(one, other), distance
        if minimum == 0:
            same = np.flatnonzero(self.sizes > 1)
            yield same, same, np.zeros(len(same), np.uint8)

    def expand(self, keys: Words, limit: int) -> Words:
        """The first ``limit`` pairs of images, each as one integer, of pairs of kinds in ascending order."""
        pieces, left = [np.empty(0, np.uint64)], limit
        ranks, starts = np.unique(keys >> np.uint64(2 * _KIND_BITS), return_index=True)
        for rank in range(len(ranks)):
            if left:
                pieces.append(self._expand_as_near(keys[starts[rank]:][:np.diff(starts, append=len(keys))[rank]], left))
                left -= len(pieces[-1])
        return np.concatenate(pieces)

    def _expand_as_near(self, keys: Words, limit: int) -> Words:
        mask = np.uint64((1 << _KIND_BITS) - 1)
        one, other = (keys >> np.uint64(_KIND_BITS) & mask).astype(np.int64), (keys & mask).astype(np.int64)
        begin = self.firsts[one].astype(np.uint64) << np.uint64(_POSITION_BITS) | self.firsts[other].astype(np.uint64)
        single = (self.sizes[one] == 1) & (self.sizes[other] == 1)
        smallest = _Smallest(limit)
        smallest.add(begin[single])
        for index in np.flatnonzero(~single).tolist():
            if one[index] == other[index] or begin[index] < smallest.bound:
                smallest.add(self._image_pairs(one[index], other[index], limit))
        return smallest.sorted()

    def _image_pairs(self, one: int, other: int, limit: int) -> Words:
        members = [self._order[self._starts[kind]:][:self.sizes[kind]] for kind in (one, other)]
        pieces, left = [], limit
        ordered = [zip(members[own].tolist(), itertools.repeat(1 - own)) for own in (0, 1)[:2 - (one == other)]]
        for position, partners in heapq.merge(*ordered):
            later = members[partners][np.searchsorted(members[partners], position, "right"):][:left].astype(np.uint64)
            pieces.append(np.uint64(position << _POSITION_BITS) | later)
            left -= len(later)
            if not left:
                break
        return np.concatenate(pieces)


class _Smallest:
    """The smallest ``budget`` of many different integers. Integers from ``bound`` on are not among them."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._pieces, self._held = [np.empty(0, np.uint64)], 0
        self.bound = np.uint64(2**64 - 1)

    def add(self, numbers: Words) -> None:
        self._pieces.append(numbers[numbers < self.bound])
        self._held += len(self._pieces[-1])
        if self._held > 2 * self._budget + _SLACK:
            self._trim()

    def sorted(self) -> Words:
        self._trim()
        return np.sort(self._pieces[0])

    def _trim(self) -> None:
        numbers = np.concatenate(self._pieces)
        if len(numbers) > self._budget:
            numbers = np.partition(numbers, self._budget)
            self.bound = numbers[self._budget]
            numbers = numbers[:self._budget].copy()
        self._pieces, self._held = [numbers], len(numbers)
