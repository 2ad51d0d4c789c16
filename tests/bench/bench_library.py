# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a library itself costs: the plan of a migration with nothing to do, and a migration without the hashing itself, next to parsing the file.

    PYTHONPATH=.ansible/collections .venv/bin/python tests/bench/bench_library.py --sizes 10000 100000

The images are hard links to one file, and the journal has a hash for each of them, so nothing is decoded. Each measurement has a
process of its own; times are processor times.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, hash_journal
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly, migration_run, migration_settings

TIME = "2026-01-31T12:00:00.000Z"


def settings_in(folder: str) -> migration_settings.Settings:
    return migration_settings.Settings(
        library=f"{folder}/library.json", output=f"{folder}/library.dhash.json", state=f"{folder}/state", run="20260131T120000Z-7",
        terms=library_assembly.MatchOptions("pillow", 10, 100), parallel=1, temp_dir=None, media_roots=(folder,),
        limits=decoder_limits.Limits(), limit=None, lock_timeout=0, dry_run=False, report=None, log_dir=None)


def make(folder: str, count: int) -> None:
    """A library of ``count`` images in ``folder`` that has the hashes of its journal."""
    rng = random.Random(1)
    images: list[dict[str, Any]] = []
    for number in range(count):
        path = f"{number // 1000}/{number}.jpg"
        images.append({"path": path, "filename": f"{number}.jpg", "size": number, "tags": ["a", "b"], "exif": {"iso": 400, "aperture": 2.8}})
        if number % 1000 == 0:
            os.mkdir(f"{folder}/{number // 1000}")
        if number % 30000 == 0:  # a file has a limited number of links
            with open(f"{folder}/{path}", "wb"):
                source = f"{folder}/{path}"
        else:
            os.link(source, f"{folder}/{path}")
    settings = settings_in(folder)
    write(settings.library, json.dumps({"version": 3, "images": images}, indent=2).encode())
    journal, _set_aside = hash_journal.open_for_writing(settings.state, "pillow", decoder_limits.text(settings.limits))
    with journal:
        paths = [os.path.join(folder, image["path"]) for image in images]
        journal.record((path, file_stamps.stamp_of(os.stat(path)), hash_journal.Entry(
            f"{rng.getrandbits(64):016X}", f"{rng.getrandbits(64):016X}", False, "pillow", None, None, 0.01, TIME)) for path in paths)
    os.link(settings.library, f"{folder}/original.json")
    migration_run.run(settings, lambda _progress: None)
    os.replace(settings.output, settings.library)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def parse(folder: str) -> None:
    """The peer."""
    with open(settings_in(folder).library, "rb") as file:
        json.load(file)


def plan(folder: str) -> None:
    if migration_run.check(settings_in(folder))["would_change"]:
        raise SystemExit("the plan of a migrated library would change it")


def migrate(folder: str) -> None:
    """A migration in which every image is in the journal."""
    settings = settings_in(folder)
    if not migration_run.run(settings._replace(library=f"{folder}/original.json"), lambda _progress: None)["would_change"]:
        raise SystemExit("the migration would change nothing")


def measure(task: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """The processor time (s) of ``task`` and the most memory (MB) that its process had. The memory of this process would count as well."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: tuple[float, float] = pool.apply(_measured, (task, *arguments))
    return result


def _measured(task: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    started = time.process_time()
    task(*arguments)
    return time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="numbers of images, the smallest first")
    print(f"{'images':>9} {'parse':>8} {'plan':>8} {'ratio':>6} {'MB':>6} {'migrate':>8} {'ratio':>6} {'MB':>6}")
    before: tuple[float, float, int] | None = None
    for count in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(make, folder, count)
            figures = [measure(task, folder) for task in (parse, plan, migrate)]
        (peer, _memory), (planned, plan_memory), (migrated, migrate_memory) = figures
        print(f"{count:9} {peer:7.2f}s {planned:7.2f}s {planned / peer:6.1f} {plan_memory:6.0f} {migrated:7.2f}s {migrated / peer:6.1f} {migrate_memory:6.0f}",
              flush=True)
        if before is not None:
            print(f"{'growth':>9} {'':8} {planned / before[0]:7.1f}x {'':13} {migrated / before[1]:7.1f}x  of {count / before[2]:g} times the images")
        before = planned, migrated, count


if __name__ == "__main__":
    main()
