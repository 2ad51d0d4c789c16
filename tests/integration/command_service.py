# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service whose manager are commands, for the tests of everything that stops, starts or asks it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Site


class Service:
    """A service of a site: it counts how often it was stopped and restarted, and answers at a health URL as it is told to."""

    def __init__(self, site: Site) -> None:
        self.answer: Callable[[], tuple[int, str]] = lambda: (200, '{"status": "ok"}')
        self._log = site.home / "service.log"
        self._log.touch()
        self.commands = {}
        self.to_kill = site.home / "to-kill"  # the process group that ends when the service is stopped
        self.meanwhile = site.home / "meanwhile"  # a command that runs, once, as soon as the service is stopped
        self.broken = {verb: site.home / f"broken-{verb}" for verb in ("stop", "start")}  # a verb whose file exists fails
        self.stopped = site.home / "stopped"
        for verb in ("stop", "start"):
            script = site.home / verb
            script.write_text(f"#!/bin/sh\nif [ -e '{self.broken[verb]}' ]; then echo '{verb} is broken' >&2; exit 1; fi\n"
                              f"echo {verb} $(sha256sum < '{site.library}') >> '{self._log}'\n"
                              f"{'touch' if verb == 'stop' else 'rm -f'} '{self.stopped}'\n"
                              f"[ ! -e '{self.to_kill}' ] || kill -9 -$(cat '{self.to_kill}')\n"
                              f"if mv '{self.meanwhile}' '{self.meanwhile}.sh'; then sh '{self.meanwhile}.sh'; fi 2>/dev/null\n",
                              encoding="utf-8")
            script.chmod(0o755)
            self.commands[f"dhash_{verb}_command"] = str(script)
        status = site.home / "status"
        status.write_text(f"#!/bin/sh\n[ ! -e '{self.stopped}' ]\n", encoding="utf-8")
        status.chmod(0o755)
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = service.answer()
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/health"
        self.settings: dict[str, Any] = {
            "dhash_service_manager": "command", **self.commands, "dhash_status_command": str(status), "dhash_health_url": self.url,
            "dhash_health_body": '"status": *"ok"', "dhash_health_retries": 1, "dhash_health_delay": 0}

    def told(self) -> list[tuple[str, str]]:
        """What it was told since this was asked last: the verb, and the digest of the live library at that moment."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        self._log.write_text("", encoding="utf-8")
        return [(verb, digest) for verb, digest, _dash in map(str.split, lines)]

    def is_stopped(self) -> bool:
        return self.stopped.exists()

    def restarts(self) -> int:
        return self._log.read_text(encoding="utf-8").count("start")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def record(site: Site) -> dict[str, Any]:
    run: dict[str, Any] = site.module("library_info", library=str(site.library), state_dir=str(site.state), check_media=False)["run"]
    return run


def rollback_is_killed(site: Site, service: Service, is_swapped: bool) -> bytes:
    """A rollback was killed with the service stopped, before or after its swap; returns the bytes that it restores."""
    before = site.library.read_bytes()
    site.migrate()
    announced: dict[str, Any] = {"state": "announced", "service_manager": "command"}
    for module, arguments in (("library_rollback", {}), ("library_deploy", announced)):
        result = site.module(module, library=str(site.library), state_dir=str(site.state), **arguments)
        assert not result.get("failed"), result
    service.stopped.touch()
    (file,) = site.state.glob("*/run.json")
    value = json.loads(file.read_text(encoding="utf-8"))
    staged, incoming = Path(value["output"]), site.library.with_name(".library.json.mobius-dhash.incoming")
    incoming.write_bytes(site.library.read_bytes() if is_swapped else staged.read_bytes())
    if is_swapped:
        site.library.write_bytes(before)
    file.write_text(json.dumps({**value, "phase": "deploying"}), encoding="utf-8")
    return before
