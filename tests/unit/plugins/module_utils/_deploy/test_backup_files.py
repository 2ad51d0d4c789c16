# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import bounded_reads, file_metadata, locking
from ansible_collections.mobius.dhash.plugins.modules import library_backup
from conftest import present
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
UNHASHED = b'{"images": [{"path": "a.jpg", "filename": "a.jpg"}]}'
HASHED = b'{"images": [{"path": "a.jpg", "filename": "a.jpg", "dhash": "0123456789ABCDEF"}]}'


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "srv" / "library.json"
    path.parent.mkdir()
    path.write_bytes(UNHASHED)
    return path


def make(library: Path, folder: Path | None = None) -> tuple[backup_files.Backup, bool]:
    return backup_files.make(str(library), str(folder or library.parent))


def find(library: Path, folder: Path | None = None) -> list[backup_files.Backup]:
    return backup_files.find(str(library), str(folder or library.parent))


def place(library: Path, stamp: str, content: bytes = UNHASHED, vouched: bool | str = True) -> Path:
    """Place a backup made at the time ``stamp``; ``vouched``: whether with its digest, or a string in its place."""
    path = library.with_name(f"{library.name}.bak.{stamp}")
    path.write_bytes(content)
    if vouched:
        digest = hashlib.sha256(content).hexdigest() if vouched is True else vouched
        Path(f"{path}.sha256").write_text(f"{digest}  {path.name}\n")
    return path


# Making.


def test_backup_has_the_librarys_bytes_and_a_timestamped_name(library: Path) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    backup, created = make(library)
    assert created
    assert Path(backup.path).read_bytes() == UNHASHED
    assert backup == find(library)[0]
    assert (backup.size, backup.expected_sha256) == (len(UNHASHED), hashlib.sha256(UNHASHED).hexdigest())
    assert before <= backup.time <= datetime.now(timezone.utc)
    assert os.path.basename(backup.path) == backup.time.strftime("library.json.bak.%Y%m%dT%H%M%SZ")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="this host has no sha256sum")
@pytest.mark.parametrize("name", ["library.json", "my library, 2nd.json", "日本.json", os.fsdecode(b"l\xefbrary.json")])
def test_sha256sum_accepts_a_backup_and_detects_damage(library: Path, name: str) -> None:
    library = library.rename(library.with_name(name))
    backup, _created = make(library)
    check = ["sha256sum", "--strict", "-c", f"{backup.path}.sha256"]
    assert subprocess.run(check, cwd=library.parent, capture_output=True, check=False).returncode == 0
    Path(backup.path).write_bytes(HASHED)
    assert subprocess.run(check, cwd=library.parent, capture_output=True, check=False).returncode == 1


