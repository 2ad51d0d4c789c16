# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import formats_table


def test_the_table_of_formats_is_up_to_date() -> None:
    assert formats_table.DOCUMENT.read_text(encoding="utf-8") == formats_table.document(), "python tests/unit/formats_table.py .ansible/collections"


def test_every_test_that_the_table_names_exists() -> None:
    folder = formats_table.DOCUMENT.parents[1] / formats_table.TESTS
    assert all((folder / name).is_file() for name in formats_table.TESTED.values() if name)


def test_every_format_with_a_promise_has_a_file_that_is_checked() -> None:
    promised = [row for row in formats_table.document().splitlines() if "| same everywhere |" in row]
    assert len(promised) > 20
    assert [row for row in promised if row.endswith("| none |")] == []
