# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make, list, verify, copy and prune the backups of a library.

Beside each backup lie its checksum file and its manifest (:mod:`backup_manifest`). Several libraries of one name may keep
their backups in one folder: each operation looks only at the backups that belong to its own library.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from .._errors import DhashError, LibraryError, from_os_error
from .._files import age_encryption, bounded_reads, durable, file_metadata, locking
from .._library import library_index
from . import backup_manifest, run_record

# The second form is that of older tools of the service: 2024-01-15T10-30-00-000Z.
STAMP_PATTERN = re.compile(r"(\d{8}T\d{6}Z|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z)(\.age)?")
PRE_ROLLBACK = ".pre-rollback."
UNSTABLE_READS = 5
OWN, UNKNOWN, FOREIGN = "own", "unknown", "foreign"  # whose a backup is
PROBLEMS = CHECKSUM_MISSING, CHECKSUM_MISMATCH, UNREADABLE, ENCRYPTED_UNVERIFIED = (
    "checksum_missing", "checksum_mismatch", "unreadable", "encrypted_unverified")
_MESSAGES = {
    CHECKSUM_MISSING: "the .sha256 file is missing, so the content cannot be verified",
    CHECKSUM_MISMATCH: "checksum mismatch: the SHA-256 differs from the one in the .sha256 file",
    ENCRYPTED_UNVERIFIED: "the backup, its manifest or its .sha256 file is missing or damaged",
}


class Backup(NamedTuple):
    """A backup on disk. ``expected_sha256`` is what its checksum file says, None if there is no such file.

    ``manifest`` is None if there is none, or it is damaged. ``belongs`` is OWN, UNKNOWN or FOREIGN.
    """

    path: str
    time: datetime
    size: int
    expected_sha256: str | None
    manifest: backup_manifest.Manifest | None = None
    belongs: str = OWN

    @property
    def encrypted(self) -> bool:
        return self.path.endswith(age_encryption.SUFFIX)

    @property
    def content_sha256(self) -> str | None:
        """The SHA-256 of the library in the backup, after decryption."""
        return self.manifest and self.manifest.sha256 if self.encrypted else self.expected_sha256

    @property
    def library(self) -> str | None:
        """The real path of the library that the backup was made from; None if it is unknown."""
        return self.manifest and self.manifest.library

    @property
    def host(self) -> str | None:
        """The host of that library; None if it is unknown."""
        return self.manifest and self.manifest.host


class Content(NamedTuple):
    """The result of examining a backup. ``good``: its bytes have the SHA-256 that was recorded for them.

    ``problem`` is one of ``PROBLEMS``, and ``message`` describes it; both are None for a good backup.
    """

    good: bool
    problem: str | None
    message: str | None
    images: int | None
    hashed: int | None


def find(library: str, backup_dir: str, digests: Collection[str] = ()) -> list[Backup]:
    """All backups in ``backup_dir`` that have the name of ``library``, the newest first. Raises ``DhashError``.

    A backup belongs to the library that its manifest names, on the host that it names unless it lies in the folder of
    ``library``. One without a manifest belongs to ``library`` if it lies there, or its content is one of ``digests``
    (:func:`digests_on_record`).
    """
    prefix = f"{os.path.basename(library)}.bak."
    beside_library = os.path.realpath(backup_dir) == os.path.realpath(os.path.dirname(library))
    found = []
    try:
        for entry in os.scandir(backup_dir):
            stamp = STAMP_PATTERN.fullmatch(entry.name[len(prefix):]) if entry.name.startswith(prefix) else None
            moment = stamp and _time_of(stamp.group(1))
            if moment and entry.is_file(follow_symlinks=False):
                backup = Backup(entry.path, moment, entry.stat().st_size, backup_manifest.digest_of_backup(entry.path),
                                backup_manifest.read(entry.path))
                if backup.library is None:
                    belongs = OWN if beside_library or backup.content_sha256 in digests else UNKNOWN
                else:
                    here = beside_library or backup.host in (None, socket.gethostname())
                    belongs = OWN if here and backup.library == library else FOREIGN
                found.append(backup._replace(belongs=belongs))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "list the backups", backup_dir) from error
    return sorted(found, key=lambda backup: (backup.time, backup.path), reverse=True)


