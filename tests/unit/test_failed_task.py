# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says of the task that failed on it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.filter.failed_task import failed_task

pytestmark = pytest.mark.matrix

TASK = {"name": "Restart | Restart the container"}


@pytest.mark.parametrize(("result", "text"), [
    ({}, "failed"), ({"msg": " non-zero return code\n"}, "non-zero return code"), ({"msg": 2, "stderr": ""}, "2"), ({"msg": "no", "stderr": None}, "no"),
    ({"msg": "non-zero return code", "stderr": "x" * 600 + "\n"}, f"non-zero return code: {'x' * 500}")])
def test_the_task_and_its_error_are_named(result: dict[str, Any], text: str) -> None:
    assert failed_task(TASK, result) == f"{TASK['name']}: {text}"


def test_a_host_that_has_not_failed_itself_names_no_task() -> None:
    assert failed_task({}, {}) == ""
