# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lock, digest, temporary file, fsync, rename: every write to disk goes through here.

The order of steps is that of restic's local backend and borg's SyncFile: a temporary file in the same folder,
its metadata, fsync, read back, rename, fsync of the folder. Clean-up is tried, never relied on: a temporary file has
one fixed name, so the next write to the same path replaces it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ansible.module_utils.common.warnings import warn

from .._errors import DhashError, from_os_error, printable
from . import bounded_reads, file_metadata

CHUNK = 1 << 20
MAX_BYTES = 4 << 30  # of a file that is digested or copied: twice the largest library, so also its encrypted backup and a report on it
TEMPORARY = ".mobius-dhash.tmp"
STAMP = "%Y%m%dT%H%M%SZ"  # UTC, in a file name
RENAME_EXCHANGE = 2  # linux/fs.h
CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY)  # SMB and some FUSE file systems; so do restic and borg
AT_FDCWD = -100  # linux/fcntl.h
KERNEL_FOLDERS = ("/proc/", "/sys/")  # root may write there by their modes, but no file can be created


class Obstacle(NamedTuple):
    """The reason why this user cannot write into a folder: the path, the cause, and the step that fixes the cause, if there is one."""

    path: str
    cause: str
    step: str | None


def sha256_of_file(path: str) -> str:
    """The hexadecimal SHA-256 of the bytes at ``path``. Raises ``DhashError``."""
    try:
        with bounded_reads.open_file(path) as file:
            bounded_reads.require_size(file, path, MAX_BYTES)
            return _sha256_of_descriptor(file.fileno(), path)
    except OSError as error:
        raise from_os_error(error, "read the file", path) from error


