# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publish the metrics of a library for node_exporter's textfile collector, one file per library.

The values are kept in ``metrics.json`` in the state folder of the library, because a counter must not fall when a run begins, and
an operation must not lose the values of the operation before. The file for the exporter is generated from it. Metrics are a
by-product: a problem with them is a warning, and never makes a run fail.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from .. import _clock
from .._deploy import run_record
from .._errors import BoundsError, DhashError
from .._files import bounded_reads, durable, json_records, locking
from .._library import library_index
from . import prometheus_text, run_measurements

NAME = "metrics.json"
QUEUE = "dhash_review_queue_pairs"
PROGRESS = "dhash_last_progress_timestamp_seconds"
LOCK_SECONDS = 5
SECONDS_BETWEEN_SIGNS = 30


class Hashed(Protocol):
    """What is counted of a ``hash_journal.Entry``."""

    @property
    def dhash(self) -> str | None:
        """Its hash, if any."""

    @property
    def seconds(self) -> float:
        """The time for decoding."""

    @property
    def hashed_at(self) -> str:
        """The time in UTC."""


class Metrics:
    """The metrics of one library, published as a file in ``folder``. If ``folder`` is None, nothing is kept or published.

    If the metrics cannot be published, ``warn`` is called once with the reason.
    """

    def __init__(self, folder: str | None, library: str, state: str, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._library = library
        self._state = state
        self._warn = warn
        self._warned = False
        self._swept = False
        self._start = ""
        self._told = 0.0

    def forewarn(self) -> None:
        """Warn, in check mode, if a run could not publish the metrics."""
        obstacle = durable.obstacle(self._folder, may_be_made=False) if self._folder else None
        if obstacle:
            self._warn(f"The metrics would not be published: {obstacle.path} {obstacle.cause}. Correct dhash_metrics_dir.")

    def started(self) -> None:
        """A migration begins. Call this and the other methods about a migration with the library's lock held."""
        self._start = _clock.now()
        self._told = time.monotonic()
        self._publish({"dhash_last_start_timestamp_seconds": _time(), **_phase(prometheus_text.HASHING)})

    def progress(self, done: int, total: int) -> None:
        """``done`` of ``total`` files are hashed. Published every SECONDS_BETWEEN_SIGNS."""
        if time.monotonic() - self._told >= SECONDS_BETWEEN_SIGNS:
            self._told = time.monotonic()
            self._publish({"dhash_run_pending_images": total - done, **_phase(prometheus_text.HASHING)})

    def failed(self) -> None:
        """The migration has failed."""
        self._publish({"dhash_last_end_timestamp_seconds": _time(), "dhash_run_pending_images": 0,
                       **_phase(prometheus_text.FAILED)})

    def ended(self, result: dict[str, Any], record: dict[str, Any], entries: Callable[[], Iterable[Hashed]]) -> None:
        """The migration has ended with ``result``; ``record`` is its ``dhash_migration``, ``entries`` gives that of each file."""
        if self._folder is None:
            return
        hashed = sum(entry.dhash is not None and entry.hashed_at >= self._start for entry in entries())
        usage = result["resources"]
        with self._by_product():
            last = run_record.read(self._state)
            self._publish({
                "dhash_last_end_timestamp_seconds": _time(),
                **_of_record(last), **_counts(result["before"]),
                "dhash_run_images": {"hashed": hashed, "known": result["images"] - result["errors"] - hashed,
                                     "failed": result["errors"]},
                "dhash_run_pending_images": 0,
                "dhash_errors": {kind: result["errors_by_kind"].get(kind, 0) for kind in prometheus_text.KINDS},
                "dhash_run_hash_duration_p95_seconds": record["p95_time_per_image"],
                "dhash_run_hash_duration_average_seconds": record["average_time_per_image"],
                "dhash_run_timed_images": sum(result["times"].values()),
                "dhash_run_duration_seconds": usage["seconds"],
                "dhash_run_cpu_seconds": {"parent": usage["parent_cpu_seconds"], "workers": usage["workers_cpu_seconds"]},
                "dhash_run_peak_memory_bytes": usage["peak_memory_bytes"],
                "dhash_run_read_bytes": usage["read_bytes"],
            }, entries(), _build(record))

    def settled(self, record: run_record.Record | None, changed: bool, is_verified: bool = False) -> None:
        """The record of the library was written just now (``changed``), or a verification has passed (``is_verified``).

        The phase of a failed or unfinished migration is published until the next migration, or until a library is verified in
        which every image has a hash or an error.
        """
        if self._folder is None:
            return
        success = is_verified and (
            record is None or (record.phase == run_record.VERIFIED and record.operation not in run_record.BACKWARD_OPERATIONS))
        series: dict[str, Any] = {"dhash_last_success_timestamp_seconds": _time()} if success else {}
        with self._by_product():
            counts = library_index.read(self._library)[0].counts()
            series.update(_counts(counts))
            if changed or (success and counts["hashed"] + counts["errors"] == counts["images"]):
                series.update(_of_record(record))
            self._publish(series, otherwise=_of_record(record))

    def queued(self, pairs: int) -> None:
        """``pairs`` pairs wait for a review."""
        self._publish({QUEUE: pairs})

    def judged(self, pairs: int, left: int) -> None:
        """``pairs`` pairs were reviewed. ``left`` pairs of the imported queues were not; the library may have more."""
        self._publish({QUEUE: max(left, (queue_length(self._state) or 0) - pairs)})

    def _publish(self, series: dict[str, Any], entries: Iterable[Hashed] = (), build: dict[str, str] | None = None,
                 otherwise: dict[str, Any] | None = None) -> None:
        """Update the kept values with ``series``, count those of ``entries`` that are new, and add ``otherwise`` for series without a
        value."""
        if self._folder is None:
            return
        path = os.path.join(self._state, NAME)
        with self._by_product():
            durable.make_folder(self._state)
            with locking.lock(path, "metrics", run_record.new_run(), LOCK_SECONDS, "the metrics file",
                              locking.WAIT):
                known = self._read(path)
                known["series"] = {**(otherwise or {}), **known["series"], **series}
                known["build"] = build or known["build"]
                _count(known["durations"], entries)
                durable.write(path, [(json.dumps(known, indent=2) + "\n").encode()])
                if not os.path.isdir(self._folder):
                    raise DhashError("the folder for metrics does not exist", self._folder,
                                     "Create this folder, or correct dhash_metrics_dir.")
                durable.write(self.path, [prometheus_text.render(known).encode()], mode=0o644)
            if not self._swept:
                self._swept = True
                self._remove_those_of_libraries_that_are_gone(self._folder)

    def _remove_those_of_libraries_that_are_gone(self, folder: str) -> None:
        """Remove the metrics of libraries that no longer exist and whose state folder is beside that of this library.

        The state folder proves that the file belongs to this host: several hosts and containers can share ``folder``.
        """
        for path in glob.glob(os.path.join(glob.escape(os.path.dirname(self._state)), "*", NAME)):
            with contextlib.suppress(DhashError, ValueError, TypeError, KeyError, AttributeError):
                library = _parsed(path)["library"]
                if os.path.dirname(path) == run_record.folder(os.path.dirname(self._state), library) and \
                        not durable.exists(library):
                    durable.remove(_path(folder, library))

    @property
    def path(self) -> str:
        """The file for the exporter."""
        return _path(self._folder or "", self._library)

    @contextlib.contextmanager
    def _by_product(self) -> Iterator[None]:
        try:
            yield
        except DhashError as error:
            if not self._warned:
                self._warn(f"The metrics were not published: {error}")
            self._warned = True

    def _read(self, path: str) -> dict[str, Any]:
        """The values so far. If they cannot be read, all start from zero, as counters may."""
        bounds = list(run_measurements.BUCKETS)
        durations = {"bounds": bounds, "counts": [0] * (len(bounds) + 1), "sum": 0.0, "until": ""}
        begun = {"format": json_records.FORMAT, "library": self._library, "series": {}, "build": {}, "durations": durations}
        if durable.exists(path):
            try:
                known = {**begun, **_parsed(path), "library": self._library}
                json_records.require_known_format(known, path, "the metrics file")
                prometheus_text.render(known)
                if known["durations"]["bounds"] == list(run_measurements.BUCKETS):
                    return known
            except (BoundsError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
                self._warn(f"{path}: the file is damaged, so the metrics start again from zero.")
        return begun


def _parsed(path: str) -> Any:
    """The value in a state file. Raises ``DhashError``, ValueError."""
    return bounded_reads.read_json(path, json_records.MAX_BYTES_OF_LISTS)


def _path(folder: str, library: str) -> str:
    """The file for the exporter. It has the name of the library's state folder, which is unique."""
    return os.path.join(folder, f"mobius-dhash-{os.path.basename(run_record.folder('', library))}.prom")


OFF = Metrics(None, "", "", lambda _text: None)


def for_module(params: dict[str, Any], library: str, state: str, warn: Callable[[str], None]) -> Metrics:
    """The metrics for the options of a module. A relative folder counts from the folder of the library."""
    folder = params["metrics_dir"]
    return Metrics(folder and os.path.join(os.path.dirname(library), folder), library, state, warn)


def queue_length(state: str) -> int | None:
    """The number of pairs that wait for a review, by the state folder ``state``; None if it is unknown."""
    with contextlib.suppress(DhashError, ValueError, TypeError, KeyError, OverflowError):
        return int(_parsed(os.path.join(state, NAME))["series"][QUEUE])
    with contextlib.suppress(OSError, DhashError, ValueError, TypeError, KeyError, OverflowError):
        last = max(glob.glob(os.path.join(glob.escape(state), "review-*.json")), key=os.path.getmtime)
        return int(_parsed(last)["counts"]["total_matches"])
    return None


def _count(durations: dict[str, Any], entries: Iterable[Hashed]) -> None:
    """Count the images that were hashed since the last count, by any run: also by a killed run or a dry run."""
    new = [entry for entry in entries if entry.dhash is not None and entry.hashed_at > durations["until"]]
    if new:
        counts = run_measurements.histogram([entry.seconds for entry in new])
        durations["counts"] = [old + count for old, count in zip(durations["counts"], counts)]
        durations["sum"] = round(durations["sum"] + sum(entry.seconds for entry in new), 6)
        durations["until"] = max(entry.hashed_at for entry in new)


def _phase(phase: str) -> dict[str, Any]:
    return {"dhash_run_phase": {name: int(name == phase) for name in prometheus_text.PHASES}, PROGRESS: _time()}


def _of_record(record: run_record.Record | None) -> dict[str, Any]:
    phase, owed = (record.phase, record.restart_owed) if record else (prometheus_text.NO_PHASE, False)
    return {**_phase(phase), "dhash_restart_owed": int(owed)}


def _counts(counts: dict[str, int]) -> dict[str, int]:
    return {"dhash_images": counts["images"], "dhash_hashed_images": counts["hashed"],
            "dhash_duplicates": counts["duplicates"]}


def _build(record: dict[str, Any]) -> dict[str, str]:
    versions = {name: version or "" for name, version in record["versions"].items()}
    return {"version": versions.pop("collection"), "algorithm": record["algorithm"], **versions}


def _time() -> float:
    return round(time.time(), 3)
