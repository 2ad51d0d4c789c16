# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The valid ranges of numbers: of the variables of the roles, and of the options of modules that get them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._errors import RefusedError


class Range(NamedTuple):
    """The least and the greatest valid number, and the name of the variable as an option of modules."""

    least: float
    most: float = math.inf
    option: str | None = None


HASH_BITS = 64
RANGES = {
    "dhash_approval_minutes": Range(0),
    "dhash_backup_keep": Range(0, option="keep"),
    "dhash_backup_keep_days": Range(0, option="keep_days"),
    "dhash_batch_size": Range(1, option="batch_size"),
    "dhash_calibration_pictures": Range(1, option="pictures"),
    "dhash_verify_compare_max_distance": Range(0, HASH_BITS),
    "dhash_verify_compare_min_distance": Range(0, HASH_BITS),
    "dhash_health_delay": Range(0),
    "dhash_health_retries": Range(0),
    "dhash_image_timeout": Range(1, option="image_timeout"),
    "dhash_first_images": Range(1, option="limit"),
    "dhash_lock_timeout": Range(0, option="lock_timeout"),
    "dhash_log_retention": Range(0, option="log_retention"),
    "dhash_max_average_ms": Range(0),
    "dhash_max_failure_rate": Range(0, 1),
    "dhash_max_image_bytes": Range(1, option="max_image_bytes"),
    "dhash_max_image_pixels": Range(1, option="max_image_pixels"),
    "dhash_max_load": Range(0.01, option="max_load"),
    "dhash_max_p95_ms": Range(0),
    "dhash_max_pressure": Range(0.01, 100, option="max_pressure"),
    "dhash_monitor_minutes": Range(0, option="minutes"),
    "dhash_nice": Range(0, 19, option="nice"),
    "dhash_notify_retries": Range(0, option="retries"),
    "dhash_notify_total_timeout": Range(0, option="timeout"),
    "dhash_parallel": Range(1, option="parallel"),
    "dhash_monitor_review_queue_warning": Range(0),
    "dhash_rehearsal_max_days": Range(0, option="rehearsal_max_days"),
    "dhash_rehearse_first_images": Range(1, option="images"),
    "dhash_review_limit": Range(1, option="limit"),
    "dhash_review_max_distance": Range(0, HASH_BITS, option="max_distance"),
    "dhash_review_min_distance": Range(0, HASH_BITS, option="min_distance"),
    "dhash_verify_sample_size": Range(0, option="sample"),
    "dhash_threshold": Range(0, HASH_BITS, option="threshold"),
    "dhash_worker_memory": Range(1, option="worker_memory"),
}
LARGEST = sys.float_info.max
OPTIONS = {range_.option: range_ for range_ in RANGES.values() if range_.option}


def problems(variables: Mapping[str, Any]) -> list[str]:
    """The problems of the numbers among ``variables``. A variable that is None counts as not set."""
    return [problem for name, range_ in RANGES.items() for problem in _problems(name, variables.get(name), range_)]


def require(params: Mapping[str, Any]) -> None:
    """Raise ``RefusedError`` for the options of a module that are out of range."""
    found = [problem for name, range_ in OPTIONS.items() for problem in _problems(name, params.get(name), range_)]
    if found:
        raise RefusedError(" ".join(found), next_step="Correct this, then run again.")


def _problems(name: str, value: Any, range_: Range) -> list[str]:
    if not isinstance(value, (int, float)) or range_.least <= value <= min(range_.most, LARGEST):
        return []
    if abs(value) > LARGEST:  # as text it may have thousands of digits
        return [f"{name} is too large."]
    wanted = f"between {range_.least:g} and {range_.most:g}" if math.isfinite(range_.most) else f"at least {range_.least:g}"
    percent = f" For {value:g} percent give {value / 100:g}." if range_.most == 1 and 1 < value <= 100 else ""
    return [f"{name} must be {wanted}, got {value:g}.{percent}"]
