# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two different pictures with nearly the same hash, and a copy of one of them: only the copy is a duplicate."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import Site
from PIL import Image

COLUMNS, ROWS = 9, 8


def picture(path: Path, steps: list[list[int]], seed: int) -> None:
    """Save a picture whose brightness changes by ``steps`` in each row; ``seed`` decides how large a step is, and where rows begin."""
    sizes = random.Random(seed)
    levels: list[int] = []
    for row in steps:
        level = sizes.randrange(60, 200)
        for step in (0, *row):
            level = min(255, max(0, level + step * sizes.randrange(4, 60)))
            levels.append(level)
    light = Image.frombytes("L", (COLUMNS, ROWS), bytes(levels))
    light.resize((COLUMNS * 40, ROWS * 40), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Site:
    """A site with one.png, stranger.png (nearly the hash of one.png, other pixels) and copy.png."""
    site = Site(tmp_path / "site")
    media = site.library.parent
    media.mkdir(parents=True, exist_ok=True)
    signs = random.Random(1)
    steps = [[signs.choice((-1, 1)) for _column in range(COLUMNS - 1)] for _row in range(ROWS)]
    picture(media / "one.png", steps, 2)
    picture(media / "stranger.png", steps, 3)
    with Image.open(media / "one.png") as image:
        image.resize((180, 160)).save(media / "copy.png")
    names = ("one.png", "stranger.png", "copy.png")
    site.library.write_text(json.dumps({"images": [{"path": name, "filename": name} for name in names]}), encoding="utf-8")
    return site


def migrate(site: Site, check: bool = False, **options: Any) -> dict[str, Any]:
    options = {"library": str(site.library), "state_dir": str(site.state), "parallel": 1, "threshold": 16, **options}
    result = site.module("library_migrate", check=check, **options)
    assert "msg" not in result, result
    if not check and result["would_change"]:
        assert "msg" not in site.module("library_deploy", library=str(site.library), state_dir=str(site.state))
        assert "msg" not in site.module("library_deploy", library=str(site.library), state_dir=str(site.state), state="started")
        assert "msg" not in site.module("library_deploy", library=str(site.library), state_dir=str(site.state), state="verified")
    return result


def duplicates(site: Site) -> list[tuple[str, str]]:
    return [(record["duplicate"], record["original"]) for record in site.read()["dhash_duplicates"]]


def test_only_a_confirmed_duplicate_is_recorded(pictures: Site) -> None:
    assert migrate(pictures, check=True)["changed"]
    result = migrate(pictures)
    assert (result["duplicates"], result["duplicates_refuted"]) == (1, 1)
    assert duplicates(pictures) == [("copy.png", "one.png")]
    for check in (True, False):
        again = migrate(pictures, check=check)
        assert (again["changed"], again["duplicates"], again["duplicates_refuted"]) == (False, 1, 1)


def test_plain_threshold_records_the_stranger_too(pictures: Site) -> None:
    migrate(pictures)
    assert migrate(pictures, check=True, confirm=False)["changed"]
    result = migrate(pictures, confirm=False)
    assert (result["duplicates"], result["duplicates_refuted"]) == (2, 0)
    assert ("stranger.png", "one.png") in duplicates(pictures)
    assert not migrate(pictures, confirm=False)["changed"]


def test_rehash_completes_the_journal_of_an_older_version(pictures: Site) -> None:
    migrate(pictures)
    (journal,) = pictures.state.rglob("journal.sqlite")
    with sqlite3.connect(journal) as connection:
        connection.execute("ALTER TABLE images DROP COLUMN luma")
    assert migrate(pictures)["hashed_now"] == 0
    assert migrate(pictures, check=True, rehash=True)["to_hash"] == 3
    assert migrate(pictures, rehash=True)["hashed_now"] == 3
    assert duplicates(pictures) == [("copy.png", "one.png")]
    again = migrate(pictures, check=True, rehash=True)
    assert (again["to_hash"], again["changed"]) == (0, False)
