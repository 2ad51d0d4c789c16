# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible ships to a host for each module: every file that the module imports, directly or not, is built, sent and unpacked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from imports import imported

PLUGINS = Path(__file__).parents[2] / "plugins"
DECODING = {f"_hashing/{name}" for name in ("image_decoder", "pillow_decoder", "preview_maker", "worker_pool", "hash_batches")}
HASHING_MODULES = {"image_hash", "journal_merge", "library_calibrate", "library_deploy", "library_hash", "library_migrate", "library_rehearse",
                   "review_export"}
SHOWS_SANDBOX = {"host_info"}
MOST_KILOBYTES = {  # deflated; raise one only for what the module runs
    "fleet_duplicates": 62, "fleet_report": 2, "hash_export": 80, "health_info": 22, "host_info": 85, "image_hash": 134, "journal_merge": 208,
    "library_backup": 65, "library_backup_info": 53, "library_calibrate": 151, "library_deploy": 232, "library_hash": 208, "library_info": 72,
    "library_migrate": 205, "library_monitor": 73, "library_rehearse": 232, "library_rollback": 97, "notify": 11, "recovery_info": 68,
    "review_export": 186, "review_import": 134, "service_info": 46,
}


def payload(module: str) -> set[str]:
    """The files in module_utils that Ansible ships with a module, each as ``package/name``."""
    shipped: set[str] = set()
    left = set(imported(PLUGINS / "modules" / f"{module}.py"))
    while left:
        name = left.pop()
        shipped.add(name)
        left |= imported(PLUGINS / "module_utils" / f"{name}.py") - shipped
    return shipped


def test_every_module_has_a_ceiling() -> None:
    assert MOST_KILOBYTES.keys() == {path.stem for path in (PLUGINS / "modules").glob("*.py")}


@pytest.mark.parametrize("module", sorted(MOST_KILOBYTES))
def test_no_module_grows_beyond_its_ceiling(module: str) -> None:
    files = [PLUGINS / "modules" / f"{module}.py", *(PLUGINS / "module_utils" / f"{name}.py" for name in payload(module))]
    assert sum(len(zlib.compress(file.read_bytes())) for file in files) <= 1000 * MOST_KILOBYTES[module]


@pytest.mark.parametrize("module", sorted(MOST_KILOBYTES.keys() - HASHING_MODULES))
def test_modules_that_hash_nothing_ship_no_decoder(module: str) -> None:
    assert not payload(module) & DECODING


@pytest.mark.parametrize("module", sorted(MOST_KILOBYTES))
def test_only_modules_that_decode_ship_the_sandbox(module: str) -> None:
    assert ("_hashing/sandbox" in payload(module)) == (module in HASHING_MODULES | SHOWS_SANDBOX)


@pytest.mark.parametrize("module", ["library_migrate", "library_hash", "journal_merge", "library_monitor", "host_info"])
def test_modules_that_roll_nothing_back_ship_no_rollback(module: str) -> None:
    assert not payload(module) & {"_deploy/rollback_plan", "_deploy/rollback_report"}


@pytest.mark.parametrize(("module", "spared"), [
    ("library_deploy", {"_migrate.migration_run", "_hashing.hash_journal", "_review.review_import", "_deploy.rollback_plan"}),
    ("library_rollback", {"_hashing.hash_journal"}), ("service_info", {"ansible.module_utils.urls"}), ("recovery_info", {"ansible.module_utils.urls"}),
])
def test_the_small_steps_of_a_run_load_no_engine(module: str, spared: set[str]) -> None:
    """A host compiles what a module imports, each time anew."""
    program = f"import ansible_collections.mobius.dhash.plugins.modules.{module}, json, sys; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                                       stdout=subprocess.PIPE, check=True).stdout)
    assert [name for name in loaded if name.endswith(tuple(spared))] == []
