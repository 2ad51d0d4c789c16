# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploy. If the live library has changed in the meantime, repeat the operation and try again."""

from __future__ import annotations

from typing import Any

from ._deploy import cutover, run_record
from ._errors import DhashError
from ._files import locking

ATTEMPTS = 10


def run(library: str, state: str, lock_timeout: float, service: dict[str, Any] | None = None) -> bool:
    """Deploy the staged library; returns whether anything had to be done. ``service`` as in :func:`cutover.deploy`.

    Raises ``DhashError`` with the live library unchanged.
    """
    with locking.lock(library, "deploy", run_record.new_run(), lock_timeout):
        failed: dict[str, Any] = {}
        for _attempt in range(ATTEMPTS):
            try:
                return cutover.deploy(library, state, service)
            except cutover.ChangedError:
                record = run_record.read(state)
                if record is None:
                    raise
                _prepare_again(record, failed)
        raise DhashError(f"the library kept changing during the deploy (gave up after {ATTEMPTS} attempts)", library,
                         "Stop the program that writes to the library, or set dhash_service_manager for its service, then run again.")


def _prepare_again(record: run_record.Record, failed: dict[str, Any]) -> None:
    # Imported here, because few runs need it and every step of a deploy would compile it.
    if record.operation == run_record.MIGRATION:
        from ._migrate import migration_run

        migration_run.prepare_again(record, failed)
    elif record.operation in run_record.BACKWARD_OPERATIONS:
        from ._deploy import rollback_plan

        rollback_plan.prepare_again(record, failed)
    else:
        from ._review import review_import

        review_import.prepare_again(record, failed)
