# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verify playbook on libraries that are not what they should be, all in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site, snapshot


class Way(NamedTuple):
    site: Site
    run: Run
    near: list[str]
    forged: str


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("verify")
    folder = site.library.parent
    (folder / "never.json").write_bytes(site.library.read_bytes())
    for module in ("library_migrate", "library_deploy"):
        result = site.module(module, library=str(site.library), state_dir=str(site.state))
        assert not result.get("failed"), result

    counts = site.read()
    counts["dhash_migration"]["processing_errors"] = 0
    (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
    sample = site.read()
    forged = next(image for image in sample["images"] if "dhash" in image)
    forged["dhash"] = f"{int(forged['dhash'], 16) ^ 1:016X}"
    (folder / "sample.json").write_text(json.dumps(sample), encoding="utf-8")
    near = [str(Path(folder, site.read()["dhash_duplicates"][0][key])) for key in ("originalPath", "duplicatePath")]

    hosts: dict[str, dict[str, Any]] = {name: {"dhash_library": str(folder / f"{name}.json")} for name in ("library", "never", "counts", "sample")}
    hosts["compare"] = hosts["library"] | {"dhash_verify_compare": near, "dhash_verify_compare_min_distance": 30, "dhash_verify_compare_max_distance": 64}
    inventory = site.home / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    before = snapshot(folder)
    run = site.playbook("verify", inventory=inventory, dhash_library=None, dhash_verify_sample_size=IMAGES)
    after = snapshot(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name for name in changed if not name.startswith("logs/")} <= {".", "logs", "library.json.lock"}
    return Way(site, run, near, forged["path"])


def told(way: Way, host: str) -> str:
    message, end = way.run.failures(host)
    assert end.startswith(f"{host}: the verification of ") and message not in end  # it stands right above
    assert "Traceback" not in way.run.output
    return message


def test_good_library_is_verified_whatever_happens_to_others(way: Way) -> None:
    assert way.run.code != 0
    assert way.run.recap["library"]["failures"] == 0
    assert f"{IMAGES - 5} hashed again" in way.run.of("Show the result", "library")["msg"]


def test_a_library_that_was_never_migrated(way: Way) -> None:
    assert f"{way.site.library.parent}/never.json: it has never been migrated. Run the migrate playbook." in told(way, "never")


def test_counts_that_do_not_agree_with_the_record(way: Way) -> None:
    assert f"{way.site.library.parent}/counts.json: dhash_migration records 0 errors, but the library has 5" in told(way, "counts")


def test_a_hash_that_is_not_that_of_its_image(way: Way) -> None:
    message = told(way, "sample")
    assert f"{way.site.library.parent}/sample.json: 1 of {IMAGES - 5} images" in message
    assert json.dumps(way.forged) in message and "Run the migrate playbook" in message


def test_two_images_that_are_nearer_than_expected(way: Way) -> None:
    message = told(way, "compare")
    assert all(path in message for path in way.near)
    assert "should lie 30 to 64 bits apart" in message
