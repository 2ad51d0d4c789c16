# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import killing
import operate
import pytest
from killing import AtEachPoint, Outcome


@pytest.mark.parametrize("operation", operate.OPERATIONS)
@pytest.mark.parametrize("fail", [killing.fail_at_different, pytest.param(killing.fail_at_each, marks=pytest.mark.thorough)])
def test_errors_at_system_calls(fail: Callable[[Path, str, int, int], Outcome], operation: str, at_each_point: AtEachPoint) -> None:
    outcome = at_each_point(fail, operation)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.points > 100
