# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make, list, verify and prune backups of a library."""

from __future__ import annotations

import contextlib
import os
import re
import time
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import _durable, _library
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LibraryError, from_os_error

STAMP = "%Y%m%dT%H%M%SZ"
# The second form is what the service's own tools wrote before: 2024-01-15T10-30-00-000Z.
STAMP_PATTERN = re.compile(r"(\d{8}T\d{6}Z|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z)$")
UNSTABLE_READS = 5


class Backup(NamedTuple):
    """A backup on disk. ``expected_sha256`` is what its ``.sha256`` file says, None where there is no such file."""

    path: str
    time: datetime
    size: int
    expected_sha256: str | None


class Content(NamedTuple):
    """What was found in a backup: ``good`` is whether its bytes have the digest that was noted for them."""

    good: bool
    problem: str | None
    images: int | None
    hashed: int | None


def find(library: str, backup_dir: str) -> list[Backup]:
    """All backups of ``library`` in ``backup_dir``, the newest first. Raises ``DhashError``."""
    prefix = f"{os.path.basename(library)}.bak."
    found = []
    try:
        for entry in os.scandir(backup_dir):
            stamp = STAMP_PATTERN.fullmatch(entry.name[len(prefix):]) if entry.name.startswith(prefix) else None
            moment = stamp and _time_of(stamp.group())
            if moment and entry.is_file(follow_symlinks=False):
                found.append(Backup(entry.path, moment, entry.stat().st_size, _noted_digest(entry.path)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "list the backups", backup_dir) from error
    return sorted(found, key=lambda backup: (backup.time, backup.path), reverse=True)


def examine(backup: Backup) -> Content:
    """Read a backup from the disk: its digest and what it holds. Never raises for what is wrong with the backup."""
    try:
        library, digest = _library.read(backup.path)
    except LibraryError as error:
        return Content(False, str(error), None, None)
    counts = _library.counts(library.value)
    problem = None
    if backup.expected_sha256 is None:
        problem = "it has no .sha256 file, so that its content cannot be vouched for"
    elif digest != backup.expected_sha256:
        problem = "its digest is not the one in its .sha256 file"
    return Content(problem is None, problem, counts["images"], counts["hashed"])


def is_good(backup: Backup) -> bool:
    """Whether the bytes of ``backup`` have the digest that was noted for them."""
    if backup.expected_sha256 is None:
        return False
    try:
        return _durable.sha256_of_file(backup.path) == backup.expected_sha256
    except DhashError:
        return False


def holding(library: str, backup_dir: str, digest: str) -> Backup | None:
    """The newest good backup whose content has this SHA-256."""
    for backup in find(library, backup_dir):
        if backup.expected_sha256 == digest and is_good(backup):
            return backup
    return None


def make(library: str, backup_dir: str) -> tuple[Backup, bool]:
    """A good backup of what ``library`` holds now, and whether it had to be made. Call it with the lock held.

    The copy has mode 0600 and the library's owner, and is read back from the disk. The file that vouches for it, and
    that ``sha256sum -c`` accepts, is there before it, so that no kill leaves a backup without one. Raises ``DhashError``.
    """
    _remove_leftovers(library, backup_dir)
    try:
        for _attempt in range(UNSTABLE_READS):
            digest = _durable.sha256_of_file(library)
            present = holding(library, backup_dir, digest)
            if present:
                return present, False
            _durable.make_folder(backup_dir)
            path = free_name(name_of(library, backup_dir, ""))
            note = os.fsencode(f"{digest}  {os.path.basename(path)}\n")
            _durable.write(f"{path}.sha256", [note], mode=0o600)
            if _durable.copy(library, path, mode=0o600, owner_of=library) == digest:
                return Backup(path, _time_of(path[-16:]), _durable.size_of_file(path), digest), True
            _durable.remove(path)  # a writer changed the library in between
    finally:
        _remove_leftovers(library, backup_dir)
    raise DhashError("it changes faster than it can be copied", library, "Stop what writes it, then run again.")


def superfluous(backups: list[Backup], keep: int, keep_days: int, now: datetime) -> list[Backup]:
    """Which of ``backups`` (newest first) go: neither among the ``keep`` newest good ones nor younger than ``keep_days``.

    Only good backups count and only good backups go, so that the last good one always stays.
    """
    oldest_kept = now - timedelta(days=keep_days)
    good = [backup for backup in backups if backup.expected_sha256 is not None]
    candidates = [backup for backup in good[max(keep, 1):] if backup.time < oldest_kept]
    if not candidates:
        return []
    verified, kept = 0, set()
    for backup in good:
        if verified >= max(keep, 1):
            break
        if is_good(backup):
            verified += 1
            kept.add(backup.path)
    return [backup for backup in candidates if backup.path not in kept and is_good(backup)]


def prune(backups: list[Backup]) -> None:
    """Remove ``backups``, each before its ``.sha256``. Raises ``DhashError``."""
    for backup in backups:
        _durable.remove(backup.path)
        _durable.remove(f"{backup.path}.sha256")


def name_of(library: str, backup_dir: str, stamp: str) -> str:
    """The path of the backup that was made at the time ``stamp``."""
    return os.path.join(backup_dir, f"{os.path.basename(library)}.bak.{stamp}")


def _remove_leftovers(library: str, backup_dir: str) -> None:
    """Remove what a backup or a pruning left that was cut short: half a backup, and what vouches for none."""
    prefix = os.path.join(backup_dir, f"{os.path.basename(library)}.bak.")
    _durable.remove_leftovers(prefix)
    with contextlib.suppress(OSError):
        names = set(os.listdir(backup_dir))
        for name in names:
            path, suffix = os.path.splitext(os.path.join(backup_dir, name))
            is_note = suffix == ".sha256" and path.startswith(prefix) and STAMP_PATTERN.fullmatch(path[len(prefix):])
            if is_note and os.path.basename(path) not in names:
                os.unlink(f"{path}.sha256")


def free_name(prefix: str) -> str:
    """``prefix`` and the time, or the next second at which there is no such file. Raises ``DhashError``."""
    moment = int(time.time())
    while True:
        path = f"{prefix}{time.strftime(STAMP, time.gmtime(moment))}"
        if not _durable.exists(path):
            return path
        moment += 1


def _time_of(stamp: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        moment = (datetime.strptime(stamp, STAMP) if len(stamp) == 16
                  else datetime.strptime(stamp[:19], "%Y-%m-%dT%H-%M-%S"))
        return moment.replace(tzinfo=timezone.utc)
    return None


def _noted_digest(path: str) -> str | None:
    try:
        with open(f"{path}.sha256", encoding="utf-8", errors="replace") as file:
            noted = re.match(r"([0-9a-f]{64})\s", file.read(4096))
    except OSError:
        return None
    return noted and noted.group(1)
