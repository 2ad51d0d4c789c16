# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _clock
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, hash_batches, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.hash_journal import Entry
from conftest import SmallLibrary

GONE = ImageError("missing", "the file does not exist", "Check the path.")
LIMITS = decoder_limits.Limits()


def pixels(brighter_to_the_right: bool = True, seconds: float = 0.0125) -> difference_hash.Pixels:
    """Of a picture that gets brighter, or darker, from left to right."""
    row = bytes(range(0, 90, 10)) if brighter_to_the_right else bytes(range(80, -10, -10))
    return difference_hash.Pixels(row * 8, bytes(72), "pillow", file_stamps.Stamp(10, 20), seconds)


def hash_now(paths: list[Path], root: Path) -> list[Entry]:
    return hash_batches.hash_now([str(path) for path in paths], "pillow", [str(root)], LIMITS, parallel=1, temp_dir=None)


def test_timestamp_is_utc_with_milliseconds_as_in_javascript() -> None:
    told = _clock.now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told)
    moment = datetime.strptime(told, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert abs((datetime.now(timezone.utc) - moment).total_seconds()) < 60


def test_each_result_becomes_an_entry_in_the_same_order() -> None:
    entries = hash_batches.entries([pixels(), GONE, pixels(brighter_to_the_right=False, seconds=0.12345678)])
    assert [(entry.dhash, entry.vertical, entry.decoder, entry.seconds) for entry in entries] == [
        ("F" * 16, "0" * 16, "pillow", 0.0125), (None, None, None, 0.0), ("0" * 16, "0" * 16, "pillow", 0.123457)]
    assert [(entry.kind, entry.error) for entry in entries] == [
        (None, None), ("missing", "the file does not exist. Check the path."), (None, None)]
    assert len({entry.hashed_at for entry in entries}) == 1


@pytest.mark.parametrize("results", [[], [GONE], [GONE, GONE]])
def test_batch_without_a_decodable_image_is_still_a_batch(results: list[Any]) -> None:
    assert [entry.kind for entry in hash_batches.entries(results)] == ["missing"] * len(results)


@pytest.mark.parametrize(("count", "batch_size", "sizes"), [(0, 3, []), (1, 3, [1]), (3, 3, [3]), (7, 3, [3, 3, 1]), (2, 1, [1, 1])])
def test_batches_have_the_requested_size_and_report_each_image(
        monkeypatch: pytest.MonkeyPatch, count: int, batch_size: int, sizes: list[int]) -> None:
    monkeypatch.setattr(worker_pool, "hash_files", lambda paths, *_args: ((key, pixels()) for key, _path in paths))
    seen = []
    batches = list(hash_batches.hash_in_batches(
        [str(number) for number in range(count)], "pillow", [], LIMITS, 1, None, batch_size, lambda path, _result: seen.append(path)))
    assert [len(batch) for batch in batches] == sizes
    assert [path for batch in batches for path, _result, _entry in batch] == seen == [str(number) for number in range(count)]


def test_a_batch_is_handed_over_before_the_next_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def hash_files(paths: list[tuple[str, str]], *_args: Any) -> Iterator[tuple[str, difference_hash.Pixels]]:
        for key, _path in paths:
            begun.append(key)
            yield key, pixels()

    monkeypatch.setattr(worker_pool, "hash_files", hash_files)
    batches = hash_batches.hash_in_batches(list("abcdef"), "pillow", [], LIMITS, 1, None, 2)
    next(batches)
    assert begun == ["a", "b"]


def test_the_workers_end_when_nobody_wants_more_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def hash_files(paths: list[tuple[str, str]], *_args: Any) -> Iterator[tuple[str, difference_hash.Pixels]]:
        try:
            for key, _path in paths:
                yield key, pixels()
        finally:
            ended.append(True)

    monkeypatch.setattr(worker_pool, "hash_files", hash_files)
    batches = hash_batches.hash_in_batches(list("abc"), "pillow", [], LIMITS, 1, None, 1)
    next(batches)
    batches.close()
    assert ended


def test_workers_hash_files_in_the_requested_order(library: SmallLibrary) -> None:
    files = [library.add(f"{number}.png", seed=number) for number in range(5)]
    files.insert(2, library.folder / "gone.png")
    entries = hash_now(files, library.folder)
    assert [entry.kind for entry in entries] == [None, None, "missing", None, None, None]
    assert all(re.fullmatch("[0-9A-F]{16}", str(text)) for entry in entries if not entry.kind for text in (entry.dhash, entry.vertical))
    assert len({entry.dhash for entry in entries}) == 6


def test_file_named_twice_is_hashed_once_and_reported_twice(library: SmallLibrary, decoded_here: list[str]) -> None:
    files = [library.add("a.png", seed=1), library.add("b.png", seed=2)]
    entries = hash_now([files[0], files[1], files[0]], library.folder)
    assert decoded_here == [str(files[0]), str(files[1])]
    assert entries[0] == entries[2] != entries[1]


def test_without_numpy_nothing_is_begun_and_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    for call in (difference_hash.require_numpy, lambda: next(hash_batches.hash_in_batches(["a"], "pillow", [], LIMITS, 1, None, 1))):
        with pytest.raises(MissingRequirementError) as caught:
            call()
        assert "numpy" in caught.value.cause
        assert "python3-numpy" in str(caught.value.next_step)


@pytest.mark.parametrize("module", ["library_info", "library_backup", "library_deploy", "library_rollback", "host_info"])
def test_a_module_that_hashes_nothing_does_not_load_numpy(module: str) -> None:
    loads = f"import sys, ansible_collections.mobius.dhash.plugins.modules.{module}; print('numpy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", loads], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


@pytest.mark.parametrize(("images", "workers"), [(1, 1), (20, 1), (21, 2), (100, 4)])
def test_a_small_sample_starts_few_workers(images: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hash_files(paths: list[tuple[str, str]], _algorithm: str, _roots: list[str], _limits: decoder_limits.Limits, parallel: int,
                   *_others: object) -> Iterator[tuple[str, ImageError]]:
        asked.append(parallel)
        for key, _path in paths:
            yield key, GONE

    monkeypatch.setattr(worker_pool, "hash_files", hash_files)
    hash_batches.hash_now([f"/{number}.png" for number in range(images)], "pillow", [], LIMITS, parallel=4, temp_dir=None)
    assert asked == [workers]
