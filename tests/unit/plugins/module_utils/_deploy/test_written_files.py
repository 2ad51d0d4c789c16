# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only files that the collection has written are overwritten or removed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _preflight
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, rollback_plan, run_record, written_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_import

FOREIGN = b'{"images": [{"path": "a.jpg", "dhash": "0F1E2D3C4B5A6978"}, {"path": "b.jpg"}]}'


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def interrupt(*_names: str) -> None:
    raise KeyboardInterrupt


def test_what_was_written_is_known_by_path_and_content(tmp_path: Path, state: str) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    written_files.write(state, str(file), [b"one"])
    other.write_bytes(b"one")
    assert written_files.is_ours(state, str(file)) and not written_files.is_ours(state, str(other))
    file.write_bytes(b"edited")
    assert written_files.is_foreign(state, str(file))


def test_a_link_to_a_missing_file_is_not_ours(tmp_path: Path, state: str) -> None:
    file = tmp_path / "file"
    written_files.write(state, str(file), [b"one"])
    file.unlink()
    file.symlink_to("missing")
    assert written_files.is_foreign(state, str(file))


def test_a_file_of_ours_that_cannot_be_examined_is_an_error(tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    written_files.write(state, str(file), [b"one"])

    def unreadable(path: str) -> bool:
        raise DhashError("could not check whether the file exists: Input/output error", path, None)

    monkeypatch.setattr(durable, "is_file", unreadable)
    with pytest.raises(DhashError):
        written_files.remove(state, str(file))
    assert file.exists()


def test_a_kill_before_the_rename_leaves_the_old_file_ours(tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    written_files.write(state, str(file), [b"one"])
    for content in (b"two", b"three", b"four"):
        with monkeypatch.context() as context:
            context.setattr(os, "rename", interrupt)
            with pytest.raises(KeyboardInterrupt):
                durable.write(str(file), [content], before=lambda digest: _noted(state, str(file), digest, context))
        assert file.read_bytes() == b"one" and written_files.is_ours(state, str(file))
    written_files.write(state, str(file), [b"five"])
    assert written_files.is_ours(state, str(file))


def _noted(state: str, path: str, digest: str, context: pytest.MonkeyPatch) -> None:
    context.undo()
    written_files.note(state, path, digest)
    context.setattr(os, "rename", interrupt)


def test_a_kill_after_the_rename_leaves_the_new_file_ours(tmp_path: Path, state: str) -> None:
    noted = []

    def note(digest: str) -> None:
        noted.append(not (tmp_path / "file").exists())
        written_files.note(state, str(tmp_path / "file"), digest)

    durable.write(str(tmp_path / "file"), [b"one"], before=note)
    assert noted == [True] and written_files.is_ours(state, str(tmp_path / "file"))


def test_only_files_of_ours_are_removed(tmp_path: Path, state: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"theirs")
    assert not written_files.remove(state, str(file)) and file.exists()
    file.unlink()
    written_files.write(state, str(file), [b"ours"])
    assert written_files.remove(state, str(file)) and not file.exists()
    assert json.loads(Path(state, "written.json").read_text())["files"] == {}


def test_files_on_the_record_of_a_run_are_ours(tmp_path: Path, state: str) -> None:
    for name in ("output", "kept"):
        (tmp_path / name).write_bytes(name.encode())
    digests = [durable.sha256_of_file(str(tmp_path / name)) for name in ("output", "kept")]
    run_record.write(state, run_record.Record("run", run_record.MIGRATION, run_record.PREPARED, str(tmp_path / "library.json"), str(tmp_path / "output"),
                                              str(tmp_path / "kept"), digests[1], digests[0], False, {}))
    assert written_files.is_ours(state, str(tmp_path / "output")) and written_files.is_ours(state, str(tmp_path / "kept"))


def test_a_file_of_somebody_else_is_set_aside_over_nothing(tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0)
    report = tmp_path / "report.json"
    kept = []
    for content in (b"one", b"two"):
        report.write_bytes(content)
        kept.append(written_files.set_aside(state, str(report)))
    assert kept == [f"{report}.set-aside-19700101T00000{second}Z" for second in (0, 1)]
    assert [Path(str(path)).read_bytes() for path in kept] == [b"one", b"two"] and not report.exists()
    assert written_files.set_aside(state, str(report)) is None


@pytest.mark.parametrize(("name", "lock", "guess"), [
    ("library.dhash.json", False, "probably the output of the manual runbook's migrate:dhash, or a live library"),
    ("library.dhash.json", True, "used on it: probably a live library"),
    ("library.json.pre-dhash", False, "probably the library that the manual runbook replaced"),
])
def test_a_refusal_says_what_the_file_probably_is(tmp_path: Path, state: str, name: str, lock: bool, guess: str) -> None:
    file = tmp_path / name
    file.write_bytes(FOREIGN)
    if lock:
        (tmp_path / f"{name}.lock").touch()
    with pytest.raises(RefusedError) as refused:
        written_files.require_ours(state, str(file), "dhash_output")
    text = str(refused.value)
    assert text.startswith(f"{file}: this file was not written by this collection") and guess in text
    assert "the file is a library with 2 images, 1 of them with a hash" in text
    assert f"mv '{file}' '{file}.old'" in text and "dhash_output" in text


def test_suggested_move_command_works_and_overwrites_nothing(tmp_path: Path, state: str) -> None:
    file = tmp_path / "it's 5\" $HOME.pre-dhash"
    for content in ("one", "two", "three"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(RefusedError) as refused:
            written_files.require_ours(state, str(file))
        command = str(refused.value).partition("(")[2].rpartition(")")[0]
        subprocess.run(["/bin/sh", "-c", command], check=True)
        assert not file.exists()
    assert sorted(kept.read_text(encoding="utf-8") for kept in tmp_path.glob("it's*")) == ["one", "three", "two"]


@pytest.mark.parametrize("noted", [False, True])
def test_folder_in_place_of_a_file_is_refused_and_kept(tmp_path: Path, state: str, noted: bool) -> None:
    folder = tmp_path / "library.json.pre-dhash"
    if noted:
        written_files.note(state, str(folder), "0" * 64)
    (folder / "decisions").mkdir(parents=True)
    with pytest.raises(RefusedError) as refused:
        written_files.require_ours(state, str(folder))
    assert str(refused.value) == (f"{folder}: a folder is at the path of a file that this collection writes. If the file is not needed here, move it away"
                                  f" (mv '{folder}' '{folder}.old'), then run again.")
    assert not written_files.remove(state, str(folder)) and folder.is_dir()


def test_a_damaged_note_of_written_files_is_named(tmp_path: Path, state: str) -> None:
    Path(state).mkdir()
    Path(state, "written.json").write_text('{"files": 1}')
    with pytest.raises(DhashError, match="the list of written files is damaged"):
        written_files.is_ours(state, str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["library.json.pre-dhash", "library.json.rollback"])
def test_a_deploy_refuses_the_files_of_the_old_runbook(tmp_path: Path, state: str, name: str) -> None:
    library = tmp_path / "library.json"
    library.write_bytes(FOREIGN)
    (tmp_path / name).write_bytes(FOREIGN)
    with pytest.raises(RefusedError, match="was not written by this collection"):
        cutover.require_free_names(str(library), state)
    if name.endswith("rollback"):
        with pytest.raises(RefusedError, match="was not written by this collection"):
            rollback_plan.make_plan(str(library), state, str(tmp_path), rollback_plan.RollbackRequest("latest", True, False))
    with pytest.raises(RefusedError, match="was not written by this collection"):
        review_import.plan(str(library), state, [])


def test_a_staged_import_of_somebody_else_is_refused(tmp_path: Path, state: str) -> None:
    library = tmp_path / "library.json"
    library.write_bytes(FOREIGN)
    (tmp_path / "library.json.import").write_bytes(FOREIGN)
    with pytest.raises(RefusedError, match="was not written by this collection"):
        review_import.plan_reversal(str(library), state)


def test_a_verification_leaves_what_the_old_runbook_kept(tmp_path: Path, state: str) -> None:
    library, kept = tmp_path / "library.json", tmp_path / "library.json.pre-dhash"
    library.write_bytes(FOREIGN)
    kept.write_bytes(FOREIGN)
    run_record.write(state, run_record.Record("run", run_record.MIGRATION, run_record.DEPLOYED, str(library), str(tmp_path / "out"), str(kept), "0" * 64,
                                              "1" * 64, True, {}))
    assert cutover.verified(str(library), state, check=False)
    assert kept.read_bytes() == FOREIGN


def test_a_host_names_every_file_that_is_in_the_way(tmp_path: Path, state: str) -> None:
    library = tmp_path / "library.json"
    for name in ("library.json", "library.dhash.json", "library.json.pre-dhash"):
        (tmp_path / name).write_bytes(FOREIGN)
    needs = _preflight.Needs(str(library), "", str(tmp_path), None, None, False, None, None, state=state,
                             places={"output": None, "report": "library.json"}, controller={"dhash_fleet_status_file": str(library)})
    found = [(problem["id"], problem["what"]) for problem in _preflight._place_problems(needs)]
    assert found == [("path_refused", "another path in dhash_report"), ("path_refused", "another path in dhash_fleet_status_file"),
                     ("foreign_file", "a free name for dhash_output"), ("foreign_file", "a free name for a file of this collection")]


def test_a_host_refuses_a_backup_as_its_library(tmp_path: Path, state: str) -> None:
    backup = tmp_path / "library.json.bak.20260131T120000Z"
    for file in (tmp_path / "library.json", backup):
        file.write_bytes(FOREIGN)
    needs = _preflight.Needs(str(backup), "", str(tmp_path), None, None, False, None, None, state=state, places={})
    (found,) = _preflight._place_problems(needs)
    assert found == {"id": "path_refused", "scope": "hash", "installable": False, "what": "another path in dhash_library",
                     "found": f"{backup}: this name belongs to the library {tmp_path}/library.json",
                     "fix": "Set dhash_library to another path, then run again."}


def test_damaged_record_is_not_attributed_to_somebody_else(tmp_path: Path, state: str) -> None:
    library = tmp_path / "library.json"
    for name in ("library.json", "library.json.pre-dhash"):
        (tmp_path / name).write_bytes(FOREIGN)
    Path(state).mkdir(parents=True, exist_ok=True)
    (Path(state) / "written.json").write_text("{")
    needs = _preflight.Needs(str(library), "", str(tmp_path), None, None, False, None, None, state=state, places={})
    assert {problem["id"] for problem in _preflight._place_problems(needs)} == {"state_unreadable"}
