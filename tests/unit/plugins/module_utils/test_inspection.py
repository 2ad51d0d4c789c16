# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _inspection
from ansible_collections.mobius.dhash.plugins.module_utils._errors import LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._files import locking
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_removals
from conftest import SmallLibrary


def inspect(library: SmallLibrary) -> dict[str, Any]:
    return _inspection.inspect(str(library.path), str(library.state))


def inconsistencies(library: SmallLibrary) -> list[str]:
    """Their tokens."""
    return [entry["id"] for entry in inspect(library)["inconsistencies"]]


def inspect_media(library: SmallLibrary, examples: int = 10) -> dict[str, Any]:
    return _inspection.inspect_media(str(library.path), str(library.state), examples)


# The library and its record.


def test_a_library_that_was_never_migrated_is_described_as_it_is(library: SmallLibrary) -> None:
    library.add("a.png", seed=1)
    content = library.write()
    found = inspect(library)
    assert 0 < found.pop("disk_free") < found.pop("disk_total") == shutil.disk_usage(library.folder).total
    assert found == {
        "real_path": str(library.path), "sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
        "images": 1, "hashed": 0, "errors": 0, "duplicates": 0, "algorithm": None, "migration_timestamp": None,
        "inconsistencies": [], "run": None, "lock": None, "waiting": None}


def test_a_migrated_library_agrees_with_its_own_record(migrated: SmallLibrary) -> None:
    found = inspect(migrated)
    assert (found["images"], found["hashed"], found["errors"], found["duplicates"]) == (4, 3, 1, 1)
    assert found["inconsistencies"] == []
    assert found["algorithm"] == "pillow"
    assert found["migration_timestamp"] == migrated.value["dhash_migration"]["migration_timestamp"]


def test_what_this_host_last_did_and_still_owes_is_told(migrated: SmallLibrary) -> None:
    run = inspect(migrated)["run"]
    assert (run["run"], run["phase"], run["restart_owed"]) == ("20260131T120000Z-7", "deployed", True)
    assert "settings" not in run


def test_who_holds_the_lock_is_told(migrated: SmallLibrary) -> None:
    with locking.lock(str(migrated.path), "migration", "20260131T120000Z-7", timeout=0):
        assert inspect(migrated)["lock"]["operation"] == "migration"
    assert inspect(migrated)["lock"] is None


@pytest.mark.parametrize(("field", "token"), [("dhash_duplicates", "duplicates_count"), ("dhash_errors", "errors_count")])
def test_records_that_are_missing_contradict_the_count_of_them(migrated: SmallLibrary, field: str, token: str) -> None:
    migrated.value[field] = []
    migrated.write()
    assert inconsistencies(migrated) == [token]


def test_hashes_that_are_missing_contradict_the_count_of_them(migrated: SmallLibrary) -> None:
    del migrated.value["images"][0]["dhash"]
    migrated.write()
    assert inconsistencies(migrated) == ["hashed_count"]


def test_images_that_came_or_went_since_are_no_contradiction(migrated: SmallLibrary) -> None:
    migrated.add("new.png", seed=5)
    migrated.write()
    assert inspect(migrated)["inconsistencies"] == []
    migrated.value["images"] = migrated.value["images"][:2]
    migrated.write()
    assert inspect(migrated)["inconsistencies"] == []


@pytest.mark.parametrize("dhash", ["0123456789abcdef", "0123456789ABCDE", "0123456789ABCDEF0", "0123456789ABCDEG", "", None, 7])
def test_malformed_hash_is_reported_with_its_first_image(migrated: SmallLibrary, dhash: str | int | None) -> None:
    migrated.value["images"][1]["dhash"] = dhash
    migrated.write()
    found = {entry["id"]: entry["message"] for entry in inspect(migrated)["inconsistencies"]}
    assert "b.png" in found["malformed_hash"]


def test_a_record_of_another_kind_is_as_good_as_none(migrated: SmallLibrary) -> None:
    records: tuple[Any, ...] = (None, [], "yes", {"algorithm": ["pillow"]})
    for record in records:
        migrated.value["dhash_migration"] = record
        migrated.write()
        inspect(migrated)
        assert inspect_media(migrated)["stale"] == 0


