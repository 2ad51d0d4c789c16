# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state folder of a library and the record of its last run.

The record tells what is still pending (a restart, a verification), even after a run was killed. The state folder also has a note
of the last rehearsal.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from .._errors import DhashError, RefusedError, printable
from .._files import durable, json_records
from . import pending_marker

VERSION = "1.0.0"  # the collection's: galaxy.yml holds the same
PREPARED, ANNOUNCED, DEPLOYING, DEPLOYED, VERIFIED = "prepared", "announced", "deploying", "deployed", "verified"
MIGRATION, RESTORE, REMOVE_DHASH = "migration", "restore", "remove_dhash"
REVIEW_IMPORT, REVIEW_REVERSAL = "review_import", "review_reversal"
PHASES = (PREPARED, ANNOUNCED, DEPLOYING, DEPLOYED, VERIFIED)
OPERATIONS = (MIGRATION, RESTORE, REMOVE_DHASH, REVIEW_IMPORT, REVIEW_REVERSAL)
BACKWARD_OPERATIONS = (RESTORE, REMOVE_DHASH)
FORWARD_OPERATIONS = (MIGRATION, REVIEW_IMPORT, REVIEW_REVERSAL)  # the operations that BACKWARD_OPERATIONS roll back
FILE = "run.json"
RECORD = "the record of the last run"
REHEARSAL = "rehearsal.json"
BY_HAND = ("Restart the service yourself first. Then rename this file, remove the marker beside the library"
           f" ({pending_marker.path('NAME')}), and run again.")
TIME = pending_marker.TIME
SHOWN = ("run", "operation", "phase", "restart_owed", "old_sha256", "new_sha256", "kept", "stopped_at", "dependents",
         "service", "drained", "undoes", "metadata", "origin")  # in a module's result


class Record(NamedTuple):
    """One run that replaces, or has replaced, the library.

    ``old_sha256`` is the live library that was read, ``new_sha256`` the library made from it at ``output``, and ``kept`` the path
    where the replaced library is kept. ``settings`` is what is needed to repeat the operation for a changed library.
    ``restart_owed``: a restart is pending. ``stopped_at`` is the time at which the service was about to be stopped (UTC); None after
    it was started again. ``dependents`` are the systemd units that stop with the service. ``undoes`` is the run that a rescue rolls
    back. ``metadata`` is that of the live library (:func:`file_metadata.read`), for a restore after it was deleted. ``origin`` tells
    who began the run. ``rollback_target`` is the :func:`rollback_target` of the previous record, which counts until this run has
    deployed something; ``withdrawn``: it never will. ``service`` is the service whose restart is pending: its ``manager``, its
    ``name`` if it has one, ``since`` (UTC), and the path of its ``library`` as the run was given it; None if no run managed a service, or
    if that is unknown. ``drained``: a hook of the operator has begun to drain the host, and none has put it back since.
    """

    run: str
    operation: str
    phase: str
    library: str
    output: str
    kept: str
    old_sha256: str
    new_sha256: str
    restart_owed: bool
    settings: dict[str, Any]
    stopped_at: str | None = None
    dependents: list[str] = []
    undoes: str | None = None
    metadata: dict[str, Any] | None = None
    origin: dict[str, Any] | None = None
    rollback_target: str | None = None
    withdrawn: bool = False
    service: dict[str, Any] | None = None
    drained: bool = False


def rollback_target(record: Record | None) -> str | None:
    """The SHA-256 of the library that a rollback restores: the one that the last deploy replaced, or that the last rollback
    has restored. None if it is unknown."""
    if record is None:
        return None
    if not record.withdrawn:
        if record.operation == RESTORE:
            return record.new_sha256
        if record.operation == REMOVE_DHASH and is_deployed(record):
            return None
        if record.operation in FORWARD_OPERATIONS and record.phase in (DEPLOYING, DEPLOYED, VERIFIED):
            return record.old_sha256
    return record.rollback_target


def withdraw(state: str, record: Record) -> None:
    """Record that the staged library of ``record`` will not be deployed. Raises ``DhashError``."""
    write(state, record._replace(phase=VERIFIED, withdrawn=True))


