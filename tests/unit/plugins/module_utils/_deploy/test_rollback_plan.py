# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import random
import stat
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import (
    backup_files,
    cutover,
    pending_marker,
    rollback_plan,
    rollback_report,
    run_record,
    unfinished_work,
)
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, file_metadata
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_fields, library_losses
from conftest import SmallLibrary, present
from hypothesis import example, given, settings
from hypothesis import strategies as st

RUN = "20260131T120000Z-7"


def image(name: str, **fields: Any) -> dict[str, Any]:
    return {"path": f"media/{name}.jpg", "filename": f"{name}.jpg", **fields}


def laid_out(value: dict[str, Any], newline: str = "") -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + newline).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hashed(value: dict[str, Any]) -> dict[str, Any]:
    """What a migration makes of a library, as far as a rollback cares."""
    images = [{**image, "dhash": "0123456789ABCDEF", "dhash_generated_at": "2026-01-31T12:00:00.000Z"} for image in value["images"]]
    return {**value, "images": images, "dhash_migration": {"algorithm": "pillow"}, "dhash_duplicates": [], "dhash_errors": []}


BEFORE: dict[str, Any] = {"version": 3, "images": [image("a"), image("b", tags=["x"])], "settings": {"ratio": 0.5}}
OLD, NEW = laid_out(BEFORE), laid_out(hashed(BEFORE))
EDITED = hashed({**BEFORE, "images": [*BEFORE["images"], image("later")]})


class Host:
    """A host whose library a migration may have replaced."""

    def __init__(self, folder: Path, content: bytes = OLD) -> None:
        self.folder = folder / "srv"
        self.folder.mkdir(parents=True)
        self.live = self.folder / "library.json"
        self.live.write_bytes(content)
        self.pre_dhash = Path(cutover.pre_dhash(str(self.live)))
        self.state = str(folder / "state")

    def backup(self) -> Path:
        return Path(backup_files.make(str(self.live), str(self.folder))[0].path)

    def place_backup(self, stamp: str, content: bytes = OLD, vouched: bool = True) -> Path:
        """A backup made at the time ``stamp``; ``vouched``: whether the digest beside it is its own."""
        path = self.folder / f"library.json.bak.{stamp}"
        path.write_bytes(content)
        path.with_name(f"{path.name}.sha256").write_text(f"{digest(content) if vouched else '0' * 64}  {path.name}\n")
        return path

    def prepare_migration(self, content: bytes = NEW) -> None:
        output = self.folder / "library.dhash.json"
        output.write_bytes(content)
        run_record.write(self.state, run_record.Record(
            RUN, run_record.MIGRATION, run_record.PREPARED, str(self.live), str(output), str(self.pre_dhash),
            digest(self.live.read_bytes()), digest(content), settings={}, **run_record.carried_over(run_record.read(self.state))))

    def migrate(self, content: bytes = NEW) -> None:
        self.prepare_migration(content)
        self.deploy()

    def deploy(self) -> bool:
        return _redeploy.run(str(self.live), self.state, 0)

    def verified(self) -> bool:
        return cutover.verified(str(self.live), self.state, check=False)

    def plan(self, backup: str = rollback_plan.LATEST, remove_dhash: bool = False, force: bool = False) -> rollback_plan.RollbackPlan:
        return rollback_plan.make_plan(str(self.live), self.state, str(self.folder), rollback_plan.RollbackRequest(backup, remove_dhash, force))

    def plan_undo(self, new: bytes = NEW) -> rollback_plan.RollbackPlan | None:
        return rollback_plan.plan_undo(str(self.live), self.state, str(self.folder), digest(new))

    def prepare(self, way: rollback_plan.RollbackPlan, force: bool = False) -> bool:
        return rollback_plan.prepare(str(self.live), self.state, way, force, RUN)

    def roll_back(self, *args: Any, **kwargs: Any) -> rollback_plan.RollbackPlan:
        """Plan, prepare and put in place, as the playbook does."""
        way = self.plan(*args, **kwargs)
        if way.due:
            self.prepare(way, kwargs.get("force", False))
        self.deploy()
        return way

    @property
    def record(self) -> run_record.Record:
        return present(run_record.read(self.state))

    def kept(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.glob("library.json.pre-rollback.*"))]

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"library.json.lock", os.path.basename(pending_marker.path(str(self.live)))}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def refusal(action: Callable[..., object], *args: Any, **kwargs: Any) -> DhashError:
    with pytest.raises(DhashError) as caught:
        action(*args, **kwargs)
    assert caught.value.path
    assert caught.value.next_step
    return caught.value


# To the state before the last deploy.


def test_latest_is_what_the_last_deploy_replaced(host: Host) -> None:
    backup = host.backup()
    host.migrate()
    host.verified()
    host.place_backup("20991231T000000Z", laid_out({"images": []}))
    host.place_backup("20991231T000001Z", NEW)
    way = host.roll_back()
    assert (way.operation, way.source, way.due) == (run_record.RESTORE, str(backup), True)
    assert host.live.read_bytes() == OLD
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)


def test_latest_without_a_record_is_the_newest_unhashed_backup(host: Host) -> None:
    host.live.write_bytes(NEW)
    host.place_backup("20240101T000000Z", laid_out({"images": []}))
    newest = host.place_backup("20240102T000000Z")
    host.place_backup("20240103T000000Z", vouched=False)
    host.place_backup("20240104T000000Z", NEW)
    assert host.roll_back().source == str(newest)
    assert host.live.read_bytes() == OLD