def find_own(library: str, backup_dir: str, digests: Collection[str] = ()) -> list[Backup]:
    """The backups that belong to ``library``, the newest first. Raises ``DhashError``."""
    return [backup for backup in find(library, backup_dir, digests) if backup.belongs == OWN]


def digests_on_record(state: str) -> frozenset[str]:
    """The SHA-256 of the library that the last run replaced, and of the one that it made. Raises ``DhashError``."""
    record = run_record.read(state)
    return frozenset() if record is None else frozenset({record.old_sha256, record.new_sha256})


@contextlib.contextmanager
def lock(library: str, folders: Sequence[str], run: str, timeout: float) -> Iterator[None]:
    """Create ``folders`` and lock them for backups that have the name of ``library``. Call it with the library's lock held.

    Raises ``DhashError``.
    """
    beside = os.path.realpath(os.path.dirname(library))
    with contextlib.ExitStack() as stack:
        for place, folder in {os.path.realpath(folder): folder for folder in folders}.items():
            durable.make_folder(folder)
            if place != beside:  # the lock of the library covers its own folder
                stack.enter_context(locking.lock(os.path.join(folder, os.path.basename(library)), "backup", run, timeout,
                                                 "the backup folder", like=folder))
        yield


def examine(backup: Backup) -> Content:
    """Read a backup from the disk, and check its SHA-256 and its content. Never raises for a bad backup."""
    if backup.encrypted:
        images, hashed = backup.manifest[2:4] if backup.manifest else (None, None)
        return _content(None if is_good(backup) else ENCRYPTED_UNVERIFIED, images, hashed)
    try:
        library, digest = library_index.read(backup.path)
    except LibraryError as error:
        return Content(False, UNREADABLE, str(error), None, None)
    counts = library.counts()
    problem = None
    if backup.expected_sha256 is None:
        problem = CHECKSUM_MISSING
    elif digest != backup.expected_sha256:
        problem = CHECKSUM_MISMATCH
    return _content(problem, counts["images"], counts["hashed"])


def _content(problem: str | None, images: int | None, hashed: int | None) -> Content:
    return Content(problem is None, problem, problem and _MESSAGES[problem], images, hashed)


def is_good(backup: Backup) -> bool:
    """Whether the bytes of ``backup`` have the SHA-256 that was recorded for them."""
    if backup.expected_sha256 is None or backup.content_sha256 is None:
        return False
    try:
        return durable.sha256_of_file(backup.path) == backup.expected_sha256
    except DhashError:
        return False


def is_intact(backup: Backup) -> bool:
    """Whether ``backup`` is good and contains a library, as far as that can be determined without its key."""
    content = examine(backup)
    return content.good and content.images is not None


def find_containing(backups: Sequence[Backup], digest: str, recipients: Sequence[str] = ()) -> Backup | None:
    """The first good one of ``backups`` whose clear text has the SHA-256 ``digest``, encrypted to exactly these ``recipients``."""
    for backup in backups:
        readers = backup.manifest.recipients if backup.manifest else ()
        if backup.content_sha256 == digest and set(readers) == set(recipients) and is_good(backup):
            return backup
    return None


def make(library: str, backup_dir: str, recipients: Sequence[str] = (), digests: Collection[str] = (),
         known: Mapping[str, tuple[int, int]] | None = None) -> tuple[Backup, bool]:
    """A good backup of the present content of ``library``, and whether it had to be made. Call it with the locks held.

    ``known``: how many images and hashes libraries have, by the SHA-256 of their files; another library is parsed for its manifest.
    A new backup has mode 0600 and the owner of the library, is named as the newest, and is read back from the disk. Its checksum file
    and its manifest get their names first, so a kill never leaves a backup without them. It is encrypted to ``recipients``, if any.
    Raises ``DhashError``.
    """
    _remove_leftovers(library, backup_dir)
    try:
        for _attempt in range(UNSTABLE_READS):
            digest = durable.sha256_of_file(library)
            own = find_own(library, backup_dir, digests)
            present = find_containing(own, digest, recipients)
            if present:
                return present, False
            content = bounded_reads.read(library, durable.MAX_BYTES)
            if hashlib.sha256(content).hexdigest() == digest:
                durable.make_folder(backup_dir)
                # The new backup sorts as the newest, also within one second and after the clock was set back.
                moment = max([time.time(), *(newest.time.timestamp() + 1 for newest in own[:1])])
                path = durable.free_name(name_of(library, backup_dir, ""), age_encryption.SUFFIX if recipients else "", moment)
                return _write(content, path, recipients, library, library, (known or {}).get(digest)), True
    finally:
        _remove_leftovers(library, backup_dir)
    raise DhashError("the library changes faster than it can be copied", library,
                     "Stop the program that writes to the library, then run again.")


