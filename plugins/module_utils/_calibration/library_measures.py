# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure a library: its pairs of unrelated images, and edited copies of some of its pictures. Writes nothing."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from typing import Any, NamedTuple

from .._errors import ImageError, RefusedError
from .._hashing import confirmation, decoder_limits, difference_hash, host_throttle, worker_pool
from .._library import library_fields
from .._migrate import matchable_images
from .._telemetry import run_log
from . import pair_counts, picture_edits, threshold_choice


class Settings(NamedTuple):
    """One calibration. Paths are absolute; ``library`` is the real file, ``media_roots`` are real folders.

    ``pictures``: how many pictures are edited. ``confirm``: whether the library is migrated with confirmation.
    """

    library: str
    state: str
    report: str
    run: str
    pictures: int
    confirm: bool
    media_roots: tuple[str, ...]
    limits: decoder_limits.Limits
    parallel: int
    temp_dir: str | None
    lock_timeout: float


class EditRecall(NamedTuple):
    """What an edit leaves to be found: of the copies, 0 to 1, by threshold, within the threshold and also confirmed."""

    name: str
    found: tuple[float, ...]
    found_confirmed: tuple[float, ...]


class Calibration(NamedTuple):
    """What was measured. ``images``: those that can be matched; ``without_pixels``: those of them whose pixels are not known;
    ``copies``: those that have the same pixels as another one, and are left out.

    ``pictures`` were edited, ``unreadable`` ones could not be decoded. ``current``: the threshold of the library.
    """

    library: str
    algorithm: str
    images: int
    without_pixels: int
    copies: int
    pictures: int
    unreadable: int
    current: int
    confirm: bool
    unrelated: pair_counts.Unrelated
    edits: pair_counts.Counts
    by_edit: tuple[EditRecall, ...]
    table: list[threshold_choice.Outlook]
    choice: threshold_choice.Choice


def measure(settings: Settings, throttle: host_throttle.Throttle = host_throttle.NEVER, meter: run_log.Meter | None = None) -> Calibration:
    """Measure the library of ``settings``, with ``meter`` counting the edited pictures. The same library gives the same result.

    Raises ``DhashError``, and what ``throttle`` raises.
    """
    difference_hash.require_numpy()
    value = read_migrated(settings.library)
    images = matchable_images.survey(settings.library, value, settings.state)
    known = sorted((image for image in images if image.luma is not None), key=_chance)
    first_with: dict[bytes | None, matchable_images.Image] = {}
    for image in known:
        first_with.setdefault(image.luma, image)
    distinct = list(first_with.values())
    _require_two(settings.library, len(distinct), len(images) - len(known))
    unrelated = pair_counts.count_unrelated(pair_counts.as_array([image.luma or b"" for image in distinct[:pair_counts.MOST_IMAGES]]))
    edited, unreadable = _edit(settings, distinct[:settings.pictures], throttle, meter or run_log.Meter())
    by_edit = [_count_copies(edited, number) for number in range(len(picture_edits.EDITS))]
    edits = pair_counts.together(by_edit)
    table = threshold_choice.outlooks(unrelated, edits, len(images))
    current = library_fields.threshold(value)
    choice = threshold_choice.choose(table, current, settings.confirm, len(images), unrelated.pairs.total, len(edited))
    return Calibration(
        settings.library, library_fields.algorithm(value), len(images), len(images) - len(known), len(known) - len(distinct), len(edited),
        unreadable, current, settings.confirm, unrelated, edits, tuple(map(_recall, picture_edits.EDITS, by_edit)), table, choice)


def _require_two(library: str, distinct: int, lacking: int) -> None:
    """Raise ``RefusedError`` if there are fewer than two ``distinct`` images. ``lacking``: images whose pixels are not known."""
    if distinct < 2 and lacking:
        raise RefusedError(f"two different images are needed, and the journal has the pixels of {distinct}", library,
                           "Run the migrate playbook with dhash_rehash=true on this host, then run again.")
    if distinct < 2:
        raise RefusedError(f"two different images are needed, and the library has {distinct} that can be matched", library,
                           "Calibrate a library with more pictures.")


def read_migrated(library: str) -> dict[str, Any]:
    """The content of the library. Raises ``LibraryError`` if it has no hashes."""
    return matchable_images.read_migrated(library, "measure", "Run the migrate playbook, then run again.")


def _chance(image: matchable_images.Image) -> str:
    """A key that sorts images by chance, but the same images in the same way: other images and fields do not matter."""
    return hashlib.sha256(f"{image.dhash} {image.path}".encode("utf-8", "surrogatepass")).hexdigest()


def _edit(settings: Settings, images: list[matchable_images.Image], throttle: host_throttle.Throttle,
          meter: run_log.Meter) -> tuple[list[picture_edits.Edited], int]:
    """Edit the pictures of ``images`` in workers; returns them in this order, and how many cannot be decoded."""
    read = functools.partial(picture_edits.read_edits, media_roots=settings.media_roots, limits=settings.limits)
    paths = [(number, os.fspath(image.file)) for number, image in enumerate(images)]
    found: dict[int, picture_edits.Edited] = {}
    meter.start(len(paths))
    with contextlib.closing(worker_pool.read_files(
            paths, read, picture_edits.Edited, settings.media_roots, settings.limits, settings.parallel, settings.temp_dir,
            throttle)) as results:
        for number, result in results:
            meter.count(paths[number][1], result)
            if not isinstance(result, ImageError):
                found[number] = result
    return [found[number] for number in sorted(found)], len(images) - len(found)


def _count_copies(edited: list[picture_edits.Edited], number: int) -> pair_counts.Counts:
    """Count the pairs of the pictures and their copies with one edit."""
    return pair_counts.count_edits(pair_counts.as_array([picture.original for picture in edited]),
                                   pair_counts.as_array([picture.copies[number] for picture in edited]))


def _recall(edit: picture_edits.Edit, counts: pair_counts.Counts) -> EditRecall:
    found = counts.by_distance[:pair_counts.WIDEST + 1].cumsum() / max(counts.total, 1)
    confirmed = counts.near[:, confirmation.CONFIRMED:].sum(axis=1).cumsum() / max(counts.total, 1)
    return EditRecall(edit.name, tuple(found.tolist()), tuple(confirmed.tolist()))
