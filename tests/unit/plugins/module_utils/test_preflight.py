# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import inspect
import json
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy
import PIL
import pytest
import yaml
from ansible_collections.mobius.dhash.plugins.module_utils import _preflight
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, sandbox
from ansible_collections.mobius.dhash.plugins.modules import host_info
from conftest import SmallLibrary, present
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 1, 31, 12, 30)  # a Saturday
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MONDAY = datetime(2026, 1, 26)


def problems(needs: _preflight.Needs, now: datetime = NOW) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _preflight.examine(needs, now)["problems"]
    assert all(problem["what"] and problem["found"] and problem["fix"] for problem in found)
    return found


def problem(needs: _preflight.Needs, now: datetime = NOW) -> dict[str, Any]:
    (found,) = problems(needs, now)
    return found


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have these programs on the PATH, each of which prints a text, and no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def provide(**texts: str) -> None:
        for path in folder.iterdir():
            path.unlink()
        for name, text in texts.items():
            (folder / name).write_text(f"#!/bin/sh\necho '{text}'\n")
            (folder / name).chmod(0o755)

    return provide


@pytest.fixture
def python_that_has(tmp_path: Path) -> Callable[..., str]:
    """Make a Python that has what is said, and nothing else."""
    def make(python: str = "3.11.2", pillow: str = "9.4.0", numpy: str = "1.24.2", ffmpeg_python: str = "present") -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\necho {python}\necho {pillow}\necho {numpy}\necho {ffmpeg_python}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def needs(library: SmallLibrary, programs: Callable[..., None], python_that_has: Callable[..., str]) -> _preflight.Needs:
    """What a host needs on which all is well."""
    library.add("media/a.png", seed=1)
    library.write()
    programs(ffmpeg="ffmpeg version 5.1.8-0+deb12u1 Copyright", ffprobe="ffprobe version n7.0")
    return _preflight.Needs(
        library=str(library.path), python=python_that_has(), backup_dir=str(library.folder), temp_dir=None, media_roots=None,
        ffmpeg_required=True, node_min_version=None, maintenance_window=None)


# What it finds.


def test_workers_beyond_the_open_files_limit_are_refused(needs: _preflight.Needs) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    (problem,) = _preflight.examine(needs._replace(parallel=hard), NOW)["problems"]
    assert str(hard) in problem["found"] and "dhash_parallel" in problem["fix"]