def _sha256_of_descriptor(descriptor: int, path: str) -> str:
    digest = hashlib.sha256()
    offset = 0
    while chunk := os.pread(descriptor, CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
        if offset > MAX_BYTES:
            raise bounded_reads.too_long(path, MAX_BYTES)
    return digest.hexdigest()


def sync_folder(folder: str) -> None:
    """Make the names in ``folder`` survive a loss of power, or warn that its file system cannot sync a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC_FOLDERS:
            raise
        _warn_of_unsynced_folders(_mount_point(folder), error.errno)
    finally:
        os.close(descriptor)


def _mount_point(path: str) -> str:
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


@functools.cache  # one warning per run
def _warn_of_unsynced_folders(mount_point: str, number: int) -> None:
    warn(f"{printable(mount_point)}: this file system cannot sync folders ({os.strerror(number)}). A loss of power soon after a"
         " run can undo the last files that the run wrote there. Keep the library and its state on a local disk if you can.")


def make_folder(folder: str, mode: int = 0o700, owner_of: str | None = None) -> None:
    """Create ``folder`` and its missing parents, durably, with the owner as in :func:`write`. Raises ``DhashError``."""
    try:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(os.path.abspath(folder))
        make_folder(parent, mode, owner_of)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode)
            if owner_of is not None:
                wanted = os.stat(owner_of)
                with contextlib.suppress(PermissionError):
                    os.chown(folder, wanted.st_uid, wanted.st_gid)
        sync_folder(parent)
    except OSError as error:
        raise from_os_error(error, "create the folder", folder) from error


def present_part(folder: str) -> str:
    """``folder``, or the nearest of its parents that exists."""
    present = os.path.abspath(folder)
    while not os.path.lexists(present):
        present = os.path.dirname(present)
    return present


def obstacle(folder: str, may_be_made: bool = True) -> Obstacle | None:
    """The reason why this user cannot write files into ``folder``; None if this user can. Writes nothing.

    A missing folder is not an obstacle if ``may_be_made``, because :func:`make_folder` creates it.
    """
    present = present_part(folder)
    if not os.path.isdir(present):
        return Obstacle(present, "is not a folder", "Move this file away")
    if f"{os.path.realpath(present)}/".startswith(KERNEL_FOLDERS):
        return Obstacle(present, "is not writable", None)
    if not may_be_made and present != os.path.abspath(folder):
        return Obstacle(folder, "does not exist", "Create this folder")
    if not os.access(present, os.W_OK | os.X_OK):
        return Obstacle(present, "is not writable", "Give this user write access to this folder, run with become")
    return None


def exists(path: str) -> bool:
    """Whether ``path`` exists, as a file, a folder or a link. Raises ``DhashError`` if that cannot be determined."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise from_os_error(error, "check whether the file exists", path) from error
    return True


def is_file(path: str) -> bool:
    """Whether ``path`` is a regular file, or a link to one. Raises ``DhashError`` if that cannot be determined."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise from_os_error(error, "check whether the file exists", path) from error


def size_of_file(path: str) -> int:
    """The number of bytes at ``path``. Raises ``DhashError``."""
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise from_os_error(error, "get the size of the file", path) from error


def temporary_name(path: str) -> str:
    """Where the new content of ``path`` is prepared: one name per path, in the same folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{TEMPORARY}")


def free_name(prefix: str, suffix: str = "", moment: float | None = None) -> str:
    """``prefix``, the time and ``suffix``. If that file exists, the next second with a free name. Raises ``DhashError``."""
    moment = int(time.time() if moment is None else moment)
    while True:
        path = f"{prefix}{time.strftime(STAMP, time.gmtime(moment))}{suffix}"
        if not exists(path):
            return path
        moment += 1


def remove_leftovers(prefix: str) -> None:
    """Remove, where possible, the temporary files of paths that begin with ``prefix``. Call it with the lock held.

    For paths with a time in their names: no later run writes to the same path and takes the temporary file over.
    """
    folder, name = os.path.split(prefix)
    with contextlib.suppress(OSError):
        for leftover in os.listdir(folder):
            if leftover.startswith(f".{name}") and leftover.endswith(TEMPORARY):
                _remove_where_possible(os.path.join(folder, leftover))


def write(path: str, chunks: Iterable[bytes], like: str | None = None, mode: int = 0o600,
          owner_of: str | None = None, noted: dict[str, Any] | None = None,
          before: Callable[[str], None] | None = None) -> str:
    """Write ``chunks`` to ``path`` atomically and durably (a loss of power does not undo it); returns their SHA-256.

    The file gets the metadata of ``like`` (a path: mode, owner, ACL, extended attributes, security label) or,
    without ``like``, ``mode`` and, if the user may set it, the owner of ``owner_of``. ``noted`` is what ``file_metadata.read``
    returned for a file that no longer exists: the new file gets as much of it as the user may set. ``before`` is called with the
    digest when everything but the name is on disk. Raises ``DhashError``, leaving ``path`` as it was.
    """
    temporary = temporary_name(path)
    try:
        digest = _write_temporary(temporary, path, chunks, like, mode, owner_of, noted)
        if before is not None:
            before(digest)
        os.rename(temporary, path)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        _remove_where_possible(temporary)
        raise _explain(error, "write the file", path) from error
    except BaseException:
        _remove_where_possible(temporary)
        raise
    return digest


def copy(source: str, path: str, like: str | None = None, mode: int = 0o600, owner_of: str | None = None,
         before: Callable[[str], None] | None = None) -> str:
    """Copy ``source`` to ``path`` as :func:`write` does; returns the SHA-256 of what was copied."""
    return write(path, _content_of(source), like, mode, owner_of, before=before)


def _content_of(path: str) -> Iterator[bytes]:
    try:
        with bounded_reads.open_file(path) as file:
            bounded_reads.require_size(file, path, MAX_BYTES)
            left = MAX_BYTES
            while chunk := file.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise bounded_reads.too_long(path, MAX_BYTES)
                yield chunk
    except OSError as error:
        raise from_os_error(error, "read the file", path) from error


def exchange(one: str, other: str) -> bool:
    """Swap the names of two files in one folder atomically (renameat2, RENAME_EXCHANGE) and durably.

    False if this kernel, C library or file system does not support this; then nothing was changed. Raises ``DhashError``.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    result = renameat2(ctypes.c_int(AT_FDCWD), ctypes.c_char_p(os.fsencode(one)),
                       ctypes.c_int(AT_FDCWD), ctypes.c_char_p(os.fsencode(other)), ctypes.c_uint(RENAME_EXCHANGE))
    if result != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL):
            return False
        raise _explain(OSError(number, os.strerror(number)), "replace the file", other)
    _sync_names_of(other)
    return True


def move(source: str, path: str) -> None:
    """Rename ``source`` over ``path`` in the same folder, durably. Raises ``DhashError``."""
    try:
        os.rename(source, path)
    except OSError as error:
        raise _explain(error, "replace the file", path) from error
    _sync_names_of(path)


def _sync_names_of(path: str) -> None:
    try:
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, "sync the folder after renaming the file", path) from error


def _write_temporary(temporary: str, path: str, chunks: Iterable[bytes], like: str | None, mode: int, owner_of: str | None,
                     noted: dict[str, Any] | None) -> str:
    _remove_where_possible(temporary)  # of a run that was killed
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        digest = hashlib.sha256()
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        if like is not None:
            file_metadata.copy_to(like, file.fileno())
        elif noted is not None:
            file_metadata.give_where_allowed(noted, file.fileno())
        else:
            if owner_of is not None:
                file_metadata.give_owner_where_allowed(owner_of, file.fileno())
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
        _drop_from_page_cache(file.fileno())
        if _sha256_of_descriptor(file.fileno(), path) != digest.hexdigest():
            raise DhashError("the file on disk differs from what was written", path, "Check the disk, then run again.")
    return digest.hexdigest()


def remove(path: str) -> bool:
    """Unlink ``path`` durably; False if the file did not exist. Raises ``DhashError``."""
    try:
        os.unlink(path)
        sync_folder(os.path.dirname(path))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, "remove the file", path) from error
    return True


def _remove_where_possible(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _drop_from_page_cache(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _explain(error: OSError, doing: str, path: str) -> DhashError:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return DhashError(
            "the file cannot be replaced atomically because the file itself is a mount point (a bind mount)", path,
            "Mount the folder that holds it instead of the file, then run again.")
    return from_os_error(error, doing, path)
