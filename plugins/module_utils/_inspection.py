# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inspect a library without changing anything: counts, agreement with its own record, missing and stale images."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ._deploy import library_summary, run_record
from ._errors import DhashError, printable
from ._files import locking
from ._hashing import hash_journal
from ._library import library_fields, library_index

SHOWN = ("sha256", "images", "hashed", "errors", "duplicates", "algorithm", "migration_timestamp", "inconsistencies")  # of the summary


def inspect(library: str, state: str) -> dict[str, Any]:
    """The counts of the library at the real path ``library``, and what this host has on record of it. Raises ``DhashError``."""
    summary = library_summary.read(library, state)
    disk = shutil.disk_usage(os.path.dirname(library))
    return {
        "size": os.path.getsize(library), **{field: getattr(summary, field) for field in SHOWN},
        "disk_free": disk.free, "disk_total": disk.total, **inspect_record(library, state),
    }


def inspect_record(library: str, state: str) -> dict[str, Any]:
    """What this host has on record of the last run. It does not read the library. Raises ``DhashError``."""
    return {"real_path": library, "run": run_record.shown(run_record.read(state)), "lock": locking.holder(library),
            "waiting": locking.holder(os.path.join(state, locking.WAITING))}


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
    read = library_index.read(library)[0]
    missing, stale = [], []
    with hash_journal.open_for_reading(state, library_fields.algorithm(read.rest), limits="") as journal:
        folder = os.path.dirname(library)
        for position, found in enumerate(journal.look_up_all(os.path.join(folder, path) for path in read.paths)):
            path = read.paths[position]
            if found.stamp is None:
                missing.append(path)
            elif (read.is_hashed(position) and not (found.entry and found.entry.dhash and read.is_hash(position, int(found.entry.dhash, 16)))
                  and journal.knows(os.path.join(folder, path))):
                stale.append(path)
    return {"missing": len(missing), "missing_examples": [printable(path) for path in missing[:examples]],
            "stale": len(stale), "stale_examples": [printable(path) for path in stale[:examples]]}
