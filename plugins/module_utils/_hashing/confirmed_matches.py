# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find for each image the nearest earlier image that is confirmed to be the same picture: exact, on one core, with numpy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # difference_hash.require_numpy checks this before the search; check mode needs no numpy

from . import confirmation, hamming_search
from .hamming_search import INDEX_BITS, INDEX_MASK, NO_MATCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .hamming_search import Numbers, Words

BATCH = 16384  # candidates that are collected before they are confirmed: one by one would be slow


class Hashed(NamedTuple):
    """The hashes of an image in hexadecimal, and its 144 luma pixels, None if they are not known."""

    dhash: str
    vertical: str
    luma: bytes | None


class Matches(NamedTuple):
    """The matches, at most one per image: positions of the later images (int64, ascending), of their originals (int64), the distances
    in bits (int64), and the confidence in hundredths (int64).

    ``refuted``: the number of images whose nearest earlier image within the threshold is refuted.
    """

    later: Numbers
    original: Numbers
    distance: Numbers
    hundredths: Numbers
    refuted: int


def nearest_earlier(images: Sequence[Hashed], threshold: int) -> Matches:
    """Find for each image the nearest earlier image within ``threshold`` bits that is confirmed; among equally near ones the earliest.

    ``images`` in library order, fewer than 2**32; ``threshold`` from 0 to 64.
    """
    hashes = _words(image.dhash for image in images)
    pictures = confirmation.Pictures(_words(image.vertical for image in images), np.ones(len(images), bool), [image.luma for image in images])
    first = _first_copies(images, hashes)
    searched = np.flatnonzero(first == np.arange(len(images)))
    confirmed, nearest = (_of_all_images(matches, first, searched)
                          for matches in _search(hashes[searched], pictures, searched, threshold))
    later = np.flatnonzero(confirmed != NO_MATCH)
    original, distance = confirmed[later] & INDEX_MASK, confirmed[later] >> INDEX_BITS
    hundredths = pictures.hundredths(later, original, distance.astype(np.uint8))
    return Matches(later, original, distance, hundredths, int((confirmed != nearest).sum()))


def _first_copies(images: Sequence[Hashed], hashes: Words) -> Numbers:
    """The position of the first image with the same hashes and the same pixels, for each image.

    These images are confirmed by the same images, so only the first of them has to be searched.
    """
    first = np.arange(len(images))
    _distinct, family, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    position_of: dict[Hashed, int] = {}
    for position in np.flatnonzero(sizes[family.reshape(-1)] > 1).tolist():
        first[position] = position_of.setdefault(images[position], position)
    return first


def _words(hexadecimal: Iterable[str]) -> Words:
    return np.frombuffer(bytes.fromhex("".join(hexadecimal)), ">u8").astype(np.uint64)


def _search(hashes: Words, pictures: confirmation.Pictures, searched: Numbers, threshold: int) -> tuple[Numbers, Numbers]:
    """The nearest earlier image of each image that is confirmed, and the nearest one at all.

    ``searched``: the positions of the images in ``pictures``. Both results as one integer per image: the distance and the position, or NO_MATCH.
    """
    confirmed, nearest = _search_equal_hashes(hashes, pictures, searched)
    radii = np.where(confirmed == NO_MATCH, threshold, 0).astype(np.uint8)
    split = hamming_search.cheapest_split(len(hashes), threshold)
    candidates = _Candidates(confirmed, nearest, radii, pictures, searched)
    for one, other, distance in hamming_search.pairs_within(hashes, radii, split, minimum=1, once=True):
        candidates.add(np.maximum(one, other), distance.astype(np.int64) << INDEX_BITS | np.minimum(one, other))
    candidates.confirm()
    return confirmed, nearest


def _search_equal_hashes(hashes: Words, pictures: confirmation.Pictures, searched: Numbers) -> tuple[Numbers, Numbers]:
    """As :func:`_search`, within 0 bits: each image is compared with the first, then the second, ... image with its hash."""
    confirmed, nearest = np.full((2, len(hashes)), NO_MATCH, np.int64)
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    is_first = np.ones(len(hashes), bool)
    is_first[1:] = in_order[1:] != in_order[:-1]
    family = np.maximum.accumulate(np.where(is_first, np.arange(len(hashes)), 0))  # where the images with the same hash begin
    left = np.flatnonzero(~is_first)
    nearest[order[left]] = order[family[left]]
    rank = 0
    while len(left):
        one, other = order[left], order[family[left] + rank]
        stands = pictures.hundredths(searched[one], searched[other], np.zeros(len(left), np.uint8)) >= confirmation.CONFIRMED
        confirmed[one[stands]] = other[stands]
        rank += 1
        left = left[~stands]
        left = left[left > family[left] + rank]
    return confirmed, nearest


class _Candidates:
    """Pairs of a later image and an earlier one that are near enough, confirmed some at a time.

    ``confirmed``, ``nearest``, ``radii`` and ``searched`` are those of :func:`_search`; the first three are updated.
    """

    def __init__(self, confirmed: Numbers, nearest: Numbers, radii: NDArray[np.uint8], pictures: confirmation.Pictures,
                 searched: Numbers) -> None:
        self._confirmed, self._nearest, self._radii, self._pictures, self._searched = confirmed, nearest, radii, pictures, searched
        self._held: list[tuple[Numbers, Numbers]] = []
        self._count = 0

    def add(self, later: Numbers, match: Numbers) -> None:
        better = match < self._confirmed[later]
        later, match = later[better], match[better]
        np.minimum.at(self._nearest, later, match)
        self._held.append((later, match))
        self._count += len(later)
        if self._count >= BATCH:
            self.confirm()

    def confirm(self) -> None:
        if not self._count:
            return
        later, match = (np.concatenate(pieces) for pieces in zip(*self._held))
        self._held, self._count = [], 0
        better = match < self._confirmed[later]
        later, match = later[better], match[better]
        stands = self._pictures.hundredths(self._searched[later], self._searched[match & INDEX_MASK],
                                           (match >> INDEX_BITS).astype(np.uint8)) >= confirmation.CONFIRMED
        later = later[stands]
        np.minimum.at(self._confirmed, later, match[stands])
        self._radii[later] = self._confirmed[later] >> INDEX_BITS


def _of_all_images(matches: Numbers, first: Numbers, searched: Numbers) -> Numbers:
    """The matches of all images from those of the searched images: as one integer per image, as in :func:`_search`."""
    every = np.full(len(first), NO_MATCH, np.int64)
    found = matches != NO_MATCH
    every[searched[found]] = matches[found] & ~INDEX_MASK | searched[matches[found] & INDEX_MASK]
    # A copy matches what the first of its kind matches at distance 0; otherwise the first of its kind.
    copies = np.flatnonzero(first != np.arange(len(first)))
    of_first = every[first[copies]]
    every[copies] = np.where(of_first >> INDEX_BITS == 0, of_first, first[copies])
    return every
