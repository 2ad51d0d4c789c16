# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose Python has its standard library alone, and a folder of wheels: a virtual environment of the collection's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site

pytestmark = pytest.mark.thorough

PACKAGES = ["Pillow>=9.0", "numpy>=1.24", "ffmpeg-python"]


class Way(NamedTuple):
    site: Site
    untouched: dict[str, tuple[Any, ...]]
    check: Run
    tree_after_check: dict[str, tuple[Any, ...]]
    first: Run
    second: Run


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    fetched = subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--retries", "1", "--wheel-dir", folder, *PACKAGES],
                             check=False, capture_output=True, text=True)
    if fetched.returncode != 0:
        pytest.skip(f"no package index to fetch wheels from: {fetched.stderr.splitlines()[-1:]}")
    return folder


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site], wheels: Path) -> Way:
    site = make_site("bare")
    bare = site.home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    settings = {"ansible_python_interpreter": str(bare / "bin/python"), "dhash_install": "venv",
                "dhash_venv": str(site.home / "venv"), "dhash_wheels": str(wheels)}
    # where there is an index after all, nobody may ask it
    offline = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    untouched = site.snapshot()
    check = site.playbook("migrate", "--check", "--diff", environment=offline, **settings)
    tree_after_check = site.snapshot()
    assert not (site.home / "venv").exists()
    first, second = (site.playbook("migrate", environment=offline, **settings) for _time in range(2))
    return Way(site, untouched, check, tree_after_check, first, second)


def test_check_of_a_bare_host_needs_and_writes_nothing(way: Way) -> None:
    assert way.check.code == 0, way.check.output
    assert way.check.recap["localhost"]["failures"] == 0
    assert way.tree_after_check == way.untouched


def test_the_check_says_what_will_be_installed_and_hashed(way: Way) -> None:
    assert any("virtual environment" in name for name in way.check.changed())
    assert way.check.of("Hash and write the migrated library")["to_hash"] == IMAGES - 1


def test_run_installs_from_wheels_and_uses_its_own_environment(way: Way) -> None:
    assert way.first.code == 0, way.first.output
    library = way.site.read()
    assert sum("dhash" in image for image in library["images"]) == IMAGES - 5
    python = way.site.home / "venv/bin/python"
    shown = subprocess.run([python, "-c", "import numpy, PIL; print(numpy.__version__, PIL.__version__)"], check=True,
                           capture_output=True, text=True)
    versions = library["dhash_migration"]["versions"]
    assert shown.stdout.split() == [versions["numpy"], versions["pillow"]]


def test_a_second_run_installs_nothing_and_changes_nothing(way: Way) -> None:
    assert way.second.code == 0, way.second.output
    assert way.second.changed() == []
