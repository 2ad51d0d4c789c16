# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply review decisions to a library, or revert the last import. Prepared here, and deployed in the same way as a migration.

Check mode, validation and the real run share the plan. Pairs that were decided to be different are recorded beside the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _clock
from .._deploy import cutover, run_record, unfinished_work, written_files
from .._errors import DhashError, QueueError, printable
from .._files import durable, file_metadata, json_records
from .._library import library_edit, library_file, library_removals
from .._library.library_removals import Account, Removal
from . import decision_files, import_rules, known_different

NOT_SWAPPED = (run_record.PREPARED, run_record.ANNOUNCED)
SHOWN_LINES = 50  # in a diff


class Plan(NamedTuple):
    """The plan of an import or of a reversal.

    ``content`` is the new library, None if the library stays unchanged; ``text`` are its bytes. ``memory`` are the pairs that are
    known to be different, None if none is new. ``leftover``: an earlier import is staged that need not be deployed any more.
    ``withdrawn``: the unfinished operation that is withdrawn. ``settings``: what is needed to repeat it for a changed library.
    """

    operation: str
    live_sha256: str
    content: dict[str, Any] | None
    text: bytes
    sha256: str | None
    memory: list[known_different.Different] | None
    leftover: bool
    withdrawn: dict[str, str] | None
    settings: dict[str, Any]
    counts: dict[str, int]
    lines: list[str]


def plan(library: str, state: str, queues: Sequence[str]) -> Plan:
    """The plan of the import of ``queues``. Raises ``QueueError`` with all problems, or another ``DhashError``."""
    waiting = unfinished_work.require_finished(library, state, (run_record.REVIEW_IMPORT,))
    _require_free_names(library, state)
    live, digest = library_file.read(library)
    reading = decision_files.read(queues)
    memory = known_different.read(library)
    verdict = import_rules.judge(library, live.value, state, reading.decisions, memory)
    faults = reading.faults + verdict.faults
    if faults:
        raise QueueError(faults)
    if waiting and waiting.operation == run_record.REVIEW_IMPORT and _undecided(waiting, live.value, verdict.removals):
        raise unfinished_work.refusal(waiting)  # these decisions would discard those of the unfinished import
    approved = sum(decision.verdict != decision_files.DIFFERENT for decision in reading.decisions)
    account = Account(_imported_at(state, digest), ", ".join(queues), len(reading.decisions), approved)
    remembered = known_different.added(memory, verdict.different)
    counts = {
        "reviewed": len(reading.decisions), "approved": approved, "different": len(reading.decisions) - approved,
        "skipped_matches": reading.skipped, "pending": reading.pending, "already_removed": verdict.already,
        "remembered": sum(record not in memory for record in remembered) if remembered != memory else 0,
    }
    lines = [f"{printable(removal.path)} is removed, {printable(removal.kept)} is kept (match {removal.match_id})"
             for removal in verdict.removals]
    value = library_removals.take_out(live.value, verdict.removals, account) if verdict.removals else None
    settings = {"state": state, "removals": [removal._asdict() for removal in verdict.removals], "account": account._asdict()}
    return _finished(library, waiting, run_record.REVIEW_IMPORT, live, digest, value,
                     remembered if remembered != memory else None, settings, counts, lines)


def plan_reversal(library: str, state: str) -> Plan:
    """The plan of the reversal of the last import. Raises ``DhashError``."""
    waiting = unfinished_work.require_finished(library, state, (run_record.REVIEW_REVERSAL, run_record.REVIEW_IMPORT))
    _require_free_names(library, state)
    live, digest = library_file.read(library)
    value = put_back(library, live.value)
    if waiting is not None and waiting.operation == run_record.REVIEW_IMPORT and value is not None:
        raise unfinished_work.refusal(waiting)  # this is not the import that would be reverted
    lines = [f"{printable(path)} is restored" for path in _paths_gained(live.value, value)]
    return _finished(library, waiting, run_record.REVIEW_REVERSAL, live, digest, value, None, {"state": state}, {}, lines)


