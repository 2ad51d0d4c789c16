# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a migration, and how they are built from the options of a module."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from .._deploy import path_rules, run_record
from .._hashing import decoder_limits, host_throttle, sandbox
from .._module import module_arguments
from . import library_assembly

# Options that only a migration has; a rehearsal and a shard use these values.
NOT_ASKED = {"output": None, "threshold": 0, "confirm": False, "limit": None, "dry_run": False, "report": None, "log_dir": None,
             "origin": None, "sample": 0, "ignore_ctime": False, "rehash": False}
WRITES = frozenset({"state_dir", "log_dir", "temp_dir", *path_rules.FILES})


class Settings(NamedTuple):
    """One migration. Paths are absolute; ``library`` is the real file, ``media_roots`` are real folders."""

    library: str
    output: str
    state: str
    run: str
    terms: library_assembly.MatchOptions
    parallel: int
    temp_dir: str | None
    media_roots: tuple[str, ...]
    limits: decoder_limits.Limits
    limit: int | None
    lock_timeout: float
    dry_run: bool
    report: str | None
    log_dir: str | None
    origin: dict[str, Any] | None = None
    sample: int = 0  # the number of images in the journal that are hashed again as a check
    ignore_ctime: bool = False
    rehash: bool = False
    throttle: host_throttle.Settings = host_throttle.OFF


def from_params(params: dict[str, Any]) -> Settings:
    """The settings of a migration. Relative paths count from the library's folder. Raises ``DhashError``."""
    params = {**NOT_ASKED, **params}
    library, state = module_arguments.library_and_state(params, writes=WRITES - {"output"} if params["dry_run"] else WRITES)
    limits = module_arguments.limits(params)
    sandbox.require(limits)
    return Settings(
        library=library,
        output=path_rules.output_of(library, params),
        state=state,
        run=run_record.new_run(),
        terms=library_assembly.MatchOptions(params["algorithm"], params["threshold"], params["batch_size"], params["confirm"]),
        parallel=module_arguments.parallel(params),
        temp_dir=params["temp_dir"],
        media_roots=module_arguments.media_roots(params, library),
        limits=limits,
        limit=params["limit"],
        lock_timeout=params["lock_timeout"],
        dry_run=params["dry_run"],
        report=path_rules.report_of(library, params),
        log_dir=params["log_dir"] and os.path.join(os.path.dirname(library), params["log_dir"]),
        origin=params["origin"],
        sample=params["sample"],
        ignore_ctime=params["ignore_ctime"],
        rehash=params["rehash"],
        throttle=host_throttle.settings_of(params),
    )
