# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that are not ready for a migration, all in one run: each is told what is wrong, where, and what to do, and nothing is written."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Site, snapshot

ROOT_USER = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"
NESTING = 200 << 20
ONE_IMAGE = {"images": [{"filename": "a.png", "path": "a.png"}]}
LIBRARIES = {  # name: (content, cause, next step)
    "missing": (None, "could not read the library: No such file or directory", "Check the path."),
    "empty": ("", "the file is empty", "Check that this is the right file, or restore a backup."),
    "not_json": ("images: none\n", "the file is not JSON: Expecting value at line 1, column 1", "Correct the file, or restore a backup."),
    "cut_off": ('{"images": [{"path": "a.pn', "the file is not JSON: Unterminated string", "cut off: restore a backup."),
    "array": ('[{"path": "a.png", "filename": "a.png"}]', 'the file holds an array, not an object with "images"',
              "Check that this is the right file, or restore a backup."),
    "no_images": ('{"pictures": []}', 'the library has no "images"', "Check that this is the right file, or restore a backup."),
    "no_path": ('{"images": [{"filename": "a.png"}]}', 'the library has images whose "path" is missing or not a string: images[0]',
                "Correct or remove them, or restore a backup."),
    "nesting": ("[" * NESTING, "the JSON is nested more than 128 levels deep", "Check that this is the right file, or restore a backup."),
}


class Web:
    """A service that is up, and answers with something else than a healthy one."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"status": "degraded"}')

            def log_message(self, *_args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/health"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Hosts:
    """An inventory of hosts that are all this machine, each with a library and a fault of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder / "hosts"
        # Beside pytest's own folders, which nobody but their user may enter.
        self.public = Path(tempfile.mkdtemp())
        self.public.chmod(0o755)
        self.bare_python = site.home / "bare/bin/python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.bare_python.parents[1]], check=True)
        self.no_ffmpeg = self.interpreter("no-ffmpeg", f"PATH=/nowhere exec {sys.executable}")
        self.none_of_it = self.interpreter("none-of-it", f"PATH=/nowhere exec {self.bare_python}")
        self.nobody = f"{sys.executable}"
        if ROOT_USER:
            self.nobody = self.interpreter("nobody", f"exec setpriv --reuid=65534 --regid=65534 --clear-groups {SYSTEM_PYTHON}")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.silent_url = f"http://127.0.0.1:{unused.getsockname()[1]}/health"
        self.web = Web()
        hour_ago = datetime.now() - timedelta(hours=1)
        self.closed_window = f"{hour_ago - timedelta(hours=1):%H:%M}-{hour_ago:%H:%M}"
        self.variables: dict[str, dict[str, Any]] = {}

    def interpreter(self, name: str, command: str) -> str:
        script = self.site.home / name
        script.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return str(script)

    def add(self, name: str, content: str | None = None, folder: Path | None = None, **variables: Any) -> Path:
        """A host of that name, with a library of one image if nothing else is given; returns its library's folder."""
        place = (folder or self.folder) / name
        place.mkdir(parents=True)
        library = place / "library.json"
        if content is not None:
            library.write_text(content, encoding="utf-8")
        elif name != "missing":
            library.write_text(json.dumps(ONE_IMAGE, indent=2), encoding="utf-8")
            (place / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        self.variables[name] = {"dhash_library": str(library), "dhash_state_dir": str(place / "state"), **variables}
        return place

    def run(self, *options: str) -> Run:
        inventory = self.site.home / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": self.variables}}), encoding="utf-8")
        return self.site.playbook("migrate", *options, inventory=inventory, dhash_library=None, dhash_state_dir=None,
                                  dhash_serial="100%")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    made = Hosts(Site(tmp_path_factory.mktemp("not_ready")))
    for name, (content, _cause, _step) in LIBRARIES.items():
        if name != "nesting" or shutil.disk_usage(made.site.folder).free > 5 * NESTING:
            made.add(name, content)
    made.add("media_root_missing", dhash_media_roots=["/no/such/folder"])
    (made.add("media_gone") / "a.png").unlink()
    made.add("ffmpeg_missing", ansible_python_interpreter=made.no_ffmpeg, dhash_require_ffmpeg=True)
    made.add("packages_missing", ansible_python_interpreter=str(made.bare_python))
    made.add("window_closed", dhash_maintenance_window=made.closed_window)
    made.add("window_misspelt", dhash_maintenance_window="at night")
    made.add("health_silent", dhash_health_url=made.silent_url)
    made.add("health_other_body", dhash_health_url=made.web.url, dhash_health_body='"ok"')
    made.add("health_other_status", dhash_health_url=made.web.url, dhash_health_status=[204])
    made.add("all_at_once", ansible_python_interpreter=made.none_of_it, dhash_require_ffmpeg=True, dhash_node_min_version="999",
             dhash_maintenance_window=made.closed_window, dhash_health_url=made.silent_url, dhash_required_endpoint_url=made.silent_url,
             dhash_media_roots=["/no/such/folder"])
    if not ROOT_USER or os.access(SYSTEM_PYTHON, os.X_OK):
        for name in ("unreadable", "read_only"):
            made.add(name, folder=made.public, ansible_python_interpreter=made.nobody)
        homeless = made.interpreter("homeless", f"export HOME=/nonexistent; exec {made.nobody}")
        made.add("homeless", folder=made.public, ansible_python_interpreter=homeless, dhash_state_dir="").chmod(0o777)
        (made.public / "unreadable/library.json").chmod(0o000)
        (made.public / "read_only").chmod(0o555)
    mounted = None
    if ROOT_USER:
        mounted = made.public / "disk_full"
        mounted.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mounted], check=False).returncode == 0:
            library = made.add("disk_full", folder=mounted) / "library.json"
            library.write_text(json.dumps({**ONE_IMAGE, "padding": "x" * 200_000}, indent=2), encoding="utf-8")
        else:
            mounted = None
    yield made
    made.web.close()
    if mounted:
        subprocess.run(["umount", mounted], check=True)
    (made.public / "read_only").chmod(0o755)
    shutil.rmtree(made.public)