def test_latest_without_backups_is_the_kept_replaced_library(host: Host) -> None:
    host.migrate()
    assert host.roll_back().source == str(host.pre_dhash)
    assert host.live.read_bytes() == OLD


def test_damaged_backup_is_substituted_by_a_good_equal_one(host: Host) -> None:
    good = host.place_backup("20260101T000000Z")
    host.migrate()
    host.verified()
    damaged = host.place_backup("20260102T000000Z")
    damaged.write_bytes(NEW)
    assert host.roll_back().source == str(good)


def test_rollback_to_only_damaged_copies_names_the_next_backup(
        host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    other = host.place_backup("20250101T000000Z", laid_out({"images": []}))
    damaged = host.backup()
    host.migrate()
    host.verified()
    damaged.write_bytes(OLD[:-1])
    before = tree(host.folder)
    error = refusal(host.plan)
    assert error.path == str(damaged)
    assert error.next_step == f"The next intact backup is {other.name} (dhash_rollback_to)."
    assert tree(host.folder) == before


def test_rollback_without_any_backup_names_the_alternative(host: Host) -> None:
    host.live.write_bytes(NEW)
    assert "only the hashes can be removed (dhash_rollback_remove_dhash)" in str(refusal(host.plan).next_step)


@pytest.mark.parametrize("content", [None, b'{"images": [], "ratio": NaN}'])
def test_no_hashes_are_taken_out_of_a_library_that_is_gone(host: Host, content: bytes | None) -> None:
    host.live.unlink(missing_ok=True)
    if content:
        host.live.write_bytes(content)
    assert "can be removed" not in str(refusal(host.plan).next_step)


def test_latest_after_several_migrations_is_before_the_last_one(host: Host) -> None:
    host.backup()
    host.migrate()
    host.verified()
    host.live.write_bytes(laid_out(EDITED))
    host.backup()
    host.migrate(laid_out({**EDITED, "dhash_errors": [1]}))
    host.verified()
    host.roll_back()
    assert host.live.read_bytes() == laid_out(EDITED)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_undeployed_migration_leaves_the_rollback_target_as_is(host: Host, withdrawn: bool) -> None:
    backup = host.backup()
    host.migrate()
    host.verified()
    edited = laid_out({**EDITED, "dhash_errors": [1]})
    host.live.write_bytes(edited)
    host.backup()
    host.prepare_migration(laid_out(EDITED))
    if withdrawn:
        os.unlink(host.record.output)
        run_record.withdraw(host.state, host.record)
    host.live.write_bytes(NEW)
    assert host.plan().source == str(backup)


# To a named backup.


@pytest.mark.parametrize("stamp", ["20240115T103000Z", "2024-01-15T10-30-00-000Z"])
def test_backup_is_restored_by_either_name_or_by_its_path(host: Host, stamp: str) -> None:
    backup = host.place_backup(stamp)
    host.live.write_bytes(NEW)
    assert host.plan(str(backup)).source == str(backup)
    assert host.roll_back(backup.name).source == str(backup)
    assert host.live.read_bytes() == OLD


def test_damaged_backup_is_refused_and_the_next_good_one_named(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host.live.write_bytes(NEW)
    host.place_backup("20240101T000000Z")
    good = host.place_backup("20240102T000000Z")
    damaged = host.place_backup("20240103T000000Z", vouched=False)
    before = tree(host.folder)
    error = refusal(host.plan, damaged.name, force=True)
    assert error.path == str(damaged)
    assert error.cause.startswith("cannot restore this backup: ") and ".sha256" in error.cause
    assert error.next_step == f"The next intact backup is {good.name} (dhash_rollback_to)."
    assert tree(host.folder) == before


def test_a_backup_that_is_not_there_is_named(host: Host) -> None:
    good = host.place_backup("20240102T000000Z")
    error = refusal(host.plan, "library.json.bak.20200101T000000Z")
    assert "library.json.bak.20200101T000000Z" in error.cause
    assert good.name in str(error.next_step)


def test_verified_content_is_restored_even_if_its_backup_changes(host: Host) -> None:
    backup = host.place_backup("20240102T000000Z")
    host.live.write_bytes(NEW)
    way = host.plan(backup.name)
    backup.write_bytes(OLD + b" ")
    host.prepare(way)
    host.deploy()
    assert host.live.read_bytes() == OLD


# What it does not do.


def test_rollback_counts_the_images_it_loses_and_needs_force(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    backup = host.backup()
    live = laid_out(hashed({**BEFORE, "images": [*BEFORE["images"], image("later"), image("later"), image("a")]}))
    host.live.write_bytes(live)
    before = tree(host.folder)
    error = refusal(host.plan, backup.name)
    assert (error.path, error.cause) == (
        str(host.live), f"restoring {backup.name} would lose later changes:"
        " 3 images (media/a.jpg, media/later.jpg, media/later.jpg), 0 changed images, 0 other fields")
    assert "dhash_rollback_remove_dhash" in str(error.next_step)
    assert tree(host.folder) == before

    assert len(present(host.roll_back(backup.name, force=True).losses).images) == 3
    assert host.live.read_bytes() == OLD
    assert host.kept() == [live]


LATER_EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "an image": ({"images": [*BEFORE["images"], image("later")]}, "1 images (media/later.jpg), 0 changed images, 0 other fields"),
    "notes": ({"images": [image("a", notes="mine"), BEFORE["images"][1]]}, "0 images, 1 changed images (media/a.jpg), 0 other fields"),
    "a field": ({"albums": [1]}, "0 images, 0 changed images, 1 other fields (albums)"),
    "a setting": ({"settings": {"ratio": 0.75}}, "0 images, 0 changed images, 1 other fields (settings)"),
}


@pytest.mark.parametrize("edit", LATER_EDITS)
@pytest.mark.parametrize("to", [rollback_plan.LATEST, "by its name"])
def test_later_edits_are_lost_only_by_force(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]], edit: str, to: str) -> None:
    backup = host.backup()
    host.migrate()
    host.verified()
    fields, losses = LATER_EDITS[edit]
    edited = laid_out(hashed({**BEFORE, **fields}))
    host.live.write_bytes(edited)
    to = backup.name if to != rollback_plan.LATEST else to
    before = tree(host.folder)
    error = refusal(host.plan, to)
    assert error.cause == f"restoring {backup.name} would lose later changes: {losses}"
    assert all(word in str(error.next_step) for word in ("dhash_rollback_remove_dhash", "dhash_rollback_force", "library.json.pre-rollback."))
    assert tree(host.folder) == before
    assert str(host.roll_back(to, force=True).losses) == losses
    assert (host.live.read_bytes(), host.kept()) == (OLD, [edited])


