# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two at once: the second is turned away. SIGKILL in the middle of hashing, then run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, PATIENCE, ROOT, Run, Site, wait_for
from PIL import Image

SLOW = 20  # pictures that take a tenth of a second or more each
BATCH = 5
MOVING = ("migration_timestamp", "processing_time_seconds", "average_time_per_image", "p95_time_per_image")


class Way(NamedTuple):
    site: Site
    before: bytes
    second_one: dict[str, Any]  # what a second operation was told while the first one hashed
    holder: dict[str, Any]
    killed: Run
    after_kill: bytes
    hashed_before_kill: int
    again: Run
    uninterrupted: Site


def add_slow_pictures(site: Site) -> None:
    folder = site.library.parent / "media/slow"
    folder.mkdir()
    picture = folder / "00.png"
    Image.linear_gradient("L").resize((3500, 3500)).save(picture, compress_level=1)
    for number in range(1, SLOW):
        shutil.copy(picture, folder / f"{number:02}.png")
    text = site.library.read_text(encoding="utf-8")
    added = "".join(json.dumps({"filename": f"{number:02}.png", "path": f"media/slow/{number:02}.png"}) + "," for number in range(SLOW))
    site.library.write_text(text.replace('"images": [', f'"images": [{added}', 1), encoding="utf-8")


def hashed(site: Site) -> int:
    """How many images the journal has."""
    for journal in site.state.glob("*/journal.sqlite"):
        try:
            with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT count(*) FROM images").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
    return 0


def children(process: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()}


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site, uninterrupted = make_site("killed"), make_site("uninterrupted")
    for each in (site, uninterrupted):
        add_slow_pictures(each)
    before = site.library.read_bytes()
    options: dict[str, Any] = {"dhash_batch_size": BATCH, "dhash_parallel": 1}
    lock = site.library.with_name("library.json.lock")

    with subprocess.Popen(site.command("migrate", **options), cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playbook:
        wait_for(lambda: hashed(site) >= 2 * BATCH, "the second checkpoint")
        holder = json.loads(lock.read_text(encoding="utf-8"))
        os.kill(holder["process"], signal.SIGSTOP)  # so that it does not end before the second one has been turned away
        shown: list[str] = []
        assert playbook.stdout is not None
        while not shown or " hashing: " not in shown[-1]:
            shown.append(playbook.stdout.readline())
            assert shown[-1], "the playbook ended and has shown no progress"
        second_one = site.module("library_backup", library=str(site.library), state_dir=str(site.state), lock_timeout=0)
        workers = children(holder["process"])
        hashed_before_kill = hashed(site)
        os.killpg(os.getpgid(holder["process"]), signal.SIGKILL)
        wait_for(lambda: not any(map(runs, workers)), "the workers to end with their parent")
        output = playbook.communicate(timeout=PATIENCE)[0]
    killed, after_kill = site.read_run(playbook.returncode, "".join(shown) + output), site.library.read_bytes()

    again = site.playbook("migrate", **options)
    uninterrupted.module("library_migrate", library=str(uninterrupted.library), state_dir=str(uninterrupted.state),
                         batch_size=BATCH, parallel=1)
    return Way(site, before, second_one, holder, killed, after_kill, hashed_before_kill, again, uninterrupted)


def test_a_second_operation_is_told_who_holds_the_lock(way: Way) -> None:
    assert way.second_one["failed"]
    assert f"{way.site.library}.lock: the library is in use by migration (process {way.holder['process']} on " in way.second_one["msg"]
    assert f"run {way.holder['run']}" in way.second_one["msg"]
    assert "raise dhash_lock_timeout" in way.second_one["msg"]


def test_the_operator_sees_progress_while_it_hashes(way: Way) -> None:
    assert re.search(rf"\[localhost\] hashing: \d+ of {SLOW + IMAGES - 1} images, [\d.]+ per second, \d failed", way.killed.output)


def test_playbook_with_a_killed_module_ends_with_the_next_step(way: Way) -> None:
    assert way.killed.code != 0
    assert any(str(way.site.library) in message and "Run the playbook again" in message for message in way.killed.failures()), way.killed.output
    assert "Traceback" not in way.killed.output


def test_the_live_library_is_the_old_one_after_the_kill(way: Way) -> None:
    assert way.after_kill == way.before


def test_running_again_hashes_only_what_was_not_hashed(way: Way) -> None:
    assert way.again.code == 0, way.again.output
    migration = way.again.of("Hash and write the migrated library")
    assert 0 < migration["hashed_now"] <= migration["images"] - 1 - way.hashed_before_kill


def test_killed_and_repeated_run_ends_in_the_same_bytes(way: Way) -> None:
    assert normalised(way.site, "library.json") == normalised(way.uninterrupted, "library.dhash.json")


def normalised(site: Site, name: str) -> str:
    """A library without its times and without the place where it lies."""
    library = site.read(name)
    for field in MOVING:
        assert library["dhash_migration"].pop(field) is not None
    for image in library["images"]:
        assert image.pop("dhash_generated_at", "") or "dhash" not in image
    return json.dumps(library, indent=2).replace(str(site.library.parent), "LIBRARY")
