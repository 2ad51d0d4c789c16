# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requirements of a migration: what a host lacks, and the command that provides it."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ._deploy import cutover, library_summary, lost_library, path_rules, run_record, written_files
from ._errors import DhashError, ForeignFileError, LibraryError, MissingRequirementError, printable
from ._files import age_encryption, durable
from ._hashing import decoder_limits, sandbox
from ._library import library_fields, library_index

HASH, MIGRATE = "hash", "migrate"  # scopes: needed on every host that hashes; needed only on a host that migrates a library


class Kind(NamedTuple):
    """The properties of a problem that code may use. The texts of a problem are for people and may change."""

    scope: str
    installable: bool = False  # whether dhash_install can provide what is missing


KINDS = {  # by the id of a problem
    "python_missing": Kind(HASH, installable=True),  # the one of the virtual environment
    "python_version": Kind(HASH),
    "pillow_missing": Kind(HASH, installable=True),
    "pillow_version": Kind(HASH, installable=True),
    "numpy_missing": Kind(HASH, installable=True),
    "numpy_version": Kind(HASH, installable=True),
    "ffmpeg_missing": Kind(HASH, installable=True),
    "ffprobe_missing": Kind(HASH, installable=True),
    "ffmpeg_python_missing": Kind(HASH, installable=True),
    "node_missing": Kind(MIGRATE),
    "node_version": Kind(MIGRATE),
    "age_missing": Kind(MIGRATE, installable=True),
    "backup_recipients_invalid": Kind(MIGRATE),
    "library_invalid": Kind(HASH),
    "library_missing": Kind(HASH),
    "library_dir_not_writable": Kind(MIGRATE),
    "library_dir_no_space": Kind(MIGRATE),
    "library_owner_not_permitted": Kind(MIGRATE),
    "backup_dir_not_writable": Kind(MIGRATE),
    "backup_dir_no_space": Kind(MIGRATE),
    "copy_dir_not_writable": Kind(MIGRATE),
    "copy_dir_no_space": Kind(MIGRATE),
    "media_root_not_readable": Kind(HASH),
    "images_missing": Kind(HASH),
    "state_dir_not_writable": Kind(HASH),
    "log_dir_not_writable": Kind(MIGRATE),
    "output_dir_not_writable": Kind(MIGRATE),
    "report_dir_not_writable": Kind(MIGRATE),
    "review_dir_not_writable": Kind(MIGRATE),
    "venv_not_writable": Kind(HASH),
    "async_dir_not_writable": Kind(HASH),
    "temp_dir_not_writable": Kind(HASH),
    "path_refused": Kind(HASH),
    "work_pending": Kind(HASH),
    "foreign_file": Kind(MIGRATE),
    "state_unreadable": Kind(MIGRATE),
    "open_files_limit": Kind(HASH),
    "sandbox_incomplete": Kind(HASH),
    "rehearsal_missing": Kind(MIGRATE),
    "maintenance_window_invalid": Kind(HASH),
    "maintenance_window_closed": Kind(HASH),
}
PURPOSES = {"library_dir": "the migrated library", "backup_dir": "backups", "copy_dir": "copies of backups", "state_dir": "the state",
            "log_dir": "logs", "output_dir": "the staged library", "report_dir": "the report",
            "review_dir": "the review", "venv": "the virtual environment", "async_dir": "Ansible's background jobs", "temp_dir": "temporary files"}
OTHER_FOLDERS = {"output": "output_dir", "report": "report_dir", "dry_run_report": "report_dir", "calibration_report": "report_dir",
                 "review_dir": "review_dir", "venv": "venv"}

