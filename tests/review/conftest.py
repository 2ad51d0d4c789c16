# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the review page share: a browser that keeps its profile, and pages with pictures beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pages
import pytest


@pytest.fixture
def start(tmp_path):
    """Starts Chromium; a second start finds the profile of the first."""
    chromium = pytest.importorskip("chromium", reason="needs selenium (requirements-dev.txt)")
    if not chromium.CHROMIUM or not chromium.CHROMEDRIVER:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    browsers = []

    def begin():
        browsers.append(chromium.Browser(tmp_path / "profile", downloads))
        return browsers[-1]

    yield begin
    for browser in browsers:
        browser.quit()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder with the previews, drawn once, and their names."""
    folder = tmp_path_factory.mktemp("pictures")
    return folder, pages.draw_pictures(folder)


@pytest.fixture
def review(tmp_path, pictures):
    """A folder for pages, with the previews beside them; and a function that writes the page of given matches there."""
    folder = tmp_path / "review"
    shutil.copytree(pictures[0], folder)

    def write(matches: list[dict] | str, **fields) -> Path:
        return pages.write_page(folder, matches if isinstance(matches, str) else json.loads(json.dumps(
            pages.queue(matches, **fields))))

    write.folder, write.previews = folder, pictures[1]
    return write