def test_later_edits_stay_where_only_the_hashes_go(host: Host) -> None:
    host.migrate()
    host.live.write_bytes(laid_out(hashed({**BEFORE, "albums": [1]})))
    host.roll_back(remove_dhash=True)
    assert host.live.read_bytes() == laid_out({**BEFORE, "albums": [1]})


def test_edits_after_a_rollback_was_prepared_are_not_lost(host: Host) -> None:
    backup = host.backup()
    host.migrate()
    host.prepare(host.plan(backup.name))
    edited = laid_out(hashed({**BEFORE, "albums": [1]}))
    host.live.write_bytes(edited)
    assert "1 other fields (albums)" in refusal(host.deploy).cause
    assert host.live.read_bytes() == edited


# Backups of other libraries.


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that two libraries of one name have their backups in, with a backup of the other one."""
    other = tmp_path / "other" / "library.json"
    other.parent.mkdir()
    other.write_bytes(laid_out({"images": [image("theirs")]}))
    return Path(backup_files.make(str(other), str(tmp_path / "backups"))[0].path)


def plan_from(host: Host, folder: Path, to: str = rollback_plan.LATEST, force: bool = False) -> rollback_plan.RollbackPlan:
    return rollback_plan.make_plan(str(host.live), host.state, str(folder), rollback_plan.RollbackRequest(to, False, force))


def test_latest_is_never_a_backup_of_another_library(host: Host, elsewhere: Path) -> None:
    assert "There is no intact backup" in str(refusal(plan_from, host, elsewhere.parent).next_step)
    own, _created = backup_files.make(str(host.live), str(elsewhere.parent))
    os.utime(own.path, (0, 0))
    assert plan_from(host, elsewhere.parent).source == own.path


def test_backup_of_another_library_is_refused_by_name(host: Host, elsewhere: Path, tmp_path: Path) -> None:
    error = refusal(plan_from, host, elsewhere.parent, elsewhere.name)
    assert error.path == str(elsewhere)
    assert f"this is a backup of another library, {tmp_path}/other/library.json" in error.cause
    assert "dhash_rollback_force" in str(error.next_step)
    assert plan_from(host, elsewhere.parent, elsewhere.name, force=True).source == str(elsewhere)


def test_backup_of_nobody_knows_whom_is_refused_by_name(host: Host, elsewhere: Path) -> None:
    for suffix in (".json", ".sha256"):
        Path(f"{elsewhere}{suffix}").unlink()
    Path(f"{elsewhere}.sha256").write_text(f"{digest(elsewhere.read_bytes())}  {elsewhere.name}\n")
    assert "is unknown" in refusal(plan_from, host, elsewhere.parent, elsewhere.name).cause
    assert "Backups in the folder that are not known to be of this library: 1" in str(refusal(plan_from, host, elsewhere.parent).next_step)
    assert plan_from(host, elsewhere.parent, elsewhere.name, force=True).source == str(elsewhere)


def test_backup_on_record_is_restored_without_a_manifest(host: Host, elsewhere: Path) -> None:
    backup = Path(backup_files.make(str(host.live), str(elsewhere.parent))[0].path)
    host.migrate()
    host.verified()
    Path(f"{backup}.json").unlink()
    assert plan_from(host, elsewhere.parent).source == str(backup)


def test_undo_never_restores_another_library(host: Host, elsewhere: Path) -> None:
    host.migrate()
    host.pre_dhash.unlink()
    way = present(rollback_plan.plan_undo(str(host.live), host.state, str(elsewhere.parent), digest(NEW)))
    assert way.operation == run_record.REMOVE_DHASH


def test_images_added_after_the_preparation_are_not_lost(host: Host) -> None:
    backup = host.backup()
    host.migrate()
    host.prepare(host.plan(backup.name))
    host.live.write_bytes(laid_out(EDITED))
    assert "1 images (media/later.jpg)" in refusal(host.deploy).cause
    assert host.live.read_bytes() == laid_out(EDITED)


def test_planning_writes_nothing(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    backup = host.backup()
    host.migrate()
    before = tree(host.folder.parent)
    for way in (host.plan(), host.plan(backup.name), host.plan(remove_dhash=True), host.plan_undo()):
        assert present(way).due
    assert tree(host.folder.parent) == before


@pytest.mark.parametrize("how", [{}, {"remove_dhash": True}])
def test_a_second_rollback_changes_nothing(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]], how: dict[str, Any]) -> None:
    host.backup()
    host.migrate()
    host.roll_back(**how)
    before = tree(host.folder.parent)
    assert host.plan(**how).due is False
    assert host.deploy() is False
    before_without_lock = {path: found for path, found in before.items() if not path.endswith(".lock")}
    assert {path: found for path, found in tree(host.folder.parent).items() if not path.endswith(".lock")} == before_without_lock


def test_a_rollback_that_is_prepared_is_not_prepared_again(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host.backup()
    host.migrate()
    way = host.plan()
    assert not rollback_plan.is_prepared(str(host.live), host.state, way)
    assert host.prepare(way) is True
    before = tree(host.folder.parent)
    assert rollback_plan.is_prepared(str(host.live), host.state, way)
    assert host.prepare(way) is False
    assert tree(host.folder.parent) == before


@pytest.mark.parametrize("owed", [False, True])
def test_prepared_rollback_keeps_only_an_earlier_pending_restart(host: Host, owed: bool) -> None:
    host.backup()
    host.migrate()
    run_record.write(host.state, host.record._replace(phase=run_record.VERIFIED, restart_owed=owed))
    host.prepare(host.plan())
    assert (host.record.phase, host.record.restart_owed) == (run_record.PREPARED, owed)


def test_half_a_copy_of_a_rollback_that_was_killed_is_removed(host: Host) -> None:
    host.backup()
    host.migrate()
    half = Path(durable.temporary_name(f"{host.live}.pre-rollback.20250101T000000Z"))
    half.write_bytes(NEW[:50])
    host.prepare(host.plan())
    assert not half.exists()


# What is kept.


@pytest.mark.parametrize("how", [{}, {"remove_dhash": True}])
def test_what_a_rollback_replaces_is_kept_with_its_metadata(host: Host, how: dict[str, Any]) -> None:
    host.live.chmod(0o640)
    host.backup()
    host.migrate()
    host.roll_back(**how)
    assert host.kept() == [NEW]
    for path in (host.live, *host.folder.glob("library.json.pre-rollback.*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_two_rollbacks_within_a_second_keep_what_each_replaced(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_769_860_800)
    first, second = host.place_backup("20240101T000000Z"), host.place_backup("20240102T000000Z", laid_out({**BEFORE, "version": 2}))
    host.live.write_bytes(NEW)
    host.roll_back(second.name, force=True)
    host.roll_back(first.name, force=True)
    assert host.kept() == [NEW, second.read_bytes()]


def test_broken_library_can_be_rolled_back_and_is_kept(host: Host) -> None:
    host.backup()
    host.migrate()
    host.live.write_bytes(NEW[:100])
    host.roll_back()
    assert host.live.read_bytes() == OLD
    assert host.kept() == [NEW[:100]]


@pytest.mark.parametrize("known", ["record", "manifest", "backup"])
def test_deleted_library_comes_back_with_its_metadata(host: Host, known: str) -> None:
    host.live.chmod(0o664)
    owner, owner_of_backup = (1234, 2345), (3456, 4567)
    if os.geteuid() == 0:
        os.chown(host.live, *owner)
    os.setxattr(host.live, "user.label", b"\x00\xff")
    backup = host.backup()
    host.migrate()
    host.verified()
    if os.geteuid() == 0:
        os.chown(backup, *owner_of_backup)
    wanted = file_metadata.read(str(host.live))
    if known == "record":
        run_record.write(host.state, host.record._replace(metadata=wanted))
        Path(f"{backup}.json").unlink()
    elif known == "backup":
        Path(f"{backup}.json").unlink()
        status = backup.stat()
        wanted = {"mode": 0o640, "uid": status.st_uid, "gid": status.st_gid, "xattrs": {}}
    host.live.unlink()
    way = host.roll_back()
    assert (way.source, way.due, way.losses) == (str(backup), True, None)
    assert host.live.read_bytes() == OLD
    assert file_metadata.read(str(host.live)) == wanted
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)
    if known != "backup":
        assert host.record.metadata == wanted


def test_deleted_library_comes_back_as_far_as_the_user_may(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    host.live.chmod(0o664)
    host.backup()
    host.live.unlink()
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "setxattr", refuse)
    host.roll_back()
    assert host.live.read_bytes() == OLD and stat.S_IMODE(host.live.stat().st_mode) == 0o664


def test_a_missing_library_without_hashes_to_take_out_is_refused(host: Host) -> None:
    host.live.unlink()
    with pytest.raises(LibraryError, match="No such file"):
        host.plan(remove_dhash=True)


@pytest.mark.slow
def test_killed_restore_of_a_missing_library_can_be_repeated(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        host.backup()
        host.migrate()
        host.verified()
        host.live.unlink()
        killed = killed_at(number, host.roll_back)
        assert not host.live.exists() or host.live.read_bytes() == OLD
        assert host.record.restart_owed or not host.live.exists()
        host.roll_back()
        assert host.live.read_bytes() == OLD
        assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)
        assert not [name for name in host.names() if "mobius-dhash" in name]
        if not killed:
            break
    assert number > 10


@pytest.mark.slow
def test_killed_rollback_keeps_what_it_replaces_once(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.count(1_769_860_800, 60)
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        host.backup()
        host.migrate()
        host.verified()
        killed = killed_at(number, host.roll_back)
        assert host.live.read_bytes() in (OLD, NEW)
        with monkeypatch.context() as later:
            later.setattr(time, "time", lambda: next(moments))
            host.roll_back()
        assert host.live.read_bytes() == OLD
        assert host.kept() == [NEW]
        assert len(host.names()) == 5  # the library, its backup with checksum file and manifest, and what is kept
        if not killed:
            break
    assert number > 20


def test_rollback_raced_by_a_writer_keeps_only_what_it_replaces(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.migrate()
    exchange, late = durable.exchange, [laid_out({**hashed(BEFORE), "edit": edit}) for edit in range(3)]

    def exchange_too_late(one: str, other: str) -> bool:
        if late:
            host.live.write_bytes(late.pop())
        return exchange(one, other)

    monkeypatch.setattr(durable, "exchange", exchange_too_late)
    last = late[0]
    host.roll_back(remove_dhash=True)
    assert host.live.read_bytes() == laid_out({**BEFORE, "edit": 0})
    assert host.kept() == [last]


# Only the hashes out.


def test_taking_the_hashes_out_keeps_the_edits_made_since(host: Host) -> None:
    host.migrate()
    host.live.write_bytes(laid_out({**EDITED, "settings": {"ratio": 0.75}, "lcm_import": {"decisions": 2}}, "\n"))
    way = host.roll_back(remove_dhash=True)
    assert (way.operation, way.source, way.losses) == (run_record.REMOVE_DHASH, None, library_losses.NONE)
    assert host.live.read_bytes() == laid_out(
        {"version": 3, "images": [*BEFORE["images"], image("later")], "settings": {"ratio": 0.75}, "lcm_import": {"decisions": 2}}, "\n")


def test_library_without_hashes_is_left_as_is_in_any_layout(tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host = Host(tmp_path, json.dumps(BEFORE).encode())
    before = tree(tmp_path)
    assert host.plan(remove_dhash=True).due is False
    assert tree(tmp_path) == before


def test_edits_that_are_made_after_it_was_prepared_are_kept(host: Host) -> None:
    host.migrate()
    host.prepare(host.plan(remove_dhash=True))
    host.live.write_bytes(laid_out(EDITED))
    host.deploy()
    assert host.live.read_bytes() == laid_out({**BEFORE, "images": [*BEFORE["images"], image("later")]})


def json_values() -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers() | st.text()
    return st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=4)


def objects(*ours: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with fields of any kind, among them some of ours, in any order."""
    fields = st.dictionaries(st.sampled_from(ours) | st.text(), json_values(), max_size=5)
    return fields.flatmap(lambda value: st.permutations(list(value.items()))).map(dict)


