# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan and prepare a rollback. The prepared library is deployed in the same way as that of a migration.

docs/operations.md states the rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .._errors import DhashError, LibraryError, RefusedError, printable
from .._files import bounded_reads, durable, file_metadata
from .._library import library_edit, library_fields, library_file, library_index, library_losses, library_removals
from . import backup_files, cutover, lost_library, run_record, unfinished_work, written_files

LATEST = "latest"
UNFINISHED = (run_record.PREPARED, run_record.ANNOUNCED, run_record.DEPLOYING)


class RollbackRequest(NamedTuple):
    """The rollback that is requested: to a backup (its name, its path, or LATEST), or remove-dhash. ``force`` accepts losses.

    ``identity`` is the text of an age identity file, for encrypted backups.
    """

    backup: str
    remove_dhash: bool
    force: bool
    identity: str | None = None


class RollbackPlan(NamedTuple):
    """The plan of a rollback. ``source`` is the file to restore; None if the live library is edited instead.

    ``content`` is the library after the rollback, ``text`` its bytes, and ``losses`` what the live library has and it lacks
    (``library_losses.UNKNOWN`` if the live library cannot be read). ``due``: the live library differs from it. ``locked``: the
    library that should be restored is only in encrypted backups, and no identity was given. ``undo`` is the operation that a
    rescue rolls back; None for a rollback that an operator requested. ``metadata`` is that of the library from which ``source``
    was made (:func:`file_metadata.read`), if it is known. ``newest`` is the newest intact backup, if its content differs.
    ``passed_over`` are the later backups that are not intact, or whose library is unknown. ``of_lost``: ``source`` was chosen as
    the newest content because the live library cannot be read.
    """

    operation: str
    source: str | None
    content: dict[str, Any]
    text: bytes
    sha256: str
    losses: library_losses.Losses | None
    due: bool
    locked: bool = False
    undo: str | None = None
    metadata: dict[str, Any] | None = None
    newest: str | None = None
    passed_over: list[str] = []
    of_lost: bool = False


def make_plan(library: str, state: str, backup_dir: str, request: RollbackRequest) -> RollbackPlan:
    """The plan of the requested rollback. Raises ``DhashError`` if there is none, or if it would lose changes without ``force``."""
    lost_library.require_file_or_nothing(library, state, backup_dir)
    unfinished_work.require_finished(library, state, run_record.BACKWARD_OPERATIONS, restores=not request.remove_dhash)
    written_files.require_ours(state, cutover.rollback_output(library))
    if request.remove_dhash:
        return _without_dhash(library)
    found = backup_files.find(library, backup_dir, backup_files.digests_on_record(state))
    if request.backup != LATEST:
        planned = _restore_named(library, state, request, found)
    elif library_index.is_readable(library):
        planned = _restore_latest(library, state, found, request.identity)
    else:
        planned = _restore_newest(library, state, backup_dir, found, request.identity)
    _refuse_loss(library, planned, request.force)
    return _beside_others(planned, found)


def plan_undo(library: str, state: str, backup_dir: str, new_sha256: str, identity: str | None = None) -> RollbackPlan | None:
    """The plan to roll back the run that deployed ``new_sha256``; None if there is nothing to roll back.

    The old bytes are restored if the live library is still the one that the run deployed. Otherwise later edits are kept: only
    the hashes are removed, or the images that a review removed are restored. The same is done if the old bytes are encrypted and
    ``identity`` (as in ``RollbackRequest``) does not decrypt them. Raises ``DhashError`` if another run has deployed since; then nothing may
    be changed.
    """
    record = run_record.read(state)
    if record is None or record.operation not in run_record.FORWARD_OPERATIONS or record.new_sha256 != new_sha256:
        raise RefusedError("another run has replaced the library since, so the library was not changed", library,
                           "Check the library, and roll back manually if necessary.")
    if record.phase in (run_record.PREPARED, run_record.ANNOUNCED):
        return None
    live = durable.sha256_of_file(library) if durable.exists(library) else None
    if live == record.old_sha256:
        return None
    written_files.require_ours(state, cutover.rollback_output(library))
    if live not in (None, new_sha256):
        with contextlib.suppress(LibraryError):  # an unreadable library has no edits to keep
            return _plan_keeping_later_edits(library, record.operation)
    return _restore_replaced(library, state, backup_dir, record, identity)._replace(undo=record.operation)


