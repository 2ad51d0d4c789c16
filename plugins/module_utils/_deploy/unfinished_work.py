# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unfinished operations (prepared and not deployed), and what another operation does about them.

An unfinished operation is finished or refused by name, never discarded. Only a migration may be withdrawn: its hashes are in the
journal, so nothing is lost. If the library is missing or cannot be read, a restore may withdraw any operation that has deployed
nothing, because that operation can no longer be finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import RefusedError, printable
from .._files import durable
from .._library import library_index
from . import run_record

NAMES = {run_record.MIGRATION: "a migration", run_record.RESTORE: "a rollback", run_record.REMOVE_DHASH: "a rollback (remove-dhash)",
         run_record.REVIEW_IMPORT: "an import of review decisions", run_record.REVIEW_REVERSAL: "the reversal of a review import"}
PLAYBOOKS = {run_record.MIGRATION: "migrate", run_record.RESTORE: "rollback", run_record.REMOVE_DHASH: "rollback",
             run_record.REVIEW_IMPORT: "review_import", run_record.REVIEW_REVERSAL: "review_import"}
ROLL_BACK = "ansible-playbook mobius.dhash.rollback"
RESTORE = f"Then restore the library: {ROLL_BACK}, with the same inventory and options."


def waiting(library: str, state: str) -> run_record.Record | None:
    """The record of the operation that waits to be deployed; None if there is none. Raises ``DhashError``.

    An operation does not wait if its library was swapped in already, or if its staged library was removed (it was abandoned).
    """
    record = run_record.read(state)
    if record is None or run_record.is_deployed(record) or not durable.exists(record.output):
        return None
    if durable.exists(library) and durable.sha256_of_file(library) == record.new_sha256:
        return None
    return record


def require_finished(library: str, state: str, own: Sequence[str], restores: bool = False) -> run_record.Record | None:
    """The unfinished operation that another operation may continue or withdraw: a migration, or one of the kinds ``own``.

    ``restores``: the other operation restores the library, so it needs no live library. Raises ``RefusedError`` for any other
    unfinished operation.
    """
    record = waiting(library, state)
    if record is None or record.operation == run_record.MIGRATION or record.operation in own:
        return record
    if restores and gives_way_to_restore(record) and not library_index.is_readable(library):
        return record
    raise refusal(record)


def gives_way_to_restore(record: run_record.Record) -> bool:
    """Whether ``record`` has deployed nothing, so a restore of a lost library may withdraw it."""
    return record.phase in (run_record.PREPARED, run_record.ANNOUNCED)


def withdrawn(record: run_record.Record | None, operation: str, new_sha256: str | None) -> dict[str, str] | None:
    """The unfinished operation that the given one replaces, for a module's result; None if it replaces none."""
    if record is None or (record.operation, record.new_sha256) == (operation, new_sha256):
        return None
    return {"operation": record.operation, "run": record.run}


def withdraw(record: run_record.Record | None, successor: run_record.Record) -> None:
    """Remove the staged library of ``record`` after ``successor`` was recorded. Raises ``DhashError``."""
    if record is None or run_record.is_deployed(record) or (record.output == successor.output and not run_record.is_deployed(successor)):
        return
    if durable.exists(record.output) and durable.sha256_of_file(record.output) == record.new_sha256:
        durable.remove(record.output)


def refusal(record: run_record.Record) -> RefusedError:
    """The error of an operation that is refused because the operation of ``record`` is unfinished."""
    stopped = f", the service stopped since {record.stopped_at}" if record.stopped_at else ""
    undoes = f" This operation rolls back run {record.undoes}, which failed." if record.undoes else ""
    playbook = "migrate" if record.undoes else PLAYBOOKS[record.operation]
    rest = "; then only the restart of the service is pending" if record.restart_owed else ""
    options = f", with the same inventory{'' if record.undoes else ' and options'} as before"
    if record.output == run_record.former_staged_review(record.library):
        options += f", and with -e dhash_review_dir={printable(record.output)}.d"
    abandon = f"remove {printable(record.output)}{rest}"
    if record.undoes or record.operation in run_record.BACKWARD_OPERATIONS or library_index.is_readable(record.library):
        next_step = f"To finish this operation, run: ansible-playbook mobius.dhash.{playbook}{options}. To abandon this operation, {abandon}."
    elif gives_way_to_restore(record):
        next_step = f"The library is missing or cannot be read. To restore the library instead, run: {ROLL_BACK}. To abandon this operation, {abandon}."
    else:
        next_step = f"The library is missing or cannot be read. To abandon this operation, {abandon}. Then restore the library: {ROLL_BACK}."
    return RefusedError(
        f"{NAMES[record.operation]} is unfinished: run {record.run}{_begun(record)}, {record.phase}{stopped}.{undoes} Nothing was"
        " changed", record.library, next_step)


def _begun(record: run_record.Record) -> str:
    """Who began the run and when, as far as it is known."""
    origin = record.origin or {}
    who = "@".join(str(origin[key]) for key in ("user", "host") if origin.get(key))
    by = f" by {printable(who)}" if who else ""
    of = f" (playbook {printable(str(origin['playbook']))})" if origin.get("playbook") else ""
    began = run_record.began(record)
    when = f" at {began.strftime(run_record.TIME)}" if began else ""
    return f", begun{by}{of}{when}" if by or of or when else ""
