# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove approved duplicates from a library and restore them: its ``lcm_import`` record holds all that a reversal needs.

``lcm_import`` is the record of the last import. The records of earlier imports are in its ``earlierImports``, the oldest first
and unchanged, so imports are reverted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._errors import DhashError
from . import library_fields

FIELD = "lcm_import"
BOUND_TO = ("migration_timestamp", "algorithm")  # of dhash_migration: the migration that removed hashes and duplicates belong to


class Removal(NamedTuple):
    """An image that leaves the library for ``kept``, which stays."""

    match_id: str
    path: str
    dhash: str
    kept: str
    kept_dhash: str
    notes: str


class Account(NamedTuple):
    """What the record of an import says about the review."""

    imported_at: str
    queue_file: str
    reviewed: int
    approved: int


def take_out(value: dict[str, Any], removals: Sequence[Removal], account: Account) -> dict[str, Any]:
    """The library ``value`` without the images of ``removals`` and with the record of the import; ``value`` is not changed."""
    gone = {(removal.path, removal.dhash): removal for removal in removals}
    images, log = [], []
    of_path: dict[str, dict[str, Any]] = {}
    previous = None
    for index, image in enumerate(value["images"]):
        removal = gone.get((image["path"], image.get("dhash")))
        if removal is None:
            images.append(image)
        else:
            log.append({"matchId": removal.match_id, "index": index, "after": previous, "path": image["path"],
                        "keptPath": removal.kept, "notes": removal.notes, "entry": image, "duplicates": []})
            of_path.setdefault(image["path"], log[-1])
        previous = image["path"]
    new = dict(value)
    new["images"] = images
    if isinstance(value.get("dhash_duplicates"), list):
        records = []
        for index, record in enumerate(value["dhash_duplicates"]):
            element = _mentioned(record, of_path)
            if element is None:
                records.append(record)
            else:
                element["duplicates"].append({"index": index, "record": record})
        new["dhash_duplicates"] = records
    record = {
        "importedAt": account.imported_at, "queueFile": account.queue_file, "reviewedMatches": account.reviewed,
        "approvedDuplicates": account.approved, "imagesRemoved": len(log), "migration": _migration_of(value),
        "removalLog": log,
    }
    if FIELD in value:
        record["earlierImports"] = _history(value[FIELD])
    new[FIELD] = record
    return new


