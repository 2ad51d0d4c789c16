# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirm or refute that two images with similar hashes are the same picture.

The 144 luma pixels of both images decide (:mod:`image_similarity`). The entries of older journals lack them; then the vertical
hashes decide, and without these nothing refutes the pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # difference_hash.require_numpy checks this before the search; check mode needs no numpy

from . import difference_hash, hamming_search, image_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .hamming_search import Numbers, Words

CONFIRMED = 50  # hundredths: image_similarity.CONFIRMED has this confidence
CLEARLY_REFUTED = 5  # hundredths: a pair with a lower confidence needs no review
CLEARLY_CONFIRMED = 95  # hundredths: a pair with this confidence or more needs no review


class Pictures:
    """What confirms the pairs of n images.

    ``verticals``: (n,) uint64, and ``has_vertical``: (n,) bool, whether that vertical hash is known. ``luma``: the 144 luma pixels of
    each image, None if they are not known.
    """

    def __init__(self, verticals: Words, has_vertical: NDArray[np.bool_], luma: Sequence[bytes | None]) -> None:
        self._verticals, self._has_vertical, self._pixels = verticals, has_vertical, luma
        self._has_luma = np.fromiter((pixels is not None for pixels in luma), bool, len(luma))
        self._row = np.cumsum(self._has_luma) - 1  # in the arrays of those that have pixels
        known = [pixels for pixels in luma if pixels is not None]
        self._luma = np.frombuffer(b"".join(known), np.uint8).reshape(-1, image_similarity.PIXELS)
        self._signatures = np.zeros((len(known), 2, image_similarity.PLACES), np.int16)
        self._is_signed = np.zeros(len(known), bool)

    def hundredths(self, one: Numbers, other: Numbers, distances: NDArray[np.uint8]) -> Numbers:
        """The confidence in hundredths that the images of m pairs are the same picture: (m,) int64.

        ``one``, ``other``: the positions of the images of each pair, and ``distances`` the Hamming distances of their hashes in bits.
        A pair is confirmed from CONFIRMED on. 100 means the same 144 luma pixels, of images that are not of one colour.
        """
        known = self._has_luma[one] & self._has_luma[other]
        result = np.empty(len(one), np.int64)
        result[known] = self._by_pixels(self._row[one[known]], self._row[other[known]])
        result[~known] = self._by_hashes(one[~known], other[~known], distances[~known])
        return result

    def _by_pixels(self, one: Numbers, other: Numbers) -> Numbers:
        """As :func:`hundredths`, of images with pixels; ``one`` and ``other`` are their rows."""
        self._sign(np.concatenate((one, other)))
        found = image_similarity.similarity(self._signatures[one], self._signatures[other])
        result = image_similarity.confidence_of(found)
        alike = np.flatnonzero(found == image_similarity.MOST)
        identical = (self._luma[one[alike]] == self._luma[other[alike]]).all(axis=1)
        result[alike[identical]] = image_similarity.IDENTICAL
        return result

    def kinds(self, confirm: bool) -> Numbers:
        """A number for each image, the same for images that nothing but their hash can tell apart: (n,) int64.

        Without ``confirm`` only the vertical hashes tell them apart.
        """
        number_of: dict[object, int] = {}
        pixels = self._pixels if confirm else itertools.repeat(None)
        contents = zip(self._verticals.tolist(), self._has_vertical.tolist(), pixels)
        return np.fromiter((number_of.setdefault(content, len(number_of)) for content in contents), np.int64, len(self._verticals))

    def far(self, one: Numbers, other: Numbers, distances: NDArray[np.uint8]) -> Numbers:
        """The sum of the distances of both hashes in bits, twice ``distances`` where a vertical hash is not known: (m,) int64."""
        both = self._has_vertical[one] & self._has_vertical[other]
        down = hamming_search.distances(self._verticals[one], self._verticals[other])
        return distances.astype(np.int64) + np.where(both, down, distances)

    def _by_hashes(self, one: Numbers, other: Numbers, distances: NDArray[np.uint8]) -> Numbers:
        """As :func:`hundredths`, without the pixels: as difference_hash.confidence, but the vertical hashes can refute a pair."""
        far = self.far(one, other, distances)
        confirmed = np.clip((64 - far) * 100 // 64, CONFIRMED, image_similarity.IDENTICAL - 1)
        both = self._has_vertical[one] & self._has_vertical[other]
        return np.where(both & (far - distances > difference_hash.MOST_VERTICAL), 0, confirmed)

    def _sign(self, rows: Numbers) -> None:
        missing = np.unique(rows[~self._is_signed[rows]])
        self._is_signed[missing] = True
        for start in range(0, len(missing), image_similarity.CHUNK):
            part = missing[start:start + image_similarity.CHUNK]
            self._signatures[part] = image_similarity.signature(self._luma[part])
