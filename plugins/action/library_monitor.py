# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the module in the background of the host, and show a line for each of its polls.

A task with ``async`` and ``poll: 0`` only starts the module, so that many hosts are monitored at the same time, whatever the number
of forks.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.mobius.dhash.plugins.plugin_utils._background_module import BackgroundModule, show_line


class ActionModule(BackgroundModule):
    """The action plugin of ``library_monitor``."""

    MODULE = "mobius.dhash.library_monitor"
    WORK = "monitoring"
    KEPT = "The findings are kept, and the next run continues the monitoring."

    def _is_in_foreground(self) -> bool:
        return super()._is_in_foreground() or self._task.args.get("state") == "acknowledged"

    def _line(self) -> PollLines:
        return PollLines(self._task_vars["inventory_hostname"])


class PollLines:
    """Shows the line of each poll once."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._shown = 0

    def show(self, progress: dict[str, Any] | None) -> bool:
        """Show the new polls in ``progress``; returns whether the monitoring continues."""
        if progress is None or "lines" not in progress:
            return False
        for number, line in progress["lines"]:
            if number > self._shown:
                self._shown = number
                show_line(f"[{self._host}] {line}")
        return True

    def end(self, result: dict[str, Any]) -> None:
        """Show the remaining polls. The role shows the summary."""
        self.show(result)
