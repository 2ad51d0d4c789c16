# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import multiprocessing
import multiprocessing.process
import multiprocessing.synchronize
import os
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, locking
from conftest import present

OLD, NEW = b"old" * 1000, b"new" * 100_000
ACCESS_ACL, DEFAULT_ACL = "system.posix_acl_access", "system.posix_acl_default"
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with content, alone in its folder."""
    path = tmp_path / "folder" / "library.json"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def write(path: Path, content: bytes, **options: Any) -> str:
    return durable.write(str(path), [content], **options)


def only_file_in(path: Path) -> bool:
    return [entry.name for entry in path.parent.iterdir()] == [path.name]


def acl_with_user_1000(permissions: int) -> bytes:
    """The ACL u::rw-,u:1000:PERMISSIONS,g::r--,m::rw-,o::--- as the kernel has it (linux/posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, 6, nobody), (0x02, permissions, 1000), (0x04, 4, nobody), (0x10, 6, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_attribute_or_skip(path: Path, name: str, value: bytes) -> None:
    if not hasattr(os, "setxattr"):
        pytest.skip("this system has no extended attributes")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"this file system has no {name}: {error.strerror}")


def refusal(action: Callable[..., object], *args: Any, **kwargs: Any) -> DhashError:
    with pytest.raises(DhashError) as caught:
        action(*args, **kwargs)
    return caught.value


# Writing.


def test_what_is_written_is_there_whole_and_its_digest_is_told(file: Path) -> None:
    assert write(file, NEW) == hashlib.sha256(NEW).hexdigest()
    assert file.read_bytes() == NEW
    assert only_file_in(file)


def test_content_may_come_in_pieces(file: Path) -> None:
    digest = durable.write(str(file), iter([b"a", b"", b"bc"]))
    assert file.read_bytes() == b"abc"
    assert digest == hashlib.sha256(b"abc").hexdigest()


def test_a_new_file_is_for_its_owner_alone_whatever_the_umask(file: Path) -> None:
    umask = os.umask(0)
    try:
        write(file.with_name("new"), NEW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.with_name("new").stat().st_mode) == 0o600


def test_new_file_gets_the_requested_mode_despite_the_umask(file: Path) -> None:
    umask = os.umask(0o077)
    try:
        write(file.with_name("new"), NEW, mode=0o644)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.with_name("new").stat().st_mode) == 0o644


def test_a_copy_is_equal_and_its_digest_is_told(file: Path) -> None:
    assert durable.copy(str(file), str(file.with_name("copy"))) == hashlib.sha256(OLD).hexdigest()
    assert file.with_name("copy").read_bytes() == OLD


def test_copy_of_a_missing_source_names_it_and_keeps_the_target(file: Path) -> None:
    error = refusal(durable.copy, str(file.with_name("gone")), str(file))
    assert error.path == str(file.with_name("gone"))
    assert error.cause == "could not read the file: No such file or directory"
    assert file.read_bytes() == OLD
    assert only_file_in(file)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that can be opened but not read")
def test_unreadable_source_is_named_and_the_target_kept(file: Path) -> None:
    error = refusal(durable.copy, "/proc/self/mem", str(file))
    assert (error.path, error.cause) == ("/proc/self/mem", "could not read the file: Input/output error")
    assert file.read_bytes() == OLD
    assert only_file_in(file)


# The metadata of the file that is replaced.


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o2664])
def test_the_mode_of_the_replaced_file_is_kept(file: Path, mode: int) -> None:
    file.chmod(mode)
    write(file, NEW, like=str(file))
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_and_group_of_the_replaced_file_are_kept(file: Path) -> None:
    os.chown(file, 1234, 2345)
    file.chmod(0o640)
    write(file, NEW, like=str(file))
    status = file.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_new_file_goes_to_the_owner_that_is_named(file: Path) -> None:
    os.chown(file, 1234, 2345)
    write(file.with_name("new"), NEW, owner_of=str(file))
    assert (file.with_name("new").stat().st_uid, file.with_name("new").stat().st_gid) == (1234, 2345)


def test_extended_attributes_of_the_replaced_file_are_kept(file: Path) -> None:
    set_attribute_or_skip(file, "user.origin", b"\x00scanner\xff")
    write(file, NEW, like=str(file))
    assert os.getxattr(file, "user.origin") == b"\x00scanner\xff"


