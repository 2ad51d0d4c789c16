# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state after a failed run, for an operator: the live library, its service, the kept files, and the next command."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._deploy import lost_library, run_record, unfinished_work
from ._errors import DhashError, printable
from ._files import durable
from ._library import library_index
from ._monitor import service_probes

OLD, NEW, EDITED, UNREADABLE, MISSING, UNRECORDED = ("old", "new", "edited", "unreadable", "missing", "unrecorded")
RUNNING, STOPPED, UNKNOWN, UNMANAGED = "running", "stopped", "unknown", "unmanaged"
DIGITS = 12  # of a SHA-256 in a sentence
LIKE_BEFORE = ", with the same inventory and options."  # without an inventory, Ansible finds no host and succeeds


class Host(NamedTuple):
    """The library and its service. ``library`` is the real file; ``playbook`` is the one that failed."""

    library: str
    state: str
    backup_dir: str
    manager: str
    name: str | None
    scope: str
    status_command: str | None
    playbook: str


def report(host: Host) -> dict[str, Any]:
    """The state as tokens and paths for programs, and as sentences in ``summary``. Never raises ``DhashError``."""
    try:
        record, problem = run_record.read(host.state), None
    except DhashError as error:
        record, problem = None, str(error)
    live, digest = _live(host.library, record)
    service, says = _service(host, record)
    remains = lost_library.find(host.library, host.state, host.backup_dir)
    command = _next(host, record, live, remains)
    sentence = _LIBRARY.get(live) or _LIBRARY[live, _is_rollback(record)]
    lines = [sentence.format(library=printable(host.library), digest=f" (sha256 {digest[:DIGITS]})" if digest else "", run=record and record.run),
             *([problem] if problem else []),
             _SERVICE[service].format(since=record and record.stopped_at, says=says), _files(remains),
             f"Next: {command}{LIKE_BEFORE if command.startswith('ansible-playbook ') else ''}"]
    return {"live": live, "sha256": digest, "service": service, "stopped_at": record and record.stopped_at,
            "phase": record and record.phase, "kept": remains.kept, "backups": remains.backups, "next": command,
            "summary": [line for line in lines if line]}


_LIBRARY = {  # (the token, whether the run is a rollback)
    (OLD, False): "{library} is the old library, from before run {run}{digest}.",
    (NEW, False): "{library} is the new library of run {run}{digest}.",
    (OLD, True): "{library} is the old library, which run {run} restored{digest}.",
    (NEW, True): "{library} is the new library, which run {run} was meant to replace{digest}.",
    EDITED: "{library} is neither the old nor the new library of run {run}, because somebody has edited the library since{digest}.",
    UNREADABLE: "{library} cannot be read as a library{digest}.",
    MISSING: "{library} does not exist.",
    UNRECORDED: "{library} is a valid library{digest}. This host has no record of a run that replaced it.",
}
_SERVICE = {
    RUNNING: "The service is running ({says}).",
    STOPPED: "The service is stopped ({says}).",
    UNKNOWN: "The state of the service is unknown ({says}).",
    UNMANAGED: "",
}


def _live(library: str, record: run_record.Record | None) -> tuple[str, str | None]:
    try:
        digest = durable.sha256_of_file(library)
    except DhashError:
        return UNREADABLE if durable.exists(library) else MISSING, None
    try:
        library_index.read(library)
    except DhashError:
        return UNREADABLE, digest
    if record is None:
        return UNRECORDED, digest
    before, after = (NEW, OLD) if _is_rollback(record) else (OLD, NEW)
    return {record.old_sha256: before, record.new_sha256: after}.get(digest, EDITED), digest


def _is_rollback(record: run_record.Record | None) -> bool:
    return record is not None and (record.operation in run_record.BACKWARD_OPERATIONS or record.undoes is not None)


def _service(host: Host, record: run_record.Record | None) -> tuple[str, str]:
    asked = service_probes.service(host.manager, host.name, host.scope, host.status_command)
    if asked is not None and asked.running is not None:
        return RUNNING if asked.running else STOPPED, asked.message
    if record is not None and record.stopped_at:
        return STOPPED, f"since {record.stopped_at}, according to the record of the run"
    if host.manager == "none":
        return UNMANAGED, ""
    return UNKNOWN, asked.message if asked else "dhash_status_command is not set"


def _files(remains: lost_library.Remains) -> str:
    parts = [printable(path) for path in remains.kept]
    if remains.backups:
        parts.append(f"{lost_library.counted(remains)} in {printable(remains.backup_dir)}")
    return f"Kept: {', '.join(parts)}." if parts else ""


def _next(host: Host, record: run_record.Record | None, live: str, remains: lost_library.Remains) -> str:
    playbook = host.playbook
    if live in (UNREADABLE, MISSING):
        return lost_library.next_step(host.library, remains)
    if record is not None and record.undoes:
        playbook = "migrate" if record.phase != run_record.VERIFIED else playbook
    elif record is not None and (record.restart_owed or run_record.is_unfinished(record)):
        playbook = unfinished_work.PLAYBOOKS[record.operation]
    return f"ansible-playbook mobius.dhash.{playbook}"
