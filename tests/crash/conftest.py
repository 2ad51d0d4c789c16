# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the points of an operation on all cores, and tells how many there were: at the end, and in test-results/crash-*.json."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tracing
from killing import AtEachPoint, Outcome

RESULTS = Path(__file__).parents[2] / "test-results" / "crash.json"
PROPERTY = "crash points"


@pytest.fixture(scope="session")
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where nothing can be traced."""
    if shutil.which(tracing.STRACE) is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    try:
        ended = tracing.run(lambda: "traced", tmp_path_factory.mktemp("strace") / "log")
    except RuntimeError as error:
        pytest.skip(f"this user may not trace processes here: {error}")
    assert ended.told == "traced"


@pytest.fixture
def at_each_point(strace: None, tmp_path: Path, record_property: Callable[[str, object], None]) -> AtEachPoint:
    """Share the points of an operation among processes; each is given ``(folder, operation, share, shares)``."""
    def run(function: Callable[[Path, str, int, int], Outcome], operation: str) -> Outcome:
        shares = max(2, 2 * (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
        with ProcessPoolExecutor(shares, multiprocessing.get_context("spawn")) as pool:
            folders = [tmp_path / str(share) for share in range(shares)]
            for folder in folders:
                folder.mkdir()
            outcomes = list(pool.map(function, folders, [operation] * shares, range(shares), [shares] * shares))
        assert len({outcome.points for outcome in outcomes}) == 1, "it makes now more and now fewer calls"
        outcome = Outcome(outcomes[0].points, sum(outcome.reads for outcome in outcomes),
                          [problem for outcome in outcomes for problem in outcome.problems])
        record_property(PROPERTY, [function.__name__, operation, *outcome[:2], len(outcome.problems)])
        return outcome

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures, here and in a file."""
    figures: dict[str, dict[str, Any]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for _name, value in (found for found in report.user_properties if found[0] == PROPERTY):
                function, operation, points, reads, failures = value
                kind = figures.setdefault(function, {"points": 0, "reads": 0, "failures": 0, "operations": {}})
                kind["points"] += points
                kind["reads"] += reads
                kind["failures"] += failures
                kind["operations"][operation] = points
    if figures:
        for function, kind in sorted(figures.items()):
            terminalreporter.write_line("{}: {points} points, {failures} failures, {reads} reads of the library beside it {operations}".format(
                function, **kind))
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
