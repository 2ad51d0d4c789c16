# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review queue of a migrated library: the pairs to review, their order, and the proposal for each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from .._hashing import difference_hash
from .._migrate import matchable_images
from . import known_different

if TYPE_CHECKING:
    import numpy as np

    from .._hashing import confirmation, near_pairs

MOST_PAIRS = 10_000_000  # in an export
INSTRUCTIONS = (
    "Decide for each match whether both images show the same picture, and which image to keep. If they are the same, set"
    " reviewStatus to approved, isDuplicate to true and keepImage to image1 or image2. If they are different, set rejected,"
    " false and both. To leave a match undecided, set reviewStatus to skipped. Importing this queue removes images that are"
    " not kept from the library; their files stay where they are."
)
# The preferred format if all else is equal: lossless formats first, then those with the best quality per byte.
FORMATS = ("TIFF", "Photoshop", "PNG", "PPM", "PGM", "PBM", "BMP", "JPEG XL", "JPEG 2000", "AVIF", "HEIC", "WebP",
           "JPEG", "GIF")


class PairOptions(NamedTuple):
    """The options of a queue. Distances in bits; ``confirm``: leave out the pairs that need no decision (:class:`near_pairs.Rule`)."""

    minimum: int
    maximum: int
    confirm: bool
    limit: int


class Detail(NamedTuple):
    """The details of an image file. ``preview`` is relative to the review folder."""

    width: int
    height: int
    format: str
    preview: str


class Queue(NamedTuple):
    """The pairs to show: the positions in ``images`` of both, their confidence (0 to 1), and the number of their cluster.

    ``total``: all pairs to review. ``refuted``, ``recorded`` and ``decided``: pairs that are left out.
    """

    images: Sequence[matchable_images.Image]
    one: np.ndarray
    other: np.ndarray
    confidence: list[float]
    clusters: list[int]
    total: int
    refuted: int
    recorded: int
    decided: int


def find(images: Sequence[matchable_images.Image], terms: PairOptions, recorded: int,
         memory: Sequence[known_different.Different]) -> Queue:
    """The pairs of ``images`` (in library order) to review, without those in ``memory``.

    ``recorded``: the threshold in bits of the duplicates that the library records. Raises ``MissingRequirementError``.
    """
    difference_hash.require_numpy()
    import numpy as np

    from .._hashing import confirmation, hamming_search, near_pairs

    hashes = np.array([difference_hash.from_hex(image.dhash) for image in images], np.uint64)
    pictures = confirmation.Pictures(
        np.array([difference_hash.from_hex(image.vertical or "0") for image in images], np.uint64),
        np.array([image.vertical is not None for image in images], bool), [image.luma for image in images])
    rule = near_pairs.Rule(terms.minimum, terms.maximum, terms.confirm, recorded)
    decided = _decided(images, memory, pictures, rule)
    pairs = near_pairs.pairs_between(hashes, pictures, rule, terms.limit + len(decided))
    keep = [pair not in decided for pair in zip(pairs.one.tolist(), pairs.other.tolist())]
    one, other = (positions[np.array(keep, bool)][:terms.limit] for positions in (pairs.one, pairs.other))
    if terms.confirm:
        hundredths = pictures.hundredths(one, other, hamming_search.distances(hashes[one], hashes[other]))
        confidence = [hundredth / 100 for hundredth in hundredths.tolist()]
    else:
        confidence = [difference_hash.confidence(*matchable_images.distances(images[left], images[right]))
                      for left, right in zip(one.tolist(), other.tolist())]
    return Queue(images, one, other, confidence, _clusters(one.tolist(), other.tolist()), int(pairs.counts.sum()) - len(decided),
                 pairs.refuted, pairs.recorded, len(decided))


def _decided(images: Sequence[matchable_images.Image], memory: Sequence[known_different.Different], pictures: confirmation.Pictures,
             rule: near_pairs.Rule) -> set[tuple[int, int]]:
    """The pairs that are known to be different and would otherwise be in the queue."""
    import numpy as np

    from .._hashing import near_pairs

    position = {image.path: index for index, image in enumerate(images)}
    different = []
    for record in memory:
        one, other = (position.get(side.path) for side in (record.one, record.other))
        if one is None or other is None or not record.fits(images[one], images[other]):
            continue
        distance = difference_hash.distance(images[one].dhash, images[other].dhash)
        if rule.minimum <= distance <= rule.maximum:
            different.append((min(one, other), max(one, other), distance))
    ones, others, distances = np.array(different, np.int64).reshape(-1, 3).T
    judged = near_pairs.judge(pictures, rule, ones, others, distances.astype(np.uint8))
    return set(zip(ones[judged.to_review].tolist(), others[judged.to_review].tolist()))


