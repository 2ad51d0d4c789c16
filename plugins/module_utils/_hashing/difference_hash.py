# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference hash: which way the brightness goes from each pixel to the next.

After N. Krawetz, "Kind of Like That" (hackerfactor.com, 2013). A picture is reduced to its luma and scaled to 9 columns
and 8 rows: 64 pairs of neighbours. Bit i, row by row from the top left, is set where the left pixel is darker than its
right neighbour; bit 0 is the least significant. What re-encoding, scaling and retouching change little is which of two
neighbours is the brighter one, so that the Hamming distance of two hashes says how alike the pictures are.

The second, vertical hash is the same of 8 columns and 9 rows, upper pixel against lower. It confirms a match.
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
    """What is left of an image: luma, 0 black to 255 white.

    ``horizontal``: 72 bytes, 8 rows of 9; ``vertical``: 72 bytes, 9 rows of 8. ``decoder``: pillow, pillow_heif or
    ffmpeg. ``stamp`` is that of the file that was read. ``seconds``: from opening it on.
    """

    horizontal: bytes
    vertical: bytes
    decoder: str
    stamp: file_stamps.Stamp
    seconds: float


def require_numpy() -> None:
    """Raise ``MissingRequirementError`` where this Python has no numpy."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise MissingRequirementError(
            "numpy is needed to hash, and this Python has none",
            next_step="Install it (Debian: apt-get install python3-numpy), or run with dhash_install: packages or venv."
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
    import numpy as np  # not above: most modules that come here only read and write hashes, and are faster without

    bits = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))
    return np.sum(np.where(darker.reshape(len(darker), 64), bits, np.uint64(0)), axis=1, dtype=np.uint64)


def low_detail(pixels: np.ndarray) -> np.ndarray:
    """Whether (n, 72) uint8 luma pixels, 8 rows of 9, are too flat to match by hash: (n,) bool.

    They are where fewer than LEAST_STEPS of the 64 pairs differ by VISIBLE_STEP levels or more. Pairs that differ by
    less are noise. A rise is followed by a fall, so 11 steps set about 5 bits, and any two such pictures, alike or not,
    lie within the threshold of 10. Measured: 160 photographs and 18 edits of each have 14 steps or more; one colour 0,
    with JPEG noise on it up to 7, a page with one small mark up to 11.
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
    """The hash that :func:`to_hex` wrote. Raises ValueError where ``digits`` is no number."""
    return int(digits, 16)


def distance(one: str, other: str) -> int:
    """The Hamming distance of two hashes in hexadecimal, in bits. Raises ValueError where one is no number."""
    return bin(from_hex(one) ^ from_hex(other)).count("1")


def confidence(across: int, down: int | None) -> float:
    """How sure a match is, 0 to 1, by the distances of its horizontal and its vertical hashes in bits.

    Where a vertical hash is not known, its distance is taken for as great as the other.
    """
    return round(max(0.0, 1 - (across + (across if down is None else down)) / 64), 2)


def hash_pixels(images: Sequence[Pixels]) -> list[tuple[str, str, bool]]:
    """For each image its horizontal and vertical hash in hexadecimal, and whether it is too flat to match."""
    across = as_array([image.horizontal for image in images])
    down = as_array([image.vertical for image in images])
    return [
        (to_hex(h), to_hex(v), bool(flat))
        for h, v, flat in zip(horizontal(across), vertical(down), low_detail(across))
    ]


def as_array(pixels: Sequence[bytes]) -> np.ndarray:
    """n times the 72 bytes of an image as (n, 72) uint8."""
    import numpy as np

    return np.frombuffer(b"".join(pixels), np.uint8).reshape(len(pixels), 72)
