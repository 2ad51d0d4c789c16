# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module that may wait in the background of the host, and show why and how long it waits."""

from __future__ import annotations

from ansible_collections.mobius.dhash.plugins.plugin_utils._background_module import BackgroundModule

MAKE_IT_WAIT = ("max_load", "max_pressure", "throttle_command", "pause_file")


class ActionModule(BackgroundModule):
    """The action plugin of ``image_hash``."""

    MODULE = "mobius.dhash.image_hash"
    WORK = "hashing of images"
    KEPT = "Nothing was changed. Run the playbook again."

    def _is_in_foreground(self) -> bool:
        # As in a verification, which pays for each call of a module.
        return super()._is_in_foreground() or not any(self._task.args.get(option) for option in MAKE_IT_WAIT)
