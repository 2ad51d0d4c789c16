# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The marker of pending work beside a library, and what it is to a user with another state directory."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, pending_marker, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments
from conftest import present


class Host:
    def __init__(self, folder: Path) -> None:
        self.library = str(folder / "srv" / "Library.json")
        os.mkdir(os.path.dirname(self.library))
        self.state_dir = str(folder / "states")
        self.state = run_record.folder(self.state_dir, self.library)
        self.other = str(folder / "other")
        self.record = run_record.Record("20260131T120000Z-7", run_record.MIGRATION, run_record.PREPARED, self.library, "", "", "0" * 64,
                                        "1" * 64, False, {})

    @property
    def marker(self) -> str:
        return pending_marker.path(self.library)

    def is_now(self, **changes: Any) -> None:
        run_record.write(self.state, self.record._replace(**changes))

    def begin(self, state_dir: str) -> tuple[str, str]:
        """What each module does first."""
        return module_arguments.library_and_state({"library": self.library, "state_dir": state_dir})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


PENDING = [{"restart_owed": True}, {"phase": run_record.ANNOUNCED, "restart_owed": True}, {"phase": run_record.DEPLOYING},
           {"phase": run_record.DEPLOYED}, {"phase": run_record.VERIFIED, "restart_owed": True}]


@pytest.mark.parametrize("pending", PENDING)
def test_pending_work_is_marked_beside_the_library(host: Host, pending: dict[str, Any]) -> None:
    host.is_now(**pending)
    marker = json.loads(Path(host.marker).read_text(encoding="utf-8"))
    assert (marker["state"], marker["run"], marker["operation"]) == (host.state, host.record.run, "migration")
    assert stat.S_IMODE(os.stat(host.marker).st_mode) == 0o644
    host.is_now(phase=run_record.VERIFIED, restart_owed=False)
    assert not os.path.exists(host.marker)


@pytest.mark.parametrize("pending", PENDING)
def test_pending_work_refuses_another_state_directory(host: Host, pending: dict[str, Any]) -> None:
    host.is_now(**pending)
    assert host.begin(host.state_dir) == (host.library, host.state)
    with pytest.raises(RefusedError) as refused:
        host.begin(host.other)
    text = str(refused.value)
    assert "has work pending for this library: migration of run 20260131T120000Z-7, since 2" in text
    assert host.state in text and f"set dhash_state_dir to {host.state_dir}" in text
    host.is_now()
    host.begin(host.other)


def test_a_record_that_cannot_be_read_is_pending_all_the_same(host: Host) -> None:
    host.is_now(restart_owed=True)
    record = os.path.join(host.state, run_record.FILE)
    os.unlink(record)
    os.mkdir(record)
    with pytest.raises(RefusedError, match="and this user cannot read it"):
        host.begin(host.other)


@pytest.mark.parametrize("state_dir", ["state_dir", "other"])
def test_pending_work_whose_record_is_gone_is_not_forgotten(host: Host, state_dir: str) -> None:
    host.is_now(restart_owed=True)
    shutil.rmtree(host.state)
    with pytest.raises(RefusedError, match=f"the run record was in {host.state} and no longer exists") as refused:
        host.begin(getattr(host, state_dir))
    assert f"estart the service yourself and remove {host.marker}." in str(refused.value.next_step)
    os.unlink(host.marker)
    host.begin(getattr(host, state_dir))


def test_pending_work_of_a_moved_library_names_its_old_path(host: Host) -> None:
    host.is_now(restart_owed=True)
    moved = host.library.replace("/srv/", "/moved/")
    os.rename(os.path.dirname(host.library), os.path.dirname(moved))
    with pytest.raises(RefusedError) as refused:
        module_arguments.library_and_state({"library": moved, "state_dir": host.state_dir})
    assert refused.value.next_step == (f"Move the library back to {host.library} and run again, or restart the service yourself and remove"
                                       f" {pending_marker.path(moved)}.")


def test_a_marker_of_another_host_is_ignored_and_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: "elsewhere")
        host.is_now(restart_owed=True)
    host.begin(host.other)
    pending_marker.clear(host.library, host.state)
    assert os.path.exists(host.marker)


@pytest.mark.parametrize(("content", "told"), [
    ("{", "Readable in the file: user unknown, operation unknown, record in an unknown folder."),
    ('{"format": 99, "user": "app"}', "was written by a newer mobius.dhash (format 99)"),
    ('{"format": 1, "user": "app", "operation": "migration", "state": "/s",', "user app, operation migration, record in /s."),
])
def test_a_marker_that_does_not_tell_what_is_pending_is_refused(host: Host, content: str, told: str) -> None:
    with open(host.marker, "w", encoding="utf-8") as file:
        file.write(content)
    with pytest.raises(DhashError) as refused:
        host.begin(host.other)
    assert told in str(refused.value) and host.marker == refused.value.path and refused.value.next_step
    with open(host.marker, encoding="utf-8") as file:
        assert file.read() == content


def test_damaged_marker_is_replaced_by_a_run_with_pending_work(host: Host) -> None:
    host.is_now(restart_owed=True)
    with open(host.marker, "w", encoding="utf-8") as file:
        file.write("{")
    assert host.begin(host.state_dir) == (host.library, host.state)
    host.is_now(phase=run_record.DEPLOYED, restart_owed=True)
    assert present(pending_marker.read(host.library)).state == host.state


def test_a_library_whose_folder_is_gone_keeps_its_record(host: Host) -> None:
    os.rmdir(os.path.dirname(host.library))
    host.is_now(restart_owed=True, stopped_at="2026-01-31T12:00:00Z")
    assert cutover.started(host.library, host.state, check=False)


def test_killed_run_leaves_no_pending_work_unmarked(host: Host, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        host.is_now()
        killed = killed_at(number, lambda: host.is_now(phase=run_record.DEPLOYED, restart_owed=True))
        if run_record.is_pending(run_record.read(host.state)):
            assert present(pending_marker.read(host.library)).state == host.state
        if not killed:
            break
    for number in itertools.count():
        host.is_now(phase=run_record.DEPLOYED, restart_owed=True)
        killed = killed_at(number, host.is_now)
        if run_record.is_pending(run_record.read(host.state)):
            assert present(pending_marker.read(host.library)).state == host.state
        else:
            host.begin(host.other)
        if not killed:
            break
