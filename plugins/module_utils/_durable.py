# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lock, digest, temporary file, fsync, rename: every write to disk goes through here.

The order of steps is that of restic's local backend and borg's SyncFile: a temporary file in the same folder,
its metadata, fsync, read back, rename, fsync of the folder. Clean-up is tried, never relied on: a temporary file has
one fixed name, so that the next write to the same place takes it over.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import fcntl
import functools
import hashlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.common.warnings import warn
from ansible_collections.mobius.dhash.plugins.module_utils._errors import (
    DhashError, LockedError, from_os_error, printable)

CHUNK = 1 << 20
TEMPORARY = ".mobius-dhash.tmp"
STAMP = "%Y%m%dT%H%M%SZ"  # UTC, in a file name
RENAME_EXCHANGE = 2  # linux/fs.h
CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY)  # SMB and some FUSE file systems; so do restic and borg
AT_FDCWD = -100  # linux/fcntl.h
WAIT = "Wait for it to end, then run again."
WAIT_LONGER = "Wait for it to end, or raise dhash_lock_timeout, then run again."
NO_METADATA_OF_THAT_KIND = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA, errno.ENOSYS)


def sha256_of_file(path: str) -> str:
    """The hexadecimal SHA-256 of the bytes at ``path``. Raises ``DhashError``."""
    try:
        with open(path, "rb") as file:
            return _sha256_of_descriptor(file.fileno())
    except OSError as error:
        raise from_os_error(error, "read it", path) from error


def read(path: str) -> bytes:
    """The bytes at ``path``. Raises ``DhashError``."""
    return b"".join(_content_of(path))


def _sha256_of_descriptor(descriptor: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while chunk := os.pread(descriptor, CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
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


@functools.lru_cache(maxsize=None)  # one warning a run
def _warn_of_unsynced_folders(mount_point: str, number: int) -> None:
    warn(f"{printable(mount_point)}: this file system cannot sync folders ({os.strerror(number)}). A loss of power soon after a"
         " run can undo the last files that it wrote there. Keep the library and its state on a local disk if you can.")


def make_folder(folder: str, mode: int = 0o700, owner_of: str | None = None) -> None:
    """Make ``folder`` and the parents it lacks, durably; their owner is as in :func:`write`. Raises ``DhashError``."""
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
        raise from_os_error(error, "make the folder", folder) from error


def exists(path: str) -> bool:
    """Whether there is anything at ``path``, a link included. Raises ``DhashError`` where that cannot be told."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise from_os_error(error, "look for it", path) from error
    return True


def size_of_file(path: str) -> int:
    """The number of bytes at ``path``. Raises ``DhashError``."""
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise from_os_error(error, "look at it", path) from error


def temporary_name(path: str) -> str:
    """Where the new content of ``path`` is prepared: one name a path, in the same folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{TEMPORARY}")


def free_name(prefix: str, suffix: str = "", moment: float | None = None) -> str:
    """``prefix``, the time, or the next second at which there is no such file, and ``suffix``. Raises ``DhashError``."""
    moment = int(time.time() if moment is None else moment)
    while True:
        path = f"{prefix}{time.strftime(STAMP, time.gmtime(moment))}{suffix}"
        if not exists(path):
            return path
        moment += 1


def remove_leftovers(prefix: str) -> None:
    """Remove, where possible, the temporary files of paths that begin with ``prefix``. Call it with the lock held.

    For paths that tell the time: what a killed run left of one is never taken over, since the same does not come again.
    """
    folder, name = os.path.split(prefix)
    with contextlib.suppress(OSError):
        for leftover in os.listdir(folder):
            if leftover.startswith(f".{name}") and leftover.endswith(TEMPORARY):
                _remove_where_possible(os.path.join(folder, leftover))


def write(path: str, chunks: Iterable[bytes], like: str | None = None, mode: int = 0o600,
          owner_of: str | None = None, noted: dict[str, Any] | None = None,
          before: Callable[[str], None] | None = None) -> str:
    """Put the bytes of ``chunks`` at ``path`` in one step that outlasts a loss of power; returns their SHA-256.

    The file gets the metadata of ``like`` (a path: mode, owner, ACL, extended attributes, security label) or,
    without it, ``mode`` and, where the user may give it, the owner of ``owner_of``. ``noted`` is what :func:`metadata`
    read from a file that is gone: the new one gets as much of it as the user may give. ``before`` is called with the digest
    when all is on disk but the name. Raises ``DhashError``, leaving ``path`` as it was.
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
        raise _explain(error, "write it", path) from error
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
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise from_os_error(error, "read it", path) from error


def exchange(one: str, other: str) -> bool:
    """Let two files of one folder change places in one step (renameat2, RENAME_EXCHANGE), durably.

    False where this kernel, C library or file system cannot: then nothing was done. Raises ``DhashError``.
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
        raise _explain(OSError(number, os.strerror(number)), "put the new file in place", other)
    _sync_names_of(other)
    return True


def move(source: str, path: str) -> None:
    """Rename ``source`` over ``path`` in the same folder, durably. Raises ``DhashError``."""
    try:
        os.rename(source, path)
    except OSError as error:
        raise _explain(error, "put the new file in place", path) from error
    _sync_names_of(path)


def _sync_names_of(path: str) -> None:
    try:
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, "make its new name last", path) from error


def _write_temporary(temporary, path, chunks, like, mode, owner_of, noted) -> str:
    _remove_where_possible(temporary)  # of a run that was killed
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        digest = hashlib.sha256()
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        if like is not None:
            _copy_metadata(like, file.fileno())
        elif noted is not None:
            _give_metadata_where_allowed(noted, file.fileno())
        else:
            if owner_of is not None:
                _give_owner_where_allowed(owner_of, file.fileno())
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
        _drop_from_page_cache(file.fileno())
        if _sha256_of_descriptor(file.fileno()) != digest.hexdigest():
            raise DhashError("what was written does not read back the same", path, "Check the disk, then run again.")
    return digest.hexdigest()


def remove(path: str) -> bool:
    """Unlink ``path`` durably; False where it was not there. Raises ``DhashError``."""
    try:
        os.unlink(path)
        sync_folder(os.path.dirname(path))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, "remove it", path) from error
    return True


