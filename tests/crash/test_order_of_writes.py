# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import operate
import ordering
import pytest
from tracing import Call

Traced = tuple[str, dict[str, list[Call]]]

GO_LIVE = ["deploy", "rollback", "remove-dhash", "review-import", "review-reversal", "undo"]


@pytest.fixture(scope="module", params=operate.OPERATIONS)
def traced(request: pytest.FixtureRequest, strace: None, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """An operation and the calls that it makes, as it is and with something left out."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return request.param, pool.submit(ordering.trace_variations, tmp_path_factory.mktemp(request.param), request.param).result()


def test_power_loss_keeps_what_was_acknowledged_and_the_library(traced: Traced) -> None:
    _operation, variations = traced
    ordering.check(variations["as it is"])


def test_a_step_that_is_left_out_is_noticed(traced: Traced) -> None:
    operation, variations = traced
    assert ("without the copy of what is replaced" in variations) is (operation in GO_LIVE)
    assert len(variations) > 3
    for name, calls in variations.items():
        if name != "as it is":
            with pytest.raises(AssertionError):
                ordering.check(calls)
                pytest.fail(f"nobody notices a run {name}", pytrace=False)
