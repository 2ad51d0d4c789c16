# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference hash: one bit for each pair of neighbouring pixels, set if the brightness rises.

After N. Krawetz, "Kind of Like That" (hackerfactor.com, 2013). A picture is reduced to its luma and scaled to 9 columns
and 8 rows: 64 pairs of neighbours. Bit i, row by row from the top left, is set if the left pixel is darker than its
right neighbour; bit 0 is the least significant. Re-encoding, scaling and retouching seldom change which of two neighbours is
brighter, so the Hamming distance of two hashes measures how similar the pictures are.

The second hash, the vertical one, is computed in the same way from 8 columns and 9 rows: each pixel is compared with the one
below. It confirms or refutes a match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._errors import MissingRequirementError
from .._files import file_stamps

if TYPE_CHECKING:
    import numpy as np

HEX = re.compile(r"[0-9A-F]{16}")
MOST_VERTICAL = 16  # bits; docs/algorithm.md: of 1,000 unrelated photographs it leaves 11 of 419 pairs
VISIBLE_STEP = 3
LEAST_STEPS = 12


class Pixels(NamedTuple):
    """The pixels of an image that are hashed: luma, 0 black to 255 white.

    ``horizontal``: 72 bytes, 8 rows of 9; ``vertical``: 72 bytes, 9 rows of 8. ``decoder``: pillow, pillow_heif, raw_preview, pyav
    or ffmpeg. ``stamp`` is that of the file that was read. ``seconds``: the time since the file was opened.
    """

    horizontal: bytes
    vertical: bytes
    decoder: str
    stamp: file_stamps.Stamp
    seconds: float


def require_numpy() -> None:
    """Raise ``MissingRequirementError`` if this Python has no numpy."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise MissingRequirementError(
            "numpy is needed for hashing and is not installed in this Python",
            next_step="Install numpy (Debian: apt-get install python3-numpy), or run with dhash_install: packages or venv."
        ) from error


def horizontal(pixels: np.ndarray) -> np.ndarray:
    """Hash (n, 72) uint8 luma pixels, 8 rows of 9, to (n,) uint64."""
    rows = pixels.reshape(len(pixels), 8, 9)
    return _pack(rows[:, :, :-1] < rows[:, :, 1:])


def vertical(pixels: np.ndarray) -> np.ndarray:
    """Hash (n, 72) uint8 luma pixels, 9 rows of 8, to (n,) uint64."""
    rows = pixels.reshape(len(pixels), 9, 8)
    return _pack(rows[:, :-1, :] < rows[:, 1:, :])


def _pack(darker: np.ndarray) -> np.ndarray:
    import numpy as np  # not above: most modules only read and write hashes, and start faster without numpy

    bits = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))
    return np.sum(np.where(darker.reshape(len(darker), 64), bits, np.uint64(0)), axis=1, dtype=np.uint64)


def low_detail(pixels: np.ndarray) -> np.ndarray:
    """Whether (n, 72) uint8 luma pixels, 8 rows of 9, are too flat to match by hash: (n,) bool.

    An image is too flat if fewer than LEAST_STEPS of the 64 pairs differ by VISIBLE_STEP levels or more. Smaller differences are
    noise. A rise is followed by a fall, so 11 steps set about 5 bits, and any two such pictures, similar or not, lie within the
    threshold of 10. Measured: 160 photographs and 18 edits of each have 14 steps or more; a single colour has 0, with JPEG noise
    up to 7; a page with one small mark has up to 11.
    """
    import numpy as np

    steps = np.abs(np.diff(pixels.reshape(len(pixels), 8, 9).astype(np.int16), axis=2)) >= VISIBLE_STEP
    return steps.sum(axis=(1, 2)) < LEAST_STEPS


def to_hex(value: int) -> str:
    """A hash as the library holds it: 16 upper-case hexadecimal digits."""
    return f"{int(value):016X}"


def is_hex(value: object) -> bool:
    """Whether ``value`` is a hash as the library holds it."""
    return isinstance(value, str) and HEX.fullmatch(value) is not None


def from_hex(digits: str) -> int:
    """The hash that :func:`to_hex` wrote. Raises ValueError if ``digits`` is not a hexadecimal number."""
    return int(digits, 16)


def distance(one: str, other: str) -> int:
    """The Hamming distance of two hashes in hexadecimal, in bits. Raises ValueError if one is not a number."""
    return bin(from_hex(one) ^ from_hex(other)).count("1")


def confidence(across: int, down: int | None) -> float:
    """The confidence of a match, 0 to 1, from the distances of its horizontal and its vertical hashes in bits.

    ``down`` is None if a vertical hash is not known; the formula then uses ``across`` for both.
    """
    return round(max(0.0, 1 - (across + (across if down is None else down)) / 64), 2)


def hash_pixels(images: Sequence[Pixels]) -> list[tuple[str, str, bool]]:
    """The horizontal and the vertical hash of each image in hexadecimal, and whether the image is too flat to match.

    One tuple per image, in the same order. Needs numpy.
    """
    across = as_array([image.horizontal for image in images])
    down = as_array([image.vertical for image in images])
    return [
        (to_hex(h), to_hex(v), bool(flat))
        for h, v, flat in zip(horizontal(across), vertical(down), low_detail(across))
    ]


def as_array(pixels: Sequence[bytes]) -> np.ndarray:
    """The pixels of n images, 72 bytes each, as an (n, 72) uint8 array."""
    import numpy as np

    return np.frombuffer(b"".join(pixels), np.uint8).reshape(len(pixels), 72)
