# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take decisions into a library, or the last ones out again: prepared here, and deployed as a migration is.

Check mode, validation and the real run share the plan. What was judged different is remembered beside the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import (
    _clock, _deploy, _durable, _library, _metadata, _records, _review_decisions, _review_memory, _review_removal,
    _review_verdict, _state, _unfinished, _written)
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, QueueError, printable
from ansible_collections.mobius.dhash.plugins.module_utils._review_removal import Account, Removal


NOT_SWAPPED = (_state.PREPARED, _state.ANNOUNCED)
SHOWN_LINES = 50  # in a diff


class Plan(NamedTuple):
    """What an import or a reversal comes to.

    ``content`` is the library that the live one becomes, None where it stays as it is; ``text`` its bytes. ``memory``
    is what is to be remembered, None where nothing new is. ``leftover``: whether an import was prepared that need no
    longer be deployed. ``withdrawn``: the unfinished operation that gives way.
    ``settings``: what it needs to be brought up to date.
    """

    operation: str
    live_sha256: str
    content: _library.Library | None
    text: bytes
    sha256: str | None
    memory: list[_review_memory.Different] | None
    leftover: bool
    withdrawn: dict[str, str] | None
    settings: dict[str, Any]
    counts: dict[str, int]
    lines: list[str]


def plan(library: str, state: str, queues: Sequence[str]) -> Plan:
    """What the import of ``queues`` comes to. Raises ``QueueError`` with all that is wrong, or another ``DhashError``."""
    waiting = _unfinished.require_finished(library, state, (_state.REVIEW_IMPORT,))
    _require_free_names(library, state)
    live, digest = _library.read(library)
    reading = _review_decisions.read(queues)
    memory = _review_memory.read(library)
    verdict = _review_verdict.judge(library, live.value, state, reading.decisions, memory)
    faults = reading.faults + verdict.faults
    if faults:
        raise QueueError(faults)
    if waiting and waiting.operation == _state.REVIEW_IMPORT and _undecided(waiting, live.value, verdict.removals):
        raise _unfinished.refusal(waiting)  # these decisions would discard those that wait
    approved = sum(decision.verdict != _review_decisions.DIFFERENT for decision in reading.decisions)
    account = Account(_imported_at(state, digest), ", ".join(queues), len(reading.decisions), approved)
    remembered = _review_memory.added(memory, verdict.different)
    counts = {
        "reviewed": len(reading.decisions), "approved": approved, "different": len(reading.decisions) - approved,
        "skipped_matches": reading.skipped, "pending": reading.pending, "already_removed": verdict.already,
        "remembered": sum(record not in memory for record in remembered) if remembered != memory else 0,
    }
    lines = [f"{printable(removal.path)} leaves the library, {printable(removal.kept)} stays (match {removal.match_id})"
             for removal in verdict.removals]
    value = _review_removal.take_out(live.value, verdict.removals, account) if verdict.removals else None
    settings = {"state": state, "removals": [removal._asdict() for removal in verdict.removals], "account": account._asdict()}
    return _finished(library, waiting, _state.REVIEW_IMPORT, live, digest, value,
                     remembered if remembered != memory else None, settings, counts, lines)


def plan_reversal(library: str, state: str) -> Plan:
    """What taking the last import back comes to. Raises ``DhashError``."""
    waiting = _unfinished.require_finished(library, state, (_state.REVIEW_REVERSAL, _state.REVIEW_IMPORT))
    _require_free_names(library, state)
    live, digest = _library.read(library)
    value = put_back(library, live.value)
    if waiting is not None and waiting.operation == _state.REVIEW_IMPORT and value is not None:
        raise _unfinished.refusal(waiting)  # it is not the import that would be taken back
    lines = [f"{printable(path)} comes back into the library" for path in _paths_gained(live.value, value)]
    return _finished(library, waiting, _state.REVIEW_REVERSAL, live, digest, value, None, {"state": state}, {}, lines)


