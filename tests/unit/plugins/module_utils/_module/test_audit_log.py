# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log of operations: who did what to which library, and that it costs no operation anything."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LockedError
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log

APPENDERS, LINES = 8, 200
LIBRARY = "/srv/library.json"
APPENDER = """
import sys
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log
for number in range(int(sys.argv[3])):
    audit_log.append(sys.argv[1], sys.argv[1], {"process": sys.argv[2], "number": number, "padding": "x" * 3000})
"""


class Module:
    """What the log needs of an AnsibleModule."""

    def __init__(self, library: Path, log_dir: str | None = "logs", check_mode: bool = False, origin: dict[str, Any] | None = None) -> None:
        self.params = {"library": str(library), "log_dir": log_dir, "origin": origin}
        self.check_mode = check_mode
        self.no_log_values = {"s3cret-identity"}
        self.logged: list[str] = []
        self.warnings: list[str] = []

    def log(self, text: str) -> None:
        self.logged.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "library.json"
    path.write_text("{}", encoding="utf-8")
    return path


def lines(library: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(library.parent.glob("logs/*.operations-*.jsonl")) for line in file.read_text().splitlines()]


def test_change_is_one_line_with_who_did_what_from_where(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    module = Module(library, origin={"user": "ada", "host": "bastion", "run": "20260131T120000Z"})
    with audit_log.recorded(module, "deploy") as done:
        done.changed, done.run, done.before, done.after = True, "run-1", "a" * 64, "b" * 64
        done.details = {"images": 3, "pruned": ["one", "two"], "of": None}
    (entry,) = lines(library)
    assert entry | {"time": "", "login": "", "seconds": 0} == {
        "time": "", "operation": "deploy", "result": "ok", "library": str(library), "run": "run-1", "changed": True, "before": "a" * 64,
        "after": "b" * 64, "error": None, "seconds": 0, "user": getpass.getuser(), "login": "", "from": "192.0.2.7",
        "controller": {"user": "ada", "host": "bastion", "run": "20260131T120000Z"}, "host": os.uname().nodename, "process": os.getpid(),
        "version": "1.0.0", "details": {"images": 3, "pruned": ["one", "two"], "of": None}}
    assert time.strptime(entry["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert module.logged == [f"mobius.dhash deploy ok: {library} sha256 {'a' * 64} -> {'b' * 64} run run-1 by ada@bastion from 192.0.2.7"]
    (file,) = library.parent.glob("logs/*")
    assert file.name == time.strftime("library.json.operations-%Y%m.jsonl", time.gmtime()) and file.stat().st_mode & 0o777 == 0o640


def test_address_is_taken_from_the_caller_of_sudo(library: Path) -> None:
    code = ("import os, sys; os.environ.pop('SSH_CONNECTION'); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])")
    shown = "from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log; print(audit_log._client())"
    shell = ["sh", "-c", f'"{sys.executable}" -c "$1" "$2"; true', "sh", code, shown]
    environment = {**os.environ, "SSH_CONNECTION": "2001:db8::7 50000 2001:db8::1 22", "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(shell, env=environment, capture_output=True, text=True, check=True).stdout == "2001:db8::7\n"


def test_no_change_check_mode_and_unlogged_work_leave_no_line(library: Path) -> None:
    for module, changed, log in ((Module(library), False, True), (Module(library, check_mode=True), True, True), (Module(library), True, False)):
        with audit_log.recorded(module, "backup", log=log) as done:
            done.changed = changed
        assert module.logged == []
    with pytest.raises(DhashError), audit_log.recorded(Module(library, check_mode=True), "backup"):
        raise DhashError("no")
    assert [path.name for path in library.parent.iterdir()] == ["library.json"]


@pytest.mark.parametrize(("error", "result", "text"), [
    (DhashError("could not do it: s3cret-identity\n\x1b[31m", "/srv/a\nb"), "failed", "/srv/a\\nb: could not do it: ********\\n\\x1b[31m"),
    (LockedError("in use"), "refused", "in use"),
    (ZeroDivisionError("a fault of ours"), "failed", "ZeroDivisionError: a fault of ours"),
])
def test_failure_is_logged_with_its_cause_and_checksum(library: Path, error: Exception, result: str, text: str) -> None:
    module = Module(library)
    with pytest.raises(type(error)), audit_log.recorded(module, "migration"):
        raise error
    (entry,) = lines(library)
    assert (entry["result"], entry["error"], entry["changed"]) == (result, text, False)
    assert entry["before"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert module.logged[0].endswith(f": {text}") and "\n" not in module.logged[0]


def test_hostile_names_and_long_texts_stay_one_line_of_json(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b'a\n"b\xff')
    folder.mkdir()
    library = folder / "library.json"
    library.write_text("{}", encoding="utf-8")
    module = Module(library, origin={"user": "a\n" * 5000, "deep": {"x": ["y"]}, **{str(number): "" for number in range(500)}})
    with pytest.raises(DhashError), audit_log.recorded(module, "backup"):
        raise DhashError("x" * 100_000, str(library))
    (file,) = folder.glob("logs/*")
    assert file.read_bytes().count(b"\n") == 1 and file.stat().st_size < 10_000
    entry = json.loads(file.read_text(encoding="utf-8"))
    assert entry["library"] == str(tmp_path) + '/a\\n"b\\udcff/library.json'
    assert len(entry["controller"]) == 50 and entry["controller"]["deep"] == "{'x': ['y']}"


@pytest.mark.slow
def test_lines_of_many_processes_stay_whole(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", APPENDER, str(tmp_path), str(number), str(LINES)], env=environment)
               for number in range(APPENDERS)]
    assert [process.wait(timeout=120) for process in running] == [0] * APPENDERS
    (file,) = tmp_path.glob("*.operations-*.jsonl")
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((int(entry["process"]), entry["number"]) for entry in found) == [(p, n) for p in range(APPENDERS) for n in range(LINES)]


@pytest.mark.slow
def test_a_writer_that_stands_still_keeps_no_line_of_others_back(tmp_path: Path) -> None:
    audit_log.append(str(tmp_path), str(tmp_path), {"number": 1})
    (file,) = tmp_path.glob("*")
    with file.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        audit_log.append(str(tmp_path), str(tmp_path), {"number": 2})
    assert file.read_text() == '{"number": 1}\n{"number": 2}\n'


def test_line_truncated_by_a_full_disk_spoils_no_other(tmp_path: Path) -> None:
    audit_log.append(str(tmp_path), str(tmp_path), {"number": 1})
    (file,) = tmp_path.glob("*")
    file.write_bytes(file.read_bytes() + b'{"numb')
    audit_log.append(str(tmp_path), str(tmp_path), {"number": 2})
    assert file.read_text() == '{"number": 1}\n{"numb\n{"number": 2}\n'


@pytest.mark.parametrize("obstacle", ["file", "pipe", "link"])
def test_unwritable_log_is_a_warning_and_fails_nothing(library: Path, obstacle: str) -> None:
    logs = library.parent / "logs"
    name = logs / time.strftime("library.json.operations-%Y%m.jsonl", time.gmtime())
    if obstacle == "file":
        logs.write_text("in the way")
    else:
        logs.mkdir()
        os.mkfifo(name) if obstacle == "pipe" else name.symlink_to(library)
    module = Module(library)
    with audit_log.recorded(module, "backup") as done:
        done.changed = True
    (warning,) = module.warnings
    assert warning.startswith("The audit log lacks the entry of this operation (backup, ok): ") and str(logs) in warning
    assert library.read_text() == "{}" and len(module.logged) == 1


def test_audit_log_without_a_folder_goes_to_syslog_alone(library: Path) -> None:
    module = Module(library, log_dir=None)
    with audit_log.recorded(module, "backup") as done:
        done.changed = True
    assert len(module.logged) == 1 and module.warnings == []
    assert [path.name for path in library.parent.iterdir()] == ["library.json"]


def test_log_pruning_removes_only_old_files_with_our_names(tmp_path: Path) -> None:
    ours = [f"library.json.{name}" for name in (
        "migration-20240131-120000.log", "test-migration-20240131-120000.log", "dry-run-20240131-120000.log", "rollback-20240131-120000.log",
        "monitor-20240131-120000.log", "review-import-20240131-120000.log",
        "review-reversal-20240131-120000.log", "operations-202401.jsonl", "test-migration-report.json",
        "migration-report.errors.jsonl")]
    others = ["library.json.migration.log", "library.json.migration-20240131-120000.log.gz", "library.json.migration-20240131-120000.log\n",
              "library.json.xmigration-20240131-120000.log", "service.log", "library.json.operations-2024.jsonl", "library.json",
              "library.json.bak.20240131T120000Z", "library.json.migration-20240131-12000.log", "migration-20240131-120000.log",
              "other.json.migration-20240131-120000.log", "other-library.json.migration-report.json", "libraryxjson.migration-report.json"]
    logs = tmp_path / "logs"
    (logs / "below").mkdir(parents=True)
    outside = tmp_path / "library.json.migration-20240131-120000.log"
    kept = [outside, logs / "below/migration-20240131-120000.log", *(logs / name for name in others)]
    old = time.time() - 366 * 86400
    for path in [*kept, *(logs / name for name in ours)]:
        path.write_text("x")
        os.utime(path, (old, old))
    young = logs / "library.json.migration-20240131-120001.log"
    young.write_text("x")
    link = logs / "library.json.migration-20240131-120002.log"
    link.symlink_to(outside)
    os.utime(link, (old, old), follow_symlinks=False)
    folder = logs / "library.json.migration-20240131-120003.log"
    folder.mkdir()
    os.utime(folder, (old, old))

    assert audit_log.prune(str(logs), LIBRARY, 0) == [] and audit_log.prune(None, LIBRARY, 365) == []
    assert audit_log.prune(str(logs / "none"), LIBRARY, 365) == []
    assert audit_log.prune(str(logs), LIBRARY, 365) == sorted(ours)
    assert all(path.exists() for path in [*kept, young, folder]) and link.is_symlink()
    assert audit_log.prune(str(logs), LIBRARY, 365) == []
