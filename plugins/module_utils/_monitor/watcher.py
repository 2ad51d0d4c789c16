# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Monitor a deploy: poll often at first and less often later, up to a result that is recorded and survives the controller.

Only one process monitors a library; a second one shows the progress of the first. The library itself is not locked.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .._deploy import run_record
from .._errors import DhashError, LockedError, printable
from .._files import locking, log_tail
from .._telemetry import metrics_file, run_log
from . import service_probes, watch_gates, watch_record

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
GROWTH = 1.3
SHOWN_POLLS = 40  # that are kept for a second process, and as evidence
VERDICTS = {watch_gates.FAIL: watch_record.FAILED, watch_gates.ROLLBACK: watch_record.ROLLBACK}


class Settings(NamedTuple):
    """The settings of one monitoring. ``library`` is the real file. A probe whose setting is None is skipped."""

    library: str
    state: str
    run: str
    minutes: float
    gates: Mapping[str, watch_gates.Gate]
    health_url: str | None
    health_body: str | None
    service_manager: str
    service_name: str | None
    service_scope: str
    status_command: str | None
    error_log: str | None
    error_log_pattern: str
    log_dir: str | None
    health_status: Sequence[int] = service_probes.HEALTHY_STATUS
    health_validate_certs: bool = True


class Progress:
    """Shows the line of each poll once, also for polls of another process."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell

    def show(self, watch: watch_record.Watch) -> None:
        """Pass on the last lines."""
        with contextlib.suppress(OSError):
            self._tell({"lines": _numbered(watch)})


def watch(settings: Settings, tell: Callable[[dict[str, Any]], None], sleep: Callable[[float], None] = time.sleep,
          now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Monitor the last deploy up to a result; returns :func:`outcome`. Raises ``DhashError``.

    An interrupted monitoring is continued, and a result that no run has acted upon is returned at once.
    """
    progress = Progress(tell)
    while True:
        record = run_record.read(settings.state)
        if record is None or not run_record.is_deployed(record):
            return outcome(None, settings.state)
        last = _unacknowledged(settings.state, record)
        if last is not None:
            progress.show(last)
            if last.verdict is not None:
                return outcome(last, settings.state)
        try:
            with locking.lock(watch_record.path(settings.state), "watch", settings.run, 0, watch_record.LOCKED, locking.WAIT):
                last = _unacknowledged(settings.state, record)
                if last is None or last.verdict is None:
                    last = _Watcher(settings, record, last, progress, sleep, now).run()
                return outcome(last, settings.state)
        except LockedError:
            sleep(FIRST_PAUSE)


def check(settings: Settings) -> dict[str, Any]:
    """The recorded monitoring of the last deploy, without a poll. Raises ``DhashError``."""
    last = watch_record.read(settings.state)
    return outcome(last if watch_record.is_of(last, run_record.read(settings.state)) else None, settings.state)


def outcome(last: watch_record.Watch | None, state: str) -> dict[str, Any]:
    """The result of the module: the verdict, its reason, and the paths of the evidence."""
    if last is None:
        return {"verdict": None, "reason": "there is no deploy to monitor", "broken": [], "polls": 0,
                "summary": [], "lines": [], "evidence": [], "run": None, "new_sha256": None}
    length = _clock(last.polled - last.started)
    lines = [f"Monitored for {length}: {last.polls} polls, {last.verdict or 'no result yet'}"
             + (f", {last.reason}" if last.reason else "")]
    lines += [f"{gate['gate']} ({gate['action']}): {gate['says']}, {gate['at']}" for gate in last.broken]
    return {"verdict": last.verdict, "reason": last.reason, "broken": last.broken, "polls": last.polls,
            "summary": lines, "lines": _numbered(last), "evidence": watch_record.evidence(state, last), "run": last.run,
            "new_sha256": last.new_sha256}


def _numbered(watch: watch_record.Watch) -> list[list[Any]]:
    lines = watch.evidence["polls"]
    return [[watch.polls - len(lines) + 1 + index, line] for index, line in enumerate(lines)]