def _mentioned(record: Any, of_path: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    if not isinstance(record, dict):
        return None
    paths = [record.get(key) for key in ("duplicatePath", "originalPath")]
    return next((of_path[path] for path in paths if isinstance(path, str) and path in of_path), None)


def _history(record: Any) -> list[Any]:
    """The records of all imports up to ``record``, unchanged and as a flat list, so the nesting never grows."""
    if not isinstance(record, dict) or list(record)[-1:] != ["earlierImports"] or \
            not isinstance(record["earlierImports"], list) or not record["earlierImports"]:
        return [record]
    own = {key: field for key, field in record.items() if key != "earlierImports"}
    return [*record["earlierImports"], own]


def _migration_of(value: dict[str, Any]) -> dict[str, Any]:
    migration = value.get("dhash_migration")
    return {key: migration.get(key) if isinstance(migration, dict) else None for key in BOUND_TO}


def put_back(value: dict[str, Any]) -> dict[str, Any] | None:
    """The library ``value`` as it was before its last import; None if it has no import. ``value`` is not changed.

    Images that were added since the import stay. A restored image whose neighbours have moved is placed behind the image that it
    stood behind before. An image that is in the library again is not restored twice. If the library was migrated again since the
    import, its earlier duplicate records are not restored, and hashes of another algorithm are not restored either. Raises
    ``DhashError`` if a review import did not write the record.
    """
    if FIELD not in value:
        return None
    record = value[FIELD]
    log = _checked_log(record)
    new = dict(value)
    now = _migration_of(value)
    present = {image["path"] for image in value["images"]}
    entries = [element for element in log if element["entry"]["path"] not in present]
    if now["algorithm"] != record["migration"].get("algorithm"):
        entries = [{**element, "entry": library_fields.without_hash(element["entry"])} for element in entries]
    new["images"] = _merged(value["images"], entries)
    if isinstance(value.get("dhash_duplicates"), list) and now == record["migration"]:
        duplicates = sorted((duplicate for element in log for duplicate in element["duplicates"]),
                            key=lambda duplicate: duplicate["index"])
        new["dhash_duplicates"] = _inserted(value["dhash_duplicates"], duplicates)
    earlier = record.get("earlierImports")
    if earlier:
        new[FIELD] = earlier[-1]
        if len(earlier) > 1 and isinstance(earlier[-1], dict):
            new[FIELD] = {**earlier[-1], "earlierImports": earlier[:-1]}
    else:
        del new[FIELD]
    return new


def _merged(images: list[dict[str, Any]], removed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``images`` with the ``entry`` of each of ``removed`` at its old index; else behind the image that it stood behind."""
    merged: list[dict[str, Any]] = []
    waiting = []
    left = iter(images)
    for element in removed:
        while len(merged) < element["index"]:
            image = next(left, None)
            if image is None:
                break
            merged.append(image)
        behind = merged[-1]["path"] if merged else None
        if len(merged) == element["index"] and behind == element["after"]:
            merged.append(element["entry"])
        else:
            waiting.append(element)
    return _placed([*merged, *left], waiting)


def _placed(images: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``images`` with each of ``waiting`` behind the image that it stood behind; near its old index if that image is gone."""
    followers: dict[str | None, list[dict[str, Any]]] = {}
    for element in waiting:
        followers.setdefault(element["after"], []).append(element)
    placed: list[dict[str, Any]] = []

    def place(elements: list[dict[str, Any]]) -> None:
        ahead = elements[::-1]
        while ahead:
            entry = ahead.pop()["entry"]
            placed.append(entry)
            ahead += followers.pop(entry["path"], [])[::-1]

    place(followers.pop(None, []))
    for image in images:
        placed.append(image)
        place(followers.pop(image["path"], []))
    for element in sorted((element for elements in followers.values() for element in elements),
                          key=lambda element: element["index"]):
        placed.insert(min(element["index"], len(placed)), element["entry"])
    return placed


def _inserted(records: list[Any], removed: list[dict[str, Any]]) -> list[Any]:
    merged = list(records)
    for element in removed:
        merged.insert(min(element["index"], len(merged)), element["record"])
    return merged


def _checked_log(record: Any) -> list[dict[str, Any]]:
    """The removal log of ``record``, in the order of the library. Raises ``DhashError`` if a review import did not write it."""
    if not (isinstance(record, dict) and isinstance(record.get("migration"), dict)
            and isinstance(record.get("removalLog"), list) and all(map(_is_element, record["removalLog"]))
            and isinstance(record.get("earlierImports", []), list)):
        raise DhashError(f"{FIELD} was not written by a review import, so it cannot be reverted",
                         next_step="Restore a backup.")
    return sorted(record["removalLog"], key=lambda element: element["index"])


def _is_element(element: Any) -> bool:
    return (isinstance(element, dict) and _is_index(element.get("index"))
            and all(isinstance(element.get(key), (str, type(None))) for key in ("after", "keptPath"))
            and isinstance(element.get("entry"), dict)
            and all(isinstance(element["entry"].get(key), str) for key in ("path", "filename"))
            and isinstance(element.get("duplicates"), list)
            and all(isinstance(duplicate, dict) and _is_index(duplicate.get("index")) and "record" in duplicate
                    for duplicate in element["duplicates"]))


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def logged(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The elements of the removal logs of all imports into the library ``value``, the last import first."""
    for record in reversed(_history(value[FIELD]) if FIELD in value else []):
        if isinstance(record, dict) and isinstance(record.get("removalLog"), list):
            yield from filter(_is_element, record["removalLog"])


def taken_out_since_migration(value: dict[str, Any]) -> tuple[int, int, int]:
    """How many images, hashed images and duplicate records imports have removed since the library's last migration."""
    now = _migration_of(value)
    images = hashed = duplicates = 0
    for record in _history(value[FIELD]) if FIELD in value else []:
        if isinstance(record, dict) and record.get("migration") == now and isinstance(record.get("removalLog"), list):
            log = list(filter(_is_element, record["removalLog"]))
            images += len(log)
            hashed += sum(library_fields.is_hashed(element["entry"]) for element in log)
            duplicates += sum(len(element["duplicates"]) for element in log)
    return images, hashed, duplicates