def test_the_acl_of_the_replaced_file_is_kept(file: Path) -> None:
    set_attribute_or_skip(file, ACCESS_ACL, acl_with_user_1000(6))
    write(file, NEW, like=str(file))
    assert os.getxattr(file, ACCESS_ACL) == acl_with_user_1000(6)


def test_replaced_file_without_an_acl_inherits_none(file: Path) -> None:
    set_attribute_or_skip(file.parent, DEFAULT_ACL, acl_with_user_1000(7))
    write(file, NEW, like=str(file))
    assert ACCESS_ACL not in os.listxattr(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_new_file_is_private_even_in_a_folder_with_a_default_acl(file: Path) -> None:
    set_attribute_or_skip(file.parent, DEFAULT_ACL, acl_with_user_1000(7))
    new = file.with_name("new")
    write(new, NEW)
    assert stat.S_IMODE(new.stat().st_mode) == 0o600  # the group's bits are the ACL's mask: nobody named in it gets in


@pytest.mark.parametrize("function", ["fchown", "setxattr", "fchmod"])
def test_where_the_metadata_cannot_be_kept_nothing_is_replaced(file: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def refuse(*_args: object) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    set_attribute_or_skip(file, "user.origin", b"scanner")
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    elif function == "fchown":
        pytest.skip("only root has files of others")
    monkeypatch.setattr(os, function, refuse)
    error = refusal(write, file, NEW, like=str(file))
    assert error.cause == ("not permitted to set the owner of the new file to that of this file (1234:2345)" if function == "fchown"
                           else "could not write the file: Operation not permitted")
    assert (error.path, present(error.next_step)[-1]) == (str(file), ".")
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_missing_support_for_extended_attributes_is_tolerated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_args: object) -> NoReturn:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "listxattr", unsupported, raising=False)
    write(file, NEW, like=str(file))
    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


