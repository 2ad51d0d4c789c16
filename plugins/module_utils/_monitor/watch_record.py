# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitoring record: the progress and the findings of the last monitoring, and whether a run has acted upon its result.

The record is bound to the monitored deploy. The next run continues a monitoring without a result (``verdict``), and acts upon a
result that no run has acted upon.
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from .._deploy import run_record
from .._files import json_records, locking

FILE = "monitor.json"
SECONDS_TO_ACKNOWLEDGE = 10
END_OF_TIME = 253_402_300_800  # seconds: the year 10000, which Python cannot write
LOCKED = "the monitoring record"  # the name of the locked file in messages
NO_EVIDENCE: dict[str, Any] = {"poll": {}, "lines": [], "polls": []}
PASSED, FAILED, ROLLBACK, REPLACED = "passed", "failed", "rollback", "replaced"


class Watch(NamedTuple):
    """One monitoring. ``run``, ``operation`` and ``new_sha256`` are those of the deploy; times are seconds since the epoch.

    ``in_a_row`` has the number of consecutive failed checks, by gate. ``broken`` are the exceeded gates of
    :func:`watch_gates.find_violations`, each gate once. ``log_place`` is the place in the error log where reading continues. ``evidence``: the
    last ``poll`` with all its facts, the last ``lines`` of the error log, and the displayed lines of the last ``polls``.
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
        """The time at which the monitoring ends if no check fails."""
        return self.started + 60 * self.minutes


def path(state: str) -> str:
    """The path of the record. The monitoring locks this path instead of the library, which stays unlocked."""
    return os.path.join(state, FILE)


def begin(record: run_record.Record, now: float, minutes: float) -> Watch:
    """The monitoring of the deploy of ``record``, before its first poll."""
    return Watch(record.run, record.operation, record.new_sha256, now, minutes, now, 0, {}, [], {}, None, "", False,
                 None, dict(NO_EVIDENCE))


def read(state: str) -> Watch | None:
    """The last monitoring; None if there is none. Raises ``DhashError`` if its record is damaged."""
    return json_records.read(path(state), LOCKED, _parse, _what_is_pending)


def _parse(value: dict[str, Any]) -> Watch:
    missing: dict[str, Any] = {
        "operation": run_record.MIGRATION, "polled": value.get("started"), "polls": 0, "in_a_row": {}, "broken": [],
        "log_place": {}, "verdict": None, "reason": "", "acknowledged": False, "log": None, "evidence": {}}
    watch = json_records.build(Watch, {**missing, **value})
    if not all(0 <= seconds < END_OF_TIME for seconds in (watch.started, watch.polled, watch.until)):
        raise ValueError("a time is out of range")
    return watch._replace(evidence={**NO_EVIDENCE, **watch.evidence})


def _what_is_pending(content: bytes) -> str:
    """The next step for a damaged record, with the fields that are still readable."""
    verdict, acknowledged = json_records.salvage(content, "verdict"), json_records.salvage(content, "acknowledged")
    if verdict and acknowledged == "true":
        return f"Readable in the file: result {verdict}, acted upon. Rename this file, then run again."
    readable = f"Readable in the file: result {verdict}. " if verdict else ""
    return (f"{readable}Whether a run has acted upon the result is unknown. First check the service and the library"
            " yourself, then rename this file and run again.")


def write(state: str, watch: Watch) -> None:
    """Replace the record, durably. Raises ``DhashError``."""
    json_records.write(path(state), watch._asdict())


def is_of(watch: Watch | None, record: run_record.Record | None) -> bool:
    """Whether ``watch`` monitors the deploy of ``record``."""
    return (watch is not None and record is not None and run_record.is_deployed(record)
            and (watch.run, watch.new_sha256) == (record.run, record.new_sha256))


def acknowledge(state: str, run: str) -> None:
    """Record that a run has acted upon the result of monitoring the deploy ``run``. Raises ``DhashError``."""
    if read(state) is None:
        return
    with locking.lock(path(state), "watch", run, SECONDS_TO_ACKNOWLEDGE, LOCKED, locking.WAIT):
        watch = read(state)
        if watch is not None and watch.run == run and watch.verdict is not None and not watch.acknowledged:
            write(state, watch._replace(acknowledged=True))


def summary(state: str) -> dict[str, Any] | None:
    """The last monitoring as a module returns it; None if there is none. Raises ``DhashError``."""
    watch = read(state)
    if watch is None:
        return None
    current = is_of(watch, run_record.read(state))
    return {
        "run": watch.run, "operation": watch.operation, "new_sha256": watch.new_sha256, "polls": watch.polls,
        "minutes": watch.minutes, "started_at": format_time(watch.started), "until": format_time(watch.until),
        "polled_at": format_time(watch.polled),
        "broken": watch.broken, "verdict": watch.verdict, "reason": watch.reason, "acknowledged": watch.acknowledged,
        # pending: the next run continues it. waits: the next run acts upon its result first.
        "pending": current and not watch.acknowledged,
        "waits": current and not watch.acknowledged and watch.verdict in (FAILED, ROLLBACK),
        "evidence": evidence(state, watch),
    }


def evidence(state: str, watch: Watch) -> list[str]:
    """The paths of the record and of the log of the monitoring."""
    return [place for place in (path(state), watch.log) if place]


def format_time(seconds: float) -> str:
    """Seconds since the epoch as ``2026-01-31T12:00:00Z``."""
    return time.strftime(run_record.TIME, time.gmtime(seconds))
