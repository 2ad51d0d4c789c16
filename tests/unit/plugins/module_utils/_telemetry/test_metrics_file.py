# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, locking
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_run
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, prometheus_text, run_measurements
from conftest import SmallLibrary, present
from prometheus_client.parser import text_string_to_metric_families

ODD = ['a "quoted" name', "back\\slash", "line\nbreak", "carriage\rreturn", "tab\t", "{curly} #hash", "été 日本 🎲", "trailing\\"]


class Watched:
    """A small library, the folder that its metrics are published in, and the warnings that were given."""

    def __init__(self, library: SmallLibrary, folder: Path) -> None:
        self.library, self.folder = library, folder
        self.warnings: list[str] = []

    def metrics(self) -> metrics_file.Metrics:
        return metrics_file.Metrics(str(self.folder), str(self.library.path), str(self.library.state), self.warnings.append)

    def run(self, **changes: Any) -> dict[str, Any]:
        return migration_run.run(self.library.settings(**changes), lambda run_record: None, self.metrics())

    def deploy(self) -> None:
        changed = self.library.deploy()
        self.metrics().settled(self.library.record(), changed)

    def verify(self) -> None:
        changed = cutover.verified(str(self.library.path), str(self.library.state), check=False)
        self.metrics().settled(self.library.record(), changed, is_verified=True)

    @property
    def file(self) -> Path:
        (file,) = self.folder.glob("*.prom")
        return file

    def text(self) -> str:
        return self.file.read_bytes().decode("utf-8")

    def samples(self) -> dict[tuple[str, ...], float]:
        """Name and labels but ``library`` -> value, read by a parser that is not ours."""
        return {(sample.name, *sorted(value for name, value in sample.labels.items() if name != "library")): sample.value
                for family in text_string_to_metric_families(self.text()) for sample in family.samples}

    def phase(self) -> str:
        (phase,) = [key[1] for key, value in self.samples().items() if key[0] == "dhash_run_phase" and value == 1]
        return phase


@pytest.fixture
def watched(library: SmallLibrary, decoded_here: list[str], tmp_path: Path) -> Watched:
    """A library of five pictures and a missing one, not yet migrated."""
    for number in range(5):
        library.add(f"{number}.png", seed=number)
    library.add("gone.png")
    library.write()
    folder = tmp_path / "textfile"
    folder.mkdir()
    return Watched(library, folder)


# Libraries that are gone.


@pytest.fixture
def moved(new_library: Callable[[object], SmallLibrary], tmp_path: Path, decoded_here: list[str]) -> tuple[Watched, Watched, Path]:
    """A library that was moved, with its old metrics, beside two files that are not its own."""
    folder, state_dir = tmp_path / "textfile", str(tmp_path / "states")
    folder.mkdir()

    def at(library: SmallLibrary) -> Watched:
        library.state = Path(run_record.folder(state_dir, str(library.path)))
        return Watched(library, folder)

    old, new = at(new_library("old")), at(new_library("new"))
    old.library.add("a.png", seed=1)
    old.library.write()
    old.run()
    old.deploy()
    cutover.verified(str(old.library.path), str(old.library.state), check=False)
    (folder / "mobius-dhash-other-0123456789ab.prom").write_text("of another host")
    (folder / "node.prom").write_text("of another exporter")
    new.library.folder.rmdir()
    return old, new, folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_metrics_of_a_library_that_was_moved_are_removed(moved: tuple[Watched, Watched, Path]) -> None:
    old, new, folder = moved
    os.rename(old.library.folder, new.library.folder)
    before = names(folder)
    new.run()
    gone, made = os.path.basename(old.metrics().path), os.path.basename(new.metrics().path)
    assert names(folder) == before - {gone} | {made}
    assert new.warnings == []


def test_the_metrics_of_a_library_that_is_there_stay(moved: tuple[Watched, Watched, Path]) -> None:
    old, new, folder = moved
    shutil.copytree(old.library.folder, new.library.folder)
    before = names(folder)
    new.run()
    assert before < names(folder)


# What a migration tells.


def test_a_migration_tells_what_came_of_every_image(watched: Watched) -> None:
    watched.run()
    samples = watched.samples()
    assert {key[1]: value for key, value in samples.items() if key[0] == "dhash_run_images"} == {"hashed": 5, "known": 0, "failed": 1}
    errors = {key[1]: value for key, value in samples.items() if key[0] == "dhash_errors"}
    assert errors == {kind: float(kind == "missing") for kind in prometheus_text.KINDS}
    assert (samples["dhash_images",], samples["dhash_hashed_images",], samples["dhash_run_pending_images",]) == (6, 0, 0)


