# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A library behind a symbolic link; file systems that fill up in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from check_library import problems
from conftest import Site, snapshot


def test_symbolic_link_stays_and_its_target_is_migrated(site: Site) -> None:
    before = site.home / "before.json"
    before.write_bytes(site.library.read_bytes())
    link = site.folder / "elsewhere/current.json"
    link.parent.mkdir()
    link.symlink_to("../library/library.json")
    run = site.playbook("migrate", dhash_library=str(link))
    assert run.code == 0, run.output
    assert os.readlink(link) == "../library/library.json"
    assert problems(site.library, before, site.truth) == []
    assert len(site.backups()) == 1
    assert [path.name for path in link.parent.iterdir()] == ["current.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], check=False).returncode != 0:
        pytest.skip("not root, or no mount of a tmpfs")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(disk: Path, leave: int) -> None:
    with open(disk / "filler", "wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - leave))


@pytest.mark.parametrize("module", ["library_backup", "library_migrate", "library_deploy"])
def test_a_disk_that_fills_up_costs_nothing_but_the_run(module: str, site: Site, small_disk: Path) -> None:
    library = small_disk / "library.json"
    shutil.copy2(site.library, library)
    (small_disk / "media").symlink_to(site.library.parent / "media")
    arguments: dict[str, Any] = {"library": str(library), "state_dir": str(site.state), "media_roots": [str(site.library.parent)]}
    if module == "library_deploy":
        migrated = site.module("library_migrate", **arguments)
        assert not migrated.get("failed"), migrated
        arguments.pop("media_roots")
    if module == "library_backup":
        arguments.pop("media_roots")
    (small_disk / "library.json.lock").touch()
    fill(small_disk, leave=4096)
    before = {name: (mode, content) for name, (mode, _time, content) in snapshot(small_disk).items()}

    failed = site.module(module, **arguments)
    assert failed["failed"]
    assert failed["msg"].startswith(str(small_disk))
    assert "No space left on device. Free space on this file system, then run again." in failed["msg"]
    assert {name: (mode, content) for name, (mode, _time, content) in snapshot(small_disk).items()} == before

    (small_disk / "filler").unlink()
    again = site.module(module, **arguments)
    assert again["changed"] is True and again.get("hashed_now", 0) == 0


def test_a_state_folder_that_fills_up_costs_nothing_but_the_run(site: Site, small_disk: Path) -> None:
    fill(small_disk, leave=16384)
    before = site.library.read_bytes()
    failed = site.module("library_migrate", library=str(site.library), state_dir=str(small_disk), batch_size=5)
    assert failed["failed"]
    assert failed["msg"].startswith(str(small_disk)) and "dhash_state_dir" in failed["msg"]
    assert site.library.read_bytes() == before
    assert not (site.library.parent / "library.dhash.json").exists()
