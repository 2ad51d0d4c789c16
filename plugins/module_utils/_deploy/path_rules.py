# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths that a run may write to. Every path is resolved and compared with all others before anything is written.

A wrong path in a variable must never damage the library, the files that belong to it, or another library.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from .._errors import DhashError, RefusedError, printable
from .._files import bounded_reads, durable, json_records
from . import run_record, written_files

FILES = {"output": "dhash_output", "report": "dhash_report", "dry_run_report": "dhash_dry_run_report",
         "calibration_report": "dhash_calibration_report"}
FOLDERS = {"state_dir": "dhash_state_dir", "log_dir": "dhash_log_dir", "backup_dir": "dhash_backup_dir",
           "copy_dir": "dhash_backup_copy_dir", "review_dir": "dhash_review_dir", "metrics_dir": "dhash_metrics_dir",
           "temp_dir": "dhash_temp_dir", "venv": "dhash_venv"}
ONLY_READ = {"pause_file": "dhash_pause_file", "postpone_file": "dhash_postpone_file"}
NOT_MADE = ("output", "temp_dir")  # a run creates every other missing folder
FROM_THE_ROOT = ("state_dir", "temp_dir", "venv")  # a relative path does not count from the library's folder
REVIEW_FILES = ("queue.json", "queue.csv", "review.html")
STATE_FILES = ("run.json", "journal.sqlite", "monitor.json", "written.json")
OWN_NAMES = tuple(re.compile(pattern, re.DOTALL) for pattern in (
    r"(?P<library>.+)\.(?:lock|pre-dhash|rollback|import|review|review\.json)",
    r"(?P<library>.+?)\.(?:bak|pre-rollback)\..+",
    r"\.(?P<library>.+?)\.mobius-dhash\..+"))
MOST_NAME_BYTES = 196  # the longest name that is derived from it has 59 more: .NAME.pre-rollback.TIME.age.sha256.mobius-dhash.tmp
STATE_FOLDER = re.compile(r".+-[0-9a-f]{12}")


class Problem(NamedTuple):
    """A path that must not be written to, the variable that names it, and why not."""

    variable: str
    path: str
    cause: str
    step: str | None = None  # another way to fix it, or with a period at its end the only one

    @property
    def next_step(self) -> str:
        if self.step and self.step.endswith("."):
            return self.step
        return f"{f'{self.step}, or set' if self.step else 'Set'} {self.variable} to another path, then run again."


def output_of(library: str, params: Mapping[str, Any]) -> str:
    """Where a migration writes the new library."""
    folder, name = os.path.split(library)
    stem = name[:-len(".json")] if name.endswith(".json") else name
    prefix = "" if params.get("limit") is None else "test-"
    return os.path.join(folder, params.get("output") or f"{prefix}{stem}.dhash.json")


def report_of(library: str, params: Mapping[str, Any]) -> str | None:
    """Where a migration or a dry run writes its report; None if it writes none."""
    folder, name = os.path.split(library)
    if params.get("report"):
        return os.path.join(folder, params["report"])
    if params.get("log_dir") is None:
        return None
    if params.get("dry_run"):
        return os.path.join(folder, f"{name}.migrate-dryrun.json")
    prefix = "" if params.get("limit") is None else "test-"
    return os.path.join(folder, params["log_dir"], f"{name}.{prefix}migration-report.json")


def calibration_report_of(library: str, params: Mapping[str, Any]) -> str:
    """Where a calibration writes its report."""
    return os.path.normpath(os.path.join(os.path.dirname(library), params.get("calibration_report") or f"{library}.calibration.html"))


def review_dir_of(library: str, params: Mapping[str, Any]) -> str:
    """The folder of the review."""
    return os.path.normpath(os.path.join(os.path.dirname(library), params["review_dir"] or f"{library}.review"))


def require(library: str, state: str, params: Mapping[str, Any]) -> None:
    """Raise ``RefusedError`` for the first path in the options ``params`` of a module that must not be written to."""
    _refuse(next(problems(library, state, params), None))


def require_own_name(library: str) -> None:
    """Raise ``RefusedError`` if the name of ``library`` is that of a file of another library, which a run would replace."""
    _refuse(problem_with_library(library))


def require_writable(library: str, state: str, params: Mapping[str, Any], options: Collection[str]) -> None:
    """Raise ``RefusedError`` for the first place of the ``options`` that this user cannot write to."""
    _refuse(next((Problem(variable, path, f"{printable(obstacle.path)} {obstacle.cause}", obstacle.step)
                  for option, variable, path, folder in places(library, state, params) if option in options
                  for obstacle in [durable.obstacle(folder, option not in NOT_MADE)] if obstacle), None))


def _refuse(problem: Problem | None) -> None:
    if problem:
        raise RefusedError(f"{problem.variable}: {problem.cause}", problem.path, problem.next_step)


