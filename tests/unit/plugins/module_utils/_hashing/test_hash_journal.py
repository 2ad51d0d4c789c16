# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._files.file_stamps import Stamp
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_versions, hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.hash_journal import Entry
from conftest import present
from hypothesis import given
from hypothesis import strategies as st

HASHED = Entry("0123456789ABCDEF", "FEDCBA9876543210", False, "pillow", None, None, 0.0125, "2026-01-31T12:00:00.000Z")
FAILED = Entry(None, None, False, None, "truncated", "the file is empty", 0.0, "2026-01-31T12:00:00.000Z")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def writing(state: Path, algorithm: str = "pillow", limits: str = "1 byte") -> hash_journal.Journal:
    journal, set_aside = hash_journal.open_for_writing(str(state), algorithm, limits)
    assert set_aside is None
    return journal


def reading(state: Path, algorithm: str = "pillow", limits: str = "1 byte") -> hash_journal.Journal:
    return hash_journal.open_for_reading(str(state), algorithm, limits)


def path_of(state: Path) -> Path:
    return state / os.path.basename(hash_journal.path_in(str(state)))


def write_some(state: Path, count: int = 1) -> None:
    with writing(state) as journal:
        journal.record([(f"/srv/{number}.jpg", Stamp(number, number), HASHED) for number in range(count)])


def in_a_process_that_is_killed(action: Callable[[], object]) -> None:
    def act() -> None:
        action()
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=act)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def leave_a_hot_rollback_journal(state: Path) -> None:
    """Die in the middle of a transaction that has reached the disk in part."""
    def begin() -> None:
        connection = sqlite3.connect(path_of(state))
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE images SET error = hex(randomblob(400)), dhash = 'lost'")
        assert path_of(state).with_name("journal.sqlite-journal").stat().st_size > 0

    in_a_process_that_is_killed(begin)


# What it knows.


@pytest.mark.parametrize("entry", [HASHED, FAILED, HASHED._replace(low_detail=True, decoder="ffmpeg", seconds=0.0), HASHED._replace(luma=bytes(range(144)))])
def test_what_was_recorded_is_known_in_later_runs(state: Path, entry: hash_journal.Entry) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), entry)])
    for opened in (writing, reading):
        with opened(state) as journal:
            known = journal.known("/srv/a.jpg", Stamp(10, 20))
            assert known == entry
            assert known.low_detail is True or known.low_detail is False


@pytest.mark.parametrize("damage", ["dhash = 'lost'", "dhash = x'00'", "dhash = NULL", "vertical = 7", "dhash = '59cd195b73e3f1b8'", "seconds = 'long'",
                                    "hashed_at = x'05'", "kind = 'truncated'", "kind = 3, error = 'cut off'"])
def test_a_row_with_values_that_no_run_stores_is_not_known(state: Path, damage: str) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
    with sqlite3.connect(path_of(state)) as connection:
        connection.execute(f"UPDATE images SET {damage}")
    connection.close()
    with reading(state) as journal:
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) is None


def test_incomplete_pixels_are_not_known(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED._replace(luma=b"pixels"))])
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED


def test_rehash_forgets_hashes_without_pixels_and_no_others(state: Path) -> None:
    complete = HASHED._replace(luma=bytes(144))
    with writing(state) as journal:
        journal.record([(f"/srv/{name}.jpg", Stamp(10, 20), entry) for name, entry in (("old", HASHED), ("new", complete), ("failed", FAILED))])
    journals = (hash_journal.open_for_reading(str(state), "pillow", "1 byte", rehash=True),
                hash_journal.open_for_writing(str(state), "pillow", "1 byte", rehash=True)[0])
    for opened in journals:
        with opened as journal:
            assert [journal.known(f"/srv/{name}.jpg", Stamp(10, 20)) for name in ("old", "new", "failed")] == [None, complete, FAILED]


def test_a_file_that_has_changed_is_not_known(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(11, 20)) is None
        assert journal.known("/srv/a.jpg", Stamp(10, 21)) is None
        assert journal.known("/srv/b.jpg", Stamp(10, 20)) is None


