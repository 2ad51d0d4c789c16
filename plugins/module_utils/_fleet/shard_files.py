# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sharding: several hosts share one library. Each hashes a shard into its own journal, and the leader merges the entries.

The leader lists the images that are not in its journal (:func:`merge`). Each host hashes every n-th image of that list and hands
over the entries (:func:`hash_shard`). The leader merges the entries, and an ordinary migration on the leader hashes the rest. An
entry is used only if the file has the same size and mtime on the leader.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .._errors import DhashError, HandoverError, ImageError
from .._files import file_stamps, row_files
from .._hashing import decoder_limits, decoder_versions, difference_hash, hash_journal, host_throttle, image_decoder, image_formats
from .._hashing.hash_journal import Entry
from .._migrate import library_survey, migration_run, migration_settings
from .._telemetry import run_log
from . import handover

DECODERS = ("pillow", "pillow_heif", "raw_preview", "pyav", "ffmpeg")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LONGEST_ERROR = 4096
BATCH = 1000  # entries in one commit of a merge


class Listed(NamedTuple):
    """An image to hash: its path in the library, and the size and mtime of its file on the leader.

    Other metadata are not compared: ctime and inode of one file can differ between hosts.
    """

    path: str
    size: int
    mtime_ns: int

    def fits(self, stamp: file_stamps.Stamp | None) -> bool:
        """Whether the file with ``stamp`` on any host can be the one on the leader."""
        return stamp is not None and stamp.fits(file_stamps.Stamp(self.size, self.mtime_ns))


class Merge(NamedTuple):
    """The settings of a merge. ``library`` is the real file; ``files`` were handed over by other hosts."""

    library: str
    state: str
    run: str
    algorithm: str
    limits: decoder_limits.Limits
    files: Sequence[str]
    lock_timeout: float
    ignore_ctime: bool
    rehash: bool = False


class Pending(NamedTuple):
    """The file of an image that has to be hashed; its stamp is None if this user cannot access it."""

    file: str
    stamp: file_stamps.Stamp | None


def check_merge(settings: Merge) -> dict[str, Any]:
    """The expected result of :func:`merge`. Writes nothing and takes no lock. Raises ``DhashError``."""
    with hash_journal.open_for_reading(settings.state, settings.algorithm, decoder_limits.text(settings.limits),
                                       settings.ignore_ctime, settings.rehash) as journal:
        return _merge(settings, journal, lambda _taken: None)[0]


def merge(settings: Merge) -> dict[str, Any]:
    """Merge the hashes of other hosts into the journal of this host, and list the images that are still to be hashed.

    A file that is damaged, or of another algorithm, is refused as a whole and named in ``refused``. An entry is ignored if the file
    of its image has changed since. Raises ``DhashError``.
    """
    library_survey.read_stable(settings.library)  # raises before a refused library gets a state folder
    with handover.lock(settings.state, "journal_merge", settings.run, settings.lock_timeout):
        journal, set_aside = hash_journal.open_for_writing(settings.state, settings.algorithm,
                                                           decoder_limits.text(settings.limits), settings.ignore_ctime,
                                                           settings.rehash)
        with journal:
            result, left = _merge(settings, journal, journal.record)
            journal.complete()
        listed = handover.path_in(settings.state, handover.PENDING)
        row_files.write(listed, handover.PENDING, {"algorithm": settings.algorithm, "decoders": decoder_versions.versions()},
                        map(list, left))
    return {**result, "list": listed, "journal_set_aside": set_aside}


