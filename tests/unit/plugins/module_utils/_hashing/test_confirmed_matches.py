# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For each image the nearest earlier image that its pixels, or its vertical hash, confirm."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import confirmation, confirmed_matches, difference_hash, image_similarity
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.confirmed_matches import Hashed
from hypothesis import given, settings
from hypothesis import strategies as st

PICTURE, OTHER, THIRD = (np.random.default_rng(seed).integers(0, 256, image_similarity.PIXELS, np.uint8).tobytes() for seed in (1, 2, 3))


def image(dhash: int, luma: bytes | None = None, vertical: int = 0) -> Hashed:
    return Hashed(difference_hash.to_hex(dhash), difference_hash.to_hex(vertical), luma)


def matches(images: Sequence[Hashed], threshold: int = 10) -> tuple[list[tuple[int, int, int]], int]:
    found = confirmed_matches.nearest_earlier(images, threshold)
    return list(zip(found.later.tolist(), found.original.tolist(), found.distance.tolist())), found.refuted


def brute_force(images: Sequence[Hashed], threshold: int) -> tuple[list[tuple[int, int, int]], int]:
    """The definition, one pair after the other."""
    found, refuted = [], 0
    for later, image in enumerate(images):
        near = sorted((difference_hash.distance(image.dhash, images[earlier].dhash), earlier) for earlier in range(later))
        near = [(distance, earlier) for distance, earlier in near if distance <= threshold]
        confirmed = [(later, earlier, distance) for distance, earlier in near if is_confirmed(image, images[earlier])]
        found += confirmed[:1]
        refuted += bool(near) and confirmed[:1] != [(later, near[0][1], near[0][0])]
    return found, refuted


def is_confirmed(one: Hashed, other: Hashed) -> bool:
    if one.luma is None or other.luma is None:
        return difference_hash.distance(one.vertical, other.vertical) <= difference_hash.MOST_VERTICAL
    pixels = [np.frombuffer(image.luma or b"", np.uint8)[None] for image in (one, other)]
    return int(image_similarity.confidence(*pixels)[0]) >= confirmation.CONFIRMED


def test_confirmed_image_is_the_match() -> None:
    assert matches([image(0, PICTURE), image(0b11, PICTURE)]) == ([(1, 0, 2)], 0)


def test_refuted_image_is_no_match() -> None:
    assert matches([image(0, PICTURE), image(0b11, OTHER)]) == ([], 1)


def test_farther_image_is_the_match_if_the_nearest_is_refuted() -> None:
    assert matches([image(0b1111, PICTURE), image(0, OTHER), image(0b1, PICTURE)]) == ([(2, 0, 3)], 2)


def test_equal_hash_does_not_confirm() -> None:
    assert matches([image(7, PICTURE), image(7, OTHER), image(7, OTHER)]) == ([(2, 1, 0)], 2)


def test_vertical_hash_confirms_if_pixels_are_unknown() -> None:
    near, far = (1 << 16) - 1, (1 << 17) - 1
    assert matches([image(0, PICTURE), image(1, None, near)]) == ([(1, 0, 1)], 0)
    assert matches([image(0, None), image(1, OTHER, far)]) == ([], 1)


def test_only_the_same_pixels_have_full_confidence() -> None:
    images = [image(0, PICTURE), image(0, PICTURE), image(1 << 63), image(1 << 63)]
    assert confirmed_matches.nearest_earlier(images, 0).hundredths.tolist() == [100, 99]


def test_empty_library_has_no_matches() -> None:
    assert matches([]) == ([], 0)


@settings(deadline=None)
@given(st.lists(st.builds(image, st.integers(0, 31), st.sampled_from([None, PICTURE, OTHER, THIRD]), st.sampled_from([0, 1, 2**20 - 1])),
                max_size=30), st.integers(0, 5))
def test_search_finds_what_brute_force_finds(images: list[Hashed], threshold: int) -> None:
    assert matches(images, threshold) == brute_force(images, threshold)
