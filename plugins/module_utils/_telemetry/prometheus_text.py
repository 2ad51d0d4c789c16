# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics of a library in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

The HELP and TYPE texts of a metric are the same in the files of all libraries, because node_exporter merges the files and reports
an error if they differ. The format has no timestamps, because the textfile collector refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

NO_PHASE, HASHING, FAILED = "none", "hashing", "failed"
PHASES = (NO_PHASE, HASHING, FAILED, "prepared", "announced", "deploying", "deployed", "verified")
KINDS = ("missing", "unreadable", "not_an_image", "truncated", "damaged", "too_large", "timeout", "crashed", "outside_media_root",
         "unsupported")
BUILD = "dhash_build_info"
DURATIONS = "dhash_hash_duration_seconds"


class Metric(NamedTuple):
    """A metric. ``label`` is the label of its series besides ``library``, if any."""

    name: str
    type: str
    label: str | None
    help: str


METRICS = (
    Metric(BUILD, "gauge", None, "Versions of the decoders and packages of the last migration, and its algorithm; always 1."),
    Metric("dhash_run_phase", "gauge", "phase", "Phase of the last run: 1 for this phase, 0 for all other phases."),
    Metric("dhash_restart_owed", "gauge", None,
           "Whether a restart and a verification of the service are pending after a deploy: 1 if so, 0 if not."),
    Metric("dhash_last_start_timestamp_seconds", "gauge", None, "Time at which the last migration began to hash."),
    Metric("dhash_last_progress_timestamp_seconds", "gauge", None, "Time of the last progress of the last run."),
    Metric("dhash_last_end_timestamp_seconds", "gauge", None, "Time at which the last migration ended, with or without success."),
    Metric("dhash_last_success_timestamp_seconds", "gauge", None,
           "Time of the last successful verification of the migrated library and its service."),
    Metric("dhash_images", "gauge", None, "Images in the live library."),
    Metric("dhash_hashed_images", "gauge", None, "Images in the live library that have a hash."),
    Metric("dhash_duplicates", "gauge", None, "Duplicates on record in the live library."),
    Metric("dhash_review_queue_pairs", "gauge", None, "Pairs of images that wait for a review."),
    Metric("dhash_run_images", "gauge", "result",
           "Images of the last migration: hashed in it, known from the journal, or failed (without a hash)."),
    Metric("dhash_run_pending_images", "gauge", None, "Files that the running migration still has to hash."),
    Metric("dhash_errors", "gauge", "kind", "Images without a hash after the last migration, by kind of error."),
    Metric(DURATIONS, "histogram", None,
           "Time from opening a file to its pixels, for every image that any run has hashed."),
    Metric("dhash_run_hash_duration_p95_seconds", "gauge", None,
           "Exact 95th percentile of the time from opening a file to its pixels, over the timed images of the last migration."),
    Metric("dhash_run_hash_duration_average_seconds", "gauge", None,
           "Average time from opening a file to its pixels, over the timed images of the last migration."),
    Metric("dhash_run_timed_images", "gauge", None,
           "Images in the percentile and the average: those with a new hash, or all images if no hash was new."),
    Metric("dhash_run_duration_seconds", "gauge", None, "Duration of the last migration."),
    Metric("dhash_run_cpu_seconds", "gauge", "process",
           "CPU time of the last migration, user and system, of its parent process and of its workers."),
    Metric("dhash_run_peak_memory_bytes", "gauge", None,
           "Peak resident memory of the largest process of the last migration."),
    Metric("dhash_run_read_bytes", "gauge", None, "Total size of the files that the last migration opened to hash them."),
)


def render(known: dict[str, Any]) -> str:
    """The text of the metrics ``known``, which are the values that ``metrics_file`` keeps.

    Raises TypeError, KeyError or AttributeError if they are damaged.
    """
    lines: list[str] = []
    for metric in METRICS:
        samples = list(_samples(metric, known))
        if samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}"]
        for suffix, labels, value in samples:
            pairs = {"library": known["library"], **labels}
            text = ",".join(f'{name}="{_escape(content)}"' for name, content in pairs.items())
            lines.append(f"{metric.name}{suffix}{{{text}}} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _samples(metric: Metric, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, str], Any]]:
    """The suffix of the name, the labels but ``library``, and the value of each sample."""
    if metric.name == BUILD:
        if known["build"]:
            yield "", known["build"], 1
    elif metric.type == "histogram":
        yield from _histogram(known["durations"])
    elif metric.name in known["series"]:
        value = known["series"][metric.name]
        if metric.label is None:
            yield "", {}, value
        else:
            for content, number in value.items():
                yield "", {metric.label: content}, number


def _histogram(durations: dict[str, Any]) -> Iterator[tuple[str, dict[str, str], Any]]:
    total = 0
    for bound, count in zip([*map(str, durations["bounds"]), "+Inf"], durations["counts"]):
        total += count
        yield "_bucket", {"le": bound}, total
    yield "_sum", {}, durations["sum"]
    yield "_count", {}, total


def _escape(text: str) -> str:
    # The format is UTF-8: bytes of a file name that are not UTF-8 are escaped first.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return repr(value)