MINIMUM = {"python": (3, 9), "pillow": (9, 0), "numpy": (1, 24)}
PROGRAM_TIMEOUT = 20
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
WINDOW = re.compile(rf"(?:(?P<first>[a-z]{{3}})(?:-(?P<last>[a-z]{{3}}))? )?(?P<start>{TIME})-(?P<end>{TIME}|24:00)", re.I)
INSTALL = {  # os-release ID or ID_LIKE, or platform.system() in lower case: how to install, and what names things have
    "debian": ("apt-get install -y", {"pillow": "python3-pil", "numpy": "python3-numpy", "ffmpeg": "ffmpeg",
                                      "python": "python3", "node": "nodejs"}),
    "fedora": ("dnf install -y", {"pillow": "python3-pillow", "numpy": "python3-numpy", "ffmpeg": "ffmpeg-free",
                                  "python": "python3", "node": "nodejs"}),
    "rhel": ("dnf install -y", {"pillow": "python3-pillow", "numpy": "python3-numpy",
                                "ffmpeg": "ffmpeg  # from RPM Fusion", "python": "python3", "node": "nodejs"}),
    "suse": ("zypper install -y", {"pillow": "python3-Pillow", "numpy": "python3-numpy", "ffmpeg": "ffmpeg",
                                   "python": "python3", "node": "nodejs"}),
    "arch": ("pacman -S --noconfirm", {"pillow": "python-pillow", "numpy": "python-numpy", "ffmpeg": "ffmpeg",
                                       "python": "python", "node": "nodejs"}),
    "alpine": ("apk add", {"pillow": "py3-pillow", "numpy": "py3-numpy", "ffmpeg": "ffmpeg", "python": "python3",
                           "node": "nodejs"}),
    "darwin": ("brew install", {"pillow": "pillow", "numpy": "numpy", "ffmpeg": "ffmpeg", "python": "python",
                                "node": "node"}),
    "windows": ("choco install -y", {"pillow": "python  # then: pip install pillow",
                                     "numpy": "python  # then: pip install numpy", "ffmpeg": "ffmpeg",
                                     "python": "python", "node": "nodejs"}),
}


class Needs(NamedTuple):
    """The requirements to check. Paths are absolute; ``python`` is the interpreter that will hash."""

    library: str
    python: str
    backup_dir: str
    temp_dir: str | None
    media_roots: Sequence[str] | None
    ffmpeg_required: bool
    node_min_version: str | None
    maintenance_window: str | None
    copy_dir: str | None = None
    encrypt_to: Sequence[str] = ()
    rehearsed: datetime | None = None  # when a rehearsal passed last; local time, as ``now``
    rehearsal_max_days: int | None = None
    parallel: int = 1  # worker processes
    state: str | None = None
    log_dir: str | None = None
    async_dir: str | None = None  # of Ansible, which runs the longer operations in the background
    places: Mapping[str, Any] = {}  # the options that name the paths that a run writes to
    controller: Mapping[str, str] = {}  # paths of a controller that is this host, by variable
    limits: decoder_limits.Limits = decoder_limits.Limits()  # of which the user and the sandbox of the workers count


def examine(needs: Needs, now: datetime) -> dict[str, Any]:
    """The installed ``versions``, the ``sandbox`` of the decoders, and ``problems``.

    Each problem has a token, what is needed, what was found, and the command or step that fixes it.
    """
    versions = _versions(needs)
    confinement = sandbox.try_out(sandbox.make_plan(_real_roots(needs), needs.limits, needs.parallel))
    pending = _pending_problems(needs)
    problems = [*pending, *_version_problems(needs, versions), *_encryption_problems(needs), *_library_problems(needs),
                *_own_folder_problems(needs), *([] if pending else _place_problems(needs)), *_open_file_problems(needs), *_sandbox_problems(needs, confinement),
                *_rehearsal_problems(needs, now), *_window_problems(needs, now)]
    return {"versions": versions, "problems": problems, "sandbox": sandbox.as_result(confinement)}


def _versions(needs: Needs) -> dict[str, str | None]:
    """The versions of all programs, which are asked at the same time; None for one that is not there."""
    options = {"ffmpeg": "-version", "ffprobe": "-version", **({"node": "--version"} if needs.node_min_version else {})}
    with ThreadPoolExecutor() as threads:
        packages = threads.submit(_python_versions, needs.python)
        programs = threads.map(_program_version, options, options.values())
        return {**packages.result(), "node": None, **dict(zip(options, programs))}


def _problem(token: str, what: str, found: str, fix: str | None) -> dict[str, Any]:
    return {"id": token, "what": what, "found": found, "fix": fix, **KINDS[token]._asdict()}


def _python_versions(python: str) -> dict[str, str | None]:
    script = ("import sys, importlib\n"
              "sys.path[:] = filter(None, sys.path)\n"  # otherwise a file in the current folder could be imported instead of a package
              "def version(name):\n"
              "    try: return importlib.import_module(name).__version__\n"
              "    except Exception: return None\n"
              "print(sys.version.split()[0]); print(version('PIL')); print(version('numpy'))\n"
              "try:\n"
              "    import ffmpeg; print('present' if hasattr(ffmpeg, 'input') else None)\n"
              "except Exception: print(None)\n")
    try:
        shown = subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            [python, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT,
            check=True).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        shown = ["None"] * 4
    found = [None if version == "None" else version for version in shown[:4]]
    return dict(zip(("python", "pillow", "numpy", "ffmpeg_python"), found))


def _program_version(program: str, option: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        shown = subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            [path, option], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"\d+(\.\d+)*", shown)
    return number and number.group()


