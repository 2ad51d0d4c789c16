# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, HandoverError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps, row_files
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shard_files
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, decoder_versions, difference_hash, hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_settings
from conftest import SmallLibrary, present, timeless
from hypothesis import example, given
from hypothesis import strategies as st

ENTRY = ["0123456789ABCDEF", "FEDCBA9876543210", False, "pillow", None, None, 0.0125, "2026-01-31T12:00:00.000Z"]
FAILED = [None, None, False, None, "truncated", "the file is empty", 0.0, "2026-01-31T12:00:00.000Z"]


class Hosts:
    """Hosts that see one library, each with a state folder of its own; ``leader`` is the one whose is ``library.state``."""

    def __init__(self, library: SmallLibrary) -> None:
        self.library = library

    def state(self, host: str) -> Path:
        return self.library.state if host == "leader" else self.library.state.with_name(f"state-{host}")

    def merge(self, *files: str | Path, check: bool = False, **changes: Any) -> dict[str, Any]:
        settings = shard_files.Merge(str(self.library.path), str(self.library.state), "a run", "pillow", decoder_limits.Limits(),
                                     [str(file) for file in files], 0, False)._replace(**changes)
        return shard_files.check_merge(settings) if check else shard_files.merge(settings)

    def settings(self, host: str, **changes: Any) -> migration_settings.Settings:
        return self.library.settings(state=str(self.state(host)), **changes)

    def shard(self, host: str, number: int | None, of: int, **changes: Any) -> dict[str, Any]:
        pending = handover.path_in(str(self.library.state), handover.PENDING)
        return shard_files.hash_shard(self.settings(host, **changes), pending, number, of, lambda _state: None)

    def check_shard(self, host: str, number: int | None, of: int) -> dict[str, Any]:
        return shard_files.check_shard(self.settings(host), handover.path_in(str(self.library.state), handover.PENDING), number, of)

    def listed(self) -> list[str]:
        return [image.path for image in
                row_files.read(handover.path_in(str(self.library.state), handover.PENDING), handover.PENDING, shard_files._to_listed)]


@pytest.fixture
def hosts(library: SmallLibrary, decoded_here: list[str]) -> Hosts:
    """Hosts that see a library with some of everything."""
    for number in range(7):
        library.add(f"media/{number}.png", seed=number % 5)
    library.add("media/empty.jpg", content=b"")
    library.add("media/page.jpg", content=b"<!DOCTYPE html>")
    library.add("media/gone.png")
    library.add("media/folder.jpg").mkdir()
    library.write()
    return Hosts(library)


def write_entries(path: Path, *rows: list[Any], **header: Any) -> Path:
    """Write a file of entries as another host would; ``rows`` need not be sound."""
    row_files.write(str(path), handover.ENTRIES,
                    {"algorithm": "pillow", "limits": decoder_limits.text(decoder_limits.Limits()),
                     "decoders": decoder_versions.versions(), **header}, rows)
    return path


def row_of(library: SmallLibrary, name: str, entry: list[Any]) -> list[Any]:
    status = (library.folder / name).stat()
    return [name, status.st_size, status.st_mtime_ns, *entry]


# Shares.


def test_the_library_of_three_shares_is_that_of_one_host(hosts: Hosts, new_library: Callable[[object], SmallLibrary]) -> None:
    hosts.merge()
    handed_over = [hosts.shard(host, number, 3)["entries"] for number, host in enumerate(("leader", "second", "third"))]
    merged = hosts.merge(*handed_over[1:])
    assert merged["pending"] == 1 and hosts.listed() == ["media/folder.jpg"]  # which is tried at every run
    assert hosts.library.run()["hashed_now"] == 1
    sharded = timeless(hosts.library.output.read_bytes())

    hosts.library.state = hosts.library.state.with_name("state of one host")
    hosts.library.output.unlink()
    assert hosts.library.run()["hashed_now"] == 10
    assert timeless(hosts.library.output.read_bytes()) == sharded


def test_each_pending_image_is_in_one_shard_and_shards_are_equal(hosts: Hosts) -> None:
    pending = hosts.merge()["pending"]
    assert pending == 10  # the one that has no file is not to be hashed
    for count in range(1, 12):
        sizes = [hosts.check_shard("second", number, count)["images"] for number in range(count)]
        assert sum(sizes) == pending and max(sizes) - min(sizes) <= 1


