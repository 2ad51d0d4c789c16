# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a run may write, and what it must leave alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, backup_manifest, path_rules, run_record, written_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, durable

LIBRARY = '{"images": []}'
OPTIONS = {"output": None, "report": None, "dry_run_report": None, "calibration_report": None, "log_dir": "logs", "state_dir": None, "backup_dir": None,
           "copy_dir": None, "review_dir": None, "metrics_dir": None, "temp_dir": None, "venv": None}
FILES = ["output", "report", "dry_run_report", "calibration_report"]
FOLDERS = ["log_dir", "state_dir", "backup_dir", "copy_dir", "review_dir", "metrics_dir", "temp_dir", "venv"]


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "media"
        self.library = self.folder / "library.json"
        self.state = run_record.folder(str(folder / "state"), str(self.library))
        self.folder.mkdir()
        os.makedirs(self.state)
        (self.folder / "pictures").mkdir()
        Path(self.state, "journal.sqlite").write_text("")
        for name in ("library.json", "other.json", "library.json.bak.20260131T120000Z", "library.json.pre-dhash"):
            (self.folder / name).write_text(LIBRARY)
        for name in ("library.json.lock", "other.json.lock", "notes.txt"):
            (self.folder / name).write_text("")
        (self.folder / "link.json").symlink_to(self.library)
        os.link(self.library, self.folder / "hard.json")
        (self.folder / "bare.json").write_text(LIBRARY)

    def problems(self, **options: str | None) -> list[tuple[str, str]]:
        found = path_rules.problems(str(self.library), self.state, {**OPTIONS, **options})
        return [(problem.variable, problem.cause) for problem in found]

    def path(self, name: str) -> str:
        return name.replace("STATE", self.state) if name.startswith("STATE") else str(self.folder / name)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_default_paths_have_no_problem(host: Host) -> None:
    assert host.problems() == []


def test_file_of_a_like_named_library_is_attributed_to_it(host: Host, tmp_path: Path) -> None:
    other = tmp_path / "second/library.json"
    other.parent.mkdir()
    other.write_text(LIBRARY)
    assert host.problems(report=f"{other}.lock", log_dir=f"{other}.review") == [
        (variable, f"this name belongs to the library {other}") for variable in ("dhash_log_dir", "dhash_report")]


@pytest.mark.parametrize(("given", "expected"), [
    (None, "/srv/library.json.calibration.html"), ("c.html", "/srv/c.html"), ("../c.html", "/c.html"), ("/tmp/c.html", "/tmp/c.html")])
def test_relative_path_of_a_calibration_report_is_resolved(given: str | None, expected: str) -> None:
    assert path_rules.calibration_report_of("/srv/library.json", {"calibration_report": given}) == expected


def test_the_report_of_a_calibration_is_no_other_report(host: Host) -> None:
    assert host.problems(report="reports/one.html", calibration_report="reports/one.html") == [
        ("dhash_calibration_report", "dhash_report names the same file")]


@pytest.mark.parametrize(("name", "cause"), [
    ("library.json", "this is the library itself"),
    ("link.json", "this is the library itself"),
    ("hard.json", "this is the library itself"),
    ("pictures/../library.json", "this is the library itself"),
    ("library.json.lock", "this name belongs to the library"),
    ("library.json.bak.20260131T120000Z", "this name belongs to the library"),
    ("library.json.bak.20260131T120000Z.sha256", "this name belongs to the library"),
    ("pictures/library.json.bak.20260131T120000Z", "this name belongs to the library"),
    ("library.json.pre-dhash", "this name belongs to the library"),
    ("library.json.import", "this name belongs to the library"),
    ("library.json.review.json", "this name belongs to the library"),
    (".library.json.mobius-dhash.incoming", "this name belongs to the library"),
    ("other.json", "this is another library"),
    ("other.json.lock", "this name belongs to the library"),
    ("other.json.pre-rollback.20260131T120000Z", "this name belongs to the library"),
    ("other.dhash.json", "this name belongs to the library"),
    ("STATE/journal.sqlite", "this path is in the state folder"),
    ("STATE/new.json", "this path is in the state folder"),
    ("pictures", "this is a folder"),
    ("notes.txt/file", "is a file, not a folder"),
])
@pytest.mark.parametrize("option", FILES)
def test_a_file_of_a_library_is_no_file_to_write(host: Host, option: str, name: str, cause: str) -> None:
    found = host.problems(**{option: host.path(name)})
    variable = path_rules.FILES[option]
    assert [problem for problem in found if problem[0] == variable and cause in problem[1]], found


