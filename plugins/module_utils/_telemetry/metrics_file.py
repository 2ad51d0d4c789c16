# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publish what is known of one library for node_exporter's textfile collector, one file a library.

What is known is kept as ``metrics.json`` in the state folder of the library, since a counter must not fall when a run
begins, and what one operation finds out must not be lost with the next. The file for the exporter is made of it.
Metrics are a by-product: what goes wrong with them is a warning, and never costs a run anything else.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import _clock
from .._deploy import run_record
from .._errors import DhashError
from .._files import durable, json_records, locking
from .._hashing.hash_journal import Entry
from .._library import library_fields, library_file
from . import prometheus_text, run_measurements

NAME = "metrics.json"
QUEUE = "dhash_review_queue_pairs"
PROGRESS = "dhash_last_progress_timestamp_seconds"
LOCK_SECONDS = 5
SECONDS_BETWEEN_SIGNS = 30


class Metrics:
    """The metrics of one library, a file in ``folder``; None there: nothing is kept or published.

    ``warn`` is told, once, why they could not be published.
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
        """Tell, in check mode, why a run could not publish them."""
        obstacle = durable.obstacle(self._folder, may_be_made=False) if self._folder else None
        if obstacle:
            self._warn(f"The metrics would not be published: {obstacle.path} {obstacle.cause}. Correct dhash_metrics_dir.")

    def started(self) -> None:
        """A migration begins. Call it, as all that tells of a migration, with the library's lock held."""
        self._start = _clock.now()
        self._told = time.monotonic()
        self._publish({"dhash_last_start_timestamp_seconds": _time(), **_phase(prometheus_text.HASHING)})

    def progress(self, done: int, total: int) -> None:
        """So many of the files are hashed; published now and then."""
        if time.monotonic() - self._told >= SECONDS_BETWEEN_SIGNS:
            self._told = time.monotonic()
            self._publish({"dhash_run_pending_images": total - done, **_phase(prometheus_text.HASHING)})

    def failed(self) -> None:
        """The migration has failed."""
        self._publish({"dhash_last_end_timestamp_seconds": _time(), "dhash_run_pending_images": 0,
                       **_phase(prometheus_text.FAILED)})

    def ended(self, result: dict[str, Any], record: dict[str, Any], entries: dict[str, Entry]) -> None:
        """The migration has ended with ``result``; ``record`` is its ``dhash_migration``, ``entries`` are by file."""
        if self._folder is None:
            return
        hashed = sum(entry.dhash is not None and entry.hashed_at >= self._start for entry in entries.values())
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
            }, entries.values(), _build(record))

    def settled(self, record: run_record.Record | None, changed: bool, is_verified: bool = False) -> None:
        """The library's record was, if ``changed``, just written, or a verification of the library has passed.

        That a migration failed or never ended stays told until the next one, or until a library is verified that lacks
        none of its hashes.
        """
        if self._folder is None:
            return
        success = is_verified and (
            record is None or (record.phase == run_record.VERIFIED and record.operation not in run_record.WAYS_BACK))
        series: dict[str, Any] = {"dhash_last_success_timestamp_seconds": _time()} if success else {}
        with self._by_product():
            counts = library_fields.counts(library_file.read(self._library)[0].value)
            series.update(_counts(counts))
            if changed or (success and counts["hashed"] + counts["errors"] == counts["images"]):
                series.update(_of_record(record))
            self._publish(series, otherwise=_of_record(record))

    def queued(self, pairs: int) -> None:
        """So many pairs wait for a person's judgement."""
        self._publish({QUEUE: pairs})

    def judged(self, pairs: int, left: int) -> None:
        """So many of them were judged; of what was shown to people so many are left, and there may be more."""
        self._publish({QUEUE: max(left, (queue_length(self._state) or 0) - pairs)})

    def _publish(self, series: dict[str, Any], entries: Iterable[Entry] = (), build: dict[str, str] | None = None,
                 otherwise: dict[str, Any] | None = None) -> None:
        """Add to what is known: what ``series`` says, what of ``entries`` is not counted yet, and ``otherwise`` unless
        something is known already."""
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
                    raise DhashError("there is no such folder for metrics", self._folder,
                                     "Make it, or correct dhash_metrics_dir.")
                durable.write(self.path, [prometheus_text.render(known).encode()], mode=0o644)
            if not self._swept:
                self._swept = True
                self._remove_those_of_libraries_that_are_gone(self._folder)

    def _remove_those_of_libraries_that_are_gone(self, folder: str) -> None:
        """Remove the metrics of each library whose state lies beside this one's, and which is no longer where it was.

        The state folder proves that the file is this host's: several hosts and containers can share ``folder``.
        """
        for path in glob.glob(os.path.join(glob.escape(os.path.dirname(self._state)), "*", NAME)):
            with contextlib.suppress(DhashError, ValueError, TypeError, KeyError, AttributeError):
                library = json.loads(durable.read(path))["library"]
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
        """What is known so far. What cannot be understood is begun anew, as a counter may."""
        bounds = list(run_measurements.BUCKETS)
        durations = {"bounds": bounds, "counts": [0] * (len(bounds) + 1), "sum": 0.0, "until": ""}
        begun = {"format": json_records.FORMAT, "library": self._library, "series": {}, "build": {}, "durations": durations}
        if durable.exists(path):
            try:
                known = {**begun, **json.loads(durable.read(path)), "library": self._library}
                json_records.require_known_format(known, path, "the record of the metrics")
                prometheus_text.render(known)
                if known["durations"]["bounds"] == list(run_measurements.BUCKETS):
                    return known
            except (ValueError, TypeError, KeyError, AttributeError):
                self._warn(f"{path}: it is damaged, so that the metrics begin anew.")
        return begun


def _path(folder: str, library: str) -> str:
    """The file for the exporter, named as the library's state folder is: no two libraries have the same."""
    return os.path.join(folder, f"mobius-dhash-{os.path.basename(run_record.folder('', library))}.prom")


OFF = Metrics(None, "", "", lambda _text: None)


def of(params: dict[str, Any], library: str, state: str, warn: Callable[[str], None]) -> Metrics:
    """The metrics as a module is asked for them. A relative folder counts from the library's."""
    folder = params["metrics_dir"]
    return Metrics(folder and os.path.join(os.path.dirname(library), folder), library, state, warn)


def queue_length(state: str) -> int | None:
    """How many pairs wait for a person's judgement, as far as the state folder ``state`` knows; None: it does not."""
    with contextlib.suppress(DhashError, ValueError, TypeError, KeyError):
        return int(json.loads(durable.read(os.path.join(state, NAME)))["series"][QUEUE])
    with contextlib.suppress(OSError, DhashError, ValueError, TypeError, KeyError):
        last = max(glob.glob(os.path.join(glob.escape(state), "review-*.json")), key=os.path.getmtime)
        return int(json.loads(durable.read(last))["counts"]["total_matches"])
    return None


def _count(durations: dict[str, Any], entries: Iterable[Entry]) -> None:
    """Add the images hashed since the last that were counted, whichever run hashed them: a killed one, or a dry one."""
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
