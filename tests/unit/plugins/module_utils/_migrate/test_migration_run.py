# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _errors
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, rollback_plan, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError, LibraryError, LockedError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import locking
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    decoder_limits,
    decoder_versions,
    difference_hash,
    hash_journal,
    image_decoder,
    sandbox,
    worker_pool,
)
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_edit, library_fields, library_file
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_survey, migration_run, migration_settings, plan_cache
from conftest import SmallLibrary, present, timeless
from PIL import Image

Form = Literal["NFC", "NFD"]
# What check mode predicts of a run.
PREDICTED = ("images", "before", "source_sha256", "hashed", "errors", "errors_by_kind", "missing", "duplicates", "would_change",
             "staged_file_is_stale", "staged_file_is_current", "output")


def fill(library: SmallLibrary) -> SmallLibrary:
    """Put a picture, a near-duplicate, a flat one, one with fields of others, and five that fail into ``library``."""
    library.add("media/a.png", seed=1)
    library.add("media/b.png", seed=2, rating=5, tags=["été", {"deep": 1.5}])
    library.add("media/a small.jpg", seed=1, size=(32, 24))
    library.add("media/flat.png", content=None)
    library.add("media/gone.png")
    library.add("media/empty.jpg", content=b"")
    library.add("media/page.jpg", content=b"<!DOCTYPE html>")
    library.add("media/folder.jpg").mkdir()
    library.add("../outside.png", seed=3)
    Image.new("RGB", (32, 32), "teal").save(library.folder / "media/flat.png")
    library.write()
    return library


KINDS = {"missing": 1, "not_an_image": 1, "outside_media_root": 1, "truncated": 1, "unreadable": 1}