def _remove_where_possible(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextlib.contextmanager
def lock(path: str, operation: str, run: str, timeout: float, what: str = "the library",
         next_step: str = WAIT_LONGER, like: str | None = None) -> Iterator[None]:
    """Hold the one lock on ``path`` (``flock`` on ``<path>.lock``, which is never unlinked).

    Waits ``timeout`` seconds at most for another holder, then raises ``LockedError`` that says who holds ``what``, as
    messages call it. A dead holder's lock is free by itself. The lock file is for those who may change ``path`` or, if
    there is nothing at ``path``, ``like``.
    """
    lock_path = f"{path}.lock"
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise from_os_error(error, "open the lock", lock_path) from error
    try:
        # Whoever may change the library may lock it, whichever user made the lock file.
        with contextlib.suppress(OSError):
            owner = like if like is not None and not exists(path) else path
            _give_owner_where_allowed(owner, descriptor)
            os.fchmod(descriptor, stat.S_IMODE(os.stat(owner).st_mode) & 0o666 | 0o600)
        _acquire(descriptor, lock_path, timeout, what, next_step)
        holder = {"operation": operation, "run": run, "process": os.getpid(), "host": socket.gethostname(),
                  "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        _write_holder(descriptor, json.dumps(holder).encode())
        try:
            yield
        finally:
            _write_holder(descriptor, b"")
    finally:
        with contextlib.suppress(OSError):  # it is closed all the same, and the work is done
            os.close(descriptor)


def lock_holder(path: str) -> dict | None:
    """Who holds the lock on the library at ``path``; None where nobody does. Takes no lock and writes nothing."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def flock_within(descriptor: int, seconds: float) -> bool:
    """Whether the exclusive lock (``flock``) was to be had within so many seconds. Raises ``OSError`` where there is none at all."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def _acquire(descriptor: int, lock_path: str, timeout: float, what: str, next_step: str) -> None:
    try:
        if flock_within(descriptor, timeout):
            return
    except OSError as error:
        raise from_os_error(error, "lock it", lock_path) from error
    holder = _read_holder(descriptor)
    who = ("{operation} (process {process} on {host}, run {run}, since {since})".format(**holder)
           if holder else "another process")
    raise LockedError(f"{what} is in use by {who}", lock_path, next_step)


def _write_holder(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(OSError):  # only for people to read: a full disk must not keep a rollback from its lock
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _read_holder(descriptor: int) -> dict | None:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return None
    complete = isinstance(holder, dict) and {"operation", "process", "host", "run", "since"} <= holder.keys()
    return holder if complete else None


def metadata(path: str) -> dict[str, Any]:
    """The mode, owner, ACL and extended attributes of the file at ``path``, as JSON can hold them. Raises ``DhashError``."""
    try:
        status = os.stat(path)
        attributes = {name: base64.b64encode(value).decode() for name, value in _attributes(path).items()}
    except OSError as error:
        raise from_os_error(error, "read its metadata", path) from error
    return {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid, "xattrs": attributes}


def _copy_metadata(source: str, descriptor: int) -> None:
    """Owner, mode, ACL, extended attributes and security label of ``source``, all or an error."""
    wanted, present = os.stat(source), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):
        try:
            os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
        except PermissionError as error:
            raise DhashError(f"this user may not give a new file the owner that it has ({wanted.st_uid}:{wanted.st_gid})",
                             source, "Run with become as root or as that owner.") from error
    attributes, inherited = _attributes(source), _attributes(descriptor)
    for name in inherited.keys() - attributes.keys():
        os.removexattr(descriptor, name)
    for name, value in attributes.items():
        if inherited.get(name) != value:
            os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode))


def _attributes(file: str | int) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        return {name: os.getxattr(file, name) for name in os.listxattr(file)}
    except OSError as error:
        if error.errno in NO_METADATA_OF_THAT_KIND:
            return {}
        raise


def _give_owner_where_allowed(source: str, descriptor: int) -> None:
    wanted = os.stat(source)
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)


def _give_metadata_where_allowed(noted: dict[str, Any], descriptor: int) -> None:
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, noted["uid"], noted["gid"])
    for name, value in noted["xattrs"].items():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, name, base64.b64decode(value))
    os.fchmod(descriptor, noted["mode"])


def _drop_from_page_cache(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _explain(error: OSError, doing: str, path: str) -> DhashError:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return DhashError(
            "it cannot be replaced in one step, because the file itself is a mount point (a bind mount)", path,
            "Mount the folder that holds it instead of the file, then run again.")
    return from_os_error(error, doing, path)
