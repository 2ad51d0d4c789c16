# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calibrate: measure a library and write the report beside it. Nothing else is written.

Check mode and the real run share the measurement and the comparison with the present report. A report with the same content is not
written again, and it has no time in it, so a second run changes nothing. A file that is not the report of a calibration is renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import Any, NamedTuple

from .._deploy import path_rules, written_files
from .._errors import MissingRequirementError, from_os_error
from .._files import bounded_reads, durable, locking
from .._hashing import host_throttle
from .._telemetry import run_log
from . import calibration_report, library_measures

COUNTS = ("images", "images_without_pixels", "images_compared", "pairs_compared", "pairs_left_out", "pictures_edited", "pictures_unreadable",
          "threshold", "recommended_threshold", "reason", "reason_text", "recall", "false_duplicates", "thresholds")


class Outcome(NamedTuple):
    """The result of the module, the summary of the report before and after, and whether the report was, or would be, written."""

    result: dict[str, Any]
    before: list[str]
    after: list[str]
    changed: bool


def check(settings: library_measures.Settings) -> Outcome:
    """The expected result of :func:`run`. Writes nothing and takes no lock. Raises ``DhashError``."""
    before = _summary_of(settings.report)
    try:
        measured = library_measures.measure(settings)
    except MissingRequirementError:  # without numpy or Pillow the report is unknown: it may change
        library_measures.read_migrated(settings.library)
        return Outcome({**dict.fromkeys(COUNTS), "report": settings.report, "report_set_aside": None}, before, [], True)
    changed = _is_due(settings.report, calibration_report.render(measured))
    if changed:
        _require_writable(settings)
    return Outcome(_result(measured, settings, None), before, calibration_report.summary(measured), changed)


def run(settings: library_measures.Settings, throttle: host_throttle.Throttle = host_throttle.NEVER, meter: run_log.Meter | None = None) -> Outcome:
    """Measure the library and write the report. ``meter`` counts the edited pictures. While this waits (``throttle``), nothing is locked.

    Raises ``DhashError``, and what ``throttle`` raises.
    """
    before = _summary_of(settings.report)
    measured = library_measures.measure(settings, throttle, meter)
    content = calibration_report.render(measured)
    changed, kept = _is_due(settings.report, content), None
    if changed:
        _require_writable(settings)
        with locking.lock(settings.library, "calibration", settings.run, settings.lock_timeout):
            kept = _set_aside(settings)
            durable.make_folder(os.path.dirname(settings.report), 0o750, owner_of=settings.library)
            written_files.write(settings.state, settings.report, [content], mode=0o640, owner_of=settings.library)
    return Outcome(_result(measured, settings, kept), before, calibration_report.summary(measured), changed)


def difference(outcome: Outcome, report: str) -> dict[str, str]:
    """The summary of the report before and after, for Ansible's diff."""
    return {"before_header": report, "after_header": report, "before": "".join(f"{line}\n" for line in outcome.before),
            "after": "".join(f"{line}\n" for line in outcome.after)}


def _is_due(path: str, content: bytes) -> bool:
    return not os.path.isfile(path) or durable.sha256_of_file(path) != hashlib.sha256(content).hexdigest()


def _require_writable(settings: library_measures.Settings) -> None:
    """Raise ``DhashError`` if this user cannot write the report: the module checks only a path that was given, and not the lock."""
    path_rules.require_writable(settings.library, settings.state, {"calibration_report": settings.report}, ("calibration_report",))
    lock = f"{settings.library}.lock"
    if not os.access(lock if durable.exists(lock) else os.path.dirname(lock), os.R_OK | os.W_OK):
        raise from_os_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "open the lock file", lock)


def _set_aside(settings: library_measures.Settings) -> str | None:
    """Rename a file at the path of the report that is not the report of a calibration of ours; its new path, None if there is none."""
    path = settings.report
    if not durable.exists(path) or (written_files.is_ours(settings.state, path) and _summary_of(path)):
        return None
    kept = durable.free_name(f"{path}.set-aside-")
    durable.move(path, kept)
    return kept


def _summary_of(path: str) -> list[str]:
    return calibration_report.summary_in(bounded_reads.read(path, durable.MAX_BYTES)) if os.path.isfile(path) else []


def _result(measured: library_measures.Calibration, settings: library_measures.Settings, kept: str | None) -> dict[str, Any]:
    unrelated, choice, chosen = measured.unrelated, measured.choice, calibration_report.chosen(measured)
    thresholds = [{"threshold": row.threshold, "found": round(row.found, 4), "found_confirmed": round(row.found_confirmed, 4),
                   "false_duplicates": round(row.false, 3), "false_duplicates_confirmed": round(row.false_confirmed, 3)}
                  for row in measured.table]
    counts = dict(zip(COUNTS, (
        measured.images, measured.without_pixels, unrelated.images, unrelated.pairs.total, unrelated.left_out, measured.pictures,
        measured.unreadable, measured.current, choice.threshold, choice.reason, choice.text, round(100 * chosen.recall(measured.confirm), 1),
        round(chosen.expected(measured.confirm), 3), thresholds)))
    return {**counts, "report": settings.report, "report_set_aside": kept}
