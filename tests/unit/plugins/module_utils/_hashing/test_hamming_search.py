# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import itertools
import random
import tracemalloc
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import hamming_search
from hypothesis import given, settings
from hypothesis import strategies as st

ALL_SET = 2**64 - 1


def records(hashes: list[int], threshold: int) -> list[tuple[int, int, int]]:
    later, original, distance = hamming_search.nearest_earlier(np.array(hashes, np.uint64), threshold)
    return list(zip(later.tolist(), original.tolist(), distance.tolist()))


def expected_records(hashes: list[int], threshold: int) -> list[tuple[int, int | None, int]]:
    found = []
    for later, one in enumerate(hashes):
        candidates = [(bin(one ^ other).count("1"), earlier) for earlier, other in enumerate(hashes[:later])]
        distance, original = min(candidates, default=(65, None))
        if distance <= threshold:
            found.append((later, original, distance))
    return found


def near_duplicates(seed: int, count: int, families: int) -> list[int]:
    """Some families of hashes that differ by up to 12 bits from their first, and as many strangers, in any order."""
    rng = random.Random(seed)
    firsts = [rng.getrandbits(64) for _family in range(families)]
    hashes = [rng.choice(firsts) ^ sum(1 << bit for bit in rng.sample(range(64), rng.randint(0, 12)))
              for _image in range(count // 2)]
    hashes += [rng.getrandbits(64) for _image in range(count - count // 2)]
    rng.shuffle(hashes)
    return hashes


words = st.integers(0, ALL_SET)
few_bits = st.lists(st.integers(0, 63), max_size=12).map(lambda bits: sum(1 << bit for bit in set(bits)))


@st.composite
def libraries(draw: st.DrawFn) -> list[int]:
    firsts = draw(st.lists(words, min_size=1, max_size=4))
    near = st.builds(lambda first, flips: first ^ flips, st.sampled_from(firsts), few_bits)
    return draw(st.lists(st.one_of(near, words), max_size=40))


@st.composite
def splits(draw: st.DrawFn, radius: int) -> tuple[tuple[int, int], ...]:
    """Chunks of any widths, none included, and of any reaches of which the sum of (reach + 1) is the radius + 1."""
    chunks: list[tuple[int, int]] = []
    slots = radius + 1
    while slots:
        taken = slots if len(chunks) == 7 else draw(st.integers(1, slots))
        chunks.append((draw(st.integers(0, 8)), taken - 1))
        slots -= taken
    return tuple(chunks)


@settings(deadline=None)
@given(libraries(), st.integers(0, 64))
def test_every_image_gets_its_nearest_earlier_image_and_no_other(hashes: list[int], threshold: int) -> None:
    assert records(hashes, threshold) == expected_records(hashes, threshold)


@settings(deadline=None)
@given(st.data(), libraries(), st.integers(0, 64))
def test_every_split_finds_the_same(data: st.DataObject, hashes: list[int], threshold: int) -> None:
    split = data.draw(splits(threshold))
    tiles = data.draw(st.sampled_from([(65536, 4096), (12, 5), (4, 4)]))
    replaced: dict[str, Any] = {"cheapest_split": lambda *_arguments: split, "_TILE_PAIRS": tiles[0], "_TILE_COLUMNS": tiles[1]}
    with mock.patch.multiple(hamming_search, **replaced):
        assert records(hashes, threshold) == expected_records(hashes, threshold)


@pytest.mark.parametrize("planned_for", [1, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("threshold", [0, 3, 10, 15])
def test_the_splits_for_libraries_of_every_size_find_the_same(planned_for: int, threshold: int) -> None:
    split = hamming_search.cheapest_split(planned_for, threshold)
    hashes = near_duplicates(threshold, 300, families=10)
    with mock.patch.object(hamming_search, "cheapest_split", return_value=split):
        assert records(hashes, threshold) == expected_records(hashes, threshold)


@pytest.mark.parametrize("count", [0, 1, 500, 100_000, 10_000_000])
def test_a_planned_split_misses_no_pair(count: int) -> None:
    for radius in range(65):
        split = hamming_search.cheapest_split(count, radius)
        assert sum(reach + 1 for _width, reach in split) == radius + 1
        assert sum(width for width, _reach in split) <= 64


def test_small_library_uses_brute_force_and_a_large_one_chunks() -> None:
    assert hamming_search.cheapest_split(100, 10) == ((0, 10),)
    assert len(hamming_search.cheapest_split(100_000, 10)) > 1


@settings(deadline=None)
@given(st.data(), libraries(), st.integers(0, 64))
def test_each_near_pair_is_found_and_at_most_once_per_chunk(data: st.DataObject, hashes: list[int], radius: int) -> None:
    split = data.draw(splits(radius))
    distinct = np.array(list(dict.fromkeys(hashes)), np.uint64)
    radii = np.full(len(distinct), radius, np.uint8)
    found: collections.Counter[tuple[int, int, int]] = collections.Counter()
    for ones, others, distances in hamming_search.pairs_within(distinct, radii, split):
        for one, other, distance in zip(ones.tolist(), others.tolist(), distances.tolist()):
            found[min(one, other), max(one, other), distance] += 1
    pairs = itertools.combinations(enumerate(distinct.tolist()), 2)
    expected = {(one, other, bin(first ^ second).count("1")) for (one, first), (other, second) in pairs}
    assert set(found) == {pair for pair in expected if pair[2] <= radius}
    assert max(found.values(), default=1) <= len(split)


def test_of_two_originals_as_near_the_earliest_is_taken() -> None:
    assert records([0b0011, 0b1100, 0b0110], 2) == [(2, 0, 2)]
    assert records([0b1100, 0b0011, 0b0110], 2) == [(2, 0, 2)]


def test_a_nearer_original_is_preferred_to_an_earlier_one() -> None:
    assert records([0b1111, 0b0001, 0b0000], 4) == [(1, 0, 3), (2, 1, 1)]


def test_in_a_chain_each_image_points_to_its_own_nearest() -> None:
    assert records([0, 0b1, 0b11, 0b111, 0b1111], 1) == [(1, 0, 1), (2, 1, 1), (3, 2, 1), (4, 3, 1)]


def test_pair_at_the_threshold_matches_and_one_bit_more_does_not() -> None:
    assert records([0, 0b111], 3) == [(1, 0, 3)]
    assert records([0, 0b111], 2) == []


def test_threshold_0_finds_equal_hashes_only() -> None:
    assert records([5, 4, 5, 4, 7, 5], 0) == [(2, 0, 0), (3, 1, 0), (5, 0, 0)]


def test_threshold_64_matches_every_image_but_the_first() -> None:
    assert records([0, ALL_SET, 1], 64) == [(1, 0, 64), (2, 0, 1)]


def test_images_that_are_all_equal_all_point_to_the_first() -> None:
    assert records([42] * 1000, 10) == [(later, 0, 0) for later in range(1, 1000)]


def test_an_equal_hash_is_no_nearer_for_coming_twice() -> None:
    assert records([7, 7, 6], 10) == [(1, 0, 0), (2, 0, 1)]


@pytest.mark.parametrize("hashes", [[], [1]])
def test_no_image_and_a_single_one_have_no_match(hashes: list[int]) -> None:
    later, original, distance = hamming_search.nearest_earlier(np.array(hashes, np.uint64), 10)
    assert (len(later), len(original), len(distance)) == (0, 0, 0)
    assert later.dtype == original.dtype == np.int64 and distance.dtype == np.uint8


def test_search_memory_is_bounded_if_all_images_are_near() -> None:
    hashes = np.random.default_rng(0).permutation(np.arange(4096, dtype=np.uint64))  # 8.4 million pairs within 12 bits
    tracemalloc.start()
    try:
        later, _original, distance = hamming_search.nearest_earlier(hashes, 12)
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(later) == 4095
    assert max(distance.tolist()) <= 12
    assert peak < 16 * 2**20


@pytest.mark.parametrize("count_bits", [
    hamming_search._count_bits_swar,
    pytest.param(hamming_search._count_bits_native,
                 marks=pytest.mark.skipif(not hasattr(np, "bitwise_count"), reason="numpy has no bitwise_count")),
])
@settings(deadline=None)
@given(st.lists(words, max_size=20), st.lists(words, max_size=20))
def test_distances_are_the_numbers_of_differing_bits(count_bits: Callable[..., None], rows: list[int], columns: list[int]) -> None:
    with mock.patch.object(hamming_search, "_count_bits", count_bits):
        found = hamming_search.distances(np.array(rows, np.uint64)[:, None], np.array(columns, np.uint64))
    assert found.dtype == np.uint8
    assert found.tolist() == [[bin(one ^ other).count("1") for other in columns] for one in rows]


def test_the_distance_of_two_single_hashes_is_a_number() -> None:
    assert int(hamming_search.distances(0, ALL_SET)) == 64
