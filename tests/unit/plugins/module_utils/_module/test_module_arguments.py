# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _inspection
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, MissingRequirementError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, respawn


class Respawned(Exception):
    """In the place of a call that does not return."""


@pytest.fixture
def respawned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Raise Respawned with the Python that is gone on in; tell ``has_respawned`` what its one element says."""
    def go_on_in(python: str) -> None:
        raise Respawned(python)

    already = [False]
    monkeypatch.setattr(respawn, "respawn_module", go_on_in)
    monkeypatch.setattr(respawn, "has_respawned", lambda: already[0])
    return already


def test_library_and_its_state_are_those_of_the_linked_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "library.json").write_bytes(b"")
    (tmp_path / "link").symlink_to("real")
    params = [{"library": str(tmp_path / name / "library.json"), "state_dir": str(tmp_path / "state")} for name in ("real", "link")]
    assert module_arguments.library_and_state(params[0]) == module_arguments.library_and_state(params[1])
    assert module_arguments.library_and_state(params[1])[0] == str(tmp_path / "real" / "library.json")


def test_library_that_became_another_file_is_refused(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "library.json"
    real.write_bytes(b"")
    link.symlink_to(real)
    params = {"library": str(link), "state_dir": str(tmp_path / "state"), "real_path": str(real)}
    assert module_arguments.library_and_state(params)[0] == str(real)
    link.unlink()
    link.write_bytes(b"")
    with pytest.raises(RefusedError) as caught:
        module_arguments.library_and_state(params, reads_only=True)
    assert str(caught.value).startswith(f"{link}: the library is another file now: {link}, was {real}. ")
    assert f"ln -s {real} {link}" in str(caught.value.next_step) and "mobius.dhash.verify" not in str(caught.value.next_step)


@pytest.mark.parametrize(("name", "is_text"), [("real.json", True), ("it's the 2nd.json", False)])
def test_suggested_verify_command_works_as_printed(tmp_path: Path, name: str, is_text: bool) -> None:
    real, link, state_dir = tmp_path / name, tmp_path / "library.json", str(tmp_path / "state")
    (tmp_path / "state").mkdir()
    real.write_bytes(b"")
    link.write_bytes(b"")
    service = {"manager": "command", "name": None, "library": str(link), "since": "2026-01-31T12:00:00Z"}
    run_record.write(run_record.folder(state_dir, str(real)), run_record.Record(
        "1", run_record.MIGRATION, run_record.ANNOUNCED, str(real), "", "", "0" * 64, "1" * 64, True, {}, service=service))
    found = _inspection.pending_elsewhere(str(link), str(link), run_record.folder(state_dir, str(link)))
    assert found is not None and found.library == str(real)
    value = shlex.split(module_arguments.verify_command(found.library))[-1]
    assert value == f"dhash_library={real}" if is_text else json.loads(value) == {"dhash_library": str(real)}
    assert _inspection.pending_elsewhere(str(link), str(real), run_record.folder(state_dir, str(real))) is None


def test_backup_can_be_read_by_name_but_not_changed(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_bytes(b"")
    backup = tmp_path / "library.json.bak.20260131T120000Z"
    backup.write_bytes(b"")
    params = {"library": str(backup), "state_dir": str(tmp_path / "state")}
    with pytest.raises(RefusedError, match="this name belongs to the library"):
        module_arguments.library_and_state(params)
    assert module_arguments.library_and_state(params, reads_only=True)[0] == str(backup)
    assert module_arguments.library_and_state(params, check_places=False)[0] == str(backup)


def test_the_limits_are_those_that_were_asked_for() -> None:
    params = {"image_timeout": 5, "max_image_bytes": 6, "max_image_pixels": 7, "worker_memory": 8, "worker_user": "me", "require_sandbox": True,
              "nice": 9, "io_class": "none"}
    assert module_arguments.limits(params) == decoder_limits.Limits(
        seconds=5, file_bytes=6, pixels=7, memory_bytes=8, worker_user="me", require_sandbox=True, nice=9, io_class="none")


def test_the_limits_are_by_default_those_of_the_engine() -> None:
    options: dict[str, Any] = {**module_arguments.HASHING}
    assert module_arguments.limits({name: option.get("default") for name, option in options.items()}) == decoder_limits.Limits(worker_user="nobody")


@pytest.mark.parametrize("nothing", [None, []])
def test_images_are_beside_the_library_unless_roots_are_named(tmp_path: Path, nothing: list[Any] | None) -> None:
    assert module_arguments.media_roots({"media_roots": nothing}, str(tmp_path / "library.json")) == (os.path.realpath(tmp_path),)


def test_media_roots_are_the_real_folders_behind_the_links(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "media").symlink_to("disk")
    roots = module_arguments.media_roots({"media_roots": [str(tmp_path / "media"), "/"]}, "/srv/library.json")
    assert roots == (os.path.realpath(tmp_path / "disk"), "/")


@pytest.mark.parametrize("name", ["gone", "file"])
def test_unmounted_media_root_is_an_error_not_missing_images(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DhashError) as caught:
        module_arguments.media_roots({"media_roots": [str(tmp_path), str(tmp_path / name)]}, "/srv/library.json")
    assert caught.value.path == str(tmp_path / name)
    assert "dhash_media_roots" in str(caught.value.next_step)


def test_workers_default_to_one_per_usable_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 3, 5}, raising=False)
    assert module_arguments.parallel({"parallel": 7}) == 7
    assert module_arguments.parallel({"parallel": None}) == 3


def test_workers_default_to_all_cores_if_the_usable_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert module_arguments.parallel({"parallel": None}) == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert module_arguments.parallel({"parallel": None}) == 1


def test_a_module_goes_on_in_the_python_that_is_named(tmp_path: Path, respawned: list[Any]) -> None:
    python = tmp_path / "python"
    python.touch(mode=0o755)
    with pytest.raises(Respawned) as caught:
        respawn.respawn_if_needed(str(python), check_mode=False)
    assert caught.value.args == (str(python),)


def test_module_respawns_only_once_and_only_for_another_python(respawned: list[Any]) -> None:
    respawn.respawn_if_needed(None, check_mode=False)
    respawn.respawn_if_needed(sys.executable, check_mode=False)
    respawned[0] = True
    respawn.respawn_if_needed("/bin/sh", check_mode=False)


def test_a_module_goes_on_with_utf8_paths_whatever_the_locale(tmp_path: Path, respawned: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    python = tmp_path / "python"
    python.touch(mode=0o755)
    for named, gone_on_in in ((None, sys.executable), (str(python), str(python))):
        with pytest.raises(Respawned) as caught:
            respawn.respawn_if_needed(named, check_mode=False)
        assert caught.value.args == (gone_on_in,)
        assert os.environ["PYTHONUTF8"] == "1"


def test_missing_python_is_named_with_the_role_that_installs_it(tmp_path: Path, respawned: list[Any]) -> None:
    with pytest.raises(MissingRequirementError) as caught:
        respawn.respawn_if_needed(str(tmp_path / "python"), check_mode=False)
    assert caught.value.path == str(tmp_path / "python")
    assert "prerequisites" in str(caught.value.next_step)


def test_check_mode_on_a_fresh_host_needs_no_installed_python(tmp_path: Path, respawned: list[Any]) -> None:
    respawn.respawn_if_needed(str(tmp_path / "python"), check_mode=True)
