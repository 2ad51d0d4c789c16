# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of images, and the resources of a run as the kernel counts them for this process and its ended children."""

from __future__ import annotations

import bisect
import math
import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: getrusage(2)
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)  # seconds; the targets of the runbook are among the bounds


class Moment(NamedTuple):
    """Seconds of a monotonic clock, and seconds of CPU time of this process and of its children."""

    clock: float
    own: float
    children: float


def now() -> Moment:
    """The present time, and the CPU time so far."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Moment(time.monotonic(), own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime)


def since(start: Moment, read_bytes: int) -> dict[str, float]:
    """Seconds of time and of CPU since ``start``, the peak memory of the largest process (bytes), and ``read_bytes``.

    The peak is over the whole life of the process, because the kernel keeps no other.
    """
    end = now()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "seconds": round(end.clock - start.clock, 3),
        "parent_cpu_seconds": round(end.own - start.own, 3),
        "workers_cpu_seconds": round(end.children - start.children, 3),
        "peak_memory_bytes": peak * KIBIBYTE,
        "read_bytes": read_bytes,
    }


def average(values: Sequence[float]) -> float:
    """The average in seconds, to the microsecond; 0 for no values."""
    return round(sum(values) / len(values), 6) if values else 0


def percentile_95(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank; 0 for no values."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0


def histogram(values: Sequence[float]) -> list[int]:
    """The number of ``values`` (s) in each bucket. ``BUCKETS`` are the upper bounds; the last bucket has none."""
    counts = [0] * (len(BUCKETS) + 1)
    for value in values:
        counts[bisect.bisect_left(BUCKETS, value)] += 1
    return counts
