# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_versions, entry_columns, hash_batches, hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.hash_journal import Entry
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_edit, library_fields, library_file, library_index
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_measurements
from hypothesis import given
from hypothesis import strategies as st

THEN, NOW = "2025-12-31T23:59:59.999Z", "2026-01-31T12:00:00.000Z"
A, B, C = "0F1E2D3C4B5A6978", "F0E1D2C3B4A59687", "00000000FFFFFFFF"  # A and B differ in all 64 bits, C from both in 32
PICTURE, OTHER = (numpy.random.default_rng(seed).integers(0, 256, 144, numpy.uint8).tobytes() for seed in (1, 2))
MISSING = hash_batches.failure("missing", "the file does not exist. Check the path in the library.")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[hash_journal.Journal]:
    with hash_journal.open_for_writing(str(tmp_path), "pillow", "")[0] as journal:
        yield journal


def hashed(dhash: str, vertical: str = "0" * 16, low_detail: bool = False, decoder: str = "pillow", seconds: float = 0.01, hashed_at: str = NOW,
           luma: bytes | None = None) -> Entry:
    return Entry(dhash, vertical, low_detail, decoder, None, None, seconds, hashed_at, luma)


def flipped(dhash: str, *bits: int) -> str:
    return f"{int(dhash, 16) ^ sum(1 << bit for bit in bits):016X}"


def library_of(*images: dict[str, Any], **members: Any) -> library_file.Library:
    """A library with images named a.jpg, b.jpg and so on, each with the fields given."""
    named = [{"path": f"media/{letter}.jpg", "filename": f"{letter}.jpg", **image} for letter, image in zip("abcdefgh", images)]
    return written({"version": 3, "images": named, **members})


def written(value: dict[str, Any]) -> library_file.Library:
    return library_file.parse(json.dumps(value, indent=2).encode() + b"\n", "library.json")


def migrated_from(library: library_file.Library, *args: Any, **options: Any) -> library_file.Library:
    """The library that :func:`assemble` makes of ``library``, read back."""
    return library_file.parse(assemble(library, *args, **options).data, "library.json")


class Assembled(NamedTuple):
    """The migrated library, read back, and what :func:`library_assembly.assemble` returned with it."""

    value: dict[str, Any]
    data: bytes
    record: dict[str, Any]
    refuted: int
    seconds: Sequence[float]
    made: library_assembly.MigratedLibrary


def assemble(
        library: library_file.Library, entries: list[Entry], journal: hash_journal.Journal, algorithm: str = "pillow", threshold: int = 10,
        batch_size: int = 100, timestamp: str = NOW, write_note: bool = True,
        identities: list[file_stamps.Identity | None] | None = None, confirm: bool = False) -> Assembled:
    terms = library_assembly.MatchOptions(algorithm, threshold, batch_size, confirm)
    shared = file_stamps.Identities(identities or [None] * len(entries)).shared()
    hashed = library_assembly.HashedLibrary(index_of(library), entry_columns.Entries(entries), shared)
    made = library_assembly.assemble(hashed, terms, journal, timestamp, write_note)
    data = b"".join(library_assembly.edit(hashed, made).chunks())
    return Assembled(library_file.parse(data, "library.json").value, data, made.record, made.refuted, made.seconds, made)


def index_of(library: library_file.Library) -> library_index.Index:
    """The index of ``library``, of which a test may have changed the value alone."""
    is_changed = library_file.parse(library.data, "library.json").value != library.value
    return library_index.of(written(library.value).data if is_changed else library.data, "library.json")


def equals(migrated: Assembled, present: library_file.Library) -> bool:
    return library_assembly.is_same_content(migrated.made, index_of(present))


def duplicates_of(entries: list[Entry], journal: hash_journal.Journal, threshold: int = 10) -> list[tuple[str, str, int]]:
    value = assemble(library_of(*[{}] * len(entries)), entries, journal, threshold=threshold).value
    return [(record["duplicate"], record["original"], record["hammingDistance"]) for record in value["dhash_duplicates"]]


# Confirmation by pixels.


