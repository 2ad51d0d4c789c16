# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill the whole process group of ansible-playbook as a task begins: the first named ``KILL_AT`` after the first named ``KILL_AFTER``."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible-core has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "killed_run"

    def __init__(self) -> None:
        super().__init__()
        self._awaited = [os.environ[name] for name in ("KILL_AFTER", "KILL_AT") if name in os.environ]

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._awaited and task.get_name().endswith(self._awaited[0]):
            del self._awaited[0]
            if not self._awaited:
                os.killpg(0, signal.SIGKILL)