def test_percentile_and_average_are_those_of_the_report(watched: Watched) -> None:
    result = watched.run()
    samples = watched.samples()
    assert 1000 * samples["dhash_run_hash_duration_p95_seconds",] == pytest.approx(result["p95_ms"])
    assert 1000 * samples["dhash_run_hash_duration_average_seconds",] == pytest.approx(result["average_ms"])
    assert samples["dhash_run_timed_images",] == 5


def test_what_the_run_took_of_the_host_is_told(watched: Watched) -> None:
    result = watched.run()
    samples, sizes = watched.samples(), [watched.library.folder.joinpath(f"{number}.png").stat().st_size for number in range(5)]
    assert samples["dhash_run_read_bytes",] == sum(sizes)
    assert samples["dhash_run_peak_memory_bytes",] > 1 << 20
    assert samples["dhash_run_cpu_seconds", "parent"] == result["resources"]["parent_cpu_seconds"] > 0
    assert samples["dhash_run_duration_seconds",] > 0


def test_the_library_is_named_by_its_real_path_in_every_series(watched: Watched) -> None:
    watched.run()
    labels = {sample.labels["library"] for family in text_string_to_metric_families(watched.text()) for sample in family.samples}
    assert labels == {os.path.realpath(watched.library.path)}


def test_metrics_of_the_live_library_change_only_with_the_deploy(watched: Watched) -> None:
    watched.run()
    assert watched.samples()["dhash_hashed_images",] == 0
    watched.deploy()
    assert watched.samples()["dhash_hashed_images",] == 5
    assert (watched.samples()["dhash_restart_owed",], watched.phase()) == (1, "deployed")


def test_only_a_verification_is_a_success(watched: Watched) -> None:
    watched.run()
    watched.deploy()
    assert ("dhash_last_success_timestamp_seconds",) not in watched.samples()
    watched.verify()
    assert watched.samples()["dhash_last_success_timestamp_seconds",] == pytest.approx(time.time(), abs=60)
    assert (watched.samples()["dhash_restart_owed",], watched.phase()) == (0, "verified")


