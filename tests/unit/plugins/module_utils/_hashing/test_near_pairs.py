# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from typing import Optional
from unittest import mock

import numpy as np
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import confirmation, hamming_search, image_similarity, near_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

NoPixels = tuple[int, Optional[int]]  # horizontal hash, vertical hash
Image = tuple[int, Optional[int], Optional[bytes]]  # with pixels

ALL_SET = 2**64 - 1
few_bits = st.lists(st.integers(0, 63), max_size=10).map(lambda bits: sum(1 << bit for bit in set(bits)))


PICTURES = [np.random.default_rng(seed).integers(0, 256, image_similarity.PIXELS, np.uint8).tobytes() for seed in range(2)]
# A copy of the first picture with a painted part: neither clearly confirmed nor clearly refuted (see below).
PICTURES.append(bytes(255 if 20 <= number < 58 or 90 <= number < 116 else level for number, level in enumerate(PICTURES[0])))


@st.composite
def libraries(draw: st.DrawFn) -> list[Image]:
    """Families of near and of equal horizontal hashes, each image with a vertical hash and pixels, or None; many come again."""
    firsts = draw(st.lists(st.integers(0, ALL_SET), min_size=1, max_size=3))
    near = st.builds(lambda first, flips: first ^ flips, st.sampled_from(firsts), few_bits)
    vertical = st.sampled_from([None, 0, 1, 0xFF, 0x1FFFF, ALL_SET])
    kinds = draw(st.lists(st.tuples(near, vertical, st.sampled_from([None, *PICTURES])), min_size=1, max_size=10))
    return draw(st.lists(st.sampled_from(kinds), max_size=25))


def arrays(images: Sequence[Image | NoPixels]) -> tuple[NDArray[np.uint64], confirmation.Pictures]:
    pictures = confirmation.Pictures(np.array([image[1] or 0 for image in images], np.uint64),
                                     np.array([image[1] is not None for image in images], bool), [image[2] if len(image) == 3 else None for image in images])
    return np.array([image[0] for image in images], np.uint64), pictures


Result = tuple[list[tuple[int, int]], list[int], tuple[int, int]]


def found(images: Sequence[Image | NoPixels], minimum: int, maximum: int, limit: int, confirm: bool = False, recorded: int = 10) -> Result:
    rule = near_pairs.Rule(minimum, maximum, confirm, recorded)
    pairs = near_pairs.pairs_between(*arrays(images), rule, limit)
    return list(zip(pairs.one.tolist(), pairs.other.tolist())), pairs.counts.tolist(), (pairs.refuted, pairs.recorded)


def expected(images: Sequence[Image | NoPixels], minimum: int, maximum: int, limit: int, confirm: bool = False, recorded: int = 10) -> Result:
    _hashes, pictures = arrays(images)
    pairs: list[tuple[int, int, int]] = []
    counts, left_out = [0] * 65, [0, 0]
    for (i, one), (j, other) in itertools.combinations(enumerate(images), 2):
        distance = bin(one[0] ^ other[0]).count("1")
        if not minimum <= distance <= maximum:
            continue
        vertical = distance if one[1] is None or other[1] is None else bin(one[1] ^ other[1]).count("1")
        hundredths = int(pictures.hundredths(np.array([i]), np.array([j]), np.array([distance], np.uint8))[0])
        if confirm and hundredths < 5:
            left_out[0] += 1
        elif confirm and hundredths >= 95 and distance <= recorded:
            left_out[1] += 1
        else:
            counts[distance] += 1
            pairs.append((-hundredths if confirm else distance + vertical, i, j))
    return [(pair[1], pair[2]) for pair in sorted(pairs)[:limit]], counts, (left_out[0], left_out[1])


@settings(deadline=None)
@given(libraries(), st.integers(0, 64), st.integers(0, 64), st.integers(1, 400), st.booleans(), st.sampled_from([-1, 3, 10]))
def test_pairs_in_a_range_are_counted_and_the_likeliest_kept(
        images: Sequence[Image], one: int, other: int, limit: int, confirm: bool, recorded: int) -> None:
    bounds = min(one, other), max(one, other)
    assert found(images, *bounds, limit, confirm, recorded) == expected(images, *bounds, limit, confirm, recorded)


