# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Libraries whose modules publish metrics, the programs that are tried on them, and what can be asked of Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COLLECTIONS = ROOT / ".ansible/collections"
RULES = ROOT / "roles/monitor/files/mobius-dhash.rules.yml"
PATIENCE = 60
DAYS, HOURS = 24 * 3600, 3600
# Runs a module on a host whose clock is behind.
LATE = ("import runpy, sys, time; now = time.time; late = float(sys.argv.pop(1)); time.time = lambda: now() - late;"
        " runpy.run_module(sys.argv.pop(1), run_name='__main__')")


def wait_for(condition: Callable[[], Any], what: Callable[[], str] | str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what() if callable(what) else what}"
        time.sleep(0.1)
    return found


class Library:
    """A library on a host, and its state; its modules publish into the folder of the host's exporter."""

    def __init__(self, folder: Path, textfiles: Path, drawn: Path | None = None) -> None:
        self.folder, self.textfiles, self.state = folder, textfiles, folder.parent / f"{folder.name}.state"
        self.path = folder / "library.json"
        self.truth = {}
        if drawn:
            shutil.copytree(drawn, folder)
            self.path.write_bytes(self.path.read_bytes().replace(str(drawn).encode(), json.dumps(str(folder), ensure_ascii=False)[1:-1].encode()))
            self.truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        else:
            folder.mkdir(parents=True)

    def fill(self, paths: list[str]) -> None:
        self.path.write_text(json.dumps({"images": [{"path": path, "filename": path} for path in paths]}), encoding="utf-8")

    def value(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return value

    def start(self, module: str, late: float = 0, **arguments: Any) -> subprocess.Popen[bytes]:
        given = {"library": str(self.path), "state_dir": str(self.state), "metrics_dir": str(self.textfiles), **arguments}
        process = subprocess.Popen(
            [sys.executable, "-c", LATE, str(late), f"ansible_collections.mobius.dhash.plugins.modules.{module}"], cwd=COLLECTIONS,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")})
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, module: str, fails: bool = False, **arguments: Any) -> dict[str, Any]:
        shown, complaints = self.start(module, **arguments).communicate(timeout=PATIENCE)
        assert complaints == b"", complaints.decode()
        result: dict[str, Any] = json.loads(shown)
        assert bool(result.get("failed")) == fails, result
        assert not result.get("warnings"), result
        return result

    def migrate(self) -> dict[str, Any]:
        """Migrate, deploy and verify."""
        result = self.run("library_migrate")
        self.run("library_deploy")
        self.run("library_deploy", state="verified")
        return result

    def published(self) -> str:
        """What its file for the exporter says; nothing before there is one."""
        return "".join(file.read_text(encoding="utf-8") for file in self.textfiles.glob("*.prom")
                       if json.dumps(str(self.path), ensure_ascii=False) in file.read_text(encoding="utf-8"))


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float:
        (sample,) = self.query(expression)
        return float(sample["value"][1])

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, each with the library, or the host, that it is about."""
        return {(sample["metric"]["alertname"], sample["metric"].get("library", sample["metric"]["instance"]))
                for sample in self.query('ALERTS{alertstate="firing"}')}

    def has_scraped(self, since: float) -> bool:
        """Whether every host has been scraped since that moment."""
        scraped = self.query("min(timestamp(up))")
        return bool(scraped) and float(scraped[0]["value"][1]) > since

    def has_evaluated(self, since: float) -> bool:
        """Whether every rule has been evaluated since that moment."""
        return min(seconds_of(group["lastEvaluation"]) for group in self.get("/api/v1/rules")["groups"]) > since


def seconds_of(moment: str) -> float:
    """RFC 3339 with nanoseconds, as Prometheus has it, in seconds since 1970."""
    parts = re.fullmatch(r"(.{19})(\.\d+)?Z", moment)
    assert parts, moment
    text, fraction = parts.groups()
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(fraction or 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(log: Path, *command: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()