@pytest.fixture(scope="module")
def run(hosts: Hosts) -> Iterator[Run]:
    places = (hosts.folder, hosts.public)
    before = [snapshot(place) for place in places]
    made = hosts.run()
    yield made
    assert [snapshot(place) for place in places] == before, "something was written"


def message(hosts: Hosts, run: Run, name: str) -> str:
    """What the host was told; a host that this machine cannot be is skipped."""
    if name not in hosts.variables:
        pytest.skip({"nesting": "too little disk space", "disk_full": "not root, or no mount of a tmpfs"}.get(
            name, f"root, and no {SYSTEM_PYTHON} to run as somebody else"))
    (told,) = run.failures(name)
    assert told.startswith(f"{name} is not ready for a migration of {hosts.variables[name]['dhash_library']}")
    assert run.recap[name]["failures"] == 1 and run.recap[name]["changed"] == 0
    return told


def test_the_run_fails_without_a_traceback(run: Run) -> None:
    assert run.code != 0
    assert "Traceback" not in run.output


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_none(name: str, hosts: Hosts, run: Run) -> None:
    _content, cause, step = LIBRARIES[name]
    told = message(hosts, run, name)
    assert f"- a valid library: {hosts.variables[name]['dhash_library']}: {cause}" in told
    assert step in told.split("\n  -> ", 1)[1]


@pytest.mark.parametrize(("name", "cause", "step"), [
    ("unreadable", "could not read the library: Permission denied", "Give the user that runs the module access to this path, or run with become."),
    ("read_only", "- a writable folder for backups: {place} is not writable", "Give this user write access to this folder"),
    ("homeless", "- a writable folder for the state: / is not writable", "or set dhash_state_dir to another folder."),
    ("homeless", "- a writable folder for Ansible's background jobs: / is not writable", "or set ansible_async_dir to another folder."),
    ("disk_full", "free for the migrated library: ", "Free some space, or move the library to another disk."),
    ("media_root_missing", "- the media root /no/such/folder: missing, or not a folder", "Mount this folder, correct dhash_media_roots"),
    ("media_gone", "- the image files: all 1 files are missing", "Check that the media are mounted, and check the paths in the library."),
    ("ffmpeg_missing", "- the program ffmpeg: not found on the PATH", "ffmpeg"),
    ("packages_missing", "- Pillow 9.0 or newer: not found in {hosts.bare_python}", "numpy"),
    ("window_closed", "the window is {hosts.closed_window}", "Wait for the window, or change dhash_maintenance_window."),
    ("window_misspelt", "- a maintenance window: invalid maintenance window 'at night'", "Write the window as 22:00-04:00"),
    ("health_silent", "- the health URL {hosts.silent_url}", "Start the service that should answer at this address."),
    ("health_other_body", '- the health URL {hosts.web.url}: the answer does not match "ok": {{"status": "degraded"}}', "correct dhash_health_body."),
    ("health_other_status", "- the health URL {hosts.web.url}: status 200", "add the status to dhash_health_status."),
])
def test_a_host_that_lacks_something(name: str, cause: str, step: str, hosts: Hosts, run: Run) -> None:
    told = message(hosts, run, name)
    assert cause.format(place=hosts.public / name, hosts=hosts) in told
    assert step in told.split("\n  -> ", 1)[1]


def test_all_missing_requirements_are_named_at_once_with_fixes(hosts: Hosts, run: Run) -> None:
    told = message(hosts, run, "all_at_once")
    problems = run.of("Check the host", "all_at_once")["problems"]
    assert {"pillow_missing", "numpy_missing", "ffmpeg_missing", "ffprobe_missing", "ffmpeg_python_missing", "node_missing",
            "media_root_not_readable", "maintenance_window_closed"} <= {problem["id"] for problem in problems}
    for problem in problems:
        assert f"- {problem['what']}: {problem['found']}\n  -> {problem['fix']}" in told
    for variable in ("dhash_health_url", "dhash_required_endpoint_url"):
        assert f"-> Start the service that should answer at this address. If the address is wrong, correct {variable}." in told
    assert told.count("\n- ") == told.count("\n  -> ") == len(problems) + 2