def safety_copies(library: str) -> list[str]:
    """The paths of the safety copies: libraries that rollbacks have replaced, if they are not encrypted."""
    folder, prefix = os.path.dirname(library), f"{os.path.basename(library)}{PRE_ROLLBACK}"
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError as error:
        raise from_os_error(error, "list the safety copies", folder) from error
    stamps = {name: STAMP_PATTERN.fullmatch(name[len(prefix):]) for name in names}
    return [os.path.join(folder, name) for name, stamp in stamps.items() if stamp and not stamp.group(2)]


def encrypt_in_place(path: str, recipients: Sequence[str]) -> None:
    """Replace the safety copy ``path`` by an encrypted one, with its manifest and checksum. Raises ``DhashError``."""
    library = path.rpartition(PRE_ROLLBACK)[0]
    _write(bounded_reads.read(path, durable.MAX_BYTES), f"{path}{age_encryption.SUFFIX}", recipients, library, path, None)
    durable.remove(path)


def clear_text(backup: Backup, identity: str | None) -> bytes:
    """The library in ``backup``, decrypted. Raises ``DhashError`` if ``identity`` does not decrypt it."""
    if not backup.encrypted:
        return bounded_reads.read(backup.path, durable.MAX_BYTES)
    if identity is None:
        raise DhashError("the backup is encrypted, and no identity was given", backup.path,
                         "Set dhash_rollback_identity_file to the identity file, or remove only the hashes (dhash_rollback_remove_dhash).")
    return age_encryption.decrypt(backup.path, identity)


def find_copy(backup: Backup, library: str, folder: str) -> Backup | None:
    """A good copy of ``backup`` in ``folder``, None if there is none. Raises ``DhashError``."""
    for other in find(library, folder):
        if other.belongs != FOREIGN and other.expected_sha256 == backup.expected_sha256 and is_good(other):
            return other
    return None


def copy_to(backup: Backup, library: str, folder: str) -> None:
    """Copy ``backup`` with its checksum and its manifest to ``folder``, where it is read back. Raises ``DhashError``.

    The copy gets the name of the next free second if another backup has its name there.
    """
    if backup.expected_sha256 is None:
        raise DhashError("it has no checksum file", backup.path, "Make another backup.")
    durable.make_folder(folder)
    _remove_leftovers(library, folder)
    target = os.path.join(folder, os.path.basename(backup.path))
    damaged = [other.path for other in find(library, folder) if other.belongs == OWN and not is_good(other)]
    if durable.exists(target) and target not in damaged:
        target = durable.free_name(name_of(library, folder, ""), age_encryption.SUFFIX if backup.encrypted else "", backup.time.timestamp())
    manifest_digest = durable.sha256_of_file(f"{backup.path}{backup_manifest.MANIFEST}") if backup.manifest else None
    backup_manifest.write_checksums(target, backup.expected_sha256, manifest_digest, owner_of=backup.path)
    for suffix in ([backup_manifest.MANIFEST] if manifest_digest else []) + [""]:
        digest = durable.copy(f"{backup.path}{suffix}", f"{target}{suffix}", owner_of=backup.path)
    if digest != backup.expected_sha256:
        raise DhashError("the backup is damaged, and the copy of it as well", backup.path, "Check the disk, then run again.")


def expired(backups: list[Backup], keep: int, keep_days: int, now: datetime, relied_on: Collection[str | None] = (),
            coming: int = 0) -> list[Backup]:
    """Those of ``backups`` (newest first) to prune: neither among the ``keep`` newest good ones nor younger than ``keep_days``.

    Only good backups count and only good backups are pruned, so the last good one always stays. A backup whose content is one of
    ``relied_on`` (SHA-256) stays as well. ``coming``: the number of newer backups that are about to be made.
    """
    oldest_kept = now - timedelta(days=keep_days)
    keep = max(keep, 1) - coming
    good = [backup for backup in backups if backup.expected_sha256 is not None]
    candidates = [backup for backup in good[keep:]
                  if (backup.time < oldest_kept or not keep_days) and backup.content_sha256 not in relied_on]
    if not candidates:
        return []
    verified, kept = 0, set()
    for backup in good:
        if verified >= keep:
            break
        if is_good(backup):
            verified += 1
            kept.add(backup.path)
    return [backup for backup in candidates if backup.path not in kept and is_good(backup)]


