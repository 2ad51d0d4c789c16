# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how long a service on this machine takes to answer while images are hashed, with and without a limit for the pressure.

    .venv/bin/python tests/bench/bench_latency.py --images 2000 --rounds 2

The service computes for about 10 ms per request, and gets 20 requests a second whether it has answered the one before or not. Each round
has the service alone, and then hashes the same images three times, with the playbook dry_run and an empty journal: without a limit, with
dhash_max_pressure, and with one worker instead of one for each core. Only the requests during
the hashing count, not those of the seconds in which Ansible begins and ends, which has a machine of its own elsewhere.
"""
from __future__ import annotations

import argparse
import hashlib
import http.client
import http.server
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

from bench_playbook import run_playbook
from PIL import Image

WORK = os.urandom(64 * 1024)
REPEATS = 160  # of the digest of WORK, about 10 ms
INTERVAL = 0.05  # seconds between two requests
ALONE_SECONDS = 60
MARGIN = 8  # seconds that Ansible needs before the hashing and after it, at most


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        for _repeat in range(REPEATS):
            hashlib.sha256(WORK).digest()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing."""


def ask(port: int, latencies: list[tuple[float, float]]) -> None:
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    latencies.append((start, time.monotonic() - start))


def ask_until(over: threading.Event, port: int) -> list[float]:
    """The seconds that each request took, until ``over``, but for those of the first and the last seconds."""
    latencies: list[tuple[float, float]] = []
    begin = time.monotonic()
    threads = []
    while not over.wait(INTERVAL):
        threads.append(threading.Thread(target=ask, args=(port, latencies)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    end = time.monotonic()
    return [seconds for start, seconds in latencies if begin + MARGIN < start < end - MARGIN]


def draw(folder: Path, count: int) -> None:
    """A library of ``count`` progressive JPEG files of 12 megapixels, copies of twenty pictures."""
    (folder / "media").mkdir()
    pictures = []
    for number in range(20):
        pictures.append(folder / f"{number}.jpg")
        Image.effect_noise((500, 375), 20 + number).resize((4000, 3000)).save(pictures[-1], quality=85, progressive=True)
    images = []
    for number in range(count):
        path = f"media/{number:05d}.jpg"
        shutil.copyfile(pictures[number % len(pictures)], folder / path)
        images.append({"path": path, "filename": Path(path).name})
    (folder / "library.json").write_text(json.dumps({"images": images}), encoding="utf-8")


def hash_all(folder: Path, options: dict[str, object]) -> float:
    """The seconds that the playbook dry_run takes with ``options`` and an empty journal."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    return run_playbook(folder, "dry_run", options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pressure", type=float, default=20, help="dhash_max_pressure, in percent")
    args = parser.parse_args()
    kinds: dict[str, dict[str, object] | None] = {
        "alone": None, "no limit": {}, "limited": {"dhash_max_pressure": args.pressure}, "one worker": {"dhash_parallel": 1}}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    print(f"{'round':>5} {'':>10} {'requests':>9} {'median':>9} {'p99':>9} {'longest':>9} {'dry run':>9}")
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name), args.images)
        for number in range(1, args.rounds + 1):
            for kind, options in kinds.items():
                over = threading.Event()
                latencies: list[float] = []
                client = threading.Thread(target=lambda over=over, latencies=latencies: latencies.extend(ask_until(over, server.server_port)))
                client.start()
                if options is None:
                    time.sleep(ALONE_SECONDS)
                    seconds = 0.0
                else:
                    seconds = hash_all(Path(name), options)
                over.set()
                client.join()
                print(f"{number:5} {kind:>10} {len(latencies):9} {statistics.median(latencies) * 1000:7.1f}ms"
                      f" {statistics.quantiles(latencies, n=100)[98] * 1000:7.1f}ms {max(latencies) * 1000:7.1f}ms {seconds:8.1f}s", flush=True)
    process.terminate()


if __name__ == "__main__":
    main()
