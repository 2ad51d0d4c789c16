# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a preview, a small upright picture, of an image file, within the same limits as hashing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from . import decoder_limits, image_decoder


class Preview(NamedTuple):
    """``jpeg``: the file's content. ``width`` and ``height``: of the upright original. ``format``: its name for people."""

    jpeg: bytes
    width: int
    height: int
    format: str
    seconds: float


def read_preview(path: str, edge: int, media_roots: Sequence[str], limits: decoder_limits.Limits) -> Preview:
    """Make a preview, at most ``edge`` pixels wide and high, of the image at ``path``. Of a video it shows the first visible frame.

    ``media_roots`` are real paths of folders. ``limits.memory_bytes`` is for the caller to set on its process.
    Raises ImageError; MissingRequirementError if this Python has no Pillow.
    """
    from . import pillow_decoder

    started = time.monotonic()
    with image_decoder.opened(path, media_roots, limits) as (file, _status):
        decoded = image_decoder.decode(
            file, lambda source, shown_as: pillow_decoder.preview(source, shown_as, limits.pixels, edge), limits, started + limits.seconds,
            lambda first: True)
    jpeg, *size = decoded.picture
    width, height = decoded.size or size
    return Preview(jpeg, width, height, decoded.format.name, time.monotonic() - started)
