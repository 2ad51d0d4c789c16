# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io

import imagehash
import numpy as np
import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import difference_hash, image_formats, pillow_decoder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

PIXELS = st.binary(min_size=72, max_size=72)


def of_imagehash(bits: np.ndarray) -> int:
    """ImageHash's bits, whose first is the most significant, in our order, whose first is the least."""
    return int("".join("1" if bit else "0" for bit in bits.flatten()[::-1]), 2)


def pixels_of(im: Image.Image, **options: object) -> np.ndarray:
    """The horizontal pixels of ``im`` saved as a JPEG."""
    content = pictures.encode(im, "JPEG", **options)
    format_ = image_formats.identify(content)
    assert format_ is not None
    horizontal, _vertical = pillow_decoder.luma_pixels(io.BytesIO(content), format_, 10**9)
    return difference_hash.as_array([horizontal])


@given(PIXELS)
def test_the_horizontal_bits_are_those_of_the_imagehash_package(pixels: bytes) -> None:
    expected = imagehash.dhash(Image.frombytes("L", (9, 8), pixels)).hash
    assert int(difference_hash.horizontal(difference_hash.as_array([pixels]))[0]) == of_imagehash(expected)


@given(PIXELS)
def test_the_vertical_bits_are_those_of_the_imagehash_package(pixels: bytes) -> None:
    expected = imagehash.dhash_vertical(Image.frombytes("L", (8, 9), pixels)).hash
    assert int(difference_hash.vertical(difference_hash.as_array([pixels]))[0]) == of_imagehash(expected)


def test_bit_0_is_the_top_left_pair_and_bit_63_the_bottom_right() -> None:
    pixels = np.zeros((2, 72), np.uint8)
    pixels[0, 1] = 1  # the second pixel of the first row of nine: brighter than its left neighbour, then darker
    pixels[1, 71] = 1
    assert [difference_hash.to_hex(value) for value in difference_hash.horizontal(pixels)] == ["0000000000000001", "8000000000000000"]
    pixels[0] = 0
    pixels[0, 8] = 1  # the first pixel of the second row of eight
    assert [difference_hash.to_hex(value) for value in difference_hash.vertical(pixels)] == ["0000000000000001", "8000000000000000"]


def test_equal_neighbours_set_no_bit() -> None:
    pixels = np.full((1, 72), 200, np.uint8)
    assert difference_hash.horizontal(pixels)[0] == difference_hash.vertical(pixels)[0] == 0


@given(st.lists(st.tuples(PIXELS, PIXELS), max_size=5))
def test_a_batch_has_the_hashes_of_its_images_one_by_one(images: list[tuple[bytes, bytes]]) -> None:
    across, down = ([image[side] for image in images] for side in (0, 1))
    assert difference_hash.horizontal(difference_hash.as_array(across)).dtype == np.uint64
    assert difference_hash.horizontal(difference_hash.as_array(across)).tolist() == [
        int(difference_hash.horizontal(difference_hash.as_array([pixels]))[0]) for pixels in across]
    assert difference_hash.vertical(difference_hash.as_array(down)).tolist() == [
        int(difference_hash.vertical(difference_hash.as_array([pixels]))[0]) for pixels in down]


@given(st.integers(0, 2**64 - 1))
def test_a_hash_is_written_as_16_upper_case_digits_and_read_back(value: int) -> None:
    digits = difference_hash.to_hex(value)
    assert len(digits) == 16 and digits == digits.upper() and difference_hash.from_hex(digits) == value


@pytest.mark.parametrize("colour", ["white", "black", "red", "#7f7f7f", "#123456"])
def test_a_picture_of_one_colour_is_low_in_detail(colour: str) -> None:
    assert difference_hash.low_detail(pixels_of(Image.new("RGB", (600, 400), colour)))[0]


@pytest.mark.parametrize("mark", [0, 4, 20, 50])
def test_a_white_page_with_one_small_mark_is_low_in_detail(mark: int) -> None:
    assert difference_hash.low_detail(pixels_of(pictures.page(mark=mark)))[0]


@pytest.mark.parametrize("quality", [10, 40, 90])
@pytest.mark.parametrize("deviation", [1, 4, 16])
def test_jpeg_noise_on_one_colour_is_low_in_detail(quality: int, deviation: int) -> None:
    noise = np.random.default_rng(1).normal(128, deviation, (400, 600, 3)).clip(0, 255).astype(np.uint8)
    assert difference_hash.low_detail(pixels_of(Image.fromarray(noise), quality=quality))[0]


@pytest.mark.parametrize("contrast", [1.0, 0.3])
def test_a_picture_of_something_is_not_low_in_detail(contrast: float) -> None:
    im = pictures.colour(pictures.LARGE).point([int(90 + contrast * (value - 90)) for value in range(256)] * 3)
    assert not difference_hash.low_detail(pixels_of(im, quality=30))[0]


def test_low_detail_images_may_match_whatever_they_show() -> None:
    left = difference_hash.horizontal(pixels_of(pictures.page(mark=40)))[0]
    right = difference_hash.horizontal(pixels_of(pictures.page(mark=40).rotate(180)))[0]
    assert left != right and bin(int(left ^ right)).count("1") <= 10


def test_the_hashes_of_nothing_are_nothing() -> None:
    assert difference_hash.hash_pixels([]) == []


@pytest.mark.parametrize(("value", "is_one"), [
    ("0123456789ABCDEF", True), ("0123456789abcdef", False), ("0123456789ABCDE", False), ("0123456789ABCDEF\n", False), (None, False),
    (1234567890123456, False),
])
def test_a_hash_in_a_library_is_16_upper_case_hexadecimal_digits(value: str | int | None, is_one: bool) -> None:
    assert difference_hash.is_hex(value) == is_one
