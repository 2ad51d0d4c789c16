# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of one library, in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

The text of a metric's HELP and TYPE is the same in the file of every library: node_exporter merges all of them, and
complains where they differ. There are no timestamps in it, which its textfile collector refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

NO_PHASE, HASHING, FAILED = "none", "hashing", "failed"
PHASES = (NO_PHASE, HASHING, FAILED, "prepared", "announced", "deploying", "deployed", "verified")
KINDS = ("missing", "unreadable", "not_an_image", "truncated", "too_large", "timeout", "crashed", "outside_media_root",
         "unsupported")
BUILD = "dhash_build_info"
DURATIONS = "dhash_hash_duration_seconds"


class Metric(NamedTuple):
    """A metric; ``label`` is the one that its series have besides ``library``, if any."""

    name: str
    type: str
    label: str | None
    help: str


METRICS = (
    Metric(BUILD, "gauge", None, "The versions of what the last migration ran with, and its algorithm; always 1."),
    Metric("dhash_run_phase", "gauge", "phase", "How far the last run came: 1 for its phase, 0 for the others."),
    Metric("dhash_restart_owed", "gauge", None,
           "Whether the service has yet to be restarted and verified since the library was exchanged (1) or not (0)."),
    Metric("dhash_last_start_timestamp_seconds", "gauge", None, "When the last migration began to hash."),
    Metric("dhash_last_progress_timestamp_seconds", "gauge", None, "When the last run was last heard of."),
    Metric("dhash_last_end_timestamp_seconds", "gauge", None, "When the last migration ended, failed or not."),
    Metric("dhash_last_success_timestamp_seconds", "gauge", None,
           "When the migrated library and its service were last verified with success."),
    Metric("dhash_images", "gauge", None, "Images in the live library."),
    Metric("dhash_hashed_images", "gauge", None, "Images in the live library that have a hash."),
    Metric("dhash_duplicates", "gauge", None, "Duplicates on record in the live library."),
    Metric("dhash_review_queue_pairs", "gauge", None, "Pairs of images that wait for a person to judge them."),
    Metric("dhash_run_images", "gauge", "result",
           "Images of the last migration: hashed by it, known from before, or failed (left without a hash)."),
    Metric("dhash_run_pending_images", "gauge", None, "Files that the migration that goes on has yet to hash."),
    Metric("dhash_errors", "gauge", "kind", "Images that the last migration left without a hash, by kind of error."),
    Metric(DURATIONS, "histogram", None,
           "Time from opening a file to its pixels, of every image that was hashed, by whichever run."),
    Metric("dhash_run_hash_duration_p95_seconds", "gauge", None,
           "The exact 95th percentile of that time over the timed images of the last migration."),
    Metric("dhash_run_hash_duration_average_seconds", "gauge", None,
           "The average of that time over the timed images of the last migration."),
    Metric("dhash_run_timed_images", "gauge", None,
           "Images behind percentile and average: those whose hash was new to the library, or all if none was."),
    Metric("dhash_run_duration_seconds", "gauge", None, "How long the last migration took, from its start to its end."),
    Metric("dhash_run_cpu_seconds", "gauge", "process",
           "CPU time of the last migration, user and system: of its parent process and of its workers."),
    Metric("dhash_run_peak_memory_bytes", "gauge", None,
           "The most resident memory that the largest process of the last migration had."),
    Metric("dhash_run_read_bytes", "gauge", None, "The size of all files that the last migration opened to hash them."),
)


def render(known: dict[str, Any]) -> str:
    """The metrics of the library that ``known`` (see ``metrics_file``) tells of.

    Raises TypeError, KeyError or AttributeError where it is damaged.
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
    # What is no UTF-8 in a file name becomes its escape first: the format is UTF-8 throughout.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return repr(value)
