# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan from the cache says what a plan that reads everything says, and is not used once anything that decides the plan has changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import library_summary
from ansible_collections.mobius.dhash.plugins.module_utils._errors import LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, decoder_versions, entry_columns, hash_batches, hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_index
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly, library_survey, migration_run, plan_cache
from conftest import SmallLibrary
from PIL import Image


@pytest.fixture
def settled(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A migrated library with pictures, a copy, a second name of a file, a flat picture, a missing file and a file that is no image."""
    for number in range(4):
        library.add(f"media/{number}.png", seed=number, note="é" * number)
    library.add("media/copy.png", seed=1)
    library.add("media/gone.png")
    library.add("media/page.jpg", content=b"<!DOCTYPE html>")
    os.link(library.folder / "media/0.png", library.add("media/second name.png"))
    Image.new("RGB", (32, 32), "teal").save(library.add("media/flat.png"))
    library.add("été.png", seed=9)
    library.write()
    migrate(library)
    return library


def migrate(library: SmallLibrary, **changes: Any) -> None:
    library.run(**changes)
    library.deploy()
    library.reload()


def cache_of(library: SmallLibrary) -> Path:
    return Path(library.state, plan_cache.FILE)


def reads(library: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the parsed libraries, the rows read from the journal, and the files whose status is asked for, from now on."""
    done: list[str] = []
    parse, rows, stat = library_index.read, hash_journal.Journal._rows, os.stat

    def recorded_parse(path: str, *rest: int) -> tuple[library_index.Index, str]:
        done.append("library")
        return parse(path, *rest)

    def recorded_rows(self: hash_journal.Journal, paths: Iterable[str]) -> dict[bytes, tuple[Any, ...]]:
        done.append("journal")
        return rows(self, paths)

    def recorded_stat(path: Any, **options: Any) -> os.stat_result:
        if f"{library.folder}/media" in str(path):
            done.append(os.path.basename(path))
        return stat(path, **options)

    monkeypatch.setattr(library_index, "read", recorded_parse)
    monkeypatch.setattr(hash_journal.Journal, "_rows", recorded_rows)
    monkeypatch.setattr(os, "stat", recorded_stat)
    return done


def plan(library: SmallLibrary, **changes: Any) -> dict[str, Any]:
    """The plan, which must be what it is without the cache."""
    found = library.check(**changes)
    kept = cache_of(library).with_name("kept")
    if cache_of(library).exists():
        cache_of(library).rename(kept)
    assert library.check(**changes) == found
    if kept.exists():
        kept.rename(cache_of(library))
    return found


@pytest.mark.parametrize("changes", [{}, {"sample": 3}, {"sample": 100}, {"dry_run": True}, {"parallel": 4}])
def test_a_plan_from_the_cache_says_what_any_other_says(settled: SmallLibrary, changes: dict[str, Any]) -> None:
    assert plan(settled, **changes)["would_change"] is False


def test_a_plan_from_the_cache_asks_only_for_each_status_once(settled: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    done = reads(settled, monkeypatch)
    assert settled.check()["would_change"] is False
    assert done == [os.path.basename(image["path"]) for image in settled.value["images"] if image["path"].startswith("media")]


def test_a_run_that_changes_nothing_keeps_a_plan_once(settled: SmallLibrary) -> None:
    cache_of(settled).unlink()
    settled.run()
    before = cache_of(settled).stat().st_ino
    assert plan(settled)["would_change"] is False
    settled.run()
    assert cache_of(settled).stat().st_ino == before


def touch(library: SmallLibrary) -> None:
    os.utime(library.folder / "media/2.png")


def replace_the_content_alone(library: SmallLibrary) -> None:
    file = library.folder / "media/2.png"
    status = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(library: SmallLibrary) -> None:
    one, other = library.folder / "media/2.png", library.folder / "media/3.png"
    one.rename(library.folder / "x")
    other.rename(one)
    (library.folder / "x").rename(other)


def edit(library: SmallLibrary) -> None:
    library.value["images"][0]["rating"] = 5
    library.write()


def edit_and_restore(library: SmallLibrary) -> None:
    before = library.path.read_bytes()
    edit(library)
    library.path.write_bytes(before)


def forget_hashes(library: SmallLibrary) -> None:
    with hash_journal.open_for_writing(str(library.state), "pillow", "")[0] as journal:
        journal.forget([str(library.folder / "media/1.png")])


def bring_the_missing_file(library: SmallLibrary) -> None:
    shutil.copy(library.folder / "media/3.png", library.folder / "media/gone.png")


def remove_a_file(library: SmallLibrary) -> None:
    (library.folder / "media/3.png").unlink()


def move_the_folder(library: SmallLibrary) -> None:
    (library.folder / "media").rename(library.folder / "elsewhere")


def change_the_mode(library: SmallLibrary) -> None:
    (library.folder / "media/2.png").chmod(0o600)


def remove_the_journal(library: SmallLibrary) -> None:
    os.unlink(hash_journal.path_in(str(library.state)))


def link_another_file(library: SmallLibrary) -> None:
    (library.folder / "media/copy.png").unlink()
    os.link(library.folder / "media/1.png", library.folder / "media/copy.png")


@pytest.mark.parametrize(("change", "is_settled"), [
    (edit, True), (edit_and_restore, True), (touch, False), (replace_the_content_alone, False), (swap, False), (bring_the_missing_file, False),
    (remove_a_file, False), (move_the_folder, False), (change_the_mode, False), (forget_hashes, False), (remove_the_journal, False),
    (link_another_file, False)])
def test_a_change_is_planned_as_without_the_cache(settled: SmallLibrary, change: Callable[[SmallLibrary], object], is_settled: bool) -> None:
    assert plan(settled)["would_change"] is False
    change(settled)
    planned = plan(settled)
    assert (not planned["would_change"] and planned["to_hash"] == 0) is is_settled


@pytest.mark.parametrize("changes", [
    {"threshold": 0}, {"rehash": True}, {"ignore_ctime": True}, {"limits": decoder_limits.Limits(pixels=100)}, {"media_roots": ("/nowhere",)}, {"limit": 3},
    {"terms": library_assembly.MatchOptions("pillow", 10, 100, True)}, {"terms": library_assembly.MatchOptions("ffmpeg", 10, 100)}])
def test_other_settings_are_planned_as_without_the_cache(settled: SmallLibrary, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    done = reads(settled, monkeypatch)
    plan(settled, **changes)
    assert done.count("library") >= 2


def test_other_decoders_are_planned_without_the_cache(settled: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    done = reads(settled, monkeypatch)
    monkeypatch.setattr(decoder_versions, "versions", lambda: {"pillow": "99"})
    assert plan(settled)["to_hash"] == 1  # the file that is no image
    assert done.count("library") == 2


def test_a_sample_with_another_hash_is_planned_without_cache(settled: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    hash_now = hash_batches.hash_now
    monkeypatch.setattr(hash_batches, "hash_now", lambda *arguments, **options: [
        entry._replace(dhash="F" * 16) for entry in hash_now(*arguments, **options)])
    assert plan(settled, sample=3)["to_hash"] > 0
    assert plan(settled)["to_hash"] == 0


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_damaged_cache_is_not_used(settled: SmallLibrary, damage: bytes | None) -> None:
    content = cache_of(settled).read_bytes()
    cache_of(settled).write_bytes(content[:-1] if damage is None else damage)
    assert plan(settled)["would_change"] is False


def test_failures_that_every_run_tries_again_leave_no_plan(settled: SmallLibrary) -> None:
    before = cache_of(settled).read_bytes()
    settled.add("media/folder.jpg").mkdir()
    settled.write()
    migrate(settled)
    assert cache_of(settled).read_bytes() == before
    assert plan(settled)["to_hash"] == 1


def test_a_trial_keeps_no_plan(library: SmallLibrary, decoded_here: list[str]) -> None:
    library.add("1.png", seed=1)
    library.write()
    library.run(limit=1)
    assert not cache_of(library).exists()


@pytest.fixture
def rehearsed(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library after a dry run, with an image that has another hash."""
    library.add("media/1.png", seed=1)
    library.add("media/2.png", seed=2, dhash="0" * 16)
    library.add("media/copy.png", seed=1)
    library.write()
    library.run(dry_run=True)
    return library


def test_a_plan_after_a_dry_run_asks_only_for_each_status_once(rehearsed: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan(rehearsed)["would_change"] is True
    done = reads(rehearsed, monkeypatch)
    planned = rehearsed.check()
    assert (planned["would_change"], planned["to_hash"], planned["duplicates"]) == (True, 0, 1)
    assert done == ["1.png", "2.png", "copy.png"]


def test_a_run_after_a_dry_run_reads_no_journal(rehearsed: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed.add("media/gone.png")
    rehearsed.add("media/page.jpg", content=b"<!DOCTYPE html>")
    rehearsed.write()
    rehearsed.run(dry_run=True)
    done = reads(rehearsed, monkeypatch)
    rehearsed.run()
    assert done == ["library", "1.png", "2.png", "copy.png", "gone.png", "page.jpg", "library"]  # the last one: none is staged
    written = rehearsed.migrated()
    cache_of(rehearsed).unlink()
    rehearsed.output.unlink()
    rehearsed.run()
    again = rehearsed.migrated()
    for library in (written, again):
        del library["dhash_migration"]["migration_timestamp"]
    assert again == written and done.count("journal") == 1


@pytest.mark.parametrize("change", [touch, swap, remove_a_file, forget_hashes, remove_the_journal, link_another_file])
def test_a_run_after_a_dry_run_finds_what_has_changed_since(
        rehearsed: SmallLibrary, monkeypatch: pytest.MonkeyPatch, change: Callable[[SmallLibrary], object]) -> None:
    rehearsed.add("media/3.png", seed=1)
    rehearsed.write()
    rehearsed.run(dry_run=True)
    change(rehearsed)
    done = reads(rehearsed, monkeypatch)
    rehearsed.run()
    assert "journal" in done


def test_a_run_uses_no_plan_whose_entries_are_damaged(rehearsed: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_columns: object) -> None:
        raise ValueError("the columns have different lengths")
    monkeypatch.setattr(entry_columns.Entries, "of_columns", refuse)
    done = reads(rehearsed, monkeypatch)
    rehearsed.run()
    assert "journal" in done


def test_a_plan_after_a_dry_run_looks_at_a_staged_library(rehearsed: SmallLibrary) -> None:
    rehearsed.run()
    rehearsed.run(dry_run=True)
    assert plan(rehearsed)["staged_file_is_current"] is True


@pytest.mark.parametrize("change", [touch, edit])
def test_a_change_after_a_dry_run_is_planned_without_cache(rehearsed: SmallLibrary, change: Callable[[SmallLibrary], object]) -> None:
    rehearsed.add("media/3.png", seed=1)
    change(rehearsed)
    assert plan(rehearsed)["would_change"] is True


def test_no_sample_is_drawn_from_the_plan_of_a_dry_run(rehearsed: SmallLibrary) -> None:
    assert plan_cache.draw(str(rehearsed.path), str(rehearsed.state), 3) is None


def test_a_dry_run_leaves_the_summary_of_the_library(rehearsed: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    done = reads(rehearsed, monkeypatch)
    assert library_summary.read(str(rehearsed.path), str(rehearsed.state)).images == 3 and done == []


def test_a_plan_that_cannot_be_kept_fails_no_run(library: SmallLibrary, decoded_here: list[str], tmp_path: Path) -> None:
    library.add("1.png", seed=1)
    library.write()
    cache_of(library).mkdir(parents=True)
    assert library.run(log_dir=str(tmp_path / "logs"))["would_change"] is True
    assert "WARNING The next plan has to read everything" in next((tmp_path / "logs").iterdir()).read_text()


def test_a_run_that_finds_its_library_staged_keeps_the_plan(
        library: SmallLibrary, decoded_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    library.add("media/1.png", seed=1)
    library.write()
    library.run()
    cache_of(library).unlink()
    assert library.run()["staged_file_is_current"] is True
    library.deploy()
    assert plan(library)["would_change"] is False
    done = reads(library, monkeypatch)
    assert library.check()["would_change"] is False and done == ["1.png"]


def test_the_summary_of_a_migration_is_that_of_its_file(settled: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    path, state = str(settled.path), str(settled.state)
    expected = library_summary.of(*library_index.read(path))
    done = reads(settled, monkeypatch)
    assert library_summary.read(path, state) == expected and done == []
    edit(settled)
    assert library_summary.read(path, state) != expected and done == ["library"]


def nothing_more(_library: SmallLibrary) -> None:
    pass


def no_images(library: SmallLibrary) -> None:
    library.value["images"] = []


def malformed_hashes(library: SmallLibrary) -> None:
    library.add("media/short.png", seed=5, dhash="short", dhash_generated_at=7)
    library.add("media/number.png", dhash=1.5, dhash_low_detail="yes")


def a_record_of_an_import(library: SmallLibrary) -> None:
    migrate(library)
    library.value["lcm_import"] = {
        "importedAt": "", "queueFile": "", "reviewedMatches": 1, "approvedDuplicates": 1, "imagesRemoved": 1,
        "migration": {key: library.value["dhash_migration"][key] for key in ("migration_timestamp", "algorithm")},
        "removalLog": [{"entry": library.value["images"].pop(), "duplicates": library.value["dhash_duplicates"][:1]}]}
    library.add("media/new.png", seed=6)


def fields_of_other_types(library: SmallLibrary) -> None:
    library.value |= {"dhash_duplicates": {}, "dhash_errors": 3, "dhash_migration": [1]}


@pytest.mark.parametrize("change", [nothing_more, no_images, malformed_hashes, a_record_of_an_import, fields_of_other_types])
def test_a_summary_of_what_was_written_needs_no_parsing(
        library: SmallLibrary, decoded_here: list[str], monkeypatch: pytest.MonkeyPatch, change: Callable[[SmallLibrary], None]) -> None:
    for number in range(3):
        library.add(f"media/{number}.png", seed=number)
    library.add("media/copy.png", seed=1)
    library.write()
    change(library)
    library.write()
    migrate(library)
    expected = library_summary.of(*library_index.read(str(library.path)))
    done = reads(library, monkeypatch)
    assert library_summary.read(str(library.path), str(library.state)) == expected and done == []


@pytest.mark.parametrize("count", [1, 4, 100])
def test_a_sample_is_drawn_and_read_as_from_the_whole_library(settled: SmallLibrary, count: int) -> None:
    index, digest = library_index.read(str(settled.path))
    whole = [index.image(position) for position in library_survey.sample(index.hashed(), digest, count)]
    assert plan_cache.draw(str(settled.path), str(settled.state), count) == whole
    edit(settled)
    assert plan_cache.draw(str(settled.path), str(settled.state), count) is None


def test_positions_in_any_layout_are_those_of_the_images(settled: SmallLibrary) -> None:
    for text in (json.dumps(settled.value, indent=1), json.dumps(settled.value, separators=(",", ":")), json.dumps({**settled.value, "dhash_errors": 0})):
        settled.path.write_text(text.replace(', "dhash"', ',\t"rest": {"a": "é"}, "dhash"'), encoding="utf-8")
        settled.add(f"more-{len(settled.value['images'])}.png", seed=len(text))
        migrate(settled)
        drawn = plan_cache.draw(str(settled.path), str(settled.state), 100)
        assert drawn and {image["path"] for image in drawn} == {image["path"] for image in settled.value["images"] if "dhash" in image}


def test_a_library_without_images_has_a_plan(library: SmallLibrary, decoded_here: list[str]) -> None:
    library.write()
    migrate(library)
    assert plan(library)["would_change"] is False and plan_cache.draw(str(library.path), str(library.state), 5) == []


def test_a_plan_of_a_library_that_is_gone_or_refused_says_so(settled: SmallLibrary) -> None:
    before = settled.path.read_bytes()
    for content in (b"{", None):
        settled.path.write_bytes(content) if content else settled.path.unlink()
        with pytest.raises(LibraryError):
            migration_run.check(settled.settings())
    settled.path.write_bytes(before)
    assert settled.check()["would_change"] is False