def _version_problems(needs: Needs, versions: dict[str, str | None]) -> list[dict[str, Any]]:
    problems = []
    names = {"python": "Python", "pillow": "Pillow", "numpy": "numpy"}
    for key, least in MINIMUM.items():
        version = versions[key]
        if version is None or _numbers(version) < least:
            wanted = f"{names[key]} {'.'.join(map(str, least))} or newer"
            token = f"{key}_missing" if version is None else f"{key}_version"
            problems.append(_problem(token, wanted, f"{version or 'not found'} in {needs.python}", _install_command(key)))
    if needs.ffmpeg_required:
        for program in ("ffmpeg", "ffprobe"):
            if versions[program] is None:
                problems.append(_problem(f"{program}_missing", f"the program {program}", "not found on the PATH", _install_command("ffmpeg")))
        if versions["ffmpeg_python"] is None:
            problems.append(_problem("ffmpeg_python_missing", "the Python package ffmpeg-python", f"not found in {needs.python}",
                                     "Set dhash_install: venv, or install ffmpeg-python with pip into the virtual environment of"
                                     " the Python that Ansible uses."))
    node = needs.node_min_version
    if node and (versions["node"] is None or _numbers(versions["node"]) < _numbers(node)):
        token = "node_missing" if versions["node"] is None else "node_version"
        problems.append(_problem(token, f"Node.js {node} or newer", versions["node"] or "not found on the PATH", _install_command("node")))
    return problems


def _encryption_problems(needs: Needs) -> list[dict[str, Any]]:
    if needs.encrypt_to:
        try:
            age_encryption.require_recipients(needs.encrypt_to)
        except MissingRequirementError:
            return [_problem("age_missing", "the program age for encrypted backups", "not found on the PATH", _install_command("age"))]
        except DhashError as error:
            return [_problem("backup_recipients_invalid", "recipients that age accepts (dhash_backup_encrypt_to)", error.cause,
                             error.next_step)]
    return []