def _restore_replaced(library: str, state: str, backup_dir: str, record: run_record.Record, identity: str | None) -> RollbackPlan:
    if durable.exists(record.kept) and durable.sha256_of_file(record.kept) == record.old_sha256:
        return _restore_kept(library, record.kept, record.old_sha256)
    found: list[backup_files.Backup] = []
    with contextlib.suppress(DhashError):  # an unreadable folder has no usable backups
        found = backup_files.find_own(library, backup_dir, backup_files.digests_on_record(state))
    holding = [backup for backup in found if backup.content_sha256 == record.old_sha256 and backup_files.is_good(backup)]
    for backup in holding:
        if identity or not backup.encrypted:
            return _restore_backup(library, backup, found, identity)
    return _plan_keeping_later_edits(library, record.operation)._replace(locked=bool(holding))


def is_prepared(library: str, state: str, planned: RollbackPlan) -> bool:
    """Whether this rollback is already prepared for the present live library."""
    last = run_record.read(state)
    if last is None or last.phase not in (run_record.PREPARED, run_record.ANNOUNCED) or last.operation != planned.operation:
        return False
    return (last.new_sha256 == planned.sha256 and durable.exists(library) and durable.exists(last.output)
            and last.old_sha256 == durable.sha256_of_file(library)
            and last.new_sha256 == durable.sha256_of_file(last.output))


def withdrawn(library: str, state: str, planned: RollbackPlan | None) -> dict[str, str] | None:
    """The unfinished operation that :func:`prepare` replaces, for a module's result; None if it replaces none.

    A rollback that an operator requested also replaces one if the live library is the target already: it would be deployed otherwise.
    """
    if planned is None or (planned.undo and not planned.due):
        return None
    return unfinished_work.withdrawn(unfinished_work.waiting(library, state), planned.operation, planned.sha256)


def prepare(library: str, state: str, planned: RollbackPlan, force: bool, run: str, origin: dict[str, Any] | None = None,
            undoes: str | None = None, service: dict[str, Any] | None = None) -> bool:
    """Write the staged library and the record that binds it to the live one; returns whether that was necessary.

    If there is no live library, the library is restored at once, and the restart of ``service`` is pending. If nothing is ``due``, the
    rollback only withdraws the unfinished operation. Call it with the lock held. Raises ``DhashError``.
    """
    durable.remove_leftovers(f"{library}{backup_files.PRE_ROLLBACK}")
    if is_prepared(library, state, planned):
        return False
    last = run_record.read(state)
    record = run_record.Record(
        run, planned.operation, run_record.PREPARED, library, cutover.rollback_output(library),
        durable.free_name(f"{library}{backup_files.PRE_ROLLBACK}"), "", planned.sha256,
        **{**run_record.carried_over(last), "restart_owed": True},
        settings={"state": state, "source": planned.source, "sha256": planned.sha256, "force": force, "undo": planned.undo,
                  "of_lost": planned.of_lost},
        undoes=undoes, metadata=(last and last.metadata) or planned.metadata, origin=origin)
    if not durable.exists(library):
        record = record._replace(service=run_record.pending_service(record, service))
        run_record.write(state, record._replace(phase=run_record.ANNOUNCED))
        durable.write(library, [planned.text], mode=0o640, owner_of=planned.source, noted=record.metadata)
        run_record.write(state, record._replace(phase=run_record.DEPLOYED))
        unfinished_work.withdraw(last, record)
        return True
    record = record._replace(old_sha256=durable.sha256_of_file(library), restart_owed=bool(last and last.restart_owed),
                             metadata=file_metadata.read(library))
    if not planned.due:
        record = record._replace(phase=run_record.VERIFIED)
        run_record.write(state, record)
        unfinished_work.withdraw(last, record)
        return True
    if last and last.phase in UNFINISHED and (last.operation, last.old_sha256) == (record.operation, record.old_sha256):
        record = record._replace(kept=last.kept)  # the same rollback may have kept it before it was interrupted
    written_files.write(state, record.output, [planned.text], like=library)
    run_record.write(state, record)
    unfinished_work.withdraw(last, record)
    return True


