# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spare the runs of the tests a fifth of their time, without any change to what they do: a run uses the payloads of modules that earlier
runs in PAYLOADS have built, collects no garbage, and looks every 5 ms instead of every 1 ms whether a task has ended."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase


def share(source: Path, target: Path) -> None:
    """Link each payload in ``source`` into ``target``. A link is whole at once, whatever other runs do."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if not file.name.endswith((".lock", "-part")):
            with contextlib.suppress(OSError):  # it is there, or on another disk, and is built then
                os.link(file, target / file.name)


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible-core has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "quick_runs"

    def __init__(self) -> None:
        super().__init__()
        gc.disable()
        constants.DEFAULT_INTERNAL_POLL_INTERVAL = 0.005
        self._shared = Path(os.environ["PAYLOADS"])
        self._own = Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")
        share(self._shared, self._own)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        share(self._own, self._shared)
