# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No file from elsewhere blocks a run, fills its memory or ends it with a traceback. The table is in docs/security.md."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _notification
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import (
    backup_files,
    backup_manifest,
    library_summary,
    path_rules,
    pending_marker,
    run_record,
    written_files,
)
from ansible_collections.mobius.dhash.plugins.module_utils._errors import BoundsError, DhashError, HandoverError, LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._files import (
    bounded_reads,
    column_files,
    durable,
    file_stamps,
    json_records,
    locking,
    log_tail,
    row_files,
)
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shared_images
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._library import json_text, library_file
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly, plan_cache
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes, watch_record
from ansible_collections.mobius.dhash.plugins.module_utils._review import decision_files, known_different
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file
from ansible_collections.mobius.dhash.plugins.plugin_utils import _background_module

SECONDS = 10
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
TERABYTE = 1 << 40


class Reader(NamedTuple):
    """A file: its path in a folder, and what reads it there; None if the file counts as none."""

    name: str
    read: Callable[[Path], Any]


def _backup(folder: Path) -> Any:
    [backup] = backup_files.find(str(folder / "library.json"), str(folder))
    return backup_files.is_good(backup._replace(expected_sha256="0" * 64)) or backup_files.examine(backup).good or None


def _queue(folder: Path) -> Any:
    found = decision_files.read([str(folder / "queue.json")])
    if found.faults:
        raise DhashError(found.faults[0])
    return found.decisions


def _journal(folder: Path) -> Any:
    with hash_journal.open_for_reading(str(folder), "pillow", "") as journal:
        return journal.note("matches")


def _log(folder: Path) -> Any:
    tail = log_tail.Tail(str(folder / "error.log"), "ERROR", {"path": str(folder / "error.log"), "inode": None, "offset": 0, "found": 0})
    tail.look()
    return tail.found or None


READERS = [
    Reader("library.json", lambda folder: library_file.read(str(folder / "library.json"))),
    Reader("library.json.bak.20260131T120000Z", _backup),
    Reader("library.json.bak.20260131T120000Z.json", lambda folder: backup_manifest.read(str(folder / "library.json.bak.20260131T120000Z"))),
    Reader("library.json.bak.20260131T120000Z.sha256",
           lambda folder: backup_manifest.digest_of_backup(str(folder / "library.json.bak.20260131T120000Z"))),
    Reader("run.json", lambda folder: run_record.read(str(folder))),
    Reader("0/run.json", lambda folder: path_rules._is_on_record(str(folder / "other"), "/srv/library.json") or None),
    Reader("monitor.json", lambda folder: watch_record.read(str(folder))),
    Reader(".library.json.mobius-dhash.pending", lambda folder: pending_marker.read(str(folder / "library.json"))),
    Reader("rehearsal.json", lambda folder: run_record.last_rehearsal(str(folder))),
    Reader("written.json", lambda folder: written_files.is_left(str(folder), "/no/such/file") or None),
    Reader("summary.json", lambda folder: library_summary._stored(str(folder)) or None),
    Reader(plan_cache.FILE, lambda folder: column_files.read(str(folder / plan_cache.FILE)) or column_files.read_header(str(folder / plan_cache.FILE))),
    Reader("library.dhash.json", lambda folder: written_files.counts(str(folder / "library.dhash.json"))),
    Reader(metrics_file.NAME, lambda folder: metrics_file.queue_length(str(folder))),
    Reader("review-0.json", lambda folder: metrics_file.queue_length(str(folder))),
    Reader("library.json.review.json", lambda folder: known_different.read(str(folder / "library.json"))),
    Reader("queue.json", _queue),
    Reader("hashes.jsonl.gz", lambda folder: row_files.header_of(str(folder / "hashes.jsonl.gz"), handover.HASHES)),
    Reader("fleet-duplicates.json", lambda folder: shared_images._is_report(str(folder / "fleet-duplicates.json")) or None),
    Reader("journal.sqlite", _journal),
    Reader("error.log", _log),
    Reader("library.json.lock", lambda folder: locking.holder(str(folder / "library.json"))),
]
readers = pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])


