# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the module in the background of the host, and show its progress while it makes previews."""

from __future__ import annotations

from ansible_collections.mobius.dhash.plugins.plugin_utils._background_module import BackgroundModule


class ActionModule(BackgroundModule):
    """The action plugin of ``review_export``."""

    MODULE = "mobius.dhash.review_export"
    WORK = "export of the review"
    DOES = "making previews"
    KEPT = "The library was not changed, and all previews but the last 200 at most are kept. Run the playbook again."