def _merge(settings: Merge, journal: hash_journal.Journal,
           record: Callable[[list[tuple[str, file_stamps.Stamp, Entry]]], None]) -> tuple[dict[str, Any], list[Listed]]:
    limits = decoder_limits.text(settings.limits)
    source = library_survey.survey(settings.library, *library_survey.read_stable(settings.library), journal)
    pending = {source.index.paths[position]: Pending(source.file(position), source.stamps[position]) for position in source.entries.pending()}
    counts: Counter[str] = Counter(dict.fromkeys(("taken", "outdated", "not_pending"), 0))
    refused = []
    for file in settings.files:
        try:
            header = row_files.require_sound(file, handover.ENTRIES, _to_entry)
            if header.get("algorithm") != settings.algorithm:
                raise HandoverError(row_files.OTHER_ALGORITHM, f"the hashes are not of algorithm {settings.algorithm}", file,
                                    "Set dhash_algorithm to the same value for all hosts.")
        except HandoverError as error:
            refused.append({"path": file, "reason": error.reason, "message": str(error)})
            continue
        fitting = _fitting(file, pending, counts, too_large=header.get("limits") == limits,
                           errors=header.get("decoders") == decoder_versions.versions())
        while batch := list(itertools.islice(fitting, BATCH)):
            record(batch)
    # An image that the leader cannot access has neither size nor mtime, so other hosts cannot compare it.
    left = sorted(Listed(path, image.stamp.size, image.stamp.mtime_ns) for path, image in pending.items() if image.stamp)
    result = {"images": len(source.index), "to_hash": len(pending), "pending": len(left), **counts, "refused": refused}
    return result, left


def _fitting(file: str, pending: dict[str, Pending], counts: Counter[str],
             too_large: bool, errors: bool) -> Iterator[tuple[str, file_stamps.Stamp, Entry]]:
    """Yield the entries of ``file`` that the journal can use, and remove their images from ``pending``."""
    for listed, entry in row_files.read(file, handover.ENTRIES, _to_entry):
        image = pending.get(listed.path)
        if image is None or (entry.kind and not errors) or (entry.kind == "too_large" and not too_large):
            counts["not_pending"] += 1
        elif image.stamp is None or not listed.fits(image.stamp):
            counts["outdated"] += 1
        else:
            counts["taken"] += 1
            del pending[listed.path]
            yield image.file, image.stamp, entry


def check_shard(settings: migration_settings.Settings, file: str, shard: int | None, shards: int) -> dict[str, Any]:
    """The expected counts of :func:`hash_shard`. Writes nothing and takes no lock. Raises ``DhashError``."""
    with hash_journal.open_for_reading(settings.state, settings.terms.algorithm, decoder_limits.text(settings.limits),
                                       settings.ignore_ctime, settings.rehash) as journal:
        return _Share(settings, file, shard, shards, journal).result