def test_the_same_content_is_not_backed_up_twice(library: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    first, _created = make(library)
    before = tree(library.parent)
    assert make(library) == (first, False)
    assert tree(library.parent) == before


def test_new_content_gets_its_own_backup_within_the_same_second(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", NOW.timestamp)
    first, _created = make(library)
    library.write_bytes(HASHED)
    second, created = make(library)
    assert created
    assert Path(first.path).read_bytes() == UNHASHED
    assert Path(second.path).read_bytes() == HASHED
    assert find(library) == [second, first]


@pytest.mark.parametrize("clock", [0, -3600], ids=["second", "set_back"])
def test_new_backup_is_the_newest_by_its_name(library: Path, monkeypatch: pytest.MonkeyPatch, clock: int) -> None:
    """Pruning between two backups must not free a second that lies before the newest one."""
    made: list[str] = []
    for text in "[1]", "[2]", "[3]":
        monkeypatch.setattr(time, "time", lambda: NOW.timestamp() + (clock if made else 0))
        library.write_text(text)
        made.append(make(library)[0].path)
        backup_files.prune(backup_files.expired(find(library), 1, 0, NOW))
        assert find(library)[0].path == made[-1]
    assert made == sorted(made)


def test_content_backed_up_earlier_is_not_backed_up_again(library: Path) -> None:
    first, _created = make(library)
    library.write_bytes(HASHED)
    make(library)
    library.write_bytes(UNHASHED)
    assert make(library) == (first, False)


def test_a_damaged_backup_is_no_reason_not_to_make_one(library: Path) -> None:
    damaged, _created = make(library)
    Path(damaged.path).write_bytes(UNHASHED[:-1])
    backup, created = make(library)
    assert created
    assert backup.path != damaged.path
    assert Path(damaged.path).read_bytes() == UNHASHED[:-1]


def test_backup_without_a_checksum_does_not_prevent_a_new_one(library: Path) -> None:
    place(library, "20250101T000000Z", vouched=False)
    assert make(library)[1]


def test_a_backup_is_for_its_owner_alone(library: Path) -> None:
    library.chmod(0o644)
    backup, _created = make(library)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (backup.path, f"{backup.path}.sha256")] == [0o600, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_backup_belongs_to_the_owner_of_the_library(library: Path) -> None:
    os.chown(library, 1234, 2345)
    status = os.stat(make(library)[0].path)
    assert (status.st_uid, status.st_gid) == (1234, 2345)


def test_the_folder_for_backups_is_made_where_it_is_not_there(library: Path, tmp_path: Path) -> None:
    backup, _created = make(library, tmp_path / "deep" / "backups")
    assert os.path.dirname(backup.path) == str(tmp_path / "deep" / "backups")


def test_library_that_changes_during_the_copy_is_copied_again(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [HASHED, UNHASHED, HASHED]
    read = bounded_reads.read

    def read_after_a_change(path: str, max_bytes: int, doing: str = "") -> bytes:
        if path == str(library) and contents:
            library.write_bytes(contents.pop())
        return read(path, max_bytes, doing)

    monkeypatch.setattr(bounded_reads, "read", read_after_a_change)
    backup, created = make(library)
    assert created
    assert Path(backup.path).read_bytes() == library.read_bytes() == HASHED
    assert find(library) == [backup]


def test_library_that_never_stops_changing_leaves_no_bad_backup(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = bounded_reads.read
    numbers = itertools.count()

    def read_after_a_change(path: str, max_bytes: int, doing: str = "") -> bytes:
        if path == str(library):
            library.write_bytes(b"%d" % next(numbers))
        return read(path, max_bytes, doing)

    monkeypatch.setattr(bounded_reads, "read", read_after_a_change)
    with pytest.raises(DhashError) as caught:
        make(library)
    assert (caught.value.path, caught.value.cause) == (str(library), "the library changes faster than it can be copied")
    assert list(library.parent.iterdir()) == [library]


def test_full_disk_leaves_neither_a_backup_nor_a_temporary_file(library: Path, tmp_path: Path, mount: Callable[..., None]) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    mount("-t", "tmpfs", "-o", "size=16k", "tmpfs", on=backups)
    library.write_bytes(UNHASHED + b" " * 100_000)
    with pytest.raises(DhashError, match=r"No space left on device\. Free space"):
        make(library, backups)
    assert list(backups.iterdir()) == []


def test_a_library_that_is_missing_is_named(library: Path) -> None:
    library.unlink()
    with pytest.raises(DhashError) as caught:
        make(library)
    assert caught.value.path == str(library)
    assert list(library.parent.iterdir()) == []


@pytest.mark.slow
def test_killed_backup_is_made_and_cleaned_up_by_the_next_run(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        library = tmp_path / str(number) / "library.json"
        library.parent.mkdir()
        library.write_bytes(UNHASHED)
        killed = killed_at(number, functools.partial(make, library))
        assert all(backup_files.is_good(backup) for backup in find(library))
        backup, created = make(library)
        assert backup_files.is_good(backup)
        assert {str(path) for path in library.parent.iterdir()} == {str(library), *backup_files.files_of(backup)}
        assert Path(backup.path).read_bytes() == UNHASHED
        if not killed:
            break
    assert not created
    assert number > 10


def test_next_backup_removes_only_leftovers_of_killed_runs(library: Path) -> None:
    kept = [place(library, "20240102T000000Z"), library.with_name("other.json.bak.20240101T000000Z.sha256"),
            library.with_name("library.json.bak.sha256"), library.with_name(".library.json.mobius-dhash.tmp")]
    for path in kept[1:]:
        path.touch()
    left = [library.with_name(".library.json.bak.20240101T000000Z.mobius-dhash.tmp"),
            library.with_name(".library.json.bak.20240101T000000Z.sha256.mobius-dhash.tmp"),
            library.with_name("library.json.bak.20240101T000000Z.sha256")]
    for path in left:
        path.touch()
    make(library)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)


# Finding and examining.


def test_backups_of_both_kinds_are_listed_newest_first(library: Path) -> None:
    place(library, "20240115T103000Z")
    place(library, "2024-01-15T10-30-01-999Z")
    place(library, "20251231T235959Z")
    place(library, "2023-12-31T23-59-59-000Z", vouched=False)
    assert [(os.path.basename(backup.path)[17:], backup.time.isoformat()) for backup in find(library)] == [
        ("20251231T235959Z", "2025-12-31T23:59:59+00:00"),
        ("2024-01-15T10-30-01-999Z", "2024-01-15T10:30:01+00:00"),
        ("20240115T103000Z", "2024-01-15T10:30:00+00:00"),
        ("2023-12-31T23-59-59-000Z", "2023-12-31T23:59:59+00:00"),
    ]


@pytest.mark.parametrize("name", [
    "library.json", "library.json.bak", "library.json.bak.", "library.json.bak.20240115T103000", "library.json.bak.20240115T103000Z.sha256",
    "library.json.bak.20240115T103000Z~", ".library.json.bak.20240115T103000Z.mobius-dhash.tmp", "library.json.bak.20241315T103000Z",
    "other.json.bak.20240115T103000Z", "old-library.json.bak.20240115T103000Z", "library.json.bak.2024-01-15T10-30-00Z",
    "library.json.bak.20240115T103000Z\n",
])
def test_what_only_resembles_a_backup_is_none(library: Path, name: str) -> None:
    library.with_name(name).write_bytes(UNHASHED)
    assert find(library) == []


def test_folders_and_links_under_a_backups_name_are_none(library: Path) -> None:
    library.with_name("library.json.bak.20240115T103000Z").mkdir()
    library.with_name("library.json.bak.20240115T103001Z").symlink_to("library.json")
    assert find(library) == []


def test_a_folder_that_is_not_there_holds_no_backups(library: Path, tmp_path: Path) -> None:
    assert find(library, tmp_path / "gone") == []


def test_a_folder_that_cannot_be_listed_is_named(library: Path) -> None:
    with pytest.raises(DhashError) as caught:
        find(library, library)
    assert (caught.value.path, caught.value.cause) == (str(library), "could not list the backups: Not a directory")


def test_a_good_backup_is_shown_with_what_it_holds(library: Path) -> None:
    place(library, "20240115T103000Z", HASHED)
    assert backup_files.examine(find(library)[0]) == backup_files.Content(good=True, problem=None, message=None, images=1, hashed=1)


@pytest.mark.parametrize(("content", "vouched", "problem"), [
    (UNHASHED, False, "checksum_missing"),
    (UNHASHED, "0" * 64, "checksum_mismatch"),
    (UNHASHED, "not a digest", "checksum_missing"),
    (b"", True, "unreadable"),
    (UNHASHED[:-5], hashlib.sha256(UNHASHED).hexdigest(), "unreadable"),
    (b"[]", True, "unreadable"),
])
def test_unverifiable_backup_is_not_good_and_says_why(library: Path, content: bytes, vouched: bool | str, problem: str) -> None:
    place(library, "20240115T103000Z", content, vouched)
    found = backup_files.examine(find(library)[0])
    assert not found.good and found.message
    assert found.problem == problem


def test_a_backup_whose_digest_does_not_hold_is_not_good(library: Path) -> None:
    good = place(library, "20240115T103000Z")
    place(library, "20240115T103001Z", vouched="0" * 64)
    place(library, "20240115T103002Z", vouched=False)
    assert [backup_files.is_good(backup) for backup in find(library)] == [False, False, True]
    good.unlink()
    assert not backup_files.is_good(backup_files.Backup(str(good), NOW, 1, "0" * 64))


def test_the_newest_good_backup_of_a_content_is_found(library: Path) -> None:
    digest = hashlib.sha256(UNHASHED).hexdigest()
    assert backup_files.find_containing(find(library), digest) is None
    place(library, "20240115T103000Z")
    newest = place(library, "20240115T103001Z")
    place(library, "20240115T103002Z", HASHED)
    place(library, "20240115T103003Z", HASHED, vouched=digest)
    assert present(backup_files.find_containing(find(library), digest)).path == str(newest)


# Several libraries of one name.


RUN = "20260131T120000Z-7"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder for the backups of several libraries."""
    return tmp_path / "backups"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another library of the same name."""
    path = tmp_path / "other" / "library.json"
    path.parent.mkdir()
    path.write_bytes(UNHASHED)
    return path


def whose(library: Path | str, folder: Path, digests: Collection[str] = ()) -> dict[str, str]:
    return {os.path.basename(backup.path): backup.belongs for backup in backup_files.find(str(library), str(folder), digests)}


def move_to(folder: Path, *paths: Path | str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [Path(shutil.move(path, folder)) for path in paths]


def run_module(
        library: Path, folders: Sequence[Path], keep: int = 1, keep_days: int = 0, state: Path | str = "/nowhere", check: bool = False) -> dict[str, Any]:
    """What the module library_backup does."""
    params = {"encrypt_to": [], "keep": keep, "keep_days": keep_days, "lock_timeout": 0}
    paths = [str(folder) for folder in folders]
    if check:
        return library_backup.plan(str(library), str(state), paths, params)
    return library_backup.carry_out(str(library), str(state), paths, params, RUN)


def test_manifest_says_whose_backup_it_is(library: Path) -> None:
    library.chmod(0o664)
    backup, _created = make(library)
    assert json.loads(Path(f"{backup.path}.json").read_text()) == {
        "format": 1, "library": str(library), "sha256": hashlib.sha256(UNHASHED).hexdigest(), "size": len(UNHASHED),
        "images": 1, "hashed": 0, "recipients": [],
        "metadata": file_metadata.read(str(library)), "host": socket.gethostname()}
    assert present(present(backup.manifest).metadata)["mode"] == 0o664
    assert stat.S_IMODE(os.stat(f"{backup.path}.json").st_mode) == 0o600


def test_library_that_does_not_parse_is_backed_up(library: Path) -> None:
    library.write_bytes(b"{")
    backup, created = make(library)
    assert created and Path(backup.path).read_bytes() == b"{"
    assert (present(backup.manifest).images, present(backup.manifest).hashed) == (None, None)


def test_two_libraries_keep_their_backups_apart(library: Path, other: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", NOW.timestamp)
    own, theirs = make(library, shared)[0], make(other, shared)[0]
    assert own.path != theirs.path
    for path, backup in ((library, own), (other, theirs)):
        assert make(path, shared) == (backup, False)
        assert backup_files.find_own(str(path), str(shared)) == [backup]
    assert sorted(whose(library, shared).values()) == ["foreign", "own"]


def test_pruning_leaves_backups_of_another_library(library: Path, other: Path, shared: Path) -> None:
    theirs = make(other, shared)[0]
    library.write_bytes(HASHED)
    for content in (HASHED, UNHASHED + b" ", UNHASHED + b"  "):
        library.write_bytes(content)
        run_module(library, [shared])
    assert find(other, shared)[-1].path == theirs.path
    assert backup_files.find_own(str(other), str(shared)) == [theirs] and backup_files.is_good(theirs)


@pytest.mark.parametrize("stamp", ["20240115T103000Z", "2024-01-15T10-30-00-000Z"])
def test_backup_without_manifest_belongs_where_it_lies(library: Path, shared: Path, stamp: str) -> None:
    old = place(library, stamp)
    assert whose(library, library.parent) == {old.name: "own"}
    move_to(shared, old, f"{old}.sha256")
    assert whose(library, shared) == {old.name: "unknown"}
    assert whose(library, shared, {hashlib.sha256(UNHASHED).hexdigest()}) == {old.name: "own"}
    assert whose(library, shared, {hashlib.sha256(HASHED).hexdigest()}) == {old.name: "unknown"}


def test_manifest_of_an_earlier_version_is_read(library: Path, shared: Path) -> None:
    path = place(library, "20240115T103000Z.age", b"encrypted")
    manifest = json.dumps({"sha256": "a" * 64, "size": 1, "images": 2, "hashed": 1, "recipients": ["age1x"]})
    Path(f"{path}.json").write_text(manifest)
    with open(f"{path}.sha256", "a", encoding="utf-8") as checksums:
        checksums.write(f"{hashlib.sha256(manifest.encode()).hexdigest()}  {path.name}.json\n")
    (backup,) = find(library)
    assert (backup.belongs, backup.library, backup.content_sha256, backup_files.is_good(backup)) == ("own", None, "a" * 64, True)
    move_to(shared, path, f"{path}.json", f"{path}.sha256")
    assert whose(library, shared) == {path.name: "unknown"}


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"library": "/srv/other/library.json"}'])
def test_damaged_manifest_does_not_say_whose_backup_it_is(library: Path, shared: Path, content: bytes | None) -> None:
    backup, _created = make(library, shared)
    manifest = Path(f"{backup.path}.json")
    if content is None:
        manifest.unlink()
    else:
        manifest.write_bytes(content)
    (found,) = find(library, shared)
    assert (found.belongs, found.library, backup_files.is_good(found)) == ("unknown", None, True)
    assert make(library, shared)[1]


def test_manifest_of_a_newer_version_is_left_alone(library: Path, shared: Path) -> None:
    backup, _created = make(library, shared)
    text = Path(f"{backup.path}.json").read_text().replace('"format": 1', '"format": 2')
    Path(f"{backup.path}.json").write_text(text)
    checksums = Path(f"{backup.path}.sha256").read_text().splitlines(keepends=True)
    Path(f"{backup.path}.sha256").write_text(checksums[0] + f"{hashlib.sha256(text.encode()).hexdigest()}  x.json\n")
    assert whose(library, shared) == {os.path.basename(backup.path): "unknown"}


def test_library_that_was_moved_is_another_library(library: Path, shared: Path, tmp_path: Path) -> None:
    name = os.path.basename(make(library, shared)[0].path)
    moved = Path(shutil.move(library.parent, tmp_path / "moved")) / library.name
    assert whose(moved, shared) == {name: "foreign"}


def test_backups_of_two_hosts_with_one_path_are_kept_apart(library: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    theirs, _created = make(library, shared)
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    assert whose(library, shared) == {os.path.basename(theirs.path): "foreign"}
    own, created = make(library, shared)
    assert created and own.path != theirs.path
    assert backup_files.expired(backup_files.find_own(str(library), str(shared)), 1, 0, NOW) == []
    assert [backup.host for backup in find(library, shared)] == ["here", "elsewhere"]


def test_backup_beside_its_library_survives_a_renamed_host(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "before")
    backup, _created = make(library)
    monkeypatch.setattr(socket, "gethostname", lambda: "after")
    assert make(library) == (backup, False)


def test_symbolic_link_shares_the_backups_of_its_target(library: Path, shared: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(library)
    name = os.path.basename(make(library, shared)[0].path)
    assert whose(run_record.resolve(str(link)), shared) == {name: "own"}


def test_copies_of_two_libraries_do_not_overwrite_each_other(library: Path, other: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", NOW.timestamp)
    other.write_bytes(HASHED)
    for path, content in ((library, UNHASHED), (other, HASHED), (library, UNHASHED), (other, HASHED)):
        backup, _created = make(path)
        if backup_files.find_copy(backup, str(path), str(shared)) is None:
            backup_files.copy_to(backup, str(path), str(shared))
        assert Path(present(backup_files.find_copy(backup, str(path), str(shared))).path).read_bytes() == content
    assert sorted(whose(library, shared).values()) == ["foreign", "own"]
    for backup in find(library, shared):
        check = ["sha256sum", "--strict", "-c", f"{backup.path}.sha256"]
        assert subprocess.run(check, cwd=shared, capture_output=True, check=False).returncode == 0


def test_copy_without_manifest_is_not_copied_again(library: Path, shared: Path) -> None:
    backup, _created = make(library)
    backup_files.copy_to(backup, str(library), str(shared))
    copy = present(backup_files.find_copy(backup, str(library), str(shared))).path
    Path(f"{copy}.json").unlink()
    assert present(backup_files.find_copy(backup, str(library), str(shared))).path == copy


def test_damaged_copy_is_written_again_in_its_place(library: Path, shared: Path) -> None:
    backup, _created = make(library)
    backup_files.copy_to(backup, str(library), str(shared))
    Path(present(backup_files.find_copy(backup, str(library), str(shared))).path).write_bytes(b"damaged")
    backup_files.copy_to(backup, str(library), str(shared))
    assert len(find(library, shared)) == 1 and backup_files.find_copy(backup, str(library), str(shared))


@pytest.mark.parametrize("where", ["backups", "copies", "the folder of the other library"])
def test_shared_backup_folder_is_locked_during_a_backup(library: Path, other: Path, shared: Path, tmp_path: Path, where: str) -> None:
    folders = {"backups": [shared], "copies": [library.parent, shared]}.get(where, [other.parent])
    with locking.lock(str(other), "backup", RUN, 0), backup_files.lock(str(other), [str(shared)], RUN, 0), \
            pytest.raises(LockedError, match="the backup folder is in use by backup"):
        run_module(library, folders)
    assert run_module(library, folders)["created"]


def test_lock_of_a_backup_folder_is_for_those_who_may_write_it(library: Path, shared: Path) -> None:
    shared.mkdir()
    shared.chmod(0o770)
    run_module(library, [shared])
    assert stat.S_IMODE((shared / "library.json.lock").stat().st_mode) == 0o660


def test_one_folder_for_backups_and_copies_is_locked_once(library: Path, shared: Path, tmp_path: Path) -> None:
    shared.mkdir()
    (tmp_path / "link").symlink_to(shared)
    assert run_module(library, [shared, tmp_path / "link"])["created"]


@pytest.mark.parametrize("archived", ["library.json.bak.20240102T000000Z.gz", "archive/library.json.bak.20240102T000000Z"])
def test_sidecars_of_a_moved_or_compressed_backup_are_kept(library: Path, archived: str) -> None:
    backup = place(library, "20240102T000000Z")
    Path(f"{backup}.json").write_text("{}")
    with open(f"{backup}.sha256", "a", encoding="utf-8") as checksums:
        checksums.write(f"{'0' * 64}  {backup.name}.json\n")
    library.with_name("archive").mkdir()
    backup.rename(library.parent / archived)
    make(library)
    assert Path(f"{backup}.json").exists() and Path(f"{backup}.sha256").exists() and (library.parent / archived).exists()


# Pruning.


GOOD, UNVOUCHED, DAMAGED = "good", "unvouched", "damaged"


@given(st.lists(st.tuples(st.integers(0, 80 * 24), st.sampled_from([GOOD, GOOD, UNVOUCHED, DAMAGED])), max_size=12,
                unique_by=lambda backup: backup[0]),
       st.integers(0, 6), st.integers(0, 80))
@settings(max_examples=60, deadline=None)
def test_pruning_removes_only_good_backups_both_old_and_surplus(
        backups: list[tuple[int, str]], keep: int, keep_days: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.json"
        proofs: dict[str, bool | str] = {GOOD: True, UNVOUCHED: False, DAMAGED: "0" * 64}
        kinds = {}
        for hours, kind in backups:
            stamp = (NOW - timedelta(hours=hours)).strftime("%Y%m%dT%H%M%SZ")
            kinds[str(place(library, stamp, vouched=proofs[kind]))] = (hours, kind)
        goods = sorted((hours, path) for path, (hours, kind) in kinds.items() if kind == GOOD)
        expected = {path for hours, path in goods[max(keep, 1):] if hours > 24 * keep_days or not keep_days}

        gone = backup_files.expired(find(library), keep, keep_days, NOW)
        assert {backup.path for backup in gone} == expected
        backup_files.prune(gone)
        left = {backup.path for backup in find(library)}
        assert left == kinds.keys() - expected
        assert not goods or goods[0][1] in left
        assert {name for name in os.listdir(folder) if name.endswith(".sha256")} == {
            f"{os.path.basename(path)}.sha256" for path in left if kinds[path][1] != UNVOUCHED}


def test_last_good_backup_is_kept_even_if_none_is_to_be_kept(library: Path) -> None:
    place(library, "20200103T000000Z", vouched="0" * 64)
    last_good = place(library, "20200102T000000Z")
    place(library, "20200101T000000Z")
    gone = backup_files.expired(find(library), keep=0, keep_days=0, now=NOW)
    assert [os.path.basename(backup.path)[17:] for backup in gone] == ["20200101T000000Z"]
    assert str(last_good) in {backup.path for backup in find(library)}


def test_backup_dated_in_the_future_is_pruned_if_age_keeps_none(library: Path) -> None:
    ahead = place(library, (NOW + timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ"))
    place(library, (NOW + timedelta(seconds=2)).strftime("%Y%m%dT%H%M%SZ"))
    assert [backup.path for backup in backup_files.expired(find(library), 1, 0, NOW)] == [str(ahead)]
    assert not backup_files.expired(find(library), 1, 1, NOW)


def test_old_backups_under_the_services_own_names_are_pruned_too(library: Path) -> None:
    old = place(library, "2020-01-01T00-00-00-000Z")
    place(library, "20260101T000000Z")
    assert [backup.path for backup in backup_files.expired(find(library), 1, 0, NOW)] == [str(old)]


def test_backup_of_the_current_content_is_never_pruned(library: Path) -> None:
    old = place(library, "20200101T000000Z")
    for day in (2, 3):
        place(library, f"2020010{day}T000000Z", HASHED + b" " * day)
    result = run_module(library, [library.parent])
    assert (result["created"], result["backup"]) == (False, str(old))
    assert old.exists() and old.name not in map(os.path.basename, result["pruned"])
    assert len(result["pruned"]) == 1


def test_backup_of_what_the_last_deploy_replaced_is_never_pruned(library: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    replaced = place(library, "20200101T000000Z")
    place(library, "20200102T000000Z", UNHASHED + b" ")
    library.write_bytes(HASHED)
    run_record.write(state, run_record.Record(
        RUN, run_record.MIGRATION, run_record.VERIFIED, str(library), "", "", hashlib.sha256(UNHASHED).hexdigest(),
        hashlib.sha256(HASHED).hexdigest(), False, {}))
    check = run_module(library, [library.parent], state=state, check=True)
    result = run_module(library, [library.parent], state=state)
    assert replaced.exists()
    assert [os.path.basename(path) for path in result["pruned"]] == ["library.json.bak.20200102T000000Z"]
    assert check["pruned"] == result["pruned"]


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_check_mode_names_what_a_run_prunes(library: Path, shared: Path, keep: int) -> None:
    for day in range(1, 5):
        place(library, f"2020010{day}T000000Z", HASHED + b" " * day)
        move_to(shared, *library.parent.glob("*.bak.*"))
    digests = {hashlib.sha256(HASHED + b" " * day).hexdigest() for day in range(1, 5)}
    gone = backup_files.expired(backup_files.find_own(str(library), str(shared), digests), keep, 0, NOW, coming=1)
    make(library, shared)
    assert gone == backup_files.expired(backup_files.find_own(str(library), str(shared), digests), keep, 0, NOW)


def test_killed_pruning_leaves_no_backup_that_only_looks_good(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        library = tmp_path / str(number) / "library.json"
        library.parent.mkdir()
        library.write_bytes(UNHASHED)
        kept = place(library, "20260101T000000Z")
        for day in (1, 2, 3):
            place(library, f"2020010{day}T000000Z")

        def prune(library: Path = library) -> None:
            backup_files.prune(backup_files.expired(find(library), 1, 30, NOW))

        killed = killed_at(number, prune)
        assert all(backup_files.is_good(backup) for backup in find(library))
        prune()
        assert [backup.path for backup in find(library)] == [str(kept)]
        make(library)
        assert {path.name.partition("Z")[0] for path in library.parent.iterdir()} == {"library.json", "library.json.bak.20260101T000000"}
        if not killed:
            break
    assert number > 5
