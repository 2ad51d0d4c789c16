# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/security.md: each threat names the test that shows it, and each token of the sandbox is described."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import sandbox

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
BOUNDS = re.search(r"<!-- bounds:begin -->\n(.*)<!-- bounds:end -->", DOCUMENT, re.DOTALL)
THREATS = re.search(r"<!-- threats:begin -->\n(.*)<!-- threats:end -->", DOCUMENT, re.DOTALL)


def named_tests() -> set[str]:
    files = ("plugins/module_utils/_hashing/test_sandbox.py", "test_fuzz.py", "test_bounds.py")
    trees = [ast.parse((ROOT / "tests" / "unit" / file).read_text(encoding="utf-8")) for file in files]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("table", "least"), [(THREATS, 20), (BOUNDS, 15)], ids=["threats", "bounds"])
def test_every_row_names_a_test_that_exists(table: re.Match[str] | None, least: int) -> None:
    assert table
    rows = table[1].splitlines()[2:]
    assert len(rows) >= least
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names and set(names) <= named_tests(), row


def test_every_attack_that_is_tested_is_in_the_document() -> None:
    tested = {name for name in named_tests() if name.startswith("test_a_decoder_cannot")}
    assert tested <= set(re.findall(r"test_\w+", DOCUMENT))


def test_every_token_is_described() -> None:
    assert re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE) == list(sandbox.TOKENS)
