# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drawn library in a folder of its own, and the means to run playbooks and modules on it as an operator does."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_service import Service
from draw_library import draw_library
from module_server import ModuleServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HOST_PYTHON = os.environ.get("HOST_PYTHON", sys.executable)  # of managed hosts; tests/matrix.sh sets it. The module ansible is there, too
COLLECTIONS = ROOT / ".ansible/collections"
IMAGES = 40  # 5 of them broken, which is more than dhash_max_failure_rate allows by default
FAILURE_RATE = 0.2
CHEAP = {"dhash_verify_sample_size": 0, "dhash_parallel": 1}  # but where a test is about these
RUN_SECONDS = 600
READ_AT_START = ("LANG", "LC_", "LD_LIBRARY_PATH", "LOCPATH", "PATH", "PYTHON", "TZ")  # by Python and its loader
PATIENCE = 240
ON_THE_CONTROLLER = {f"ansible.builtin.{name}" for name in (
    "assert", "debug", "fail", "include_role", "include_tasks", "set_fact", "validate_argument_spec")}


class Run(NamedTuple):
    """A playbook that has run: its exit code, what the operator saw, each task's result, and the recap."""

    code: int
    output: str
    results: list[dict[str, Any]]
    recap: dict[str, dict[str, Any]]

    def of(self, task: str, host: str = "localhost") -> dict[str, Any]:
        """The result of the last task on ``host`` whose name ends with ``task``."""
        found = [record for record in self.results if record["host"] == host and record["task"].endswith(task)]
        assert found, f"no result of {task!r} in\n{self.output}"
        return {**found[-1]["result"], "status": found[-1]["status"]}

    def changed(self) -> list[str]:
        """The names of the tasks that reported a change."""
        return [record["task"].split(" : ")[-1] for record in self.results if record["status"] == "changed"]

    def on_the_host(self, host: str = "localhost") -> list[str]:
        """The names of the tasks that ran a module on ``host``."""
        return [record["task"].split(" : ")[-1] for record in self.results if record["host"] == host and record["status"] != "skipped"
                and not record["delegated"] and record["action"] not in ON_THE_CONTROLLER]

    def failures(self, host: str = "localhost") -> list[str]:
        """The messages of the tasks that failed on ``host``."""
        return [str(record["result"].get("msg")) for record in self.results
                if record["status"] == "failed" and record["host"] == host]


