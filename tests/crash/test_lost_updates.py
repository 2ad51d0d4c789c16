# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that goes on writing the library while it is migrated and deployed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import operate
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record

COUNT = 50


@pytest.fixture
def site(tmp_path: Path) -> operate.Site:
    site = operate.Site(tmp_path / "site")
    site.draw(20)
    return site


def go_live(site: operate.Site) -> None:
    site.announce()
    site.deploy()


@pytest.mark.parametrize("way", ["rename", "in-place"])
def test_writer_loses_no_addition_and_each_deploy_completes(site: operate.Site, way: str) -> None:
    drawn = len(site.images())
    deployed = 0
    command = [sys.executable, str(Path(__file__).with_name("writer.py")), way, str(site.library), str(COUNT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        added = [writer.stdout.readline().strip()]
        while len(added) < COUNT:
            site.migrate()
            added.append(writer.stdout.readline().strip())  # it has changed since it was migrated
            go_live(site)
            record = run_record.read(site.state)
            deployed += record is not None and record.phase == run_record.DEPLOYED
    assert writer.returncode == 0
    assert added == [f"added-{number}.png" for number in range(COUNT)]
    assert deployed > 5

    site.migrate()
    go_live(site)
    assert [image["path"] for image in site.images()][drawn:] == added
    assert all("dhash" in image for image in site.images())
