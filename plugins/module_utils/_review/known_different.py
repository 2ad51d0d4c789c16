# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pairs that reviewers decided to be different. They are kept beside the library and not exported again.

A decision is bound to the paths and hashes of both images. If an image has changed since, the decision no longer applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._errors import DhashError, LibraryError
from .._files import durable
from .._hashing import difference_hash
from .._library import json_text, library_file

MAX_BYTES = 512 << 20
NEXT_STEP = "Fix the file, restore it from a backup, or move it away. Without the file all pairs are exported for review again."


class Side(NamedTuple):
    """One image of a pair; ``vertical`` is None if that hash was not known at the decision."""

    path: str
    dhash: str
    vertical: str | None


class Different(NamedTuple):
    """A pair that was decided to be different, with its images in the order of their paths."""

    one: Side
    other: Side
    notes: str
    decided_at: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The paths and hashes that the decision is bound to."""
        return (*self.one[:2], *self.other[:2])

    def fits(self, *images: Any) -> bool:
        """Whether two images (each with ``path``, ``dhash`` and ``vertical``) are unchanged since the decision."""
        by_path = {image.path: image for image in images}
        return all(_is_the_same(side, by_path.get(side.path)) for side in (self.one, self.other))


def _is_the_same(side: Side, image: Any) -> bool:
    return (image is not None and side.dhash == image.dhash
            and (None in (side.vertical, image.vertical) or side.vertical == image.vertical))


def different(one: Side, other: Side, notes: str, decided_at: str) -> Different:
    """The record of the decision that two images are different."""
    first, second = sorted((one, other), key=lambda side: side[:2])
    return Different(first, second, notes, decided_at)


def path_of(library: str) -> str:
    """The file with the decisions for the library at the real path ``library``."""
    return f"{library}.review.json"


def read(library: str) -> list[Different]:
    """All pairs that were decided to be different. Raises ``DhashError`` if the file cannot be read or is damaged."""
    path = path_of(library)
    if not durable.exists(path):
        return []
    try:
        value = json_text.parse_json(library_file.read_bytes(path, MAX_BYTES, "the decisions"))
        return [_record(element) for element in value["different"]]
    except LibraryError as error:
        raise DhashError(f"the decisions of earlier reviews cannot be read: {error.cause}", path, NEXT_STEP) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DhashError("the decisions of earlier reviews are damaged", path, NEXT_STEP) from error


def _record(element: dict[str, Any]) -> Different:
    sides = [Side(element[f"path{number}"], element[f"dhash{number}"], element[f"vertical{number}"]) for number in (1, 2)]
    texts = [side.path for side in sides] + [element["notes"], element["decidedAt"]]
    hashes = [side.dhash for side in sides] + [side.vertical for side in sides if side.vertical is not None]
    if not all(isinstance(text, str) for text in texts) or not all(map(difference_hash.is_hex, hashes)):
        raise ValueError
    return different(sides[0], sides[1], element["notes"], element["decidedAt"])


def added(memory: Sequence[Different], decisions: Sequence[Different]) -> list[Different]:
    """``memory`` with the new ones of ``decisions``. Records that apply already stay unchanged."""
    merged = {record.key: record for record in memory}
    new = {record.key: record for record in decisions
           if record.key not in merged or not merged[record.key].fits(record.one, record.other)}
    if not new:
        return list(memory)
    merged.update(new)
    return [merged[key] for key in sorted(merged)]


def write(library: str, memory: Sequence[Different]) -> None:
    """Write ``memory``, durably. Raises ``DhashError``."""
    elements = ({"path1": record.one.path, "dhash1": record.one.dhash, "vertical1": record.one.vertical,
                 "path2": record.other.path, "dhash2": record.other.dhash, "vertical2": record.other.vertical,
                 "notes": record.notes, "decidedAt": record.decided_at} for record in memory)
    pieces = json_text.pieces({"version": 1, "different": elements})
    durable.write(path_of(library), map(json_text.encode, pieces), like=library)
