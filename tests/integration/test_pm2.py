# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service under a real pm2, which reads the library when it starts and tells at its health URL how many hashes it has."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import BIN, Run, Site, sha256, wait_for

pytestmark = pytest.mark.thorough

SERVICE = """
const [,, library, log, port] = process.argv;
const fs = require("fs");
const bytes = fs.readFileSync(library);
const hashed = JSON.parse(bytes).images.filter((image) => image.dhash).length;
const digest = require("crypto").createHash("sha256").update(bytes).digest("hex");
fs.appendFileSync(log, `start ${digest}\\n`);
require("http").createServer((_, response) => response.end(JSON.stringify({hashed}))).listen(Number(port), "127.0.0.1");
"""


class Way(NamedTuple):
    site: Site
    old: str
    first: Run
    starts: list[str]  # the digest of the library at each start of the service
    after_first: dict[str, Any]
    second: Run
    after_second: dict[str, Any]


@pytest.fixture(scope="module")
def pm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not shutil.which("npm"):
        pytest.skip("no npm to install pm2 with")
    folder = tmp_path_factory.mktemp("pm2")
    installed = subprocess.run(["npm", "install", "--prefix", folder, "pm2", "--no-audit", "--no-fund", "--fetch-retries", "1"],
                               check=False, capture_output=True, text=True)
    if installed.returncode != 0:
        pytest.skip(f"no registry to install pm2 from: {installed.stderr.splitlines()[:1]}")
    program = folder / "node_modules/.bin/pm2"
    yield program
    subprocess.run([program, "kill"], env=os.environ | {"PM2_HOME": str(folder / "home")}, check=True, capture_output=True)


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site], pm2: Path) -> Way:
    site = make_site("way")
    log, script = site.home / "starts.log", site.home / "service.js"
    script.write_text(SERVICE, encoding="utf-8")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    environment = {"PM2_HOME": str(pm2.parents[2] / "home"), "PATH": f"{pm2.parent}:{BIN}:{os.environ['PATH']}"}

    def pm2_says(*arguments: str) -> str:
        return subprocess.run([pm2, *arguments], env=os.environ | environment, check=True, capture_output=True, text=True).stdout

    def process() -> dict[str, Any]:
        (found,) = json.loads(pm2_says("jlist", "--silent"))
        return {"pid": found["pid"], "status": found["pm2_env"]["status"], "since": found["pm2_env"]["pm_uptime"]}

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(port))) == 0

    pm2_says("start", str(script), "--name", "mobius-app", "--", str(site.library), str(log), port)
    wait_for(answers, "the service to answer")
    settings: dict[str, Any] = {
        "dhash_service_manager": "pm2", "dhash_service_name": "mobius-app", "dhash_health_url": f"http://127.0.0.1:{port}/",
        "dhash_health_body": '"hashed":[0-9]+', "dhash_health_delay": 1}
    old = sha256(site.library)
    first = site.playbook("migrate", environment=environment, **settings)
    starts, after_first = log.read_text(encoding="utf-8").split("\n"), process()
    second = site.playbook("migrate", environment=environment, **settings)
    return Way(site, old, first, [line.removeprefix("start ") for line in starts if line], after_first, second, process())


def test_it_is_restarted_once_and_serves_the_new_library(way: Way) -> None:
    assert way.first.code == 0, way.first.output
    assert way.starts == [way.old, sha256(way.site.library)]
    assert way.after_first["status"] == "online"
    assert way.first.of("Wait for the service to become healthy")["healthy"] is True


def test_a_run_that_changes_nothing_leaves_it_running(way: Way) -> None:
    assert way.second.code == 0, way.second.output
    assert way.second.changed() == []
    assert way.after_second == way.after_first