def problem_with_library(library: str) -> Problem | None:
    """What is wrong with the path of the library itself; None if nothing is."""
    length = len(os.fsencode(os.path.basename(library)))
    if length > MOST_NAME_BYTES:
        return Problem("dhash_library", library, f"the file name has {length} bytes; with more than {MOST_NAME_BYTES} bytes the names of"
                       " its backups are too long for the file system")
    owner = _owner(library, library)
    if owner is None or _is_same(owner, library):  # the owner may be a link to it
        return None
    return Problem("dhash_library", library, f"this name belongs to the library {printable(owner)}")


def problems(library: str, state: str, params: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of the paths in ``params``, for those of the options above that it has. Writes nothing."""
    files, folders = _files(library, params), _folders(library, params)
    staged = _staged_review(library, state, params)
    if staged:
        yield staged
        files = [(variable, path) for variable, path in files if variable != staged.variable]
        folders.pop(staged.variable, None)
    for variable, path in folders.items():
        cause = _wrong_with_folder(library, state, variable, path)
        if cause:
            yield Problem(variable, path, cause)
    for variable, path in files:
        cause = _wrong_with_file(library, state, path)
        if cause is None and variable == ONLY_READ["postpone_file"] and os.path.islink(path) and not os.path.exists(path):
            cause = "this is a link that leads to no file"  # which some programs take for a file, and others do not
        if cause is None and variable not in (FILES["output"], *ONLY_READ.values()):
            # A calibration has no output to compare with: the staged library is ours, and stays.
            cause = _wrong_with_content(None if variable == FILES["calibration_report"] else state, path)
        if cause:
            yield Problem(variable, path, cause)
    yield from _shared(files, folders)


def places(library: str, state: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The places that a run with ``params`` writes to: the option, its variable, the path, and the folder.

    Only places that an option names. All other files are beside the library or in one of these folders.
    """
    folders = {**_folders(library, params), FOLDERS["state_dir"]: state}
    if "review_dir" in params:
        folders[FOLDERS["review_dir"]] = review_dir_of(library, params)
    for option, variable in FOLDERS.items():
        if variable in folders:
            yield option, variable, folders[variable], folders[variable]
    files = dict(_files(library, params))
    for option, variable in FILES.items():
        given = "report" if option == "dry_run_report" and params.get("dry_run") else option
        if variable in files and params.get(given):
            yield option, variable, files[variable], os.path.dirname(files[variable])


def controller_problems(library: str, state: str, paths: Mapping[str, str]) -> Iterator[Problem]:
    """As :func:`problems`, for ``paths`` by variable on a controller that is this host. ``*_file`` are files, others are folders."""
    for variable, path in paths.items():
        if variable.endswith("_file"):
            cause = _wrong_with_file(library, state, path) or _wrong_with_content(state, path)
        else:
            cause = _wrong_with_folder(library, state, variable, path)
        if cause:
            yield Problem(variable, path, cause)


def _files(library: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that are written, and those that make a run wait, each with the variable that names it."""
    files = []
    if "output" in params:
        files.append((FILES["output"], output_of(library, params)))
    if "report" in params:
        report = report_of(library, params)
        files += [(FILES["dry_run_report" if params.get("dry_run") else "report"], report)] if report else []
    if "dry_run_report" in params:
        report = report_of(library, {"report": params["dry_run_report"], "log_dir": params["log_dir"], "dry_run": True})
        files += [(FILES["dry_run_report"], report)] if report else []
    if "calibration_report" in params:
        files.append((FILES["calibration_report"], calibration_report_of(library, params)))
    files += [(variable, params[option]) for option, variable in ONLY_READ.items() if params.get(option)]
    if "review_dir" in params:
        files += [(FOLDERS["review_dir"], os.path.join(review_dir_of(library, params), name)) for name in REVIEW_FILES]
    return [(variable, path) for variable, path in files if path]


def _folders(library: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The folders that are written to, by the variable that names them."""
    beside = os.path.dirname(library)
    return {variable: os.path.abspath(params[option]) if option in FROM_THE_ROOT else os.path.join(beside, params[option])
            for option, variable in FOLDERS.items() if params.get(option)}


def _staged_review(library: str, state: str, params: Mapping[str, Any]) -> Problem | None:
    """The problem of a folder of the review whose place has the staged library of an unfinished review, from an earlier version."""
    place = run_record.former_staged_review(library)
    if "review_dir" not in params or review_dir_of(library, params) != place or not os.path.isfile(place):
        return None
    try:
        record = run_record.read(state)
    except DhashError:
        return None  # the error is raised where the record is needed
    if record is None or record.output != place or not run_record.is_unfinished(record):
        return None
    return Problem(FOLDERS["review_dir"], place, f"this file is the staged library of run {record.run} ({record.operation}, {record.phase}),"
                   " which is unfinished", "To finish this run, type, with the same inventory and options: ansible-playbook"
                   f" mobius.dhash.review_import -e dhash_review_dir={printable(place)}.d. To abandon this run, remove {printable(place)}.")


def _shared(files: list[tuple[str, str]], folders: Mapping[str, str]) -> Iterator[Problem]:
    """The problems of paths that two variables name."""
    seen: dict[object, str] = {}
    for variable, path in files:
        earlier = next((seen[key] for key in _identities(path) if key in seen), None)
        if earlier:
            yield Problem(variable, path, f"{earlier} names the same file")
        seen.update(dict.fromkeys(_identities(path), variable))
    for variable, path in folders.items():
        named = seen.get(os.path.realpath(path))
        if named:
            yield Problem(variable, path, f"{named} names a file of this name")
    backups, copies = (folders.get(FOLDERS[option]) for option in ("backup_dir", "copy_dir"))
    if backups and copies and os.path.realpath(backups) == os.path.realpath(copies):
        yield Problem(FOLDERS["copy_dir"], copies, f"{FOLDERS['backup_dir']} names the same folder, so there would be no second copy")


def _wrong_with_file(library: str, state: str, path: str) -> str | None:
    real = os.path.realpath(path)
    status = _status(real)
    if _is_same(path, library):
        return "this is the library itself"
    if status is not None and not stat.S_ISREG(status.st_mode):
        return "this is a folder" if stat.S_ISDIR(status.st_mode) else "this is not a regular file"
    owner = _owner(library, real)
    if owner:
        return f"this name belongs to the library {printable(owner)}"
    if status is not None and os.path.exists(f"{real}.lock"):
        return "this is another library: its lock file is beside it"
    if status is not None and _is_on_record(state, real):
        return "this is another library: this host has a record of a run on it"
    return _wrong_with_place(state, real)


def _wrong_with_content(state: str | None, path: str) -> str | None:
    """A library of which no run knows is recognised by its content, and so is an image. Not for the output, which has its own check.

    With ``state`` a file that the collection has written there is no problem.
    """
    if not os.path.isfile(path):
        return None
    cause = ("this file holds a library" if written_files.counts(path) is not None
             else "this file is not a text file, so it may be an image of a library" if _is_binary(path) else None)
    return None if cause is None or (state is not None and written_files.is_ours(state, path)) else cause


def _is_binary(path: str) -> bool:
    try:
        with bounded_reads.open_file(path) as file:
            return b"\0" in file.read(4096)
    except (OSError, DhashError):
        return False


def _wrong_with_folder(library: str, state: str, variable: str, path: str) -> str | None:
    real = os.path.realpath(path)
    status = _status(real)
    if _is_same(path, library):
        return "this is the library itself, not a folder"
    if status is not None and not stat.S_ISDIR(status.st_mode):
        return "this is a file, not a folder"
    owner = _owner(library, real)
    if owner and not (variable == FOLDERS["review_dir"] and real == f"{library}.review"):
        return f"this name belongs to the library {printable(owner)}"
    return _wrong_with_place(state, real)


def _wrong_with_place(state: str, real: str) -> str | None:
    folder = real
    while folder != os.path.dirname(folder):
        if folder == os.path.realpath(state) or _is_state_folder(folder):
            return f"this path is in the state folder {printable(folder)}, which only the collection writes to"
        folder = os.path.dirname(folder)
        status = _status(folder)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            return f"{printable(folder)} is a file, not a folder"
    return None


def _is_state_folder(folder: str) -> bool:
    return (STATE_FOLDER.fullmatch(os.path.basename(folder)) is not None
            and any(os.path.exists(os.path.join(folder, name)) for name in STATE_FILES))


def _owner(library: str, real: str) -> str | None:
    """The library that a file or a folder of this name belongs to; None if it belongs to none."""
    folder, name = os.path.split(real)
    for pattern in OWN_NAMES:
        match = pattern.fullmatch(name)
        if not match:
            continue
        beside = os.path.join(folder, match["library"])
        if match["library"] == os.path.basename(library) and not os.path.isfile(beside):
            return library
        if _is_library(beside):
            return beside
    owner = f"{real[:-len('.dhash.json')]}.json" if name.endswith(".dhash.json") else library
    return owner if owner != library and _is_library(owner) else None


def _is_library(path: str) -> bool:
    return os.path.isfile(path) or os.path.exists(f"{path}.lock")


def _is_on_record(state: str, real: str) -> bool:
    root = os.path.dirname(state)
    try:
        folders = os.listdir(root)
    except OSError:
        return False
    for folder in folders:
        try:
            record = bounded_reads.read_json(os.path.join(root, folder, run_record.FILE), json_records.MAX_BYTES)
            if record.get("library") == real:
                return True
        except (DhashError, ValueError, AttributeError):
            continue
    return False


def _is_same(path: str, library: str) -> bool:
    try:
        return os.path.realpath(path) == library or os.path.samefile(path, library)
    except OSError:
        return False


def _identities(path: str) -> list[object]:
    """Keys that two paths of one file share."""
    status = _status(path)
    real = os.path.realpath(path)
    return [real] if status is None or status.st_nlink < 2 else [real, (status.st_dev, status.st_ino)]


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
