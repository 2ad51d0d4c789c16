# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the migrated library out of a library and what is known of its images: the fields that are ours."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, NamedTuple

from .._deploy import run_record
from .._errors import MissingRequirementError
from .._files import file_stamps
from .._hashing import decoder_versions, difference_hash, hash_journal
from .._library import library_fields, library_file
from .._telemetry import run_measurements

# A new record of the migration is written only where one of these, a hash, a duplicate or an error has changed.
LASTING = ("total_images", "processed_successfully", "processing_errors", "duplicates_found", "dhash_threshold",
           "algorithm")
MATCHES = "matches"  # the journal's note of the last matching: what went into it, and the digest of what came out


class Terms(NamedTuple):
    """What a migration was asked for, as far as its record says so."""

    algorithm: str
    threshold: int
    batch_size: int


class Migrated(NamedTuple):
    """A migrated library without its record, the record it gets if one is due, and the times (s) behind it."""

    library: library_file.Library
    record: dict[str, Any]
    seconds: list[float]


def assemble(library: library_file.Library, entries: list[hash_journal.Entry], identities: list[file_stamps.Identity | None],
             terms: Terms, journal: hash_journal.Journal, timestamp: str, write_note: bool) -> Migrated:
    """Put the hashes, errors and duplicates of ``entries`` (one an image, in the library's order) into ``library``.

    ``identities`` tell which images are names of one file. What is not ours is shared with the original, which stays as it
    is. ``timestamp`` is the new record's. Raises ``MissingRequirementError`` where the duplicates have to be looked for and
    numpy is not there.
    """
    images = library.value["images"]
    value = dict(library.value)
    value["images"] = [_with_hash(image, entry) for image, entry in zip(images, entries)]
    errors = [{"image": image["filename"], "error": entry.error, "path": image["path"], "kind": entry.kind}
              for image, entry in zip(images, entries) if entry.kind]
    duplicates = _duplicates(library.value, entries, _shared(identities), terms.threshold, journal, write_note)
    changed = [entry for image, entry in zip(images, entries) if image.get("dhash") != entry.dhash]
    seconds = [entry.seconds for entry in (changed or entries) if entry.seconds]
    decoders = {name: decoder_versions.versions()[name] for name in ("pillow", "ffmpeg")}
    record = {
        "migration_timestamp": timestamp,
        "total_images": len(images),
        "processed_successfully": len(images) - len(errors),
        "processing_errors": len(errors),
        "duplicates_found": len(duplicates),
        "processing_time_seconds": round(sum(seconds), 3),
        "average_time_per_image": round(sum(seconds) / len(seconds), 6) if seconds else 0,
        "dhash_threshold": terms.threshold,
        "batch_size": terms.batch_size,
        "algorithm": terms.algorithm,
        "p95_time_per_image": round(run_measurements.percentile_95(seconds), 6),
        "decoders": _count_decoders(entries),
        "versions": {"collection": run_record.VERSION, **decoders, "numpy": _numpy_version()},
    }
    # Assigned in this order: on a library that lacks them they are appended so.
    value["dhash_migration"] = record
    value["dhash_duplicates"] = duplicates
    value["dhash_errors"] = errors
    return Migrated(library._replace(value=value), record, seconds)


def equals(migrated: Migrated, present: library_file.Library) -> bool:
    """Whether ``present`` is that migrated library already, whenever and however fast it was made."""
    record = present.value.get("dhash_migration")
    if not isinstance(record, dict) or any(record.get(key) != migrated.record[key] for key in LASTING):
        return False
    with_its_record = migrated.library._replace(value={**migrated.library.value, "dhash_migration": record})
    return library_file.serialize(with_its_record) == library_file.serialize(present)


def _with_hash(image: dict[str, Any], entry: hash_journal.Entry) -> dict[str, Any]:
    if entry.dhash is None:
        return {key: value for key, value in image.items() if key not in library_fields.OUR_IMAGE_FIELDS}
    new = dict(image)
    new["dhash"] = entry.dhash
    if image.get("dhash") != entry.dhash or not isinstance(image.get("dhash_generated_at"), str):
        new["dhash_generated_at"] = entry.hashed_at
    if entry.low_detail:
        new["dhash_low_detail"] = True
    else:
        new.pop("dhash_low_detail", None)
    return new


def _shared(identities: list[file_stamps.Identity | None]) -> list[int | None]:
    """For each image whose file is that of another image too, the position of the file's first image."""
    first: dict[file_stamps.Identity, int] = {}
    for position, identity in enumerate(identities):
        if identity is not None:
            first.setdefault(identity, position)
    count = Counter(identities)
    return [first[identity] if identity is not None and count[identity] > 1 else None for identity in identities]


def _duplicates(value: dict[str, Any], entries: list[hash_journal.Entry], files: list[int | None], threshold: int,
                journal: hash_journal.Journal, write_note: bool) -> list[dict[str, Any]]:
    """The duplicate records; those that the library has, where they were made of the same hashes, names and files."""
    matchable = [(image, entry, file) for image, entry, file in zip(value["images"], entries, files)
                 if entry.dhash is not None and not entry.low_detail]
    question = hashlib.sha256(f"{threshold}".encode())
    for image, entry, file in matchable:
        known = [image["filename"], image["path"], entry.dhash, entry.vertical]
        line = json.dumps(known if file is None else [*known, file])
        question.update(line.encode() + b"\n")
    noted = json.loads(journal.note(MATCHES) or "{}")
    present = value.get("dhash_duplicates")
    if noted.get("question") == question.hexdigest() and isinstance(present, list) and \
            noted.get("answer") == _digest(present):
        return present
    duplicates = _find_duplicates(matchable, threshold)
    if write_note:
        journal.keep_note(MATCHES, json.dumps({"question": question.hexdigest(), "answer": _digest(duplicates)}))
    return duplicates


def _find_duplicates(matchable: list[tuple[dict[str, Any], hash_journal.Entry, int | None]],
                     threshold: int) -> list[dict[str, Any]]:
    try:
        import numpy as np
    except ImportError as error:
        raise MissingRequirementError(
            "numpy is needed to look for duplicates, and this Python has none", next_step="Install python3-numpy.",
        ) from error
    from .._hashing import hamming_search

    hashes = np.array([int(entry.dhash, 16) for _image, entry, _file in matchable if entry.dhash], dtype=np.uint64)
    later, earlier, distances = hamming_search.nearest_earlier(hashes, threshold)
    duplicates = []
    for index, original, distance in zip(later.tolist(), earlier.tolist(), distances.tolist()):
        image, entry, file = matchable[index]
        original_image, original_entry, original_file = matchable[original]
        duplicates.append({
            "original": original_image["filename"],
            "duplicate": image["filename"],
            "hash": entry.dhash,
            "originalHash": original_entry.dhash,
            "hammingDistance": distance,
            "originalPath": original_image["path"],
            "duplicatePath": image["path"],
            "confidence": difference_hash.confidence(distance, difference_hash.distance(entry.vertical, original_entry.vertical)),
            **({"sameFile": True} if file is not None and file == original_file else {}),
        })
    return duplicates


def _digest(duplicates: list[dict[str, Any]]) -> str:
    text = library_file.serialize(library_file.Library({"images": [], "dhash_duplicates": duplicates}, False))
    return hashlib.sha256(text).hexdigest()


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