@settings(deadline=None)
@given(libraries(), st.sampled_from([0, 4, 8]), st.sampled_from([8, 12, 15]), st.integers(1, 30))
def test_a_split_into_chunks_finds_each_pair_once_too(images: Sequence[Image], minimum: int, maximum: int, limit: int) -> None:
    split = tuple((8, 1) for _chunk in range((maximum + 1) // 2)) + ((0, 0),) * ((maximum + 1) % 2)
    with mock.patch.object(hamming_search, "cheapest_split", return_value=split), mock.patch.object(near_pairs, "_SLACK", 3):
        assert found(images, minimum, maximum, limit) == expected(images, minimum, maximum, limit)


def test_no_image_and_a_single_one_have_no_pair() -> None:
    assert found([], 8, 15, 10) == ([], [0] * 65, (0, 0))
    assert found([(1, None)], 0, 64, 10, True) == ([], [0] * 65, (0, 0))


def test_equal_images_are_at_distance_0_from_one_another() -> None:
    assert found([(5, 5)] * 3, 0, 0, 10)[0] == [(0, 1), (0, 2), (1, 2)]
    assert found([(5, 5)] * 3, 1, 64, 10)[0] == []


def test_both_bounds_belong_to_what_is_found() -> None:
    images = [(0, None), (2**8 - 1, None), (2**20 - 1, None)]  # at 8, 20 and 12
    assert found(images, 8, 12, 10)[0] == [(0, 1), (1, 2)]
    assert found(images, 9, 11, 10)[0] == []


def test_limit_drops_the_farthest_pairs_first_then_the_last() -> None:
    images = [(0, 0), (2**8 - 1, 0), (2**9 - 1, 0), (2**8 - 1 << 20, 0)]
    nearest = [(0, 1), (0, 3), (0, 2), (1, 3), (2, 3)]  # at 8, 8, 9, 16 and 17
    for limit in range(1, 6):
        assert found(images, 8, 64, limit)[0] == nearest[:limit]
        assert sum(found(images, 8, 64, limit)[1]) == 5


def test_vertical_hashes_refute_a_pair_if_both_are_known() -> None:
    assert found([(0, 0), (255, 2**17 - 1)], 8, 15, 10, confirm=True) == ([], [0] * 65, (1, 0))
    assert found([(0, 0), (255, 2**16 - 1)], 8, 15, 10, confirm=True)[0] == [(0, 1)]
    assert found([(0, 0), (255, None)], 8, 15, 10, confirm=True)[0] == [(0, 1)]


def test_clearly_different_pixels_refute_a_pair() -> None:
    images = [(0, 0, PICTURES[0]), (255, 0, PICTURES[1])]
    assert found(images, 8, 15, 10, confirm=True) == ([], [0] * 65, (1, 0))
    assert found(images, 8, 15, 10)[0] == [(0, 1)]


def test_identical_pixels_are_reviewed_only_beyond_the_threshold() -> None:
    images = [(0, 0, PICTURES[0]), (2**10 - 1, 0, PICTURES[0]), (2**10 - 1 << 1, 0, PICTURES[1]), (2**11 - 1 << 20, 0, PICTURES[0])]
    assert found(images, 8, 15, 10, confirm=True) == ([(0, 3)], [0] * 11 + [1] + [0] * 53, (1, 1))


def test_doubtful_pixels_are_reviewed() -> None:
    _hashes, pictures = arrays([(0, 0, PICTURES[0]), (0, 0, PICTURES[2])])
    assert 5 <= int(pictures.hundredths(np.array([0]), np.array([1]), np.array([8], np.uint8))[0]) < 95
    assert found([(0, 0, PICTURES[0]), (255, 0, PICTURES[2])], 8, 15, 10, confirm=True)[0] == [(0, 1)]


def without_pixels(verticals: NDArray[np.uint64]) -> confirmation.Pictures:
    return confirmation.Pictures(verticals, np.ones(len(verticals), bool), [None] * len(verticals))


def test_billions_of_equidistant_pairs_need_no_more_memory() -> None:
    hashes = np.where(np.arange(100_000) % 2, np.uint64(0), np.uint64(2**10 - 1)).astype(np.uint64)
    tracemalloc.start()
    try:
        pairs = near_pairs.pairs_between(hashes, without_pixels(hashes), near_pairs.Rule(8, 15, True, -1), 1000)
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pairs.counts[10] == 2_500_000_000
    assert list(zip(pairs.one.tolist(), pairs.other.tolist())) == [(0, other) for other in range(1, 2000, 2)]
    assert peak < 32 * 2**20


def test_memory_is_bounded_if_all_images_are_near_and_none_equal() -> None:
    hashes = np.random.default_rng(0).permutation(np.arange(4096, dtype=np.uint64))  # 8 million pairs up to 12 bits
    tracemalloc.start()
    try:
        pairs = near_pairs.pairs_between(hashes, without_pixels(hashes), near_pairs.Rule(2, 12, False, -1), 1000)
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pairs.counts.sum() == 4096 * 4095 // 2 - 4096 * 12 // 2
    assert len(pairs.one) == 1000
    assert peak < 16 * 2**20
