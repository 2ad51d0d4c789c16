# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploy, and where the live library has changed in the meantime bring the new one up to date and try again."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.mobius.dhash.plugins.module_utils import _deploy, _locks, _migration, _review_import, _rollback, _state
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError

ATTEMPTS = 10
BRING_UP_TO_DATE: dict[str, Callable[[_state.Record, dict], None]] = {
    _state.MIGRATION: _migration.bring_up_to_date,
    _state.RESTORE: _rollback.bring_up_to_date,
    _state.REMOVE_DHASH: _rollback.bring_up_to_date,
    _state.REVIEW_IMPORT: _review_import.bring_up_to_date,
    _state.REVIEW_REVERSAL: _review_import.bring_up_to_date,
}


def run(library: str, state: str, lock_timeout: float) -> bool:
    """Deploy what was prepared; whether anything had to be done. Raises ``DhashError``, nothing replaced."""
    with _locks.lock(library, "deploy", _state.new_run(), lock_timeout):
        failed: dict = {}
        for _attempt in range(ATTEMPTS):
            try:
                return _deploy.deploy(library, state)
            except _deploy.ChangedError:
                record = _state.read(state)
                BRING_UP_TO_DATE[record.operation](record, failed)
        raise DhashError(f"the library kept changing during the deploy (gave up after {ATTEMPTS} attempts)", library,
                         "Stop what writes it, or name its service (dhash_service_manager), then run again.")
