# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A subset first; a stop where too many fail; a warning where it is slow."""

from __future__ import annotations

import pytest
from conftest import IMAGES, Site

pytestmark = pytest.mark.thorough


def test_subset_is_migrated_beside_the_library_and_not_deployed(site: Site) -> None:
    before = site.library.read_bytes()
    run = site.playbook("migrate", dhash_first_images=12, dhash_max_average_ms=0.001, dhash_max_p95_ms=0.001)
    assert run.code == 0, run.output
    subset = site.read("test-library.dhash.json")
    assert [image["path"] for image in subset["images"]] == [image["path"] for image in site.read()["images"][:12]]
    assert subset["dhash_migration"]["total_images"] == 12
    assert site.library.read_bytes() == before
    assert not site.backups() and not (site.library.parent / "library.dhash.json").exists()
    assert "test-library.dhash.json" in run.of("Show the path of the subset")["msg"]

    # the same run was slower than these targets, and says so
    warning = run.of("Warn of slow hashing")["msg"]
    migration = run.of("Hash and write the migrated library")
    assert f"{migration['average_ms']} ms on average (target 0.001)" in warning
    assert f"{migration['p95_ms']} ms at the 95th percentile (target 0.001)" in warning


def test_too_many_failures_stop_it_before_anything_is_deployed(site: Site) -> None:
    before = site.library.read_bytes()
    run = site.playbook("migrate", dhash_max_failure_rate=0.05)
    assert run.code != 0
    (message,) = run.failures()
    assert f"5 of {IMAGES} images have no hash (12.5 %, dhash_max_failure_rate allows 5.0 %)" in message
    assert "Nothing was deployed" in message and "run again, or raise dhash_max_failure_rate" in message
    (log,) = site.library.parent.glob("logs/library.json.migration-*.log")
    assert str(log) in message
    assert site.library.read_bytes() == before
    assert not (site.library.parent / "library.json.pre-dhash").exists()
    assert "Traceback" not in run.output

    # what was hashed is not lost: with the limit raised, the run goes on from there
    again = site.playbook("migrate")
    assert again.code == 0, again.output
    assert again.of("Hash and write the migrated library")["hashed_now"] == 0
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