def test_journal_keeps_the_hashes_of_each_algorithm_apart(state: Path) -> None:
    other = HASHED._replace(dhash="0" * 16)
    for algorithm, entry in (("pillow", HASHED), ("ffmpeg", other)):
        with writing(state, algorithm) as journal:
            assert journal.known("/srv/a.jpg", Stamp(10, 20)) is None
            journal.record([("/srv/a.jpg", Stamp(10, 20), entry)])
    for algorithm, entry in (("pillow", HASHED), ("ffmpeg", other)):
        with reading(state, algorithm) as journal:
            assert journal.known("/srv/a.jpg", Stamp(10, 20)) == entry


def test_only_images_too_large_are_retried_under_other_limits(state: Path) -> None:
    too_large = FAILED._replace(kind="too_large")
    with writing(state, limits="1 byte") as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), too_large), ("/srv/b.jpg", Stamp(10, 20), FAILED), ("/srv/c.jpg", Stamp(10, 20), HASHED)])
    with reading(state, limits="1 byte") as journal:
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == too_large
    with reading(state, limits="2 bytes") as journal:
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) is None
        assert journal.known("/srv/b.jpg", Stamp(10, 20)) == FAILED
        assert journal.known("/srv/c.jpg", Stamp(10, 20)) == HASHED


def test_journal_distinguishes_hashed_files_from_unknown_ones(state: Path) -> None:
    write_some(state)
    with reading(state) as journal:
        assert (journal.knows("/srv/0.jpg"), journal.knows("/srv/other.jpg")) == (True, False)
    with reading(state, "ffmpeg") as journal:
        assert journal.knows("/srv/0.jpg") is False


# What counts as the same file.


SEEN = Stamp(10, 20, 30, 40)


@pytest.mark.parametrize("other", [SEEN._replace(ctime_ns=31), SEEN._replace(inode=41)])
def test_a_file_of_another_ctime_or_inode_is_not_known(state: Path, other: file_stamps.Stamp) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", SEEN, HASHED)])
        assert journal.known("/srv/a.jpg", SEEN) == HASHED
        assert journal.known("/srv/a.jpg", other) is None