@pytest.fixture(autouse=True)
def _ends_in_time() -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise AssertionError(f"no result within {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def require_refused(reader: Reader, folder: Path) -> None:
    """The file is an error that an operator can act on, or counts as none; nothing is changed."""
    before = sorted(path.name for path in folder.rglob("*"))
    try:
        assert reader.read(folder) is None
    except DhashError as error:
        assert error.cause
    assert sorted(path.name for path in folder.rglob("*")) == before


def path_of(reader: Reader, folder: Path) -> Path:
    path = folder / reader.name
    path.parent.mkdir(exist_ok=True)
    return path


@readers
def test_a_fifo_in_place_of_a_file_does_not_block(reader: Reader, tmp_path: Path) -> None:
    os.mkfifo(path_of(reader, tmp_path))
    if reader.name.startswith("library.json.bak.") and reader.name.endswith("Z"):
        pytest.skip("a backup is a regular file, by the listing of its folder")
    require_refused(reader, tmp_path)


@readers
def test_a_device_in_place_of_a_file_is_not_read(reader: Reader, tmp_path: Path) -> None:
    path_of(reader, tmp_path).symlink_to("/dev/zero")
    if reader.name.startswith("library.json.bak.") and reader.name.endswith("Z"):
        pytest.skip("a backup is a regular file, by the listing of its folder")
    require_refused(reader, tmp_path)


@readers
def test_a_sparse_file_of_a_terabyte_is_not_read(reader: Reader, tmp_path: Path) -> None:
    path = path_of(reader, tmp_path)
    path.touch()
    os.truncate(path, TERABYTE)
    require_refused(reader, tmp_path)


@readers
@pytest.mark.parametrize("content", [DEEP, DEEP_OBJECT, b'{"format":' + DEEP + b"}", gzip.compress(DEEP_OBJECT[:50_000] + b"\n")],
                         ids=["arrays", "objects", "a member", "rows"])
def test_brackets_without_end_are_not_a_traceback(reader: Reader, tmp_path: Path, content: bytes) -> None:
    path_of(reader, tmp_path).write_bytes(content)
    require_refused(reader, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a file in /proc is 0")
def test_file_that_grows_after_it_is_opened_is_refused() -> None:
    path = f"/proc/{os.getpid()}/status"
    assert os.stat(path).st_size == 0
    with pytest.raises(BoundsError, match="the file has more than 100 bytes"):
        bounded_reads.read(path, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a file in /proc is 0")
def test_file_that_grows_while_it_is_copied_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(durable, "MAX_BYTES", 100)
    path = f"/proc/{os.getpid()}/status"
    with pytest.raises(BoundsError, match="the file has more than 100 bytes"):
        durable.sha256_of_file(path)
    with pytest.raises(BoundsError, match="the file has more than 100 bytes"):
        durable.copy(path, str(tmp_path / "copy"))
    assert not list(tmp_path.iterdir())


def test_one_byte_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1" * 100)
    assert len(bounded_reads.read(str(tmp_path / "file"), 100)) == 100
    with pytest.raises(BoundsError, match="the file has 100 bytes, and at most 99 are read"):
        bounded_reads.read(str(tmp_path / "file"), 99)


def test_a_state_file_that_is_too_long_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b"{}" + b" " * json_records.MAX_BYTES)
    with pytest.raises(DhashError, match="the record of the last run has more than 4194304 bytes"):
        run_record.read(str(tmp_path))


@pytest.mark.parametrize(("text", "problem"), [
    ("[" * 128 + "]" * 128, None), ("[" * 129 + "]" * 129, "nested more than 128 levels deep"), (json.dumps("[" * 1000), None),
    ("9" * 640, None), ("9" * 641, "a number has too many digits"), ("-" + "9" * 100_000, "a number has too many digits"),
])
def test_depth_of_json_and_digits_of_numbers_are_limited(text: str, problem: str | None) -> None:
    for content in (text, text.encode()):
        with contextlib.nullcontext() if problem is None else pytest.raises(ValueError, match=problem):
            bounded_reads.parse_json(content)


def test_a_library_with_too_many_values_is_refused() -> None:
    content = b'{"images": [' + b"{}," * 20 + b"{}]}"
    assert json_text.parse_json(content, max_values=43)
    with pytest.raises(LibraryError, match="the JSON has more than 42 values"):
        json_text.parse_json(content, max_values=42)


def test_a_library_of_a_million_images_is_far_below_the_limits() -> None:
    """764 MB: the library of a million images with 20 fields each."""
    assert library_file.MAX_BYTES > 2 * 764_000_000
    assert json_text.MAX_VALUES > 5 * 21_000_000
    assert min(durable.MAX_BYTES, row_files.MAX_BYTES, hash_journal.MAX_BYTES) > 2 * 764_000_000
    assert row_files.MAX_ROWS > 10 * 1_000_000


def test_rows_that_unpack_to_more_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "hashes.jsonl.gz")
    row_files.write(path, handover.HASHES, {}, ([0] * 1000 for _row in range(1000)))
    assert os.path.getsize(path) < 10_000
    assert len(list(row_files.read(path, handover.HASHES, len))) == 1000
    monkeypatch.setattr(row_files, "MAX_BYTES", 1 << 20)
    with pytest.raises(HandoverError, match="more than 1048576 bytes when unpacked"):
        list(row_files.read(path, handover.HASHES, len))


def test_more_rows_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "hashes.jsonl.gz")
    row_files.write(path, handover.HASHES, {}, ([0] for _row in range(11)))
    monkeypatch.setattr(row_files, "MAX_ROWS", 10)
    with pytest.raises(HandoverError, match="more than 10 rows"):
        list(row_files.read(path, handover.HASHES, len))