def _clusters(one: list[int], other: list[int]) -> list[int]:
    """The number of the connected component of each pair, from 1, in the order of the pairs."""
    parent: dict[int, int] = {}

    def root(position: int) -> int:
        while parent.setdefault(position, position) != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for left, right in zip(one, other):
        parent[root(left)] = root(right)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(position), len(numbers) + 1) for position in one]


def match_id(path1: str, dhash1: str, path2: str, dhash2: str) -> str:
    """The id of a match. It is the same in every export as long as both images have the same paths and hashes."""
    return hashlib.sha256(json.dumps([path1, dhash1, path2, dhash2]).encode()).hexdigest()[:16]


def document(queue: Queue, details: Mapping[int, Detail], library: str, algorithm: str, terms: PairOptions,
             exported_at: str) -> dict[str, Any]:
    """The queue as the JSON object of an export; ``matches`` is an iterator."""
    return {
        "exportedAt": exported_at, "library": library, "algorithm": algorithm,
        "minDistance": terms.minimum, "maxDistance": terms.maximum,
        "totalMatches": queue.total, "exportedMatches": len(queue.one),
        "refutedMatches": queue.refuted, **({"recordedMatches": queue.recorded} if terms.confirm else {}),
        "decidedMatches": queue.decided,
        "reviewInstructions": INSTRUCTIONS, "matches": _matches(queue, details, exported_at),
    }


def _matches(queue: Queue, details: Mapping[int, Detail], exported_at: str) -> Iterator[dict[str, Any]]:
    for left, right, confidence, cluster in zip(queue.one, queue.other, queue.confidence, queue.clusters):
        one, other = queue.images[left], queue.images[right]
        seen = details.get(int(left)), details.get(int(right))
        distance, vertical = matchable_images.distances(one, other)
        keep, reason = propose((one, seen[0]), (other, seen[1]))
        yield {
            "id": match_id(one.path, one.dhash, other.path, other.dhash),
            "image1": _shown(one, seen[0]), "image2": _shown(other, seen[1]),
            "hammingDistance": distance, "confidence": confidence, "verticalDistance": vertical,
            "sameFile": matchable_images.is_same_file(one, other), "cluster": cluster, "needsReview": True,
            "reviewStatus": "pending", "reviewNotes": "", "isDuplicate": None,
            "keepImage": None, "proposedKeep": keep, "proposedReason": reason, "createdAt": exported_at,
        }


def _shown(image: matchable_images.Image, detail: Detail | None) -> dict[str, Any]:
    return {
        "filename": image.filename, "path": image.path, "dhash": image.dhash,
        "width": detail and detail.width, "height": detail and detail.height, "bytes": image.size,
        "format": detail and detail.format, "modifiedAt": _moment(image.mtime_ns), "preview": detail and detail.preview,
    }


def _moment(mtime_ns: int | None) -> str | None:
    try:
        return None if mtime_ns is None else datetime.fromtimestamp(mtime_ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # a file system can store times that the calendar does not have
        return None


def propose(one: tuple[matchable_images.Image, Detail | None], other: tuple[matchable_images.Image, Detail | None]) -> tuple[str | None, str]:
    """The image to keep, ``image1`` or ``image2``, and the reason: by resolution, bytes, format, then order.

    A property counts only if it is known for both images. For two names of one file the proposal is None.
    """
    (image1, detail1), (image2, detail2) = one, other
    if matchable_images.is_same_file(image1, image2):
        return None, "both names are the same file"
    if detail1 and detail2:
        pixels1, pixels2 = detail1.width * detail1.height, detail2.width * detail2.height
        if pixels1 != pixels2:
            sizes = [f"{detail.width} x {detail.height}" for detail in (detail1, detail2)]
            return _choice(pixels1 > pixels2, "larger: {} against {}", sizes)
    if image1.size is not None and image2.size is not None and image1.size != image2.size:
        return _choice(image1.size > image2.size, "more bytes: {} against {}", [image1.size, image2.size])
    if detail1 and detail2:
        rank1, rank2 = (FORMATS.index(detail.format) if detail.format in FORMATS else len(FORMATS)
                        for detail in (detail1, detail2))
        if rank1 != rank2:
            return _choice(rank1 < rank2, "better format: {} rather than {}", [detail1.format, detail2.format])
    return "image1", "first in the library"


def _choice(first: bool, reason: str, values: list[Any]) -> tuple[str, str]:
    return ("image1", reason.format(*values)) if first else ("image2", reason.format(*reversed(values)))
