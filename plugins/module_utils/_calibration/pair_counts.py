# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count pairs of pictures by their distance and their confidence: pairs of unrelated pictures, and pictures with their edited copies.

Nobody has told which pictures of a library are duplicates, so two groups stand for unrelated pairs. The pairs of different images
of the library, without those that are likely duplicates, show how many unrelated pairs have a similar hash. They cannot show how
many of these would be confirmed: a confirmed pair may be a true duplicate. For that, one image of each pair is mirrored. A
mirrored picture is as likely as any other to be similar by chance, and is a duplicate of none but a mirrored copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # difference_hash.require_numpy checks this before; check mode needs no numpy

from .._hashing import confirmation, difference_hash, hamming_search, image_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._hashing.hamming_search import Found

    Numbers = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Luma = NDArray[np.uint8]

BITS = 64
WIDEST = 16  # bits: the confidence of pairs that are further apart is not computed
MOST_IMAGES = 20_000  # 200 million pairs, in both groups; about 10 s
MOST_NEAR = 1_500_000  # pairs within WIDEST in one group; about 5 s
PILOT = 1_000  # images that tell how many pairs are near
TILE = 128, 2048  # pairs of images at a time: their distances fit into a core's cache
BATCH = 65_536  # near pairs that are confirmed at a time
PAST = 255  # in a matrix of distances: a pair that does not count


class Counts(NamedTuple):
    """Counts of pairs. ``by_distance``: (65,), of all pairs. ``near``: (WIDEST + 1, 101), by distance and hundredths of confidence."""

    by_distance: Numbers
    near: Numbers

    @property
    def total(self) -> int:
        return int(self.by_distance.sum())


class Unrelated(NamedTuple):
    """Pairs of unrelated pictures among ``images`` images of a library.

    ``pairs``: different images, without ``left_out`` pairs that are likely duplicates. ``mirrored``: the same, one of them mirrored,
    without ``mirrored_left_out`` pairs of pictures that are likely duplicates or mirrored copies.
    """

    images: int
    pairs: Counts
    mirrored: Counts
    left_out: int
    mirrored_left_out: int


class Pictures:
    """Pictures by their 144 luma pixels, (n, 144) uint8, with the hashes and all that confirms a pair of them."""

    def __init__(self, luma: Luma) -> None:
        self.hashes: Words = difference_hash.horizontal(luma[:, :72])
        self.flat: NDArray[np.bool_] = difference_hash.low_detail(luma[:, :72])
        self.confirming = confirmation.Pictures(difference_hash.vertical(luma[:, 72:]), np.ones(len(luma), bool), [row.tobytes() for row in luma])


def as_array(luma: Sequence[bytes]) -> Luma:
    """The luma pixels of n pictures as an (n, 144) uint8 array."""
    return np.frombuffer(b"".join(luma), np.uint8).reshape(len(luma), image_similarity.PIXELS)


def mirrored(luma: Luma) -> Luma:
    """The luma pixels of the pictures with left and right exchanged."""
    across, down = luma[:, :72].reshape(-1, 8, 9), luma[:, 72:].reshape(-1, 9, 8)
    return np.concatenate([across[:, :, ::-1].reshape(-1, 72), down[:, :, ::-1].reshape(-1, 72)], axis=1)


def count_unrelated(luma: Luma) -> Unrelated:
    """Count the pairs among the first images of ``luma``: as many as the limits above allow, two at least."""
    luma = luma[:_affordable(luma[:MOST_IMAGES])]
    number = len(luma)
    both = Pictures(np.concatenate([luma, mirrored(luma)]))
    every = np.arange(number)
    pairs, (one, other) = _count(both, every, every)
    mirror_images, (of_mirrored, mirrored_copy) = _count(both, every, every + number)
    total = pairs.total
    # A library may have mirrored copies: the pair with one of them mirrored is a true one.
    for group in _groups(number, np.concatenate([one, of_mirrored]), np.concatenate([other, mirrored_copy])):
        pairs = _less(pairs, _count(both, group, group)[0])
        mirror_images = _less(mirror_images, _count(both, group, group + number)[0])
    pairs = _without_confirmed(pairs)
    return Unrelated(number, pairs, mirror_images, total - pairs.total, total - mirror_images.total)


