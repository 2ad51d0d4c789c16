# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the migrated library: add the managed fields to a library, from the journal entries of its images."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import sys
from array import array
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from .._deploy import run_record
from .._errors import MissingRequirementError
from .._files import bounded_reads
from .._hashing import decoder_versions, difference_hash, entry_columns, hash_journal
from .._library import json_text, library_edit, library_fields, library_index
from .._telemetry import run_measurements

# A new migration record is written only if one of these fields, a hash, a duplicate or an error has changed.
LASTING = ("total_images", "processed_successfully", "processing_errors", "duplicates_found", "dhash_threshold",
           "algorithm")
MEASURE = " confirmed by pixels 1"  # another text when another measure of similarity finds other duplicates
MATCHES = "matches"  # the note in the journal about the last search for duplicates: the digest of its input, and its result


class MatchOptions(NamedTuple):
    """The options of a migration that decide what its library contains."""

    algorithm: str
    threshold: int
    batch_size: int
    confirm: bool = False  # records of older versions lack it; they had no confirmation


class MigratedLibrary(NamedTuple):
    """The top-level ``fields`` of a migrated library, and the positions of the images that ``changed``.

    ``record``: the migration record among the fields. ``seconds``: the times of its images. ``refuted``: the number of refuted duplicates.
    """

    fields: dict[str, Any]
    changed: array[int]
    record: dict[str, Any]
    seconds: array[float]
    refuted: int


class _Matches(NamedTuple):
    """The duplicates among the images that can be matched: the positions of the later and of the original one among these, the distance in
    bits and the confidence in hundredths; and the number of refuted ones, as in :class:`Duplicates`."""

    later: array[int]
    original: array[int]
    distance: array[int]
    hundredths: array[int]
    refuted: int


class Duplicates(NamedTuple):
    """The duplicate records, and the number of images whose nearest earlier image within the threshold is refuted."""

    records: list[dict[str, Any]]
    refuted: int


class HashedLibrary(NamedTuple):
    """A library, the entries of its images, and for each that shares its file with another one, the position of the file's first name."""

    library: library_index.Index
    entries: entry_columns.Entries
    shared: dict[int, int]


def assemble(hashed: HashedLibrary, terms: MatchOptions, journal: hash_journal.Journal, timestamp: str, write_note: bool) -> MigratedLibrary:
    """Put the hashes, errors and duplicates of a library that is ``hashed`` into it. ``timestamp`` is that of the new record.

    Raises ``MissingRequirementError`` if duplicates have to be searched and numpy is not installed.
    """
    index, entries = hashed.library, hashed.entries
    positions = range(len(index))
    errors = [{"image": index.filename(position), "error": entry.error, "path": index.paths[position], "kind": entry.kind}
              for position, entry in entries.failures().items()]
    duplicates = _duplicates(hashed, terms, journal, write_note)
    seconds = entries.seconds(position for position in positions if not index.is_hash(position, entries.number(position)))
    if not seconds:
        seconds = entries.seconds(positions)
    decoders = {name: decoder_versions.versions()[name] for name in ("pillow", "ffmpeg")}
    record = {
        "migration_timestamp": timestamp,
        "total_images": len(index),
        "processed_successfully": len(index) - len(errors),
        "processing_errors": len(errors),
        "duplicates_found": len(duplicates.records),
        "processing_time_seconds": round(sum(seconds), 3),
        "average_time_per_image": run_measurements.average(seconds),
        "dhash_threshold": terms.threshold,
        "batch_size": terms.batch_size,
        "algorithm": terms.algorithm,
        "p95_time_per_image": round(run_measurements.percentile_95(seconds), 6),
        "decoders": dict(sorted(entries.decoders().items())),
        "versions": {"collection": run_record.VERSION, **decoders, "numpy": _numpy_version()},
    }
    changed = array("Q", (position for position in positions if not index.has_fields(
        position, entries.number(position), entries.is_low_detail(position))))
    # The order of new fields in the library.
    fields = {"dhash_migration": record, "dhash_duplicates": duplicates.records, "dhash_errors": errors}
    return MigratedLibrary(fields, changed, record, seconds, duplicates.refuted)


def is_same_content(migrated: MigratedLibrary, present: library_index.Index) -> bool:
    """Whether ``present``, from which ``migrated`` was made, has the same content, apart from times in the migration record."""
    return has_same_record(migrated, present) and not migrated.changed and all(
        json_text.is_same(migrated.fields[field], present.rest.get(field)) for field in ("dhash_duplicates", "dhash_errors"))


def has_same_record(migrated: MigratedLibrary, present: library_index.Index) -> bool:
    """Whether the migration record of ``present`` says the same as that of ``migrated``, apart from times."""
    record = present.rest.get("dhash_migration")
    return isinstance(record, dict) and all(record.get(key) == migrated.record[key] for key in LASTING)


def edit(hashed: HashedLibrary, migrated: MigratedLibrary) -> library_edit.Script:
    """The edit that makes the migrated library."""
    return library_edit.with_fields(hashed.library, migrated.fields, (
        (position, functools.partial(_with_hash, hashed.entries.without_pixels(position))) for position in migrated.changed))


def _with_hash(entry: hash_journal.Entry, image: dict[str, Any]) -> dict[str, Any]:
    """``image`` with the hash of ``entry``."""
    if entry.dhash is None:
        return library_fields.without_hash(image)
    new = dict(image)
    new["dhash"] = entry.dhash
    if image.get("dhash") != entry.dhash or not isinstance(image.get("dhash_generated_at"), str):
        new["dhash_generated_at"] = entry.hashed_at
    if entry.low_detail:
        new["dhash_low_detail"] = True
    else:
        new.pop("dhash_low_detail", None)
    return new


