# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.action import image_hash, library_monitor, library_rehearse
from ansible_collections.mobius.dhash.plugins.plugin_utils import _background_module
from ansible_collections.mobius.dhash.plugins.plugin_utils._background_module import BackgroundModule, ProgressLine

STATE = {"done": 40, "total": 100, "errors": 0, "images_per_second": 2.0, "seconds_left": 30}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, dict[str, Any] | None], list[str]]:
    """Shows a progress at a time, in seconds; returns the new lines."""
    line = ProgressLine("web-01", "making previews")
    now = [0.0]
    lines: list[str] = []
    monkeypatch.setattr(_background_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(_background_module, "show_line", lines.append)

    def show(at: float, progress: dict[str, Any] | None) -> list[str]:
        now[0] = at
        line.show(progress)
        new = lines.copy()
        lines.clear()
        return new

    return show


def waiting(text: str, waited: int) -> dict[str, Any]:
    return {**STATE, "waiting": text, "waited": waited}


def test_a_wait_is_shown_at_its_beginning_and_every_minute(shown: Callable[[float, dict[str, Any] | None], list[str]]) -> None:
    assert shown(0, STATE) == ["[web-01] making previews: 40 of 100 images, 2 per second, 0 failed, 0:30 left"]
    assert shown(2, waiting("throttled (load 9.1)", 0)) == ["[web-01] making previews: 40 of 100 images, throttled (load 9.1)"]
    assert shown(32, waiting("throttled (load 8.7)", 30)) == [] == shown(61, waiting("throttled (load 8.8)", 59))
    assert shown(62, waiting("throttled (load 8.8)", 60)) == ["[web-01] making previews: 40 of 100 images, throttled (load 8.8) for 1:00"]
    assert shown(70, waiting("paused (/x exists)", 68)) == ["[web-01] making previews: 40 of 100 images, paused (/x exists) for 1:08"]
    assert shown(129, waiting("paused (/x exists)", 127)) == []
    assert shown(130, waiting("paused (/x exists)", 128)) == ["[web-01] making previews: 40 of 100 images, paused (/x exists) for 2:08"]
    assert shown(132, {**STATE, "done": 41}) == ["[web-01] making previews: 41 of 100 images, 2 per second, 0 failed, 0:30 left"]


def test_a_wait_before_anything_is_counted_names_no_count(shown: Callable[[float, dict[str, Any] | None], list[str]]) -> None:
    assert shown(0, None) == [] == shown(0, {"process": 7})
    assert shown(0, {**waiting("paused (/x exists)", 0), "done": 0, "total": 0}) == ["[web-01] making previews: paused (/x exists)"]


@pytest.mark.parametrize(("plugin", "arguments", "task", "expected"), [
    (library_rehearse, {}, {}, False),
    (library_rehearse, {}, {"check_mode": True}, True),
    (library_rehearse, {}, {"async_val": 60}, True),
    (library_monitor, {}, {}, False),
    (library_monitor, {"state": "acknowledged"}, {}, True),
    (image_hash, {"sample": 20}, {}, True),
    (image_hash, {"pause_file": ""}, {}, True),
    (image_hash, {"pause_file": "/x"}, {}, False),
    (image_hash, {"max_load": 4}, {"check_mode": True}, True),
])
def test_what_may_wait_runs_in_the_background(plugin: Any, arguments: dict[str, Any], task: dict[str, Any], expected: bool) -> None:
    action: BackgroundModule = object.__new__(plugin.ActionModule)
    action._task = SimpleNamespace(**{"check_mode": False, "async_val": 0, "args": arguments, **task})
    assert action._is_in_foreground() == expected