def prepare_again(record: run_record.Record, _failed: dict[str, Any]) -> None:
    """Prepare the same rollback again for a live library that has changed since. Call it with the lock held."""
    settings = record.settings
    written_files.remove(settings["state"], record.kept)  # an older copy, not of the library that will be replaced
    if record.operation == run_record.REMOVE_DHASH:
        planned = _without_dhash(record.library)
    elif settings.get("undo"):  # later edits are kept, as in plan_undo
        planned = _plan_keeping_later_edits(record.library, settings["undo"])
    else:
        prepared = bounded_reads.read(record.output, library_file.MAX_BYTES)  # the backup itself may be encrypted, and no identity is available here
        planned = _restore(record.library, settings["source"], prepared, settings["sha256"])._replace(of_lost=settings.get("of_lost", False))
        _refuse_loss(record.library, planned, settings["force"])
    prepare(record.library, settings["state"], planned, settings["force"], record.run, record.origin, record.undoes)


def _refuse_loss(library: str, planned: RollbackPlan, force: bool) -> None:
    if planned.source is not None and planned.losses is not library_losses.UNKNOWN and any(planned.losses) and not force:
        raise RefusedError(
            f"restoring {os.path.basename(planned.source)} would lose later changes: {planned.losses}", library,
            "Remove only the hashes and keep everything else (dhash_rollback_remove_dhash), or set dhash_rollback_force: the"
            f" live library is then kept as {os.path.basename(library)}{backup_files.PRE_ROLLBACK}<time>.")


def _restore_named(library: str, state: str, request: RollbackRequest, found: list[backup_files.Backup]) -> RollbackPlan:
    named = [backup for backup in found if request.backup in (backup.path, os.path.basename(backup.path))]
    record = run_record.read(state)
    source = str(record.settings.get("source")) if record else ""
    if request.backup in (source, os.path.basename(source)) and not (named and backup_files.is_good(named[0])):
        for digest, path in _staged(record).items():
            return _restore_kept(library, path, digest)
    if not named:
        raise DhashError(f"there is no backup {printable(request.backup)} of this library", library, _offer(library, found))
    backup = named[0]
    if backup.belongs != backup_files.OWN and not request.force:
        whose = ("the backup has no manifest, so its library is unknown" if backup.library is None
                 else f"this is a backup of another library, {printable(backup.library)} on {printable(backup.host or 'an unknown host')}")
        raise RefusedError(f"{whose}. The backup was not restored into {printable(library)}", backup.path,
                           f"{_offer(library, found)} To restore this backup anyway, set dhash_rollback_force.")
    return _restore_backup(library, backup, found, request.identity)


def _restore_latest(library: str, state: str, found: list[backup_files.Backup], identity: str | None) -> RollbackPlan:
    """The newest good backup of the library that the last deploy replaced; without a record, of a library without hashes."""
    record = run_record.read(state)
    own = [backup for backup in found if backup.belongs == backup_files.OWN]
    target = run_record.rollback_target(record)
    if record is None or target is None:
        for backup in own:
            content = backup_files.examine(backup)
            if content.good and content.hashed == 0:
                return _restore_backup(library, backup, found, identity)
        raise DhashError("there is no intact backup of this library without hashes, and no record of a deploy", library, _offer(library, found))
    claiming = [backup for backup in own if backup.content_sha256 == target]
    for backup in claiming:
        if backup_files.is_good(backup) and (identity or not backup.encrypted):
            return _restore_backup(library, backup, found, identity)
    kept = {**_staged(record), **_intact_kept(record)}
    if target in kept:
        return _restore_kept(library, kept[target], target)
    if claiming:
        return _restore_backup(library, claiming[0], found, identity)  # it raises the reason
    raise DhashError("there is no backup of the library that the last deploy replaced", library, _offer(library, found))