def carried_over(last: Record | None) -> dict[str, Any]:
    """The fields that the next record takes over from the record ``last``: the pending restart, the stopped service, the drained host,
    and the target of a rollback."""
    return {"rollback_target": rollback_target(last), "restart_owed": bool(last and last.restart_owed),
            "stopped_at": last and last.stopped_at, "dependents": last.dependents if last else [],
            "service": last.service if last and last.restart_owed else None, "drained": bool(last and last.drained)}


def pending_service(record: Record, service: dict[str, Any] | None) -> dict[str, Any] | None:
    """The service whose restart is pending after a run that manages ``service`` (None: none) replaces the library.

    A run without a service does not clear the pending restart of an earlier run.
    """
    known = record.service if record.restart_owed else None
    if service is None:
        return known
    since = (known or {}).get("since") or record.stopped_at or time.strftime(TIME, time.gmtime())
    return {**service, "since": since}


def service_name(service: dict[str, Any]) -> str:
    """The name and the manager of a service, for messages."""
    return f"{printable(str(service.get('name') or 'the service'))} ({printable(str(service.get('manager') or 'unknown'))})"


def is_deployed(record: Record | None) -> bool:
    """Whether the library that the run made is the live one, as far as the record knows."""
    return record is not None and record.phase in (DEPLOYED, VERIFIED)


def is_swapped(record: Record | None) -> bool:
    """Whether the run has swapped its library in, or has begun to, and is not verified."""
    return record is not None and record.phase in (DEPLOYING, DEPLOYED)


def is_same_job(one: Record, other: Record) -> bool:
    """Whether both records are of the same new library, made from the same live one."""
    names = ("operation", "library", "output", "kept", "old_sha256", "new_sha256")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def is_unfinished(record: Record | None) -> bool:
    """Whether the run has staged a library that was not deployed, or has not finished its deploy."""
    return record is not None and not is_deployed(record) and (
        record.phase == DEPLOYING or durable.exists(record.output))


def shown(record: Record | None) -> dict[str, Any] | None:
    """The record as a module returns it; None if there is none."""
    return record and {**{name: getattr(record, name) for name in SHOWN}, "unfinished": is_unfinished(record)}


def new_run() -> str:
    """The identifier of a run: UTC time to the second, as in a backup's name, and the process."""
    return f"{time.strftime(durable.STAMP, time.gmtime())}-{os.getpid()}"


