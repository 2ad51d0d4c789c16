# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the review page share: a browser that keeps its profile, and pages with pictures beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pages
import pytest

if TYPE_CHECKING:  # it needs selenium
    from chromium import Browser


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Browser]]:
    """Starts Chromium; a second start finds the profile of the first."""
    chromium = pytest.importorskip("chromium", reason="needs selenium (requirements-dev.txt)")
    if not chromium.CHROMIUM or not chromium.CHROMEDRIVER:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    browsers: list[Browser] = []

    def begin() -> Browser:
        browsers.append(chromium.Browser(tmp_path / "profile", downloads))
        return browsers[-1]

    yield begin
    for browser in browsers:
        browser.quit()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with the previews, drawn once, and their names."""
    folder = tmp_path_factory.mktemp("pictures")
    return folder, pages.draw_pictures(folder)


@pytest.fixture
def review(tmp_path: Path, pictures: tuple[Path, list[str]]) -> pages.Review:
    """A folder for pages, with the previews beside them."""
    folder = tmp_path / "review"
    shutil.copytree(pictures[0], folder)
    return pages.Review(folder, pictures[1])