def _restore_newest(library: str, state: str, backup_dir: str, found: list[backup_files.Backup], identity: str | None) -> RollbackPlan:
    """The newest intact content of this library, for a live library that is missing or cannot be read."""
    if durable.exists(library):
        durable.sha256_of_file(library)  # raises for a library that this user may not read: it is not lost
    record = run_record.read(state)
    own = [backup for backup in found if backup.belongs == backup_files.OWN]
    kept = {**_staged(record), **_intact_kept(record)}
    newest = next((backup for backup in own if backup_files.is_intact(backup)), None)
    contents = [(newest.time.timestamp(), newest.content_sha256)] if newest else []
    contents += [*_on_record(record, kept), *((0.0, digest) for digest in _staged(record))]
    for _moment, digest in sorted(contents, key=lambda content: content[0], reverse=True):
        copies = [backup for backup in own
                  if backup.content_sha256 == digest and (backup is newest or backup_files.is_intact(backup))]
        for backup in copies:
            if identity or not backup.encrypted:
                return _restore_backup(library, backup, found, identity)._replace(of_lost=True)
        if digest in kept:
            return _restore_kept(library, kept[digest], digest)._replace(of_lost=True)
        if copies:  # an older backup would lose its changes
            raise _no_identity(copies[0], own)
    raise DhashError("there is no intact backup of this library", library, _remains(library, state, backup_dir, found))


def _on_record(record: run_record.Record | None, kept: dict[str, str]) -> list[tuple[float, str]]:
    """The contents (SHA-256) that the record knows, each with a time at which it was live.

    The library that an unfinished run was meant to replace was live when the run began; its backup may be older, because content
    is not backed up twice. An interrupted rollback of a lost library continues. A kept library was live when it was written.
    """
    contents = [(os.path.getmtime(path), digest) for digest, path in kept.items()]
    if record is not None and not run_record.is_deployed(record):
        began = run_record.began(record)
        digest = record.new_sha256 if record.settings.get("of_lost") else record.old_sha256
        contents.append((began.timestamp() if began else 0, digest))
    return contents


def _staged(record: run_record.Record | None) -> dict[str, str]:
    """The library that an unfinished restore has staged, by its SHA-256: its backup may be gone."""
    if (record is None or record.operation != run_record.RESTORE or run_record.is_deployed(record) or not durable.exists(record.output)
            or durable.sha256_of_file(record.output) != record.new_sha256):
        return {}
    return {record.new_sha256: record.output}


def _intact_kept(record: run_record.Record | None) -> dict[str, str]:
    """The intact files of replaced libraries, by their SHA-256. Not those that a rollback has replaced."""
    if record is None or (record.operation in run_record.BACKWARD_OPERATIONS and run_record.is_deployed(record)):
        return {}
    files = {record.old_sha256: record.kept}
    if record.settings.get("of_lost"):
        files[record.new_sha256] = record.settings["source"]
    return {digest: path for digest, path in files.items()
            if durable.exists(path) and durable.sha256_of_file(path) == digest and library_index.is_readable(path)}


def _no_identity(backup: backup_files.Backup, own: list[backup_files.Backup]) -> DhashError:
    clear = next((other for other in own if not other.encrypted and backup_files.is_intact(other)), None)
    instead = f" The newest backup that is not encrypted is {os.path.basename(clear.path)} (dhash_rollback_to)." if clear else ""
    return DhashError("the newest backup is encrypted, and no identity was given", backup.path,
                      f"Set dhash_rollback_identity_file to the identity file.{instead}")


def _remains(library: str, state: str, backup_dir: str, found: list[backup_files.Backup]) -> str:
    """What to do if there is no good backup of a lost library."""
    return f"{lost_library.elsewhere(library, lost_library.find(library, state, backup_dir))}{_others(found)}"