def test_a_library_that_cannot_be_read_is_an_error(library: SmallLibrary) -> None:
    for look in (inspect, inspect_media):
        with pytest.raises(LibraryError) as caught:
            look(library)
        assert caught.value.path == str(library.path)


# Its image files.


def test_missing_and_changed_image_files_are_counted_and_named(migrated: SmallLibrary) -> None:
    assert inspect_media(migrated) == {"missing": 1, "missing_examples": ["gone.png"], "stale": 0, "stale_examples": []}
    os.utime(migrated.folder / "b.png", ns=(1, 1))
    (migrated.folder / "a.png").unlink()
    assert inspect_media(migrated) == {
        "missing": 2, "missing_examples": ["a.png", "gone.png"], "stale": 1, "stale_examples": ["b.png"]}


def test_hash_that_differs_from_the_journal_is_stale(migrated: SmallLibrary) -> None:
    migrated.value["images"][0]["dhash"] = "0" * 16
    migrated.write()
    assert inspect_media(migrated)["stale_examples"] == ["a.png"]


def test_images_that_this_host_has_never_hashed_are_not_stale(migrated: SmallLibrary, tmp_path: Path) -> None:
    migrated.state = tmp_path / "the state folder of another host"
    assert inspect_media(migrated)["stale"] == 0


def test_images_without_a_hash_are_not_stale(migrated: SmallLibrary) -> None:
    migrated.add("new.png", seed=5)
    migrated.write()
    assert inspect_media(migrated)["stale"] == 0


def test_examples_are_limited_and_cannot_break_a_line(library: SmallLibrary) -> None:
    for name in ("line\nbreak.png", "never\0there.png", "third.png"):
        library.value["images"].append({"path": name, "filename": name})
    library.write()
    found = inspect_media(library, examples=2)
    assert (found["missing"], found["missing_examples"]) == (3, ["line\\nbreak.png", "never\\x00there.png"])


def test_looking_changes_nothing(migrated: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(tmp_path)
    inspect(migrated)
    inspect_media(migrated)
    assert tree(tmp_path) == before


def test_inspecting_an_unmigrated_library_creates_nothing(
        library: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    library.add("a.png", seed=1)
    library.write()
    before = tree(tmp_path)
    inspect(library)
    assert inspect_media(library) == {"missing": 0, "missing_examples": [], "stale": 0, "stale_examples": []}
    assert tree(tmp_path) == before


# After a review.


@pytest.fixture
def reviewed(migrated: SmallLibrary) -> SmallLibrary:
    """The same library without the duplicate, which a review took out with the record of it."""
    removal = library_removals.Removal("id", "copy of a.png", migrated.value["images"][2]["dhash"], "a.png", "", "")
    account = library_removals.Account("2026-01-31T12:00:00.000Z", "queue.json", 1, 1)
    migrated.value = library_removals.take_out(migrated.value, [removal], account)
    migrated.write()
    return migrated


def test_library_reduced_by_a_review_matches_its_own_record(reviewed: SmallLibrary) -> None:
    found = inspect(reviewed)
    assert (found["images"], found["hashed"], found["duplicates"]) == (3, 2, 0)
    assert found["inconsistencies"] == []


def test_what_is_missing_besides_contradicts_the_record_still(reviewed: SmallLibrary) -> None:
    del reviewed.value["images"][0]["dhash"]
    reviewed.value["dhash_duplicates"] = [{}]
    reviewed.write()
    assert inconsistencies(reviewed) == ["duplicates_count", "hashed_count"]


def test_after_another_migration_the_record_counts_what_is_there(reviewed: SmallLibrary) -> None:
    reviewed.value["dhash_migration"].update(
        migration_timestamp="2026-02-01T12:00:00.000Z", total_images=3, processed_successfully=2, duplicates_found=0)
    reviewed.write()
    assert inspect(reviewed)["inconsistencies"] == []


@pytest.mark.parametrize("record", [7, [], {"removalLog": 3}, {"migration": None, "removalLog": [{}]}])
def test_a_record_of_a_review_that_is_none_of_ours_says_nothing(migrated: SmallLibrary, record: object) -> None:
    migrated.value["lcm_import"] = record
    migrated.write()
    assert inspect(migrated)["inconsistencies"] == []