def confirmed(journal: hash_journal.Journal, *lumas: bytes | None, confirm: bool = True,
              library: library_file.Library | None = None) -> Assembled:
    """The result for images of one hash with these pixels."""
    return assemble(library or library_of(*[{}] * len(lumas)), [hashed(A, luma=luma) for luma in lumas], journal, confirm=confirm)


def confirmed_library(journal: hash_journal.Journal, *lumas: bytes | None) -> library_file.Library:
    return migrated_from(library_of(*[{}] * len(lumas)), [hashed(A, luma=luma) for luma in lumas], journal, confirm=True)


def test_duplicate_is_recorded_only_if_its_pixels_confirm_it(journal: hash_journal.Journal) -> None:
    migrated = confirmed(journal, PICTURE, OTHER, PICTURE)
    [record] = migrated.value["dhash_duplicates"]
    assert (record["duplicate"], record["original"], record["confidence"]) == ("c.jpg", "a.jpg", 1.0)
    assert (migrated.refuted, migrated.record["duplicates_found"]) == (1, 1)


def test_plain_threshold_records_every_near_image(journal: hash_journal.Journal) -> None:
    migrated = confirmed(journal, PICTURE, OTHER, confirm=False)
    assert [record["confidence"] for record in migrated.value["dhash_duplicates"]] == [1.0]
    assert migrated.refuted == 0


def test_confidence_is_below_1_if_pixels_are_not_known(journal: hash_journal.Journal) -> None:
    [record] = confirmed(journal, None, None).value["dhash_duplicates"]
    assert record["confidence"] == 0.99


def test_reused_duplicates_keep_the_number_of_refuted_ones(journal: hash_journal.Journal) -> None:
    first = confirmed_library(journal, PICTURE, OTHER)
    assert confirmed(journal, PICTURE, OTHER, library=first).refuted == 1


def test_other_pixels_with_the_same_hashes_are_searched_again(journal: hash_journal.Journal) -> None:
    first = confirmed_library(journal, PICTURE, OTHER)
    assert len(confirmed(journal, PICTURE, PICTURE, library=first).value["dhash_duplicates"]) == 1


def test_confirmation_that_is_switched_off_is_searched_again(journal: hash_journal.Journal) -> None:
    first = confirmed_library(journal, PICTURE, OTHER)
    assert len(confirmed(journal, PICTURE, OTHER, library=first, confirm=False).value["dhash_duplicates"]) == 1


# Our fields, and those of others.


def test_our_fields_are_appended_in_order_to_an_image(journal: hash_journal.Journal) -> None:
    image = assemble(library_of({"rating": 5}), [hashed(A, low_detail=True)], journal).value["images"][0]
    assert list(image.items()) == [
        ("path", "media/a.jpg"), ("filename", "a.jpg"), ("rating", 5), ("dhash", A), ("dhash_generated_at", NOW),
        ("dhash_low_detail", True)]


def test_our_records_are_appended_in_order_to_a_library(journal: hash_journal.Journal) -> None:
    value = assemble(library_of({}, settings={}), [hashed(A)], journal).value
    assert list(value) == ["version", "images", "settings", "dhash_migration", "dhash_duplicates", "dhash_errors"]


def test_our_fields_keep_their_place_where_they_are(journal: hash_journal.Journal) -> None:
    library = written({"dhash_errors": [], "images": [
        {"dhash_generated_at": THEN, "path": "a.jpg", "dhash": B, "filename": "a.jpg"}], "dhash_migration": {}, "version": 3})
    value = assemble(library, [hashed(A)], journal).value
    assert list(value) == ["dhash_errors", "images", "dhash_migration", "version", "dhash_duplicates"]
    assert list(value["images"][0].items()) == [
        ("dhash_generated_at", NOW), ("path", "a.jpg"), ("dhash", A), ("filename", "a.jpg")]


