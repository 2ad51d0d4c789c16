# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of module_utils a file imports: imports in functions and for type checks count as well, as they do for Ansible."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

MODULE_UTILS = Path(__file__).parents[2] / "plugins/module_utils"
NAME = "ansible_collections.mobius.dhash.plugins.module_utils"


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """The files that ``path`` imports, each as ``package/name`` or, beside the packages, ``name``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (folder := folder_of(node, path)) is not None:
            names = [folder] if folder.with_suffix(".py").is_file() else [folder / alias.name for alias in node.names]
            found |= {str(name.relative_to(MODULE_UTILS)) for name in names}
    return frozenset(found)


def folder_of(node: ast.ImportFrom, path: Path) -> Path | None:
    """Where the module that is imported from lies; None if that is not in module_utils."""
    parts = (node.module or "").split(".") if node.module else []
    if node.level:
        return path.parents[node.level - 1].joinpath(*parts)
    known = NAME.split(".")
    return MODULE_UTILS.joinpath(*parts[len(known):]) if parts[:len(known)] == known else None