def _duplicates(hashed: HashedLibrary, terms: MatchOptions, journal: hash_journal.Journal, write_note: bool) -> Duplicates:
    """The duplicates. Those of the last search are taken again if it had the same hashes, pixels, names and files."""
    matchable = hashed.entries.matchable()
    question = _question(hashed, matchable, terms)
    matches = _noted(journal, question, len(matchable))
    if matches is None:
        _require_numpy()
        matches = (_find_confirmed if terms.confirm else _find_near)(hashed, matchable, terms.threshold)
        if write_note:
            journal.keep_note(MATCHES, _note(question, matches))
    records = [_record(hashed, matchable[later], matchable[original], distance, hundredths / 100) for later, original, distance, hundredths
               in zip(matches.later, matches.original, matches.distance, matches.hundredths)]
    present = hashed.library.rest.get("dhash_duplicates")
    return Duplicates(present if isinstance(present, list) and present == records else records, matches.refuted)


def _note(question: str, matches: _Matches) -> str:
    columns = b"".join(column.tobytes() for column in matches[:4])
    return json.dumps({"question": question, "refuted": matches.refuted, "byte_order": sys.byteorder, "count": len(matches.later),
                       "columns": base64.b64encode(columns).decode()})


def _noted(journal: hash_journal.Journal, question: str, images: int) -> _Matches | None:
    """The matches among the ``images`` that the journal has for the ``question``; None if it has none that can be used."""
    try:
        noted = bounded_reads.parse_json(journal.note(MATCHES) or "{}")
        if not isinstance(noted, dict) or (noted.get("question"), noted.get("byte_order")) != (question, sys.byteorder):
            return None
        content, count, refuted = base64.b64decode(noted["columns"], validate=True), noted["count"], noted["refuted"]
        ends = [count * size for size in (4, 8, 9, 10)]
        if not isinstance(refuted, int) or len(content) != ends[-1]:
            return None
        later, original, distance, hundredths = (array(code, content[start:end]) for code, start, end in zip("IIBB", [0, *ends], ends))
    except (ValueError, TypeError, KeyError):
        return None
    is_valid = all(one < other < images for one, other in zip(original, later))
    return _Matches(later, original, distance, hundredths, refuted) if is_valid else None


def _question(hashed: HashedLibrary, matchable: array[int], terms: MatchOptions) -> str:
    """A digest of everything that decides which images are duplicates."""
    question = hashlib.sha256(f"{terms.threshold}{MEASURE if terms.confirm else ''}".encode())
    index, entries = hashed.library, hashed.entries
    for position in matchable:
        dhash, vertical = entries.hashes(position)
        names = f"{encode_basestring_ascii(index.filename(position))}, {encode_basestring_ascii(index.paths[position])}"
        file = f", {hashed.shared[position]}" if position in hashed.shared else ""
        question.update(f'[{names}, "{dhash}", "{vertical}"{file}]\n'.encode())
        if terms.confirm:
            question.update(entries.luma(position) or b"")
    return question.hexdigest()


def _require_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise MissingRequirementError(
            "numpy is needed to find duplicates and is not installed in this Python", next_step="Install python3-numpy.",
        ) from error


class _Rows(Sequence[Any]):
    """The images to match as elements of type ``make``, made one at a time from the columns of their entries."""

    def __init__(self, entries: entry_columns.Entries, matchable: array[int], make: Callable[[str, str, bytes | None], Any]) -> None:
        self._entries, self._matchable, self._make = entries, matchable, make

    def __len__(self) -> int:
        return len(self._matchable)

    def __getitem__(self, number: Any) -> Any:
        position = self._matchable[number]
        return self._make(*self._entries.hashes(position), self._entries.luma(position))


def _find_confirmed(hashed: HashedLibrary, matchable: array[int], threshold: int) -> _Matches:
    from .._hashing import confirmed_matches

    found = confirmed_matches.nearest_earlier(_Rows(hashed.entries, matchable, confirmed_matches.Hashed), threshold)
    return _Matches(array("I", found.later.tolist()), array("I", found.original.tolist()), array("B", found.distance.tolist()),
                    array("B", found.hundredths.tolist()), found.refuted)


def _find_near(hashed: HashedLibrary, matchable: array[int], threshold: int) -> _Matches:
    import numpy as np

    from .._hashing import hamming_search

    entries = hashed.entries
    hashes = np.array([entries.number(position) for position in matchable], dtype=np.uint64)
    later, original, distance = (column.tolist() for column in hamming_search.nearest_earlier(hashes, threshold))
    hundredths = [round(100 * difference_hash.confidence(bits, difference_hash.distance(
        entries.hashes(matchable[one])[1], entries.hashes(matchable[other])[1]))) for one, other, bits in zip(later, original, distance)]
    return _Matches(array("I", later), array("I", original), array("B", distance), array("B", hundredths), 0)


def _record(hashed: HashedLibrary, duplicate: int, original: int, distance: int, confidence: float) -> dict[str, Any]:
    index, entries, shared = hashed
    dhash, original_dhash = entries.hashes(duplicate)[0], entries.hashes(original)[0]
    return {
        "original": index.filename(original),
        "duplicate": index.filename(duplicate),
        "hash": dhash,
        "originalHash": dhash if original_dhash == dhash else original_dhash,  # one text for both, as there may be millions
        "hammingDistance": distance,
        "originalPath": index.paths[original],
        "duplicatePath": index.paths[duplicate],
        "confidence": confidence,
        **({"sameFile": True} if duplicate in shared and shared[duplicate] == shared.get(original) else {}),
    }


def _numpy_version() -> str | None:
    try:
        import numpy as np
    except ImportError:
        return None
    return str(np.__version__)
