# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of the last watch over a deploy: how far it came, what it found, and whether anybody knows of it.

It is bound to the deploy that it watches. A watch without a verdict is continued by the next run, a verdict that no
run has acted upon is acted upon by the next one.
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from .._deploy import run_record
from .._files import json_records, locking

FILE = "monitor.json"
SECONDS_TO_ACKNOWLEDGE = 10
LOCKED = "the monitoring record"  # what a lock on it locks, in messages
NO_EVIDENCE: dict[str, Any] = {"poll": {}, "lines": [], "polls": []}
PASSED, FAILED, ROLLBACK, REPLACED = "passed", "failed", "rollback", "replaced"


class Watch(NamedTuple):
    """One watch. ``run``, ``operation`` and ``new_sha256`` are those of the deploy; times are seconds of the epoch.

    ``in_a_row`` counts, for each gate that minds it, how often in a row something was not well. ``broken`` holds what
    :func:`watch_gates.broken` found, each gate once. ``log_place`` is where the error log is read on. ``evidence``: the last
    ``poll`` with all its facts, the last ``lines`` of the error log, and what was shown of the last ``polls``.
    """

    run: str
    operation: str
    new_sha256: str
    started: float
    minutes: float
    polled: float
    polls: int
    in_a_row: dict[str, int]
    broken: list[dict[str, Any]]
    log_place: dict[str, Any]
    verdict: str | None
    reason: str
    acknowledged: bool
    log: str | None
    evidence: dict[str, Any]

    @property
    def until(self) -> float:
        """When it ends, if all stays well."""
        return self.started + 60 * self.minutes


def path(state: str) -> str:
    """Where the record is kept. The lock of a watch is that of this path, so that the library's stays free."""
    return os.path.join(state, FILE)


def begin(record: run_record.Record, now: float, minutes: float) -> Watch:
    """The watch over what the run of ``record`` has deployed, before its first poll."""
    return Watch(record.run, record.operation, record.new_sha256, now, minutes, now, 0, {}, [], {}, None, "", False,
                 None, dict(NO_EVIDENCE))


def read(state: str) -> Watch | None:
    """The last watch, None where there was none. Raises ``DhashError`` where its record is damaged."""
    return json_records.read(path(state), "the record of the last watch", _parse, _what_is_pending)


def _parse(value: dict[str, Any]) -> Watch:
    missing: dict[str, Any] = {
        "operation": run_record.MIGRATION, "polled": value.get("started"), "polls": 0, "in_a_row": {}, "broken": [],
        "log_place": {}, "verdict": None, "reason": "", "acknowledged": False, "log": None, "evidence": {}}
    watch = json_records.build(Watch, {**missing, **value})
    return watch._replace(evidence={**NO_EVIDENCE, **watch.evidence})


def _what_is_pending(content: bytes) -> str:
    """What to do about a damaged record, with what it still tells."""
    verdict, acknowledged = json_records.salvage(content, "verdict"), json_records.salvage(content, "acknowledged")
    if verdict and acknowledged == "true":
        return f"It still says: result {verdict}, acted upon. Rename this file, then run again."
    readable = f"It still says: result {verdict}. " if verdict else ""
    return (f"{readable}Whether a run has acted upon the result is unknown: check the service and the library yourself"
            " first, then rename this file and run again.")


def write(state: str, watch: Watch) -> None:
    """Replace the record, durably. Raises ``DhashError``."""
    json_records.write(path(state), watch._asdict())


def is_of(watch: Watch | None, record: run_record.Record | None) -> bool:
    """Whether ``watch`` is over what the run of ``record`` has deployed."""
    return (watch is not None and record is not None and run_record.is_in_place(record)
            and (watch.run, watch.new_sha256) == (record.run, record.new_sha256))


def acknowledge(state: str, run: str) -> None:
    """Note that the verdict over the deploy ``run`` was acted upon. Raises ``DhashError``."""
    if read(state) is None:
        return
    with locking.lock(path(state), "watch", run, SECONDS_TO_ACKNOWLEDGE, LOCKED, locking.WAIT):
        watch = read(state)
        if watch is not None and watch.run == run and watch.verdict is not None and not watch.acknowledged:
            write(state, watch._replace(acknowledged=True))


def summary(state: str) -> dict[str, Any] | None:
    """The last watch for people and for roles; None where there was none. Raises ``DhashError``."""
    watch = read(state)
    if watch is None:
        return None
    current = is_of(watch, run_record.read(state))
    return {
        "run": watch.run, "operation": watch.operation, "new_sha256": watch.new_sha256, "polls": watch.polls,
        "minutes": watch.minutes, "started_at": at(watch.started), "until": at(watch.until),
        "polled_at": at(watch.polled),
        "broken": watch.broken, "verdict": watch.verdict, "reason": watch.reason, "acknowledged": watch.acknowledged,
        # What the next run goes on with, and what it acts upon before it does anything else.
        "pending": current and not watch.acknowledged,
        "waits": current and not watch.acknowledged and watch.verdict in (FAILED, ROLLBACK),
        "evidence": evidence(state, watch),
    }


def evidence(state: str, watch: Watch) -> list[str]:
    """The files that tell of it."""
    return [place for place in (path(state), watch.log) if place]


def at(seconds: float) -> str:
    """A time of the epoch as people read it (UTC)."""
    return time.strftime(run_record.TIME, time.gmtime(seconds))
