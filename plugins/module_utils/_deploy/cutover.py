# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put a new library in the live one's place: in one step, bound to what it was made of, and on record.

The phases of a run: prepared -> announced (the service is about to be stopped) -> deploying -> deployed -> verified.
A service that was started again before the exchange takes the run back from announced to prepared.
A restart is owed from *announced* on, until a verification has passed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._errors import DhashError, RefusedError
from .._files import durable
from . import backup_files, pending_marker, run_record, written_files

RUN_AGAIN = "Run it again: what is hashed already is not hashed twice."
WITH_ITS_SERVICE = ("Run the playbook again with dhash_service_manager and the other variables of the service. If that service is gone, give"
                    " dhash_service_manager=command and dhash_start_command=true.")


class ChangedError(DhashError):
    """The live library is no longer the one that the new one was made of; nothing was replaced."""


class Plan(NamedTuple):
    """What has to be done: ``exchange`` the library, ``finish`` an exchange that was cut short, or nothing."""

    record: run_record.Record | None
    exchange: bool
    finish: bool


def incoming(library: str) -> str:
    """Where the new library waits, whole, to change places with the live one; after that the old one is there."""
    folder, name = os.path.split(library)
    return os.path.join(folder, f".{name}.mobius-dhash.incoming")


def rollback_output(library: str) -> str:
    """Where a rollback writes the library that is to come back."""
    return f"{library}.rollback"


def pre_dhash(library: str) -> str:
    """Where the library that a migration replaces is kept until verification has passed."""
    return f"{library}.pre-dhash"


def deploy_files(library: str) -> tuple[str, ...]:
    """The files beside the library that a deploy, or the rescue after it, overwrites."""
    return pre_dhash(library), rollback_output(library)


def require_free_names(library: str, state: str) -> None:
    """Raise ``RefusedError`` where one of :func:`deploy_files` is a file of somebody else's."""
    for path in deploy_files(library):
        written_files.require_ours(state, path)


def plan(library: str, state: str) -> Plan:
    """Look at the record, the live library and the new one. Raises ``DhashError`` where they do not fit."""
    record = run_record.read(state)
    if record is None or run_record.is_in_place(record):
        return Plan(record, False, False)
    live = durable.sha256_of_file(library)
    if live == record.new_sha256:
        return Plan(record, False, True)
    if not durable.exists(record.output):  # whoever removed it has abandoned the operation
        return Plan(record, False, False)
    if durable.sha256_of_file(record.output) != record.new_sha256:
        raise DhashError("this is not the library that the last run wrote", record.output, RUN_AGAIN)
    written_files.require_ours(state, record.kept)
    return Plan(record, True, False)


def is_cut_short(library: str, state: str) -> bool:
    """Whether a deploy was ended between its exchange and its last write."""
    record = run_record.read(state)
    return (record is not None and record.phase == run_record.DEPLOYING and durable.exists(library)
            and durable.sha256_of_file(library) == record.new_sha256)


def is_due(planned: Plan) -> bool:
    """Whether :func:`deploy` has anything to do."""
    return planned.exchange or planned.finish


def announcement_is_due(planned: Plan, dependents: Sequence[str] = ()) -> bool:
    """Whether :func:`announce` has anything to do."""
    record = planned.record
    return record is not None and planned.exchange and not (
        record.restart_owed and record.stopped_at and set(dependents) <= set(record.dependents))


def announce(library: str, state: str, dependents: Sequence[str] = (), service: dict[str, Any] | None = None) -> Plan:
    """Put on record, before its service is stopped, that a restart is owed; what is left to do. Call it with the lock held.

    ``dependents`` are the units that will stop with the service; those of an announcement that was not followed by a
    start stay. ``service`` is the one that will be stopped (:class:`run_record.Record`). Another run may have made the exchange
    since it was planned: then nothing is left to do, and the service need not be stopped.
    """
    planned = plan(library, state)
    record = planned.record
    if record is not None and announcement_is_due(planned, dependents):
        run_record.write(state, record._replace(
            phase=run_record.ANNOUNCED, restart_owed=True, service=run_record.pending_service(record, service),
            stopped_at=record.stopped_at or time.strftime(run_record.TIME, time.gmtime()),
            dependents=sorted({*record.dependents, *dependents})))
    return planned


def deploy(library: str, state: str, service: dict[str, Any] | None = None) -> bool:
    """Exchange the live library for the new one; whether anything had to be done. Call it with the lock held.

    The live library is at every instant the old one whole or the new one whole; what it replaces is kept where the
    record says. ``service`` is the one that has to be restarted for it, if any. Raises ``ChangedError`` or another
    ``DhashError`` with the live library as it was.
    """
    planned = plan(library, state)
    record = planned.record
    if record is None or not is_due(planned):
        return False
    record = record._replace(service=run_record.pending_service(record, service))
    if planned.exchange:
        _keep_replaced(library, state, record)
        try:
            if durable.copy(record.output, incoming(library), like=library) != record.new_sha256:
                durable.remove(incoming(library))
                raise DhashError("it changed while it was read", record.output, RUN_AGAIN)
            run_record.write(state, record._replace(phase=run_record.DEPLOYING, restart_owed=True))
            if not durable.exchange(incoming(library), library):
                _replace_unless_changed(library, record)
        except DhashError:
            _withdraw(library, record)
            raise
    if planned.exchange or record.phase == run_record.DEPLOYING:
        _keep_what_came_out(library, record)
    else:  # put in place by hand: what waits there is of an earlier run
        durable.remove(incoming(library))
    written_files.remove(state, record.output)
    run_record.write(state, record._replace(phase=run_record.DEPLOYED, restart_owed=True))
    return True