def put_back(library: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """As :func:`_review_removal.put_back`, with the library named in its errors."""
    try:
        return _review_removal.put_back(value)
    except DhashError as error:
        raise DhashError(error.cause, library, error.next_step) from error


def _paths_gained(before: dict[str, Any], after: dict[str, Any] | None) -> list[str]:
    present = {image["path"] for image in before["images"]}
    return [image["path"] for image in after["images"] if image["path"] not in present] if after else []


def _undecided(waiting: _state.Record, value: dict[str, Any], removals: Sequence[Removal]) -> bool:
    """Whether the import that waits takes out an image of the library ``value`` that ``removals`` leave in it."""
    present = {(image["path"], image.get("dhash")) for image in value["images"]}
    decided = {(removal.path, removal.dhash) for removal in removals}
    return any((removal.path, removal.dhash) in present - decided for removal in _removals_of(waiting))


def _finished(library: str, waiting: _state.Record | None, operation: str, live: _library.Library, digest: str,
              value: dict[str, Any] | None, memory: list[_review_memory.Different] | None, settings: dict[str, Any],
              counts: dict[str, int], lines: list[str]) -> Plan:
    content = live._replace(value=value) if value is not None else None
    text = b"" if content is None else _library.serialize(content)
    if content is not None:
        _library.parse(text, library)  # what is written can be read again, however deep the entries are
    leftover = value is None and waiting is not None and waiting.operation in (_state.REVIEW_IMPORT, _state.REVIEW_REVERSAL)
    before, after = len(live.value["images"]), len((value or live.value)["images"])
    sha256 = None if content is None else hashlib.sha256(text).hexdigest()
    gives_way = (leftover or content is not None) and waiting is not None and waiting.operation != operation
    withdrawn = _unfinished.withdrawn(waiting, operation, sha256) if gives_way else None
    return Plan(operation, digest, content, text, sha256, memory, leftover, withdrawn, settings,
                {**counts, "images_before": before, "images": after, "images_removed": max(0, before - after),
                 "images_restored": max(0, after - before)}, lines)


def _imported_at(state: str, live_sha256: str) -> str:
    """Now; or when the import was prepared that waits for the same live library, so that it is recognised."""
    last = _state.read(state)
    if last and (last.operation, last.old_sha256) == (_state.REVIEW_IMPORT, live_sha256) and last.phase in NOT_SWAPPED:
        return _account_of(last).imported_at
    return _clock.now()


def _account_of(record: _state.Record) -> Account:
    try:
        return _records.build(Account, record.settings["account"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(record) from error


def _removals_of(record: _state.Record) -> list[Removal]:
    try:
        return [_records.build(Removal, removal) for removal in record.settings["removals"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(record) from error


def _incomplete(record: _state.Record) -> DhashError:
    return DhashError("the record of the last run does not say what the review decided", record.library,
                      "Import the decisions again: run the playbook review_import.yml.")


def is_due(planned: Plan) -> bool:
    """Whether the live library is to be replaced."""
    return planned.content is not None


def would_change(library: str, state: str, planned: Plan) -> bool:
    """Whether :func:`carry_out` has anything to write."""
    return (planned.memory is not None or planned.leftover
            or is_due(planned) and not _is_prepared(library, state, planned))


def carry_out(library: str, state: str, planned: Plan, run: str, origin: dict[str, Any] | None = None) -> bool:
    """Remember what was judged different, and write the new library and the record that binds it to the live one.

    Whether anything had to be written. Call it with the lock held. Raises ``DhashError``.
    """
    changed = would_change(library, state, planned)
    if planned.memory is not None:
        _review_memory.write(library, planned.memory)
    last = _state.read(state)
    if planned.leftover:
        _written.remove(state, last.output)
        _state.withdraw(state, last)
    elif is_due(planned) and not _is_prepared(library, state, planned):
        record = _write(_state.Record(
            run, planned.operation, _state.PREPARED, library, output_of(library), _deploy.pre_dhash(library),
            planned.live_sha256, "", **_state.carried_over(last), settings=planned.settings,
            metadata=_metadata.read(library), origin=origin), planned.text)
        _unfinished.withdraw(last, record)
    return changed


def difference(library: str, planned: Plan) -> dict[str, str]:
    """Before and after in counts and images, for Ansible's diff."""
    counts = planned.counts
    before = [f"images: {counts['images_before']}"]
    after = [f"images: {counts['images']}", *planned.lines[:SHOWN_LINES]]
    if len(planned.lines) > SHOWN_LINES:
        after.append(f"and {len(planned.lines) - SHOWN_LINES} more")
    if counts.get("remembered"):
        after.append(f"pairs judged different: {counts['remembered']} more")
    return {"before_header": library, "after_header": output_of(library), "before": "\n".join([*before, ""]),
            "after": "\n".join([*after, ""])}


def _require_free_names(library: str, state: str) -> None:
    _written.require_ours(state, output_of(library))
    _deploy.require_free_names(library, state)


def output_of(library: str) -> str:
    """Where the new library is written that waits to be deployed."""
    return f"{library}.import"


def _write(record: _state.Record, text: bytes) -> _state.Record:
    state = record.settings["state"]
    record = record._replace(new_sha256=_written.write(state, record.output, [text], like=record.library))
    _state.write(state, record)
    return record


def _is_prepared(library: str, state: str, planned: Plan) -> bool:
    last = _state.read(state)
    return (last is not None and last.phase in NOT_SWAPPED and last.operation == planned.operation
            and last.output == output_of(library) and last.old_sha256 == planned.live_sha256
            and last.new_sha256 == planned.sha256
            and _durable.exists(last.output) and _durable.sha256_of_file(last.output) == last.new_sha256)


def bring_up_to_date(record: _state.Record, _failed: dict) -> None:
    """Prepare the same for a live library that has changed since. Call it with the lock held. Raises ``DhashError``."""
    live, digest = _library.read(record.library)
    if record.operation == _state.REVIEW_REVERSAL:
        value = put_back(record.library, live.value)
    else:
        removals = _removals_of(record)
        faults = _review_verdict.stale(live.value, removals)
        if faults:
            raise QueueError(faults)
        value = _review_removal.take_out(live.value, removals, _account_of(record))
    if value is None:
        raise DhashError("its last import was taken back in the meantime", record.library, "Look at it, then run again.")
    _written.remove(record.settings["state"], record.kept)  # not of what will be replaced
    _write(record._replace(phase=_state.PREPARED, old_sha256=digest), _library.serialize(live._replace(value=value)))
