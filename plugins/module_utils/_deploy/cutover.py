# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploy: swap the staged library with the live one, if the live library is the one that was migrated, and keep a record of it.

The phases of a run: prepared -> announced (the service is about to be stopped) -> deploying -> deployed -> verified.
If the service is started again before the swap, the phase returns from announced to prepared.
A restart is pending from *announced* on, until a verification has passed.
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

RUN_AGAIN = "Run the playbook again. Images that are hashed already are not hashed again."
WITH_ITS_SERVICE = ("Run the playbook again with dhash_service_manager and the other variables of the service. If that service no longer exists,"
                    " set dhash_service_manager=command and dhash_start_command=true.")


class ChangedError(DhashError):
    """The live library is no longer the one that the staged library was made from. Nothing was replaced."""


class Plan(NamedTuple):
    """What a deploy has to do: ``exchange`` the libraries, ``finish`` an interrupted exchange, or nothing."""

    record: run_record.Record | None
    exchange: bool
    finish: bool


def incoming(library: str) -> str:
    """The hidden path beside the library from which the staged library is swapped in. After the swap the old library is there."""
    folder, name = os.path.split(library)
    return os.path.join(folder, f".{name}.mobius-dhash.incoming")


def rollback_output(library: str) -> str:
    """The staged library of a rollback."""
    return f"{library}.rollback"


def pre_dhash(library: str) -> str:
    """Where the library that a migration replaces is kept until a verification has passed."""
    return f"{library}.pre-dhash"


def deploy_files(library: str) -> tuple[str, ...]:
    """The files beside the library that a deploy, or the rescue after it, overwrites."""
    return pre_dhash(library), rollback_output(library)


def require_free_names(library: str, state: str) -> None:
    """Raise ``RefusedError`` if the collection did not write a file that exists at one of :func:`deploy_files`."""
    for path in deploy_files(library):
        written_files.require_ours(state, path)


def plan(library: str, state: str) -> Plan:
    """What has to be done, by the record, the live library and the staged one. Raises ``DhashError`` if they do not match."""
    record = run_record.read(state)
    if record is None or run_record.is_deployed(record):
        return Plan(record, False, False)
    live = durable.sha256_of_file(library)
    if live == record.new_sha256:
        return Plan(record, False, True)
    if not durable.exists(record.output):  # somebody removed the staged library to abandon the operation
        return Plan(record, False, False)
    if durable.sha256_of_file(record.output) != record.new_sha256:
        raise DhashError("the staged library is not the one that the last run wrote", record.output,
                         f"If the file is not needed here, move it away ({written_files.move_command(record.output)}). {RUN_AGAIN}")
    written_files.require_ours(state, record.kept)
    return Plan(record, True, False)


def is_interrupted(library: str, state: str) -> bool:
    """Whether a deploy was interrupted between its swap and its last write."""
    record = run_record.read(state)
    return (record is not None and record.phase == run_record.DEPLOYING and durable.exists(library)
            and durable.sha256_of_file(library) == record.new_sha256)


def finish(library: str, state: str, check: bool) -> bool:
    """Finish a deploy that was interrupted after its swap; returns whether there was one. Call it with the lock held.

    With ``check`` nothing is written. Raises ``ChangedError`` if somebody wrote to the library at the last moment: then the written
    library is live again. Raises other ``DhashError``.
    """
    interrupted = is_interrupted(library, state)
    if interrupted and not check:
        deploy(library, state)
    return interrupted


def is_due(planned: Plan) -> bool:
    """Whether :func:`deploy` has anything to do."""
    return planned.exchange or planned.finish


def shown(library: str, record: run_record.Record | None, due: bool) -> dict[str, Any]:
    """The record as a deploy returns it, and whether the swap is ``due``."""
    return {"library": library, "phase": None, "restart_owed": False, "due": due, **(run_record.shown(record) or {})}