def started(library: str, state: str, check: bool) -> bool:
    """Note that the service runs again after it was stopped; whether anything was to be noted. Call it with the lock held.

    Where nothing was replaced, no restart is pending either. With ``check`` nothing is written.
    """
    record = run_record.read(state)
    if record is None:
        return False
    noted = record._replace(stopped_at=None, dependents=[])
    if (record.phase == run_record.ANNOUNCED or _is_abandoned(record)) and not _is_live(library, record.new_sha256):
        noted = noted._replace(phase=run_record.PREPARED, restart_owed=False, service=None)
    if noted != record and not check:
        run_record.write(state, noted)
    return noted != record


def _is_abandoned(record: run_record.Record) -> bool:
    """Whether a deploy that was interrupted has nothing left to deploy."""
    return record.phase == run_record.DEPLOYING and not durable.exists(record.output)


def _is_live(library: str, digest: str) -> bool:
    """Whether the library has that digest, or cannot be read so that it may have it."""
    try:
        return durable.exists(library) and durable.sha256_of_file(library) == digest
    except DhashError:
        return True


def verified(library: str, state: str, check: bool, recipients: Sequence[str] = (), run: str | None = None,
             manages: bool = True) -> bool:
    """Clear what the last run still owes, since a verification has passed; whether anything was owed.

    A deploy that was cut short is none of it: it stays on record, and so does what it replaced. A service that is on record
    as stopped stays so until its start is. What rollbacks have replaced is encrypted to ``recipients``, if any. ``run`` is
    the run that was on record when the library was read, empty for none: a later one was not verified, which raises
    ``ChangedError``. What is owed to a service is not cleared by a run that ``manages`` none, since it has restarted none:
    that raises ``RefusedError``. With ``check`` nothing is written.
    """
    record = run_record.read(state)
    if record and record.restart_owed and record.service and not manages:
        raise RefusedError(
            f"a restart of {run_record.service_name(record.service)} has been pending since {record.service.get('since')}, and"
            " dhash_service_manager is none, so nothing was cleared", library, WITH_ITS_SERVICE)
    if run is not None and run != (record.run if record else ""):
        raise ChangedError(f"run {record.run if record else 'unknown'} came in between, so it was not marked as verified", library,
                           "Run the playbook again when the other run has ended.")
    cleared = None
    if record and not record.stopped_at and (record.phase != run_record.DEPLOYING or (_is_abandoned(record) and not _is_live(library, record.new_sha256))):
        phases = {run_record.ANNOUNCED: run_record.PREPARED, run_record.DEPLOYING: run_record.PREPARED, run_record.DEPLOYED: run_record.VERIFIED}
        cleared = record._replace(phase=phases.get(record.phase, record.phase), restart_owed=False, stopped_at=None,
                                  dependents=[], service=None)
    kept = cleared is not None and written_files.is_left(state, pre_dhash(library))
    marked = not run_record.is_pending(cleared or record) and pending_marker.is_marked(library, state)  # also by a run that was killed
    clear_text = backup_files.safety_copies(library) if recipients and cleared is not None else []
    if not check:
        if cleared != record and cleared is not None:
            run_record.write(state, cleared)
        if marked:
            pending_marker.clear(library, state)
        if cleared is not None:
            written_files.remove(state, pre_dhash(library))
        for path in clear_text:  # last: wrong recipients leave no restart pending
            backup_files.encrypt_in_place(path, recipients)
    return kept or marked or bool(clear_text) or (cleared is not None and cleared != record)


def _keep_replaced(library: str, state: str, record: run_record.Record) -> None:
    # A copy, no hard link: that would change with a writer that writes in place.
    if written_files.copy(state, library, record.kept, like=library) != record.old_sha256:
        written_files.remove(state, record.kept)
        raise ChangedError("it changed while it was copied, so nothing was replaced", library, RUN_AGAIN)


def _withdraw(library: str, record: run_record.Record) -> None:
    """Remove the new library that waits, where possible; never what came out of an exchange."""
    with contextlib.suppress(DhashError):
        if durable.sha256_of_file(incoming(library)) == record.new_sha256:
            durable.remove(incoming(library))


def _replace_unless_changed(library: str, record: run_record.Record) -> None:
    """The best that can be done where two files cannot change places: a moment is left in which a writer loses."""
    if durable.sha256_of_file(library) != record.old_sha256:
        raise ChangedError("it changed while it was deployed, so nothing was replaced", library, RUN_AGAIN)
    durable.move(incoming(library), library)


def _keep_what_came_out(library: str, record: run_record.Record) -> None:
    """Keep the very file that was replaced: what a writer that has it open still writes is not lost with it."""
    if not durable.exists(incoming(library)):
        return
    if durable.sha256_of_file(incoming(library)) != record.old_sha256:
        durable.exchange(incoming(library), library)  # somebody wrote in the last moment: theirs goes back
        durable.remove(incoming(library))
        raise ChangedError("it changed while it was deployed, so it was put back as it was", library, RUN_AGAIN)
    durable.move(incoming(library), record.kept)