@functools.cache
def payloads() -> tempfile.TemporaryDirectory[str]:
    """A folder for the runs of this process alone, which is removed with it. Where pytest has its folders, so that files can be linked."""
    return tempfile.TemporaryDirectory(prefix="payloads-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))


@functools.cache
def module_server(at_start: tuple[tuple[str, str], ...]) -> ModuleServer:
    """One for all tests of this process that give Python the same environment to start with."""
    return ModuleServer(HOST_PYTHON, COLLECTIONS, dict(at_start))


class Site:
    """A folder with a library, its pictures, its state folder, and a home for whoever runs Ansible there."""

    def __init__(self, folder: Path, truth: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.library = folder / "library/library.json"
        self.state = folder / "state"
        self.home = folder / "home"
        self.truth = truth or {}
        self.home.mkdir(parents=True)

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return kept | {
            "HOME": str(self.home), "LC_ALL": "C.UTF-8", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "ANSIBLE_PYTHON_INTERPRETER": HOST_PYTHON,
            # the second one too, since Ansible takes ~ there for the home in the system's list of users
            "ANSIBLE_HOME": str(self.home / ".ansible"), "ANSIBLE_REMOTE_TEMP": str(self.home / ".ansible/tmp"),
            "ANSIBLE_CALLBACK_PLUGINS": f"{ROOT / 'tests/support/callback_plugins'}:{ROOT / 'tests/support/quick_runs'}",
            "TASK_RESULTS": str(self.home / "task-results.jsonl"), "PAYLOADS": payloads().name, "HOST_PYTHON": HOST_PYTHON, **extra}

    def command(self, name: str, *options: str, inventory: str | Path = "localhost,", **variables: Any) -> list[str]:
        """The command line that runs the collection's playbook ``name``; a variable that is None is left out."""
        given = {"dhash_library": str(self.library), "dhash_state_dir": str(self.state), "dhash_max_failure_rate": FAILURE_RATE,
                 "dhash_fleet_report_dir": "", "dhash_monitor_minutes": 0, **CHEAP}
        given = {variable: value for variable, value in (given | variables).items() if value is not None}
        return [str(BIN / "ansible-playbook"), f"mobius.dhash.{name}", "-i", str(inventory), "-c", "local", "-e", json.dumps(given), *options]

    def playbook(self, name: str, *options: str, environment: dict[str, str] | None = None,
                 inventory: str | Path = "localhost,", **variables: Any) -> Run:
        """Run a playbook to its end."""
        shown = subprocess.run(self.command(name, *options, inventory=inventory, **variables), cwd=ROOT, check=False,
                               env=self.environment(**environment or {}), stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_SECONDS)
        return self.read_run(shown.returncode, shown.stdout)

    def read_run(self, code: int, output: str) -> Run:
        """What the run that has just ended wrote about its tasks."""
        file = self.home / "task-results.jsonl"
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        file.unlink(missing_ok=True)
        recap: dict[str, dict[str, Any]] = next((record["recap"] for record in records if "recap" in record), {})
        return Run(code, output, [record for record in records if "task" in record], recap)

    def module(self, name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run a module of the collection by itself, in the Python of managed hosts; returns its result."""
        given = {"_ansible_check_mode": check, "_ansible_diff": True, **arguments}
        environment = self.environment()
        at_start = tuple((variable, value) for variable, value in sorted(environment.items()) if variable.startswith(READ_AT_START))
        output, errors = module_server(at_start).run(name, given, environment)
        assert errors == "", errors
        result: dict[str, Any] = json.loads(output)
        return result

    def migrate(self) -> dict[str, Any]:
        """What the migrate playbook does to a library without a service, by its modules alone; the result of library_migrate."""
        results = [self._carry_out(module, **arguments) for module, arguments in (
            ("library_backup", {}), ("library_migrate", {"parallel": 1}), ("library_deploy", {}), ("library_deploy", {"state": "verified"}))]
        return results[1]

    def roll_back(self) -> None:
        """What the rollback playbook does then, by its modules alone."""
        for module, arguments in (("library_rollback", {}), ("library_deploy", {}), ("library_deploy", {"state": "verified"})):
            self._carry_out(module, **arguments)

    def _carry_out(self, module: str, **arguments: Any) -> dict[str, Any]:
        result = self.module(module, library=str(self.library), state_dir=str(self.state), **arguments)
        assert not result.get("failed"), result
        return result

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """All that is in the folder but the home."""
        return snapshot(self.folder, without=self.home)

    def read(self, name: str = "library.json") -> dict[str, Any]:
        """A JSON file beside the library."""
        value: dict[str, Any] = json.loads((self.library.parent / name).read_text(encoding="utf-8"))
        return value

    def backups(self) -> list[Path]:
        return sorted(self.library.parent.glob("library.json.bak.*Z"))


def snapshot(folder: Path, without: Path | None = None) -> dict[str, tuple[Any, ...]]:
    """Mode, time of change and content of all in ``folder``. The times of folders tell of a file that was there for a moment."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) != without]
        for name in [*folders, *files]:
            path = Path(place, name)
            status = path.lstat()
            content = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
                content = sha256(path)
            found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A library that nothing has touched, and what is in it."""
    folder = tmp_path_factory.mktemp("drawn") / "library"
    return folder, draw_library(folder, IMAGES)


@pytest.fixture(scope="session")
def make_site(drawn: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Site]:
    """Makes a site with a copy of the drawn library."""
    source, truth = drawn

    def make(name: str) -> Site:
        site = Site(tmp_path_factory.mktemp(name), truth)
        shutil.copytree(source, site.library.parent)
        text = site.library.read_bytes().replace(str(source).encode(), str(site.library.parent).encode())
        site.library.write_bytes(text)
        return site

    return make


@pytest.fixture
def site(make_site: Callable[[str], Site]) -> Site:
    """A library for one test alone."""
    return make_site("site")


@pytest.fixture
def service(site: Site) -> Iterator[Service]:
    """A healthy service of that library."""
    made = Service(site)
    yield made
    made.close()
