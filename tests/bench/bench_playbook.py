# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the playbook migrate on this machine: with every image in the journal, and again with nothing to do.

    .venv/bin/python tests/bench/bench_playbook.py --sizes 300 10000 --hosts 1 10

Several hosts are this machine each, in one batch, with a library and a state folder of their own.
Each image is a file of its own, a PNG of 12 x 12 pixels, and every second one is a copy of an earlier one. Times are wall-clock times;
the memory is the most that any process of the playbook had.
"""
from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def png(rng: random.Random) -> bytes:
    """A grey PNG of 12 x 12 random pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + rng.randbytes(12) for _row in range(12))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1))
            + chunk(b"IEND", b""))


def draw(folder: Path, count: int) -> None:
    """A library of ``count`` images in ``folder``, of about 400 bytes each in the file."""
    rng = random.Random(1)
    originals: list[bytes] = []
    images = []
    for number in range(count):
        path = f"media/{number // 1000:04d}/IMG_{number:07d}.png"
        if number % 1000 == 0:
            (folder / path).parent.mkdir(parents=True)
        data = rng.choice(originals) if number % 2 else png(rng)
        if number % 2 == 0 and len(originals) < 100_000:
            originals.append(data)
        (folder / path).write_bytes(data)
        images.append({"id": f"img-{number:07d}", "path": path, "filename": os.path.basename(path), "size": len(data), "tags": ["table", "cards"],
                       "added": "2025-03-01T10:20:30.000Z", "exif": {"iso": 400, "aperture": 2.8, "camera": "a camera"}, "rating": None,
                       "title": f"Picture {number} of a drawn library"})
    (folder / "library.json").write_text(json.dumps({"version": 3, "images": images}, indent=2), encoding="utf-8")


def run_playbook(folder: Path, playbook: str, options: dict[str, object] | None = None, hosts: int = 1) -> float:
    """The seconds that ``playbook`` takes on the library in ``folder``, with the variables ``options``. Of several, each host has a subfolder."""
    variables = {"dhash_library": f"{folder}/library.json", "dhash_state_dir": f"{folder}/state", "dhash_fleet_report_dir": f"{folder}/report",
                 "dhash_monitor_minutes": 0, **(options or {})}
    inventory = "localhost,"
    if hosts > 1:
        inventory = f"{','.join(map(str, range(hosts)))},"
        own = f"{folder}/{{{{ inventory_hostname }}}}"
        variables |= {"dhash_library": f"{own}/library.json", "dhash_state_dir": f"{own}/state", "dhash_serial": "100%"}
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PIPELINING": "1", "ANSIBLE_HOME": f"{folder}/ansible"}
    started = time.monotonic()
    shown = subprocess.run([f"{Path(sys.executable).parent}/ansible-playbook", f"mobius.dhash.{playbook}", "-i", inventory, "-c", "local",
                            "-e", json.dumps(variables)], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise SystemExit(shown.stdout)
    return time.monotonic() - started


def run(folder: Path, playbook: str, hosts: int) -> tuple[float, float]:
    """The seconds that ``playbook`` takes, and the most memory (MB) of a process so far."""
    seconds = run_playbook(folder, playbook, hosts=hosts)
    while True:  # what Ansible has left in the background
        try:
            os.wait()
        except ChildProcessError:
            break
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 10_000], help="numbers of images, the smallest first")
    parser.add_argument("--hosts", type=int, nargs="+", default=[1], help="numbers of hosts")
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # for the memory of background processes
    print(f"{'images':>9} {'hosts':>6} {'dry run':>9} {'migrate':>9} {'again':>9} {'MB':>6} {'load':>6}")
    for count, hosts in itertools.product(arguments.sizes, arguments.hosts):
        with tempfile.TemporaryDirectory() as name:
            for folder in [Path(name)] if hosts == 1 else [Path(name, str(host)) for host in range(hosts)]:
                folder.mkdir(exist_ok=True)
                draw(folder, count)
            run(Path(name), "dry_run", hosts)
            (dry, _memory), (first, _memory), (again, memory) = (run(Path(name), playbook, hosts) for playbook in ("dry_run", "migrate", "migrate"))
        print(f"{count:9} {hosts:6} {dry:8.1f}s {first:8.1f}s {again:8.1f}s {memory:6.0f} {os.getloadavg()[0]:6.1f}", flush=True)


if __name__ == "__main__":
    main()
