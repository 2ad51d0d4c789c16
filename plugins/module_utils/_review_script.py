# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review page's script: plain JavaScript in one scope, its parts in the order in which they build on each other.

Raw strings in Python files, because a module's program ships no others. Text of the queue becomes text nodes, never
markup: the page's policy forbids it to the script itself.
"""

from __future__ import annotations

from ansible_collections.mobius.dhash.plugins.module_utils._review_script_app import APP
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_cluster import CLUSTER
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_dialogs import DIALOGS
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_keys import KEYS
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_list import LIST
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_pair import PAIR
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_queue import QUEUE
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_results import RESULTS
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_start import START
from ansible_collections.mobius.dhash.plugins.module_utils._review_script_work import WORK

PARTS = (QUEUE, RESULTS, WORK, LIST, PAIR, CLUSTER, DIALOGS, APP, KEYS, START)
SCRIPT = '"use strict";\n(() => {' + "".join(PARTS) + "})();\n"
