# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the module in the background of the host, and show its progress while it edits pictures."""

from __future__ import annotations

from ansible_collections.mobius.dhash.plugins.plugin_utils._background_module import BackgroundModule


class ActionModule(BackgroundModule):
    """The action plugin of ``library_calibrate``."""

    MODULE = "mobius.dhash.library_calibrate"
    WORK = "calibration"
    DOES = "editing pictures"
    KEPT = "The library was not changed. Run the playbook again."