def test_ignored_ctime_leaves_size_and_mtime_to_every_reader(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", SEEN, HASHED)])
    journal, _set_aside = hash_journal.open_for_writing(str(state), "pillow", "1 byte", ignore_ctime=True)
    with journal:
        assert journal.known("/srv/a.jpg", SEEN._replace(ctime_ns=31, inode=41)) == HASHED
        assert journal.known("/srv/a.jpg", SEEN._replace(mtime_ns=21)) is None
        journal.complete()
    with reading(state) as journal:
        assert journal.known("/srv/a.jpg", SEEN._replace(ctime_ns=32, inode=42)) == HASHED


def test_lookup_of_many_files_uses_few_queries_and_one_stat_each(
        state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"a")
    paths = [str(file), str(tmp_path / "gone.jpg"), "/srv/a\0.jpg"] * 400
    stamp = file_stamps.stamp_of(file.stat())
    statements: list[str] = []
    examined: list[str] = []
    stat_of = os.stat

    def counted(path: str) -> os.stat_result:
        examined.append(path)
        return stat_of(path)

    with writing(state) as journal:
        journal.record([(str(file), stamp, HASHED)])
        journal._connection.set_trace_callback(statements.append)
        monkeypatch.setattr(os, "stat", counted)
        found = list(journal.look_up_all(paths))
        monkeypatch.undo()
    assert [(one.stamp, one.entry, one.is_missing) for one in found] == [
        (stamp, HASHED, False), (None, None, True), (None, None, True)] * 400
    assert len(statements) == 3
    assert examined == paths


def test_the_file_at_a_path_is_looked_up_as_it_is_now(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"picture")
    with writing(state) as journal:
        assert journal.look_up(str(file))[:3] == (file_stamps.stamp_of(file.stat()), None, False)
        journal.record([(str(file), present(journal.look_up(str(file)).stamp), HASHED)])
        assert journal.look_up(str(file)).entry == HASHED
        assert journal.look_up(str(tmp_path / "gone.jpg"))[:3] == (None, None, True)
        assert journal.look_up(str(file / "part.jpg"))[:3] == (None, None, True)
        assert journal.look_up("/srv/a\0.jpg")[:3] == (None, None, True)


def as_before_ctime(state: Path) -> None:
    """Turn the journal into one of the time before it had ctime, inode and decoders."""
    columns = ("path, algorithm, size, mtime_ns, limits, dhash, vertical, low_detail, decoder, kind, error, seconds,"
               " hashed_at")
    connection = sqlite3.connect(path_of(state))
    connection.executescript(
        "CREATE TABLE old (path BLOB NOT NULL, algorithm TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
        " limits TEXT, dhash TEXT, vertical TEXT, low_detail INTEGER, decoder TEXT, kind TEXT, error TEXT,"
        " seconds REAL NOT NULL, hashed_at TEXT NOT NULL, PRIMARY KEY (path, algorithm)) WITHOUT ROWID;"
        f"INSERT INTO old SELECT {columns} FROM images; DROP TABLE images; ALTER TABLE old RENAME TO images;")
    connection.close()


def test_a_journal_from_before_ctime_keeps_its_hashes(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", SEEN, HASHED), ("/srv/b.jpg", SEEN, HASHED)])
    as_before_ctime(state)
    before = path_of(state).read_bytes()
    with reading(state) as journal:
        assert journal.known("/srv/a.jpg", SEEN) == HASHED
    assert path_of(state).read_bytes() == before
    with writing(state) as journal:
        assert journal.known("/srv/a.jpg", SEEN) == HASHED
        journal.complete()
        assert journal.known("/srv/a.jpg", SEEN._replace(ctime_ns=31)) is None
        assert journal.known("/srv/b.jpg", SEEN._replace(ctime_ns=31)) == HASHED


@pytest.mark.parametrize("change", [{"pillow": "99.0"}, {"pillow_heif": "99.0"}, {"ffmpeg_python": "99.0"}, {"ffmpeg": "99.0"}])
def test_an_error_is_forgotten_with_other_decoders(state: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", SEEN, FAILED), ("/srv/b.jpg", SEEN, HASHED)])
        assert journal.known("/srv/a.jpg", SEEN) == FAILED
        now = {**decoder_versions.versions(), **change}
        monkeypatch.setattr(decoder_versions, "versions", lambda: now)
        assert journal.known("/srv/a.jpg", SEEN) is None
        assert journal.known("/srv/b.jpg", SEEN) == HASHED
        journal.record([("/srv/a.jpg", SEEN, FAILED)])
        assert journal.known("/srv/a.jpg", SEEN) == FAILED


def test_what_is_forgotten_was_never_hashed(state: Path) -> None:
    write_some(state, 3)
    with writing(state) as journal:
        journal.forget(["/srv/0.jpg", "/srv/2.jpg"])
        assert [journal.knows(f"/srv/{number}.jpg") for number in range(3)] == [False, True, False]


def test_the_newest_entry_of_a_file_counts(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), FAILED)])
        journal.record([("/srv/a.jpg", Stamp(11, 21), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) is None
        assert journal.known("/srv/a.jpg", Stamp(11, 21)) == HASHED


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff")), unique=True))
def test_files_are_told_apart_by_any_difference_in_their_names(names: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(hash_journal.SCHEMA)
    with hash_journal.Journal(connection, ":memory:", "pillow", "") as journal:
        journal.record([(name, Stamp(0, 0), HASHED._replace(hashed_at=str(number))) for number, name in enumerate(names)])
        assert [present(journal.known(name, Stamp(0, 0))).hashed_at for name in names] == [str(number) for number in range(len(names))]


def test_journal_keeps_nanoseconds_and_sizes_beyond_32_bits(state: Path) -> None:
    with writing(state) as journal:
        journal.record([("/srv/a.jpg", Stamp(2**40, 1_769_860_800_123_456_789), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(2**40, 1_769_860_800_123_456_789)) == HASHED
        assert journal.known("/srv/a.jpg", Stamp(2**40, 1_769_860_800_123_456_788)) is None


def test_a_note_is_kept_until_the_next_of_its_name(state: Path) -> None:
    with writing(state) as journal:
        assert journal.note("matches") is None
        journal.keep_note("matches", "first")
        journal.keep_note("matches", "second")
        journal.keep_note("other", "third")
    with reading(state) as journal:
        assert (journal.note("matches"), journal.note("other")) == ("second", "third")


# What it survives.


def test_kill_after_a_checkpoint_loses_nothing_of_it(state: Path) -> None:
    def checkpoint_twice() -> None:
        journal = writing(state)
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
        journal.record([("/srv/b.jpg", Stamp(10, 20), FAILED)])

    in_a_process_that_is_killed(checkpoint_twice)
    with writing(state) as journal:
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED
        assert journal.known("/srv/b.jpg", Stamp(10, 20)) == FAILED


def test_kill_during_a_checkpoint_keeps_the_earlier_ones(state: Path) -> None:
    write_some(state, 1000)
    leave_a_hot_rollback_journal(state)
    with writing(state) as journal:
        assert all(journal.known(f"/srv/{number}.jpg", Stamp(number, number)) == HASHED for number in range(1000))


def test_kill_during_journal_creation_blocks_no_later_run(
        state: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    for number in itertools.count():
        if not killed_at(number, lambda: write_some(state)):
            break
        with writing(state) as journal:
            journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
            assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED
        path_of(state).unlink()
        state.rmdir()
    assert number > 0


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_journal_is_set_aside_as_is_and_a_new_one_begun(state: Path, content: bytes) -> None:
    state.mkdir()
    path_of(state).write_bytes(content)
    journal, set_aside = hash_journal.open_for_writing(str(state), "pillow", "1 byte")
    with journal:
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED
    assert set_aside is not None and set_aside.startswith(f"{path_of(state)}.damaged-")
    with open(set_aside, "rb") as damaged:
        assert damaged.read() == content


@pytest.mark.parametrize("change", [
    "ALTER TABLE images DROP COLUMN vertical", "ALTER TABLE images RENAME COLUMN dhash TO hash",
    "ALTER TABLE images ADD COLUMN more TEXT NOT NULL DEFAULT 'x'; ALTER TABLE notes RENAME COLUMN content TO text",
    "DROP TABLE images; CREATE TABLE images (path BLOB PRIMARY KEY, size INTEGER)", "DROP TABLE notes; CREATE VIEW notes AS SELECT 1",
])
def test_a_journal_of_another_schema_is_set_aside(state: Path, change: str) -> None:
    write_some(state, 3)
    with contextlib.closing(sqlite3.connect(path_of(state))) as connection:
        connection.executescript(change)
    with hash_journal.open_for_reading(str(state), "pillow", "1 byte") as journal:
        assert journal.known("/srv/1.jpg", Stamp(1, 1)) is None and journal.note("x") is None
    journal, set_aside = hash_journal.open_for_writing(str(state), "pillow", "1 byte")
    with journal:
        assert set_aside is not None
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED


def test_a_journal_with_a_further_column_is_used(state: Path) -> None:
    write_some(state, 3)
    with contextlib.closing(sqlite3.connect(path_of(state))) as connection:
        connection.executescript("ALTER TABLE images ADD COLUMN more TEXT NOT NULL DEFAULT 'x'")
    journal, set_aside = hash_journal.open_for_writing(str(state), "pillow", "1 byte")
    with journal:
        assert set_aside is None
        journal.record([("/srv/a.jpg", Stamp(10, 20), HASHED)])
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) == HASHED


def test_a_journal_with_damage_in_the_middle_is_set_aside(state: Path) -> None:
    write_some(state, 1000)
    with open(path_of(state), "r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xa5" * 4096 * 5)
    journal, set_aside = hash_journal.open_for_writing(str(state), "pillow", "1 byte")
    with journal:
        assert set_aside is not None
        assert journal.known("/srv/1.jpg", Stamp(1, 1)) is None


def test_journal_in_use_by_another_process_is_not_called_damaged(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_some(state)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **{**options, "timeout": 0.01}))
    other = connect(path_of(state))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DhashError, match="database is locked"):
        hash_journal.open_for_writing(str(state), "pillow", "1 byte")
    other.close()
    with reading(state) as journal:
        assert journal.known("/srv/0.jpg", Stamp(0, 0)) == HASHED


def test_full_disk_names_the_journal_and_keeps_its_checkpoints(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount("-t", "tmpfs", "-o", "size=200k", "tmpfs", on=tmp_path)
    state = tmp_path / "state"
    write_some(state)
    with writing(state) as journal:
        with pytest.raises(DhashError) as caught:
            journal.record((f"/srv/more/{number}.jpg", Stamp(1, 1), HASHED) for number in range(10_000))
        assert caught.value.path == str(path_of(state))
        assert "could not write the journal: database or disk is full" in caught.value.cause
        assert "dhash_state_dir" in str(caught.value.next_step)
        assert journal.known("/srv/0.jpg", Stamp(0, 0)) == HASHED
        assert journal.known("/srv/more/1.jpg", Stamp(1, 1)) is None


def test_a_journal_that_is_damaged_while_it_is_open_is_named(state: Path) -> None:
    write_some(state, 1000)
    with writing(state) as journal:
        path_of(state).write_bytes(b"\xa5" * path_of(state).stat().st_size)
        for read in (lambda: journal.known("/srv/1.jpg", Stamp(1, 1)), lambda: journal.knows("/srv/1.jpg"), lambda: journal.note("matches")):
            with pytest.raises(DhashError) as caught:
                read()
            assert caught.value.path == str(path_of(state))
            assert caught.value.cause.startswith("could not read the journal: ")
            assert caught.value.next_step


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path, mount: Callable[..., None]) -> None:
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", on=tmp_path)
    with pytest.raises(DhashError) as caught:
        hash_journal.open_for_writing(str(tmp_path), "pillow", "1 byte")
    assert caught.value.path == str(path_of(tmp_path))
    assert "could not open the journal" in caught.value.cause
    assert "writable" in str(caught.value.next_step)


def test_the_state_folder_is_made_for_its_owner_alone(state: Path) -> None:
    write_some(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


# Check mode reads it and writes nothing.


def test_reading_where_there_is_no_journal_makes_none(tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(tmp_path)
    with reading(tmp_path / "state") as journal:
        assert journal.known("/srv/a.jpg", Stamp(10, 20)) is None
        assert journal.note("matches") is None
    assert tree(tmp_path) == before


def test_reading_a_journal_changes_nothing(state: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    write_some(state)
    before = tree(state)
    with reading(state) as journal:
        assert journal.known("/srv/0.jpg", Stamp(0, 0)) == HASHED
        assert tree(state) == before
    assert tree(state) == before


def test_reading_beside_a_hot_rollback_journal_changes_nothing(
        state: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    write_some(state, 1000)
    leave_a_hot_rollback_journal(state)
    before = tree(state)
    with reading(state) as journal:
        assert journal.known("/srv/1.jpg", Stamp(1, 1)) in (None, HASHED)
    assert tree(state) == before
    assert len(before) == 3  # the folder, the journal and its rollback journal


@pytest.mark.parametrize("offset", [0, 4096 * 10])
def test_reading_a_damaged_journal_finds_nothing_and_keeps_it(
        state: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]], offset: int) -> None:
    write_some(state, 1000)
    with open(path_of(state), "r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 4096 * 5)
    before = tree(state)
    with reading(state) as journal:
        assert [journal.known(f"/srv/{number}.jpg", Stamp(number, number)) for number in range(1000)] == [None] * 1000
    assert tree(state) == before


@pytest.mark.parametrize("name", ["a b", "100%", "%25", "what?", "#1", "a&b=c", "日本"])
def test_a_journal_is_found_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    write_some(tmp_path / name)
    with reading(tmp_path / name) as journal:
        assert journal.known("/srv/0.jpg", Stamp(0, 0)) == HASHED
