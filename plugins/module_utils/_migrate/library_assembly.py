# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the migrated library: add the managed fields to a library, from the journal entries of its images."""

from __future__ import annotations

import hashlib
import json
import operator
from collections import Counter
from typing import Any, NamedTuple

from .._deploy import run_record
from .._errors import MissingRequirementError
from .._files import bounded_reads, file_stamps
from .._hashing import decoder_versions, difference_hash, hash_journal
from .._library import json_text, library_fields, library_file
from .._telemetry import run_measurements

# A new migration record is written only if one of these fields, a hash, a duplicate or an error has changed.
LASTING = ("total_images", "processed_successfully", "processing_errors", "duplicates_found", "dhash_threshold",
           "algorithm")
MEASURE = " confirmed by pixels 1"  # another text when another measure of similarity finds other duplicates
MATCHES = "matches"  # the note in the journal about the last search for duplicates: the digest of its input and of its result


Matchable = tuple[dict[str, Any], hash_journal.Entry, "int | None"]  # an image, its entry, and the number of its file if it has other names


class Terms(NamedTuple):
    """The options of a migration that decide what its library contains."""

    algorithm: str
    threshold: int
    batch_size: int
    confirm: bool = False  # records of older versions lack it; they had no confirmation


class Migrated(NamedTuple):
    """The content of a migrated library, its migration record, the times (s) of its images, and the number of refuted duplicates."""

    value: dict[str, Any]
    record: dict[str, Any]
    seconds: list[float]
    refuted: int


class Duplicates(NamedTuple):
    """The duplicate records, and the number of images whose nearest earlier image within the threshold is refuted."""

    records: list[dict[str, Any]]
    refuted: int


def assemble(library: library_file.Library, entries: list[hash_journal.Entry], identities: list[file_stamps.Identity | None],
             terms: Terms, journal: hash_journal.Journal, timestamp: str, write_note: bool) -> Migrated:
    """Put the hashes, errors and duplicates of ``entries`` (one per image, in the library's order) into ``library``.

    ``identities`` tell which images are names of one file. ``library`` itself is not changed, and the result shares the images and
    other fields that stay the same. ``timestamp`` is that of the new record. Raises ``MissingRequirementError`` if duplicates have to be searched and numpy
    is not installed.
    """
    images = library.value["images"]
    value = dict(library.value)
    value["images"] = [_with_hash(image, entry) for image, entry in zip(images, entries)]
    errors = [{"image": image["filename"], "error": entry.error, "path": image["path"], "kind": entry.kind}
              for image, entry in zip(images, entries) if entry.kind]
    duplicates = _duplicates(library.value, entries, _shared(identities), terms, journal, write_note)
    changed = [entry for image, entry in zip(images, entries) if image.get("dhash") != entry.dhash]
    seconds = [entry.seconds for entry in (changed or entries) if entry.seconds]
    decoders = {name: decoder_versions.versions()[name] for name in ("pillow", "ffmpeg")}
    record = {
        "migration_timestamp": timestamp,
        "total_images": len(images),
        "processed_successfully": len(images) - len(errors),
        "processing_errors": len(errors),
        "duplicates_found": len(duplicates.records),
        "processing_time_seconds": round(sum(seconds), 3),
        "average_time_per_image": round(sum(seconds) / len(seconds), 6) if seconds else 0,
        "dhash_threshold": terms.threshold,
        "batch_size": terms.batch_size,
        "algorithm": terms.algorithm,
        "p95_time_per_image": round(run_measurements.percentile_95(seconds), 6),
        "decoders": _count_decoders(entries),
        "versions": {"collection": run_record.VERSION, **decoders, "numpy": _numpy_version()},
    }
    # The order of new fields in the library.
    value["dhash_migration"] = record
    value["dhash_duplicates"] = duplicates.records
    value["dhash_errors"] = errors
    return Migrated(value, record, seconds, duplicates.refuted)


def equals(migrated: Migrated, present: library_file.Library) -> bool:
    """Whether ``present``, from which ``migrated`` was made, has the same content, apart from times in the migration record."""
    if not has_same_record(migrated, present):
        return False
    return (all(map(operator.is_, migrated.value["images"], present.value["images"]))
            and all(json_text.is_same(migrated.value[field], present.value.get(field)) for field in ("dhash_duplicates", "dhash_errors")))


def has_same_record(migrated: Migrated, present: library_file.Library) -> bool:
    """Whether the migration record of ``present`` says the same as that of ``migrated``, apart from times."""
    record = present.value.get("dhash_migration")
    return isinstance(record, dict) and all(record.get(key) == migrated.record[key] for key in LASTING)


def _with_hash(image: dict[str, Any], entry: hash_journal.Entry) -> dict[str, Any]:
    """``image`` with the hash of ``entry``; ``image`` itself if it has it."""
    if entry.dhash is None:
        return library_fields.without_hash(image)
    is_dated = image.get("dhash") == entry.dhash and isinstance(image.get("dhash_generated_at"), str)
    is_marked = image.get("dhash_low_detail") is True if entry.low_detail else "dhash_low_detail" not in image
    if is_dated and is_marked:
        return image
    new = dict(image)
    new["dhash"] = entry.dhash
    if not is_dated:
        new["dhash_generated_at"] = entry.hashed_at
    if entry.low_detail:
        new["dhash_low_detail"] = True
    else:
        new.pop("dhash_low_detail", None)
    return new


