# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.mobius.dhash.plugins.action import fleet_report


def test_a_page_with_a_name_that_is_not_utf8_is_written(tmp_path: Path) -> None:
    fleet_report._write(str(tmp_path / "report"), {"index.html": "<p>é \udcff</p>"})
    assert (tmp_path / "report/index.html").read_bytes() == "<p>é \\udcff</p>".encode()