def test_verification_with_nothing_to_clear_is_a_success(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.run()
    watched.deploy()
    watched.verify()
    before = watched.samples()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    watched.verify()
    after = watched.samples()
    assert {key[0] for key in after if after[key] != before.get(key)} == {
        "dhash_last_success_timestamp_seconds", "dhash_last_progress_timestamp_seconds"}


def test_rolled_back_library_is_not_a_successful_migration(watched: Watched) -> None:
    watched.run()
    watched.deploy()
    record = present(watched.library.record())
    run_record.write(str(watched.library.state), record._replace(operation=run_record.RESTORE))
    watched.verify()
    assert ("dhash_last_success_timestamp_seconds",) not in watched.samples()


@pytest.mark.parametrize("end", ["failed", "hashing"])
def test_verification_does_not_hide_images_awaiting_a_migration(watched: Watched, end: str) -> None:
    watched.run()
    watched.deploy()
    watched.verify()
    library = watched.library
    library.reload()
    library.add("new.png", seed=9)
    library.write()
    metrics = watched.metrics()
    metrics.started()
    if end == "failed":
        metrics.failed()
    heard = watched.samples()["dhash_last_progress_timestamp_seconds",]
    watched.verify()
    assert (watched.phase(), watched.samples()["dhash_last_progress_timestamp_seconds",]) == (end, heard)
    library.value["images"].pop()
    library.write()
    watched.verify()  # nothing is left for a migration to do
    assert watched.phase() == "verified"


def test_the_start_is_published_before_anything_is_hashed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def fail(*_arguments: object, **_options: object) -> NoReturn:
        told.append(watched.phase())
        raise ZeroDivisionError

    monkeypatch.setattr(migration_run, "_run", fail)
    with pytest.raises(ZeroDivisionError):
        watched.run()
    assert told == ["hashing"]
    assert watched.samples()["dhash_last_start_timestamp_seconds",] == pytest.approx(time.time(), abs=60)


def test_a_migration_that_fails_is_told(watched: Watched) -> None:
    watched.run()
    watched.library.path.write_bytes(b"{")
    with pytest.raises(DhashError):
        watched.run()
    assert watched.phase() == "failed"
    assert watched.samples()["dhash_run_images", "hashed"] == 5  # of the last one that came to its end


def test_run_that_finds_the_lock_taken_keeps_the_owners_metrics(watched: Watched) -> None:
    watched.run()
    watched.metrics().started()
    before = watched.text()
    with locking.lock(str(watched.library.path), "migration", "another", 0), pytest.raises(LockedError):
        watched.run()
    assert watched.text() == before


def test_a_long_run_tells_now_and_then_how_much_is_left(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = watched.metrics()
    metrics.started()
    metrics.progress(1, 9)
    assert ("dhash_run_pending_images",) not in watched.samples()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + metrics_file.SECONDS_BETWEEN_SIGNS)
    metrics.progress(2, 9)
    assert watched.samples()["dhash_run_pending_images",] == 7


@pytest.mark.parametrize("trial", [{"dry_run": True}, {"limit": 3}])
def test_a_trial_has_no_metrics(watched: Watched, trial: dict[str, Any]) -> None:
    watched.run(**trial)
    assert list(watched.folder.iterdir()) == []


def test_without_a_folder_nothing_is_kept(watched: Watched) -> None:
    migration_run.run(watched.library.settings(), lambda run_record: None, metrics_file.Metrics(None, str(watched.library.path),
                                                                                                str(watched.library.state), watched.warnings.append))
    assert not (watched.library.state / metrics_file.NAME).exists()


# The histogram is a counter.


def buckets(samples: dict[tuple[str, ...], float]) -> list[float]:
    counted = {key[1]: value for key, value in samples.items() if key[0] == "dhash_hash_duration_seconds_bucket"}
    return [counted[bound] for bound in sorted(counted, key=float)]


def test_histogram_is_cumulative_and_its_bounds_are_the_targets(watched: Watched) -> None:
    result = watched.run()
    samples = watched.samples()
    counts = buckets(samples)
    assert counts == sorted(counts) and counts[-1] == 5 == samples["dhash_hash_duration_seconds_count",]
    assert [after - before for before, after in zip([0, *counts], counts)] == list(result["times"].values())
    assert {0.05, 0.1, 0.2} <= set(run_measurements.BUCKETS)


def test_histogram_counts_each_image_once_over_all_runs(watched: Watched) -> None:
    watched.run()
    first = watched.samples()
    watched.run()
    assert buckets(watched.samples()) == buckets(first)
    watched.library.add("new.png", seed=9)
    watched.library.write()
    watched.run()
    third = watched.samples()
    assert third["dhash_hash_duration_seconds_count",] == 6
    assert all(now >= before for now, before in zip(buckets(third), buckets(first)))
    assert third["dhash_hash_duration_seconds_sum",] > first["dhash_hash_duration_seconds_sum",]
    assert (third["dhash_run_images", "hashed"], third["dhash_run_images", "known"]) == (1, 5)


def test_images_of_a_killed_or_dry_run_are_counted_by_the_next(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.run(dry_run=True)
    watched.run()
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 5
    watched.library.add("new.png", seed=9)
    watched.library.write()
    with monkeypatch.context() as killed:
        killed.setattr(migration_run, "_hashed", lambda *_arguments, **_options: os._exit(9))
        child = os.fork()
        if child == 0:
            watched.run()
        os.waitpid(child, 0)
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 5
    watched.run()
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 6


# The review.


def test_a_review_shortens_the_queue(watched: Watched) -> None:
    metrics = watched.metrics()
    metrics.queued(150)
    metrics.judged(60, left=40)  # of a hundred that were exported
    assert watched.samples()[metrics_file.QUEUE,] == 90
    assert metrics_file.queue_length(str(watched.library.state)) == 90


def test_the_queue_is_known_from_the_last_export_without_metrics(watched: Watched) -> None:
    state = watched.library.state
    assert metrics_file.queue_length(str(state)) is None
    state.mkdir()
    (state / "review-0123456789ab.json").write_text(json.dumps({"counts": {"total_matches": 7}}), encoding="utf-8")
    assert metrics_file.queue_length(str(state)) == 7


# The file.


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_exporter_can_read_the_file_whatever_the_umask(watched: Watched, umask: int) -> None:
    before = os.umask(umask)
    try:
        watched.run()
    finally:
        os.umask(before)
    assert stat.S_IMODE(watched.file.stat().st_mode) == 0o644


def test_exporter_never_reads_a_partly_written_file(watched: Watched) -> None:
    assert not durable.temporary_name(watched.metrics().path).endswith(".prom")


def test_nothing_else_is_left_in_the_folder(watched: Watched) -> None:
    watched.run()
    assert [file.name for file in watched.folder.iterdir()] == [watched.file.name]


def test_libraries_of_one_host_have_files_with_the_same_help(
        new_library: Callable[[object], SmallLibrary], tmp_path: Path, decoded_here: list[str]) -> None:
    libraries = [Watched(new_library(f"{place}/media"), tmp_path) for place in ("one", "other")]
    for watched in libraries:
        watched.library.write()
        watched.run()
    files = sorted(tmp_path.glob("*.prom"))
    assert len(files) == 2
    one, other = ([line for line in file.read_text().splitlines() if line.startswith("#")] for file in files)
    assert one == other


@pytest.mark.parametrize("name", ODD)
def test_a_hostile_path_is_one_label(new_library: Callable[[object], SmallLibrary], tmp_path: Path, decoded_here: list[str], name: str) -> None:
    watched = Watched(new_library(name), tmp_path)
    watched.library.add("0.png", seed=0)
    watched.library.write()
    watched.run()
    families = list(text_string_to_metric_families(watched.text()))
    assert {sample.labels["library"] for family in families for sample in family.samples} == {os.path.realpath(watched.library.path)}


def test_a_path_that_is_no_utf_8_is_published_escaped(watched: Watched) -> None:
    known = {"library": "/srv/\udcff.json", "series": {"dhash_images": 1}, "build": {}, "durations": {"bounds": [1], "counts": [0, 0], "sum": 0}}
    assert 'dhash_images{library="/srv/\\\\udcff.json"} 1\n' in prometheus_text.render(known)


# A by-product.


@pytest.mark.parametrize("cause", ["missing", "a file"])
def test_missing_metrics_folder_is_one_warning_and_no_failure(watched: Watched, cause: str) -> None:
    watched.folder.rmdir()
    if cause == "a file":
        watched.folder.write_bytes(b"")
    assert watched.run()["hashed"] == 5
    assert watched.warnings == [f"The metrics were not published: {watched.folder}: the folder for metrics does not exist."
                                " Create this folder, or correct dhash_metrics_dir."]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_a_warning(watched: Watched) -> None:
    watched.folder.chmod(0o500)
    assert watched.run()["hashed"] == 5
    assert len(watched.warnings) == 1 and str(watched.folder) in watched.warnings[0]


def test_a_full_disk_is_a_warning_and_leaves_what_was_published(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.run()
    before = watched.text()
    write = durable.write

    def full(path: str, *arguments: Any, **options: Any) -> str:
        if path.endswith(".prom"):
            raise DhashError("could not write the file: No space left on device", path, "Free space on this file system, then run again.")
        return write(path, *arguments, **options)

    monkeypatch.setattr(durable, "write", full)
    assert watched.run()["hashed"] == 5
    assert watched.warnings == [f"The metrics were not published: {watched.file}: could not write the file: No space left on device."
                                " Free space on this file system, then run again."]
    assert watched.text() == before


def test_a_crash_between_the_two_writes_is_made_good_by_the_next(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.run()
    watched.library.add("new.png", seed=9)
    watched.library.write()
    counts = json.loads((watched.library.state / metrics_file.NAME).read_text())["durations"]["counts"]

    def die_with_new_counts(known: dict[str, Any]) -> str:
        if known["durations"]["counts"] != counts:
            os.kill(os.getpid(), signal.SIGKILL)
        return ""

    with monkeypatch.context() as crash:
        crash.setattr(prometheus_text, "render", die_with_new_counts)
        process = multiprocessing.get_context("fork").Process(target=watched.run)
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert watched.text() == "" or watched.samples()["dhash_hash_duration_seconds_count",] == 5
    watched.run()
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 6


def test_metrics_of_a_newer_format_are_left_alone(watched: Watched) -> None:
    watched.run()
    path = watched.library.state / metrics_file.NAME
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    known = path.read_bytes()
    watched.run()
    assert path.read_bytes() == known
    assert any("written by a newer mobius.dhash" in warning for warning in watched.warnings)


def test_metrics_that_lack_a_part_keep_the_others(watched: Watched) -> None:
    watched.run()
    path = watched.library.state / metrics_file.NAME
    known = json.loads(path.read_text())
    del known["format"], known["build"], known["library"]
    path.write_text(json.dumps({**known, "more": 1}))
    watched.run()
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 5
    assert not watched.warnings


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"library": 1, "series": {}, "build": {}, "durations": {}}',
                                     b'{"library": "x", "series": {"dhash_images": "1} evil 2"}, "build": {}, "durations": {}}'])
def test_what_is_known_and_damaged_is_begun_anew(watched: Watched, content: bytes) -> None:
    watched.run()
    (watched.library.state / metrics_file.NAME).write_bytes(content)
    watched.run()
    assert watched.samples()["dhash_hash_duration_seconds_count",] == 5
    assert any("damaged" in warning for warning in watched.warnings)
