# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that send one request after the other until SIGTERM, each on a connection of its own.

    clients.py URL RESULT

Then writes RESULT: ``requests``, the number of answers by server and by the digest of the library that it serves; ``failed``, what each
other request ended in (another status than 200, an answer that breaks off, no connection, no answer in time); ``longest`` in seconds.
"""

from __future__ import annotations

import collections
import http.client
import json
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path

CLIENTS = 6
PATIENCE = 30  # seconds


class Clients:
    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._requests: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self._failed: list[str] = []
        self._longest = 0.0

    def ask(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                with urllib.request.urlopen(self._url, timeout=PATIENCE) as answer:
                    server, served = answer.headers["X-Server"], json.load(answer)["sha256"]
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                with self._lock:
                    self._failed.append(f"{type(error).__name__}: {error}")
                time.sleep(0.05)
            else:
                with self._lock:
                    self._requests[server][served] += 1
                    self._longest = max(self._longest, time.monotonic() - begun)

    def run(self) -> dict:
        signal.signal(signal.SIGTERM, self._end)
        threads = [threading.Thread(target=self.ask) for _client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"requests": self._requests, "failed": self._failed, "longest": round(self._longest, 2)}

    def _end(self, *_signal: object) -> None:
        self._over.set()


def main(url: str, result: str) -> None:
    Path(result).write_text(json.dumps(Clients(url).run()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
