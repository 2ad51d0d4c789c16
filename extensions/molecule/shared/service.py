# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service that has a library open: it reads it when it starts, and tells at /health what it has read.

    service.py SITE [PORT]

SITE/control tells it how to be: ``fail`` is never well, ``fail hashed`` is not well with a library that has hashes, ``fail hashed after
N`` not from its N-th answer on, ``write`` changes the library, once, as a service does that was told of a new setting. Each start leaves
the library's digest in SITE/starts.log. All paths but /health are what clients ask for: the same answer, after WORK seconds.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import time
from pathlib import Path

WORK = 0.3


class Service:
    def __init__(self, site: Path) -> None:
        self._control = site / "control"
        self._path = site / "library" / "library.json"
        self._file = self._path.open("rb")  # stays open for as long as the service runs
        content = self._file.read()
        library = json.loads(content)
        self._told = {"images": len(library["images"]), "hashed": sum("dhash" in image for image in library["images"]),
                      "sha256": hashlib.sha256(content).hexdigest()}
        self._asked = 0
        with (site / "starts.log").open("a", encoding="utf-8") as log:
            log.write(self._told["sha256"] + "\n")

    def health(self) -> tuple[int, dict]:
        wish = self._control.read_text(encoding="utf-8").strip() if self._control.exists() else ""
        self._asked += 1
        if wish == "write":
            self._write()
        hashed, _after, patience = wish.partition(" after ")
        if wish == "fail" or (hashed == "fail hashed" and self._told["hashed"] and self._asked > int(patience or 0)):
            return 503, {"status": "confused", **self._told}
        return 200, {"status": "ok", **self._told}

    def answer(self) -> tuple[int, dict]:
        time.sleep(WORK)
        return 200, self._told

    def _write(self) -> None:
        content = self._path.read_text(encoding="utf-8").replace('"locale": "fr"', '"locale": "pt"')
        self._path.write_text(content, encoding="utf-8")
        self._control.unlink()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code, answer = self.server.service.health() if self.path == "/health" else self.server.service.answer()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_args: object) -> None:
        pass


def main(site: str, port: str = "5001") -> None:
    service = Service(Path(site))
    server = http.server.ThreadingHTTPServer(("", int(port)), Handler)
    server.service = service
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
