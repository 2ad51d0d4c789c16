# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts whose Python does not take file names for UTF-8."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Site
from PIL import Image

pytestmark = pytest.mark.thorough

NAMES = ("M\u00fcller.png", "\u65e5\u672c.png", "plain.png")


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str] | None]:
    """The environment of each locale."""
    folder = tmp_path_factory.mktemp("locales")
    utf8_off = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")], capture_output=True, check=False)
    latin1 = {**utf8_off, "LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"} if made and made.returncode == 0 else None
    return {"C": {**utf8_off, "LC_ALL": "C"}, "ISO-8859-1": latin1}


@pytest.fixture(params=["C", "ISO-8859-1"])
def environment(request: pytest.FixtureRequest, locales: dict[str, dict[str, str] | None]) -> dict[str, str]:
    found = locales[request.param]
    if found is None:
        pytest.skip("no ISO-8859-1 locale can be made here (Debian: apt-get install locales)")
    return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A library in a folder with an umlaut, of images with names that not every locale has."""
    site = Site(tmp_path)
    site.library = tmp_path / "B\u00fccher" / "library.json"
    site.library.parent.mkdir()
    for seed, name in enumerate(NAMES):
        light = Image.frombytes("L", (9, 8), random.Random(seed).randbytes(72))
        light.resize((48, 40), Image.Resampling.BICUBIC).save(site.library.with_name(name))
    images = [{"path": name, "filename": name} for name in NAMES]
    site.library.write_text(json.dumps({"images": images}, ensure_ascii=False), encoding="utf-8")
    return site


def on_host(site: Site, environment: dict[str, str]) -> Path:
    """The Python of a host with that environment."""
    python = site.home / "python"
    exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    python.write_text(f"#!/bin/sh\n{exports}exec '{sys.executable}' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    return python


def test_every_name_has_its_hash_in_every_locale(site: Site, environment: dict[str, str]) -> None:
    python = on_host(site, environment)
    encoding = subprocess.run([str(python), "-c", "import sys; print(sys.getfilesystemencoding())"], capture_output=True,
                              text=True, check=True).stdout.strip()
    assert encoding != "utf-8"
    run = site.playbook("migrate", ansible_python_interpreter=str(python), dhash_verify_sample_size=3)
    assert run.code == 0, run.output
    migrated = site.read()
    assert migrated["dhash_errors"] == []
    assert all(image["dhash"] for image in migrated["images"])


def test_a_module_by_itself_finds_every_name(site: Site, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = site.environment()
    monkeypatch.setattr(Site, "environment", lambda _site: {**plain, **environment})
    hashed = site.module("image_hash", images=[str(site.library.with_name(name)) for name in NAMES])
    assert [image["kind"] for image in hashed["images"]] == [None] * len(NAMES), hashed
    for _run in range(2):
        migrated = site.module("library_migrate", library=str(site.library), state_dir=str(site.state))
        assert (migrated["hashed"], migrated["errors"]) == (len(NAMES), 0)
    assert migrated["hashed_now"] == 0
    assert site.module("library_info", library=str(site.library), state_dir=str(site.state))["missing"] == 0