def _shared(identities: list[file_stamps.Identity | None]) -> list[int | None]:
    """For each image that shares its file with another image, the position of the first of these images; otherwise None."""
    first: dict[file_stamps.Identity, int] = {}
    for position, identity in enumerate(identities):
        if identity is not None:
            first.setdefault(identity, position)
    count = Counter(identities)
    return [first[identity] if identity is not None and count[identity] > 1 else None for identity in identities]


def _duplicates(value: dict[str, Any], entries: list[hash_journal.Entry], files: list[int | None], terms: Terms,
                journal: hash_journal.Journal, write_note: bool) -> Duplicates:
    """The duplicates. Those of the library are reused if they were made from the same hashes, pixels, names and files."""
    matchable = [(image, entry, file) for image, entry, file in zip(value["images"], entries, files)
                 if entry.dhash is not None and not entry.low_detail]
    question = _question(matchable, terms)
    noted = _noted(journal)
    present = value.get("dhash_duplicates")
    if noted.get("question") == question and isinstance(present, list) and noted.get("answer") == _digest(present):
        return Duplicates(present, noted.get("refuted", 0))
    _require_numpy()
    duplicates = _find_confirmed(matchable, terms.threshold) if terms.confirm else _find_near(matchable, terms.threshold)
    if write_note:
        journal.keep_note(MATCHES, json.dumps({
            "question": question, "answer": _digest(duplicates.records), "refuted": duplicates.refuted}))
    return duplicates


def _noted(journal: hash_journal.Journal) -> dict[str, Any]:
    """What the journal has about the duplicates of the library; empty if it has nothing usable."""
    try:
        noted = bounded_reads.parse_json(journal.note(MATCHES) or "{}")
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) and isinstance(noted.get("refuted", 0), int) else {}


def _question(matchable: list[Matchable], terms: Terms) -> str:
    """A digest of everything that decides which images are duplicates."""
    question = hashlib.sha256(f"{terms.threshold}{MEASURE if terms.confirm else ''}".encode())
    for image, entry, file in matchable:
        known = [image["filename"], image["path"], entry.dhash, entry.vertical]
        line = json.dumps(known if file is None else [*known, file])
        question.update(line.encode() + b"\n")
        if terms.confirm:
            question.update(entry.luma or b"")
    return question.hexdigest()


def _require_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise MissingRequirementError(
            "numpy is needed to find duplicates and is not installed in this Python", next_step="Install python3-numpy.",
        ) from error


def _find_confirmed(matchable: list[Matchable], threshold: int) -> Duplicates:
    from .._hashing import confirmed_matches

    found = confirmed_matches.nearest_earlier(
        [confirmed_matches.Hashed(entry.dhash or "", entry.vertical or "", entry.luma) for _image, entry, _file in matchable], threshold)
    records = [_record(matchable[later], matchable[original], distance, hundredths / 100) for later, original, distance, hundredths
               in zip(found.later.tolist(), found.original.tolist(), found.distance.tolist(), found.hundredths.tolist())]
    return Duplicates(records, found.refuted)


def _find_near(matchable: list[Matchable], threshold: int) -> Duplicates:
    import numpy as np

    from .._hashing import hamming_search

    hashes = np.array([int(entry.dhash, 16) for _image, entry, _file in matchable if entry.dhash], dtype=np.uint64)
    later, earlier, distances = hamming_search.nearest_earlier(hashes, threshold)
    records = []
    for index, original, distance in zip(later.tolist(), earlier.tolist(), distances.tolist()):
        vertical = difference_hash.distance(matchable[index][1].vertical or "", matchable[original][1].vertical or "")
        records.append(_record(matchable[index], matchable[original], distance, difference_hash.confidence(distance, vertical)))
    return Duplicates(records, 0)


def _record(duplicate: Matchable, original: Matchable, distance: int, confidence: float) -> dict[str, Any]:
    image, entry, file = duplicate
    original_image, original_entry, original_file = original
    return {
        "original": original_image["filename"],
        "duplicate": image["filename"],
        "hash": entry.dhash,
        "originalHash": original_entry.dhash,
        "hammingDistance": distance,
        "originalPath": original_image["path"],
        "duplicatePath": image["path"],
        "confidence": confidence,
        **({"sameFile": True} if file is not None and file == original_file else {}),
    }


def _digest(duplicates: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256()
    for piece in json_text.pieces({"images": [], "dhash_duplicates": duplicates}):
        digest.update(json_text.encode(piece))
    return digest.hexdigest()


def _count_decoders(entries: list[hash_journal.Entry]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.decoder:
            counts[entry.decoder] = counts.get(entry.decoder, 0) + 1
    return dict(sorted(counts.items()))


def _numpy_version() -> str | None:
    try:
        import numpy as np
    except ImportError:
        return None
    return str(np.__version__)