def without(value: dict[str, Any], ours: Collection[str]) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key not in ours}


any_images = st.lists(st.builds(lambda fields, name: {**fields, **image(name)}, objects(*library_fields.OUR_IMAGE_FIELDS), st.text()), max_size=4)
# A library that was migrated and edited afterwards is a library with some of our fields in some places: so is any of these.
any_libraries = st.builds(lambda fields, images: {**fields, "images": images}, objects("images", *library_fields.OUR_FIELDS), any_images)


@given(any_libraries, st.sampled_from(["", "\n"]))
@example(EDITED, "")
@settings(max_examples=80, deadline=None)
def test_edited_library_loses_our_fields_and_keeps_all_others(value: dict[str, Any], newline: str) -> None:
    rest = without(value, library_fields.OUR_FIELDS)
    rest["images"] = [without(image, library_fields.OUR_IMAGE_FIELDS) for image in value["images"]]
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder), laid_out(value, newline))
        way = host.roll_back(remove_dhash=True)
        assert host.live.read_bytes() == laid_out(rest, newline)
        assert way.due is (rest != value)


# Migrate, then roll back.


def random_library(library: SmallLibrary, seed: int) -> None:
    """A library of any layout, with pictures, missing ones, duplicates, and hashes of an earlier migration."""
    chance = random.Random(seed)
    for number in range(chance.randrange(6)):
        fields = {"dhash": "00FF00FF00FF00FF"} if chance.random() < 0.2 else {"täg": [chance.random(), None]}
        library.add(f"média/{number}.jpg", seed=chance.choice([1, 2, number, None]), **fields)
    if chance.random() < 0.3:
        library.value = {"dhash_errors": [], **library.value}
    layouts: list[dict[str, Any]] = [{"indent": 2, "ensure_ascii": False}, {}, {"indent": "\t"}, {"separators": (",", ":")}]
    text = json.dumps(library.value, **chance.choice(layouts)) + chance.choice(["", "\n", " \r\n"])
    library.path.write_text(text, encoding="utf-8", newline="")
    library.path.chmod(chance.choice([0o600, 0o640, 0o664]))


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_rolled_back_migration_restores_the_original_bytes(
        library: SmallLibrary, decoded_here: list[str], seed: int, encrypted: bool, request: pytest.FixtureRequest) -> None:
    identity, recipient = request.getfixturevalue("age_key") if encrypted else (None, "")
    recipients = [recipient] if encrypted else []
    random_library(library, seed)
    path, folder, state = str(library.path), str(library.folder), str(library.state)
    before, mode = library.path.read_bytes(), library.path.stat().st_mode
    backup_files.make(path, folder, recipients)
    library.run()
    library.deploy()
    assert library.path.read_bytes() != before
    if seed % 2:
        cutover.verified(path, state, check=False, recipients=recipients)
    way = rollback_plan.make_plan(path, state, folder, rollback_plan.RollbackRequest(rollback_plan.LATEST, False, False, identity))
    rollback_plan.prepare(path, state, way, False, RUN)
    library.deploy()
    assert digest(library.path.read_bytes()) == digest(before) == present(library.record()).new_sha256
    assert library.path.stat().st_mode == mode


