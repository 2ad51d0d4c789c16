# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _rehearsal
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, rollback_plan, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, locking
from conftest import SmallLibrary, present


@pytest.fixture
def library(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library of five pictures, one of them missing, with fields of others."""
    fields: dict[str, Any] = {"täg": [0.5, None]}
    for number in range(5):
        library.add(f"média/{number}.png", seed=number if number != 3 else None, **fields)
    library.write()
    (library.folder / "library.json.lock").touch()  # it is never removed
    return library


@pytest.fixture
def all_but_the_lock(library: SmallLibrary, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> Callable[[], dict[str, tuple[Any, ...]]]:
    return lambda: {name: what for name, what in tree(library.folder).items() if not name.endswith(".lock")}


def rehearse(library: SmallLibrary, images: int = 100, recipients: Sequence[str] = ()) -> dict[str, Any]:
    return _rehearsal.rehearse(library.settings(), images, recipients, lambda _progress: None)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_rehearsal_leaves_nothing_but_its_note(
        library: SmallLibrary, all_but_the_lock: Callable[[], dict[str, tuple[Any, ...]]], request: pytest.FixtureRequest, encrypted: bool) -> None:
    recipients = [request.getfixturevalue("age_key")[1]] if encrypted else []
    before = all_but_the_lock()
    result = rehearse(library, recipients=recipients)
    assert (result["images"], result["hashed"], result["errors"]) == (5, 4, 1)
    assert all_but_the_lock() == before
    assert sorted(os.listdir(library.state)) == ["rehearsal.json", "rehearsal.lock"]
    rehearsed = present(run_record.last_rehearsal(str(library.state)))
    assert datetime.now(timezone.utc) - rehearsed < timedelta(minutes=5)
    assert rehearsed.strftime(run_record.TIME) == result["rehearsed_at"]


def test_it_takes_the_first_images_only(library: SmallLibrary) -> None:
    assert rehearse(library, images=2)["images"] == 2


def test_migrated_library_is_rehearsed_like_an_unmigrated_one(library: SmallLibrary) -> None:
    library.run()
    library.deploy()
    live, record = library.path.read_bytes(), library.record()
    assert rehearse(library)["hashed"] == 4
    assert (library.path.read_bytes(), library.record()) == (live, record)


def test_what_a_killed_rehearsal_left_is_removed(library: SmallLibrary) -> None:
    scratch = library.state / "rehearsal" / "srv"
    scratch.mkdir(parents=True)
    (scratch / "library.json").write_text("left")
    rehearse(library)
    assert sorted(os.listdir(library.state)) == ["rehearsal.json", "rehearsal.lock"]


@pytest.mark.parametrize("fault", [
    lambda patch: patch.setattr(rollback_plan, "_without_dhash", lambda library, real=rollback_plan._without_dhash: (
        real(library)._replace(text=b'{"images": []}'))),
    lambda patch: patch.setattr(cutover, "_keep_what_came_out", lambda library, record: durable.remove(record.kept)),
])
def test_failed_rollback_fails_the_rehearsal_and_leaves_no_note(
        library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None],
        all_but_the_lock: Callable[[], dict[str, tuple[Any, ...]]]) -> None:
    before = all_but_the_lock()
    fault(monkeypatch)
    with pytest.raises(DhashError):
        rehearse(library)
    assert run_record.last_rehearsal(str(library.state)) is None
    assert not (library.state / "rehearsal").exists()
    assert all_but_the_lock() == before


def test_it_does_not_run_beside_another_operation(library: SmallLibrary) -> None:
    with locking.lock(str(library.path), "migration", "run", 0), pytest.raises(LockedError, match="in use by migration"):
        rehearse(library)


def test_a_note_that_cannot_be_read_is_none(library: SmallLibrary) -> None:
    library.state.mkdir()
    (library.state / "rehearsal.json").write_text("{")
    assert run_record.last_rehearsal(str(library.state)) is None
