# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes the notifications of a run on the controller, and prints their events as JSON once a rollback is told, or after a while.

    listener.py PORT SECONDS
"""

from __future__ import annotations

import http.server
import json
import sys
import time

told: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["event"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


def main(port: str, seconds: str) -> None:
    deadline = time.monotonic() + float(seconds)
    with http.server.HTTPServer(("127.0.0.1", int(port)), Handler) as server:
        server.timeout = 1
        while "rollback" not in told and time.monotonic() < deadline:
            server.handle_request()
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
