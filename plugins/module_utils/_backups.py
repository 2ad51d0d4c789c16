# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make, list, verify, copy and prune backups of a library.

Beside each lies a ``.sha256`` that ``sha256sum -c`` accepts. An encrypted one (``.age``) has a manifest as well, whose
digest stands in the same ``.sha256``: it tells without any identity what the clear text is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import _age, _durable, _library
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LibraryError, from_os_error

STAMP = "%Y%m%dT%H%M%SZ"
# The second form is what the service's own tools wrote before: 2024-01-15T10-30-00-000Z.
STAMP_PATTERN = re.compile(r"(\d{8}T\d{6}Z|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z)(\.age)?")
NOTE, MANIFEST = ".sha256", ".json"  # beside a backup
UNSTABLE_READS = 5


class Manifest(NamedTuple):
    """What the clear text of an encrypted backup is; counts are None where it was no library that could be read."""

    sha256: str
    size: int
    images: int | None
    hashed: int | None
    recipients: tuple[str, ...]


class Backup(NamedTuple):
    """A backup on disk. ``expected_sha256`` is what its ``.sha256`` file says, None where there is no such file.

    ``manifest`` is that of an encrypted backup, None where it is damaged.
    """

    path: str
    time: datetime
    size: int
    expected_sha256: str | None
    manifest: Manifest | None = None

    @property
    def encrypted(self) -> bool:
        return self.path.endswith(_age.SUFFIX)

    @property
    def content_sha256(self) -> str | None:
        """The digest of the library in it."""
        return self.manifest and self.manifest.sha256 if self.encrypted else self.expected_sha256


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
            moment = stamp and _time_of(stamp.group(1))
            if moment and entry.is_file(follow_symlinks=False):
                found.append(_with_its_companions(Backup(entry.path, moment, entry.stat().st_size, None)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "list the backups", backup_dir) from error
    return sorted(found, key=lambda backup: (backup.time, backup.path), reverse=True)


def examine(backup: Backup) -> Content:
    """Read a backup from the disk: its digest and what it holds. Never raises for what is wrong with the backup."""
    if backup.encrypted:
        images, hashed = backup.manifest[2:4] if backup.manifest else (None, None)
        problem = None if is_good(backup) else "it, its manifest or its .sha256 file is missing or damaged"
        return Content(problem is None, problem, images, hashed)
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
    if backup.expected_sha256 is None or backup.content_sha256 is None:
        return False
    try:
        return _durable.sha256_of_file(backup.path) == backup.expected_sha256
    except DhashError:
        return False


def holding(library: str, backup_dir: str, digest: str, recipients: Sequence[str] = ()) -> Backup | None:
    """The newest good backup whose clear text has this SHA-256, encrypted to just these ``recipients`` or not at all."""
    for backup in find(library, backup_dir):
        readers = backup.manifest.recipients if backup.manifest else ()
        if backup.content_sha256 == digest and set(readers) == set(recipients) and is_good(backup):
            return backup
    return None


def make(library: str, backup_dir: str, recipients: Sequence[str] = ()) -> tuple[Backup, bool]:
    """A good backup of what ``library`` holds now, and whether it had to be made. Call it with the lock held.

    It has mode 0600 and the library's owner, and is read back from the disk. What vouches for it is there before it,
    so that no kill leaves a backup without. Encrypted to ``recipients``, if any. Raises ``DhashError``.
    """
    _remove_leftovers(library, backup_dir)
    try:
        for _attempt in range(UNSTABLE_READS):
            digest = _durable.sha256_of_file(library)
            present = holding(library, backup_dir, digest, recipients)
            if present:
                return present, False
            _durable.make_folder(backup_dir)
            prefix = name_of(library, backup_dir, "")
            if recipients:
                content = _durable.read(library)
                if hashlib.sha256(content).hexdigest() == digest:
                    return _encrypt(content, free_name(prefix, _age.SUFFIX), recipients, library), True
                continue
            path = free_name(prefix)
            _durable.write(f"{path}{NOTE}", [_note_line(digest, path)], mode=0o600)
            if _durable.copy(library, path, mode=0o600, owner_of=library) == digest:
                return Backup(path, _time_of(path[len(prefix):]), _durable.size_of_file(path), digest), True
            _durable.remove(path)  # a writer changed the library in between
    finally:
        _remove_leftovers(library, backup_dir)
    raise DhashError("it changes faster than it can be copied", library, "Stop what writes it, then run again.")


def safety_copies(library: str) -> list[str]:
    """What rollbacks have replaced, as far as it is not encrypted."""
    folder, prefix = os.path.dirname(library), f"{os.path.basename(library)}.pre-rollback."
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError as error:
        raise from_os_error(error, "look for safety copies", folder) from error
    stamps = {name: STAMP_PATTERN.fullmatch(name[len(prefix):]) for name in names}
    return [os.path.join(folder, name) for name, stamp in stamps.items() if stamp and not stamp.group(2)]


def encrypt_in_place(path: str, recipients: Sequence[str]) -> None:
    """Replace the file ``path`` by an encrypted one, with its manifest and digest. Raises ``DhashError``."""
    _encrypt(_durable.read(path), f"{path}{_age.SUFFIX}", recipients, path)
    _durable.remove(path)


def clear_text(backup: Backup, identity: str | None) -> bytes:
    """The library in ``backup``. Raises ``DhashError`` where it is encrypted and ``identity`` does not open it."""
    if not backup.encrypted:
        return _durable.read(backup.path)
    if identity is None:
        raise DhashError("it is encrypted, and no identity was given", backup.path,
                         "Name the file that holds the identity (dhash_rollback_identity_file), or take only the hashes out"
                         " (dhash_rollback_remove_dhash).")
    return _age.decrypt(backup.path, identity)


def is_copied(backup: Backup, folder: str) -> bool:
    """Whether ``folder`` holds a good copy of ``backup``."""
    target = os.path.join(folder, os.path.basename(backup.path))
    return is_good(_with_its_companions(backup._replace(path=target)))


def copy_to(backup: Backup, folder: str) -> None:
    """Copy ``backup`` and what vouches for it to ``folder``, where it is read back. Raises ``DhashError``."""
    _durable.make_folder(folder)
    target = os.path.join(folder, os.path.basename(backup.path))
    for suffix in (*_companions(backup), ""):
        digest = _durable.copy(f"{backup.path}{suffix}", f"{target}{suffix}", owner_of=backup.path)
    if digest != backup.expected_sha256:
        raise DhashError("it is damaged, and so is its copy", backup.path, "Check the disk, then run again.")


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
    """Remove ``backups``, each before what vouches for it. Raises ``DhashError``."""
    for backup in backups:
        for suffix in ("", *_companions(backup)):
            _durable.remove(f"{backup.path}{suffix}")


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
            stamp = STAMP_PATTERN.fullmatch(path[len(prefix):]) if path.startswith(prefix) else None
            vouches = stamp and (suffix == NOTE or suffix == MANIFEST and stamp.group(2))
            if vouches and os.path.basename(path) not in names:
                os.unlink(f"{path}{suffix}")


def free_name(prefix: str, suffix: str = "") -> str:
    """``prefix``, the time, or the next second at which there is no such file, and ``suffix``. Raises ``DhashError``."""
    moment = int(time.time())
    while True:
        path = f"{prefix}{time.strftime(STAMP, time.gmtime(moment))}{suffix}"
        if not _durable.exists(path):
            return path
        moment += 1


def _time_of(stamp: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        moment = (datetime.strptime(stamp, STAMP) if len(stamp) == 16
                  else datetime.strptime(stamp[:19], "%Y-%m-%dT%H-%M-%S"))
        return moment.replace(tzinfo=timezone.utc)
    return None


def _with_its_companions(backup: Backup) -> Backup:
    """``backup`` with what the files beside it say of it."""
    manifest = _read_manifest(backup.path) if backup.encrypted else None
    return backup._replace(expected_sha256=_noted_digest(backup.path), manifest=manifest)


def _companions(backup: Backup) -> tuple[str, ...]:
    return (NOTE, MANIFEST) if backup.encrypted else (NOTE,)


def _encrypt(content: bytes, path: str, recipients: Sequence[str], owner_of: str) -> Backup:
    """Write ``content`` to ``path``, encrypted, its manifest and its digest before it."""
    encrypted = _age.encrypt(content, recipients)
    try:
        counts = _library.counts(_library.parse(content, owner_of).value)
    except LibraryError:
        counts = {"images": None, "hashed": None}
    manifest = Manifest(hashlib.sha256(content).hexdigest(), len(content), counts["images"], counts["hashed"],
                        tuple(recipients))
    text = (json.dumps(manifest._asdict(), indent=2) + "\n").encode()
    digest = hashlib.sha256(encrypted).hexdigest()
    note = _note_line(digest, path) + _note_line(hashlib.sha256(text).hexdigest(), f"{path}{MANIFEST}")
    _durable.write(f"{path}{NOTE}", [note])
    _durable.write(f"{path}{MANIFEST}", [text], owner_of=owner_of)
    _durable.write(path, [encrypted], owner_of=owner_of)
    return Backup(path, _time_of(path[:-len(_age.SUFFIX)].rpartition(".")[2]), len(encrypted), digest, manifest)


def _note_line(digest: str, path: str) -> bytes:
    return os.fsencode(f"{digest}  {os.path.basename(path)}\n")


def _noted_digest(path: str, line: int = 0) -> str | None:
    try:
        with open(f"{path}{NOTE}", encoding="utf-8", errors="replace") as file:
            noted = re.match(r"([0-9a-f]{64})\s", file.read(8192).split("\n")[line])
    except (OSError, IndexError):
        return None
    return noted and noted.group(1)


def _read_manifest(path: str) -> Manifest | None:
    """The manifest of the encrypted backup ``path``, None where its digest does not hold."""
    try:
        content = _durable.read(f"{path}{MANIFEST}")
        if hashlib.sha256(content).hexdigest() != _noted_digest(path, line=1):
            return None
        fields = json.loads(content)
        return Manifest(**{**fields, "recipients": tuple(fields["recipients"])})
    except (DhashError, ValueError, TypeError, KeyError):
        return None
