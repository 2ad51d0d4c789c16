# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a loss of power would take: the order of writes, fsyncs and renames in a trace of system calls.

A file system that honours fsync may lose, or bring to the disk in any order, whatever was not synced: the content and
the metadata of a file, and what has become of names in a folder.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killing
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, run_record
from tracing import PATH, Call

CONTENT = ("write", "pwrite64", "ftruncate", "fchmod", "fchown", "fsetxattr")
OF_THEIR_OWN = (".lock", ".log", "journal.sqlite")  # what people read, and what is SQLite's affair


def check(calls: list[Call]) -> None:
    """Raise ``AssertionError`` where a loss of power could take what has to be there."""
    contents: set[str] = set()
    names: dict[str, str] = {}  # folder -> what has become of a name in it
    in_place: list[str] = []
    record = ""
    told = False
    for call in calls:
        if not call.succeeded or any(part in call.arguments for part in OF_THEIR_OWN):
            continue
        paths = PATH.findall(call.arguments)
        assert not told, f"it told that all is well before {call}"
        if call.name == "write" and '"ok"' in call.arguments:
            assert not contents, f"it told that all is well before these were synced: {contents}"
            assert not names, f"it told that all is well before these were synced: {names}"
            told = True
        elif call.name in CONTENT:
            contents.add(paths[0])
            if os.path.basename(paths[0]) == ".run.json.mobius-dhash.tmp" and call.name == "write":
                record = call.arguments
        elif call.name in ("fsync", "fdatasync"):
            contents.discard(paths[0])
            names.pop(paths[0], None)
        elif call.name.startswith(("rename", "unlink", "mkdir")):
            assert not names, f"{call} may reach the disk before {names}"
            assert paths[0] not in contents, f"{call} may reach the disk before the content of the file"
            if "RENAME_EXCHANGE" in call.arguments:
                check_exchange(paths[1], in_place, record)
            in_place.append(paths[-1])
            names[os.path.dirname(paths[-1])] = str(call)
    assert told


def check_exchange(library: str, in_place: list[str], record: str) -> None:
    """What has to be on the disk before the live library is exchanged."""
    kept = [path for path in in_place if path.startswith((f"{library}.pre-dhash", f"{library}.pre-rollback."))]
    assert kept, "the live library is exchanged, and no copy of it was kept"
    assert in_place[-1].endswith("/run.json"), "the live library is exchanged before that is on record"
    assert r'\"phase\": \"deploying\"' in record, f"the live library is exchanged with this on record: {record}"


def trace_variations(folder: Path, operation: str) -> dict[str, list[Call]]:
    """The calls of an operation as it is, without each of its fsyncs in turn, and without what has to be there first."""
    bench = killing.Bench(folder, operation)

    def trace(change: Callable[[], None] = lambda: None) -> list[Call]:
        ended = bench.trace(change=change)
        return [*bench.touching(ended), ended.calls[-1]]

    variations = {"as it is": trace()}
    for number in itertools.count():
        calls = trace(functools.partial(leave_out_fsync, number))
        if count_fsyncs(calls) == count_fsyncs(variations["as it is"]):
            break
        variations[f"without fsync {number}"] = calls
    if any(call.name == "renameat2" for call in variations["as it is"]):
        variations["without the copy of what is replaced"] = trace(leave_out_copy)
        variations["without the record of the exchange"] = trace(leave_out_record)
    return variations


def count_fsyncs(calls: list[Call]) -> int:
    return sum(call.name == "fsync" for call in calls)


def leave_out_fsync(number: int) -> None:
    fsync, numbers = os.fsync, itertools.count()

    def counted(fd: Any) -> None:
        if next(numbers) != number:
            fsync(fd)

    os.fsync = counted


def leave_out_copy() -> None:
    def keep_nothing(library: str, state: str, record: run_record.Record) -> None:
        """As the function that keeps what is replaced, but it keeps nothing."""

    cutover._keep_replaced = keep_nothing


def leave_out_record() -> None:
    write = run_record.write
    run_record.write = lambda state, record: None if record.phase == run_record.DEPLOYING else write(state, record)