@pytest.mark.parametrize("name", ["library.json", "link.json", "library.json.lock", "library.json.bak.20260131T120000Z", "other.json",
                                  "other.json.lock", "notes.txt", "library.json/below", "STATE", "STATE/below", "library.json.import"])
@pytest.mark.parametrize("option", FOLDERS)
def test_a_file_of_a_library_is_no_folder_to_write(host: Host, option: str, name: str) -> None:
    if (option, name) != ("state_dir", "STATE"):
        assert path_rules.FOLDERS[option] in [variable for variable, _cause in host.problems(**{option: host.path(name)})]


@pytest.mark.parametrize("option", ["report", "dry_run_report", "calibration_report"])
def test_an_image_of_a_library_is_no_report(host: Host, option: str) -> None:
    Path(host.path("image.png")).write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert host.problems(**{option: "image.png"}) == [
        (path_rules.FILES[option], "this file is not a text file, so it may be an image of a library")]


@pytest.mark.parametrize("option", ["report", "dry_run_report", "calibration_report"])
def test_a_library_that_no_run_has_met_is_no_report(host: Host, option: str) -> None:
    assert host.problems(**{option: "bare.json"}) == [(path_rules.FILES[option], "this file holds a library")]


def test_a_staged_library_is_no_report_of_a_calibration(host: Host) -> None:
    written_files.write(host.state, host.path("library.dhash.json"), [LIBRARY.encode()])
    calibrating = {"calibration_report": "library.dhash.json"}  # this module has no output
    assert [problem.cause for problem in path_rules.problems(str(host.library), host.state, calibrating)] == ["this file holds a library"]


def test_a_library_on_record_is_another_library(host: Host) -> None:
    other = Path(os.path.dirname(host.state), "media-0123456789ab")
    other.mkdir()
    (other / "run.json").write_text(json.dumps({"library": str(host.folder / "bare.json")}))
    assert host.problems(output="bare.json") == [("dhash_output", "this is another library: this host has a record of a run on it")]


@pytest.mark.parametrize("given", [
    {"output": "one.json", "report": "one.json"}, {"report": "library.dhash.json"}, {"report": "library.json.migrate-dryrun.json"},
    {"output": "one.json", "log_dir": "one.json"}, {"backup_dir": "pictures", "copy_dir": "link/../pictures"},
    {"output": "notes.txt", "report": "also-notes.txt"},
])
def test_two_options_with_one_path_are_refused(host: Host, given: dict[str, str]) -> None:
    os.link(host.folder / "notes.txt", host.folder / "also-notes.txt")
    (host.folder / "link").symlink_to(host.folder / "pictures")
    (found,) = host.problems(**given)
    assert "names" in found[1]


def test_review_folder_may_not_hold_a_library_named_as_its_file(tmp_path: Path) -> None:
    library = tmp_path / "queue.json"
    library.write_text(LIBRARY)
    found = list(path_rules.problems(str(library), str(tmp_path / "state"), {"review_dir": "."}))
    assert [problem.variable for problem in found] == ["dhash_review_dir"]


def test_trial_library_keeps_the_runbooks_output_path(host: Host) -> None:
    trial = host.folder / "test-library.json"
    trial.write_text(LIBRARY)
    assert list(path_rules.problems(str(trial), host.state, {"output": None})) == []


@pytest.mark.parametrize("name", [
    "library.json.bak.20260131T120000Z", "library.json.pre-dhash", "library.json.lock", "library.json.import", "library.json.rollback",
    "library.json.review.json", "library.json.pre-rollback.20260131T120000Z", ".library.json.mobius-dhash.incoming", "library.dhash.json",
    "gone.json.pre-dhash",
])
def test_a_file_of_a_library_is_no_library(host: Host, name: str) -> None:
    (host.folder / "gone.json.lock").touch()
    (host.folder / name).write_text(LIBRARY)
    owner = host.path("gone.json" if name.startswith("gone") else "library.json")
    with pytest.raises(RefusedError) as refused:
        path_rules.require_own_name(host.path(name))
    assert str(refused.value) == (f"{host.path(name)}: dhash_library: this name belongs to the library {owner}. Set dhash_library to"
                                  " another path, then run again.")


@pytest.mark.parametrize("name", ["library.json", "bare.json", "photos.dhash.json", "photos.json.import", "photos.json.bak.20260131T120000Z"])
def test_any_file_name_is_a_library_unless_another_owns_it(host: Host, name: str) -> None:
    (host.folder / name).write_text(LIBRARY)
    path_rules.require_own_name(host.path(name))


