# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two pictures of one size and one time of change that are renamed to each other after the migration."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site
from PIL import Image

pytestmark = pytest.mark.thorough

PAIR = ("one.bmp", "other.bmp")


class Way(NamedTuple):
    site: Site
    before: dict[str, str]
    verify: Run
    untouched: bool
    comparing: Run
    hashed_again: dict[str, str]
    ignoring: Run
    healed: dict[str, str]


def hashes(site: Site) -> dict[str, str]:
    return {image["path"]: image.get("dhash") for image in site.read()["images"]}


def swap(site: Site) -> None:
    one, other = (site.library.with_name(name) for name in PAIR)
    spare = site.library.with_name("spare")
    for source, target in ((one, spare), (other, one), (spare, other)):
        os.rename(source, target)


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("swapped")
    library = site.read()
    for seed, name in enumerate(PAIR):
        light = Image.frombytes("L", (9, 8), random.Random(seed).randbytes(72))
        light.resize((90, 80), Image.Resampling.BICUBIC).save(site.library.with_name(name))
        os.utime(site.library.with_name(name), ns=(0, 10**18))
        library["images"].append({"path": name, "filename": name})
    site.library.write_text(json.dumps(library), encoding="utf-8")
    everything: dict[str, Any] = {"dhash_verify_sample_size": IMAGES + len(PAIR)}
    assert site.playbook("migrate", **everything).code == 0
    before = hashes(site)

    swap(site)
    untouched = site.library.read_bytes()
    verify = site.playbook("verify", **everything)
    untouched_still = site.library.read_bytes() == untouched
    comparing = site.playbook("migrate", **everything)
    hashed_again = hashes(site)
    swap(site)
    ignoring = site.playbook("migrate", dhash_ignore_ctime=True, **everything)
    return Way(site, before, verify, untouched_still, comparing, hashed_again, ignoring, hashes(site))


def swapped(before: dict[str, str]) -> dict[str, str]:
    one, other = PAIR
    return {**before, one: before[other], other: before[one]}


def test_verify_names_what_to_run_and_changes_nothing(way: Way) -> None:
    assert way.verify.code == 2
    message, _end = way.verify.failures()
    assert "2 of" in message and "Run the migrate playbook" in message
    assert way.untouched


def test_a_migration_hashes_a_swapped_pair_again(way: Way) -> None:
    assert way.comparing.code == 0, way.comparing.output
    assert way.comparing.of("Hash and write the migrated library")["hashed_now"] == len(PAIR)
    assert way.hashed_again == swapped(way.before)


def test_a_migration_that_ignores_ctime_heals_its_journal(way: Way) -> None:
    assert way.ignoring.code == 0, way.ignoring.output
    assert "did not have the recorded hashes" in way.ignoring.output
    assert way.healed == way.before
