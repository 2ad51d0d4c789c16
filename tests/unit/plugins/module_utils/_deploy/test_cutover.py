# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, pending_marker, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable
from conftest import present

OLD, NEW, THEIRS = b"old" * 1000, b"new" * 2000, b"theirs" * 500


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Host:
    """A host on which a migrated library waits to be deployed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "srv"
        self.folder.mkdir(parents=True)
        self.live = self.folder / "library.json"
        self.live.write_bytes(OLD)
        self.live.chmod(0o640)
        self.output = self.folder / "library.dhash.json"
        self.output.write_bytes(NEW)
        self.pre_dhash = self.folder / "library.json.pre-dhash"
        self.incoming = folder / "srv" / os.path.basename(cutover.incoming(str(self.live)))
        self.state = str(folder / "state")
        self.prepare(OLD, NEW)

    def prepare(self, old: bytes, new: bytes, **changes: Any) -> None:
        run_record.write(self.state, run_record.Record(
            run="20260131T120000Z-7", operation=run_record.MIGRATION, phase=run_record.PREPARED, library=str(self.live),
            output=str(self.output), kept=str(self.pre_dhash), old_sha256=digest(old), new_sha256=digest(new),
            restart_owed=False, settings={})._replace(**changes))

    def is_now(self, **changes: Any) -> None:
        run_record.write(self.state, self.record._replace(**changes))

    @property
    def record(self) -> run_record.Record:
        return present(run_record.read(self.state))

    def plan(self) -> cutover.Plan:
        return cutover.plan(str(self.live), self.state)

    def deploy(self) -> bool:
        return cutover.deploy(str(self.live), self.state)

    def announce(self) -> bool:
        return cutover.announcement_is_due(cutover.announce(str(self.live), self.state))

    def verified(self, check: bool = False) -> bool:
        return cutover.verified(str(self.live), self.state, check)

    def files(self) -> dict[str, bytes]:
        marker = os.path.basename(pending_marker.path(str(self.live)))
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != marker}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture(params=["with renameat2", "without renameat2"])
def any_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once as it is, once as on a kernel or file system on which two files cannot change places."""
    if request.param == "without renameat2":
        monkeypatch.setattr(durable, "exchange", lambda _one, _other: False)
    kernel: str = request.param
    return kernel


def changes_before_the_exchange(live: Path, exchange: Callable[[str, str], bool]) -> Callable[..., bool]:
    """``exchange``, but a writer is a moment quicker the first time."""
    written: list[int] = []

    def exchange_too_late(one: str, other: str) -> bool:
        if not written:
            written.append(live.write_bytes(THEIRS))
        return exchange(one, other)

    return exchange_too_late


# What a deploy does.


def test_migrated_library_is_swapped_in_and_the_old_one_kept(host: Host, any_kernel: str) -> None:
    assert cutover.is_due(host.plan())
    assert host.deploy() is True
    assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)


def test_what_is_deployed_is_not_deployed_again(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host.deploy()
    before = tree(host.folder.parent)
    assert not cutover.is_due(host.plan())
    assert host.deploy() is False
    assert tree(host.folder.parent) == before


def test_live_and_replaced_library_keep_mode_and_owner(host: Host, any_kernel: str) -> None:
    if os.geteuid() == 0:
        os.chown(host.live, 1234, 2345)
    owner = host.live.stat().st_uid
    host.deploy()
    for path in (host.live, host.pre_dhash):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o640, owner)


def test_writer_with_the_old_file_open_never_writes_the_new_one(host: Host) -> None:
    with open(host.live, "ab") as writer:
        host.deploy()
        writer.write(b"late")
    assert host.live.read_bytes() == NEW
    assert host.pre_dhash.read_bytes() == OLD + b"late"