def put_back(library: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """As :func:`library_removals.put_back`, with the library named in its errors."""
    try:
        return library_removals.put_back(value)
    except DhashError as error:
        raise DhashError(error.cause, library, error.next_step) from error


def _paths_gained(before: dict[str, Any], after: dict[str, Any] | None) -> list[str]:
    present = {image["path"] for image in before["images"]}
    return [image["path"] for image in after["images"] if image["path"] not in present] if after else []


def _undecided(waiting: run_record.Record, value: dict[str, Any], removals: Sequence[Removal]) -> bool:
    """Whether the unfinished import removes an image of the library ``value`` that is not among ``removals``."""
    present = {(image["path"], image.get("dhash")) for image in value["images"]}
    decided = {(removal.path, removal.dhash) for removal in removals}
    return any((removal.path, removal.dhash) in present - decided for removal in _removals_of(waiting))


def _finished(library: str, waiting: run_record.Record | None, operation: str, live: library_file.Library, digest: str,
              value: dict[str, Any] | None, memory: list[known_different.Different] | None, settings: dict[str, Any],
              counts: dict[str, int], lines: list[str]) -> Plan:
    text = b"" if value is None else library_edit.edited(live, value)
    if value is not None:
        library_file.parse(text, library)  # raises if the new library would be nested too deep to be read again
    leftover = value is None and waiting is not None and waiting.operation in (run_record.REVIEW_IMPORT, run_record.REVIEW_REVERSAL)
    before, after = len(live.value["images"]), len((value or live.value)["images"])
    sha256 = None if value is None else hashlib.sha256(text).hexdigest()
    gives_way = (leftover or value is not None) and waiting is not None and waiting.operation != operation
    withdrawn = unfinished_work.withdrawn(waiting, operation, sha256) if gives_way else None
    return Plan(operation, digest, value, text, sha256, memory, leftover, withdrawn, settings,
                {**counts, "images_before": before, "images": after, "images_removed": max(0, before - after),
                 "images_restored": max(0, after - before)}, lines)


def _imported_at(state: str, live_sha256: str) -> str:
    """The present time; or that of an unfinished import into the same live library, so that it is recognised as the same."""
    last = run_record.read(state)
    if last and (last.operation, last.old_sha256) == (run_record.REVIEW_IMPORT, live_sha256) and last.phase in NOT_SWAPPED:
        return _account_of(last).imported_at
    return _clock.now()


def _account_of(record: run_record.Record) -> Account:
    try:
        return json_records.build(Account, record.settings["account"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(record) from error


def _removals_of(record: run_record.Record) -> list[Removal]:
    try:
        return [json_records.build(Removal, removal) for removal in record.settings["removals"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(record) from error


def _incomplete(record: run_record.Record) -> DhashError:
    return DhashError("the record of the last run does not contain the decisions of the review", record.library,
                      "Import the decisions again, with the same inventory and options: ansible-playbook mobius.dhash.review_import.")


def is_due(planned: Plan) -> bool:
    """Whether the live library has to be replaced."""
    return planned.content is not None


def would_change(library: str, state: str, planned: Plan) -> bool:
    """Whether :func:`carry_out` has anything to write."""
    return (planned.memory is not None or planned.leftover
            or (is_due(planned) and not _is_prepared(library, state, planned)))


def carry_out(library: str, state: str, planned: Plan, run: str, origin: dict[str, Any] | None = None) -> bool:
    """Record the pairs that are different, and write the new library and the record that binds it to the live one.

    Returns whether anything had to be written. Call it with the lock held. Raises ``DhashError``.
    """
    changed = would_change(library, state, planned)
    if planned.memory is not None:
        known_different.write(library, planned.memory)
    last = run_record.read(state)
    if last is not None and planned.leftover:
        written_files.remove(state, last.output)
        run_record.withdraw(state, last)
    elif is_due(planned) and not _is_prepared(library, state, planned):
        record = _write(run_record.Record(
            run, planned.operation, run_record.PREPARED, library, output_of(library), cutover.pre_dhash(library),
            planned.live_sha256, "", **run_record.carried_over(last), settings=planned.settings,
            metadata=file_metadata.read(library), origin=origin), planned.text)
        unfinished_work.withdraw(last, record)
    return changed


def difference(library: str, planned: Plan) -> dict[str, str]:
    """Before and after in counts and images, for Ansible's diff."""
    counts = planned.counts
    before = [f"images: {counts['images_before']}"]
    after = [f"images: {counts['images']}", *planned.lines[:SHOWN_LINES]]
    if len(planned.lines) > SHOWN_LINES:
        after.append(f"and {len(planned.lines) - SHOWN_LINES} more")
    if counts.get("remembered"):
        after.append(f"pairs that are different: {counts['remembered']} more")
    return {"before_header": library, "after_header": output_of(library), "before": "\n".join([*before, ""]),
            "after": "\n".join([*after, ""])}


def _require_free_names(library: str, state: str) -> None:
    written_files.require_ours(state, output_of(library))
    cutover.require_free_names(library, state)


def output_of(library: str) -> str:
    """The path of the staged library."""
    return f"{library}.import"


def _write(record: run_record.Record, text: bytes) -> run_record.Record:
    state = record.settings["state"]
    record = record._replace(new_sha256=written_files.write(state, record.output, [text], like=record.library))
    run_record.write(state, record)
    return record


def _is_prepared(library: str, state: str, planned: Plan) -> bool:
    last = run_record.read(state)
    return (last is not None and last.phase in NOT_SWAPPED and last.operation == planned.operation
            and last.output == output_of(library) and last.old_sha256 == planned.live_sha256
            and last.new_sha256 == planned.sha256
            and durable.exists(last.output) and durable.sha256_of_file(last.output) == last.new_sha256)


def prepare_again(record: run_record.Record, _failed: dict[str, Any]) -> None:
    """Prepare the same operation again for a live library that has changed. Call it with the lock held. Raises ``DhashError``."""
    live, digest = library_file.read(record.library)
    if record.operation == run_record.REVIEW_REVERSAL:
        value = put_back(record.library, live.value)
    else:
        removals = _removals_of(record)
        faults = import_rules.stale(live.value, removals)
        if faults:
            raise QueueError(faults)
        value = library_removals.take_out(live.value, removals, _account_of(record))
    if value is None:
        raise DhashError("the last import was reverted in the meantime", record.library, "Check the library, then run again.")
    written_files.remove(record.settings["state"], record.kept)  # an older copy, not of the library that will be replaced
    _write(record._replace(phase=run_record.PREPARED, old_sha256=digest), library_edit.edited(live, value))
