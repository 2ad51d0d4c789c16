# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entry points of roles that a playbook of somebody else includes by themselves."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from conftest import ROOT, RUN_SECONDS, Run, Site

NO_LIBRARY = "missing required arguments: dhash_library"
NOT_BEGUN = "No run has begun"
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [  # role, entry point, variables, and what the failure says
    ("backup", "check", {}, NO_LIBRARY),
    ("backup", "recipients", {}, NO_LIBRARY),
    ("monitor", "pick_up", {}, NO_LIBRARY),
    ("monitor", "pick_up", {"dhash_library": "/srv/library.json"}, "There is no monitoring result to act on"),
    ("notify", "end", {}, NOT_BEGUN),
    ("notify", "send", {}, NOT_BEGUN),
    ("notify", "start", {}, NOT_BEGUN),
    ("notify", "start", {"dhash_notify_retries": "often"}, "dhash_notify_retries"),
    ("prerequisites", "window", {}, NO_LIBRARY),
    ("run", "begin", {}, NO_LIBRARY),
    ("run", "refuse_approval", {"dhash_approve_after_canary": True}, NOT_BEGUN),
    ("run", "approve", {"dhash_approve_after_canary": True}, NOT_BEGUN),
]
QUIET: list[tuple[str, str, dict[str, Any]]] = [  # these may follow any failure, also that of an invalid or a missing variable
    ("restart", "look", {"dhash_lock_timeout": "soon"}),
    ("restart", "resume", {"dhash_lock_timeout": "soon"}),
]


def run_entry_points(site: Site, included: list[tuple[str, str, dict[str, Any]]]) -> Run:
    tasks = [{"name": f"{role} {entry}", "vars": variables,
              "block": [{"name": "Include it", "ansible.builtin.include_role": {"name": f"mobius.dhash.{role}", "tasks_from": entry}}],
              "rescue": [{"name": f"Failed {role} {entry}", "ansible.builtin.debug": {"msg": "{{ ansible_failed_result.msg }}"}}]}
             for role, entry, variables in included]
    playbook = site.home / "alone.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    command = site.command("migrate", dhash_library=None, dhash_parallel=None, dhash_monitor_minutes=None)
    command[1] = str(playbook)
    shown = subprocess.run(command, cwd=ROOT, env=site.environment(), stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False, timeout=RUN_SECONDS)
    return site.read_run(shown.returncode, shown.stdout)


def test_an_entry_point_alone_says_what_is_wrong(site: Site) -> None:
    run = run_entry_points(site, [(role, entry, variables) for role, entry, variables, _said in REFUSED])
    assert run.code == 0 and run.changed() == [], run.output
    told = [record["result"]["msg"] for record in run.results if record["task"].startswith("Failed ")]
    assert [said in message for (*_included, said), message in zip(REFUSED, told, strict=True)] == [True] * len(REFUSED), run.output


def test_entry_points_of_the_end_do_not_fail_for_a_variable(site: Site) -> None:
    run = run_entry_points(site, QUIET)
    assert run.code == 0 and run.changed() == [] and run.failures() == [], run.output
