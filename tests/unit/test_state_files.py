# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a state file holds, reading it gives a value or an error that names the file."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_manifest, pending_marker, run_record, written_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import bounded_reads, json_records
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_removals
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record
from ansible_collections.mobius.dhash.plugins.module_utils._review import known_different
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file
from hypothesis import given
from hypothesis import strategies as st

DIGEST = "0" * 64
DEEP = b"[" * 100_000
RECORD = run_record.Record("20260131T120000Z-7", run_record.MIGRATION, run_record.DEPLOYED, "/srv/library.json", "/srv/library.dhash.json",
                           "/srv/library.json.pre-dhash", DIGEST, DIGEST, True, {}, metadata={"mode": 420}, service={"manager": "systemd"})
WATCH = watch_record.begin(RECORD, 1769860800.0, 30)
MARKER = pending_marker.Marker(socket.gethostname(), "/var/lib/mobius-dhash/srv", "root", RECORD.run, RECORD.operation, "2026-01-31T12:00:00Z")
MANIFEST = backup_manifest.Manifest(DIGEST, 100, 2, 1)
DIFFERENT = {"path1": "a.jpg", "dhash1": "0" * 16, "vertical1": None, "path2": "b.jpg", "dhash2": "F" * 16, "vertical2": "F" * 16,
             "notes": "", "decidedAt": "2026-01-31T12:00:00Z"}


class StateFile(NamedTuple):
    """A state file: its name, a value of it, and what reads it in the folder that it lies in."""

    name: str
    value: dict[str, Any]
    read: Callable[[str], Any]


def _read_manifest(folder: str) -> backup_manifest.Manifest | None:
    backup = os.path.join(folder, "library.json.backup")
    digest = hashlib.sha256(Path(f"{backup}.json").read_bytes()).hexdigest()
    Path(f"{backup}.sha256").write_text(f"{DIGEST}  library.json.backup\n{digest}  library.json.backup.json\n", encoding="ascii")
    return backup_manifest.read(backup)


FILES = [
    StateFile("run.json", RECORD._asdict(), lambda folder: run_record.shown(run_record.read(folder))),
    StateFile("monitor.json", WATCH._asdict(), watch_record.summary),
    StateFile(".library.json.mobius-dhash.pending", MARKER._asdict(), lambda folder: pending_marker.read(os.path.join(folder, "library.json"))),
    StateFile("rehearsal.json", {"rehearsed_at": "2026-01-31T12:00:00Z"}, run_record.last_rehearsal),
    StateFile("written.json", {"files": {"/srv/library.json": [DIGEST]}}, lambda folder: written_files.is_left(folder, "/no/such/file")),
    StateFile("library.json.backup.json", MANIFEST._asdict(), _read_manifest),
    StateFile(metrics_file.NAME, {"series": {metrics_file.QUEUE: 4}}, metrics_file.queue_length),
    StateFile("review-0.json", {"counts": {"total_matches": 4}}, metrics_file.queue_length),
    StateFile("library.json.review.json", {"version": 1, "different": [DIFFERENT]},
              lambda folder: known_different.read(os.path.join(folder, "library.json"))),
]
files = pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
numbers = st.integers() | st.floats() | st.sampled_from([1 << 64, 10 ** 400, 1e308, -1e308])
values = st.recursive(st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(["\ud800", "\0", DIGEST, *run_record.PHASES]),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def read(file: StateFile, folder: Path, content: bytes, is_caught: bool = True) -> Any:
    """What is read; None for an error that an operator can act on, which is raised unless it ``is_caught``."""
    path = folder / file.name
    path.write_bytes(content)
    try:
        return file.read(str(folder))
    except DhashError as error:
        if not is_caught:
            raise
        assert error.path and error.cause and error.next_step is not None
        return None
    finally:
        path.unlink()


@files
def test_a_state_file_that_is_sound_is_read(file: StateFile, folder: Path) -> None:
    assert read(file, folder, json_records.text(file.value)) is not None


@pytest.mark.parametrize("output", ["/srv/\0", "/srv/\ud800"])
def test_a_record_with_a_text_that_is_no_path_is_damaged(folder: Path, output: str) -> None:
    with pytest.raises(DhashError, match="the record of the last run is damaged"):
        read(FILES[0], folder, json_records.text({**RECORD._asdict(), "output": output}), is_caught=False)


def test_a_marker_of_a_folder_that_is_no_path_is_damaged(folder: Path) -> None:
    with pytest.raises(DhashError, match="the marker of pending work is damaged"):
        read(FILES[2], folder, json_records.text({**MARKER._asdict(), "state": "/var/\0"}), is_caught=False)


def test_the_name_of_an_image_may_be_any_text() -> None:
    removal = library_removals.Removal("1", "\ud83d.jpg", "0" * 16, "\0.jpg", "0" * 16, "")
    assert json_records.build(library_removals.Removal, json.loads(json.dumps(removal._asdict()))) == removal


@pytest.mark.parametrize(("field", "value"), [("started", math.nan), ("polled", math.inf), ("started", 1e300), ("minutes", 10 ** 400), ("minutes", 1e308)])
def test_a_monitoring_record_with_a_time_that_is_none_is_damaged(folder: Path, field: str, value: float) -> None:
    with pytest.raises(DhashError, match="the monitoring record is damaged"):
        read(FILES[1], folder, json_records.text({**WATCH._asdict(), field: value}), is_caught=False)


@pytest.mark.slow
@files
@given(data=st.data())
def test_state_file_with_any_field_value_is_read_or_damaged(file: StateFile, folder: Path, data: st.DataObject) -> None:
    changed = json.loads(json.dumps(file.value))
    for _change in range(data.draw(st.integers(1, 3))):
        place: Any = changed
        key: Any = data.draw(st.sampled_from(sorted(place)) | st.just("format"))
        while isinstance(place.get(key) if isinstance(place, dict) else place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        place[key] = data.draw(values)
    read(file, folder, json.dumps(changed).encode())


@files
@given(content=st.binary() | values.map(lambda value: json.dumps(value).encode()) | st.sampled_from([DEEP, b"9" * 5000]))
def test_a_state_file_of_anything_is_damaged(file: StateFile, folder: Path, content: bytes) -> None:
    read(file, folder, content)


@files
@given(data=st.data())
def test_truncated_or_corrupted_state_file_is_read_or_damaged(file: StateFile, folder: Path, data: st.DataObject) -> None:
    content = bytearray(json_records.text(file.value))
    del content[data.draw(st.integers(0, len(content))):]
    if content and data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(file, folder, bytes(content))


@pytest.mark.parametrize("file", FILES[:3], ids=[file.name for file in FILES[:3]])
def test_unreadable_state_file_names_its_owner(
        file: StateFile, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    user = pwd.getpwuid(os.stat(folder).st_uid).pw_name
    monkeypatch.setattr(bounded_reads, "open_file", refuse)
    with pytest.raises(DhashError, match="Permission denied") as refused:
        read(file, folder, json_records.text(file.value), is_caught=False)
    assert refused.value.path == str(folder / file.name)
    step = str(refused.value.next_step)
    assert f"belongs to {user} (mode 0" in step and "unknown whether a restart of the service is pending" in step
    assert f"Run as {user} or as root (become). Do not remove the file." in step