def test_a_host_that_has_migrated_nothing_has_nothing_to_deploy(tmp_path: Path, host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host.state = str(tmp_path / "other state")
    before = tree(tmp_path)
    assert host.plan() == cutover.Plan(None, False, False)
    assert (host.deploy(), host.announce(), host.verified()) == (False, False, False)
    assert tree(tmp_path) == before


def test_planning_writes_nothing(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(host.folder.parent)
    planned = host.plan()
    assert cutover.is_due(planned)
    assert cutover.announcement_is_due(planned)
    assert tree(host.folder.parent) == before


# What it refuses.


def test_library_changed_since_its_migration_is_not_replaced(host: Host) -> None:
    host.live.write_bytes(THEIRS)
    with pytest.raises(cutover.ChangedError) as caught:
        host.deploy()
    assert caught.value.path == str(host.live)
    assert "nothing was replaced" in caught.value.cause
    assert host.files() == {"library.json": THEIRS, "library.dhash.json": NEW}
    assert (host.record.phase, host.record.restart_owed) == (run_record.PREPARED, False)


def test_output_not_written_by_the_migration_is_not_deployed(host: Host) -> None:
    host.output.write_bytes(THEIRS)
    with pytest.raises(DhashError) as caught:
        host.deploy()
    assert (caught.value.path, caught.value.cause) == (str(host.output), "the staged library is not the one that the last run wrote")
    assert host.files() == {"library.json": OLD, "library.dhash.json": THEIRS}


def test_output_removed_before_the_deploy_cancels_the_migration(host: Host) -> None:
    host.output.unlink()
    assert not cutover.is_due(host.plan())
    assert host.deploy() is False
    assert host.files() == {"library.json": OLD}


@pytest.mark.parametrize("phase", [run_record.ANNOUNCED, run_record.DEPLOYING])
def test_an_output_that_was_removed_abandons_the_deploy(host: Host, phase: str) -> None:
    host.is_now(phase=phase, restart_owed=True)
    host.output.unlink()
    assert host.deploy() is False
    assert host.files() == {"library.json": OLD}
    assert host.record.restart_owed


def test_library_changed_at_the_last_moment_is_restored(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "exchange", changes_before_the_exchange(host.live, durable.exchange))
    with pytest.raises(cutover.ChangedError, match="the library changed during the deploy"):
        host.deploy()
    assert host.live.read_bytes() == THEIRS
    assert host.output.read_bytes() == NEW
    assert not host.incoming.exists()


def test_library_changed_late_is_not_replaced_without_a_swap(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "exchange", changes_before_the_exchange(host.live, lambda _one, _other: False))
    with pytest.raises(cutover.ChangedError, match="nothing was replaced"):
        host.deploy()
    assert host.live.read_bytes() == THEIRS
    assert host.output.read_bytes() == NEW
    assert not host.incoming.exists()


def test_library_migrated_again_after_a_refusal_is_deployed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as late:
        late.setattr(durable, "exchange", changes_before_the_exchange(host.live, durable.exchange))
        with pytest.raises(cutover.ChangedError):
            host.deploy()
    host.output.write_bytes(NEW + THEIRS)
    host.prepare(THEIRS, NEW + THEIRS)
    assert host.deploy() is True
    assert host.files() == {"library.json": NEW + THEIRS, "library.json.pre-dhash": THEIRS}


def test_full_disk_during_deploy_keeps_the_library(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", on=tmp_path)
    for free_blocks in itertools.count():
        host = Host(tmp_path / str(free_blocks))
        disk = os.statvfs(tmp_path)
        ballast = tmp_path / "ballast"
        ballast.write_bytes(b"\0" * (disk.f_bavail - free_blocks) * disk.f_bsize)
        try:
            host.deploy()
        except DhashError as error:
            assert "No space left on device. Free space" in str(error)
        else:
            break
        assert host.live.read_bytes() == OLD
        assert host.output.read_bytes() == NEW
        assert set(host.files()) <= {"library.json", "library.dhash.json", "library.json.pre-dhash"}
        ballast.unlink()
        host.deploy()
        assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
    assert free_blocks > 2  # for the copy that is kept, the new library, and the record


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_failing_disk_during_deploy_leaves_old_or_new_library(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fsync = os.fsync
    for good in itertools.count():
        host = Host(tmp_path / str(good))
        calls = itertools.count()

        def failing(descriptor: int, calls: Iterator[int] = calls, good: int = good) -> None:
            if next(calls) >= good:
                raise OSError(number, os.strerror(number))
            fsync(descriptor)

        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", failing)
            try:
                host.deploy()
            except DhashError as error:
                failed = True
                assert os.strerror(number) in str(error)
            else:
                failed = False
        assert host.live.read_bytes() in (OLD, NEW)
        host.deploy()
        assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
        if not failed:
            break
    assert good > 8


def test_late_write_survives_a_disk_failure_right_after_the_swap(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> NoReturn:
        raise DhashError("could not sync the folder after renaming the file", path)

    with monkeypatch.context() as disk:
        disk.setattr(durable, "exchange", changes_before_the_exchange(host.live, durable.exchange))
        disk.setattr(durable, "_sync_names_of", fail)
        with pytest.raises(DhashError, match="sync the folder after renaming"):
            host.deploy()
    assert (host.live.read_bytes(), host.incoming.read_bytes()) == (NEW, THEIRS)
    with pytest.raises(cutover.ChangedError):
        host.deploy()
    assert host.live.read_bytes() == THEIRS


def test_bind_mounted_library_is_refused_without_leftovers(host: Host, tmp_path: Path, mount: Callable[..., None]) -> None:
    mounted = tmp_path / "mounted.json"
    mounted.write_bytes(OLD)
    mount("--bind", str(mounted), on=host.live)
    with pytest.raises(DhashError, match=r"mount point .* Mount the folder that holds it"):
        host.deploy()
    assert host.live.read_bytes() == OLD
    assert host.output.read_bytes() == NEW
    assert not host.incoming.exists()


# What was cut short.


def test_an_exchange_that_was_cut_short_is_finished(host: Host) -> None:
    host.is_now(phase=run_record.DEPLOYING, restart_owed=True)
    host.live.write_bytes(NEW)
    host.incoming.write_bytes(OLD)
    planned = host.plan()
    assert (planned.exchange, planned.finish, cutover.is_due(planned)) == (False, True, True)
    assert host.deploy() is True
    assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)


@pytest.mark.slow
def test_killed_deploy_is_continued_to_the_same_end(
        tmp_path: Path, any_kernel: str, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    phases = set()
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        killed = killed_at(number, host.deploy)
        phases.add(host.record.phase)
        assert host.live.read_bytes() in (OLD, NEW)
        assert OLD in host.files().values()
        if host.live.read_bytes() == NEW:
            assert host.record.restart_owed
            assert host.record.phase in (run_record.DEPLOYING, run_record.DEPLOYED)
        host.deploy()
        assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
        assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)
        if not killed:
            break
    assert phases == {run_record.PREPARED, run_record.DEPLOYING, run_record.DEPLOYED}
    assert number > 15


@pytest.mark.slow
def test_verification_never_clears_a_killed_unfinished_deploy(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        host.announce()
        killed = killed_at(number, host.deploy)
        unfinished = host.record.phase == run_record.DEPLOYING
        before = host.files()
        host.verified()
        if unfinished:
            assert host.files() == before
            assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYING, True)
        assert host.live.read_bytes() in (OLD, NEW)
        host.deploy()
        assert host.live.read_bytes() == NEW
        assert host.record.restart_owed is (host.record.phase == run_record.DEPLOYED)
        if not killed:
            break
    assert number > 10


@pytest.mark.slow
def test_late_write_survives_a_deploy_killed_at_any_step(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        host = Host(tmp_path / str(number))

        def deploy_while_another_writes(host: Host = host) -> None:
            durable.exchange = changes_before_the_exchange(host.live, durable.exchange)
            with contextlib.suppress(cutover.ChangedError):
                host.deploy()

        killed = killed_at(number, deploy_while_another_writes)
        assert host.live.read_bytes() in (OLD, NEW, THEIRS)
        if OLD not in (host.live.read_bytes(),):
            with pytest.raises(cutover.ChangedError):
                host.deploy()
            assert host.live.read_bytes() == THEIRS
            assert host.output.read_bytes() == NEW
            with pytest.raises(cutover.ChangedError):
                host.deploy()
            assert host.live.read_bytes() == THEIRS
        if not killed:
            break
    assert number > 10


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_leftovers_of_an_earlier_deploy_never_become_live(host: Host, phase: str) -> None:
    host.incoming.write_bytes(b"of a deploy that was killed, of an earlier migration")
    host.live.write_bytes(NEW)  # the operator put the migrated library in place by hand
    host.is_now(phase=phase)
    host.deploy()
    assert host.live.read_bytes() == NEW
    assert not host.incoming.exists()
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)


# The restart that is owed, and the verification that clears it.


def test_a_restart_is_owed_from_before_the_service_is_stopped(host: Host) -> None:
    assert host.announce() is True
    assert (host.record.phase, host.record.restart_owed) == (run_record.ANNOUNCED, True)
    assert host.announce() is False
    assert host.files() == {"library.json": OLD, "library.dhash.json": NEW}
    assert host.deploy() is True
    assert host.record.restart_owed


def test_a_deploy_puts_it_on_record_before_the_exchange(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    exchange = durable.exchange

    def exchange_once_seen(one: str, other: str) -> bool:
        seen.append(host.record)
        return exchange(one, other)

    monkeypatch.setattr(durable, "exchange", exchange_once_seen)
    host.deploy()
    assert [(record.phase, record.restart_owed) for record in seen] == [(run_record.DEPLOYING, True)]


def test_an_announcement_says_since_when_the_service_is_stopped(host: Host) -> None:
    host.announce()
    assert datetime.strptime(present(host.record.stopped_at), run_record.TIME)
    host.deploy()
    assert host.record.stopped_at
    started(host)
    assert host.record.stopped_at is None


def started(host: Host, check: bool = False) -> bool:
    return cutover.started(str(host.live), host.state, check)


def test_verification_remembers_that_the_service_is_stopped(host: Host) -> None:
    host.announce()
    host.deploy()
    before = host.record
    assert not host.verified(check=True) and not host.verified()
    assert host.record == before and before.stopped_at and before.restart_owed
    started(host)
    assert host.verified()
    assert (host.record.phase, host.record.restart_owed) == (run_record.VERIFIED, False)


def test_verification_clears_nothing_of_a_run_that_intervened(host: Host) -> None:
    read = host.record.run
    host.deploy()
    host.is_now(run="20991231T000000Z-1")
    with pytest.raises(cutover.ChangedError, match="run 20991231T000000Z-1 began in the meantime"):
        cutover.verified(str(host.live), host.state, check=False, run=read)
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)


# Whose restart is pending.

SERVICE = {"manager": "systemd", "name": "mobius"}


def test_record_keeps_the_service_to_restart_until_verification(host: Host) -> None:
    cutover.announce(str(host.live), host.state, service=SERVICE)
    pending = host.record.service
    assert pending == {**SERVICE, "since": host.record.stopped_at}
    cutover.deploy(str(host.live), host.state, SERVICE)
    started(host)
    assert host.record.service == pending
    host.verified()
    assert not host.record.restart_owed and host.record.service is None


def test_service_left_running_during_the_swap_is_recorded_too(host: Host) -> None:
    cutover.deploy(str(host.live), host.state, {"manager": "command", "name": None})
    assert present(host.record.service)["manager"] == "command" and datetime.strptime(present(host.record.service)["since"], run_record.TIME)


def test_service_started_before_a_swap_has_no_restart_pending(host: Host) -> None:
    cutover.announce(str(host.live), host.state, service=SERVICE)
    started(host)
    assert not host.record.restart_owed and host.record.service is None


def test_a_run_that_manages_no_service_clears_no_restart_of_one(host: Host) -> None:
    cutover.deploy(str(host.live), host.state, SERVICE)
    before = host.record
    for check in (True, False):
        with pytest.raises(RefusedError) as caught:
            cutover.verified(str(host.live), host.state, check, manages=False)
        assert f"a restart of mobius (systemd) has been pending since {present(before.service)['since']}" in str(caught.value)
        assert str(host.live) in str(caught.value) and "dhash_service_manager" in str(caught.value.next_step)
    assert host.record == before and host.pre_dhash.exists()


def test_deploy_without_a_service_keeps_the_one_to_restart(host: Host) -> None:
    since = {**SERVICE, "since": "2026-01-31T12:00:00Z"}
    host.is_now(restart_owed=True, service=since)
    host.deploy()
    assert host.record.service == since
    assert run_record.carried_over(host.record)["service"] == since
    host.verified()
    assert run_record.carried_over(host.record)["service"] is None


def test_host_without_a_managed_service_is_verified(host: Host) -> None:
    host.deploy()
    assert cutover.verified(str(host.live), host.state, check=False, manages=False)
    assert (host.record.phase, host.record.restart_owed) == (run_record.VERIFIED, False)


def test_a_start_after_an_announcement_leaves_nothing_pending(host: Host) -> None:
    host.announce()
    assert started(host, check=True) and host.record.stopped_at
    assert started(host)
    assert (host.record.phase, host.record.restart_owed) == (run_record.PREPARED, False) and host.record.stopped_at is None
    assert not started(host)
    assert cutover.is_due(host.plan())


@pytest.mark.parametrize("phase", [run_record.DEPLOYING, run_record.DEPLOYED])
def test_a_start_after_the_exchange_leaves_the_restart_pending(host: Host, phase: str) -> None:
    host.deploy()
    host.is_now(phase=phase, stopped_at="2026-01-31T12:00:00Z", dependents=["web.service"])
    assert started(host)
    assert (host.record.phase, host.record.restart_owed) == (phase, True)
    assert (host.record.stopped_at, host.record.dependents) == (None, [])


def test_a_library_put_in_place_by_hand_keeps_its_restart(host: Host) -> None:
    host.announce()
    host.live.write_bytes(NEW)
    assert started(host)
    assert (host.record.phase, host.record.restart_owed, host.record.stopped_at) == (run_record.ANNOUNCED, True, None)


def test_a_start_needs_no_library_and_no_record(host: Host) -> None:
    host.announce()
    host.live.unlink()
    assert started(host)
    assert host.record.stopped_at is None
    os.unlink(os.path.join(host.state, run_record.FILE))
    assert not started(host)


def test_units_that_stopped_with_the_service_are_remembered(host: Host) -> None:
    cutover.announce(str(host.live), host.state, ["web.service"])
    stopped_at = host.record.stopped_at
    cutover.announce(str(host.live), host.state, [])  # the run again, once they are stopped
    cutover.announce(str(host.live), host.state, ["worker.service"])
    assert host.record.dependents == ["web.service", "worker.service"]
    assert host.record.stopped_at == stopped_at
    host.deploy()
    assert host.record.dependents == ["web.service", "worker.service"]
    started(host)
    assert host.record.dependents == []


def test_pending_restart_does_not_hide_a_stopped_service(host: Host) -> None:
    host.is_now(restart_owed=True)
    host.announce()
    assert host.record.stopped_at


def test_restart_pending_from_an_earlier_run_is_not_reannounced(host: Host) -> None:
    host.is_now(restart_owed=True, stopped_at="2026-01-31T12:00:00Z")
    assert not cutover.announcement_is_due(host.plan())


def test_nothing_to_deploy_announces_no_restart(host: Host) -> None:
    host.deploy()
    host.verified()
    assert host.announce() is False
    assert not host.record.restart_owed


def test_second_run_learns_that_the_swap_is_done(host: Host) -> None:
    assert cutover.is_due(host.plan())
    host.deploy()
    host.verified()
    assert not cutover.is_due(cutover.announce(str(host.live), host.state))


def test_replaced_library_is_kept_until_a_verification_passes(host: Host) -> None:
    host.deploy()
    assert host.pre_dhash.read_bytes() == OLD
    assert host.verified() is True
    assert host.files() == {"library.json": NEW}
    assert (host.record.phase, host.record.restart_owed) == (run_record.VERIFIED, False)
    assert host.verified() is False


@pytest.mark.parametrize(("phase", "owed", "phase_after", "owed_after", "cleared"), [
    (run_record.PREPARED, False, run_record.PREPARED, False, False),
    (run_record.PREPARED, True, run_record.PREPARED, False, True),
    (run_record.ANNOUNCED, True, run_record.PREPARED, False, True),
    (run_record.DEPLOYING, True, run_record.DEPLOYING, True, False),
    (run_record.DEPLOYED, True, run_record.VERIFIED, False, True),
    (run_record.VERIFIED, True, run_record.VERIFIED, False, True),
    (run_record.VERIFIED, False, run_record.VERIFIED, False, False),
])
def test_passed_verification_clears_all_but_an_unfinished_deploy(
        host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]], phase: str, owed: bool, phase_after: str, owed_after: bool, cleared: bool) -> None:
    host.is_now(phase=phase, restart_owed=owed)
    before = tree(host.folder.parent)
    assert host.verified(check=True) is cleared
    assert tree(host.folder.parent) == before
    assert host.verified() is cleared
    assert (host.record.phase, host.record.restart_owed) == (phase_after, owed_after)
    assert host.files() == {"library.json": OLD, "library.dhash.json": NEW}


@pytest.mark.parametrize(("phase", "kept"), [(run_record.DEPLOYING, True), (run_record.DEPLOYED, False), (run_record.VERIFIED, False)])
def test_verification_removes_the_old_file_of_finished_deploys(
        host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]], phase: str, kept: bool) -> None:
    host.pre_dhash.write_bytes(OLD)
    host.is_now(phase=phase, restart_owed=True)
    before = tree(host.folder.parent)
    assert host.verified(check=True) is not kept
    assert tree(host.folder.parent) == before
    host.verified()
    assert host.pre_dhash.exists() is kept


