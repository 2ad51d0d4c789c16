# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The similarity of two images by their 144 luma pixels, and the confidence that follows from it."""
from __future__ import annotations

import hashlib

import numpy as np
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_similarity
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def similarity(one: Pixels, other: Pixels) -> NDArray[np.int64]:
    return image_similarity.similarity(image_similarity.signature(one), image_similarity.signature(other))


@pytest.fixture
def pictures() -> Pixels:
    """200 smooth pictures, as 144 luma pixels each, from integers alone."""
    fine = np.random.default_rng(5).integers(0, 256, (200, 19, 19), dtype=np.int64)
    for _pass in range(2):
        fine = (fine[:, :-1, :-1] + fine[:, 1:, :-1] + fine[:, :-1, 1:] + fine[:, 1:, 1:]) // 4
    smooth = np.clip((fine - 128) * 4 + 128, 0, 255).astype(np.uint8)
    return np.concatenate((smooth[:, :16:2, :].reshape(200, 8, 17)[:, :, ::2].reshape(200, 72),
                           smooth[:, ::2, :16:2].reshape(200, 72)), axis=1)


def test_image_is_identical_to_itself(pictures: Pixels) -> None:
    assert (similarity(pictures, pictures) == 1000).all()
    assert (image_similarity.confidence(pictures, pictures) == 100).all()


def test_similarity_is_symmetric(pictures: Pixels) -> None:
    found = similarity(pictures[:100], pictures[100:])
    assert (found == similarity(pictures[100:], pictures[:100])).all()
    assert (found >= 0).all() and not image_similarity.is_confirmed(found).any()


def test_similarity_is_the_same_on_every_host(pictures: Pixels) -> None:
    one, other = np.repeat(pictures, 200, axis=0), np.tile(pictures, (200, 1))
    digest = hashlib.sha256(similarity(one, other).astype("<i8").tobytes()).hexdigest()
    assert digest == "b5aa4af7a88538e0c1e2388cb89daf6077cd396f4017b848b9c3215e8a61dd7b"


def test_pairs_do_not_influence_each_other(pictures: Pixels) -> None:
    one, other = np.repeat(pictures, 30, axis=0), np.tile(pictures, (30, 1))
    assert len(one) > image_similarity.CHUNK
    assert similarity(one, other)[777] == similarity(one[777:778], other[777:778])[0]
    assert similarity(one[:0], other[:0]).shape == (0,)


def test_brightness_and_contrast_change_little(pictures: Pixels) -> None:
    darker = (pictures // 2 + 20).astype(np.uint8)
    assert (similarity(pictures, darker) > 950).all()


def test_painted_part_does_not_count(pictures: Pixels) -> None:
    painted = pictures.copy()
    painted[:, :72].reshape(-1, 8, 9)[:, 3:5, 3:5] = 255
    painted[:, 72:].reshape(-1, 9, 8)[:, 3:5, 3:5] = 255
    assert image_similarity.is_confirmed(similarity(pictures, painted)).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_is_only_similar_to_its_own_pixels(pictures: Pixels, level: int) -> None:
    flat = np.full_like(pictures, level)
    assert (similarity(pictures, flat) == 0).all()
    assert (image_similarity.confidence(flat, np.full_like(pictures, 77)) == 0).all()
    assert (image_similarity.confidence(flat, flat) == 100).all()


def test_extreme_steps_do_not_overflow() -> None:
    board = np.tile(np.array([0, 255], np.uint8), 72)[None]
    assert similarity(board, board)[0] == 1000
    assert similarity(board, 255 - board)[0] == 0


def test_confidence_rises_with_similarity(pictures: Pixels) -> None:
    hundredths = image_similarity.confidence_of(np.arange(1001))
    assert (np.diff(hundredths) >= 0).all()
    assert hundredths[0] == 0 and hundredths[-1] == 99
    assert hundredths[image_similarity.CONFIRMED] == 50


def test_different_pixels_never_have_full_confidence(pictures: Pixels) -> None:
    brighter = (np.minimum(pictures, 254) + 1).astype(np.uint8)
    assert np.max(image_similarity.confidence(np.minimum(pictures, 254), brighter)) == 99
