# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from conftest import present

RECORD = run_record.Record(
    run="20260131T120000Z-7", operation=run_record.MIGRATION, phase=run_record.PREPARED, library="/none/library.json",
    output="/none/library.dhash.json", kept="/none/library.json.pre-dhash", old_sha256="0" * 64, new_sha256="1" * 64,
    restart_owed=False, settings={"parallel": 2, "media_roots": ["/srv"], "limit": None})


def refusal_to_read(state: Path) -> DhashError:
    with pytest.raises(DhashError) as caught:
        run_record.read(str(state))
    assert caught.value.path == str(state / "run.json")
    return caught.value


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_of_a_state_folder_can_read_roots_records(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 1234, 2345)
    run_record.write(str(state), RECORD)
    status = (state / "run.json").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o600)


# Where the state of a library lies.


def test_a_library_that_is_a_link_is_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(b"")
    (tmp_path / "library.json").symlink_to("real.json")
    assert run_record.resolve(str(tmp_path / "library.json")) == os.path.realpath(tmp_path / "real.json")


def test_a_library_may_be_named_from_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_record.resolve("~/library.json") == os.path.realpath(tmp_path / "library.json")


def test_each_library_has_its_own_recognisable_state_folder(tmp_path: Path) -> None:
    libraries = ["/srv/mobius/library.json", "/mnt/mobius/library.json", "/srv/mobius/other.json", "/srv/mobius /library.json"]
    folders = [run_record.folder(str(tmp_path), library) for library in libraries]
    assert len(set(folders)) == len(libraries)
    assert all(re.fullmatch(re.escape(str(tmp_path)) + r"/mobius-[0-9a-f]{12}", folder) for folder in folders)


def test_a_library_has_the_same_state_folder_at_every_run(tmp_path: Path) -> None:
    assert run_record.folder(str(tmp_path), "/srv/library.json") == run_record.folder(str(tmp_path), "/srv/library.json")


@pytest.mark.parametrize("library", ["/library.json", "/日本/library.json", "/srv/\udcff/library.json", "/a/../library.json"])
def test_an_odd_folder_makes_no_odd_state_folder(tmp_path: Path, library: str) -> None:
    folder = run_record.folder(str(tmp_path), library)
    assert os.path.dirname(folder) == str(tmp_path)
    assert re.fullmatch(r"[A-Za-z0-9-]+", os.path.basename(folder))


def test_state_is_in_var_lib_for_root_and_in_the_home_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/zoe")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run_record.folder(None, "/srv/library.json").startswith("/var/lib/mobius-dhash/srv-")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run_record.folder(None, "/srv/library.json").startswith("/home/zoe/.local/state/mobius-dhash/srv-")


def test_a_state_folder_may_be_named_from_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/zoe")
    assert run_record.folder("~/state", "/srv/library.json").startswith("/home/zoe/state/srv-")


def test_a_run_is_named_by_its_time_and_process() -> None:
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-{os.getpid()}", run_record.new_run())


# The record of the last run.


def test_a_host_that_has_run_nothing_has_no_record(tmp_path: Path) -> None:
    assert run_record.read(str(tmp_path / "state")) is None


@pytest.mark.parametrize("record", [RECORD, RECORD._replace(phase=run_record.DEPLOYED, restart_owed=True, library="/none/\udcff.json")])
def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: run_record.Record) -> None:
    run_record.write(str(tmp_path / "state"), record)
    assert run_record.read(str(tmp_path / "state")) == record


