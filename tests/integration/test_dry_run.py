# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dry_run playbook: all the work but the last step, and a report of what would be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site


class Way(NamedTuple):
    site: Site
    trees: dict[str, dict[str, tuple[Any, ...]]]  # before, after the check, after the dry run
    check: Run
    dry: Run
    report: dict[str, Any]
    real: dict[str, Any]  # what the module says that migrates


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("dry")
    trees = {"before": site.snapshot()}
    check = site.playbook("dry_run", "--check")
    trees["check"] = site.snapshot()
    dry = site.playbook("dry_run")
    trees["dry"] = site.snapshot()
    return Way(site, trees, check, dry, site.read("library.json.migrate-dryrun.json"), site.migrate())


def test_its_check_writes_nothing(way: Way) -> None:
    assert way.check.code == 0, way.check.output
    assert way.check.recap["localhost"]["changed"] == 0
    assert way.trees["check"] == way.trees["before"]


def test_it_leaves_the_library_and_its_pictures_as_they_were(way: Way) -> None:
    assert way.dry.code == 0, way.dry.output
    assert way.dry.recap["localhost"]["changed"] == 0
    before, after = way.trees["before"], way.trees["dry"]
    assert {name for name in before if after.get(name) != before[name]} == {"library"}  # the folder, for what is new in it
    new = {name for name in after if name not in before and not name.startswith(("state", "library/logs"))}
    assert new == {"library/library.json.migrate-dryrun.json", "library/library.json.lock"}


def test_its_report_says_what_would_be_done(way: Way) -> None:
    migrated = way.site.read()
    assert way.report["would_change"] is True
    assert (way.report["images"], way.report["hashed"], way.report["errors"]) == (IMAGES, IMAGES - 5, 5)
    assert way.report["before"] == {"images": IMAGES, "hashed": 0, "errors": 0, "duplicates": 0}
    assert way.report["dhash_duplicates"] == migrated["dhash_duplicates"]
    assert way.report["dhash_errors"] == migrated["dhash_errors"]


def test_its_report_names_every_missing_path(way: Way) -> None:
    missing = [image["path"] for image in way.site.read()["images"]
               if way.site.truth["broken"].get(image["filename"], {}).get("kind") == "missing"]
    assert way.report["missing_paths"] == missing != []


def test_it_forecasts_time_and_disk(way: Way) -> None:
    forecast = way.report["forecast"]
    assert forecast["hashing_seconds"] == 0
    assert forecast["hashing_seconds_without_journal"] > 0
    # the backup and the copy that is kept, the migrated library and the one it becomes
    used = way.site.backups()[0].stat().st_size * 2 + way.site.library.stat().st_size * 2
    assert 0.9 * used < forecast["disk_bytes"] < 1.5 * used
    told = way.dry.of("Show what a migration would do")["msg"]
    assert any(line.startswith("Disk it needs:") for line in told)
    assert f"Report: {way.site.library.parent}/library.json.migrate-dryrun.json" in told


def test_the_run_after_it_hashes_nothing(way: Way) -> None:
    assert way.real["hashed_now"] == 0
    assert sum("dhash" in image for image in way.site.read()["images"]) == IMAGES - 5
