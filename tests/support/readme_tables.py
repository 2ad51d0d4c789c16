# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the tables in docs and in roles/*/README.md from the documentation of the modules and the argument specs of the roles.

    readme_tables.py --check    names the files that are stale, and exits with 1
    readme_tables.py --write    brings them up to date

Each table stands between markers like <!-- variables:begin --> and <!-- variables:end -->. docs/variables.md has the variables of all
roles, docs/reference.md the tables modules and roles, and the README of a role the variables of that role.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import generated
import yaml

ROOT = Path(__file__).parents[2]


def specs_of_roles(root: Path) -> dict[str, dict[str, Any]]:
    """role -> the argument specification of its main entry point, with the options of all of them, in alphabetical order."""
    found = {}
    for file in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"]
        options = {name: option for entry in entries.values() for name, option in entry["options"].items()}
        found[file.parts[-3]] = entries["main"] | {"options": options}
    return found


def documentation_of_modules(root: Path) -> dict[str, dict[str, Any]]:
    """module -> its DOCUMENTATION, in alphabetical order."""
    found = {}
    for file in sorted(root.glob("plugins/modules/[!_]*.py")):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DOCUMENTATION":
                found[file.stem] = yaml.safe_load(ast.literal_eval(statement.value))
    return found


def modules_table(modules: dict[str, dict[str, Any]]) -> str:
    return table(["Module", "What it does"], [[f"`{name}`", f"{doc['short_description']}."] for name, doc in modules.items()])


def roles_table(roles: dict[str, dict[str, Any]]) -> str:
    return table(["Role", "What it does"],
                 [[f"[`{name}`](../roles/{name}/README.md)", f"{spec['short_description']}."] for name, spec in roles.items()])


def variables_table(options: dict[str, dict[str, Any]]) -> str:
    """The variables of one role."""
    return table(["Variable", "Default", "Description"],
                 [[f"`{name}`", default(options[name]), description(options[name])] for name in sorted(options, key=order(options))])


def all_variables_table(roles: dict[str, dict[str, Any]]) -> str:
    """The variables of all roles. Raises ValueError where two roles say different things of one of them."""
    users: dict[str, list[str]] = {}
    options: dict[str, dict[str, Any]] = {}
    for role, spec in roles.items():
        for name, option in spec["options"].items():
            users.setdefault(name, []).append(role)
            if options.setdefault(name, option) != option:
                raise ValueError(f"{name} is not specified the same in the roles {users[name][0]} and {role}")
    return table(["Variable", "Default", "Roles", "Description"],
                 [[f"`{name}`", default(options[name]), "all" if len(users[name]) == len(roles) else ", ".join(users[name]),
                   description(options[name])] for name in sorted(options, key=order(options))])


def order(options: dict[str, dict[str, Any]]) -> Callable[[str], tuple[bool, str]]:
    """What is required first, then by name."""
    return lambda name: (not options[name].get("required"), name)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def description(option: dict[str, Any]) -> str:
    """The description with Ansible's markup (https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html) as Markdown."""
    paragraphs = option["description"] if isinstance(option["description"], list) else [option["description"]]
    text = re.sub(r"\b[A-Z]+\(([^)]*)\)", r"`\1`", " ".join(paragraphs))
    if "choices" in option:
        text += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
    return text


def with_table(file: Path, text: str, name: str, new: str) -> str:
    """``text`` with the table between the markers ``name`` replaced. Raises ValueError where they are not there."""
    marked, count = re.subn(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", lambda found: f"{found[1]}{new}\n{found[2]}",
                            text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{file} needs <!-- {name}:begin --> and <!-- {name}:end --> once, each on a line of its own")
    return marked


def stale_files(root: Path) -> dict[Path, str]:
    """The files whose tables are out of date, and what they should hold."""
    roles = specs_of_roles(root)
    tables = {root / "docs/variables.md": {"variables": all_variables_table(roles)},
              root / "docs/reference.md": {"modules": modules_table(documentation_of_modules(root)), "roles": roles_table(roles)}}
    tables |= {root / "roles" / role / "README.md": {"variables": variables_table(spec["options"])} for role, spec in roles.items()}
    stale = {}
    for file, new_tables in tables.items():
        present = text = file.read_text(encoding="utf-8") if file.exists() else ""
        for name, new in new_tables.items():
            text = with_table(file, text, name, new)
        if text != present:
            stale[file] = text
    return stale


if __name__ == "__main__":
    sys.exit(generated.main(__doc__, functools.partial(stale_files, ROOT), ROOT, "run tests/support/readme_tables.py --write"))