def prune(backups: list[Backup]) -> None:
    """Remove ``backups`` with their manifests and checksum files. Raises ``DhashError``.

    Each backup is renamed to a temporary file first. If this is interrupted, the next backup removes the rest.
    """
    for backup in backups:
        beside, temporary = files_of(backup)[:-1], durable.temporary_name(backup.path)
        durable.move(backup.path, temporary)
        for path in [*reversed(beside), temporary]:
            durable.remove(path)


def files_of(backup: Backup) -> list[str]:
    """The paths of ``backup``, its checksum file first and the backup itself last."""
    has_manifest = backup.manifest is not None or backup.encrypted or backup_manifest.digest_of_manifest(backup.path) is not None
    return [f"{backup.path}{suffix}" for suffix in (backup_manifest.CHECKSUM, *([backup_manifest.MANIFEST] if has_manifest else []), "")]


def name_of(library: str, backup_dir: str, stamp: str) -> str:
    """The path of a backup of ``library`` with the time ``stamp`` in its name."""
    return os.path.join(backup_dir, f"{os.path.basename(library)}.bak.{stamp}")


def _remove_leftovers(library: str, backup_dir: str) -> None:
    """Remove the files of an interrupted backup or pruning: the files beside the backup, then the temporary file.

    Without a temporary file somebody has moved or compressed the backup, so its checksum file and its manifest stay.
    """
    prefix = name_of(library, backup_dir, "")
    with contextlib.suppress(OSError, DhashError):
        for name in os.listdir(backup_dir):
            path = os.path.join(backup_dir, name[1:].removesuffix(durable.TEMPORARY))
            if (durable.temporary_name(path) == os.path.join(backup_dir, name) and path.startswith(prefix)
                    and STAMP_PATTERN.fullmatch(path[len(prefix):])):
                _remove_beside(path)
    durable.remove_leftovers(prefix)


def _remove_beside(path: str) -> None:
    """Remove the manifest and the checksum file of the backup ``path`` if the backup does not exist. Raises ``DhashError``."""
    if not durable.exists(path):
        if backup_manifest.digest_of_manifest(path):
            durable.remove(f"{path}{backup_manifest.MANIFEST}")
        durable.remove(f"{path}{backup_manifest.CHECKSUM}")


def _time_of(stamp: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        return _parsed(stamp)
    return None


def _parsed(stamp: str) -> datetime:
    moment = (datetime.strptime(stamp, durable.STAMP) if len(stamp) == 16
              else datetime.strptime(stamp[:19], "%Y-%m-%dT%H-%M-%S"))
    return moment.replace(tzinfo=timezone.utc)


def _counts(content: bytes, source: str) -> tuple[int | None, int | None]:
    """How many images and hashes the library ``content`` has, which was read from ``source``; None if it is no library."""
    try:
        counts = library_index.of(content, source).counts()
    except LibraryError:
        return None, None
    return counts["images"], counts["hashed"]


def _write(content: bytes, path: str, recipients: Sequence[str], library: str, source: str, counts: tuple[int, int] | None) -> Backup:
    """Write ``content``, which was read from ``source``, to ``path``. ``counts``: its images and hashes, if known.

    The checksum file and the manifest get their names first, while the backup is a temporary file.
    """
    images, hashed = counts or _counts(content, source)
    manifest = backup_manifest.Manifest(hashlib.sha256(content).hexdigest(), len(content), images, hashed,
                                        tuple(recipients), library, file_metadata.read(source), socket.gethostname())
    stored = age_encryption.encrypt(content, recipients) if recipients else content
    digest = hashlib.sha256(stored).hexdigest() if recipients else manifest.sha256
    try:
        durable.write(path, [stored], owner_of=source,
                      before=lambda _digest: backup_manifest.write(path, digest, manifest, owner_of=source))
    except DhashError:
        with contextlib.suppress(DhashError):
            _remove_beside(path)
        raise
    stamp = os.path.basename(path).removesuffix(age_encryption.SUFFIX).rpartition(".")[2]
    return Backup(path, _parsed(stamp), len(stored), digest, manifest)
