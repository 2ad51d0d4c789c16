# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inspect a library without changing anything: counts, agreement with its own record, missing and stale images."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ._deploy import run_record
from ._errors import DhashError, printable
from ._files import locking
from ._hashing import difference_hash, hash_journal
from ._library import library_fields, library_file, library_removals

AGREEMENTS = (("duplicates_found", "duplicates"), ("processing_errors", "errors"))
INCONSISTENCIES = ("duplicates_count", "errors_count", "hashed_count", "malformed_hash")


def inspect(library: str, state: str) -> dict[str, Any]:
    """The counts of the library at the real path ``library``, and what this host has on record of it. Raises ``DhashError``."""
    read, digest = library_file.read(library)
    counts = library_fields.counts(read.value)
    record = read.value.get("dhash_migration")
    record = record if isinstance(record, dict) else {}
    disk = shutil.disk_usage(os.path.dirname(library))
    return {
        "sha256": digest, "size": os.path.getsize(library), **counts,
        "algorithm": record.get("algorithm"), "migration_timestamp": record.get("migration_timestamp"),
        "inconsistencies": _inconsistencies(read.value, counts, record),
        "disk_free": disk.free, "disk_total": disk.total, **inspect_record(library, state),
    }


def inspect_record(library: str, state: str) -> dict[str, Any]:
    """What this host has on record of the last run. It does not read the library. Raises ``DhashError``."""
    return {"real_path": library, "run": run_record.shown(run_record.read(state)), "lock": locking.holder(library)}


def pending_elsewhere(name: str, library: str, state: str) -> run_record.Record | None:
    """A run whose restart is pending, and that was given another library than the one at the real path ``library`` by the same ``name``.

    What the name leads to was replaced since. A record that cannot be read is passed over.
    """
    root = os.path.dirname(state)
    for other in sorted(os.listdir(root) if os.path.isdir(root) else []):
        try:
            record = run_record.read(os.path.join(root, other))
        except DhashError:
            continue
        if record and record.restart_owed and record.library != library and (record.service or {}).get("library") == name:
            return record
    return None


def inspect_media(library: str, state: str, examples: int) -> dict[str, Any]:
    """The image files that are missing or have changed since they were hashed. Raises ``DhashError``."""
    value = library_file.read(library)[0].value
    missing, stale = [], []
    with hash_journal.open_for_reading(state, library_fields.algorithm(value), limits="") as journal:
        paths = [os.path.join(os.path.dirname(library), image["path"]) for image in value["images"]]
        for image, path, found in zip(value["images"], paths, journal.look_up_all(paths)):
            if found.stamp is None:
                missing.append(image["path"])
            elif library_fields.is_hashed(image) and (found.entry is None or found.entry.dhash != image["dhash"]) and journal.knows(path):
                stale.append(image["path"])
    return {"missing": len(missing), "missing_examples": [printable(path) for path in missing[:examples]],
            "stale": len(stale), "stale_examples": [printable(path) for path in stale[:examples]]}


def _inconsistencies(value: dict[str, Any], counts: dict[str, int], record: dict[str, Any]) -> list[dict[str, str]]:
    images, hashed, duplicates = library_removals.taken_out_since_migration(value)
    taken_out = {"duplicates": duplicates, "errors": 0}
    found = [_inconsistency(f"{name}_count", f"dhash_migration records {record[key]} {name}, but the library has {counts[name]}"
                            + (f", and review imports have removed {taken_out[name]}" if taken_out[name] else ""))
             for key, name in AGREEMENTS if key in record and record[key] != counts[name] + taken_out[name]]
    # Images that were added or removed since are not an inconsistency: the next migration includes them.
    if record.get("total_images") == counts["images"] + images and \
            record.get("processed_successfully") != counts["hashed"] + hashed:
        found.append(_inconsistency("hashed_count", f"dhash_migration records {record.get('processed_successfully')} images with a hash,"
                                    f" but the library has {counts['hashed']}"))
    malformed = [image["path"] for image in value["images"]
                 if "dhash" in image and not difference_hash.is_hex(image["dhash"])]
    if malformed:
        found.append(_inconsistency("malformed_hash", f"{len(malformed)} hashes are not 16 upper-case hexadecimal digits,"
                                    f" the first is that of {printable(malformed[0])}"))
    return found


def _inconsistency(token: str, message: str) -> dict[str, str]:
    return {"id": token, "message": message}