def test_longest_library_name_leaves_room_for_derived_names(host: Host) -> None:
    name = "ü" * (path_rules.MOST_NAME_BYTES // 2)
    path_rules.require_own_name(host.path(name))
    copy = f"{name}{backup_files.PRE_ROLLBACK}20260131T120000Z{age_encryption.SUFFIX}{backup_manifest.CHECKSUM}"
    assert len(os.fsencode(durable.temporary_name(copy))) == 255
    with pytest.raises(RefusedError, match="the file name has 197 bytes"):
        path_rules.require_own_name(host.path(f"{name}x"))


def test_target_of_a_link_is_not_owned_by_the_link(host: Host) -> None:
    (host.folder / "photos.dhash.json").write_text(LIBRARY)
    (host.folder / "photos.json").symlink_to("photos.dhash.json")
    path_rules.require_own_name(host.path("photos.dhash.json"))


def test_controller_paths_are_checked_like_host_paths(host: Host) -> None:
    paths = {"dhash_fleet_status_file": str(host.library), "dhash_review_fetch_dir": host.path("other.json"),
             "dhash_backup_fetch_dir": str(host.folder / "pictures")}
    found = path_rules.controller_problems(str(host.library), host.state, paths)
    assert [problem.variable for problem in found] == ["dhash_fleet_status_file", "dhash_review_fetch_dir"]


@pytest.mark.parametrize("option", ["pause_file", "postpone_file"])
def test_a_file_to_wait_for_is_neither_folder_nor_library(host: Host, option: str) -> None:
    variable = f"dhash_{option}"
    assert host.problems(**{option: str(host.folder)}) == [(variable, "this is a folder")]
    assert host.problems(**{option: str(host.library)}) == [(variable, "this is the library itself")]
    link = host.folder / "link-to-nothing"
    link.symlink_to("nothing")
    assert host.problems(**{option: str(link)}) == ([(variable, "this is a link that leads to no file")] if option == "postpone_file" else [])
    for allowed in (host.path("postpone"), host.path("notes.txt"), os.path.join(os.path.dirname(host.state), "postpone"), "/nowhere/postpone"):
        assert host.problems(**{option: allowed}) == []


def test_a_refusal_names_the_variable_the_path_and_what_to_do(host: Host) -> None:
    with pytest.raises(RefusedError) as refused:
        path_rules.require(str(host.library), host.state, {"output": "library.json"})
    assert str(refused.value) == (f"{host.library}: dhash_output: this is the library itself. Set dhash_output to another path, then run"
                                  " again.")


# What can be written.


@pytest.mark.parametrize("option", [*FILES, *FOLDERS])
@pytest.mark.parametrize("place", ["/proc/x", "/sys/x"])
def test_path_where_no_file_can_be_made_is_refused_by_variable(host: Host, option: str, place: str) -> None:
    variable = (path_rules.FILES | path_rules.FOLDERS)[option]
    given = {option: f"{place}/file" if option in FILES else place}
    state = run_record.folder(place, str(host.library)) if option == "state_dir" else host.state
    with pytest.raises(RefusedError, match=f"{variable}: {place[:-2]} is not writable. Set {variable} to another path, then run again."):
        path_rules.require_writable(str(host.library), state, {**OPTIONS, **given}, [option])


@pytest.mark.parametrize("option", [*FILES, *FOLDERS])
def test_path_that_is_not_written_is_not_refused(host: Host, option: str) -> None:
    path_rules.require_writable(str(host.library), host.state, {**OPTIONS, option: "/proc/x/y"}, [])


@pytest.mark.parametrize("option", [*FILES, *FOLDERS])
def test_missing_folder_is_refused_unless_the_run_creates_it(host: Host, option: str) -> None:
    variable, path = (path_rules.FILES | path_rules.FOLDERS)[option], host.path("new/below")
    given = {**OPTIONS, option: f"{path}/file" if option in FILES else path}
    if option in ("output", "temp_dir"):
        with pytest.raises(RefusedError, match=f"{path} does not exist. Create this folder, or set {variable} to another path"):
            path_rules.require_writable(str(host.library), host.state, given, [option])
    else:
        path_rules.require_writable(str(host.library), host.state, given, [option])
    assert not os.path.exists(host.path("new"))


def test_unwritable_dry_run_report_is_refused_by_its_variable(host: Host) -> None:
    params = {"report": "/proc/x/y.json", "dry_run": True, "log_dir": None}
    with pytest.raises(RefusedError, match="dhash_dry_run_report: /proc is not writable"):
        path_rules.require_writable(str(host.library), host.state, params, path_rules.FILES)