def test_an_interrupted_deploy_is_finished_only_after_its_swap(host: Host, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    host.is_now(phase=run_record.DEPLOYING, restart_owed=True)
    assert cutover.finish(str(host.live), host.state, check=False) is False
    assert host.files() == {"library.json": OLD, "library.dhash.json": NEW}
    host.live.write_bytes(NEW)
    host.incoming.write_bytes(OLD)
    before = tree(host.folder.parent)
    assert cutover.finish(str(host.live), host.state, check=True) is True
    assert tree(host.folder.parent) == before
    assert cutover.finish(str(host.live), host.state, check=False) is True
    assert host.files() == {"library.json": NEW, "library.json.pre-dhash": OLD}
    assert (host.record.phase, host.record.restart_owed) == (run_record.DEPLOYED, True)
    assert cutover.finish(str(host.live), host.state, check=False) is False


@pytest.mark.parametrize(("live", "phase"), [
    (OLD, run_record.PREPARED), (NEW, run_record.DEPLOYING), (THEIRS, run_record.DEPLOYING), (None, run_record.DEPLOYING)])
def test_start_clears_a_restart_pending_before_its_swap(host: Host, live: bytes | None, phase: str) -> None:
    host.is_now(phase=run_record.DEPLOYING, restart_owed=True, stopped_at="2026-01-31T12:00:00Z")
    host.live.unlink()
    if live is not None:
        host.live.write_bytes(live)
    assert cutover.started(str(host.live), host.state, check=False) is True
    assert (host.record.phase, host.record.restart_owed, host.record.stopped_at) == (phase, phase != run_record.PREPARED, None)
    assert host.output.read_bytes() == NEW


def test_foreseen_deploy_is_what_a_deploy_finds(host: Host) -> None:
    def foreseen() -> tuple[Any, ...]:
        found = present(cutover.foresee(str(host.live), host.state))
        return found["library"], found["phase"], found["due"], found["restart_owed"], found["is_pending"]

    before = host.files()
    assert foreseen() == (str(host.live), "prepared", True, False, False)
    assert host.files() == before
    host.deploy()
    assert foreseen() == (str(host.live), "deployed", False, True, True)
    host.verified()
    assert foreseen() == (str(host.live), "verified", False, False, False)


def test_nothing_is_foreseen_of_a_deploy_that_would_fail(host: Host) -> None:
    host.output.write_bytes(THEIRS)
    assert cutover.foresee(str(host.live), host.state) is None


def test_host_without_a_run_has_nothing_pending(tmp_path: Path) -> None:
    library = tmp_path / "library.json"
    library.write_bytes(OLD)
    assert cutover.foresee(str(library), str(tmp_path / "state")) == {
        "library": str(library), "phase": None, "restart_owed": False, "due": False, "is_pending": False}