# Putting back what a failed run did.


def test_unedited_library_gets_its_original_bytes_back(host: Host) -> None:
    host.migrate()
    way = present(host.plan_undo())
    assert (way.operation, way.source, way.due) == (run_record.RESTORE, str(host.pre_dhash), True)
    host.prepare(way)
    host.deploy()
    assert host.live.read_bytes() == OLD


def test_original_bytes_come_from_a_backup_if_none_are_kept(host: Host) -> None:
    backup = host.backup()
    host.migrate()
    host.pre_dhash.unlink()
    assert present(host.plan_undo()).source == str(backup)


def test_original_bytes_come_from_an_encrypted_backup_with_a_key(host: Host, age_key: tuple[str, str]) -> None:
    identity, recipient = age_key
    backup_files.make(str(host.live), str(host.folder), [recipient])
    host.migrate()
    host.verified()
    without = present(host.plan_undo())
    assert (without.operation, without.locked, without.text) == (run_record.REMOVE_DHASH, True, OLD)
    way = present(rollback_plan.plan_undo(str(host.live), host.state, str(host.folder), digest(NEW), identity))
    assert (way.operation, way.locked, way.text) == (run_record.RESTORE, False, OLD)


def test_only_the_hashes_go_where_the_library_was_edited_since(host: Host) -> None:
    host.backup()
    host.migrate()
    host.live.write_bytes(laid_out(EDITED))
    way = present(host.plan_undo())
    assert (way.operation, way.source) == (run_record.REMOVE_DHASH, None)
    host.prepare(way)
    host.deploy()
    assert host.live.read_bytes() == laid_out({**BEFORE, "images": [*BEFORE["images"], image("later")]})