def count_edits(original: Luma, copies: Luma) -> Counts:
    """Count the pairs of the pictures ``original`` and ``copies``, both (n, 144).

    A pair with a picture that is too flat to be matched has a distance of 64 bits.
    """
    number = len(original)
    both = Pictures(np.concatenate([original, copies]))
    distances = hamming_search.distances(both.hashes[:number], both.hashes[number:])
    distances[both.flat[:number] | both.flat[number:]] = BITS
    near = np.zeros((WIDEST + 1, 101), np.int64)
    within = np.flatnonzero(distances <= WIDEST)
    np.add.at(near, (distances[within], both.confirming.hundredths(within, within + number, distances[within])), 1)
    return Counts(np.bincount(distances, minlength=BITS + 1).astype(np.int64), near)


def together(parts: Sequence[Counts]) -> Counts:
    """The counts of all ``parts``."""
    return Counts(np.sum([part.by_distance for part in parts], axis=0), np.sum([part.near for part in parts], axis=0))


def _affordable(luma: Luma) -> int:
    """How many of the first images can be compared in time: in some libraries nearly all pairs are near."""
    hashes = difference_hash.horizontal(luma[:PILOT, :72])
    pairs = len(hashes) * (len(hashes) - 1) // 2
    near = sum(int((distances <= WIDEST).sum()) for _one, _other, distances in _tiles(hashes, hashes))
    expected = near / max(pairs, 1) * len(luma) * (len(luma) - 1) / 2
    return len(luma) if expected <= MOST_NEAR else max(2, int(len(luma) * (MOST_NEAR / expected) ** 0.5))


def _count(pictures: Pictures, ones: Numbers, others: Numbers) -> tuple[Counts, tuple[Numbers, Numbers]]:
    """Count the pairs of ``ones[i]`` and ``others[j]`` with i < j; returns also i and j of the pairs that are clearly confirmed."""
    by_distance = np.zeros(PAST + 1, np.int64)
    near = np.zeros((WIDEST + 1) * 101, np.int64)
    clearly = []
    near_pairs = _near(pictures.hashes[ones], pictures.hashes[others], by_distance)
    for one, other, distance in hamming_search.gathered(near_pairs, BATCH):
        hundredths = pictures.confirming.hundredths(ones[one], others[other], distance)
        near += np.bincount(distance.astype(np.int64) * 101 + hundredths, minlength=len(near))
        clear = hundredths >= confirmation.CLEARLY_CONFIRMED
        clearly.append((one[clear], other[clear]))
    one, other = (np.concatenate(found) for found in zip(*clearly)) if clearly else np.empty((2, 0), np.int64)
    return Counts(by_distance[:BITS + 1], near.reshape(WIDEST + 1, 101)), (one, other)


def _near(ones: Words, others: Words, by_distance: Numbers) -> Iterator[Found]:
    """The pairs within WIDEST, a tile at a time. Adds all pairs to ``by_distance``."""
    for top, left, distances in _tiles(ones, others):
        by_distance += np.bincount(distances.ravel(), minlength=PAST + 1)
        at = np.flatnonzero(distances <= WIDEST)
        row, column = np.divmod(at, distances.shape[1])
        yield row + top, column + left, distances.ravel()[at]


def _tiles(ones: Words, others: Words) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Parts of the matrix of distances, each with its first row and column. A pair that is not right of the diagonal has PAST."""
    high, wide = TILE
    for top in range(0, len(ones), high):
        for left in range(top, len(others), wide):
            rows, columns = ones[top:top + high], others[left:left + wide]
            distances = hamming_search.distances(rows[:, None], columns[None, :])
            if left < top + high:
                distances[np.arange(left, left + len(columns))[None, :] <= np.arange(top, top + len(rows))[:, None]] = PAST
            yield top, left, distances


def _groups(number: int, one: Numbers, other: Numbers) -> list[Numbers]:
    """The groups of images that are connected by pairs, each with two images or more."""
    group = np.arange(number)
    while True:  # each image takes the lowest number of its neighbours, until nothing changes
        before = group.copy()
        np.minimum.at(group, one, before[other])
        np.minimum.at(group, other, before[one])
        group = group[group]
        if (group == before).all():
            break
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _less(counts: Counts, part: Counts) -> Counts:
    return Counts(counts.by_distance - part.by_distance, counts.near - part.near)


def _without_confirmed(counts: Counts) -> Counts:
    confirmed = np.zeros(BITS + 1, np.int64)
    confirmed[:WIDEST + 1] = counts.near[:, confirmation.CONFIRMED:].sum(axis=1)
    near = counts.near.copy()
    near[:, confirmation.CONFIRMED:] = 0
    return Counts(counts.by_distance - confirmed, near)
