# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import killing
import operate
import pytest
import tracing
from killing import AtEachPoint


def test_a_process_is_killed_before_it_makes_the_call(strace: None, tmp_path: Path) -> None:
    def make_two_folders() -> str:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        return "not killed"

    ended = tracing.run(make_two_folders, tmp_path / "log", "mkdir,mkdirat:signal=SIGKILL:when=2")
    assert ended.killed
    assert ended.told == ""
    assert ended.calls[-1].path == str(tmp_path / "two")
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("operation", operate.OPERATIONS)
def test_killed_before_every_change(operation: str, at_each_point: AtEachPoint) -> None:
    outcome = at_each_point(killing.kill_at_each, operation)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.reads > outcome.points > 20


@pytest.mark.parametrize("operations", operate.OTHERS)
def test_another_playbook_after_a_kill_discards_nothing(operations: str, at_each_point: AtEachPoint) -> None:
    outcome = at_each_point(killing.another_after_each, operations)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.points > 10
