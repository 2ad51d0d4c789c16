# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file imports from its own package and from lower layers: no cycles, and nothing from a higher layer."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest
from imports import MODULE_UTILS, imported

LAYERS = (  # from the lowest; the packages of one layer do not import from each other
    {"_errors", "_clock"}, {"_files"}, {"_library", "_hashing"}, {"_deploy"}, {"_module"}, {"_telemetry"}, {"_migrate"},
    {"_review", "_monitor", "_fleet", "_calibration"},
    {"_inspection", "_notification", "_preflight", "_recovery", "_redeploy", "_rehearsal"},
)
LAYER = {name: layer for layer, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS) - 1
FILES = {str(path.relative_to(MODULE_UTILS).with_suffix("")): path for path in sorted(MODULE_UTILS.rglob("*.py"))}


def package(file: str) -> str:
    return file.partition("/")[0]


def test_every_package_and_file_has_a_layer() -> None:
    assert {package(file) for file in FILES} == LAYER.keys()


@pytest.mark.parametrize("file", FILES)
def test_no_file_imports_from_a_higher_layer(file: str) -> None:
    own = package(file)
    wrong = [other for other in imported(FILES[file]) if package(other) != own
             and (LAYER[package(other)] > LAYER[own] or LAYER[package(other)] == LAYER[own] != TOP)]
    assert not wrong


def test_there_are_no_cycles() -> None:
    TopologicalSorter({file: imported(path) for file, path in FILES.items()}).prepare()


@pytest.mark.parametrize("file", FILES)
def test_imports_within_module_utils_are_relative(file: str) -> None:
    assert "ansible_collections.mobius" not in FILES[file].read_text(encoding="utf-8")
