# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runbook's whole sequence by hand, command by command, and the same by playbook: both leave the same library."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Site, sha256

pytestmark = [pytest.mark.thorough, pytest.mark.skipif(not (shutil.which("node") and shutil.which("ffmpeg")), reason="by hand it takes node and ffmpeg")]

BY_HAND = Path(__file__).with_name("runbook.js")
PICTURES = 16
# of each run alone
TIMES = {"migration_timestamp", "processing_time_seconds", "average_time_per_image", "p95_time_per_image"}
OF_THE_COLLECTION = {"decoders", "versions"}

TO_THE_DEPLOY = r"""
node -e "
const lib = JSON.parse(require('fs').readFileSync('library.json', 'utf8'));
console.log('Images:', lib.images?.length || 0);
console.log('Format valid:', Array.isArray(lib.images));
"
BACKUP_FILE="library.json.bak.$(date -u +"%Y%m%dT%H%M%SZ")"
cp library.json "$BACKUP_FILE"
[ "$(stat -c%s library.json)" = "$(stat -c%s "$BACKUP_FILE")" ]
sha256sum "$BACKUP_FILE" > "$BACKUP_FILE.sha256"
mkdir -p logs
node "$RUNBOOK" migrate library.json library.dhash.json 10 2>&1 | tee logs/migration-$(date +%Y%m%d-%H%M%S).log
node "$RUNBOOK" export library.dhash.json low-confidence-queue.json 8 24
mv library.json library.json.pre-dhash
mv library.dhash.json library.json
"""
ROLLBACK = r"""
BACKUP_FILE=$(ls library.json.bak.*Z | head -1)
sha256sum -c "$BACKUP_FILE.sha256"
cp "$BACKUP_FILE" library.json
"""


def by_hand(site: Site, commands: str) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=site.library.parent, check=False, text=True,
                          env=site.environment(RUNBOOK=str(BY_HAND)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def ordinary_pictures(site: Site) -> None:
    """Leave in the library what a migration by hand can cope with: no broken and no flat pictures, no names full of traps."""
    library = site.read()
    left_out = {*site.truth["broken"], *site.truth["flat"]}
    library["images"] = [image for image in library["images"] if image["filename"] not in left_out
                         and image["filename"].isprintable() and "%" not in image["filename"]][:PICTURES]
    del library["schema"]  # numbers that JavaScript cannot hold
    for image in library["images"]:
        image.pop("half an emoji", None)
        image.pop("serial", None)
    site.library.write_text(json.dumps(library, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def comparable(site: Site) -> dict[str, Any]:
    library = site.read()
    for image in library["images"]:
        assert image.pop("dhash_generated_at").endswith("Z")
        image["path"] = image["path"].replace(str(site.folder), "")
    for name in TIMES | OF_THE_COLLECTION:
        library["dhash_migration"].pop(name, None)
    for record in library["dhash_duplicates"]:
        for name in ("originalPath", "duplicatePath"):
            record[name] = record[name].replace(str(site.folder), "")
    return library


def test_playbook_gives_the_runbooks_result_and_rolls_it_back(make_site: Callable[[str], Site]) -> None:
    hand, play = make_site("hand"), make_site("play")
    for site in (hand, play):
        ordinary_pictures(site)
    before = {site: site.library.read_bytes() for site in (hand, play)}

    shown = by_hand(hand, TO_THE_DEPLOY)
    assert f"Images: {PICTURES}\nFormat valid: true" in shown
    run = play.playbook("migrate", dhash_algorithm="ffmpeg", dhash_confirm=False)
    assert run.code == 0, run.output
    assert comparable(play) == comparable(hand)
    assert list(play.read()) == list(hand.read())
    assert len(play.read()["dhash_duplicates"]) > 2
    assert [backup.read_bytes() for backup in play.backups()] == [before[play]]

    exported = play.playbook("review_export", dhash_review_max_distance=24, dhash_confirm=False,
                             dhash_review_include_images=False)
    assert exported.code == 0, exported.output
    queue = json.loads((play.library.parent / "library.json.review/queue.json").read_text(encoding="utf-8"))
    assert queue["totalMatches"] == hand.read("low-confidence-queue.json")["totalMatches"] > 0

    by_hand(hand, ROLLBACK)
    back = play.playbook("rollback")
    assert back.code == 0, back.output
    for site in (hand, play):
        assert site.library.read_bytes() == before[site], sha256(site.library)
