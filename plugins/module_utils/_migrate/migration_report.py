# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a migration: as text, as a diff, and as JSON beside the library, with long lists in files of their own."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .._deploy import written_files
from .._errors import printable
from .._files import durable
from .._hashing import host_throttle
from .._library import library_fields
from .._telemetry import run_log

MOST_LISTED = 10_000  # in the report; a longer list gets a file
MOST_LOGGED = 1_000  # of each kind of error, and of the duplicates
LISTS = {"missing_paths": "missing", "dhash_duplicates": "duplicates", "dhash_errors": "errors"}  # in the report: in the name of its file


def log_summary(log: run_log.Log, result: dict[str, Any], value: dict[str, Any]) -> None:
    """Add errors, duplicates and the summary to the log, in the words that the runbook greps for."""
    logged: Counter[str] = Counter()
    for error in value["dhash_errors"]:
        logged[error["kind"]] += 1
        if logged[error["kind"]] <= MOST_LOGGED:
            log.line(f"error {error['kind']} {printable(error['path'])}: {printable(error['error'])}")
    for kind, count in sorted(logged.items()):
        if count > MOST_LOGGED:
            log.line(f"error {kind}: {count - MOST_LOGGED} more, in dhash_errors of the library")
    duplicates = value["dhash_duplicates"]
    for record in islice(duplicates, MOST_LOGGED):
        log.line(f"duplicate {printable(record['duplicatePath'])} of {printable(record['originalPath'])},"
                 f" distance {record['hammingDistance']}" + (", the same file" if record.get("sameFile") else ""))
    if len(duplicates) > MOST_LOGGED:
        log.line(f"duplicate: {len(duplicates) - MOST_LOGGED} more, in dhash_duplicates of the library")
    for line in summary_lines(result):
        log.line(line)


def summary_lines(result: dict[str, Any]) -> list[str]:
    """The report in a few lines, in the runbook's words."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["errors_by_kind"].items())
    lines = [
        "Migration Report",
        f"Total images: {result['images']}",
        f"Successfully processed: {result['hashed']}",
        f"Errors: {result['errors']}" + (f" ({kinds})" if kinds else ""),
        f"Duplicates found: {result['duplicates']}",
        *([f"Duplicates refuted: {result['duplicates_refuted']}"] if result["duplicates_refuted"] else []),
        f"Hashed in this run: {result['hashed_now']}",
        *([f"Hashed again because a sample did not have the recorded hashes: {result['distrusted']}"]
          if result.get("distrusted") else []),
        f"Time per image: {result['average_ms']:g} ms on average, {result['p95_ms']:g} ms at the 95th percentile",
    ]
    throttled = result["throttled"]
    if throttled["seconds"]:
        reasons = ", ".join(f"{token} {seconds:g} s" for token, seconds in throttled["reasons"].items())
        lines.append(f"Waited while the host was busy or the run was paused: {throttled['seconds']:g} s ({reasons})")
    if throttled["unavailable"]:
        lines.append(host_throttle.text_of_unavailable(throttled["unavailable"]))
    if result.get("sandbox"):
        lines.append(f"Sandbox of the decoders: {result['sandbox']['text']}")
        lines += [f"Not in force: {lacking['id']}: {lacking['reason']}" for lacking in result["sandbox"]["missing"]]
    if result.get("output_sha256"):
        lines.append(f"Migrated library: {printable(result['output'])}")
    elif not result["would_change"]:
        lines.append("The live library is up to date: nothing to deploy")
    return lines


def diff(library: str, result: dict[str, Any]) -> dict[str, Any]:
    """Before and after in counts and fields, for Ansible's diff. Numbers that depend on hashing are given as bounds."""
    before = "".join(f"{key}: {count}\n" for key, count in result["before"].items())
    if not result["would_change"]:
        return {"before": before, "after": before}
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["errors_by_kind"].items())
    after = {
        "images": result["images"],
        "hashed": f"{result['hashed']} at most, {result['to_hash']} to hash now" if result["to_hash"]
                  else result["hashed"],
        "errors": f"{result['errors']}{' at least' if result['to_hash'] else ''}{f' ({kinds})' if kinds else ''}",
        "duplicates": "known after hashing" if result["duplicates"] is None else result["duplicates"],
    }
    fields = "fields that change: " + ", ".join([f"images[].{field}" for field in library_fields.OUR_IMAGE_FIELDS]
                                                + list(library_fields.OUR_FIELDS))
    return {"before_header": library, "after_header": result["output"], "before": before,
            "after": "".join(f"{key}: {text}\n" for key, text in after.items()) + f"{fields}\n"}


def runbook_metrics(result: dict[str, Any], queue: int | None) -> dict[str, float | None]:
    """The runbook's key metrics by its names: times in milliseconds, rates as a share of the images, and counts.

    ``queue`` is the number of pairs that wait for a review; None if it is unknown.
    """
    images = result["images"]
    return {
        "avg_hash_time": result["average_ms"],
        "p95_hash_time": result["p95_ms"],
        "extraction_failures_rate": result["failure_rate"],
        "image_processing_errors": result["errors"],
        "low_confidence_queue_length": queue,
        "duplicate_detection_rate": round(result["duplicates"] / images, 4) if images else 0.0,
    }


def write(path: str, result: dict[str, Any], value: dict[str, Any], library: str, state: str,
          queue: int | None) -> list[str]:
    """Write the whole report as JSON to ``path``, durably; ``queue`` as in :func:`runbook_metrics`. Raises ``DhashError``.

    A list of more than ``MOST_LISTED`` is null in the report and has a file beside it, with one element per line. Returns the new paths
    of files that were at these paths and that the collection has not written.
    """
    lists = {
        "missing_paths": [error["path"] for error in value["dhash_errors"] if error["kind"] == "missing"],
        "dhash_duplicates": value["dhash_duplicates"],
        "dhash_errors": value["dhash_errors"],
    }
    files = {name: file_of_list(path, name) for name, elements in lists.items() if len(elements) > MOST_LISTED}
    report = {
        "library": library, **result,
        "metrics": runbook_metrics(result, queue),
        "dhash_migration": value["dhash_migration"],
        **{name: None if name in files else elements for name, elements in lists.items()},
        "list_files": {name: os.path.basename(file) for name, file in files.items()},
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    durable.make_folder(os.path.dirname(path), 0o750)
    set_aside = [kept for file in files.values() if (kept := written_files.set_aside(state, file))]
    for name, file in files.items():
        written_files.write(state, file, _lines(lists[name]), mode=0o640, owner_of=library)
    written_files.write(state, path, [text.encode("utf-8", "backslashreplace")], mode=0o640, owner_of=library)
    for name in LISTS.keys() - files.keys():  # of an earlier report
        if written_files.is_left(state, file_of_list(path, name)):
            written_files.remove(state, file_of_list(path, name))
    return set_aside


def file_of_list(path: str, name: str) -> str:
    """The file of the list ``name`` of the report at ``path``, if the list is too long for the report."""
    return f"{path.removesuffix('.json')}.{LISTS[name]}.jsonl"


def _lines(elements: list[Any]) -> Iterator[bytes]:
    encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one for each of them
    for element in elements:
        yield f"{encode(element)}\n".encode("utf-8", "backslashreplace")