def began(record: Record) -> datetime | None:
    """The time at which the run began; None if its identifier does not contain it."""
    try:
        return datetime.strptime(record.run.split("-")[0], durable.STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def former_staged_review(library: str) -> str:
    """Where earlier versions staged the library of a review import. The folder of the review has this name today."""
    return f"{library}.review"


def resolve(library: str) -> str:
    """The absolute path of the real file behind ``library``."""
    return os.path.realpath(os.path.expanduser(library))


def named(library: str) -> str:
    """The absolute path ``library`` itself, whatever it leads to."""
    return os.path.abspath(os.path.expanduser(library))


def folder(state_dir: str | None, library: str) -> str:
    """The state folder of the library at the real path ``library``: its own folder in ``state_dir``.

    ``state_dir`` None: ``/var/lib/mobius-dhash`` for root, ``~/.local/state/mobius-dhash`` for others.
    """
    if state_dir is None:
        home = "/var/lib" if os.geteuid() == 0 else os.path.expanduser("~/.local/state")
        state_dir = os.path.join(home, "mobius-dhash")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", os.path.basename(os.path.dirname(library))).strip("-")
    key = hashlib.sha256(os.fsencode(library)).hexdigest()[:12]
    return os.path.join(os.path.abspath(os.path.expanduser(state_dir)), f"{readable or 'library'}-{key}")


def read(state: str) -> Record | None:
    """The record in the state folder ``state``, None if there is none. Raises ``DhashError`` if it is damaged."""
    return json_records.read(os.path.join(state, FILE), RECORD, _parse, _what_is_pending)


def _parse(value: dict[str, Any]) -> Record:
    phase = value.get("phase")
    if phase not in PHASES or value.get("operation") not in OPERATIONS:
        raise ValueError("the phase or the operation is unknown")
    # A restart that may be pending is pending.
    missing = {"run": "unknown", "settings": {}, "restart_owed": phase not in (PREPARED, VERIFIED)}
    record = json_records.build(Record, {**missing, **value})
    json_records.require_paths(record.library, record.output, record.kept)
    return record


def _what_is_pending(content: bytes) -> str:
    """The next step for a damaged record, with the fields of the service and of the operation that are still readable."""
    operation, phase, owed, stopped_at = (
        json_records.salvage(content, name) for name in ("operation", "phase", "restart_owed", "stopped_at"))
    readable = f"Readable in the file: operation {operation or 'unknown'}, phase {phase or 'unknown'}"
    if stopped_at:
        readable += f", service stopped since {stopped_at}"
    if owed == "true" or stopped_at:
        return f"{readable}, restart pending. {BY_HAND}"
    if owed == "false" and phase in (PREPARED, VERIFIED):
        return f"{readable}, no restart pending. Rename this file, then run again."
    return f"Whether a restart of the service is pending is unknown. {BY_HAND}"


def run_of(state: str) -> str | None:
    """The run of the record in the state folder ``state``; None if there is none. Raises ``DhashError``."""
    record = read(state)
    return record and record.run


def write(state: str, record: Record) -> None:
    """Replace the record in the state folder ``state``, durably, and write or remove the marker of pending work.

    Raises ``DhashError``.
    """
    durable.make_folder(state)
    if is_pending(record):
        pending_marker.mark(record.library, state, record.run, record.operation)
    json_records.write(os.path.join(state, FILE), record._asdict())
    if not is_pending(record):
        pending_marker.clear(record.library, state)


def is_pending(record: Record | None) -> bool:
    """Whether a restart, a deploy or a verification of the run is pending."""
    return record is not None and (record.restart_owed or record.phase in (ANNOUNCED, DEPLOYING, DEPLOYED))


def require_own(library: str, state: str) -> None:
    """Raise ``RefusedError`` if work for the library is pending on this host, with its record in another state folder.

    Raises ``DhashError`` if the marker is damaged, so that this is unknown.
    """
    try:
        marker = pending_marker.read(library)
    except DhashError:
        if is_pending(read(state)):
            return
        raise
    if marker is None:
        return
    own = os.path.realpath(marker.state) == os.path.realpath(state)
    where = f"the run record is in {marker.state}"
    by_hand = f"the service yourself and remove {printable(pending_marker.path(library))}"
    next_step = (f"Run as {marker.user}, or set dhash_state_dir to {os.path.dirname(marker.state)}, so that the service is restarted and"
                 f" verified. If that record is lost, restart {by_hand}.")
    try:
        record = read(marker.state)
        if record is None:
            where = f"the run record was in {marker.state} and no longer exists"
            next_step = f"Restart {by_hand}. Then run again."
        elif own or not is_pending(record):
            return
        elif record.library != library:
            where += f", made when this library was {printable(record.library)}"
            next_step = f"Move the library back to {printable(record.library)} and run again, or restart {by_hand}."
    except DhashError:
        if own:
            return  # the error is raised where the record is read
        where += ", and this user cannot read it"
    raise RefusedError(
        f"{marker.user} has work pending for this library: {marker.operation} of run {marker.run}, since {marker.since}; {where}",
        library, next_step)


def note_rehearsal(state: str, result: dict[str, Any]) -> None:
    """Note that a rehearsal passed, durably. Raises ``DhashError``."""
    json_records.write(os.path.join(state, REHEARSAL), result)


def last_rehearsal(state: str) -> datetime | None:
    """The time of the last rehearsal that passed; None if there is none, or its note cannot be read."""
    try:
        return json_records.read(os.path.join(state, REHEARSAL), "the note of the last rehearsal", _rehearsed_at, lambda _content: "")
    except DhashError:
        return None


def _rehearsed_at(note: dict[str, Any]) -> datetime:
    return datetime.strptime(str(note.get("rehearsed_at")), TIME).replace(tzinfo=timezone.utc)
