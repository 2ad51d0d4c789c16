# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A calibration from the library to its report: only the report is written, once, and only over a report of ours."""

from __future__ import annotations

import html
import os
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import (
    calibration_report,
    calibration_run,
    library_measures,
    threshold_choice,
)
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import written_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError, LibraryError, MissingRequirementError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import bounded_reads
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, hash_journal, worker_pool, worker_process
from conftest import SmallLibrary
from PIL import Image

IMAGES = 24
IN_WORKERS = worker_pool.read_files
Tree = Callable[[Path], dict[str, tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def edited_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edit pictures in this process, since a worker takes long to start."""
    def read_files(paths: Iterable[tuple[Hashable, str]], read: Callable[[str], worker_process.Timed], _result: type[worker_process.Timed],
                   _media_roots: Sequence[str], _limits: decoder_limits.Limits, _parallel: int,
                   _temp_dir: str | None = None, _throttle: object = None) -> Iterator[tuple[Hashable, worker_process.Timed | ImageError]]:
        for key, path in reversed(list(paths)):  # workers answer in any order
            try:
                yield key, read(path)
            except ImageError as error:
                yield key, error

    monkeypatch.setattr(worker_pool, "read_files", read_files)


def migrate(library: SmallLibrary) -> SmallLibrary:
    library.write()
    library.run()
    library.deploy()
    return library


@pytest.fixture
def migrated(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A migrated library of different pictures, a copy, a flat picture, and a file that is missing."""
    for number in range(IMAGES):
        library.add(f"{number}.png", seed=number)
    library.add("copy of 0.png", content=(library.folder / "0.png").read_bytes())
    library.add("flat.png", content=b"")
    Image.new("L", (48, 40), 90).save(library.folder / "flat.png")
    library.add("missing.png")
    return migrate(library)


def settings(library: SmallLibrary, report: Path | None = None, **changes: Any) -> library_measures.Settings:
    given = library_measures.Settings(
        library=str(library.path), state=str(library.state), report=str(report or library.folder / "library.json.calibration.html"),
        run="20260131T120000Z-7", pictures=5, confirm=True, media_roots=(str(library.folder),), limits=decoder_limits.Limits(), parallel=1,
        temp_dir=None, lock_timeout=0)
    return given._replace(**changes)


def report_of(library: SmallLibrary) -> Path:
    return library.folder / "library.json.calibration.html"


def test_only_the_report_is_written_and_only_once(migrated: SmallLibrary, tree: Tree) -> None:
    def files() -> dict[str, Any]:
        return {path: about for path, about in tree(migrated.folder).items() if not path.endswith((".lock", "/srv"))}

    before = files()
    checked = calibration_run.check(settings(migrated))
    assert checked.changed and files() == before
    first = calibration_run.run(settings(migrated))
    assert first.changed and first.result == checked.result and first.after == checked.after
    after = files()
    assert after.keys() - before.keys() == {str(report_of(migrated))} and before.items() <= after.items()
    assert written_files.is_ours(str(migrated.state), str(report_of(migrated)))
    assert not calibration_run.check(settings(migrated)).changed
    second = calibration_run.run(settings(migrated))
    assert not second.changed and files() == after and second.before == first.after


def test_the_counts_are_those_of_the_library(migrated: SmallLibrary) -> None:
    found = calibration_run.check(settings(migrated)).result
    assert (found["images"], found["images_compared"], found["images_without_pixels"]) == (IMAGES + 1, IMAGES, 0)  # the copy is compared once
    assert (found["pairs_compared"], found["pairs_left_out"]) == (IMAGES * (IMAGES - 1) // 2, 0)
    assert (found["pictures_edited"], found["pictures_unreadable"], found["threshold"]) == (5, 0, 10)
    assert (found["recommended_threshold"], found["reason"]) == (10, threshold_choice.TOO_LITTLE_DATA)
    assert [row["threshold"] for row in found["thresholds"]] == list(range(17))
    assert found["thresholds"][16]["found"] > 0.9


def test_an_unrelated_change_of_the_library_changes_no_report(migrated: SmallLibrary) -> None:
    calibration_run.run(settings(migrated))
    migrated.reload()
    migrated.value["images"][3]["tags"] = ["new"]
    migrated.value["settings"]["ratio"] = 0.7
    random.Random(1).shuffle(migrated.value["images"])
    migrated.write()
    assert not calibration_run.check(settings(migrated)).changed


def test_an_image_that_has_changed_since_is_left_out(migrated: SmallLibrary) -> None:
    migrated.add("1.png", seed=999)
    found = calibration_run.check(settings(migrated, pictures=99)).result
    assert (found["images_without_pixels"], found["images_compared"], found["pictures_edited"]) == (1, IMAGES - 1, IMAGES - 1)


def test_a_picture_that_can_no_longer_be_decoded_is_counted(migrated: SmallLibrary) -> None:
    found = calibration_run.check(settings(migrated, pictures=99, media_roots=("/elsewhere",))).result
    assert (found["pictures_edited"], found["pictures_unreadable"], found["reason"]) == (0, IMAGES, threshold_choice.TOO_LITTLE_DATA)


def test_a_file_of_somebody_else_is_kept(migrated: SmallLibrary) -> None:
    report_of(migrated).write_text("notes")
    found = calibration_run.run(settings(migrated))
    kept = Path(found.result["report_set_aside"])
    assert kept.read_text() == "notes" and kept.name.startswith("library.json.calibration.html.set-aside-")
    assert found.before == [] and report_of(migrated).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_report_that_somebody_has_edited_is_kept(migrated: SmallLibrary) -> None:
    calibration_run.run(settings(migrated))
    report_of(migrated).write_text("edited")
    assert Path(calibration_run.run(settings(migrated)).result["report_set_aside"]).read_text() == "edited"


def test_another_file_of_the_collection_is_kept(migrated: SmallLibrary) -> None:
    written_files.write(str(migrated.state), str(report_of(migrated)), [b"the report of a migration"])
    assert Path(calibration_run.run(settings(migrated)).result["report_set_aside"]).read_text() == "the report of a migration"


@pytest.mark.parametrize("was_written", [False, True])
def test_a_link_to_a_missing_file_is_kept(was_written: bool, migrated: SmallLibrary) -> None:
    if was_written:
        calibration_run.run(settings(migrated))
        report_of(migrated).unlink()
    report_of(migrated).symlink_to("missing.html")
    assert calibration_run.check(settings(migrated)).changed
    kept = Path(calibration_run.run(settings(migrated)).result["report_set_aside"])
    assert os.readlink(kept) == "missing.html" and not report_of(migrated).is_symlink()
    assert not (migrated.folder / "missing.html").exists()


@pytest.mark.parametrize(("unwritable", "cause"), [("srv", "dhash_calibration_report: .* is not writable"), ("srv/library.json.lock", "lock file")])
def test_check_mode_fails_like_the_run_without_write_permission(
        unwritable: str, cause: str, migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (str(path).endswith(unwritable) and mode & os.W_OK))  # root may write anywhere
    for attempt in (calibration_run.check, calibration_run.run):
        with pytest.raises(DhashError, match=cause):
            attempt(settings(migrated))
    assert not report_of(migrated).exists()


def test_a_library_without_hashes_is_refused_with_the_next_step(library: SmallLibrary) -> None:
    library.add("0.png", seed=0)
    library.write()
    for attempt in (calibration_run.check, calibration_run.run):
        with pytest.raises(LibraryError, match="no hashes yet") as caught:
            attempt(settings(library))
        assert caught.value.next_step
    assert not report_of(library).exists() and not library.state.exists()


def test_a_library_without_pixels_is_refused_with_the_next_step(migrated: SmallLibrary) -> None:
    os.unlink(hash_journal.path_in(str(migrated.state)))
    with pytest.raises(RefusedError, match="different images are needed, and the journal has the pixels of 0") as caught:
        calibration_run.run(settings(migrated))
    assert "dhash_rehash=true" in str(caught.value.next_step)


@pytest.mark.parametrize("names", [[], ["0.png"], ["0.png", "copy.png"]])
def test_a_library_that_is_too_small_is_not_told_to_hash_again(names: list[str], library: SmallLibrary, decoded_here: list[str]) -> None:
    for name in names:
        library.add(name, seed=0)
    migrate(library)
    with pytest.raises(RefusedError, match=f"different images are needed, and the library has {min(len(names), 1)}") as caught:
        calibration_run.check(settings(library))
    assert "dhash_rehash" not in str(caught.value.next_step)


def test_check_mode_needs_no_numpy(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingRequirementError("numpy is needed")

    monkeypatch.setattr(difference_hash, "require_numpy", missing)
    found = calibration_run.check(settings(migrated))
    assert found.changed and found.result["reason"] is None and set(calibration_run.COUNTS) <= found.result.keys()


def test_workers_edit_the_pictures(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "read_files", IN_WORKERS)
    found = calibration_run.check(settings(migrated, pictures=2)).result
    assert (found["pictures_edited"], found["pictures_unreadable"]) == (2, 0)


@pytest.fixture
def hostile(tmp_path: Path, decoded_here: list[str]) -> SmallLibrary:
    library = SmallLibrary(tmp_path / '<img src=x onerror=alert(1)>&"\udcff')
    for number in range(4):
        library.add(f"{number}.png", seed=number)
    return migrate(library)


def test_file_names_are_text_in_the_report(hostile: SmallLibrary) -> None:
    calibration_run.run(settings(hostile, media_roots=(os.path.realpath(hostile.folder),)))
    text = report_of(hostile).read_text(encoding="utf-8")
    assert "<img" not in text and "&lt;img src=x onerror=alert(1)&gt;&amp;&quot;\\udcff" in text


@pytest.mark.parametrize("confirm", [True, False])
def test_the_report_is_well_formed_and_loads_nothing(confirm: bool, migrated: SmallLibrary) -> None:
    text = calibration_report.render(library_measures.measure(settings(migrated, confirm=confirm))).decode()
    assert "<script" not in text and not re.search(r"(src|href|url)\s*[=(]", text) and " style=" not in text
    assert "default-src 'none'" in text
    body = text[text.index("<body>"):text.index("</html>")]
    root = ET.fromstring(html.unescape(body.replace("&lt;", "&amp;lt;").replace("&amp;", "&amp;amp;")))
    charts = [element for element in root.iter("svg") if element.get("class") == "chart"]
    assert len(charts) == 4 and all(chart.get("role") == "img" and chart.get("aria-label") for chart in charts)
    assert "prefers-color-scheme:dark" in text and ("dhash_confirm is false" in text) is not confirm
    assert not re.search(r"\b(nan|inf|None)\b", body)


def test_the_summary_can_be_read_back_from_the_report(migrated: SmallLibrary) -> None:
    found = library_measures.measure(settings(migrated))
    assert calibration_report.summary_in(calibration_report.render(found)) == calibration_report.summary(found)
    assert calibration_report.summary_in(b"something else") == []
    assert calibration_run.difference(calibration_run.check(settings(migrated)), "report")["after"].startswith(f"images: {IMAGES + 1}\n")


def test_the_report_has_no_time_and_the_mode_of_other_reports(migrated: SmallLibrary) -> None:
    calibration_run.run(settings(migrated, report=migrated.folder / "reports/calibration.html"))
    report = migrated.folder / "reports/calibration.html"
    assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", report.read_text(encoding="utf-8").split("</head>")[1])
    assert report.stat().st_mode & 0o777 == 0o640
    assert bounded_reads.read_json(os.path.join(migrated.state, written_files.FILE), 1 << 20)["files"].keys() >= {str(report)}