@pytest.fixture
def mixed(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library with some of everything, not yet migrated."""
    return fill(library)


@pytest.fixture
def pictures(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library of five pictures, not yet migrated."""
    for number in range(5):
        library.add(f"{number}.png", seed=number)
    library.write()
    return library


def migrate_and_deploy(library: SmallLibrary, **changes: Any) -> None:
    library.run(**changes)
    library.deploy()
    cutover.verified(str(library.path), str(library.state), check=False)
    library.reload()


# What a migration makes.


def test_every_image_gets_a_hash_or_an_error(mixed: SmallLibrary) -> None:
    result = mixed.run()
    assert (result["images"], result["hashed"], result["errors"], result["errors_by_kind"]) == (9, 4, 5, KINDS)
    value = mixed.migrated()
    hashed = [image["path"] for image in value["images"] if re.fullmatch("[0-9A-F]{16}", image.get("dhash", ""))]
    assert hashed == ["media/a.png", "media/b.png", "media/a small.jpg", "media/flat.png"]
    assert {error["path"]: error["kind"] for error in value["dhash_errors"]} == {
        "media/gone.png": "missing", "media/empty.jpg": "truncated", "media/page.jpg": "not_an_image",
        "media/folder.jpg": "unreadable", "../outside.png": "outside_media_root"}


def test_near_duplicate_is_found_and_flat_image_matches_nothing(mixed: SmallLibrary) -> None:
    mixed.add("media/flat too.png", content=(mixed.folder / "media/flat.png").read_bytes())
    mixed.write()
    result = mixed.run()
    value = mixed.migrated()
    assert [(record["original"], record["duplicate"]) for record in value["dhash_duplicates"]] == [("a.png", "a small.jpg")]
    assert [image["filename"] for image in value["images"] if "dhash_low_detail" in image] == ["flat.png", "flat too.png"]
    assert (result["duplicates"], result["low_detail"]) == (1, 2)


def test_the_rest_of_the_library_comes_out_as_it_went_in(mixed: SmallLibrary) -> None:
    before = mixed.path.read_bytes()
    mixed.run()
    migrated = library_file.read(str(mixed.output))[0]
    assert library_edit.edited(migrated, library_fields.without_our_fields(migrated.value)) == before
    assert mixed.path.read_bytes() == before


@pytest.mark.parametrize("layout", [
    functools.partial(json.dumps, separators=(",", ":")), functools.partial(json.dumps, indent=4, ensure_ascii=False),
    lambda value: json.dumps(value, indent="\t").replace("\n", "\r\n") + "\r\n \r\n",
    lambda value: json.dumps({"images": value["images"], **value}, indent=1).replace('"rating": 5', '"rating": 1.0'),
    lambda value: '{"images": [\n' + ",\n".join(map(json.dumps, value["images"])) + "]}"])
def test_library_in_another_layout_is_migrated_and_restored(mixed: SmallLibrary, layout: Callable[[Any], str]) -> None:
    before = layout(json.loads(mixed.path.read_bytes())).encode()
    mixed.path.write_bytes(before)
    migrate_and_deploy(mixed)
    assert mixed.value["images"][0]["dhash"]
    assert mixed.run()["would_change"] is False
    way = rollback_plan.make_plan(str(mixed.path), str(mixed.state), str(mixed.folder / "backups"),
                                  rollback_plan.RollbackRequest(rollback_plan.LATEST, True, False))
    assert (way.text, way.due) == (before, True)


def test_plan_without_cache_reads_library_and_stats_files_once(
        pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate_and_deploy(pictures)
    (pictures.state / plan_cache.FILE).unlink()
    read_bytes, examine, select = library_file.read_bytes, hash_journal._examine, hash_journal.Journal._rows
    reads: list[str] = []
    examined: list[str] = []
    statements: list[int] = []

    def read(path: str, *rest: Any) -> bytes:
        reads.append(path)
        return read_bytes(path, *rest)

    def examined_file(path: str) -> hash_journal.Found:
        examined.append(path)
        return examine(path)

    def counted_rows(self: hash_journal.Journal, paths: Iterable[str]) -> dict[bytes, tuple[Any, ...]]:
        names = list(paths)
        statements.append(len(names))
        return select(self, names)

    monkeypatch.setattr(library_file, "read_bytes", read)
    monkeypatch.setattr(hash_journal, "_examine", examined_file)
    monkeypatch.setattr(hash_journal.Journal, "_rows", counted_rows)
    monkeypatch.setattr(library_edit, "with_fields", None)  # nothing is written, not even to compare it
    assert pictures.check()["would_change"] is False
    assert reads == [str(pictures.path)]
    assert examined == [str(pictures.folder / image["path"]) for image in pictures.value["images"]]
    assert statements == [len(examined)]


def test_the_result_tells_digests_counts_and_rates(mixed: SmallLibrary) -> None:
    before = mixed.path.read_bytes()
    result = mixed.run()
    assert result["source_sha256"] == hashlib.sha256(before).hexdigest()
    assert result["output_sha256"] == hashlib.sha256(mixed.output.read_bytes()).hexdigest()
    assert result["before"] == {"images": 9, "hashed": 0, "errors": 0, "duplicates": 0}
    assert result["failure_rate"] == round(5 / 9, 4)
    assert 0 < result["average_ms"] <= result["p95_ms"]
    assert (result["hashed_now"], result["to_hash"]) == (8, 0)  # the missing file needs no worker


def test_the_record_binds_what_was_made_to_what_was_read(mixed: SmallLibrary) -> None:
    result = mixed.run()
    record = present(mixed.record())
    assert (record.phase, record.library, record.output) == (run_record.PREPARED, str(mixed.path), str(mixed.output))
    assert (record.old_sha256, record.new_sha256) == (result["source_sha256"], result["output_sha256"])
    assert not record.restart_owed


def test_the_migrated_library_has_the_mode_of_the_live_one(mixed: SmallLibrary) -> None:
    mixed.path.chmod(0o640)
    mixed.run()
    assert mixed.output.stat().st_mode & 0o777 == 0o640


def test_images_may_have_absolute_paths_and_odd_names(pictures: SmallLibrary) -> None:
    odd = ["two words.png", "it's.png", "line\nbreak.png", "-n.png", "{{ braces }}.png", "日本.png", "back\\slash.png"]
    for number, name in enumerate(odd):
        pictures.add(name, seed=100 + number)
    pictures.value["images"][-1]["path"] = str(pictures.folder / odd[-1])
    pictures.write()
    result = pictures.run()
    assert (result["hashed"], result["errors"]) == (12, 0)


@pytest.mark.parametrize(("there", "listed"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_missing_file_in_another_normalization_form_is_named(pictures: SmallLibrary, there: Form, listed: Form) -> None:
    folder, name = "Zürich", "Müller.png"
    pictures.add(f"{unicodedata.normalize(there, folder)}/{unicodedata.normalize(there, name)}", seed=7)
    image = pictures.value["images"][-1]
    if (pictures.folder / unicodedata.normalize(listed, folder)).exists():
        pytest.skip("this file system takes both forms for one name")
    image["path"] = unicodedata.normalize(listed, image["path"])
    pictures.write()
    pictures.run()
    (error,) = pictures.migrated()["dhash_errors"]
    assert error["kind"] == "missing"
    assert f"form {listed}, but under the same name in {there}. Rename the file" in error["error"]


def test_names_that_no_file_can_have_are_missing_files(pictures: SmallLibrary) -> None:
    pictures.value["images"] += [{"path": path, "filename": "x"} for path in ("nul\0.png", "\ud83d.png", "x" * 300, "")]
    pictures.path.write_text(json.dumps(pictures.value, indent=2))
    kinds = pictures.run()["errors_by_kind"]
    assert kinds == {"missing": 3, "unreadable": 1}  # an empty path is the library's own folder


def test_a_file_that_two_images_share_is_hashed_once(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    pictures.value["images"].append({"path": "./0.png", "filename": "again.png"})
    pictures.value["images"].append({"path": "0.png", "filename": "and again.png"})
    pictures.write()
    pictures.run()
    assert decoded_here.count(str(pictures.folder / "0.png")) == 1
    assert [image["dhash"] for image in pictures.migrated()["images"][-1:]] == [pictures.migrated()["images"][0]["dhash"]]


def test_an_image_that_can_no_longer_be_read_loses_its_hash(pictures: SmallLibrary) -> None:
    migrate_and_deploy(pictures)
    (pictures.folder / "2.png").write_bytes(b"no longer a picture")
    (pictures.folder / "3.png").unlink()
    pictures.run()
    assert ["dhash" in image for image in pictures.migrated()["images"]] == [True, True, False, False, True]
    assert [error["kind"] for error in pictures.migrated()["dhash_errors"]] == ["not_an_image", "missing"]


def test_changed_image_is_rehashed_and_others_keep_their_times(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    migrate_and_deploy(pictures)
    before = pictures.value["images"]
    decoded_here.clear()
    pictures.add("new.png", seed=77)
    os.replace(pictures.folder / "new.png", pictures.folder / "2.png")
    result = pictures.run()
    assert decoded_here == [str(pictures.folder / "2.png")]
    assert (result["hashed_now"], result["would_change"]) == (1, True)
    after = pictures.migrated()["images"]
    assert [one == other for one, other in zip(before, after)] == [True, True, False, True, True]


# Running again.


def test_unchanged_library_is_neither_rehashed_nor_changed(
        mixed: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]], decoded_here: list[str]) -> None:
    migrate_and_deploy(mixed)
    decoded_here.clear()
    before = tree(mixed.folder)
    result = mixed.run()
    assert (result["would_change"], result["staged_file_is_stale"], result["output_sha256"]) == (False, False, None)
    assert tree(mixed.folder) | {f"{mixed.path}.lock": None, str(mixed.folder): None} == \
        before | {f"{mixed.path}.lock": None, str(mixed.folder): None}
    assert [os.path.basename(path) for path in decoded_here] == ["folder.jpg", "outside.png"]  # tried again at every run


def test_a_second_run_before_the_deploy_finds_its_output_current(mixed: SmallLibrary, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    first = mixed.run()
    before = mixed.output.stat()
    record = mixed.record()
    second = mixed.run(run="another")
    assert (second["would_change"], second["staged_file_is_current"], second["output_sha256"]) == (True, True, first["output_sha256"])
    assert (mixed.output.stat().st_ino, mixed.output.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert mixed.record() == record


def test_an_output_that_somebody_has_changed_is_refused(mixed: SmallLibrary) -> None:
    mixed.run()
    mixed.output.write_bytes(b"{}")
    for run in (mixed.run, mixed.check):
        with pytest.raises(RefusedError, match="was not written by this collection") as refused:
            run()
        assert refused.value.path == str(mixed.output) and mixed.output.read_bytes() == b"{}"


def test_output_of_the_old_runbook_is_refused_before_any_write(mixed: SmallLibrary, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    mixed.output.write_bytes(mixed.path.read_bytes())
    before = tree(mixed.folder)
    for run in (mixed.run, mixed.check):
        with pytest.raises(RefusedError, match="the file is a library with"):
            run()
    assert tree(mixed.folder) == before and not os.path.exists(mixed.state)
    assert mixed.run(limit=2, output=str(mixed.folder / "test-library.dhash.json"))["would_change"]


def test_a_report_of_somebody_else_is_set_aside(mixed: SmallLibrary) -> None:
    report = mixed.folder / "report.json"
    report.write_text("notes")
    result = mixed.run(report=str(report))
    (kept,) = mixed.folder.glob("report.json.set-aside-*")
    assert (kept.read_text(), result["report_set_aside"]) == ("notes", str(kept))
    assert mixed.run(report=str(report))["report_set_aside"] is None


def test_pending_restart_survives_another_migration(pictures: SmallLibrary) -> None:
    pictures.run()
    cutover.announce(str(pictures.path), str(pictures.state))
    pictures.add("new.png", seed=9)
    pictures.write()
    pictures.run()
    assert (present(pictures.record()).phase, present(pictures.record()).restart_owed) == (run_record.PREPARED, True)


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED, run_record.DEPLOYING])
def test_staged_library_is_removed_once_it_is_obsolete(
        pictures: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]], phase: str) -> None:
    migrate_and_deploy(pictures)
    good = pictures.path.read_bytes()
    pictures.add("new.png", seed=9)
    pictures.write()
    pictures.run()
    run_record.write(str(pictures.state), present(pictures.record())._replace(phase=phase, restart_owed=phase != run_record.PREPARED))
    pictures.path.write_bytes(good)  # the operator took the new image out again

    before = tree(tmp_path)
    assert (pictures.check()["would_change"], pictures.check()["staged_file_is_stale"]) == (False, True)
    assert tree(tmp_path) == before
    result = pictures.run()
    assert (result["would_change"], result["staged_file_is_stale"]) == (False, True)
    assert not pictures.output.exists()
    assert present(pictures.record()).restart_owed is (phase != run_record.PREPARED)
    assert pictures.deploy() is False
    assert (pictures.path.read_bytes(), pictures.run()["staged_file_is_stale"]) == (good, False)


def test_interrupted_deploy_is_finished_before_a_new_migration(
        pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures.run()

    def end(*_args: object) -> NoReturn:
        raise SystemExit

    with monkeypatch.context() as killed:
        killed.setattr(cutover, "_keep_what_came_out", end)
        with pytest.raises(SystemExit):
            pictures.deploy()
    result = pictures.run()
    assert (result["would_change"], result["staged_file_is_stale"]) == (False, False)
    assert pictures.deploy() is False
    assert (present(pictures.record()).phase, present(pictures.record()).restart_owed) == (run_record.DEPLOYED, True)


# One file under several names.


def link_hard(target: Path, link: Path) -> None:
    os.link(target, link)


def link_symbolically(target: Path, link: Path) -> None:
    link.symlink_to(target)


def name_twice(_target: Path, _link: Path) -> None:
    """The library names the same path twice."""


@pytest.mark.parametrize("link", [link_hard, link_symbolically, name_twice])
def test_a_duplicate_that_is_the_same_file_is_marked(pictures: SmallLibrary, link: Callable[[Path, Path], None]) -> None:
    link(pictures.folder / "3.png", pictures.folder / "again.png")
    again = "3.png" if link is name_twice else "again.png"
    pictures.add(again)
    pictures.add("copy.png", content=(pictures.folder / "2.png").read_bytes())
    pictures.write()
    migrate_and_deploy(pictures)
    records = {record["duplicatePath"]: record for record in pictures.value["dhash_duplicates"]}
    assert records[again]["sameFile"] is True and records[again]["originalPath"] == "3.png"
    assert "sameFile" not in records["copy.png"]
    assert pictures.run()["would_change"] is False


def test_a_record_from_before_the_mark_changes_once(pictures: SmallLibrary) -> None:
    os.link(pictures.folder / "3.png", pictures.folder / "again.png")
    pictures.add("again.png")
    pictures.write()
    migrate_and_deploy(pictures)
    (record,) = pictures.value["dhash_duplicates"]
    del record["sameFile"]
    pictures.write()
    assert pictures.check()["would_change"] is True
    for would_change in (True, False):
        assert pictures.run()["would_change"] is would_change
        pictures.deploy()
    assert pictures.reload()["dhash_duplicates"][0]["sameFile"] is True


# What the journal is trusted with.


@pytest.fixture
def alike(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library of pictures of one size and one time of change, migrated and deployed."""
    for number in range(6):
        os.utime(library.add(f"{number}.bmp", seed=number), ns=(0, 10**18))
    library.write()
    migrate_and_deploy(library)
    decoded_here.clear()
    return library


def swap(library: SmallLibrary, one: str, other: str) -> None:
    """Rename two images to each other."""
    spare = library.folder / "spare"
    for source, target in ((one, spare), (other, one), (spare, other)):
        os.rename(library.folder / source, library.folder / target)


def hashes(library: SmallLibrary) -> dict[str, str]:
    return {image["path"]: image["dhash"] for image in library.reload()["images"]}


def test_two_alike_pictures_that_are_swapped_are_hashed_again(alike: SmallLibrary, decoded_here: list[str]) -> None:
    before = hashes(alike)
    swap(alike, "1.bmp", "4.bmp")
    assert alike.check()["to_hash"] == 2
    migrate_and_deploy(alike)
    assert sorted(map(os.path.basename, decoded_here)) == ["1.bmp", "4.bmp"]
    assert hashes(alike) == {**before, "1.bmp": before["4.bmp"], "4.bmp": before["1.bmp"]}


def test_a_picture_that_is_copied_over_another_is_hashed_again(alike: SmallLibrary, decoded_here: list[str]) -> None:
    before = hashes(alike)
    shutil.copy2(alike.folder / "1.bmp", alike.folder / "4.bmp")
    migrate_and_deploy(alike)
    assert hashes(alike) == {**before, "4.bmp": before["1.bmp"]}


def test_ignored_ctime_misses_a_swap_but_not_a_change(alike: SmallLibrary, decoded_here: list[str]) -> None:
    swap(alike, "1.bmp", "4.bmp")
    os.utime(alike.folder / "2.bmp")
    alike.run(ignore_ctime=True)
    assert [os.path.basename(file) for file in decoded_here] == ["2.bmp"]


def test_mismatching_sample_rehashes_everything(alike: SmallLibrary, decoded_here: list[str], tmp_path: Path) -> None:
    before = hashes(alike)
    swap(alike, "1.bmp", "4.bmp")
    result = alike.run(ignore_ctime=True, sample=6, log_dir=str(tmp_path / "logs"))
    assert (result["distrusted"], result["hashed_now"], result["would_change"]) == (6, 6, True)
    assert "WARNING A sample does not have" in "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    alike.deploy()
    assert hashes(alike) == {**before, "1.bmp": before["4.bmp"], "4.bmp": before["1.bmp"]}
    again = alike.run(ignore_ctime=True, sample=6)
    assert (again["distrusted"], again["hashed_now"], again["would_change"]) == (0, 0, False)


def test_check_mode_predicts_that_a_sample_does_not_match(alike: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    swap(alike, "1.bmp", "4.bmp")
    before = tree(tmp_path)
    result = alike.check(ignore_ctime=True, sample=6)
    assert (result["would_change"], result["to_hash"]) == (True, 6)
    assert alike.check(ignore_ctime=True)["would_change"] is False
    assert tree(tmp_path) == before


@pytest.mark.parametrize("count", [1, 3])
def test_the_sample_is_what_a_verification_of_the_result_takes(alike: SmallLibrary, decoded_here: list[str], count: int) -> None:
    alike.add("new.png", seed=9)
    alike.write()
    result = alike.run(sample=count)
    value, digest = library_file.read(str(alike.output))
    assert digest == result["output_sha256"]
    drawn = [value.value["images"][position]["path"] for position in library_survey.sample(list(range(len(value.value["images"]))), digest, count)]
    assert sorted(map(os.path.basename, decoded_here)) == sorted({*drawn, "new.png"})


def test_what_was_hashed_just_now_is_not_sampled(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    assert pictures.run(sample=20)["distrusted"] == 0
    assert len(decoded_here) == 5


def test_a_sample_that_cannot_be_read_costs_the_others_nothing(alike: SmallLibrary, monkeypatch: pytest.MonkeyPatch, decoded_here: list[str]) -> None:
    read_pixels = image_decoder.read_pixels

    def slow(path: str, *arguments: Any) -> difference_hash.Pixels:
        if path.endswith("3.bmp"):
            raise ImageError("timeout", "it took too long")
        return read_pixels(path, *arguments)

    monkeypatch.setattr(image_decoder, "read_pixels", slow)
    result = alike.run(sample=6)
    assert (result["distrusted"], result["errors_by_kind"]) == (1, {"timeout": 1})


def test_an_error_is_tried_again_once_with_a_new_decoder(library: SmallLibrary, decoded_here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    library.add("cut.png", content=b"\x89PNG\r\n\x1a\n")
    library.write()
    migrate_and_deploy(library)
    versions = {**decoder_versions.versions(), "pillow": "99.0"}
    monkeypatch.setattr(decoder_versions, "versions", lambda: versions)
    for attempts in (2, 2):
        library.run()
        assert len(decoded_here) == attempts


def test_image_too_large_is_retried_under_other_limits(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    small = decoder_limits.Limits(pixels=100)
    assert pictures.run(limits=small)["errors_by_kind"] == {"too_large": 5}
    decoded_here.clear()
    assert pictures.run(limits=small)["hashed_now"] == 0
    assert pictures.check()["to_hash"] == 5
    assert pictures.run()["hashed"] == 5


def test_new_threshold_rehashes_nothing_new_algorithm_everything(pictures: SmallLibrary) -> None:
    migrate_and_deploy(pictures)
    result = pictures.run(threshold=3)
    assert (result["hashed_now"], result["would_change"]) == (0, True)
    settings = pictures.settings()
    assert pictures.check(terms=settings.terms._replace(algorithm="ffmpeg"))["to_hash"] == 5


def test_damaged_journal_is_set_aside_and_everything_rehashed(pictures: SmallLibrary) -> None:
    first = pictures.run()
    journal = pictures.state / "journal.sqlite"
    journal.write_bytes(b"no database" * 1000)
    result = pictures.run()
    assert result["journal_set_aside"].startswith(f"{journal}.damaged-")
    assert (result["hashed_now"], result["hashed"]) == (5, first["hashed"])


# Check mode.


def test_check_mode_on_a_fresh_host_predicts_and_writes_nothing(
        mixed: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]], decoded_here: list[str]) -> None:
    before = tree(tmp_path)
    checked = mixed.check()
    assert tree(tmp_path) == before
    assert decoded_here == []
    ran = mixed.run()
    assert checked["to_hash"] == ran["hashed_now"] == 8
    assert checked["would_change"] is ran["would_change"] is True
    assert checked["missing"] == ran["missing"] == 1
    assert checked["duplicates"] is None
    assert checked["hashed"] >= ran["hashed"]
    assert checked["errors"] <= ran["errors"]
    assert [checked[key] for key in ("images", "before", "source_sha256", "output")] == [
        ran[key] for key in ("images", "before", "source_sha256", "output")]


def test_check_mode_after_a_dry_run_predicts_the_run_exactly(mixed: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    mixed.value["images"] = [image for image in mixed.value["images"] if image["filename"] not in ("folder.jpg", "outside.png")]
    mixed.write()
    mixed.run(dry_run=True)
    before = tree(tmp_path)
    checked = mixed.check()
    assert tree(tmp_path) == before
    ran = mixed.run()
    assert {key: checked[key] for key in PREDICTED} == {key: ran[key] for key in PREDICTED}
    assert (checked["to_hash"], ran["hashed_now"]) == (0, 0)


def test_check_mode_of_a_migrated_library_predicts_no_change(
        mixed: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    migrate_and_deploy(mixed)
    before = tree(tmp_path)
    checked = mixed.check()
    assert tree(tmp_path) == before
    ran = mixed.run()
    assert {key: checked[key] for key in PREDICTED} == {key: ran[key] for key in PREDICTED}
    assert checked["would_change"] is False


@pytest.mark.parametrize(("kind", "error"), [
    ("unreadable", "Input/output error"), ("timeout", "decoding took longer than the limit of 30 s"),
    ("crashed", "the decoder was killed by signal SIGSEGV"), ("unsupported", "JPEG XL needs the FFmpeg program"),
])
def test_failures_retried_in_every_run_do_not_predict_a_change(
        pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch, kind: str, error: str) -> None:
    decode = worker_pool.hash_files

    def hash_files(paths: Iterable[tuple[str, str]], *args: Any) -> Iterator[tuple[str, difference_hash.Pixels | ImageError]]:
        for key, result in decode(paths, *args):
            yield key, ImageError(kind, error, "Mend it.") if key.endswith("2.png") else result

    monkeypatch.setattr(worker_pool, "hash_files", hash_files)
    migrate_and_deploy(pictures)
    checked = pictures.check()
    assert (checked["to_hash"], checked["would_change"], checked["errors_by_kind"]) == (1, False, {kind: 1})
    ran = pictures.run()
    assert (ran["hashed_now"], ran["would_change"], ran["errors_by_kind"]) == (1, False, {kind: 1})
    monkeypatch.setattr(worker_pool, "hash_files", decode)
    mended = pictures.run()
    assert (mended["would_change"], mended["hashed"]) == (True, 5)


@pytest.mark.parametrize("errors", [None, "none", [None], [{"path": "0.png"}], [{"path": ["0.png"], "kind": "timeout", "error": ""}]])
def test_records_of_errors_that_are_none_are_no_obstacle(pictures: SmallLibrary, errors: object) -> None:
    pictures.value["dhash_errors"] = errors
    pictures.write()
    assert pictures.check()["to_hash"] == 5
    assert pictures.run()["errors"] == 0


def test_check_mode_needs_nothing_but_pythons_standard_library(pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("numpy", "PIL", "ffmpeg"):
        monkeypatch.setitem(sys.modules, package, None)
    checked = pictures.check()
    assert (checked["to_hash"], checked["would_change"], checked["duplicates"]) == (5, True, None)


def test_check_mode_without_numpy_still_predicts_no_change(pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate_and_deploy(pictures)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert pictures.check()["would_change"] is False
    checked = pictures.check(sample=5)
    assert checked["would_change"] is False and "sampled" not in checked


def test_check_mode_says_how_many_images_it_has_hashed_again(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    assert "sampled" not in pictures.check(sample=3)
    migrate_and_deploy(pictures)
    decoded_here.clear()
    assert pictures.check(sample=3)["sampled"] == len(decoded_here) == 3
    assert pictures.check(sample=0)["sampled"] == 0


def test_check_mode_takes_no_lock_and_is_not_kept_waiting_by_one(pictures: SmallLibrary) -> None:
    with locking.lock(str(pictures.path), "migration", "run", timeout=0):
        assert pictures.check()["to_hash"] == 5


def test_check_mode_beside_a_checkpoint_cut_short_writes_nothing(
        pictures: SmallLibrary, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    pictures.run()

    def die_in_a_transaction() -> None:
        connection = sqlite3.connect(hash_journal.path_in(str(pictures.state)))
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE images SET error = hex(randomblob(20000))")
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=die_in_a_transaction)
    process.start()
    process.join(60)
    assert os.path.getsize(hash_journal.path_in(str(pictures.state)) + "-journal") > 0
    before = tree(tmp_path)
    pictures.check()
    assert tree(tmp_path) == before
    assert pictures.run()["hashed_now"] == 0


def test_forecast_gives_time_and_disk_once_images_were_timed(pictures: SmallLibrary) -> None:
    assert pictures.check()["forecast"]["hashing_seconds"] is None
    size = os.path.getsize(pictures.path)
    forecast = pictures.run(dry_run=True)["forecast"]
    assert forecast["hashing_seconds"] == 0
    assert forecast["hashing_seconds_without_journal"] >= 0
    migrated = pictures.run()
    assert forecast["disk_bytes"] >= 2 * size + 2 * os.path.getsize(migrated["output"])


# The dry run, and the run of a part.


def test_a_dry_run_writes_no_library_and_no_record(mixed: SmallLibrary) -> None:
    result = mixed.run(dry_run=True)
    assert result["would_change"]
    assert "output_sha256" not in result
    assert not mixed.output.exists()
    assert mixed.record() is None


def test_a_run_after_a_dry_run_hashes_nothing(pictures: SmallLibrary, decoded_here: list[str]) -> None:
    assert pictures.run(dry_run=True)["hashed_now"] == 5
    decoded_here.clear()
    assert pictures.run()["hashed_now"] == 0
    assert decoded_here == []


def test_a_dry_run_writes_its_report_with_every_missing_path(mixed: SmallLibrary, tmp_path: Path) -> None:
    report = tmp_path / "reports" / "migrate-dryrun.json"
    mixed.run(dry_run=True, report=str(report))
    told = json.loads(report.read_text())
    assert told["missing_paths"] == ["media/gone.png"]
    assert told["would_change"] is True
    assert told["forecast"]["disk_bytes"] > 0
    assert len(told["dhash_errors"]) == 5


def test_limited_run_takes_the_first_images_and_is_undeployable(pictures: SmallLibrary) -> None:
    result = pictures.run(limit=2, output=str(pictures.folder / "test-library.dhash.json"))
    assert (result["images"], result["hashed"], result["would_change"]) == (2, 2, True)
    written = json.loads((pictures.folder / "test-library.dhash.json").read_text())
    assert [image["path"] for image in written["images"]] == ["0.png", "1.png"]
    assert pictures.record() is None
    assert not pictures.output.exists()
    assert pictures.deploy() is False


def test_limited_run_of_a_migrated_library_writes_its_output(pictures: SmallLibrary) -> None:
    migrate_and_deploy(pictures)
    result = pictures.run(limit=100, output=str(pictures.folder / "test-library.dhash.json"))
    assert result["would_change"]
    written = (pictures.folder / "test-library.dhash.json").read_bytes()
    assert timeless(written) == timeless(pictures.path.read_bytes())


def test_limited_run_keeps_the_record_of_an_unlimited_one(pictures: SmallLibrary) -> None:
    pictures.run()
    record = pictures.record()
    pictures.run(limit=2, output=str(pictures.folder / "test-library.dhash.json"))
    assert pictures.record() == record
    assert pictures.deploy() is True


OPTIONS = {"state_dir": None, "output": None, "limit": None, "report": None, "log_dir": "logs", "algorithm": "pillow", "threshold": 10,
           "batch_size": 100, "parallel": 1, "temp_dir": None, "media_roots": None, "image_timeout": 30, "max_image_bytes": 1,
           "max_image_pixels": 1, "worker_memory": 1, "worker_user": "", "require_sandbox": False, "nice": 0, "io_class": "none",
           "lock_timeout": 0, "dry_run": False}


def test_the_output_of_a_limited_run_is_named_as_a_test(library: SmallLibrary) -> None:
    library.write()
    options = {**OPTIONS, "library": str(library.path)}
    assert migration_settings.from_params(options).output == str(library.folder / "library.dhash.json")
    assert migration_settings.from_params({**options, "limit": 5}).output == str(library.folder / "test-library.dhash.json")


def test_two_libraries_of_one_folder_share_no_report(library: SmallLibrary) -> None:
    reports = {(name, kind): migration_settings.from_params({**OPTIONS, "library": str(library.folder / name), **given}).report
               for name in ("one.json", "two.json") for kind, given in (("run", {}), ("trial", {"limit": 5}), ("dry", {"dry_run": True}))}
    assert len(set(reports.values())) == len(reports)
    assert reports["one.json", "run"] == str(library.folder / "logs/one.json.migration-report.json")
    assert reports["one.json", "trial"] == str(library.folder / "logs/one.json.test-migration-report.json")
    assert reports["one.json", "dry"] == str(library.folder / "one.json.migrate-dryrun.json")


def test_host_without_the_required_sandbox_is_refused_at_once(
        library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    library.write()
    before = tree(library.folder)
    monkeypatch.setattr(sandbox, "_LIBC", None)
    options = {**OPTIONS, "library": str(library.path)}
    migration_settings.from_params(options)
    with pytest.raises(_errors.MissingRequirementError, match=r"dhash_require_sandbox is set.*landlock \(only Linux has this\)"):
        migration_settings.from_params({**options, "require_sandbox": True})
    assert tree(library.folder) == before


def test_the_log_and_the_result_say_what_confined_the_decoders(mixed: SmallLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    confinement = sandbox.Confinement(("landlock", "no_new_privs", "unprivileged_user"), (("seccomp", "there is no filter"),), 7, 65534)
    monkeypatch.setattr(worker_pool, "_confinements", [confinement])
    result = mixed.run(log_dir=str(tmp_path / "logs"))
    assert result["sandbox"]["text"] == "landlock 7, no_new_privs, uid 65534"
    log = Path(result["log"]).read_text(encoding="utf-8")
    assert "Sandbox of the decoders: landlock 7, no_new_privs, uid 65534" in log and "Not in force: seccomp: there is no filter" in log


# The log and the progress.


def test_the_log_of_a_run_tells_its_errors_duplicates_and_report(mixed: SmallLibrary, tmp_path: Path) -> None:
    result = mixed.run(log_dir=str(tmp_path / "logs"))
    with open(result["log"]) as log:
        lines = [line.split(" ", 1)[1] for line in log.read().splitlines()]
    assert lines[0] == f"Start of a migration of {mixed.path}, run 20260131T120000Z-7"
    assert "error missing media/gone.png: the file does not exist. Check the path in the library." in lines
    assert next(line for line in lines if line.startswith("duplicate ")).startswith(
        "duplicate media/a small.jpg of media/a.png, distance ")
    assert "Successfully processed: 4" in lines


@pytest.mark.parametrize(("changes", "name"), [
    ({}, "migration"), ({"dry_run": True}, "dry-run"), ({"limit": 1, "output": "test.json"}, "test-migration")])
def test_a_log_is_named_by_what_was_run(pictures: SmallLibrary, tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    if "output" in changes:
        changes = {**changes, "output": str(tmp_path / changes["output"])}
    result = pictures.run(log_dir=str(tmp_path / "logs"), **changes)
    assert re.fullmatch(r"library\.json\." + name + r"-\d{8}-\d{6}\.log", os.path.basename(result["log"]))


def test_refused_library_gets_no_file_beside_it_and_no_state(pictures: SmallLibrary, tmp_path: Path) -> None:
    pictures.path.write_bytes(b"[]")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LibraryError):
        pictures.run(log_dir=str(tmp_path / "logs"))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_log_of_a_run_that_fails_tells_why(pictures: SmallLibrary, tmp_path: Path) -> None:
    pictures.run()
    pictures.path.write_bytes(b"[]")
    with pytest.raises(LibraryError):
        pictures.run(log_dir=str(tmp_path / "logs"))
    (log,) = (tmp_path / "logs").iterdir()
    assert f"FAILED {pictures.path}: the file holds an array" in log.read_text()


def test_progress_counts_what_is_hashed_and_nothing_else(pictures: SmallLibrary) -> None:
    told: list[dict[str, Any]] = []
    migration_run.run(pictures.settings(), told.append)
    assert (told[0]["total"], told[-1]["done"]) == (5, 5)
    told.clear()
    migration_run.run(pictures.settings(), told.append)
    assert told == []


# What is refused.


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"images": 1}', b'{"images": [{"filename": "a"}]}', b"[" * 10_000])
def test_file_that_is_not_a_library_is_refused_and_left_alone(library: SmallLibrary, decoded_here: list[str], content: bytes | None) -> None:
    if content is not None:
        library.path.write_bytes(content)
    for attempt in (library.check, library.run):
        with pytest.raises(LibraryError) as caught:
            attempt()
        assert caught.value.path == str(library.path)
        assert caught.value.next_step
    assert not library.output.exists()
    assert library.record() is None
    assert library.path.exists() is (content is not None)


def test_two_migrations_of_a_library_do_not_run_at_once(pictures: SmallLibrary) -> None:
    with locking.lock(str(pictures.path), "migration", "the first", timeout=0), pytest.raises(LockedError, match="run the first"):
        pictures.run()
    assert not pictures.output.exists()


def test_migration_without_numpy_is_refused_before_any_write(
        pictures: SmallLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    before = tree(tmp_path)
    with pytest.raises(_errors.MissingRequirementError):
        pictures.run()
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_the_library_and_keeps_what_is_hashed(
        tmp_path: Path, new_library: Callable[[object], SmallLibrary], decoded_here: list[str], mount: Callable[..., None]) -> None:
    library = new_library("host")
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", on=library.folder)
    for number in range(3):
        library.add(f"{number}.png", seed=number)
    before = library.write()
    disk = os.statvfs(library.folder)
    (library.folder / "ballast").write_bytes(b"\0" * disk.f_bavail * disk.f_bsize)
    with pytest.raises(DhashError) as caught:
        library.run()
    assert str(caught.value) == (f"{library.output}: could not write the file: No space left on device. "
                                 "Free space on this file system, then run again.")
    assert library.path.read_bytes() == before
    assert {path.name for path in library.folder.iterdir()} == {"0.png", "1.png", "2.png", "ballast", "library.json", "library.json.lock"}
    assert library.record() is None
    (library.folder / "ballast").unlink()
    assert library.run()["hashed_now"] == 0


# Killed and continued.


@pytest.mark.slow
def test_migration_killed_while_hashing_ends_in_the_same_bytes(new_library: Callable[[object], SmallLibrary]) -> None:
    killed, whole = new_library("killed"), new_library("whole")
    for library in (killed, whole):
        for number in range(18):
            library.add(f"media/{number}.png", seed=number % 15)
        library.add("media/gone.png")
        library.write()

    def die_after_two_checkpoints() -> None:
        record = hash_journal.Journal.record
        checkpoints = itertools.count(1)

        def record_and_die(journal: hash_journal.Journal, results: Iterable[Any]) -> None:
            record(journal, results)
            if next(checkpoints) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        pytest.MonkeyPatch().setattr(hash_journal.Journal, "record", record_and_die)
        killed.run(batch_size=5)

    process = multiprocessing.get_context("fork").Process(target=die_after_two_checkpoints)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not killed.output.exists()
    assert killed.run(batch_size=5)["hashed_now"] == 8
    assert whole.run(batch_size=5)["hashed_now"] == 18
    assert timeless(killed.output.read_bytes()) == timeless(whole.output.read_bytes())
    assert len(whole.migrated()["dhash_duplicates"]) == 3


@pytest.mark.slow
def test_migration_killed_at_any_write_ends_in_the_same_bytes(
        new_library: Callable[[object], SmallLibrary], decoded_here: list[str], killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    contents = set()
    for number in itertools.count():
        library = new_library(number)
        for name in ("a.png", "b.png", "copy of a.png"):
            library.add(name, seed=ord(name[-5]))
        before = library.write()
        killed = killed_at(number, library.run)
        assert library.path.read_bytes() == before
        if library.record() is not None:
            assert present(library.record()).new_sha256 == hashlib.sha256(library.output.read_bytes()).hexdigest()
        library.run()
        assert library.deploy() is True
        contents.add(timeless(library.path.read_bytes()))
        if not killed:
            break
    assert len(contents) == 1
    assert number > 10