ENTRY = hash_journal.Entry("0" * 16, "F" * 16, False, "pillow", None, None, 0.1, "2026-01-31T12:00:00.000Z", None)
STAMP = file_stamps.Stamp(1, 2, 3, 4)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with one entry."""
    opened, _set_aside = hash_journal.open_for_writing(str(tmp_path), "pillow", "")
    with opened:
        opened.record([("/a.jpg", STAMP, ENTRY)])
        opened.keep_note("matches", "{}")
    return tmp_path / "journal.sqlite"


@pytest.mark.parametrize("statement", [
    "CREATE TRIGGER bomb AFTER INSERT ON images BEGIN INSERT INTO notes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i, 'x' FROM n; END",
    "ALTER TABLE notes RENAME TO others; CREATE VIEW notes(name, content) AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i, i FROM n",
])
def test_statements_in_a_journal_are_not_run(journal: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        connection.executescript(statement)
    with hash_journal.open_for_reading(str(journal.parent), "pillow", "") as opened:
        assert opened.known("/a.jpg", STAMP) is None
        assert opened.note("matches") is None
    opened, set_aside = hash_journal.open_for_writing(str(journal.parent), "pillow", "")
    with opened:
        assert set_aside
        opened.record([("/a.jpg", STAMP, ENTRY)])


@pytest.mark.parametrize("column", ["dhash", "decoder", "kind", "error", "hashed_at", "limits", "decoders"])
def test_a_journal_row_with_an_endless_text_does_not_count(journal: Path, column: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_journal, "MAX_NOTE", 1000)
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute(f"UPDATE images SET {column} = printf('%.*c', ?, 'x')", (hash_journal.MAX_TEXT + 1,))
        connection.execute("UPDATE notes SET content = printf('%.*c', ?, 'x')", (hash_journal.MAX_NOTE + 1,))
    with hash_journal.open_for_reading(str(journal.parent), "pillow", "") as opened:
        assert opened.known("/a.jpg", STAMP) is None
        assert opened.note("matches") is None


@pytest.mark.parametrize("kind", ["FIFO", "sparse"])
def test_journal_that_is_no_regular_file_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "journal.sqlite"
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, TERABYTE)
    before = path.stat()
    with pytest.raises(BoundsError, match=r"not a regular file|the journal has 1099511627776 bytes") as caught:
        hash_journal.open_for_writing(str(tmp_path), "pillow", "")
    assert caught.value.path == str(path) and caught.value.next_step == hash_journal.MOVE_AWAY
    assert path.stat() == before


NOTE = {"question": "a", "refuted": 0, "byte_order": sys.byteorder, "count": 1, "columns": base64.b64encode(bytes([2, 0, 0, 0, 1, 0, 0, 0, 3, 97])).decode()}


def test_a_note_of_the_journal_is_used(journal: Path) -> None:
    with hash_journal.open_for_writing(str(journal.parent), "pillow", "")[0] as opened:
        opened.keep_note(library_assembly.MATCHES, json.dumps(NOTE))
        assert [list(column) for column in (library_assembly._noted(opened, "a", 3) or ())[:4]] == [[2], [1], [3], [97]]
        assert library_assembly._noted(opened, "a", 2) is None


@pytest.mark.parametrize("note", ["[" * 50_000, "[]", "{", json.dumps({"refuted": "x"}), *(json.dumps({**NOTE, **change}) for change in (
    {"refuted": "x"}, {"refuted": None}, {"count": 2}, {"count": -1}, {"count": "1"}, {"count": None}, {"count": 1e300}, {"columns": ""}, {"columns": 3},
    {"columns": "é"}, {"columns": base64.b64encode(bytes(10)).decode()}, {"byte_order": "middle"}, {"question": None}))])
def test_a_note_of_the_journal_that_is_not_usable_does_not_count(journal: Path, note: str) -> None:
    opened, _set_aside = hash_journal.open_for_writing(str(journal.parent), "pillow", "")
    with opened:
        opened.keep_note(library_assembly.MATCHES, note)
        assert library_assembly._noted(opened, "a", 3) is None


@pytest.mark.parametrize("text", [DEEP.decode(), "9" * 100_000, "{"])
def test_endlessly_nested_output_of_a_program_is_no_answer(text: str) -> None:
    assert service_probes._json(text) is None


class Endless(BaseHTTPRequestHandler):
    """Answers with a body that never ends."""

    sent = 0

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                type(self).sent += self.wfile.write(b"ok" * 32768)

    do_GET = do_POST = _answer

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def endless() -> Iterator[str]:
    """The URL of a server whose answer never ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Endless.sent = 0
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_an_endless_health_answer_is_not_read_to_its_end(endless: str) -> None:
    assert service_probes.health(endless, "^okok").healthy
    assert Endless.sent < 32 << 20  # what the buffers of the connection hold


def test_an_endless_answer_of_a_webhook_is_not_read(endless: str) -> None:
    target = {"url": endless, "headers": None, "validate_certs": True, "ca_path": None}
    _notification._post(target, {"text": "hello"}, 5)
    assert Endless.sent < 32 << 20


@pytest.mark.parametrize("shown", ["[" * 60_000, "[]", "1", "{", '{"done": 1}', '{"process": "1; reboot"}'])
def test_a_progress_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    action = object.__new__(_background_module.BackgroundModule)
    commands = []

    def execute(command: str) -> dict[str, str]:
        commands.append(command)
        return {"stdout": shown}

    monkeypatch.setattr(action, "_connection", SimpleNamespace(_shell=SimpleNamespace(quote=str)), raising=False)
    monkeypatch.setattr(action, "_low_level_execute_command", execute)
    assert action._read("/tmp/progress") is None
    assert commands == ["head -c 65536 /tmp/progress 2>/dev/null || true"]