def foresee(library: str, state: str) -> dict[str, Any] | None:
    """What a deploy, and then a verification, would find: :func:`shown`, and whether anything ``is_pending``. None if a deploy would fail."""
    with contextlib.suppress(DhashError):
        planned = plan(library, state)
        return {**shown(library, planned.record, is_due(planned)), "is_pending": verified(library, state, check=True)}
    return None


def announcement_is_due(planned: Plan, dependents: Sequence[str] = ()) -> bool:
    """Whether :func:`announce` has anything to do."""
    record = planned.record
    return record is not None and planned.exchange and not (
        record.restart_owed and record.stopped_at and set(dependents) <= set(record.dependents))


def announce(library: str, state: str, dependents: Sequence[str] = (), service: dict[str, Any] | None = None) -> Plan:
    """Record the pending restart before the service is stopped; returns what is left to do. Call it with the lock held.

    ``dependents`` are the units that will stop with the service. They are added to those of an earlier announcement if the service
    was not started since. ``service`` will be stopped (:class:`run_record.Record`). If another run has made the swap since the
    plan, nothing is left to do, and the service need not be stopped.
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
    """Swap the live library with the staged one; returns whether anything had to be done. Call it with the lock held.

    At every moment the live library is the complete old one or the complete new one. The replaced library is kept at ``kept`` of the
    record. ``service`` has to be restarted after that, if it is given. Raises ``ChangedError`` or another ``DhashError``, with the
    live library unchanged.
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
                raise DhashError("the staged library changed while it was read", record.output, RUN_AGAIN)
            run_record.write(state, record._replace(phase=run_record.DEPLOYING, restart_owed=True))
            if not durable.exchange(incoming(library), library):
                _replace_unless_changed(library, record)
        except DhashError:
            _retract_plan(library, record)
            raise
    if planned.exchange or record.phase == run_record.DEPLOYING:
        _keep_what_came_out(library, record)
    else:  # somebody replaced the library manually: a file there is of an earlier run
        durable.remove(incoming(library))
    written_files.remove(state, record.output)
    run_record.write(state, record._replace(phase=run_record.DEPLOYED, restart_owed=True))
    return True


def started(library: str, state: str, check: bool) -> bool:
    """Record that the service runs again; returns whether the record changes. Call it with the lock held.

    If nothing was replaced, no restart is pending either. With ``check`` nothing is written.
    """
    record = run_record.read(state)
    if record is None:
        return False
    noted = record._replace(stopped_at=None, dependents=[])
    if (record.phase == run_record.ANNOUNCED or _is_abandoned(record) or _is_not_swapped(library, record)) and not _is_live(library, record.new_sha256):
        noted = noted._replace(phase=run_record.PREPARED, restart_owed=False, service=None)
    if noted != record and not check:
        run_record.write(state, noted)
    return noted != record


def drained(state: str, is_drained: bool, check: bool) -> bool:
    """Record whether hooks have drained the host; returns whether the record changes. Call it with the lock held.

    With ``check`` nothing is written.
    """
    record = run_record.read(state)
    if record is None or record.drained == is_drained:
        return False
    if not check:
        run_record.write(state, record._replace(drained=is_drained))
    return True


def _is_abandoned(record: run_record.Record) -> bool:
    """Whether a deploy that was interrupted has nothing left to deploy."""
    return record.phase == run_record.DEPLOYING and not durable.exists(record.output)


def _is_not_swapped(library: str, record: run_record.Record) -> bool:
    """Whether a deploy was interrupted before its swap."""
    return record.phase == run_record.DEPLOYING and durable.exists(library) and _is_live(library, record.old_sha256)


def _is_live(library: str, digest: str) -> bool:
    """Whether the library has this SHA-256, or may have it because it cannot be read."""
    try:
        return durable.exists(library) and durable.sha256_of_file(library) == digest
    except DhashError:
        return True