def hash_shard(settings: migration_settings.Settings, file: str, shard: int | None, shards: int,
               progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Hash every ``shards``-th image of the list ``file``, from number ``shard`` on, into this host's journal.

    Without a ``shard`` nothing is hashed. The journal entries of these images, or of the whole list without a ``shard``, are then
    written to a file for the leader. ``progress`` is called as in a migration. Raises ``DhashError``.
    """
    if shard is not None:
        difference_hash.require_numpy()
    row_files.header_of(file, handover.PENDING)
    throttle = host_throttle.Throttle(settings.throttle)
    throttle.may_begin()  # raises before anything is written if the command cannot be run
    with handover.lock(settings.state, "library_hash", settings.run, settings.lock_timeout) as lock:
        throttle.locks, throttle.state = [lock], settings.state
        journal, set_aside = hash_journal.open_for_writing(settings.state, settings.terms.algorithm,
                                                           decoder_limits.text(settings.limits), settings.ignore_ctime,
                                                           settings.rehash)
        with journal, run_log.Log(None, settings.library, "shard") as log:
            work = _Share(settings, file, shard, shards, journal)
            journal.complete()
            fresh: dict[str, Entry] = {}
            if shard is not None:
                migration_run.hash_images(work.pending, settings, journal, run_log.Meter(progress, log), throttle, fresh)
            kinds = Counter(entry.kind for entry in fresh.values() if entry.kind)
            handed_over = handover.path_in(settings.state, handover.ENTRIES)
            count = row_files.write(
                handed_over, handover.ENTRIES,
                {"algorithm": settings.terms.algorithm, "limits": decoder_limits.text(settings.limits),
                 "decoders": decoder_versions.versions()},
                work.known_now())
    return {**work.result, "hashed_now": len(fresh), "to_hash": 0 if shard is not None else work.result["to_hash"],
            "errors": sum(kinds.values()), "errors_by_kind": dict(sorted(kinds.items())),
            "throttled": throttle.result(), "handed_over": count, "entries": handed_over, "journal_set_aside": set_aside}


class _Share:
    """The images of a shard on this host, and those of them that it has to hash."""

    def __init__(self, settings: migration_settings.Settings, file: str, shard: int | None, shards: int,
                 journal: hash_journal.Journal) -> None:
        self._folder = os.path.dirname(settings.library)
        self._settings = settings
        self._journal = journal
        header = row_files.require_sound(file, handover.PENDING, _to_listed)
        if header.get("algorithm") != settings.terms.algorithm:
            raise DhashError(f"the list is not of algorithm {settings.terms.algorithm}", file,
                             "Set dhash_algorithm to the same value for all hosts.")
        self._same_decoders = header.get("decoders") == decoder_versions.versions()
        self._mine: list[Listed] = []
        self.pending: dict[str, file_stamps.Stamp | None] = {}
        counts: Counter[str] = Counter(dict.fromkeys(("known", "missing", "differing", "left_to_leader"), 0))
        listed = row_files.read(file, handover.PENDING, _to_listed)
        images = 0
        for image in listed if shard is None else itertools.islice(listed, shard, None, shards):
            images += 1
            path = os.path.join(self._folder, image.path)
            found = journal.look_up(path)
            what = self._look_at(path, image, found)
            if what is None:
                self._mine.append(image)
                self.pending[path] = found.stamp
            else:
                counts[what] += 1
                if what == "known":
                    self._mine.append(image)
        self.result = {"images": images, "to_hash": len(self.pending), **counts}

    def known_now(self) -> Iterator[list[Any]]:
        """The rows to hand over: the journal entries of files that are the same on the leader."""
        for image in self._mine:
            stamp, entry, _is_missing, _identity = self._journal.look_up(os.path.join(self._folder, image.path))
            if entry and image.fits(stamp) and (self._same_decoders or entry.kind is None):
                yield [*image, *entry[:-1], row_files.packed(entry.luma)]

    def _look_at(self, path: str, image: Listed, found: hash_journal.Found) -> str | None:
        """The name of the count for the image; None if it has to be hashed."""
        if found.stamp is None:
            return "missing"
        if not image.fits(found.stamp):
            return "differing"
        if not (self._same_decoders or (self._settings.terms.algorithm == "pillow" and _is_same_everywhere(
                path, self._settings.media_roots, self._settings.limits))):
            return "left_to_leader"
        return "known" if found.entry else None


def _is_same_everywhere(path: str, media_roots: Sequence[str], limits: decoder_limits.Limits) -> bool:
    """Whether the hash of the file at ``path`` is the same with every version of the decoders."""
    try:
        with image_decoder.opened(path, media_roots, limits) as (file, _status):
            head = file.read(image_formats.HEAD_BYTES)
            return image_formats.is_stable(image_decoder.identify(head), head)
    except ImageError:
        return False


def _to_listed(row: list[Any]) -> Listed:
    path, size, mtime_ns = row
    return Listed(row_files.text(path), row_files.whole(size), row_files.whole(mtime_ns, -(1 << 63)))


def _to_entry(row: list[Any]) -> tuple[Listed, Entry]:
    """The image and the journal entry in a row; rows of older versions have no luma. Raises ValueError if the row is invalid."""
    if len(row) > 12:
        raise ValueError("the row is too long")
    entry = Entry(*row[3:11])._replace(luma=row_files.unpacked(row[11] if len(row) == 12 else None, hash_journal.PIXELS))
    if not isinstance(entry.low_detail, bool):
        raise ValueError("low_detail is invalid")
    if not isinstance(entry.hashed_at, str) or not TIME.fullmatch(entry.hashed_at):
        raise ValueError("hashed_at is invalid")
    if not isinstance(entry.seconds, (int, float)) or isinstance(entry.seconds, bool) or not 0 <= entry.seconds < math.inf:
        raise ValueError("seconds is invalid")
    if entry.kind is None:
        sound = (difference_hash.is_hex(entry.dhash) and difference_hash.is_hex(entry.vertical) and entry.decoder in DECODERS
                 and entry.error is None)
    else:
        sound = entry.kind in hash_journal.REMEMBERED_KINDS and entry.dhash is entry.vertical is entry.decoder is None
        row_files.text(entry.error, LONGEST_ERROR).encode()  # SQLite stores no other text
    if not sound:
        raise ValueError("a hash or an error is invalid")
    return _to_listed(row[:3]), entry._replace(seconds=float(entry.seconds))  # SQLite stores integers of 64 bits only