# Writing that fails.


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("function", ["open", "fsync", "fchmod", "rename"])
def test_failed_write_keeps_the_original_and_no_temporary_file(file: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int) -> None:
    def fail(*_args: object, **_kwargs: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    before = file.stat()
    with monkeypatch.context() as failing:
        failing.setattr(os, function, fail)
        error = refusal(write, file, NEW, like=str(file))
    assert (error.path, error.cause) == (str(file), f"could not write the file: {os.strerror(number)}")
    assert error.next_step
    assert file.read_bytes() == OLD
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert only_file_in(file)


def test_a_full_disk_leaves_the_original_and_no_temporary_file(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", on=tmp_path)
    file = tmp_path / "library.json"
    file.write_bytes(OLD)
    error = refusal(write, file, NEW, like=str(file))
    assert str(error) == (f"{file}: could not write the file: No space left on device. "
                          "Free space on this file system, then run again.")
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_file_size_limit_keeps_the_original_and_nothing_else(file: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) // 2, limits[1]))  # Python ignores SIGXFSZ
    try:
        error = refusal(write, file, NEW, like=str(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.cause == "could not write the file: File too large"
    assert "ulimit -f" in str(error.next_step)
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_a_file_system_that_is_read_only_is_named_as_the_reason(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount("-t", "tmpfs", "tmpfs", on=tmp_path)
    file = tmp_path / "library.json"
    file.write_bytes(OLD)
    mount("-o", "remount,ro", on=tmp_path)
    error = refusal(write, file, NEW, like=str(file))
    assert error.cause == "could not write the file: Read-only file system"
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_a_folder_without_write_access_is_named_as_the_reason(file: Path, as_nobody: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    file.parent.chmod(0o500)
    try:
        with as_nobody():
            error = refusal(write, file, NEW)
    finally:
        file.parent.chmod(0o700)
    assert error.cause == "could not write the file: Permission denied"
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_what_does_not_read_back_the_same_is_not_put_in_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: read(descriptor, size, offset).replace(b"n", b"m"))
    error = refusal(write, file, NEW, like=str(file))
    assert str(error) == f"{file}: the file on disk differs from what was written. Check the disk, then run again."
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_an_interrupt_leaves_the_original_and_no_temporary_file(file: Path) -> None:
    def interrupted() -> Iterator[bytes]:
        yield NEW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        durable.write(str(file), interrupted())
    assert file.read_bytes() == OLD
    assert only_file_in(file)


def test_killed_write_leaves_a_whole_file_and_the_next_cleans_up(
        file: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        file.write_bytes(OLD)
        if not killed_at(number, lambda: write(file, NEW, like=str(file))):
            break
        assert file.read_bytes() in (OLD, NEW)
        write(file, NEW, like=str(file))
        assert file.read_bytes() == NEW
        assert only_file_in(file)
    assert number >= 5  # open, fchmod, fsync, rename, and the folder's fsync at least


def test_a_link_where_the_temporary_file_goes_is_not_followed(file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    os.symlink(victim, durable.temporary_name(str(file)))
    write(file, NEW)
    assert victim.read_bytes() == b"mine"
    assert file.read_bytes() == NEW
    assert not file.is_symlink()


def test_irremovable_link_at_the_temporary_path_is_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    os.symlink(victim, durable.temporary_name(str(file)))
    monkeypatch.setattr(os, "unlink", refuse)
    assert "could not write the file" in refusal(write, file, NEW).cause
    assert (victim.read_bytes(), file.read_bytes()) == (b"mine", OLD)


# Two files that change places.


def exchange_or_skip(one: Path, other: Path) -> None:
    if not durable.exchange(str(one), str(other)):
        pytest.skip("this kernel or file system cannot exchange two files")


def test_two_files_change_places(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    exchange_or_skip(other, file)
    assert (file.read_bytes(), other.read_bytes()) == (NEW, OLD)


def test_concurrent_reader_sees_the_whole_old_or_whole_new_file(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    reads, contents, stop = FORK.Value("i"), FORK.Value("i"), FORK.Event()
    receiving, sending = FORK.Pipe(duplex=False)

    def read_on() -> None:
        seen = set()
        while not stop.is_set():
            try:
                seen.add(hashlib.sha256(file.read_bytes()).hexdigest())
            except OSError as error:
                seen.add(str(error.strerror))
            reads.value, contents.value = reads.value + 1, len(seen)
        sending.send(seen)

    reader = FORK.Process(target=read_on)
    reader.start()
    try:
        deadline = time.monotonic() + 30
        while reads.value < 200 or contents.value < 2:
            assert reader.is_alive() and time.monotonic() < deadline
            exchange_or_skip(other, file)
        stop.set()
        assert receiving.poll(30)
        assert receiving.recv() == {hashlib.sha256(content).hexdigest() for content in (OLD, NEW)}
    finally:
        reader.kill()
        reader.join()


def test_missing_swap_support_is_reported_and_nothing_is_done(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: SimpleNamespace())
    assert durable.exchange(str(other), str(file)) is False
    assert (file.read_bytes(), other.read_bytes()) == (OLD, NEW)


def test_an_exchange_with_what_is_not_there_is_refused(file: Path) -> None:
    error = refusal(exchange_or_skip, file.with_name("gone"), file)
    assert (error.path, error.cause) == (str(file), "could not replace the file: No such file or directory")
    assert file.read_bytes() == OLD


@pytest.mark.parametrize("replace", [
    lambda other, file: durable.exchange(str(other), str(file)),
    lambda other, file: durable.move(str(other), str(file)),
    lambda other, file: durable.copy(str(other), str(file), like=str(file)),
], ids=["exchange", "move", "copy"])
def test_bind_mounted_file_is_refused_with_its_own_message(
        file: Path, tmp_path: Path, mount: Callable[..., None], replace: Callable[[Path, Path], object]) -> None:
    mounted = tmp_path / "mounted.json"
    mounted.write_bytes(OLD)
    mount("--bind", str(mounted), on=file)
    other = file.with_name("other")
    other.write_bytes(NEW)
    error = refusal(replace, other, file)
    assert str(error) == (f"{file}: the file cannot be replaced atomically because the file itself is a mount point (a bind mount)."
                          " Mount the folder that holds it instead of the file, then run again.")
    assert file.read_bytes() == OLD
    assert sorted(entry.name for entry in file.parent.iterdir()) == [file.name, "other"]


# Folders, digests, removing.


def test_new_folder_and_its_parents_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    durable.make_folder(str(folder))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)] == [0o700, 0o700]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_new_folder_and_its_parents_get_the_requested_owner(file: Path, tmp_path: Path) -> None:
    os.chown(file, 1234, 2345)
    folder = tmp_path / "a" / "b"
    durable.make_folder(str(folder), 0o750, owner_of=str(file))
    assert [(path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in (folder, folder.parent)] == \
        [(1234, 2345, 0o750)] * 2
    assert tmp_path.stat().st_uid == 0


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    durable.make_folder(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_made_is_named(file: Path) -> None:
    error = refusal(durable.make_folder, str(file / "state"))
    assert error.path == str(file / "state")
    assert "could not create the folder" in error.cause


def test_the_digest_is_that_of_sha256sum(file: Path) -> None:
    assert durable.sha256_of_file(str(file)) == hashlib.sha256(OLD).hexdigest()


def test_checksum_of_an_unreadable_file_is_an_error_with_a_path(file: Path) -> None:
    assert refusal(durable.sha256_of_file, str(file.parent)).path == str(file.parent)
    assert refusal(durable.sha256_of_file, str(file) + ".gone").cause == "could not read the file: No such file or directory"


def test_existence_that_cannot_be_checked_is_an_error(file: Path) -> None:
    assert durable.exists(str(file)) is True
    assert durable.exists(str(file.with_name("gone"))) is False
    assert durable.exists(str(file / "below a file")) is False
    loop = file.with_name("loop")
    loop.symlink_to("loop")
    assert durable.exists(str(loop)) is True
    assert refusal(durable.exists, str(loop / "file")).cause.startswith("could not check whether the file exists")


def test_a_regular_file_is_told_only_where_it_can_be_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, loop = file.with_name("link"), file.with_name("loop")
    link.symlink_to(file)
    loop.symlink_to("loop")
    assert durable.is_file(str(file)) and durable.is_file(str(link))
    for other in (file.parent, file.with_name("gone"), file / "below a file", loop):
        assert not durable.is_file(str(other))

    def unreadable(path: str) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(os, "stat", unreadable)
    assert refusal(durable.is_file, str(file)).cause == "could not check whether the file exists: Input/output error"


def test_only_leftovers_of_timestamped_files_are_removed(file: Path) -> None:
    for stamp in ("20260131T120000Z", "20260131T120001Z"):
        file.with_name(os.path.basename(durable.temporary_name(f"{file}.bak.{stamp}"))).touch()
    kept = [os.path.basename(durable.temporary_name(str(file))), "library.json.bak.20260131T120000Z", ".other.tmp", file.name]
    for name in kept:
        file.with_name(name).touch()
    durable.remove_leftovers(f"{file}.bak.")
    assert sorted(entry.name for entry in file.parent.iterdir()) == sorted(kept)
    durable.remove_leftovers(f"{file.parent}/gone/x")


def test_removing_tells_whether_there_was_something_to_remove(file: Path) -> None:
    assert durable.remove(str(file)) is True
    assert durable.remove(str(file)) is False


def test_what_cannot_be_removed_is_named(file: Path) -> None:
    assert refusal(durable.remove, str(file.parent)).cause.startswith("could not remove the file")


# The lock.


class Holder(NamedTuple):
    process: multiprocessing.process.BaseProcess
    let_go: multiprocessing.synchronize.Event


@contextlib.contextmanager
def lock_held_elsewhere(file: Path) -> Iterator[Holder]:
    """The lock, held by another process until ``let_go`` is set or the process ended."""
    held, let_go = FORK.Event(), FORK.Event()

    def hold() -> None:
        with locking.lock(str(file), "migration", "20260131T120000Z-7", timeout=0):
            held.set()
            let_go.wait(60)

    process = FORK.Process(target=hold)
    process.start()
    try:
        assert held.wait(30)
        yield Holder(process, let_go)
    finally:
        process.kill()
        process.join()


def test_the_lock_is_free_again_after_use_and_after_a_failure(file: Path) -> None:
    for _time in range(2):
        with pytest.raises(ZeroDivisionError), locking.lock(str(file), "backup", "run", timeout=0):
            raise ZeroDivisionError


def test_a_second_taker_is_told_who_holds_the_lock_since_when(file: Path) -> None:
    with lock_held_elsewhere(file) as holder, pytest.raises(LockedError) as caught, locking.lock(str(file), "backup", "run", timeout=0.2):
        pytest.fail("two hold the lock")
    error = caught.value
    assert error.path == f"{file}.lock"
    assert error.cause.startswith(
        f"the library is in use by migration (process {holder.process.pid} on {socket.gethostname()},"
        " run 20260131T120000Z-7, since 20")
    assert "dhash_lock_timeout" in str(error.next_step)


@pytest.fixture
def folders_fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Have each fsync of a folder fail with that error; lists the warnings."""
    warnings: list[str] = []
    monkeypatch.setattr(durable, "warn", warnings.append)
    durable._warn_of_unsynced_folders.cache_clear()
    fsync = os.fsync

    def fail_with(number: int) -> list[str]:
        def failing(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        return warnings

    return fail_with


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOTTY])
def test_a_folder_that_cannot_be_synced_is_one_warning(file: Path, tmp_path: Path, folders_fail: Callable[[int], list[str]], number: int) -> None:
    warnings = folders_fail(number)
    durable.make_folder(str(tmp_path / "a" / "b"))
    durable.write(str(file), [b"new"])
    durable.copy(str(file), str(tmp_path / "a" / "b" / "copy"))
    durable.remove(str(tmp_path / "a" / "b" / "copy"))
    assert file.read_bytes() == b"new"
    (warning,) = warnings
    assert "cannot sync folders" in warning and os.strerror(number) in warning


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EBADF])
def test_any_other_error_of_a_folders_sync_fails(file: Path, folders_fail: Callable[[int], list[str]], number: int) -> None:
    warnings = folders_fail(number)
    with pytest.raises(DhashError, match=os.strerror(number)):
        durable.write(str(file), [b"new"])
    assert warnings == []


def test_what_is_no_lock_file_is_not_taken_for_a_wrong_path(file: Path) -> None:
    os.mkdir(f"{file}.lock")
    with pytest.raises(DhashError) as caught, locking.lock(str(file), "backup", "run", 0):
        pass
    assert caught.value.path == f"{file}.lock" and "in the place of the lock file. Another program may use it" in str(caught.value)


def test_a_lock_of_something_else_names_it(file: Path) -> None:
    with lock_held_elsewhere(file), pytest.raises(LockedError) as caught, locking.lock(str(file), "export", "run", 0, "the review queue", locking.WAIT):
        pytest.fail("two hold the lock")
    assert caught.value.cause.startswith("the review queue is in use by migration (process")
    assert caught.value.next_step == locking.WAIT


def test_a_second_taker_waits_for_the_lock_and_gets_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    with lock_held_elsewhere(file) as holder:
        sleep = time.sleep

        def let_the_holder_go(seconds: float) -> None:
            waited.append(seconds)
            holder.let_go.set()
            sleep(seconds)

        monkeypatch.setattr(time, "sleep", let_the_holder_go)
        with locking.lock(str(file), "backup", "run", timeout=60):
            assert waited
            assert present(locking.holder(str(file)))["operation"] == "backup"


def test_the_lock_of_a_killed_holder_is_free(file: Path) -> None:
    with lock_held_elsewhere(file) as holder:
        holder.process.kill()
        holder.process.join()
        assert locking.holder(str(file)) is None
        with locking.lock(str(file), "backup", "run", timeout=0):
            assert present(locking.holder(str(file)))["run"] == "run"


def test_the_holder_stands_in_the_lock_for_people_to_read(file: Path) -> None:
    with lock_held_elsewhere(file) as holder:
        shown = present(locking.holder(str(file)))
        assert shown == {"operation": "migration", "run": "20260131T120000Z-7", "process": holder.process.pid,
                         "host": socket.gethostname(), "since": shown["since"]}
    with locking.lock(str(file), "backup", "run", timeout=0):
        pass
    assert locking.holder(str(file)) is None


def test_looking_for_the_holder_writes_nothing(file: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(file.parent)
    assert locking.holder(str(file)) is None
    assert tree(file.parent) == before
    with lock_held_elsewhere(file) as holder:
        before = tree(file.parent)
        assert locking.holder(str(file)) is not None
        assert tree(file.parent) == before
        holder.process.kill()
        holder.process.join()
        assert locking.holder(str(file)) is None
        assert tree(file.parent) == before


def test_the_lock_file_is_never_unlinked(file: Path) -> None:
    numbers = set()
    for _time in range(3):
        with locking.lock(str(file), "backup", "run", timeout=0):
            pass
        numbers.add(os.stat(f"{file}.lock").st_ino)
    assert len(numbers) == 1


def test_the_lock_on_one_library_leaves_others_free(file: Path) -> None:
    with lock_held_elsewhere(file), locking.lock(str(file.with_name("other.json")), "backup", "run", timeout=0):
        pass


def test_whoever_may_write_the_library_may_take_its_lock(file: Path) -> None:
    file.chmod(0o664)
    with locking.lock(str(file), "backup", "run", timeout=0):
        pass
    assert stat.S_IMODE(os.stat(f"{file}.lock").st_mode) == 0o664


def test_a_link_in_the_place_of_the_lock_is_not_followed(file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    os.symlink(victim, f"{file}.lock")
    with pytest.raises(DhashError, match="a symbolic link is in the place of the lock file"), locking.lock(str(file), "backup", "run", timeout=0):
        pass
    assert victim.read_bytes() == b"mine"


def test_a_lock_without_a_readable_holder_is_still_respected(file: Path) -> None:
    with lock_held_elsewhere(file):
        with open(f"{file}.lock", "r+b") as lock:
            lock.truncate(5)
        with pytest.raises(LockedError, match="in use by another process"), locking.lock(str(file), "backup", "run", timeout=0):
            pass


def test_a_full_disk_does_not_keep_a_rollback_from_its_lock(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with locking.lock(str(file), "rollback", "run", timeout=0):
        assert locking.holder(str(file)) is None


def test_library_in_a_missing_folder_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(DhashError) as caught, locking.lock(str(tmp_path / "gone" / "library.json"), "backup", "run", timeout=0):
        pass
    assert caught.value.cause == "could not open the lock file: No such file or directory"


# What can be written.


@pytest.mark.parametrize("folder", ["", "new", "new/below"])
def test_writable_or_creatable_folder_is_accepted_not_created(tmp_path: Path, folder: str) -> None:
    assert durable.obstacle(str(tmp_path / folder)) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc", "/proc/new/below", "/sys/new"])
def test_nobody_writes_into_the_folders_of_the_kernel(folder: str) -> None:
    assert durable.obstacle(folder) == (folder[:5].rstrip("/"), "is not writable", None)
    assert durable.obstacle(folder, may_be_made=False) == durable.obstacle(folder)
    with pytest.raises(DhashError):
        durable.make_folder(f"{folder}/new")


def test_a_link_into_a_folder_of_the_kernel_is_no_way_round(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    assert present(durable.obstacle(str(tmp_path / "link" / "new"))).path == str(tmp_path / "link")


def test_folder_named_similarly_to_a_kernel_folder_is_accepted() -> None:
    assert durable.obstacle("/procession") is None or os.geteuid() != 0


def test_what_is_no_folder_is_an_obstacle(file: Path) -> None:
    assert durable.obstacle(str(file / "below")) == (str(file), "is not a folder", "Move this file away")


def test_a_link_that_leads_nowhere_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    assert present(durable.obstacle(str(tmp_path / "link"))).cause == "is not a folder"


def test_a_folder_that_has_to_be_there_and_is_not_is_an_obstacle(tmp_path: Path) -> None:
    assert durable.obstacle(str(tmp_path / "new"), may_be_made=False) == (str(tmp_path / "new"), "does not exist", "Create this folder")
    assert durable.obstacle(str(tmp_path), may_be_made=False) is None


def test_folder_of_another_user_is_refused_without_permission(tmp_path: Path) -> None:
    """As the user that a process runs as, whose rights the kernel tells it: root's would be those of everybody."""
    script = ("from ansible_collections.mobius.dhash.plugins.module_utils._files import durable\n"
              "print([durable.obstacle(folder) for folder in ('/', '/root/new', '/tmp')])\n")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if as_nobody and not shutil.which("setpriv"):
        pytest.skip("only where setpriv is installed")
    python = [shutil.which("python3", path="/usr/bin:/bin") or sys.executable, "-c", script]
    shown = subprocess.run([*as_nobody, *python], capture_output=True, text=True, check=False, cwd="/",
                           env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(filter(None, sys.path))})
    assert shown.returncode == 0, shown.stderr
    advice = "'is not writable', step='Give this user write access to this folder, run with become'"
    assert shown.stdout.count(advice) == 2 and shown.stdout.endswith(", None]\n")
