# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_report
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log

RESULT = {
    "images": 5, "before": {"images": 5, "hashed": 0, "errors": 0, "duplicates": 0}, "hashed": 3, "errors": 2, "duplicates": 1, "duplicates_refuted": 2,
    "errors_by_kind": {"missing": 1, "truncated": 1}, "hashed_now": 4, "to_hash": 0, "failure_rate": 0.4, "average_ms": 12.5, "p95_ms": 20.0,
    "would_change": True, "output": "/srv/library.dhash.json", "output_sha256": "0" * 64,
    "throttled": {"seconds": 0.0, "reasons": {}, "unavailable": []},
}
VALUE = {
    "images": [],
    "dhash_migration": {"total_images": 5},
    "dhash_duplicates": [{"originalPath": "a.jpg", "duplicatePath": "odd\nname\udcff.jpg", "hammingDistance": 3}],
    "dhash_errors": [{"image": "b.jpg", "error": "the file does not exist", "path": "b.jpg", "kind": "missing"},
                     {"image": "c.jpg", "error": "the file is empty", "path": "c.jpg", "kind": "truncated"}],
}
# The runbook's own command is: grep -E "(Migration Report|Total images|Successfully processed|Errors|Duplicates found)"
RUNBOOK = re.compile("(Migration Report|Total images|Successfully processed|Errors|Duplicates found)")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "srv" / "logs"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "srv" / "library.json"
    path.parent.mkdir()
    path.write_bytes(b"{}")
    return path


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """A disk on which no file can grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# The log.


def test_a_migrations_log_is_named_by_its_time(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        log.line("Start")
    assert re.fullmatch(r"library\.json\.migration-\d{8}-\d{6}\.log", os.path.basename(str(log.path)))
    assert [path.name for path in logs.iterdir()] == [os.path.basename(str(log.path))]


def test_every_line_of_a_log_begins_with_its_time(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        log.line("one")
        log.line("two")
    with open(str(log.path)) as file:
        lines = file.read().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in lines] == ["one", "two"]


def test_a_line_is_in_the_log_as_soon_as_it_is_written(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        log.line("Start")
        with open(str(log.path)) as file:
            assert file.read().endswith(" Start\n")


def test_without_a_folder_for_logs_nothing_is_written(library: Path, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(tmp_path)
    with run_log.Log(None, str(library), "migration") as log:
        log.line("Start")
        migration_report.log_summary(log, RESULT, VALUE)
    assert log.path is None
    assert tree(tmp_path) == before


def test_two_runs_within_a_second_lose_no_line(logs: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.gmtime(0)
    monkeypatch.setattr(time, "gmtime", lambda *_args: moment)
    with run_log.Log(str(logs), str(library), "migration") as one, run_log.Log(str(logs), str(library), "migration") as other:
        one.line("one")
        other.line("other")
        one.line("one again")
    with open(str(one.path)) as file:
        assert [line.split(" ", 1)[1] for line in file.read().splitlines()] == ["one", "other", "one again"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_the_library_may_read_its_logs(logs: Path, library: Path) -> None:
    os.chown(library, 1234, 2345)
    with run_log.Log(str(logs), str(library), "migration") as log:
        pass
    assert (os.stat(str(log.path)).st_uid, os.stat(str(log.path)).st_gid) == (1234, 2345)


def test_a_log_is_not_for_everybody(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        pass
    assert [stat.S_IMODE(os.stat(path).st_mode) & 0o027 for path in (str(logs), str(log.path))] == [0, 0]


def test_full_disk_stops_the_log_but_not_the_migration(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log, full_disk():
        log.line("Start")
        migration_report.log_summary(log, RESULT, VALUE)


def test_a_log_that_cannot_be_opened_is_named(library: Path) -> None:
    with pytest.raises(DhashError) as caught:
        run_log.Log(str(library), str(library), "migration")
    assert str(caught.value.path).startswith(f"{library}/library.json.migration-")


def test_grep_of_the_runbook_prints_the_report_and_nothing_else(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        log.line("Start of a migration of /srv/library.json, run 20260131T120000Z-7")
        migration_report.log_summary(log, RESULT, VALUE)
    with open(str(log.path)) as file:
        found = [line.split(" ", 1)[1] for line in file.read().splitlines() if RUNBOOK.search(line)]
    assert found == ["Migration Report", "Total images: 5", "Successfully processed: 3", "Errors: 2 (1 missing, 1 truncated)",
                     "Duplicates found: 1"]


def test_log_names_every_error_and_duplicate_on_its_own_line(logs: Path, library: Path) -> None:
    with run_log.Log(str(logs), str(library), "migration") as log:
        migration_report.log_summary(log, RESULT, VALUE)
    with open(str(log.path)) as file:
        lines = [line.split(" ", 1)[1] for line in file.read().splitlines()]
    assert lines[:3] == ["error missing b.jpg: the file does not exist", "error truncated c.jpg: the file is empty",
                         "duplicate odd\\nname\\udcff.jpg of a.jpg, distance 3"]


# The summary and the diff.


def test_the_summary_tells_where_the_migrated_library_lies() -> None:
    assert migration_report.summary_lines(RESULT)[-1] == "Migrated library: /srv/library.dhash.json"


def test_the_summary_of_a_run_that_changes_nothing_says_so() -> None:
    result = {**RESULT, "would_change": False, "output_sha256": None}
    assert migration_report.summary_lines(result)[-1] == "The live library is up to date: nothing to deploy"


def test_dry_run_summary_does_not_mention_an_unwritten_library() -> None:
    result = {key: value for key, value in RESULT.items() if key != "output_sha256"}
    assert not [line for line in migration_report.summary_lines(result) if "ibrary" in line]


def test_a_diff_shows_counts_and_the_fields_that_change() -> None:
    shown = migration_report.diff("/srv/library.json", RESULT)
    assert (shown["before_header"], shown["after_header"]) == ("/srv/library.json", "/srv/library.dhash.json")
    assert shown["before"] == "images: 5\nhashed: 0\nerrors: 0\nduplicates: 0\n"
    assert shown["after"] == (
        "images: 5\nhashed: 3\nerrors: 2 (1 missing, 1 truncated)\nduplicates: 1\n"
        "fields that change: images[].dhash, images[].dhash_generated_at, images[].dhash_low_detail, dhash_migration,"
        " dhash_duplicates, dhash_errors\n")


def test_diff_gives_bounds_for_what_is_not_hashed_yet() -> None:
    shown = migration_report.diff("/srv/library.json", {**RESULT, "to_hash": 4, "duplicates": None})
    assert "hashed: 3 at most, 4 to hash now\n" in shown["after"]
    assert "errors: 2 at least (1 missing, 1 truncated)\n" in shown["after"]
    assert "duplicates: known after hashing\n" in shown["after"]


def test_the_diff_of_a_run_that_changes_nothing_is_empty() -> None:
    shown = migration_report.diff("/srv/library.json", {**RESULT, "would_change": False})
    assert shown["before"] == shown["after"]


# The report.


def test_report_has_the_result_all_missing_paths_and_all_records(library: Path) -> None:
    path = library.parent / "reports" / "report.json"
    migration_report.write(str(path), RESULT, VALUE, str(library), str(library.parent / "state"), 7)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert RESULT.items() <= report.items()
    assert (report["library"], report["missing_paths"]) == (str(library), ["b.jpg"])
    assert [report[field] for field in ("dhash_migration", "dhash_duplicates", "dhash_errors")] == [
        VALUE[field] for field in ("dhash_migration", "dhash_duplicates", "dhash_errors")]
    assert report["metrics"] == {
        "avg_hash_time": 12.5, "p95_hash_time": 20.0, "extraction_failures_rate": 0.4, "image_processing_errors": 2,
        "low_confidence_queue_length": 7, "duplicate_detection_rate": 0.2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_lists_too_long_for_the_report_get_their_own_files(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, state = library.parent / "reports" / "report.json", str(library.parent / "state")
    files = {"dhash_errors": path.with_name("report.errors.jsonl"), "missing_paths": path.with_name("report.missing.jsonl")}
    path.parent.mkdir()
    files["dhash_errors"].write_bytes(b"of somebody else")
    monkeypatch.setattr(migration_report, "MOST_LISTED", 1)
    [kept] = migration_report.write(str(path), RESULT, VALUE, str(library), state, None)
    assert Path(kept).read_bytes() == b"of somebody else"
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (report["dhash_errors"], report["dhash_duplicates"], report["missing_paths"]) == (None, VALUE["dhash_duplicates"], ["b.jpg"])
    assert report["list_files"] == {"dhash_errors": "report.errors.jsonl"}
    assert [json.loads(line) for line in files["dhash_errors"].read_text(encoding="utf-8").splitlines()] == VALUE["dhash_errors"]
    monkeypatch.setattr(migration_report, "MOST_LISTED", 0)
    assert migration_report.write(str(path), RESULT, VALUE, str(library), state, None) == []
    assert files["missing_paths"].read_bytes() == b'"b.jpg"\n'
    assert stat.S_IMODE(files["missing_paths"].stat().st_mode) == 0o640
    monkeypatch.undo()
    assert migration_report.write(str(path), RESULT, VALUE, str(library), state, None) == []
    assert json.loads(path.read_text(encoding="utf-8"))["list_files"] == {}
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".jsonl"] == []


def test_the_log_has_the_first_of_each_kind_and_counts_the_rest(
        logs: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_report, "MOST_LOGGED", 2)
    errors: Any = VALUE["dhash_errors"]
    value = {**VALUE, "dhash_errors": [*errors[:1] * 5, *errors], "dhash_duplicates": [*VALUE["dhash_duplicates"]] * 5}
    with run_log.Log(str(logs), str(library), "migration") as log:
        migration_report.log_summary(log, RESULT, value)
    with open(str(log.path)) as file:
        text = file.read()
        lines = [line.split(" ", 1)[1] for line in text.splitlines()]
    assert sum(line.startswith("error missing b.jpg") for line in lines) == sum(line.startswith("duplicate ") for line in lines) == 2
    assert sum(line.startswith("error truncated c.jpg") for line in lines) == 1
    assert "error missing: 4 more, in dhash_errors of the library" in lines
    assert "duplicate: 3 more, in dhash_duplicates of the library" in lines
    assert len([line for line in text.splitlines() if RUNBOOK.search(line)]) == 5


def test_a_report_refuses_what_json_has_no_form_for(library: Path) -> None:
    path = library.parent / "report.json"
    with pytest.raises(TypeError):
        migration_report.write(str(path), {**RESULT, "run": object()}, VALUE, str(library), str(library.parent / "state"), 7)
    assert not path.exists()


def test_unwritable_report_is_named_and_the_last_one_kept(library: Path) -> None:
    path = library.parent / "report.json"
    path.write_bytes(b"the last one")
    with full_disk(), pytest.raises(DhashError) as caught:
        migration_report.write(str(path), RESULT, VALUE, str(library), str(library.parent / "state"), None)
    assert caught.value.path == str(path)
    assert path.read_bytes() == b"the last one"


# Progress.


def test_progress_is_told_at_the_beginning_and_at_the_end(library: Path) -> None:
    told: list[dict[str, Any]] = []
    meter = run_log.Meter(told.append, run_log.Log(None, str(library), "migration"))
    meter.start(3)
    for path in ("a.jpg", "b.jpg"):
        meter.count(path, object())
    meter.count("c.jpg", ImageError("truncated", "the file is empty"))
    assert told[0] == {"done": 0, "total": 3, "errors": 0, "images_per_second": 0.0, "seconds_left": None}
    assert (told[-1]["done"], told[-1]["total"], told[-1]["errors"], told[-1]["seconds_left"]) == (3, 3, 1, 0)


def test_progress_is_reported_periodically_with_speed_and_eta(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    told: list[dict[str, Any]] = []
    meter = run_log.Meter(told.append, run_log.Log(None, str(library), "migration"))
    meter.start(100)
    for _image in range(50):
        clock[0] += 0.1
        meter.count("a.jpg", object())
    between = told[1:]
    assert 5 <= len(between) <= 12
    assert between[-1] == {"done": 50, "total": 100, "errors": 0, "images_per_second": 10.0, "seconds_left": 5}


def test_the_log_of_a_long_run_tells_how_far_it_is(logs: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with run_log.Log(str(logs), str(library), "migration") as log:
        meter = run_log.Meter(lambda _state: None, log)
        meter.start(100)
        for _image in range(25):
            clock[0] += 1
            meter.count("a.jpg", object())
    with open(str(log.path)) as file:
        lines = [line.split(" ", 1)[1] for line in file.read().splitlines()]
    assert lines == ["Hashing 100 images", "10 of 100, 1.0 images per second, 0 failed", "20 of 100, 1.0 images per second, 0 failed"]
