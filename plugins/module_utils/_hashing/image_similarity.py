# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How similar two images are, by the 144 luma pixels that their hashes were computed from.

An image has 64 places, and at each place two brightness steps: to the right (8 rows of 9 pixels) and downwards (9 rows of 8).
Each step becomes its signed square root, and the 128 roots of an image are scaled to the same length. The 20 places where the
two images differ most are left out. Half of the mean step of each direction is subtracted from the other places. The
similarity is the cosine of the two images' remaining steps, from 0 to 1000.

Sources: roots of normalised gradients from Dalal and Triggs, "Histograms of oriented gradients for human detection" (CVPR
2005, "L1-sqrt"), and Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval" (CVPR 2012):
a few strong edges do not outweigh the other steps. Leaving out the largest residuals from Rousseeuw, "Least median of squares
regression" (JASA 79, 1984, least trimmed squares): a part that was painted over does not count. The mean step is the slope of
a whole picture, as of a sky. Without subtracting it, unrelated pictures with such a slope are similar; with all of it subtracted
(Pearson's correlation), pictures that have little else are lost. Half of it was best of both (docs/accuracy.md).

All sums are sums of integers, so the result is the same on every host.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Pixels = NDArray[np.uint8]
    Signatures = NDArray[np.int16]

PIXELS = 144  # 8 rows of 9, then 9 rows of 8
PLACES = 64
KEPT = 44
MOST = 1000
CONFIRMED = 890
IDENTICAL = 100  # the confidence in hundredths of images with the same 144 pixels; no other images have it
LENGTH = 512  # of an image's 128 roots: the product of two sums of squares is then below 2**53, which a float holds exactly
CHUNK = 2048  # pairs at a time: their arrays fit into a core's cache
# Similarity and confidence in hundredths: 1 / (1 + exp((890 - similarity) / 13)), linear between two points. Fitted by logistic
# regression: Platt, "Probabilistic outputs for support vector machines" (1999).
CURVE = ((0, 0), (812, 0), (825, 1), (838, 2), (851, 5), (864, 12), (877, 27), (890, 50), (903, 73), (916, 88), (929, 95),
         (942, 98), (955, 99), (1000, 99))

_ROOTS = [(math.isqrt(1024 * step) + 1) // 2 for step in range(256)]  # 16 times the square root, rounded


def signature(luma: Pixels) -> Signatures:
    """The scaled roots of (n, 144) uint8 luma pixels, to the right and downwards: (n, 2, 64) int16."""
    import numpy as np  # not above: most modules that import this one compare nothing, and start faster without numpy

    across = np.diff(luma[:, :72].reshape(-1, 8, 9).astype(np.int16), axis=2).reshape(-1, PLACES)
    down = np.diff(luma[:, 72:].reshape(-1, 9, 8).astype(np.int16), axis=1).reshape(-1, PLACES)
    steps = np.stack((across, down), axis=1)
    roots = np.array(_ROOTS, np.int32)[np.abs(steps)]
    length = np.floor(np.sqrt((roots * roots).sum(axis=(1, 2), dtype=np.int64))).astype(np.int32)
    scaled = roots * LENGTH // np.maximum(length, 1)[:, None, None]
    signed: Signatures = (np.sign(steps) * scaled).astype(np.int16)
    return signed


def similarity(one: Signatures, other: Signatures) -> Numbers:
    """The similarity of the images of n pairs, by their :func:`signature`: (n,) int64, 0 to 1000.

    It is symmetric. An image has 1000 with itself; an image of one colour has no steps, and 0 with every image.
    """
    import numpy as np

    found = np.empty(len(one), np.int64)
    for start in range(0, len(one), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = _similarity_of_chunk(one[part].astype(np.int32), other[part].astype(np.int32))
    return found


def _similarity_of_chunk(one: NDArray[np.int32], other: NDArray[np.int32]) -> Numbers:
    """As :func:`similarity`, of a few thousand pairs at most. Overwrites ``one`` and ``other``."""
    import numpy as np

    residuals = one - other
    residuals *= residuals
    # The place in the low bits makes all residuals different: every version of numpy leaves out the same places.
    keys = (residuals[:, 0] + residuals[:, 1]) * PLACES
    keys += np.arange(PLACES, dtype=np.int32)
    kept = keys <= np.partition(keys, KEPT - 1, axis=1)[:, KEPT - 1:KEPT]
    one *= kept[:, None, :]
    other *= kept[:, None, :]
    squares = _product(one, one) * _product(other, other)
    cosine = np.maximum(_product(one, other), 0) / np.sqrt(np.maximum(squares, 1))
    found: Numbers = np.floor(MOST * cosine).astype(np.int64)
    return found


def _product(one: NDArray[np.int32], other: NDArray[np.int32]) -> Numbers:
    """4 * KEPT times the inner product, after half of the mean of each of the two directions is subtracted: (n,) int64."""
    import numpy as np

    sums = one.sum(axis=2, dtype=np.int64) * other.sum(axis=2, dtype=np.int64)
    product: Numbers = 4 * KEPT * np.einsum("ijk,ijk->i", one, other).astype(np.int64) - 3 * sums.sum(axis=1)
    return product


def confidence(luma_one: Pixels, luma_other: Pixels) -> Numbers:
    """The confidence in hundredths, 0 to 100, that the images of n pairs are the same picture: (n,) int64.

    ``luma_one``, ``luma_other``: (n, 144) uint8. 100 means the same 144 pixels.
    """
    import numpy as np

    hundredths = confidence_of(similarity(signature(luma_one), signature(luma_other)))
    return np.where((luma_one == luma_other).all(axis=1), IDENTICAL, hundredths)


def confidence_of(found: NDArray[Any]) -> Numbers:
    """The confidence in hundredths, 0 to 99, of pairs with that similarity and different pixels: (n,) int64."""
    import numpy as np

    level, hundredths = np.array(CURVE, np.int64).T
    part = np.clip(np.searchsorted(level, found, "right") - 1, 0, len(level) - 2)
    rise, run = hundredths[part + 1] - hundredths[part], level[part + 1] - level[part]
    result: Numbers = hundredths[part] + (np.clip(found, 0, MOST) - level[part]) * rise // run
    return result


def is_confirmed(found: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether pairs with that similarity are taken for the same picture: (n,) bool. At CONFIRMED the confidence is 0.5."""
    confirmed: NDArray[np.bool_] = found >= CONFIRMED
    return confirmed
