# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edited copies: that each edit is one, and that a hostile file is refused in the same way as in hashing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import picture_edits
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, image_decoder
from PIL import Image

LIMITS = decoder_limits.Limits()


def write(folder: Path, picture: Image.Image, name: str = "picture.png") -> str:
    picture.save(folder / name)
    return str(folder / name)


def read(path: str, limits: decoder_limits.Limits = LIMITS) -> picture_edits.Edited:
    return picture_edits.read_edits(path, [os.path.realpath(os.path.dirname(path))], limits)


def test_the_original_has_the_pixels_that_are_hashed(tmp_path: Path) -> None:
    path = write(tmp_path, pictures.colour(pictures.LARGE))
    pixels = image_decoder.read_pixels(path, "pillow", [os.path.realpath(tmp_path)], LIMITS)
    found = read(path)
    assert found.original == pixels.horizontal + pixels.vertical
    assert found.seconds > 0


def test_each_edit_makes_a_copy_and_the_copies_are_reproducible(tmp_path: Path) -> None:
    path = write(tmp_path, pictures.colour(pictures.LARGE))
    found = read(path)
    assert len(found.copies) == len(picture_edits.EDITS) >= 14
    assert all(len(copy) == 144 for copy in found.copies)
    assert read(path)[:2] == found[:2]


@pytest.mark.parametrize("edit", picture_edits.EDITS, ids=lambda edit: edit.name)
def test_edit_changes_part_of_the_copy_and_not_the_original(edit: picture_edits.Edit) -> None:
    original = pictures.colour((400, 300))
    before = original.tobytes()
    changed = edit.change(original)
    assert original.tobytes() == before
    saved, plain = io.BytesIO(), io.BytesIO()
    changed.save(saved, "JPEG", quality=edit.quality)
    original.save(plain, "JPEG", quality=picture_edits.QUALITY)
    assert saved.getvalue() != plain.getvalue()
    brightness = Image.open(saved).convert("L").resize((1, 1)).getpixel((0, 0))
    assert isinstance(brightness, int) and 40 < brightness < 240


def test_names_of_edits_are_unique() -> None:
    names = [edit.name for edit in picture_edits.EDITS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "1"])
def test_odd_pictures_can_be_edited(size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    assert len(read(write(tmp_path, Image.new(mode, size))).copies) == len(picture_edits.EDITS)


def test_a_file_that_is_not_an_image_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(ImageError) as caught:
        read(str(tmp_path / "page.html"))
    assert caught.value.kind == "not_an_image"
    path = write(tmp_path, pictures.colour(pictures.LARGE))
    with pytest.raises(ImageError) as caught:
        read(path, decoder_limits.Limits(pixels=100))
    assert caught.value.kind == "too_large"
    with pytest.raises(ImageError) as caught:
        picture_edits.read_edits(path, ["/elsewhere"], LIMITS)
    assert caught.value.kind == "outside_media_root"
