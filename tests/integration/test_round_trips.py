# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a playbook with nothing to do costs: Ansible starts processes for each task, and builds, sends and unpacks a module for most of those on a host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import CHEAP, ROOT, RUN_SECONDS, Site

# Each runs a module on the host.
OF_MIGRATE = ["Restart | Check for pending work", "Prerequisites | Check the host", "Migrate | Plan", "Verify | Read the library"]
OF_ROLLBACK = ["Restart | Check for pending work", "Rollback | Prepare the library to go back to", "Deploy | Plan", "Verify | Read the library",
               "Verify | Mark the library as verified"]
OF_VERIFY = ["Restart | Check for pending work", "Restart | Check for a pending restart", "Verify | Read the library", "Verify | Hash a sample again",
             "Verify | Mark the library as verified"]
OF_DRY_RUN = ["Restart | Check for pending work", "Prerequisites | Check the host", "Dry run | Hash without writing the migrated library"]
# All tasks, also those that are skipped, and those on the controller.
MOST_TASKS = {"migrate": 69, "rollback": 54, "verify": 35, "dry_run": 21}
SETTINGS: dict[str, Any] = {**CHEAP, "dhash_verify_sample_size": 5}


@pytest.fixture(scope="module")
def migrated(make_site: Callable[[str], Site]) -> Site:
    site = make_site("migrated")
    first = site.playbook("migrate", **SETTINGS)
    assert first.code == 0, first.output
    assert set(OF_MIGRATE) < set(first.on_the_host())
    return site


@pytest.mark.parametrize(("name", "expected"), [("migrate", OF_MIGRATE), ("verify", OF_VERIFY), ("dry_run", OF_DRY_RUN)])
def test_a_run_with_nothing_to_do_needs_few_tasks(migrated: Site, name: str, expected: list[str]) -> None:
    run = migrated.playbook(name, **SETTINGS)
    assert run.code == 0 and run.changed() == [], run.output
    assert run.on_the_host() == expected
    assert len(run.results) <= MOST_TASKS[name]
    if name != "dry_run":
        assert "; 5 hashed again with the same result" in run.of("Verify | Show the result")["msg"]


def test_verification_ignores_the_plan_of_another_library(migrated: Site) -> None:
    """A program writes the library after the plan: its sample is not that of the plan."""
    hooks = migrated.home / "hooks"
    hooks.mkdir(exist_ok=True)
    before = migrated.library.read_bytes()
    edit = json.dumps(f"printf ' ' >> {migrated.library}")
    playbook = migrated.home / "edited.yml"
    playbook.write_text(f"""
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: mobius.dhash.migrate, tasks_from: plan}}
    - ansible.builtin.shell: {edit}
    - ansible.builtin.include_role: {{name: mobius.dhash.verify}}
""", encoding="utf-8")
    try:
        command = migrated.command("migrate", **SETTINGS)
        command[1] = str(playbook)
        shown = subprocess.run(command, cwd=ROOT, env=migrated.environment(), stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, check=False, timeout=RUN_SECONDS)
        run = migrated.read_run(shown.returncode, shown.stdout)
        assert run.code == 0, run.output
        assert run.on_the_host()[-3:] == ["Verify | Read the library", "Verify | Hash a sample again", "Verify | Mark the library as verified"]
    finally:
        migrated.library.write_bytes(before)


def test_a_rollback_with_nothing_to_restore_needs_few_tasks(make_site: Callable[[str], Site]) -> None:
    site = make_site("rolled-back")
    site.migrate()
    site.roll_back()
    run = site.playbook("rollback")
    assert run.code == 0 and run.changed() == [], run.output
    assert run.on_the_host() == OF_ROLLBACK
    assert len(run.results) <= MOST_TASKS["rollback"]