def test_everything_that_is_not_ours_comes_out_as_it_went_in(journal: hash_journal.Journal) -> None:
    text = json.dumps({
        "big": 0, "images": [
            {"path": "a.jpg", "score": 1, "filename": "a.jpg", "tags": ["été", {"dhash": "not ours"}], "dhash": "old"},
            {"filename": "b.jpg", "dhash_low_detail": True, "path": "b.jpg", "lone": "\ud83d"}],
        "lcm_import": {"dhash": 1}, "dhash_migration": None, "after": []}, indent=2)
    data = text.replace('"big": 0', '"big": 12345678901234567890').replace('"score": 1', '"score": 1.0').encode()
    library = library_file.parse(data, "library.json")
    migrated = migrated_from(library, [hashed(A), MISSING], journal)
    assert b'"score": 1.0' in migrated.data
    assert library_edit.edited(migrated, library_fields.without_our_fields(migrated.value)) == \
        library_edit.edited(library, library_fields.without_our_fields(library.value))


def test_the_library_that_came_in_stays_as_it_is(journal: hash_journal.Journal) -> None:
    library = library_of({"dhash": B, "dhash_generated_at": THEN}, {"dhash": A}, dhash_errors=[{}])
    before = copy.deepcopy(library)
    assemble(library, [hashed(A), MISSING], journal)
    assert library == before


# Images.


def test_hash_time_is_kept_while_the_hash_stays_the_same(journal: hash_journal.Journal) -> None:
    library = library_of({"dhash": A, "dhash_generated_at": THEN}, {"dhash": B, "dhash_generated_at": THEN})
    images = assemble(library, [hashed(A), hashed(C)], journal).value["images"]
    assert [(image["dhash"], image["dhash_generated_at"]) for image in images] == [(A, THEN), (C, NOW)]


@pytest.mark.parametrize("time", [None, 0, []])
def test_a_hash_without_a_time_gets_that_of_its_hashing(journal: hash_journal.Journal, time: object) -> None:
    images = assemble(library_of({"dhash": A, "dhash_generated_at": time}, {"dhash": B}), [hashed(A), hashed(B)], journal)
    assert [image["dhash_generated_at"] for image in images.value["images"]] == [NOW, NOW]


def test_failed_image_loses_its_old_hash_and_related_fields(journal: hash_journal.Journal) -> None:
    library = library_of({"dhash": A, "dhash_generated_at": THEN, "dhash_low_detail": True, "rating": 5})
    image = assemble(library, [MISSING], journal).value["images"][0]
    assert image == {"path": "media/a.jpg", "filename": "a.jpg", "rating": 5}


def test_only_pictures_that_are_too_flat_to_match_are_marked(journal: hash_journal.Journal) -> None:
    library = library_of({"dhash": A, "dhash_low_detail": True}, {"dhash": B}, {"dhash": C, "dhash_low_detail": False})
    images = assemble(library, [hashed(A), hashed(B, low_detail=True), hashed(C)], journal).value["images"]
    assert [image.get("dhash_low_detail") for image in images] == [None, True, None]
    assert "dhash_low_detail" not in images[0].keys() | images[2].keys()


# Errors.


def test_errors_are_this_migrations_in_library_order(journal: hash_journal.Journal) -> None:
    library = library_of({}, {}, {}, dhash_errors=[{"image": "of an earlier run"}])
    entries = [hash_batches.failure("timeout", "too slow"), hashed(A), MISSING]
    assert assemble(library, entries, journal).value["dhash_errors"] == [
        {"image": "a.jpg", "error": "too slow", "path": "media/a.jpg", "kind": "timeout"},
        {"image": "c.jpg", "error": MISSING.error, "path": "media/c.jpg", "kind": "missing"}]


# Duplicates.


def test_duplicate_records_images_hashes_distance_and_confidence(journal: hash_journal.Journal) -> None:
    near = flipped(A, 0, 5, 63)
    entries = [hashed(A, vertical=B), hashed(near, vertical=flipped(B, 1, 2))]
    assert assemble(library_of({}, {}), entries, journal).value["dhash_duplicates"] == [{
        "original": "a.jpg", "duplicate": "b.jpg", "hash": near, "originalHash": A, "hammingDistance": 3,
        "originalPath": "media/a.jpg", "duplicatePath": "media/b.jpg", "confidence": 0.92}]  # 1 - (3 + 2) / 64