def test_only_hashes_are_removed_if_the_original_bytes_are_gone(host: Host) -> None:
    host.migrate()
    host.pre_dhash.write_bytes(b"damaged")
    assert present(host.plan_undo()).operation == run_record.REMOVE_DHASH


@pytest.mark.parametrize("since", ["another migration", "a rollback", "a rollback to the same bytes", "no record at all"])
def test_nothing_is_touched_where_another_run_has_deployed_since(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]], since: str) -> None:
    host.backup()
    host.migrate()
    if since == "another migration":
        host.migrate(laid_out({**EDITED, "more": True}))
    elif since == "a rollback":
        host.roll_back()
    elif since == "a rollback to the same bytes":
        host.roll_back()
        host.roll_back(host.place_backup("20240101T000000Z", NEW).name)
    else:
        (Path(host.state) / "run.json").unlink()
    before = tree(host.folder.parent)
    assert "another run has replaced the library since, so the library was not changed" in refusal(host.plan_undo).cause
    assert tree(host.folder.parent) == before


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED, run_record.DEPLOYING])
def test_nothing_is_restored_if_nothing_was_swapped(host: Host, phase: str) -> None:
    host.prepare_migration()
    run_record.write(host.state, host.record._replace(phase=phase))
    assert host.plan_undo() is None


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_later_edit_does_not_restore_an_undeployed_library(host: Host, phase: str) -> None:
    host.live.write_bytes(NEW)
    host.prepare_migration(laid_out({**hashed(BEFORE), "more": True}))
    run_record.write(host.state, host.record._replace(phase=phase))
    host.live.write_bytes(laid_out(EDITED))
    assert host.plan_undo(laid_out({**hashed(BEFORE), "more": True})) is None


def test_a_deploy_that_was_cut_short_is_put_back_as_well(host: Host) -> None:
    host.migrate()
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING))
    assert present(host.plan_undo()).source == str(host.pre_dhash)


@pytest.mark.parametrize("operation", [run_record.MIGRATION, run_record.REVIEW_IMPORT])
def test_rescue_keeps_edits_that_are_made_before_its_deploy(host: Host, operation: str) -> None:
    host.migrate()
    run_record.write(host.state, host.record._replace(operation=operation))
    host.prepare(present(host.plan_undo()))
    assert host.record.operation == run_record.RESTORE
    host.live.write_bytes(laid_out({**EDITED, "albums": [1]}))
    host.deploy()
    left = EDITED if operation == run_record.REVIEW_IMPORT else {**BEFORE, "images": [*BEFORE["images"], image("later")]}
    assert json.loads(host.live.read_bytes()) == {**left, "albums": [1]}


@pytest.mark.parametrize("broken", [b'{"images": [NaN]}', None])
def test_rescue_restores_a_library_that_is_broken_or_gone(host: Host, broken: bytes | None) -> None:
    host.migrate()
    if broken is None:
        host.live.unlink()
    else:
        host.live.write_bytes(broken)
    way = present(host.plan_undo())
    assert (way.operation, way.source) == (run_record.RESTORE, str(host.pre_dhash))
    host.prepare(way)
    host.deploy()
    assert host.live.read_bytes() == OLD
    assert host.kept() == ([broken] if broken else [])


# What cannot be told is not taken for absent.