def test_a_share_hashes_its_images_alone(hosts: Hosts, decoded_here: list[str]) -> None:
    hosts.merge()
    assert hosts.shard("second", 1, 4)["hashed_now"] == 3
    assert [os.path.relpath(path, hosts.library.folder) for path in decoded_here] == hosts.listed()[1::4]


def test_what_is_hashed_is_in_no_share_of_the_next_run(hosts: Hosts, decoded_here: list[str]) -> None:
    hosts.merge()
    entries = hosts.shard("second", 0, 2)["entries"]
    hashed = set(decoded_here)
    hosts.merge(entries)
    decoded_here.clear()
    for number, host in enumerate(("leader", "third")):
        hosts.shard(host, number, 2)
    assert hashed.isdisjoint({path for path in decoded_here if not path.endswith("folder.jpg")})


def test_killed_host_hands_over_its_finished_batches_next_time(hosts: Hosts, decoded_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.merge()
    record = hash_journal.Journal.record

    def die_after_the_second(journal: hash_journal.Journal, results: list[Any]) -> None:
        record(journal, results)
        if len(decoded_here) >= 4:
            raise KeyboardInterrupt
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(hash_journal.Journal, "record", die_after_the_second)
        hosts.shard("second", 0, 1, batch_size=2)
    looked = hosts.shard("second", None, 1)
    assert (looked["hashed_now"], looked["known"], looked["handed_over"]) == (0, 4, 4)
    assert hosts.merge(looked["entries"])["taken"] == 4


def test_library_at_another_path_on_another_host_is_the_same(hosts: Hosts, tmp_path: Path) -> None:
    hosts.merge()
    pending = handover.path_in(str(hosts.library.state), handover.PENDING)
    elsewhere = tmp_path / "mnt"
    os.rename(hosts.library.folder, elsewhere)
    settings = hosts.settings("second", library=str(elsewhere / "library.json"), media_roots=(str(elsewhere),))
    entries = shard_files.hash_shard(settings, pending, 0, 1, lambda _state: None)["entries"]
    os.rename(elsewhere, hosts.library.folder)
    assert hosts.merge(entries)["taken"] == 9


def test_a_file_that_is_another_one_here_is_not_hashed(hosts: Hosts, decoded_here: list[str]) -> None:
    hosts.merge()
    (hosts.library.folder / "media/0.png").unlink()
    os.utime(hosts.library.folder / "media/1.png", (1, 1))
    result = hosts.shard("second", 0, 1)
    assert (result["missing"], result["differing"], result["hashed_now"]) == (1, 1, 8)
    assert not {"0.png", "1.png"} & {os.path.basename(path) for path in decoded_here}


def test_host_with_other_decoders_leaves_work_to_the_leader(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    avif = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf"
    hosts.library.add("media/a.avif", content=avif)
    hosts.library.write()
    hosts.merge()
    monkeypatch.setattr(decoder_versions, "versions", lambda: {"pillow": "another"})
    result = hosts.shard("second", 0, 1)
    assert result["left_to_leader"] == 4  # the AVIF, the folder, the empty one and the page
    assert (result["hashed_now"], result["handed_over"]) == (7, 7)
    assert hosts.shard("second", 0, 1, terms=hosts.library.settings().terms._replace(algorithm="pillow"))["known"] == 7


def test_host_with_another_program_version_hashes_nothing(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.merge(algorithm="ffmpeg")
    monkeypatch.setattr(decoder_versions, "versions", lambda: {"ffmpeg": "another"})
    terms = hosts.library.settings().terms._replace(algorithm="ffmpeg")
    result = hosts.shard("second", 0, 1, terms=terms)
    assert (result["left_to_leader"], result["hashed_now"], result["handed_over"]) == (10, 0, 0)


def test_a_list_of_another_algorithm_is_refused(hosts: Hosts) -> None:
    hosts.merge(algorithm="ffmpeg")
    with pytest.raises(DhashError, match=r"not of algorithm pillow.*dhash_algorithm"):
        hosts.shard("second", 0, 1)


def test_check_mode_writes_nothing_on_either_side(hosts: Hosts, tree: Callable[[Path], dict[str, tuple[Any, ...]]], tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert hosts.merge(check=True)["pending"] == 10
    assert tree(tmp_path) == before
    entries = write_entries(tmp_path / "entries.gz", row_of(hosts.library, "media/0.png", ENTRY))
    hosts.merge()
    before = tree(tmp_path)
    assert hosts.check_shard("second", 0, 2) == {
        "images": 5, "to_hash": 5, "known": 0, "missing": 0, "differing": 0, "left_to_leader": 0}
    assert (hosts.merge(entries, check=True)["taken"], hosts.merge(entries, check=True)["pending"]) == (1, 9)
    assert tree(tmp_path) == before


def test_runs_on_one_host_wait_for_each_other_not_the_library(hosts: Hosts) -> None:
    hosts.merge()
    with handover.lock(str(hosts.state("second")), "library_hash", "another run", 0):
        with pytest.raises(LockedError, match=r"the handover folder is in use by library_hash.*another run"):
            hosts.shard("second", 0, 2)
        assert hosts.shard("third", 0, 2)["hashed_now"] == 5


def test_a_library_that_is_refused_gets_no_state_folder(hosts: Hosts) -> None:
    hosts.library.path.write_text("no library")
    with pytest.raises(DhashError):
        hosts.merge()
    assert not hosts.library.state.exists()


# What is taken.


def test_an_entry_of_a_file_that_has_changed_since_is_not_taken(hosts: Hosts, tmp_path: Path) -> None:
    rows = [row_of(hosts.library, f"media/{number}.png", ENTRY) for number in range(3)]
    rows[0][1] += 1
    rows[1][2] -= 1
    result = hosts.merge(write_entries(tmp_path / "entries.gz", *rows))
    assert (result["taken"], result["outdated"]) == (1, 2)
    assert "media/2.png" not in hosts.listed() and {"media/0.png", "media/1.png"} < set(hosts.listed())


def test_entry_that_fits_the_file_is_taken_in_any_order(hosts: Hosts, tmp_path: Path) -> None:
    right, wrong = (row_of(hosts.library, "media/0.png", ["A" * 16, *ENTRY[1:]]) for _number in range(2))
    wrong[2] += 1
    files = [write_entries(tmp_path / "1.gz", wrong), write_entries(tmp_path / "2.gz", right), write_entries(tmp_path / "3.gz", wrong)]
    assert hosts.merge(*files)["taken"] == 1
    with hash_journal.open_for_reading(str(hosts.library.state), "pillow", "") as journal:
        assert present(journal.known(str(hosts.library.folder / "media/0.png"), file_stamps.Stamp(*right[1:3]))).dhash == "A" * 16


def test_pixels_come_with_the_hashes(hosts: Hosts) -> None:
    hosts.merge()
    assert hosts.merge(hosts.shard("second", 0, 1)["entries"])["taken"] == 9
    path = hosts.library.folder / "media/0.png"
    with hash_journal.open_for_reading(str(hosts.library.state), "pillow", "") as journal:
        assert len(present(present(journal.known(str(path), file_stamps.stamp_of(path.stat()))).luma)) == 144


def test_entries_of_older_versions_are_taken_without_pixels(hosts: Hosts, tmp_path: Path) -> None:
    row = row_of(hosts.library, "media/0.png", ENTRY)
    assert hosts.merge(write_entries(tmp_path / "entries.gz", row))["taken"] == 1
    with hash_journal.open_for_reading(str(hosts.library.state), "pillow", "") as journal:
        assert present(journal.known(str(hosts.library.folder / "media/0.png"), file_stamps.Stamp(*row[1:3]))).luma is None


@pytest.mark.parametrize("pixels", ["AAAA", "no base64", 144, "A" * 192 + "=", ["A"]])
def test_incomplete_pixels_are_refused(hosts: Hosts, tmp_path: Path, pixels: object) -> None:
    result = hosts.merge(write_entries(tmp_path / "entries.gz", [*row_of(hosts.library, "media/0.png", ENTRY), pixels]))
    assert result["taken"] == 0 and result["refused"][0]["reason"] == "damaged"


def test_between_hosts_only_size_and_mtime_count(hosts: Hosts, tmp_path: Path) -> None:
    hosts.merge()
    entries = hosts.shard("second", 0, 1)["entries"]
    for file in (hosts.library.folder / "media").glob("*.png"):  # as another host sees it: another ctime
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert file.stat().st_ctime_ns != status.st_ctime_ns
    assert hosts.merge(entries)["taken"] == 9
    assert hosts.listed() == ["media/folder.jpg"]


def test_errors_of_other_decoders_are_not_taken(hosts: Hosts, tmp_path: Path) -> None:
    failure = [None, None, False, None, "truncated", "the file is empty", 0.0, ENTRY[-1]]
    row = row_of(hosts.library, "media/empty.jpg", failure)
    older = {**decoder_versions.versions(), "pillow": "9.0"}
    assert hosts.merge(write_entries(tmp_path / "older.gz", row, decoders=older), check=True)["taken"] == 0
    assert hosts.merge(write_entries(tmp_path / "same.gz", row), check=True)["taken"] == 1


def test_what_is_not_in_the_library_is_not_taken(hosts: Hosts, tmp_path: Path) -> None:
    hosts.library.add("unlisted.png", seed=9)
    result = hosts.merge(write_entries(tmp_path / "entries.gz", row_of(hosts.library, "unlisted.png", ENTRY)))
    assert (result["taken"], result["not_pending"]) == (0, 1)


def test_too_large_elsewhere_counts_only_under_the_same_limits(hosts: Hosts, tmp_path: Path) -> None:
    row = row_of(hosts.library, "media/0.png", [*FAILED[:4], "too_large", "it is too large", *FAILED[6:]])
    assert hosts.merge(write_entries(tmp_path / "1.gz", row, limits="others"))["taken"] == 0
    assert hosts.merge(write_entries(tmp_path / "2.gz", row))["taken"] == 1


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Files of entries with something wrong with them."""
    lines = gzip.decompress(content).split(b"\n")
    yield "cut off", content[:-9]
    yield "one bit", content[:40] + bytes([content[40] ^ 1]) + content[41:]
    yield "no gzip", b"no gzip"
    yield "empty", b""
    yield "without its end", gzip.compress(b"\n".join([*lines[:-2], b""]))
    yield "with a row after its end", gzip.compress(b"\n".join([*lines[:-1], lines[1], b""]))
    yield "with a row less", gzip.compress(b"\n".join([lines[0], *lines[2:]]))
    yield "with a line that is not JSON", gzip.compress(b"\n".join([*lines[:2], b"{", *lines[2:]]))
    yield "nested", gzip.compress(b"\n".join([*lines[:2], b"[" * 60_000, *lines[2:]]))
    yield "with an endless line", gzip.compress(lines[0] + b"\n" + b"[" + b"0," * 100_000)
    yield "of another kind", gzip.compress(content.replace(b"x", b"y"))


def test_damaged_shard_file_is_skipped_and_the_others_merged(hosts: Hosts, tmp_path: Path) -> None:
    sound = write_entries(tmp_path / "sound.gz", row_of(hosts.library, "media/0.png", ENTRY), row_of(hosts.library, "media/1.png", FAILED))
    other = write_entries(tmp_path / "other.gz", row_of(hosts.library, "media/2.png", ENTRY))
    for how, content in damaged(sound.read_bytes()):
        file = tmp_path / "damaged.gz"
        file.write_bytes(content)
        result = hosts.merge(file, check=True)
        assert result["taken"] == 0 and [entry["path"] for entry in result["refused"]] == [str(file)], how
        assert result["refused"][0]["reason"] in ("damaged", "other_kind"), how
    assert hosts.merge(file, other, tmp_path / "absent.gz")["taken"] == 1


WRONG: list[tuple[str, int, Any]] = [
    ("dhash", 0, "0123456789abcdef"), ("dhash", 0, None), ("dhash", 0, 1), ("vertical", 1, "0" * 15), ("low_detail", 2, 1),
    ("decoder", 3, "sh"), ("decoder", 3, None), ("kind", 4, "missing"), ("kind", 4, "truncated"), ("kind", 4, []),
    ("error", 5, "an error"), ("seconds", 6, -1), ("seconds", 6, float("nan")), ("seconds", 6, "1"), ("seconds", 6, True),
    ("hashed_at", 7, "yesterday"), ("hashed_at", 7, None)]


@pytest.mark.parametrize(("field", "position", "value"), WRONG)
def test_an_entry_that_this_collection_does_not_write_is_refused(hosts: Hosts, tmp_path: Path, field: str, position: int, value: object) -> None:
    entry = list(ENTRY)
    entry[position] = value
    result = hosts.merge(write_entries(tmp_path / "entries.gz", row_of(hosts.library, "media/0.png", entry)))
    assert result["taken"] == 0 and result["refused"][0]["reason"] == "damaged"


@pytest.mark.parametrize("start", [[1, 2, 3], ["a", "2", 3], ["a", 2, 3.5], ["a", 1 << 64, 3], ["a", -1, 3], ["a", 2], ["", 2, 3], ["a", True, 3],
                                   ["a" * 70_000, 2, 3], []])
def test_a_row_without_a_sound_path_size_and_time_is_refused(hosts: Hosts, tmp_path: Path, start: list[Any]) -> None:
    result = hosts.merge(write_entries(tmp_path / "entries.gz", [*start, *ENTRY]))
    assert result["taken"] == 0 and result["refused"]


def test_a_file_of_another_algorithm_or_version_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    row = row_of(hosts.library, "media/0.png", ENTRY)
    for header, reason in (({"algorithm": "ffmpeg"}, "other_algorithm"), ({"version": 2}, "other_version")):
        result = hosts.merge(write_entries(tmp_path / "entries.gz", row, **header))
        assert result["taken"] == 0 and result["refused"][0]["reason"] == reason


@given(st.lists(st.tuples(st.text(min_size=1, max_size=50), st.integers(0, 2**63 - 1), st.integers(-2**63, 2**63 - 1)).map(list)))
def test_what_is_written_is_read_again_whatever_the_names(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> None:
    path = str(tmp_path_factory.getbasetemp() / "rows.gz")
    assert row_files.write(path, handover.PENDING, {}, rows) == len(rows)
    assert [list(row) for row in row_files.read(path, handover.PENDING, shard_files._to_listed)] == rows


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["\ud800", "\0", 10 ** 400, 1 << 64, "truncated"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5)


@given(entry=st.sampled_from([ENTRY, FAILED]), changes=st.dictionaries(st.integers(0, 11), values, min_size=1, max_size=3))
@example(entry=ENTRY, changes={9: 10 ** 400})
@example(entry=FAILED, changes={8: "\ud800"})
def test_a_row_of_any_values_is_refused_or_can_be_recorded(
        tmp_path_factory: pytest.TempPathFactory, entry: list[Any], changes: dict[int, Any]) -> None:
    row = ["0.png", 2, 3, *entry, None]
    for place, value in changes.items():
        row[place] = value
    path = write_entries(tmp_path_factory.getbasetemp() / "any.gz", row)
    try:
        rows = list(row_files.read(str(path), handover.ENTRIES, shard_files._to_entry))
    except HandoverError:
        return
    rows = [(listed, known) for listed, known in rows if listed.path == "0.png"]  # any name is allowed; only those of files are recorded
    journal, _set_aside = hash_journal.open_for_writing(str(tmp_path_factory.getbasetemp() / "any"), "pillow", "")
    with journal:
        journal.record([(listed.path, file_stamps.Stamp(listed.size, listed.mtime_ns), known) for listed, known in rows])


@given(st.binary(max_size=200) | st.lists(values, max_size=4).map(lambda lines: b"".join(json.dumps(line).encode() + b"\n" for line in lines)), st.booleans())
def test_a_file_of_anything_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, is_packed: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.gz"
    path.write_bytes(gzip.compress(content) if is_packed else content)
    with pytest.raises(HandoverError):
        row_files.require_sound(str(path), handover.ENTRIES, shard_files._to_entry)


def test_what_a_journal_holds_is_what_another_one_takes(hosts: Hosts, tmp_path: Path) -> None:
    hosts.merge()
    entries = hosts.shard("second", 0, 1)["entries"]
    hosts.merge(entries)
    with hash_journal.open_for_reading(str(hosts.library.state), "pillow", decoder_limits.text(decoder_limits.Limits())) as leader, \
            hash_journal.open_for_reading(str(hosts.state("second")), "pillow", decoder_limits.text(decoder_limits.Limits())) as second:
        for file in sorted((hosts.library.folder / "media").glob("*.[pj][np]g")):
            known = (str(file), file_stamps.stamp_of(file.stat()))
            assert leader.known(*known) == second.known(*known)
            assert file.name == "folder.jpg" or leader.known(*known) is not None


def test_the_file_holds_no_more_than_what_it_says(hosts: Hosts) -> None:
    hosts.merge()
    entries = hosts.shard("second", 0, 1)["entries"]
    with gzip.open(entries, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert set(lines[0]) == {"kind", "version", "algorithm", "limits", "decoders"}
    assert all(difference_hash.is_hex(line[3]) or line[7] for line in lines[1:-1]) and lines[-1] == {"rows": 9}