def identity() -> str | None:
    """The identity of this host: its node name and the ID of its boot; None if the boot has no ID."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{platform.node()} {file.read().strip()}"
    except OSError:
        return None


def _pending_problems(needs: Needs) -> list[dict[str, Any]]:
    """The problem of work that is pending in another state folder. What lies beside the library is then of that run."""
    try:
        if needs.state is not None:
            run_record.require_own(needs.library, needs.state)
    except DhashError as error:
        return [_problem("work_pending", "no pending work of another user, or with another dhash_state_dir", error.cause, error.next_step or "")]
    return []


def _place_problems(needs: Needs) -> list[dict[str, Any]]:
    """Paths that a run must not write to, and files at these paths that the collection has not written."""
    if needs.state is None:
        return []
    unusable = path_rules.problem_with_library(needs.library)
    wrong = [*([unusable] if unusable else []), *path_rules.problems(needs.library, needs.state, needs.places),
             *path_rules.controller_problems(needs.library, needs.state, needs.controller)]
    named = [_problem("path_refused", f"another path in {problem.variable}", f"{printable(problem.path)}: {problem.cause}",
                      problem.next_step) for problem in wrong]
    output = path_rules.FILES["output"]
    files: list[tuple[str, str | None]] = [] if any(problem.variable == output for problem in wrong) else [
        (path_rules.output_of(needs.library, needs.places), output)]
    files += [(path, None) for path in cutover.deploy_files(needs.library)]
    return named + [problem for path, variable in files for problem in _file_problems(needs.state, path, variable)]


def _file_problems(state: str, path: str, variable: str | None) -> list[dict[str, Any]]:
    """The problems of a file that a run replaces or removes. ``variable`` names its path, if any."""
    what = f"a free name for {variable or 'a file of this collection'}"
    try:
        written_files.require_ours(state, path, variable)
    except ForeignFileError as error:
        return [_problem("foreign_file", what, f"{printable(path)}: {error.cause}", error.next_step or "")]
    except DhashError as error:  # it is unknown who has written the file
        return [_problem("state_unreadable", what, f"{printable(path)}: {error.cause}", error.next_step or "")]
    return []


def _open_file_problems(needs: Needs) -> list[dict[str, Any]]:
    """The problem of a hard limit on open files that is too low. The workers raise the soft limit themselves."""
    needed, hard = decoder_limits.files_needed(needs.parallel), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return []
    return [_problem("open_files_limit", f"{needed} open files for {needs.parallel} worker processes", f"a hard limit of {hard} (ulimit -Hn)",
                     "Raise the hard limit for this user (nofile in /etc/security/limits.conf), or lower dhash_parallel.")]


def _real_roots(needs: Needs) -> list[str]:
    return [os.path.realpath(root) for root in needs.media_roots or [os.path.dirname(needs.library)]]


def _sandbox_problems(needs: Needs, confinement: sandbox.Confinement) -> list[dict[str, Any]]:
    """The problem of a sandbox that is required, and that this host does not have."""
    try:
        if needs.limits.require_sandbox:
            sandbox.require_complete(confinement)
    except MissingRequirementError as error:
        return [_problem("sandbox_incomplete", "a complete sandbox of the decoders", error.cause, error.next_step)]
    return []


def _rehearsal_problems(needs: Needs, now: datetime) -> list[dict[str, Any]]:
    days = needs.rehearsal_max_days
    if days is None or (needs.rehearsed and needs.rehearsed > now - timedelta(days=days)):
        return []
    return [_problem("rehearsal_missing", f"a rehearsal in the last {days} days",
                     f"the last rehearsal passed on {needs.rehearsed:%Y-%m-%d}" if needs.rehearsed else "no rehearsal has passed on this host",
                     "With the same inventory and options: ansible-playbook mobius.dhash.rehearse")]


def _library_problems(needs: Needs) -> list[dict[str, Any]]:
    problems = []
    try:
        summary = library_summary.read(needs.library, needs.state)
        lacks_all_images = bool(summary.images) and not _has_image_files(needs.library, summary)
        size = os.path.getsize(needs.library)
    except LibraryError as error:
        remains = lost_library.find(needs.library, needs.state, needs.backup_dir)
        if not os.path.lexists(needs.library) and (remains.backups or remains.recorded):
            return [_missing_library(needs.library, remains)]
        return [_problem("library_invalid", "a valid library", f"{error.path}: {error.cause}", error.next_step or "Correct the file.")]
    folder = os.path.dirname(needs.library)
    grown = size + library_fields.ADDED_BYTES * summary.images
    for name, place, needed, variable in (
            ("library_dir", folder, 2 * grown, None), ("backup_dir", needs.backup_dir, size, "dhash_backup_dir"),
            ("copy_dir", needs.copy_dir, size, "dhash_backup_copy_dir")):
        if place is not None:
            problems += _folder_problems(name, place, needed, variable)
    problems += _owner_problems(needs.library)
    for root in needs.media_roots or [folder]:
        if not os.path.isdir(root) or not os.access(root, os.R_OK | os.X_OK):
            found = "not readable" if os.path.isdir(root) else "missing, or not a folder"
            problems.append(_problem("media_root_not_readable", f"the media root {printable(root)}", found,
                                     "Mount this folder, correct dhash_media_roots, or give this user access to the folder."))
    if lacks_all_images:
        problems.append(_problem("images_missing", "the image files", f"all {summary.images} files are missing",
                                 "Check that the media are mounted, and check the paths in the library."))
    return problems


def _has_image_files(library: str, summary: library_summary.Summary) -> bool:
    """Whether any of the image files exists. Raises ``LibraryError``."""
    def exists(path: str) -> bool:
        return "\0" not in path and os.path.exists(os.path.join(os.path.dirname(library), path))
    is_first_there = summary.first_path is not None and exists(summary.first_path)
    return is_first_there or any(map(exists, library_index.read(library)[0].paths))


def _missing_library(library: str, remains: lost_library.Remains) -> dict[str, Any]:
    """The problem of a library that existed before."""
    record = " and the record of its last operation" if remains.recorded else ""
    return _problem("library_missing", "the library", f"{printable(library)} no longer exists; this host has"
                    f" {lost_library.counted(remains)} of it in {printable(remains.backup_dir)}{record}",
                    lost_library.next_step(library, remains))


def _own_folder_problems(needs: Needs) -> list[dict[str, Any]]:
    """The problems of folders that every run writes to. A user without a home cannot create the default ones."""
    problems = []
    for name, place, variable in (("state_dir", needs.state, "dhash_state_dir"), ("log_dir", needs.log_dir, "dhash_log_dir"),
                                  ("async_dir", needs.async_dir, "ansible_async_dir"), ("temp_dir", needs.temp_dir, "dhash_temp_dir")):
        if place is not None:
            problems += _folder_problems(name, place, 0, variable, name not in path_rules.NOT_MADE)
    for option, variable, _path, folder in path_rules.places(needs.library, needs.state or "", needs.places):
        is_made = option == "venv" and os.path.exists(os.path.join(folder, "bin", "pip"))
        if option in OTHER_FOLDERS and needs.places.get(option) and not is_made:
            problems += _folder_problems(OTHER_FOLDERS[option], folder, 0, variable, option not in path_rules.NOT_MADE)
    if needs.temp_dir is None and all(durable.obstacle(folder, may_be_made=False) for folder in _system_temp_dirs()):
        problems.append(_problem("temp_dir_not_writable", f"a writable folder for {PURPOSES['temp_dir']}",
                                 f"{', '.join(_system_temp_dirs())} are not writable", "Set dhash_temp_dir to a folder that this user can write to."))
    return problems


def _system_temp_dirs() -> list[str]:
    """The folders for temporary files: Python uses the first writable one (``tempfile.gettempdir``)."""
    return [*filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp", "/var/tmp", "/usr/tmp"]


def _owner_problems(library: str) -> list[dict[str, Any]]:
    """The problem of a user who cannot give the new library the owner and group of the old one."""
    status = os.stat(library)
    if os.geteuid() in (0, status.st_uid) and (os.geteuid() == 0 or status.st_gid in (os.getegid(), *os.getgroups())):
        return []
    return [_problem("library_owner_not_permitted",
                     f"permission to set the owner of a new library to that of {printable(library)} ({status.st_uid}:{status.st_gid})",
                     f"this user is {os.geteuid()}:{os.getegid()}", "Run with become as root or as that owner.")]


def _folder_problems(name: str, place: str, needed: int, variable: str | None, may_be_made: bool = True) -> list[dict[str, Any]]:
    purpose = PURPOSES[name]
    elsewhere = f"set {variable} to another folder" if variable else "move the library to another disk"
    obstacle = durable.obstacle(place, may_be_made)
    if obstacle:
        return [_problem(f"{name}_not_writable", f"a writable folder for {purpose}", f"{printable(obstacle.path)} {obstacle.cause}",
                         f"{obstacle.step}, or {elsewhere}." if obstacle.step else f"{elsewhere[0].upper()}{elsewhere[1:]}.")]
    present = durable.present_part(place)
    free = shutil.disk_usage(present).free
    if free < needed:
        return [_problem(f"{name}_no_space", f"{_size(needed)} free for {purpose}", f"{_size(free)} in {printable(present)}",
                         f"Free some space, or {elsewhere}.")]
    return []


def _window_problems(needs: Needs, now: datetime) -> list[dict[str, Any]]:
    try:
        if needs.maintenance_window is None or window_is_open(needs.maintenance_window, now):
            return []
    except DhashError as error:
        return [_problem("maintenance_window_invalid", "a maintenance window", error.cause, error.next_step)]
    return [_problem("maintenance_window_closed", "an open maintenance window",
                     f"the time on this host is {now:%a %H:%M}, the window is {needs.maintenance_window}",
                     "Wait for the window, or change dhash_maintenance_window.")]


def window_is_open(window: str, now: datetime) -> bool:
    """Whether ``now`` (local time) lies in ``window``: ``22:00-04:00``, ``Sat 22:00-04:00``, ``Mon-Fri 01:00-05:00``.

    A window past midnight belongs to the day on which it starts. Raises ``DhashError`` for any other form.
    """
    parts = WINDOW.fullmatch(window.strip())
    first, last = (parts["first"], parts["last"] or parts["first"]) if parts else (None, None)
    if not parts or any(day and day.lower() not in DAYS for day in (first, last)):
        raise DhashError(f"invalid maintenance window {window!r}",
                         next_step="Write the window as 22:00-04:00, Sat 22:00-04:00 or Mon-Fri 01:00-05:00.")
    start, end = (60 * int(time[:2]) + int(time[3:]) for time in (parts["start"], parts["end"]))
    minute, day = 60 * now.hour + now.minute, now.weekday()
    if start >= end and minute < end:
        minute, day = minute + 24 * 60, (day - 1) % 7
    if start >= end:
        end += 24 * 60
    if first is not None and last is not None:
        opening, closing = DAYS.index(first.lower()), DAYS.index(last.lower())
        if (day - opening) % 7 > (closing - opening) % 7:
            return False
    return start <= minute < end


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _size(count: int) -> str:
    """A number of bytes in MiB, or in a smaller unit if it would be rounded to zero."""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size / 10:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _install_key() -> str | None:
    system = platform.system().lower()
    if system != "linux":
        return system if system in INSTALL else None
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            release = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    except OSError:
        return None
    names = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".replace('"', "").split()
    return next((name for name in names if name in INSTALL), None)


def _install_command(thing: str) -> str:
    key = _install_key()
    if key is None:
        return f"Install {thing} with this system's package manager."
    command, names = INSTALL[key]
    return f"{command} {names.get(thing, thing)}"
