# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups and kept files of a library that is missing or unreadable, and what to do next."""

from __future__ import annotations

import glob
import os
import stat
from typing import NamedTuple

from .._errors import DhashError, RefusedError, printable
from . import backup_files, cutover, run_record, unfinished_work, written_files


class Remains(NamedTuple):
    """``backups`` is the number of backups of the library in ``backup_dir``. ``kept`` are the paths of replaced libraries.
    ``recorded``: whether there is a record of a run."""

    backup_dir: str
    backups: int
    kept: list[str]
    recorded: bool


def find(library: str, state: str | None, backup_dir: str) -> Remains:
    """What remains of the library. Never raises ``DhashError``: a damaged record counts as a record that names no files."""
    try:
        record = run_record.read(state) if state else None
        recorded = record is not None
    except DhashError:
        record, recorded = None, True
    places = {cutover.pre_dhash(library), *glob.glob(f"{glob.escape(library)}{backup_files.PRE_ROLLBACK}*")}
    if record is not None:
        places.add(record.kept)
    digests = frozenset({record.old_sha256, record.new_sha256}) if record else frozenset()
    try:
        backups = len(backup_files.find_own(library, backup_dir, digests))
    except DhashError:
        backups = 0
    kept = sorted(place for place in places if os.path.isfile(place))
    return Remains(backup_dir, backups, kept, recorded)


def counted(remains: Remains) -> str:
    """The number of backups, in words."""
    return f"{remains.backups} backup{'' if remains.backups == 1 else 's'}"


def next_step(library: str, remains: Remains) -> str:
    """The next command to run, or a sentence if there is nothing to roll back to, or if no file is in the place of the library."""
    kind = _other_than_a_file(library)
    if kind:
        first = f"Move the {kind} away ({written_files.move_command(library)})."
        return f"{first} {unfinished_work.RESTORE if remains.backups or remains.kept else elsewhere(library, remains)}"
    return unfinished_work.ROLL_BACK if remains.backups or remains.kept else elsewhere(library, remains)


def require_file_or_nothing(library: str, state: str, backup_dir: str) -> None:
    """Raise ``RefusedError`` if a folder, a pipe, a socket or a device is in the place of the library: a rollback replaces only a file."""
    kind = _other_than_a_file(library)
    if kind:
        raise RefusedError(f"this is a {kind}, and no library", library, next_step(library, find(library, state, backup_dir)))


def _other_than_a_file(library: str) -> str | None:
    """What is at the real path ``library``, in a word, unless it is a file or nothing."""
    if not os.path.exists(library) or os.path.isfile(library):
        return None
    mode = os.lstat(library).st_mode
    return "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def elsewhere(library: str, remains: Remains) -> str:
    """What to do if no backup can be restored."""
    looked = f"There is no backup to roll back to: {printable(remains.backup_dir)} has no intact backup"
    if remains.kept:
        return (f"{looked}. A replaced library is kept as {', '.join(map(printable, remains.kept))}: copy the right one to"
                f" {printable(library)}, or restore the library from elsewhere.")
    return (f"{looked}, and no replaced library is kept beside {printable(library)}. Restore the library from elsewhere, or correct"
            " dhash_backup_dir if the backups lie in another folder.")