def test_a_record_is_json_that_its_owner_alone_may_read(tmp_path: Path) -> None:
    run_record.write(str(tmp_path), RECORD)
    assert json.loads((tmp_path / "run.json").read_text()) == {"format": 1, **RECORD._asdict()}
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [
    b"", b"\0" * 100, b"{", b"null", b"[]", b'"deployed"', b"{}", b'{"phase": "deployed"}', b"\xff",
    json.dumps({**RECORD._asdict(), "format": "1"}).encode(), json.dumps({**RECORD._asdict(), "phase": "lost"}).encode(),
    json.dumps({**RECORD._asdict(), "restart_owed": "no"}).encode(),
])
def test_damaged_record_asks_for_a_restart_before_renaming(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    error = refusal_to_read(tmp_path)
    assert error.cause == "the record of the last run is damaged"
    assert re.search("restart of the service is pending is unknown. Restart the service yourself first|no restart pending",
                     str(error.next_step))


@pytest.mark.parametrize(("changes", "pending"), [
    ({"phase": run_record.DEPLOYED, "restart_owed": True}, "phase deployed, restart pending. Restart the service yourself first"),
    ({"phase": run_record.ANNOUNCED, "restart_owed": True, "stopped_at": "2026-01-31T12:00:00Z"},
     "service stopped since 2026-01-31T12:00:00Z, restart pending. Restart the service yourself first"),
    ({"phase": run_record.VERIFIED}, "operation migration, phase verified, no restart pending. Rename this file"),
])
def test_a_damaged_record_says_what_is_still_pending(tmp_path: Path, changes: dict[str, Any], pending: str) -> None:
    run_record.write(str(tmp_path), RECORD._replace(**changes))
    path = tmp_path / "run.json"
    path.write_bytes(path.read_bytes().rstrip()[:-1])
    assert pending in str(refusal_to_read(tmp_path).next_step)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_unreadable_record_is_not_taken_for_a_missing_one(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "run.json")
    refusal = refusal_to_read(tmp_path)
    assert refusal.cause == "the record of the last run is not a regular file"
    assert "Restart the service yourself first. Then rename this file" in str(refusal.next_step)


def test_killed_run_leaves_the_old_or_the_new_record(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    new = RECORD._replace(phase=run_record.DEPLOYED, restart_owed=True)
    seen = []
    for number in itertools.count():
        run_record.write(str(tmp_path), RECORD)
        killed = killed_at(number, lambda: run_record.write(str(tmp_path), new))
        seen.append(run_record.read(str(tmp_path)))
        assert seen[-1] in (RECORD, new)
        if not killed:
            break
    assert RECORD in seen[:-1]
    assert seen[-1] == new


# A record of another version.


def changed(tmp_path: Path, **changes: Any) -> run_record.Record:
    """What is read of the record after fields were changed, or taken out where they are Ellipsis."""
    value = {**RECORD._asdict(), "format": 1, **changes}
    (tmp_path / "run.json").write_text(json.dumps({name: field for name, field in value.items() if field is not ...}))
    return present(run_record.read(str(tmp_path)))


def test_a_record_with_an_unknown_field_is_read(tmp_path: Path) -> None:
    assert changed(tmp_path, more={"of": 1}) == RECORD


@pytest.mark.parametrize("field", ["format", "stopped_at", "dependents", "undoes", "metadata", "origin", "settings", "run",
                                   "restart_owed", "service"])
def test_a_record_that_lacks_a_field_gets_its_default(tmp_path: Path, field: str) -> None:
    record = changed(tmp_path, **{field: ...})
    assert record._replace(run=RECORD.run, settings=RECORD.settings) == RECORD


@pytest.mark.parametrize("phase", [run_record.ANNOUNCED, run_record.DEPLOYING, run_record.DEPLOYED])
def test_a_record_that_does_not_say_so_has_its_restart_pending(tmp_path: Path, phase: str) -> None:
    assert changed(tmp_path, phase=phase, restart_owed=...).restart_owed is True


def test_a_record_of_a_newer_format_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"run.json: the record of the last run was written by a newer mobius.dhash"
                                           r" \(format 2\)\. Use that version"):
        changed(tmp_path, format=2)


def test_a_rehearsal_of_a_newer_format_is_not_known(tmp_path: Path) -> None:
    run_record.note_rehearsal(str(tmp_path), {"rehearsed_at": "2026-01-31T12:00:00Z"})
    path = tmp_path / run_record.REHEARSAL
    assert run_record.last_rehearsal(str(tmp_path)) is not None
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert run_record.last_rehearsal(str(tmp_path)) is None


def test_records_of_one_change_of_one_library_are_the_same_job() -> None:
    assert run_record.is_same_job(RECORD, RECORD._replace(run="another", phase=run_record.DEPLOYED, restart_owed=True))
    for field in ("operation", "library", "output", "kept", "old_sha256", "new_sha256"):
        change: dict[str, Any] = {field: "another"}
        assert not run_record.is_same_job(RECORD, RECORD._replace(**change))
