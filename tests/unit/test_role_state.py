# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one role finds gets to another one in the dictionary __dhash_run, or as an argument where a task includes it, and in no other way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STATE = "__dhash_run"
NAME = re.compile(r"__dhash_[a-z0-9_]+")
READ_KEY = re.compile(rf"\b{STATE}(?: \| default\(\{{\}}\)\))?\.([a-z_]+)")
WRITTEN_KEY = re.compile(r"'([a-z_]+)':")
INCLUDES = ("ansible.builtin.include_role", "ansible.builtin.import_role")
SECTIONS = ("block", "rescue", "always", "tasks", "handlers")
PLAYBOOKS = "playbooks"
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


class Unit(NamedTuple):
    """A role or a playbook: its tasks and plays, what its vars/main.yml defines, and all its text but comments."""

    tasks: list[dict[str, Any]]
    variables: dict[str, Any]
    text: str


def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for section in SECTIONS:
            yield from flat(task.get(section, []))


def unit(files: list[Path], variables: Path | None = None) -> Unit:
    texts = [path.read_text(encoding="utf-8") for path in files]
    tasks = [task for path, text in zip(files, texts) if path.suffix == ".yml" for task in flat(yaml.safe_load(text) or [])]
    own = variables.read_text(encoding="utf-8") if variables and variables.exists() else ""
    text = "\n".join(line for line in "\n".join([*texts, own]).splitlines() if not line.lstrip().startswith("#"))
    return Unit(tasks, yaml.safe_load(own) or {}, text)


def role(name: str) -> Unit:
    folder = ROOT / "roles" / name
    return unit([path for kind in ("tasks/*.yml", "handlers/*.yml", "templates/*") for path in sorted(folder.glob(kind))], folder / "vars/main.yml")


UNITS = {name: role(name) for name in ROLES}
UNITS |= {path.name: unit([path]) for path in sorted(ROOT.glob("playbooks/*.yml"))}


def facts(found: Unit) -> set[str]:
    """What tasks register or set, without the state and without what the role run only resets."""
    registered = {task["register"] for task in found.tasks if "register" in task}
    set_facts = {name: value for task in found.tasks for name, value in task.get("ansible.builtin.set_fact", {}).items()}
    return registered | {name for name, value in set_facts.items() if value not in ({}, [], "") and name != STATE}


def defined(found: Unit) -> set[str]:
    loops = {task["loop_control"]["loop_var"] for task in found.tasks if "loop_var" in task.get("loop_control", {})}
    given = {name for task in found.tasks if not included(task) for name in task.get("vars", {})}
    resets = {name for task in found.tasks for name in task.get("ansible.builtin.set_fact", {})}
    return facts(found) | loops | given | found.variables.keys() | resets


def included(task: dict[str, Any]) -> str | None:
    """The role or the playbook that a task includes."""
    if "ansible.builtin.import_playbook" in task:
        return str(task["ansible.builtin.import_playbook"])
    names = [task[include]["name"] for include in INCLUDES if include in task]
    return names[0].removeprefix("mobius.dhash.") if names else None


def arguments(name: str) -> set[str]:
    """What other roles and playbooks give to a role or a playbook where they include it."""
    return {variable for found in UNITS.values() for task in found.tasks if included(task) == name for variable in task.get("vars", {})}


def read(found: Unit) -> set[str]:
    """Keys are no reads, unless the value is one as well."""
    text = re.sub(r"^( *(?:- )?)__dhash_[a-z0-9_]+:", r"\1", found.text, flags=re.MULTILINE)
    return set(NAME.findall(re.sub(r"(register|loop_var): __dhash_[a-z0-9_]+", "", text)))


@pytest.mark.parametrize("name", UNITS)
def test_nothing_is_read_that_another_role_sets(name: str) -> None:
    own = defined(UNITS[name]) | arguments(name) | {STATE, "__dhash_leader", "__dhash_followers"}  # groups of hosts
    assert sorted(read(UNITS[name]) - own) == []


def test_no_two_roles_register_the_same_variable() -> None:
    """A registered variable outlives its role, and comes before what another role has of its name in vars/main.yml."""
    users: dict[str, set[str]] = {}
    for name, found in UNITS.items():
        for variable in facts(found):
            users.setdefault(variable, set()).add(name)
    shared = {variable: names | {name for name in ROLES if variable in UNITS[name].variables} for variable, names in users.items()}
    assert {variable: names for variable, names in shared.items() if len(names & set(ROLES)) > 1} == {}


def written_keys(found: Unit) -> set[str]:
    """The keys that the set_fact tasks of a role or a playbook put into the state."""
    keys: set[str] = set()
    for task in found.tasks:
        template = task.get("ansible.builtin.set_fact", {}).get(STATE)
        if template is None:
            continue
        keys |= set(WRITTEN_KEY.findall(template))
        for name, value in task.get("vars", {}).items():
            if re.search(rf"[(,] ?{name}[,)]", template):
                keys |= set(value) if isinstance(value, dict) else set(WRITTEN_KEY.findall(value))
    return keys


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """key -> who writes and who reads it, as docs/design.md has it."""
    section = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("## State between roles\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \|[^|]*\|([^|]*)\|([^|]*)\|$", section, re.MULTILINE)
    return {key: (set(re.findall("`([a-z_]+)`", writers)), set(re.findall("`([a-z_]+)`", readers))) for key, writers, readers in rows}


def users_of_keys() -> dict[str, tuple[set[str], set[str]]]:
    keys: dict[str, tuple[set[str], set[str]]] = {}
    for name, found in UNITS.items():
        who = name if name in ROLES else PLAYBOOKS
        for key in written_keys(found):
            keys.setdefault(key, (set(), set()))[0].add(who)
        for key in READ_KEY.findall(found.text):
            keys.setdefault(key, (set(), set()))[1].add(who)
    return keys


def test_the_design_says_who_writes_and_who_reads_each_key() -> None:
    assert documented() == users_of_keys()
    assert [key for key, (writers, readers) in users_of_keys().items() if not writers or not readers] == []


def test_the_design_documents_what_a_playbook_tells_the_roles() -> None:
    section = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("### What a playbook tells the roles\n")[2].partition("\n## ")[0]
    given = {key for found in UNITS.values() for task in found.tasks for key in task.get("vars", {}).get("__dhash_playbook", {})
             if isinstance(task["vars"]["__dhash_playbook"], dict)}
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)) == given