def test_unreadable_path_is_not_taken_for_a_missing_library(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.migrate()
    way = host.plan(host.place_backup("20240101T000000Z").name)
    lstat = os.lstat

    def lstat_on_a_bad_disk(path: str, **options: Any) -> os.stat_result:
        if path == str(host.live):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", lstat_on_a_bad_disk)
    assert refusal(host.prepare, way).cause == "could not check whether the file exists: Input/output error"
    assert host.live.read_bytes() == NEW


# A library that is missing, or cannot be read.


BROKEN = b'{"images": [], "ratio": NaN}'
LOST = pytest.mark.parametrize("live", [None, BROKEN])
STAMPS = "20260101T000000Z", "20260201T000000Z", "20260301T000000Z"
NOTED = laid_out(hashed({**BEFORE, "images": [image("a", notes="mine"), BEFORE["images"][1], image("later")], "albums": [1]}))


def lose(host: Host, live: bytes | None) -> None:
    host.live.unlink()
    if live is not None:
        host.live.write_bytes(live)


@pytest.fixture
def edited(host: Host) -> tuple[Path, Path]:
    """A library that was migrated, verified, edited, and backed up once more; the earlier backup and the later one."""
    earlier = host.place_backup(STAMPS[0])
    host.migrate()
    host.verified()
    host.live.write_bytes(NOTED)
    return earlier, host.place_backup(STAMPS[2], NOTED)


@LOST
def test_lost_library_is_restored_from_its_newest_intact_backup(host: Host, edited: tuple[Path, Path], live: bytes | None) -> None:
    _earlier, later = edited
    lose(host, live)
    way = host.roll_back()
    assert (way.source, way.newest, way.passed_over) == (str(later), None, [])
    assert host.live.read_bytes() == NOTED
    assert host.kept() == ([live] if live else [])
    assert host.plan().due is False


@LOST
@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED, run_record.DEPLOYING])
def test_library_lost_by_a_failed_migration_keeps_its_edits(host: Host, edited: tuple[Path, Path], live: bytes | None, phase: str) -> None:
    host.prepare_migration(laid_out({**json.loads(NOTED), "dhash_errors": [1]}))
    run_record.write(host.state, host.record._replace(phase=phase, run="20260302T000000Z-9"))
    lose(host, live)
    assert host.roll_back().source == str(edited[1])
    assert host.live.read_bytes() == NOTED


@LOST
def test_unfinished_deploys_source_outranks_earlier_backups(host: Host, live: bytes | None) -> None:
    old = host.place_backup(STAMPS[0])  # not made again, since its content is backed up already
    between = host.place_backup(STAMPS[1], NOTED)
    host.prepare_migration()
    run_record.write(host.state, host.record._replace(phase=run_record.ANNOUNCED, run=f"{STAMPS[2]}-9"))
    lose(host, live)
    way = host.plan()
    assert (way.source, way.newest) == (str(old), str(between))
    newest = host.place_backup("20260401T000000Z", NOTED)
    assert host.plan().source == str(newest)


@pytest.mark.slow
@LOST
def test_killed_rollback_of_a_lost_library_keeps_its_backup(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool], live: bytes | None) -> None:
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        host.place_backup(STAMPS[0])
        host.place_backup(STAMPS[1], NOTED)
        host.prepare_migration()
        run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING, run=f"{STAMPS[2]}-9"))
        lose(host, live)
        killed = killed_at(number, host.roll_back)
        host.roll_back()
        assert host.live.read_bytes() == OLD
        assert host.kept() == ([live] if live else [])
        if not killed:
            break
    assert number > 10


@LOST
def test_what_a_deploy_kept_comes_back_where_no_backup_is_newer(host: Host, live: bytes | None) -> None:
    stale = host.place_backup(STAMPS[0], laid_out({"images": []}))
    host.migrate()
    lose(host, live)
    assert (host.plan().source, host.plan().newest) == (str(host.pre_dhash), str(stale))
    newer = host.place_backup("20991231T000000Z", NOTED)
    assert host.plan().source == str(newer)
    for path in (stale, newer, host.pre_dhash):
        path.unlink()
    assert refusal(host.plan).cause == "there is no intact backup of this library"


@LOST
def test_replaced_file_of_a_rollback_is_named_but_not_restored(host: Host, live: bytes | None) -> None:
    backup = host.place_backup(STAMPS[0])
    host.migrate()
    host.verified()
    host.roll_back()
    lose(host, live)
    assert host.plan().source == str(backup)
    backup.unlink()
    assert f"{host.live}.pre-rollback." in str(refusal(host.plan).next_step)


@LOST
def test_damaged_newest_backup_is_named_and_the_next_one_used(host: Host, edited: tuple[Path, Path], live: bytes | None) -> None:
    damaged = host.place_backup("20260401T000000Z", NOTED, vouched=False)
    broken = host.place_backup("20260402T000000Z", BROKEN)
    lose(host, live)
    way = host.plan()
    assert (way.source, way.passed_over) == (str(edited[1]), [str(broken), str(damaged)])


@LOST
def test_encrypted_newest_backup_is_not_replaced_by_an_older_one(host: Host, age_key: tuple[str, str], live: bytes | None) -> None:
    identity, recipient = age_key
    clear = host.place_backup(STAMPS[0])
    host.live.write_bytes(NOTED)
    newest = backup_files.make(str(host.live), str(host.folder), [recipient])[0].path
    lose(host, live)
    error = refusal(host.plan)
    assert (error.path, "identity" in error.cause) == (newest, True)
    assert "dhash_rollback_identity_file" in str(error.next_step) and clear.name in str(error.next_step)
    assert "dhash_rollback_remove_dhash" not in str(error.next_step)
    assert host.plan(clear.name).newest == newest
    wish = rollback_plan.RollbackRequest(rollback_plan.LATEST, False, False, identity)
    assert rollback_plan.make_plan(str(host.live), host.state, str(host.folder), wish).text == NOTED


