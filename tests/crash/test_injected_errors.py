# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import killing
import operate
import pytest
from killing import AtEachPoint


@pytest.mark.parametrize("operation", operate.OPERATIONS)
def test_errors_at_different_system_calls(operation: str, at_each_point: AtEachPoint) -> None:
    outcome = at_each_point(killing.fail_at_different, operation)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.points > 100


@pytest.mark.thorough
@pytest.mark.parametrize("operation", operate.OPERATIONS)
def test_errors_at_every_system_call(operation: str, at_each_point: AtEachPoint) -> None:
    outcome = at_each_point(killing.fail_at_each, operation)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.points > 100