@pytest.mark.parametrize(("horizontal", "vertical", "confidence"), [
    (0, 0, 1.0), (1, 0, 0.98), (10, 6, 0.75), (10, 16, 0.59), (10, 54, 0.0), (10, 64, 0.0), (0, 64, 0.0)])
def test_confidence_falls_with_both_distances_but_not_below_0(journal: hash_journal.Journal, horizontal: int, vertical: int, confidence: float) -> None:
    entries = [hashed(A, vertical=B), hashed(flipped(A, *range(horizontal)), vertical=flipped(B, *range(vertical)))]
    (record,) = assemble(library_of({}, {}), entries, journal).value["dhash_duplicates"]
    assert record["confidence"] == confidence


def test_original_is_the_nearest_earlier_image_else_the_earliest(journal: hash_journal.Journal) -> None:
    entries = [hashed(A), hashed(flipped(A, 0, 1, 2)), hashed(flipped(A, 0)), hashed(B), hashed(flipped(A, 0, 1))]
    assert duplicates_of(entries, journal) == [("b.jpg", "a.jpg", 3), ("c.jpg", "a.jpg", 1), ("e.jpg", "b.jpg", 1)]


def test_the_threshold_itself_is_still_a_duplicate(journal: hash_journal.Journal) -> None:
    entries = [hashed(A), hashed(flipped(A, *range(7)))]
    assert duplicates_of(entries, journal, threshold=7) == [("b.jpg", "a.jpg", 7)]
    assert duplicates_of(entries, journal, threshold=6) == []


def test_pictures_too_flat_to_match_are_matched_with_nothing(journal: hash_journal.Journal) -> None:
    entries = [hashed(A, low_detail=True), hashed(A, low_detail=True), hashed(A), hashed(A)]
    assert duplicates_of(entries, journal) == [("d.jpg", "c.jpg", 0)]


def test_images_without_a_hash_are_matched_with_nothing(journal: hash_journal.Journal) -> None:
    assert duplicates_of([MISSING, hashed(A), MISSING, hashed(A)], journal) == [("d.jpg", "b.jpg", 0)]


def test_file_listed_twice_in_a_library_duplicates_itself(journal: hash_journal.Journal) -> None:
    assert duplicates_of([hashed(A), hashed(A)], journal) == [("b.jpg", "a.jpg", 0)]


def test_a_library_without_images_is_migrated_too(journal: hash_journal.Journal) -> None:
    migrated = assemble(library_of(), [], journal)
    assert (migrated.value["dhash_duplicates"], migrated.value["dhash_errors"]) == ([], [])
    assert (migrated.record["total_images"], migrated.record["average_time_per_image"]) == (0, 0)