def _unacknowledged(state: str, record: run_record.Record) -> watch_record.Watch | None:
    """The monitoring of that deploy, if it is unfinished or no run has acted upon its result; otherwise None."""
    last = watch_record.read(state)
    return last if last is not None and watch_record.is_of(last, record) and not last.acknowledged else None


class _Watcher:
    """Polls with the lock of the monitoring held, and writes its record."""

    def __init__(self, settings: Settings, record: run_record.Record, last: watch_record.Watch | None, progress: Progress,
                 sleep: Callable[[float], None], now: Callable[[], float]) -> None:
        self._settings = settings
        self._record = record
        self._progress = progress
        self._sleep, self._now = sleep, now
        self._continued = last is not None
        self._watch = (last or watch_record.begin(record, now(), settings.minutes))._replace(minutes=settings.minutes)
        self._log = run_log.Log(None, settings.library, "monitor")
        self._library = service_probes.Library(settings.library)
        self._tail = None
        if settings.error_log:
            self._tail = log_tail.Tail(settings.error_log, settings.error_log_pattern, self._watch.log_place)

    def run(self) -> watch_record.Watch:
        """Poll until there is a result."""
        with run_log.Log(self._settings.log_dir, self._settings.library, "monitor") as log:
            self._log = log
            self._watch = self._watch._replace(log=log.path)
            log.line(f"Monitoring the deploy of run {self._watch.run} to {printable(self._settings.library)}"
                     + (", continued" if self._continued else ""))
            pause = FIRST_PAUSE
            while self._watch.verdict is None:
                self._poll()
                ill = self._is_ill()
                left = self._watch.until - self._now()
                if self._watch.verdict is None and left <= 0 and not ill:
                    self._decide(watch_record.PASSED, "")
                self._keep()
                if self._watch.verdict is None:
                    pause = FIRST_PAUSE if ill else min(pause * GROWTH, LONGEST_PAUSE)
                    # While a check fails, the monitoring continues until the check passes or its gate is exceeded.
                    self._sleep(pause if ill else max(min(pause, left), 0))
            for line in outcome(self._watch, self._settings.state)["summary"]:
                log.line(line)
            for line in self._watch.evidence["lines"]:
                log.line(f"error log: {line}")
        return self._watch

    def _poll(self) -> None:
        current = run_record.read(self._settings.state)
        if not watch_record.is_of(self._watch, current):
            who = f"{current.operation} {current.run}" if current else "another run"
            self._decide(watch_record.REPLACED, f"the monitored library is no longer live, or is about to be replaced ({who})")
            return
        facts = self._look()
        self._count(facts)
        found = watch_gates.find_violations(self._settings.gates, self._values(facts))
        known = {gate["gate"] for gate in self._watch.broken}
        at = watch_record.format_time(self._now())
        fresh = [{**gate, "at": at} for name, gate in found.items() if name not in known]
        line = _line(self._watch.polls + 1, self._now() - self._watch.started, 60 * self._watch.minutes, facts)
        line += "".join(f"; {gate['action'].upper()}: {gate['says']}" for gate in fresh)
        self._log.line(line)
        lines = [*self._watch.evidence["lines"], *facts.pop("new_lines")][-log_tail.KEPT:]
        polls = [*self._watch.evidence["polls"], line][-SHOWN_POLLS:]
        self._watch = self._watch._replace(
            polls=self._watch.polls + 1, polled=self._now(), broken=[*self._watch.broken, *fresh],
            log_place=self._tail.place if self._tail else {}, evidence={"poll": facts, "lines": lines, "polls": polls})
        worst = watch_gates.most_severe(found)
        if worst in VERDICTS:
            reason = "; ".join(gate["says"] for gate in found.values() if gate["action"] == worst)
            if worst == watch_gates.ROLLBACK and self._record.operation not in run_record.FORWARD_OPERATIONS:
                worst, reason = watch_gates.FAIL, f"{reason} (this deploy was a rollback, which is not rolled back)"
            self._decide(VERDICTS[worst], reason)

    def _look(self) -> dict[str, Any]:
        settings = self._settings
        health = settings.health_url and service_probes.health(settings.health_url, settings.health_body, settings.health_status,
                                                               settings.health_validate_certs)
        service = service_probes.service(settings.service_manager, settings.service_name, settings.service_scope,
                                         settings.status_command)
        before = self._tail.found if self._tail else 0
        if self._tail:
            self._tail.look()
        new = self._tail.found - before if self._tail else 0
        return {
            "at": watch_record.format_time(self._now()),
            "health": health and health._asdict(), "service": service and service._asdict(),
            "error_log": {**self._tail.place, "new": new, "problem": self._tail.problem} if self._tail else None,
            "library": self._library.look(), "queue": metrics_file.queue_length(settings.state),
            "disk_free": service_probes.disk_free(settings.library),
            "new_lines": list(self._tail.last)[-new:] if self._tail and new else [],
        }

    def _count(self, facts: dict[str, Any]) -> None:
        """Count consecutive failed checks. An unknown result changes nothing."""
        told = {"health": facts["health"] and facts["health"]["healthy"],
                "service": facts["service"] and facts["service"]["running"],
                "library": facts["library"]["readable"]}
        counts = dict(self._watch.in_a_row)
        for name, well in told.items():
            if well is not None and self._settings.gates[name].action != watch_gates.IGNORE:
                counts[name] = 0 if well else counts.get(name, 0) + 1
        self._watch = self._watch._replace(in_a_row=counts)

    def _is_ill(self) -> bool:
        """Whether a check fails whose gate can end the monitoring. Gates that only warn do not prolong it."""
        gates = {name: self._settings.gates[name] for name, count in self._watch.in_a_row.items() if count}
        return any(gate.action in VERDICTS and gate.limit is not None for gate in gates.values())

    def _values(self, facts: dict[str, Any]) -> dict[str, float | None]:
        library, service, log = facts["library"], facts["service"] or {}, facts["error_log"]
        return {**{name: count or None for name, count in self._watch.in_a_row.items()},
                "error_log": log and log["found"], "failure_rate": library.get("failure_rate"),
                "average": library.get("average_ms"), "p95": library.get("p95_ms"), "queue": facts["queue"],
                "memory": service.get("memory"), "disk": facts["disk_free"]}

    def _decide(self, verdict: str, reason: str) -> None:
        self._watch = self._watch._replace(verdict=verdict, reason=reason, polled=self._now())

    def _keep(self) -> None:
        try:
            watch_record.write(self._settings.state, self._watch)
        except DhashError as error:  # a full disk must not hide other problems
            self._log.line(f"the monitoring record was not written: {error}")
        self._progress.show(self._watch)


def _line(number: int, elapsed: float, length: float, facts: dict[str, Any]) -> str:
    """The line of one poll."""
    health, service, log, library = facts["health"], facts["service"], facts["error_log"], facts["library"]
    parts = [f"poll {number} at {_clock(elapsed)} of {_clock(length)}"]
    if health:
        parts.append(f"health {'ok' if health['healthy'] else 'FAILED (' + health['message'] + ')'}")
    if service:
        name = {True: "", False: "NOT RUNNING: ", None: "unknown: "}[service["running"]]
        memory = f", {service['memory'] / 1e6:.0f} MB" if service["memory"] is not None else ""
        parts.append(f"service {name}{service['message']}{memory}")
    if log:
        parts.append(f"error log {log['problem'] or str(log['found']) + ' lines'}")
    parts.append(f"library {library['hashed']} of {library['images']} hashed" if library["readable"]
                 else f"library UNREADABLE ({library['says']})")
    if facts["queue"] is not None:
        parts.append(f"{facts['queue']} to review")
    if facts["disk_free"] is not None:
        parts.append(f"{facts['disk_free'] / 1e9:.1f} GB free")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02}"
