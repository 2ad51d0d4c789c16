# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with libraries and a node_exporter each, and a Prometheus that scrapes them and has loaded our rules."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from draw_library import draw_library
from hosts import RULES, Prometheus, free_port, running, wait_for

PROGRAMS = ("prometheus", "promtool", "prometheus-node-exporter")


@pytest.fixture(scope="session")
def programs() -> None:
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: prometheus, prometheus-node-exporter)")


@pytest.fixture(scope="session")
def textfiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the textfile collectors, by host."""
    return {host: tmp_path_factory.mktemp(f"textfiles-{host}") for host in ("one", "two", "three", "troubled", "broken")}


@pytest.fixture(scope="session")
def prometheus(programs: None, textfiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Debian's Prometheus and a node_exporter a host; the rules are the shipped ones, but fire without waiting."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = RULES.read_text(encoding="utf-8")
    (folder / "rules.yml").write_text(re.sub(r"^(\s+for:) .*$", r"\1 0s", rules, flags=re.MULTILINE), encoding="utf-8")
    ports = {host: free_port() for host in textfiles}
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "300ms", "scrape_timeout": "300ms", "evaluation_interval": "300ms"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "node", "static_configs": [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": host}} for host, port in ports.items()]}],
    }), encoding="utf-8")
    port = free_port()
    with contextlib.ExitStack() as stack:
        for host, textfile in textfiles.items():
            stack.enter_context(running(
                folder / f"{host}.log", "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{ports[host]}",
                "--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={textfile}"))
        log = folder / "prometheus.log"
        server = stack.enter_context(running(
            log, "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}"))
        found = Prometheus(f"http://127.0.0.1:{port}")

        def is_ready() -> bool:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            with contextlib.suppress(OSError):  # a refusal, or 503 as long as it starts
                urllib.request.urlopen(f"{found.url}/-/ready", timeout=10).close()
                return len(found.query("up == 1")) == len(textfiles)
            return False

        wait_for(is_ready, lambda: f"Prometheus to scrape every host:\n{log.read_text(encoding='utf-8')}")
        yield found


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 40 images, 5 of them broken, that nothing has touched."""
    folder = tmp_path_factory.mktemp("drawn") / "library"
    draw_library(folder, 40)
    return folder