def _beside_others(planned: RollbackPlan, found: list[backup_files.Backup]) -> RollbackPlan:
    """``planned`` with the newest intact backup, if that is another one, and with the later backups that were passed over."""
    passed_over: list[str] = []
    for backup in found:
        if backup.path == planned.source:
            break
        if backup.belongs == backup_files.OWN and backup_files.is_intact(backup):
            newest = None if backup.content_sha256 == planned.sha256 else backup.path
            return planned._replace(newest=newest, passed_over=passed_over)
        if backup.belongs != backup_files.FOREIGN:
            passed_over.append(backup.path)
    return planned._replace(passed_over=passed_over)


def _restore_backup(library: str, backup: backup_files.Backup, found: list[backup_files.Backup], identity: str | None) -> RollbackPlan:
    _require_good(library, backup, found)
    planned = _restore(library, backup.path, backup_files.clear_text(backup, identity), backup.content_sha256)
    return planned._replace(metadata=backup.manifest and backup.manifest.metadata)


def _restore_kept(library: str, kept: str, expected: str) -> RollbackPlan:
    return _restore(library, kept, bounded_reads.read(kept, library_file.MAX_BYTES), expected)._replace(metadata=file_metadata.read(kept))


def _require_good(library: str, backup: backup_files.Backup, found: list[backup_files.Backup]) -> None:
    content = backup_files.examine(backup)
    if not content.good:
        raise DhashError(f"cannot restore this backup: {content.message}", backup.path,
                         _offer(library, [other for other in found if other != backup]))


def _offer(library: str, found: list[backup_files.Backup]) -> str:
    own = [backup for backup in found if backup.belongs == backup_files.OWN]
    good = next((backup for backup in own if backup_files.is_good(backup)), None)
    if good is not None:
        return f"The next intact backup is {os.path.basename(good.path)} (dhash_rollback_to)."
    # Hashes cannot be removed from a library that cannot be read.
    instead = "; only the hashes can be removed (dhash_rollback_remove_dhash)" if library_index.is_readable(library) else ""
    return f"There is no intact backup{instead}.{_others(found)}"


def _others(found: list[backup_files.Backup]) -> str:
    others = sum(backup.belongs != backup_files.OWN for backup in found)
    return (f" Backups in the folder that are not known to be of this library: {others}. To restore one of them, set dhash_rollback_to"
            " to its name, and dhash_rollback_force." if others else "")


def _restore(library: str, source: str, text: bytes, expected: str | None) -> RollbackPlan:
    digest = hashlib.sha256(text).hexdigest()
    if digest != expected:
        raise DhashError("checksum mismatch", source, "Choose another backup, then run again.")
    content = library_file.parse(text, source).value
    try:
        live, live_digest = library_file.read(library)
        losses = library_losses.NONE if live_digest == digest else library_losses.find(live.value, content)
    except LibraryError:  # an unreadable library is the reason for the rollback
        return RollbackPlan(run_record.RESTORE, source, content, text, digest, library_losses.UNKNOWN, True)
    return RollbackPlan(run_record.RESTORE, source, content, text, digest, losses, live_digest != digest)


def _plan_keeping_later_edits(library: str, operation: str) -> RollbackPlan:
    if operation == run_record.MIGRATION:
        planned = _without_dhash(library)
    elif operation == run_record.REVIEW_IMPORT:
        planned = _plan_from_edit(library, run_record.REVIEW_REVERSAL, lambda value: library_removals.put_back(value) or value)
    else:
        raise DhashError("the library was edited after a review import was reverted, so the library was not changed", library,
                         "Check the library, and import the review again if necessary.")
    return planned._replace(undo=operation)


def _without_dhash(library: str) -> RollbackPlan:
    return _plan_from_edit(library, run_record.REMOVE_DHASH, library_fields.without_our_fields)


def _plan_from_edit(library: str, operation: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> RollbackPlan:
    live, digest = library_file.read(library)
    content = edit(live.value)
    text = library_edit.edited(live, content)
    sha256 = hashlib.sha256(text).hexdigest()
    return RollbackPlan(operation, None, content, text, sha256, library_losses.NONE, sha256 != digest)