def verified(library: str, state: str, check: bool, recipients: Sequence[str] = (), run: str | None = None,
             manages: bool = True) -> bool:
    """Mark the last run as verified; returns whether anything was pending. Call it with the lock held.

    An interrupted deploy is not marked: the record and the replaced library stay. A service that is on record as stopped stays so until
    its start is recorded. Safety copies of rollbacks are encrypted to ``recipients``, if any. ``run`` is the run that was on record
    when the library was read, empty for none; raises ``ChangedError`` if another run is on record now. A run that ``manages`` no
    service has not restarted one; raises ``RefusedError`` if the restart of a service is pending. With ``check`` nothing is written.
    """
    record = run_record.read(state)
    if record and record.restart_owed and record.service and not manages:
        raise RefusedError(
            f"a restart of {run_record.service_name(record.service)} has been pending since {record.service.get('since')}, and"
            " dhash_service_manager is none, so the restart stays pending", library, WITH_ITS_SERVICE)
    if run is not None and run != (record.run if record else ""):
        raise ChangedError(f"run {record.run if record else 'unknown'} began in the meantime, so the library was not marked as verified", library,
                           "Run the playbook again when the other run has ended.")
    cleared = None
    if record and not record.stopped_at and (record.phase != run_record.DEPLOYING or (_is_abandoned(record) and not _is_live(library, record.new_sha256))):
        phases = {run_record.ANNOUNCED: run_record.PREPARED, run_record.DEPLOYING: run_record.PREPARED, run_record.DEPLOYED: run_record.VERIFIED}
        cleared = record._replace(phase=phases.get(record.phase, record.phase), restart_owed=False, stopped_at=None,
                                  dependents=[], service=None)
    kept = cleared is not None and written_files.is_left(state, pre_dhash(library))
    marked = not run_record.is_pending(cleared or record) and pending_marker.is_marked(library, state)  # a killed run leaves a marker as well
    clear_text = backup_files.safety_copies(library) if recipients and cleared is not None else []
    if not check:
        if cleared != record and cleared is not None:
            run_record.write(state, cleared)
        if marked:
            pending_marker.clear(library, state)
        if cleared is not None:
            written_files.remove(state, pre_dhash(library))
        for path in clear_text:  # last, so that wrong recipients do not leave a restart pending
            backup_files.encrypt_in_place(path, recipients)
    return kept or marked or bool(clear_text) or (cleared is not None and cleared != record)


def _keep_replaced(library: str, state: str, record: run_record.Record) -> None:
    # A copy instead of a hard link, which a writer that writes in place would change.
    if written_files.copy(state, library, record.kept, like=library) != record.old_sha256:
        written_files.remove(state, record.kept)
        raise ChangedError("the library changed while it was copied, so nothing was replaced", library, RUN_AGAIN)


def _retract_plan(library: str, record: run_record.Record) -> None:
    """Remove the staged library at its hidden path, if possible. A replaced library there is never removed."""
    with contextlib.suppress(DhashError):
        if durable.sha256_of_file(incoming(library)) == record.new_sha256:
            durable.remove(incoming(library))


def _replace_unless_changed(library: str, record: run_record.Record) -> None:
    """The fallback if the names of two files cannot be swapped. What a writer writes between the check and the rename is lost."""
    if durable.sha256_of_file(library) != record.old_sha256:
        raise ChangedError("the library changed during the deploy, so nothing was replaced", library, RUN_AGAIN)
    durable.move(incoming(library), library)


def _keep_what_came_out(library: str, record: run_record.Record) -> None:
    """Keep the replaced file itself, so that nothing is lost if a writer has it open and still writes to it."""
    if not durable.exists(incoming(library)):
        return
    if durable.sha256_of_file(incoming(library)) != record.old_sha256:
        durable.exchange(incoming(library), library)  # somebody wrote to the library at the last moment: swap their version back
        durable.remove(incoming(library))
        raise ChangedError("the library changed during the deploy, so the changed library was put back", library, RUN_AGAIN)
    durable.move(incoming(library), record.kept)
