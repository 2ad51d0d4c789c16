# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State directories of the last version that wrote no format into its state files: read, and acted upon.

``golden/state-before-format`` has a folder for each phase and each kind of operation, with the record and the
libraries of that moment, and ``host`` with the other state files. They cannot be made again: nothing writes them today.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, path_rules, run_record, unfinished_work
from ansible_collections.mobius.dhash.plugins.module_utils._errors import RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, file_stamps, row_files
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shard_files
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file
from conftest import present

GOLDEN = Path(__file__).parents[3] / "golden" / "state-before-format"
CASES = sorted(folder.name for folder in GOLDEN.iterdir() if "-" in folder.name)
UNDEPLOYED = [case for case in CASES if case.endswith(("-prepared", "-announced"))]


@pytest.fixture
def host(golden_host: Callable[[str], tuple[str, str]]) -> Callable[[str], tuple[str, str]]:
    return golden_host


@pytest.mark.parametrize("case", CASES)
def test_a_record_without_format_is_read_as_it_was(host: Callable[[str], tuple[str, str]], case: str) -> None:
    _library, state = host(case)
    record = present(run_record.read(state))
    assert f"{record.operation}-{record.phase}" == case
    assert record.restart_owed is (record.phase not in (run_record.PREPARED, run_record.VERIFIED))
    assert record[-9:] == (None, [], None, None, None, None, False, None, False)


@pytest.mark.parametrize("case", CASES)
def test_an_operation_without_format_is_finished_and_verified(host: Callable[[str], tuple[str, str]], case: str) -> None:
    library, state = host(case)
    wanted = present(run_record.read(state)).new_sha256
    _redeploy.run(library, state, 0)
    assert durable.sha256_of_file(library) == wanted
    cutover.verified(library, state, check=False)
    record = present(run_record.read(state))
    assert (record.phase, record.restart_owed) == (run_record.VERIFIED, False)


@pytest.mark.parametrize("case", UNDEPLOYED)
def test_settings_without_names_prepare_an_edited_library_again(host: Callable[[str], tuple[str, str]], case: str) -> None:
    library, state = host(case)
    text = Path(library).read_text()
    is_restore = "restore" in case  # which refuses to lose an edit
    edited = f"{text}\n" if is_restore else text.replace('"rating": 4', '"rating": 5')
    Path(library).write_text(edited)
    _redeploy.run(library, state, 0)
    assert is_restore or Path(library).read_text().count('"rating": 5') == edited.count('"rating": 5')
    assert present(run_record.read(state)).phase == run_record.DEPLOYED


def test_a_watch_without_format_still_waits_to_be_acted_upon(host: Callable[[str], tuple[str, str]]) -> None:
    _library, state = host("migration-verified")
    assert present(watch_record.read(state)).evidence["polls"] == ["12:03:20 not well"]
    assert present(watch_record.summary(state))["waits"]


def test_a_journal_without_format_is_not_hashed_again(host: Callable[[str], tuple[str, str]]) -> None:
    library, state = host("migration-prepared")
    file = Path(library).with_name("a.png")
    with hash_journal.open_for_writing(state, "pillow", "")[0] as journal:
        assert journal.knows("/srv/mobius/a.png") and not journal.knows(str(file))
        assert present(journal.known("/srv/mobius/a.png", file_stamps.stamp_of(file.stat()))).dhash


def test_metrics_without_format_are_counted_on(host: Callable[[str], tuple[str, str]], tmp_path: Path) -> None:
    library, state = host("migration-verified")
    warnings: list[str] = []
    metrics = metrics_file.Metrics(str(tmp_path), library, state, warnings.append)
    metrics.queued(7)
    assert not warnings
    assert f'dhash_run_timed_images{{library="{library}"}} 3' in Path(metrics.path).read_text()
    assert f'dhash_hash_duration_seconds_count{{library="{library}"}} 3' in Path(metrics.path).read_text()


def test_a_rehearsal_without_format_counts(host: Callable[[str], tuple[str, str]]) -> None:
    _library, state = host("migration-prepared")
    assert present(run_record.last_rehearsal(state)) < datetime.now(timezone.utc)


@pytest.mark.parametrize(("kind", "parse"), [(handover.PENDING, shard_files._to_listed), (handover.ENTRIES, shard_files._to_entry)])
def test_a_handover_without_format_is_taken(host: Callable[[str], tuple[str, str]], kind: str, parse: Callable[[list[Any]], object]) -> None:
    _library, state = host("migration-prepared")
    assert row_files.require_sound(handover.path_in(state, kind), kind, parse)["algorithm"] == "pillow"


@pytest.mark.parametrize("case", ["review_import-prepared", "review_reversal-prepared"])
def test_staged_review_in_place_of_the_folder_is_named(host: Callable[[str], tuple[str, str]], case: str) -> None:
    library, state = host(case)
    run = present(run_record.read(state)).run
    option = f"-e dhash_review_dir={library}.review.d."
    (problem,) = path_rules.problems(library, state, {"review_dir": None})
    assert problem.variable == "dhash_review_dir" and run in problem.cause and "which is unfinished" in problem.cause
    assert f"ansible-playbook mobius.dhash.review_import {option}" in problem.next_step and f"remove {library}.review." in problem.next_step
    with pytest.raises(RefusedError) as refused:
        unfinished_work.require_finished(library, state, [])
    assert run in str(refused.value) and option in str(refused.value) and "mobius.dhash.review_import" in str(refused.value)
    assert list(path_rules.problems(library, state, {"review_dir": f"{library}.review.d"})) == []


def test_deployed_review_hides_no_file_at_the_folders_path(host: Callable[[str], tuple[str, str]]) -> None:
    library, state = host("review_import-prepared")
    _redeploy.run(library, state, 0)
    Path(f"{library}.review").write_text("notes\n")
    assert {problem.cause for problem in path_rules.problems(library, state, {"review_dir": None})} == {f"{library}.review is a file, not a folder"}