def test_duplicates_found_before_are_not_searched_again(journal: hash_journal.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [hashed(A), hashed(flipped(A, 0)), hashed(B)]
    migrated = migrated_from(library_of({}, {}, {}), entries, journal)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert assemble(migrated, entries, journal).value["dhash_duplicates"] == migrated.value["dhash_duplicates"]


@pytest.mark.parametrize("change", [
    lambda value, entries: value["dhash_duplicates"].clear(),
    lambda value, entries: value["dhash_duplicates"][0].update(confidence=0.5),
    lambda value, entries: value.update(dhash_duplicates="none"),
    lambda value, entries: value["images"][1].update(filename="renamed.jpg"),
    lambda value, entries: value["images"][0].update(path="moved/a.jpg"),
    lambda value, entries: entries.__setitem__(1, hashed(flipped(A, 0, 1))),
    lambda value, entries: entries.__setitem__(1, hashed(flipped(A, 0), vertical=B)),
    lambda value, entries: entries.__setitem__(0, MISSING),
    lambda value, entries: entries.__setitem__(2, hashed(A, low_detail=True)),
])
def test_duplicates_are_searched_again_if_anything_may_differ(
        journal: hash_journal.Journal, change: Callable[[dict[str, Any], list[Entry]], object]) -> None:
    entries = [hashed(A), hashed(flipped(A, 0)), hashed(A)]
    migrated = migrated_from(library_of({}, {}, {}), entries, journal)
    change(migrated.value, entries)
    found = assemble(migrated, entries, journal).value["dhash_duplicates"]
    unprejudiced = written(library_fields.without_our_fields(migrated.value))
    assert found == assemble(unprejudiced, entries, journal, threshold=10).value["dhash_duplicates"]


@pytest.mark.parametrize("confirm", [False, True])
def test_duplicates_of_an_unhashed_library_are_searched_once(
        journal: hash_journal.Journal, monkeypatch: pytest.MonkeyPatch, confirm: bool) -> None:
    library = library_of({}, {}, {})
    entries = [hashed(A, luma=PICTURE), hashed(flipped(A, 0), luma=PICTURE), hashed(B, luma=OTHER)]
    found = assemble(library, entries, journal, confirm=confirm).value["dhash_duplicates"]
    assert len(found) == 1
    monkeypatch.setattr(library_assembly, "_find_near", None)
    monkeypatch.setattr(library_assembly, "_find_confirmed", None)
    assert assemble(library, entries, journal, confirm=confirm).value["dhash_duplicates"] == found


def test_another_threshold_has_duplicates_looked_for_again(journal: hash_journal.Journal) -> None:
    entries = [hashed(A), hashed(flipped(A, *range(8)))]
    migrated = migrated_from(library_of({}, {}), entries, journal, threshold=10)
    assert len(migrated.value["dhash_duplicates"]) == 1
    assert assemble(migrated, entries, journal, threshold=5).value["dhash_duplicates"] == []


def test_duplicate_search_without_numpy_is_refused_with_the_fix(journal: hash_journal.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingRequirementError, match="python3-numpy"):
        assemble(library_of({}), [hashed(A)], journal)


def test_check_mode_writes_no_note_into_the_journal(journal: hash_journal.Journal) -> None:
    assemble(library_of({}), [hashed(A)], journal, write_note=False)
    assert journal.note(library_assembly.MATCHES) is None


# The record of the migration.


def test_migration_record_says_what_was_done_and_with_what(journal: hash_journal.Journal) -> None:
    entries = [hashed(A, seconds=0.25), MISSING, hashed(A, decoder="ffmpeg", seconds=0.125), hashed(B, seconds=0.0625)]
    migrated = assemble(library_of({}, {}, {}, {}), entries, journal, threshold=9, batch_size=50)
    record = migrated.value["dhash_migration"]
    assert record == migrated.record
    versions = record["versions"]
    decoders = {name: decoder_versions.versions()[name] for name in ("pillow", "ffmpeg")}
    assert list(record.items()) == [
        ("migration_timestamp", NOW), ("total_images", 4), ("processed_successfully", 3), ("processing_errors", 1),
        ("duplicates_found", 1), ("processing_time_seconds", 0.438), ("average_time_per_image", 0.145833), ("dhash_threshold", 9),
        ("batch_size", 50), ("algorithm", "pillow"), ("p95_time_per_image", 0.25), ("decoders", {"ffmpeg": 1, "pillow": 2}),
        ("versions", versions)]
    assert versions == {"collection": run_record.VERSION, **decoders, "numpy": numpy.__version__}


def test_timings_cover_only_images_hashed_in_this_run(journal: hash_journal.Journal) -> None:
    library = library_of({"dhash": A}, {"dhash": B}, {})
    migrated = assemble(library, [hashed(A, seconds=9.0), hashed(C, seconds=0.5), hashed(A, seconds=0.25)], journal)
    assert sorted(migrated.seconds) == [0.25, 0.5]
    assert migrated.record["processing_time_seconds"] == 0.75
    assert migrated.record["p95_time_per_image"] == 0.5


@pytest.mark.parametrize(("values", "percentile"), [
    ([], 0), ([3.0], 3.0), ([1.0, 2.0], 2.0), ([float(n) for n in range(1, 21)], 19.0), ([float(n) for n in range(1, 101)], 95.0)])
def test_the_95th_percentile_is_that_by_nearest_rank(values: list[float], percentile: float) -> None:
    assert run_measurements.percentile_95(values[::-1]) == percentile


@given(st.lists(st.floats(0, 60), min_size=1))
def test_95th_percentile_is_the_smallest_bound_of_95_in_100(values: list[float]) -> None:
    percentile = run_measurements.percentile_95(values)
    needed = math.ceil(0.95 * len(values))
    assert percentile in values
    assert sum(value <= percentile for value in values) >= needed
    assert sum(value < percentile for value in values) < needed


# Whether a library is migrated already.


@pytest.fixture
def present(journal: hash_journal.Journal) -> library_file.Library:
    """A migrated library as it is read back, with a duplicate and an error."""
    return migrated_from(library_of({}, {}, {}), [hashed(A), hashed(flipped(A, 1)), MISSING], journal, timestamp=THEN)


def again(present: library_file.Library, journal: hash_journal.Journal, entries: list[Entry] | None = None, **terms: Any) -> Assembled:
    return assemble(present, entries or [hashed(A), hashed(flipped(A, 1)), MISSING], journal, **terms)


def test_a_library_that_is_migrated_again_equals_itself(present: library_file.Library, journal: hash_journal.Journal) -> None:
    assert equals(again(present, journal), present)


def test_timings_versions_decoders_and_batch_size_are_no_change(present: library_file.Library, journal: hash_journal.Journal) -> None:
    entries = [hashed(A, seconds=5.0, decoder="ffmpeg", hashed_at=NOW), hashed(flipped(A, 1), seconds=0.0), MISSING]
    present.value["dhash_migration"]["versions"]["pillow"] = "9.0.0"
    assert equals(again(present, journal, entries, batch_size=7), present)


def test_a_foreign_layout_alone_is_no_change(present: library_file.Library, journal: hash_journal.Journal) -> None:
    otherwise = library_file.parse(json.dumps(json.loads(present.data), indent=4).encode() + b"\n", "library.json")
    assert equals(again(otherwise, journal), otherwise)


@pytest.mark.parametrize("terms", [{"threshold": 9}, {"algorithm": "ffmpeg"}])
def test_other_threshold_or_algorithm_alone_is_a_change(
        present: library_file.Library, journal: hash_journal.Journal, terms: dict[str, Any]) -> None:
    assert not equals(again(present, journal, **terms), present)


@pytest.mark.parametrize("entries", [
    [hashed(B), hashed(flipped(A, 1)), MISSING],
    [hashed(A), hashed(flipped(A, 1), low_detail=True), MISSING],
    [hashed(A), hashed(flipped(A, 1), vertical=B), MISSING],  # the confidence of the duplicate
    [hashed(A), hashed(flipped(A, 1)), hash_batches.failure("timeout", str(MISSING.error))],
    [hashed(A), hashed(flipped(A, 1)), hash_batches.failure("missing", "another text")],
    [hashed(A), hashed(flipped(A, 1)), hashed(B)],
])
def test_another_hash_duplicate_or_error_is_a_change(present: library_file.Library, journal: hash_journal.Journal, entries: list[hash_journal.Entry]) -> None:
    assert not equals(again(present, journal, entries), present)


@pytest.mark.parametrize("damage", [
    lambda value: value.pop("dhash_migration"),
    lambda value: value.update(dhash_migration=[]),
    lambda value: value["dhash_migration"].pop("algorithm"),
    lambda value: value["dhash_migration"].update(total_images=9),
    lambda value: value.pop("dhash_duplicates"),
    lambda value: value["images"][0].pop("dhash_generated_at"),
    lambda value: value["images"][2].update(dhash=A),
])
def test_library_that_lost_fields_of_ours_is_migrated_again(
        present: library_file.Library, journal: hash_journal.Journal, damage: Callable[[dict[str, Any]], object]) -> None:
    damage(present.value)
    assert not equals(again(present, journal), present)