def test_sandbox_is_reported_and_a_problem_only_if_required(needs: _preflight.Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _preflight.examine(needs, NOW)["sandbox"]
    assert {*shown["in_force"], *(each["id"] for each in shown["missing"])} == set(sandbox.TOKENS)
    monkeypatch.setattr(sandbox, "_LIBC", None)
    assert problems(needs) == []
    found = problem(needs._replace(limits=decoder_limits.Limits(require_sandbox=True)))
    assert found["id"] == "sandbox_incomplete" and "landlock (only Linux has this)" in found["found"]


def test_a_host_that_has_everything_has_no_problems(needs: _preflight.Needs) -> None:
    assert problems(needs) == []


def test_the_versions_of_what_is_there_are_told(needs: _preflight.Needs, programs: Callable[..., None]) -> None:
    programs(ffmpeg="ffmpeg version 5.1.8-0+deb12u1 Copyright", ffprobe="ffprobe version n7.0", node="v20.11.1")
    versions = _preflight.examine(needs._replace(python=sys.executable, node_min_version="18"), NOW)["versions"]
    assert versions == {"python": platform.python_version(), "pillow": PIL.__version__, "numpy": numpy.__version__,
                        "ffmpeg_python": "present", "ffmpeg": "5.1.8", "ffprobe": "7.0", "node": "20.11.1"}


def test_a_python_with_a_safe_path_has_its_packages(needs: _preflight.Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    versions = _preflight.examine(needs._replace(python=sys.executable), NOW)["versions"]
    assert (versions["pillow"], versions["numpy"]) == (PIL.__version__, numpy.__version__)


def test_a_program_or_package_that_is_not_there_has_no_version(
        needs: _preflight.Needs, programs: Callable[..., None], python_that_has: Callable[..., str]) -> None:
    programs()
    needs = needs._replace(python=python_that_has(pillow=None), ffmpeg_required=False)
    versions = _preflight.examine(needs, NOW)["versions"]
    assert (versions["pillow"], versions["ffmpeg"], versions["ffprobe"]) == (None, None, None)


def test_looking_changes_nothing(needs: _preflight.Needs, tmp_path: Path, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(tmp_path)
    _preflight.examine(needs._replace(backup_dir=str(tmp_path / "new" / "backups")), NOW)
    assert tree(tmp_path) == before


def test_everything_that_is_missing_is_told_at_once(
        needs: _preflight.Needs, programs: Callable[..., None], python_that_has: Callable[..., str], tmp_path: Path) -> None:
    programs()
    found = problems(needs._replace(
        python=python_that_has(pillow=None, numpy=None, ffmpeg_python=None), node_min_version="18",
        media_roots=[str(tmp_path / "gone")], maintenance_window="Sun 01:00-02:00"))
    assert [entry["id"] for entry in found] == [
        "pillow_missing", "numpy_missing", "ffmpeg_missing", "ffprobe_missing", "ffmpeg_python_missing", "node_missing",
        "media_root_not_readable", "maintenance_window_closed"]


# The tokens that roles go by.


def test_every_token_is_documented() -> None:
    contains = yaml.safe_load(host_info.RETURN)["problems"]["contains"]
    assert contains["id"]["choices"] == list(_preflight.KINDS)
    assert contains["scope"]["choices"] == [_preflight.HASH, _preflight.MIGRATE]


def test_documented_table_has_every_token_with_its_scope() -> None:
    text = (Path(__file__).parents[4] / "docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| .* \| `(hash|migrate)` \| (.+) \|$", text, re.M)
    documented = {token: (scope, installable == "yes" or f"`{token}`" in installable)
                  for tokens, scope, installable in rows for token in re.findall("[a-z_]+", tokens)}
    assert documented == {token: tuple(kind) for token, kind in _preflight.KINDS.items()}


def test_every_documented_token_is_one_that_the_code_gives() -> None:
    """A token that is not in ``KINDS`` raises ``KeyError``; this is the other direction."""
    source = inspect.getsource(_preflight)
    of_folders = {f"{name}_{ending}" for name in _preflight.PURPOSES for ending in ("not_writable", "no_space")}
    of_versions = {f"{key}_{ending}" for key in _preflight.MINIMUM for ending in ("missing", "version")} | {"ffmpeg_missing", "ffprobe_missing"}
    assert [token for token in _preflight.KINDS if source.count(f'"{token}"') < 2 and token not in of_folders | of_versions] == []


def test_dhash_install_provides_packages_and_programs_only() -> None:
    assert {token for token, kind in _preflight.KINDS.items() if kind.installable} == {
        "python_missing", "pillow_missing", "pillow_version", "numpy_missing", "numpy_version", "ffmpeg_missing", "ffprobe_missing",
        "ffmpeg_python_missing", "age_missing"}


# Python and programs.


@pytest.mark.parametrize(("has", "token", "found"), [
    ({"python": "3.8.10"}, "python_version", "3.8.10"),
    ({"pillow": "8.4.0"}, "pillow_version", "8.4.0"),
    ({"pillow": None}, "pillow_missing", "not found"),
    ({"numpy": "1.23.5"}, "numpy_version", "1.23.5"),
    ({"numpy": None}, "numpy_missing", "not found"),
])
def test_what_python_lacks_is_told_with_the_python_that_lacks_it(
        needs: _preflight.Needs, python_that_has: Callable[..., str], has: dict[str, str | None], token: str, found: str) -> None:
    python = python_that_has(**has)
    assert problem(needs._replace(python=python))["id"] == token
    assert problem(needs._replace(python=python))["found"] == f"{found} in {python}"


@pytest.mark.parametrize("has", [
    {"python": "3.9.0"}, {"python": "3.14.0rc1"}, {"pillow": "9.0.0"}, {"pillow": "13.0.0"}, {"numpy": "1.24.0"},
    {"numpy": "2.4.0.dev0"},
])
def test_versions_that_will_do_are_no_problem(needs: _preflight.Needs, python_that_has: Callable[..., str], has: dict[str, str]) -> None:
    assert problems(needs._replace(python=python_that_has(**has))) == []


def test_a_python_that_is_not_there_or_does_not_run_is_a_problem(needs: _preflight.Needs, tmp_path: Path) -> None:
    assert problems(needs._replace(python=str(tmp_path / "gone")))[0]["found"] == f"not found in {tmp_path}/gone"
    assert problems(needs._replace(python="/bin/false"))[0]["id"] == "python_missing"


def test_ffmpeg_is_a_problem_only_where_it_is_required(needs: _preflight.Needs, programs: Callable[..., None], python_that_has: Callable[..., str]) -> None:
    programs()
    needs = needs._replace(python=python_that_has(ffmpeg_python=None))
    assert [entry["id"] for entry in problems(needs)] == ["ffmpeg_missing", "ffprobe_missing", "ffmpeg_python_missing"]
    assert problems(needs._replace(ffmpeg_required=False)) == []


def test_a_program_that_does_not_run_is_as_good_as_missing(needs: _preflight.Needs, tmp_path: Path) -> None:
    (tmp_path / "bin" / "ffmpeg").write_text("#!/bin/sh\nexit 127\n")
    assert problem(needs)["id"] == "ffmpeg_missing"


@pytest.mark.parametrize(("present", "wanted", "enough"), [
    ("v20.11.1", "18", True), ("v18.0.0", "18.0.0", True), ("v18.0.0", "18.0.1", False), ("v9.11.0", "18", False), (None, "18", False),
])
def test_a_node_older_than_is_wanted_is_a_problem(
        needs: _preflight.Needs, programs: Callable[..., None], present: str | None, wanted: str, enough: bool) -> None:
    programs(**({"node": present} if present else {}))
    needs = needs._replace(ffmpeg_required=False, node_min_version=wanted)
    assert [entry["id"] for entry in problems(needs)] == ([] if enough else ["node_version" if present else "node_missing"])


def test_node_is_not_looked_for_where_none_is_wanted(needs: _preflight.Needs, programs: Callable[..., None]) -> None:
    programs(node="v0.1")
    assert _preflight.examine(needs, NOW)["versions"]["node"] is None


@pytest.mark.parametrize(("system", "release", "command"), [
    ("Linux", 'ID=debian\nVERSION_ID="12"\n', "apt-get install -y python3-numpy"),
    ("Linux", 'ID=ubuntu\nID_LIKE=debian\n', "apt-get install -y python3-numpy"),
    ("Linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y python3-numpy"),
    ("Linux", "ID=fedora\n", "dnf install -y python3-numpy"),
    ("Linux", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper install -y python3-numpy"),
    ("Linux", "ID=arch\n", "pacman -S --noconfirm python-numpy"),
    ("Linux", "ID=alpine\n", "apk add py3-numpy"),
    ("Linux", "ID=plan9\n", "Install numpy with this system's package manager."),
    ("Darwin", None, "brew install numpy"),
    ("Windows", None, "choco install -y python  # then: pip install numpy"),
    ("FreeBSD", None, "Install numpy with this system's package manager."),
])
def test_missing_package_comes_with_this_systems_install_command(
        needs: _preflight.Needs, python_that_has: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, release: str | None,
        command: str) -> None:
    if release:
        (tmp_path / "os-release").write_text(release)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(_preflight, "open", lambda _path, **options: (tmp_path / "os-release").open(**options), raising=False)
    assert problem(needs._replace(python=python_that_has(numpy=None)))["fix"] == command


# The library, its media, its disk.


def test_a_library_that_is_missing_is_the_problem_with_its_path(needs: _preflight.Needs, library: SmallLibrary) -> None:
    library.path.unlink()
    found = problem(needs)
    assert found["id"] == "library_invalid"
    assert found["found"] == f"{library.path}: could not read the library: No such file or directory"


def test_pending_work_of_another_user_is_the_only_problem(needs: _preflight.Needs, library: SmallLibrary, tmp_path: Path) -> None:
    library.run()
    record = present(library.record())
    run_record.write(str(library.state), record._replace(phase=run_record.ANNOUNCED, restart_owed=True))
    assert problems(needs._replace(state=str(library.state))) == []
    found = problem(needs._replace(state=str(tmp_path / "other")))
    assert found["id"] == "work_pending" and f"migration of run {record.run}" in found["found"] and "set dhash_state_dir to" in found["fix"]
    assert "move it away" not in found["fix"]  # it is the staged library of that run


def test_a_library_that_was_deleted_is_to_be_rolled_back(needs: _preflight.Needs, library: SmallLibrary) -> None:
    backup_files.make(str(library.path), str(library.folder))
    library.path.unlink()
    found = problem(needs)
    assert found["id"] == "library_missing" and str(library.path) in found["found"]
    assert f"1 backup of it in {library.folder}" in found["found"]
    assert "ansible-playbook mobius.dhash.rollback" in found["fix"] and "Check the path" not in found["fix"]


def test_deleted_library_without_a_copy_needs_an_outside_one(
        needs: _preflight.Needs, library: SmallLibrary, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    run_record.write(state, run_record.Record(
        "run-1", run_record.MIGRATION, run_record.VERIFIED, str(library.path), "", "", "0" * 64, "1" * 64, False, {}))
    library.path.unlink()
    found = problem(needs._replace(state=state))
    assert found["id"] == "library_missing"
    assert "There is no backup to roll back to" in found["fix"] and "from elsewhere" in found["fix"]


def test_broken_library_is_a_problem_with_its_fix(needs: _preflight.Needs, library: SmallLibrary) -> None:
    library.path.write_bytes(b'{"images": [')
    assert "restore a backup" in problem(needs)["fix"]


@pytest.mark.parametrize("has_user", [True, False])
def test_library_owner_that_cannot_be_restored_is_a_problem(
        needs: _preflight.Needs, library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, has_user: bool) -> None:
    status = library.path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid or 4711 if has_user else 4711)
    monkeypatch.setattr(os, "getegid", lambda: 4711)
    monkeypatch.setattr(os, "getgroups", lambda: [4711])
    found = problem(needs)
    assert found["id"] == "library_owner_not_permitted" and f"{library.path} ({status.st_uid}:{status.st_gid})" in found["what"]
    assert "become" in found["fix"]


def test_root_and_the_owner_may_replace_a_library(needs: _preflight.Needs, library: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    status = library.path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert problems(needs) == []
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid)
    monkeypatch.setattr(os, "getegid", lambda: 4711)
    monkeypatch.setattr(os, "getgroups", lambda: [4711, status.st_gid])
    assert problems(needs) == []


def test_a_media_root_that_is_not_there_is_a_problem(needs: _preflight.Needs, tmp_path: Path) -> None:
    found = problem(needs._replace(media_roots=[str(tmp_path), str(tmp_path / "gone")]))
    assert found["id"] == "media_root_not_readable" and f"{tmp_path}/gone" in found["what"]
    assert "dhash_media_roots" in found["fix"]


def test_media_that_are_not_mounted_are_a_problem(needs: _preflight.Needs, library: SmallLibrary) -> None:
    (library.folder / "media" / "a.png").unlink()
    found = problem(needs)
    assert found["id"] == "images_missing"
    assert "mounted" in found["fix"]


def test_some_images_that_are_missing_are_no_problem_of_the_host(needs: _preflight.Needs, library: SmallLibrary) -> None:
    library.add("media/gone.png")
    library.add("media/never\0there.png")
    library.write()
    assert problems(needs) == []


def test_a_library_without_images_has_none_that_are_missing(needs: _preflight.Needs, library: SmallLibrary) -> None:
    library.value["images"] = []
    library.write()
    assert problems(needs) == []


def test_a_folder_that_is_not_there_yet_will_do(needs: _preflight.Needs, tmp_path: Path) -> None:
    assert problems(needs._replace(backup_dir=str(tmp_path / "new" / "backups"), log_dir=str(tmp_path / "logs"))) == []


def test_a_folder_for_temporary_files_has_to_be_there(needs: _preflight.Needs, tmp_path: Path) -> None:
    found = problem(needs._replace(temp_dir=str(tmp_path / "scratch")))
    assert (found["id"], found["found"]) == ("temp_dir_not_writable", f"{tmp_path}/scratch does not exist")
    assert found["fix"] == "Create this folder, or set dhash_temp_dir to another folder."


@pytest.mark.parametrize(("option", "token", "variable"), [
    ("output", "output_dir_not_writable", "dhash_output"), ("report", "report_dir_not_writable", "dhash_report"),
    ("dry_run_report", "report_dir_not_writable", "dhash_dry_run_report"), ("review_dir", "review_dir_not_writable", "dhash_review_dir"),
    ("venv", "venv_not_writable", "dhash_venv")])
def test_a_place_that_a_variable_names_has_to_be_writable(needs: _preflight.Needs, tmp_path: Path, option: str, token: str, variable: str) -> None:
    places = dict.fromkeys(("output", "report", "dry_run_report", "review_dir", "log_dir", "venv", "limit"))
    needs = needs._replace(state=str(tmp_path / "state" / "media"), places={**places, option: "/proc/x/y"})
    (found,) = problems(needs)
    assert (found["id"], found["found"]) == (token, "/proc is not writable")
    assert found["fix"] == f"Set {variable} to another folder."


def test_the_folder_of_the_output_has_to_be_there(needs: _preflight.Needs, tmp_path: Path) -> None:
    needs = needs._replace(state=str(tmp_path / "state" / "media"), places={"output": "missing/x.json", "log_dir": None})
    (found,) = problems(needs)
    assert (found["id"], found["found"]) == ("output_dir_not_writable", f"{os.path.dirname(needs.library)}/missing does not exist")


def test_a_relative_folder_for_temporary_files_will_do(needs: _preflight.Needs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    assert problems(needs._replace(temp_dir="scratch")) == []


@pytest.mark.parametrize(("folder", "token", "variable"), [
    ("backup_dir", "backup_dir_not_writable", "dhash_backup_dir"), ("copy_dir", "copy_dir_not_writable", "dhash_backup_copy_dir"),
    ("temp_dir", "temp_dir_not_writable", "dhash_temp_dir"), ("state", "state_dir_not_writable", "dhash_state_dir"),
    ("log_dir", "log_dir_not_writable", "dhash_log_dir"), ("async_dir", "async_dir_not_writable", "ansible_async_dir")])
def test_a_folder_that_cannot_be_written_is_a_problem(
        needs: _preflight.Needs, tmp_path: Path, mount: Callable[..., None], folder: str, token: str, variable: str) -> None:
    read_only = tmp_path / "read only"
    read_only.mkdir()
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", on=read_only)
    place: dict[str, Any] = {folder: str(read_only if folder == "temp_dir" else read_only / "new")}
    found = problem(needs._replace(**place))
    assert (found["id"], found["found"]) == (token, f"{read_only} is not writable")
    assert f"set {variable} to another folder" in found["fix"]


def test_host_without_a_temporary_folder_is_told_to_name_one(needs: _preflight.Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_preflight, "_system_temp_dirs", lambda: ["/proc/tmp", "/sys"])
    found = problem(needs)
    assert found["id"] == "temp_dir_not_writable" and "Set dhash_temp_dir" in found["fix"]


def test_a_file_in_the_place_of_a_folder_is_a_problem(needs: _preflight.Needs, library: SmallLibrary) -> None:
    found = problem(needs._replace(backup_dir=str(library.path)))
    assert found["found"] == f"{library.path} is not a folder"


def test_too_little_space_for_backups_is_a_problem(needs: _preflight.Needs, library: SmallLibrary, tmp_path: Path, mount: Callable[..., None]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", on=small)
    library.value["notes"] = "x" * 2_000_000
    library.write()
    found = problem(needs._replace(backup_dir=str(small)))
    assert found["id"] == "backup_dir_no_space" and found["what"].startswith("1.9 MiB free")
    assert found["found"].startswith("1.0 MiB in ")


def test_too_little_space_for_the_migrated_library_is_a_problem(needs: _preflight.Needs, library: SmallLibrary, mount: Callable[..., None]) -> None:
    content = library.path.read_bytes()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", on=library.folder)
    library.path.write_bytes(content[:-1] + b" " * 600_000 + b"}")
    (library.folder / "media").mkdir()
    (library.folder / "media" / "a.png").touch()
    assert [(entry["id"], entry["what"][:8]) for entry in problems(needs)] == [
        ("library_dir_no_space", "1.1 MiB "), ("backup_dir_no_space", "0.6 MiB ")]


# The maintenance window.


@pytest.mark.parametrize(("window", "moment", "is_open"), [
    ("22:00-04:00", "Sat 21:59", False),
    ("22:00-04:00", "Sat 22:00", True),
    ("22:00-04:00", "Sun 00:00", True),
    ("22:00-04:00", "Sun 03:59", True),
    ("22:00-04:00", "Sun 04:00", False),
    ("Sat 22:00-04:00", "Sat 22:00", True),
    ("Sat 22:00-04:00", "Sun 03:59", True),  # a window past midnight is the day's on which it starts
    ("Sat 22:00-04:00", "Sat 03:59", False),
    ("Sat 22:00-04:00", "Sun 22:00", False),
    ("Sun 22:00-04:00", "Mon 01:00", True),
    ("Mon-Fri 01:00-05:00", "Mon 01:00", True),
    ("Mon-Fri 01:00-05:00", "Fri 04:59", True),
    ("Mon-Fri 01:00-05:00", "Sat 03:00", False),
    ("Mon-Fri 22:00-04:00", "Sat 03:00", True),
    ("Mon-Fri 22:00-04:00", "Mon 03:00", False),
    ("Fri-Mon 08:00-09:00", "Sun 08:30", True),
    ("Fri-Mon 08:00-09:00", "Tue 08:30", False),
    ("20:00-24:00", "Sat 23:59", True),
    ("20:00-24:00", "Sun 00:00", False),
    ("00:00-00:00", "Wed 12:00", True),
    ("Wed 12:00-12:00", "Thu 11:59", True),
    ("Wed 12:00-12:00", "Thu 12:00", False),
    (" sat 22:00-04:00 ", "Sat 22:00", True),
])
def test_a_window_is_open_from_its_start_to_just_before_its_end(window: str, moment: str, is_open: bool) -> None:
    day, time = moment.split()
    hour, minute = map(int, time.split(":"))
    now = MONDAY + timedelta(days=DAYS.index(day), hours=hour, minutes=minute, seconds=59)
    assert _preflight.window_is_open(window, now) is is_open


minutes_of_day = st.integers(0, 24 * 60 - 1)


@given(st.none() | st.tuples(st.integers(0, 6), st.integers(0, 6)), minutes_of_day, st.integers(0, 24 * 60),
       st.integers(0, 7 * 24 * 60 - 1))
def test_window_is_open_for_its_length_on_each_of_its_days(
        days: tuple[int, int] | None, start: int, end: int, minute: int) -> None:
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    opening_days = set(range(7))
    if days:
        first, last = days
        text = f"{DAYS[first]}-{DAYS[last]} {text}" if first != last else f"{DAYS[first]} {text}"
        opening_days = {(first + offset) % 7 for offset in range((last - first) % 7 + 1)}
    length = end - start if end > start else end - start + 24 * 60
    expected = any(0 <= (minute - (24 * 60 * day + start)) % (7 * 24 * 60) < length for day in opening_days)
    assert _preflight.window_is_open(text, MONDAY + timedelta(minutes=minute)) is expected


@pytest.mark.parametrize("window", [
    "", "22:00", "22-04", "22:00-4:00", "22:00–04:00", "25:00-26:00", "22:60-23:00", "24:00-04:00", "22:00-24:01",
    "Sat", "Sam 22:00-04:00", "Sat,Sun 22:00-04:00",
    "Saturday 22:00-04:00", "Mon-Fry 22:00-04:00", "Mon - Fri 22:00-04:00", "22:00-04:00 UTC",
])
def test_what_is_no_window_is_refused_with_an_example_of_one(window: str) -> None:
    with pytest.raises(DhashError) as caught:
        _preflight.window_is_open(window, NOW)
    assert caught.value.cause == f"invalid maintenance window {window!r}"
    assert "Mon-Fri 01:00-05:00" in str(caught.value.next_step)


def test_closed_window_is_a_problem_that_gives_the_hosts_time(needs: _preflight.Needs) -> None:
    found = problem(needs._replace(maintenance_window="Sun 01:00-02:00"))
    assert found["id"] == "maintenance_window_closed" and "Sat 12:30" in found["found"] and "Sun 01:00-02:00" in found["found"]


def test_an_open_window_is_no_problem(needs: _preflight.Needs) -> None:
    assert problems(needs._replace(maintenance_window="Sat 12:00-13:00")) == []


def test_fresh_host_can_be_checked_with_the_standard_library(needs: _preflight.Needs, tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text(
        "import json, sys\n"
        "from datetime import datetime\n"
        "sys.modules.update(PIL=None, numpy=None, ffmpeg=None)\n"
        "from ansible_collections.mobius.dhash.plugins.module_utils import _preflight\n"
        "print(json.dumps(_preflight.examine(_preflight.Needs(*json.loads(sys.argv[1])), datetime(2026, 1, 31))))\n")
    answer = subprocess.run([sys.executable, str(script), json.dumps(needs[:-1])], capture_output=True, check=True, text=True,
                            env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)})
    assert json.loads(answer.stdout)["problems"] == []


@pytest.mark.parametrize(("count", "shown"), [(0, "0 bytes"), (99, "99 bytes"), (2000, "2.0 KiB"), (600_000, "0.6 MiB"), (5 << 30, "5120.0 MiB")])
def test_a_little_space_is_not_rounded_to_nothing(count: int, shown: str) -> None:
    assert _preflight._size(count) == shown
