# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A summary of a library: its counts, and whether they agree with its own record.

A run stores the summary of the library that it has written, a dry run and a verification that of the library that they have read, each under
the digest of its file, in ``summary.json`` in the state folder. Whoever needs no more than that digests the file instead of parsing it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

from .._errors import DhashError, LibraryError, printable
from .._files import durable, json_records
from .._library import library_index, library_removals
from . import run_record

FILE = "summary.json"
RULES = 1  # count on if the same file is summarised differently
KEPT = 2  # summaries: of the live library, and of the one that replaces it, or that it has replaced
AGREEMENTS = (("duplicates_found", "duplicates"), ("processing_errors", "errors"))
INCONSISTENCIES = ("duplicates_count", "errors_count", "hashed_count", "malformed_hash")


class Summary(NamedTuple):
    """What the library with the SHA-256 ``sha256`` contains, by the ``rules`` of a ``version`` of the collection.

    ``algorithm`` and ``migration_timestamp`` are those of its migration record. ``inconsistencies`` have an ``id`` and a ``message``.
    ``first_path`` is that of its first image.
    """

    sha256: str
    images: int
    hashed: int
    errors: int
    duplicates: int
    algorithm: Any
    migration_timestamp: Any
    inconsistencies: list[Any]
    first_path: str | None
    version: str
    rules: int


def read(library: str, state: str | None) -> Summary:
    """The summary of the library at the real path ``library``; the file is parsed if no stored summary has its digest.

    Raises ``LibraryError`` as :func:`library_index.read` does.
    """
    with contextlib.suppress(DhashError):  # a library that cannot be read is refused below, with what is wrong
        known = {summary.sha256: summary for summary in _stored(state)}
        digest = durable.sha256_of_file(library) if known else ""
        if digest in known:
            return known[digest]
    return of(*library_index.read(library))


def counts_by_digest(state: str | None) -> dict[str, tuple[int, int]]:
    """How many images and hashes the libraries have whose summaries are stored, by the SHA-256 of their files."""
    return {summary.sha256: (summary.images, summary.hashed) for summary in _stored(state)}


def store(library: str, state: str) -> None:
    """Store the summary of the library at the real path ``library``. Call it with the lock held. Raises ``DhashError``.

    Nothing is stored for a library that cannot be read: its service may be writing it.
    """
    with contextlib.suppress(LibraryError):
        keep(state, read(library, state))


def keep(state: str, summary: Summary) -> None:
    """Store the ``summary`` of a library that was read or written. Call it with the lock of the library held. Raises ``DhashError``."""
    known = _stored(state)
    if known[:1] != [summary]:
        kept = [summary, *(other for other in known if other.sha256 != summary.sha256)][:KEPT]
        json_records.write(os.path.join(state, FILE), {"summaries": [one._asdict() for one in kept]})


def of(index: library_index.Index, digest: str) -> Summary:
    """The summary of the library ``index``, whose file has the SHA-256 ``digest``."""
    counts = index.counts()
    record = index.rest.get("dhash_migration")
    record = record if isinstance(record, dict) else {}
    return Summary(digest, counts["images"], counts["hashed"], counts["errors"], counts["duplicates"], record.get("algorithm"),
                   record.get("migration_timestamp"), _inconsistencies(index, counts, record), index.paths[0] if index.paths else None,
                   run_record.VERSION, RULES)


def _stored(state: str | None) -> list[Summary]:
    """The stored summaries that this version would make of the same files, the newest first."""
    if state is None:
        return []
    with contextlib.suppress(DhashError):
        found = json_records.read(os.path.join(state, FILE), "the summary of the library", _parse, lambda _content: "Remove this file.")
        return [summary for summary in found or [] if (summary.version, summary.rules) == (run_record.VERSION, RULES)]
    return []


def of_migrated(digest: str, counts: dict[str, int], record: dict[str, Any], paths: list[str]) -> Summary:
    """The summary of a library that a migration has written, with its ``record`` and these ``counts``, and images with these ``paths``."""
    return Summary(digest, counts["images"], counts["hashed"], counts["errors"], counts["duplicates"], record["algorithm"],
                   record["migration_timestamp"], [], paths[0] if paths else None, run_record.VERSION, RULES)


def _parse(value: dict[str, Any]) -> list[Summary]:
    if not isinstance(value.get("summaries"), list) or not all(isinstance(one, dict) for one in value["summaries"]):
        raise ValueError("the summaries have a wrong type")
    summaries = [json_records.build(Summary, one) for one in value["summaries"]]
    if not all(isinstance(found, dict) and found.keys() == {"id", "message"} for summary in summaries for found in summary.inconsistencies):
        raise ValueError("the inconsistencies have a wrong type")
    return summaries


def _inconsistencies(index: library_index.Index, counts: dict[str, int], record: dict[str, Any]) -> list[dict[str, str]]:
    images, hashed, duplicates = library_removals.taken_out_since_migration(index.rest)
    taken_out = {"duplicates": duplicates, "errors": 0}
    found = [_inconsistency(f"{name}_count", f"dhash_migration records {record[key]} {name}, but the library has {counts[name]}"
                            + (f", and review imports have removed {taken_out[name]}" if taken_out[name] else ""))
             for key, name in AGREEMENTS if key in record and record[key] != counts[name] + taken_out[name]]
    # Images that were added or removed since are not an inconsistency: the next migration includes them.
    if record.get("total_images") == counts["images"] + images and \
            record.get("processed_successfully") != counts["hashed"] + hashed:
        found.append(_inconsistency("hashed_count", f"dhash_migration records {record.get('processed_successfully')} images with a hash,"
                                    f" but the library has {counts['hashed']}"))
    malformed = index.malformed()
    if malformed:
        found.append(_inconsistency("malformed_hash", f"{len(malformed)} hashes are not 16 upper-case hexadecimal digits,"
                                    f" the first is that of {printable(index.paths[malformed[0]])}"))
    return found


def _inconsistency(token: str, message: str) -> dict[str, str]:
    return {"id": token, "message": message}