def test_clear_backup_substitutes_for_an_equal_encrypted_one(host: Host, age_key: tuple[str, str]) -> None:
    clear = host.place_backup(STAMPS[0])
    backup_files.make(str(host.live), str(host.folder), [age_key[1]])
    host.live.unlink()
    assert (host.plan().source, host.plan().newest) == (str(clear), None)


def test_lost_library_is_never_restored_from_anothers_backup(host: Host, elsewhere: Path) -> None:
    own = backup_files.make(str(host.live), str(elsewhere.parent))[0].path
    os.utime(own, (0, 0))
    host.live.unlink()
    way = plan_from(host, elsewhere.parent)
    assert (way.source, way.newest, way.passed_over) == (own, None, [])


@LOST
def test_losses_of_an_unreadable_library_are_reported_as_unknown(host: Host, edited: tuple[Path, Path], live: bytes | None) -> None:
    lose(host, live)
    for way in (host.plan(), host.plan(edited[0].name)):
        assert way.losses is None
        assert "Lost: unknown, because the live library cannot be read" in rollback_report.lines(str(host.live), way, None)


@pytest.mark.parametrize("live", [None, BROKEN, NEW])
def test_restore_of_an_older_backup_names_the_newest_one(host: Host, edited: tuple[Path, Path], live: bytes | None) -> None:
    earlier, later = edited
    lose(host, live)
    way = host.plan(earlier.name)
    assert (way.source, way.newest) == (str(earlier), str(later))
    assert any(str(later) in line for line in rollback_report.lines(str(host.live), way, None))


def test_undo_of_a_deploy_names_the_newest_backup(host: Host, edited: tuple[Path, Path]) -> None:
    host.live.write_bytes(NEW)
    assert (host.plan().source, host.plan().newest) == tuple(map(str, edited))


def test_lost_library_without_any_copy_must_come_from_elsewhere(host: Host) -> None:
    host.live.unlink()
    error = refusal(host.plan)
    assert str(host.folder) in str(error.next_step) and "from elsewhere" in str(error.next_step)


def test_rescue_takes_no_newer_backup_for_a_lost_library(host: Host) -> None:
    host.migrate()
    host.place_backup("20991231T000000Z", NOTED)
    host.live.unlink()
    way = present(host.plan_undo())
    assert (way.source, way.text, way.newest, way.passed_over) == (str(host.pre_dhash), OLD, None, [])


@LOST
def test_interrupted_deploy_does_not_block_a_lost_library(host: Host, live: bytes | None) -> None:
    host.prepare_migration()
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING))
    lose(host, live)
    assert cutover.is_interrupted(str(host.live), host.state) is False


def test_unreadable_library_is_not_taken_for_a_lost_one(host: Host, edited: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def open_without_the_right(path: str, *args: Any, **options: Any) -> int:
        if os.fspath(path) == str(host.live):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return os_open(path, *args, **options)

    os_open = os.open
    builtin: Callable[..., Any] = open
    monkeypatch.setattr(os, "open", open_without_the_right)
    monkeypatch.setattr("builtins.open", lambda path, *args, opener=os.open, **options: builtin(path, *args, opener=opener, **options))
    assert "Permission denied" in refusal(host.plan).cause


def test_edits_kept_by_an_interrupted_deploy_outrank_a_backup(host: Host) -> None:
    host.place_backup(STAMPS[0])
    host.live.write_bytes(NOTED)
    host.prepare_migration()
    Path(host.record.kept).write_bytes(NOTED)
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING, run="20251231T000000Z-9"))
    host.live.unlink()
    assert host.plan().text == NOTED


UNSWAPPED = (run_record.PREPARED, run_record.ANNOUNCED, run_record.DEPLOYING)


@pytest.mark.parametrize("phase", UNSWAPPED)
@pytest.mark.parametrize("live", [NEW, b"broken", None])
@pytest.mark.parametrize("backup", [None, b"damaged"])
@pytest.mark.parametrize("is_named", [False, True])
def test_rollback_without_its_backup_uses_its_staged_library(
        host: Host, phase: str, live: bytes | None, backup: bytes | None, is_named: bool) -> None:
    source = host.backup()
    host.migrate()
    host.verified()
    host.prepare(host.plan())
    run_record.write(host.state, host.record._replace(phase=phase, restart_owed=phase != run_record.PREPARED))
    for path in (host.live, source):
        content = live if path == host.live else backup
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    assert host.roll_back(source.name if is_named and live == NEW else rollback_plan.LATEST).sha256 == digest(OLD)
    host.verified()
    assert host.live.read_bytes() == OLD
    assert (host.record.phase, host.record.restart_owed) == (run_record.VERIFIED, False)
    assert unfinished_work.waiting(str(host.live), host.state) is None


def test_changed_or_unrelated_staged_rollback_is_not_used(host: Host) -> None:
    source = host.backup()
    host.migrate()
    host.verified()
    host.prepare(host.plan())
    source.unlink()
    assert "there is no backup library.json.bak.20000101T000000Z" in str(refusal(host.plan, "library.json.bak.20000101T000000Z"))
    Path(host.record.output).write_bytes(b"edited")
    assert "was not written by this collection" in str(refusal(host.plan))
