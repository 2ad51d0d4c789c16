# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pairs are counted, and that nobody's duplicates are counted as unrelated."""

from __future__ import annotations

import random

import numpy as np
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import pair_counts
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import difference_hash, hamming_search
from PIL import Image


def luma_of(picture: Image.Image) -> bytes:
    return picture.resize((9, 8)).tobytes() + picture.resize((8, 9)).tobytes()


def picture(seed: int) -> Image.Image:
    return Image.frombytes("L", (9, 8), random.Random(seed).randbytes(72)).resize((72, 64), Image.Resampling.BICUBIC)


def drawn(count: int) -> list[bytes]:
    return [luma_of(picture(seed)) for seed in range(count)]


def test_every_pair_of_different_images_is_counted_once() -> None:
    luma = pair_counts.as_array(drawn(150))
    found = pair_counts.count_unrelated(luma)
    hashes = difference_hash.horizontal(luma[:, :72])
    matrix = hamming_search.distances(hashes[:, None], hashes[None, :])
    assert (found.images, found.left_out) == (150, 0)
    assert found.pairs.by_distance.tolist() == np.bincount(matrix[np.triu_indices(150, 1)], minlength=65).tolist()
    assert found.pairs.total == found.mirrored.total == 150 * 149 // 2


@pytest.mark.parametrize("tile", [(1, 1), (7, 3), (3, 7), (128, 2048)])
def test_the_size_of_the_parts_does_not_matter(tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    luma = pair_counts.as_array(drawn(30) * 2)
    whole = pair_counts.count_unrelated(luma)
    monkeypatch.setattr(pair_counts, "TILE", tile)
    monkeypatch.setattr(pair_counts, "BATCH", 5)
    parts = pair_counts.count_unrelated(luma)
    for one, other in ((whole.pairs, parts.pairs), (whole.mirrored, parts.mirrored)):
        assert (one.by_distance == other.by_distance).all() and (one.near == other.near).all()


def test_likely_duplicates_do_not_count_as_unrelated() -> None:
    originals = drawn(40)
    brighter = [bytes(min(255, level + 3) for level in luma) for luma in originals[:10]]
    without = pair_counts.count_unrelated(pair_counts.as_array(originals))
    found = pair_counts.count_unrelated(pair_counts.as_array(originals + brighter + originals[:5]))
    assert found.left_out == 20  # ten copies, five of which have another copy, of which each has two pairs
    assert found.pairs.total == 55 * 54 // 2 - 20
    assert found.pairs.near.sum() == found.pairs.by_distance[:17].sum() and found.pairs.near[:, 50:].sum() == 0
    assert without.pairs.by_distance[:6].sum() == found.pairs.by_distance[:6].sum() == 0
    assert (found.mirrored.total, found.mirrored_left_out) == (found.pairs.total, 20)  # a picture and its mirror image may be alike


def test_mirrored_copies_do_not_count_as_unrelated() -> None:
    originals = pair_counts.as_array(drawn(40))
    found = pair_counts.count_unrelated(np.concatenate([originals, pair_counts.mirrored(originals[:10])]))
    assert (found.left_out, found.mirrored_left_out) == (10, 10)
    assert found.mirrored.near[:, 95:].sum() == 0


def test_images_connected_through_pairs_form_one_group() -> None:
    assert [group.tolist() for group in pair_counts._groups(7, np.array([0, 4, 2]), np.array([2, 5, 6]))] == [[0, 2, 6], [4, 5]]
    assert pair_counts._groups(3, np.empty(0, np.int64), np.empty(0, np.int64)) == []


def test_a_mirrored_picture_has_the_pixels_of_its_mirror_image() -> None:
    one = picture(5)
    (found,) = pair_counts.mirrored(pair_counts.as_array([luma_of(one)]))
    mirror = luma_of(one.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert np.abs(found.astype(int) - np.frombuffer(mirror, np.uint8)).max() <= 1


def test_library_of_nearly_equal_images_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_counts, "MOST_NEAR", 100)
    found = pair_counts.count_unrelated(pair_counts.as_array(drawn(1) * 60))
    assert 10 <= found.images <= 16
    assert (found.pairs.total, found.left_out) == (0, found.images * (found.images - 1) // 2)


def test_a_large_library_is_measured_on_its_first_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_counts, "MOST_IMAGES", 20)
    assert pair_counts.count_unrelated(pair_counts.as_array(drawn(30))).pairs.total == 190


def test_edited_copies_are_counted_by_distance_and_confidence() -> None:
    original, flat = drawn(1)[0], bytes([128] * 144)
    luma, copies = pair_counts.as_array([original, original, original]), pair_counts.as_array([original, luma_of(picture(1)), flat])
    found = pair_counts.count_edits(luma, copies)
    assert found.total == 3
    assert (found.by_distance[0], found.near[0, 100]) == (1, 1)
    assert found.by_distance[64] == 1  # too flat to be matched
    assert found.near.sum() == found.by_distance[:17].sum()


def test_counts_are_added() -> None:
    luma = pair_counts.as_array(drawn(3))
    both = pair_counts.together([pair_counts.count_edits(luma, luma), pair_counts.count_edits(luma[:1], luma[:1])])
    assert (both.total, both.near[0, 100]) == (4, 4)


def test_no_edited_copies_are_no_error() -> None:
    none = pair_counts.as_array([])
    assert pair_counts.count_edits(none, none).total == 0
