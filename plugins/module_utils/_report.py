# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person gets to see of a migration: progress, the log of a run, its report."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.mobius.dhash.plugins.module_utils import _durable, _library, _written
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError, from_os_error, printable

SECONDS_BETWEEN_UPDATES = 0.5
SECONDS_BETWEEN_LOG_LINES = 10


class Log:
    """The log of one run, ``<library>.<operation>-YYYYMMDD-HHMMSS.log`` (UTC) in ``log_dir``; without one nothing is written."""

    def __init__(self, log_dir: str | None, library: str, operation: str) -> None:
        self.path: str | None = None
        self._file = None
        if log_dir is None:
            return
        _durable.make_folder(log_dir, 0o750)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.path = os.path.join(log_dir, f"{os.path.basename(library)}.{operation}-{stamp}.log")
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._file = open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise from_os_error(error, "open the log", self.path) from error
        with contextlib.suppress(OSError):
            owner = os.stat(library)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()

    def line(self, text: str) -> None:
        """Add a line with the time. A full disk costs the log its line, not the migration its work."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")

    def summary(self, result: dict, value: dict[str, Any]) -> None:
        """Add what was found, in the words that the runbook greps for."""
        for error in value["dhash_errors"]:
            self.line(f"error {error['kind']} {printable(error['path'])}: {printable(error['error'])}")
        for record in value["dhash_duplicates"]:
            self.line(f"duplicate {printable(record['duplicatePath'])} of {printable(record['originalPath'])},"
                      f" distance {record['hammingDistance']}" + (", the same file" if record.get("sameFile") else ""))
        for line in summary_lines(result):
            self.line(line)


def summary_lines(result: dict) -> list[str]:
    """The report in a few lines, in the runbook's words."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["errors_by_kind"].items())
    lines = [
        "Migration Report",
        f"Total images: {result['images']}",
        f"Successfully processed: {result['hashed']}",
        f"Errors: {result['errors']}" + (f" ({kinds})" if kinds else ""),
        f"Duplicates found: {result['duplicates']}",
        f"Hashed in this run: {result['hashed_now']}",
        *([f"Hashed again, since a sample did not have the hashes on record: {result['distrusted']}"]
          if result.get("distrusted") else []),
        f"Time per image: {result['average_ms']:g} ms on average, {result['p95_ms']:g} ms at the 95th percentile",
    ]
    if result.get("output_sha256"):
        lines.append(f"Migrated library: {printable(result['output'])}")
    elif not result["would_change"]:
        lines.append("The live library holds all of this already: nothing to deploy")
    return lines


def diff(library: str, result: dict) -> dict:
    """Before and after in counts and fields, for Ansible's diff; what is not hashed yet is said as a bound."""
    before = "".join(f"{key}: {count}\n" for key, count in result["before"].items())
    if not result["would_change"]:
        return {"before": before, "after": before}
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["errors_by_kind"].items())
    after = {
        "images": result["images"],
        "hashed": f"{result['hashed']} at most, {result['to_hash']} to hash now" if result["to_hash"]
                  else result["hashed"],
        "errors": f"{result['errors']}{' at least' if result['to_hash'] else ''}{f' ({kinds})' if kinds else ''}",
        "duplicates": "known when all is hashed" if result["duplicates"] is None else result["duplicates"],
    }
    fields = "fields that change: " + ", ".join([f"images[].{field}" for field in _library.OUR_IMAGE_FIELDS]
                                                + list(_library.OUR_FIELDS))
    return {"before_header": library, "after_header": result["output"], "before": before,
            "after": "".join(f"{key}: {text}\n" for key, text in after.items()) + f"{fields}\n"}


def runbook_metrics(result: dict, queue: int | None) -> dict[str, float | None]:
    """The runbook's key metrics by its names: times in milliseconds, rates as a share of the images, and counts.

    ``queue`` is how many pairs wait for a person's judgement, None where nobody has asked yet.
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


def write(path: str, result: dict, value: dict[str, Any], library: str, state: str,
          queue: int | None) -> None:
    """Write the whole report as JSON to ``path``, durably; ``queue`` is as above. Raises ``DhashError``."""
    missing = [error["path"] for error in value["dhash_errors"] if error["kind"] == "missing"]
    report = {
        "library": library, **result,
        "metrics": runbook_metrics(result, queue),
        "missing_paths": missing,
        "dhash_migration": value["dhash_migration"],
        "dhash_duplicates": value["dhash_duplicates"],
        "dhash_errors": value["dhash_errors"],
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    _durable.make_folder(os.path.dirname(path), 0o750)
    _written.write(state, path, [text.encode("utf-8", "backslashreplace")], mode=0o640, owner_of=library)


@contextlib.contextmanager
def progress_to(path: str | None) -> Iterator[Callable[[dict], None]]:
    """What replaces the file ``path`` by the state of the work, for the action plugin to read; None: nothing does."""
    def progress(state: dict) -> None:
        if path is not None:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump({"process": os.getpid(), **state}, file)
            os.replace(f"{path}.new", path)
    try:
        progress({})
        yield progress
    finally:
        if path is not None and os.path.exists(path):
            os.unlink(path)


class Meter:
    """Counts what has been hashed; tells ``progress`` and the log from time to time."""

    def __init__(self, progress: Callable[[dict], None], log: Log) -> None:
        self._progress = progress
        self._log = log
        self._done = self._errors = self._total = 0
        self._started = self._told = self._logged = 0.0

    def start(self, total: int) -> None:
        """Begin: ``total`` images are to be hashed."""
        self._total = total
        self._started = self._told = self._logged = time.monotonic()
        self._log.line(f"Hashing {total} images")
        self._progress(self._state())

    def count(self, path: str, result: object) -> None:
        """One more image is done."""
        self._done += 1
        if isinstance(result, ImageError):
            self._errors += 1
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_UPDATES or self._done == self._total:
            self._told = now
            self._progress(self._state())
        if now - self._logged >= SECONDS_BETWEEN_LOG_LINES:
            self._logged = now
            self._log.line("{done} of {total}, {images_per_second} images a second, {errors} failed".format(
                **self._state()))

    def _state(self) -> dict:
        elapsed = time.monotonic() - self._started
        rate = self._done / elapsed if elapsed > 0 else 0.0
        left = (self._total - self._done) / rate if rate else None
        return {"done": self._done, "total": self._total, "errors": self._errors,
                "images_per_second": round(rate, 1), "seconds_left": None if left is None else round(left)}
