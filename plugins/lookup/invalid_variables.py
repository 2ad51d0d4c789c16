# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: invalid_variables
short_description: Validate the variables of all roles of this collection
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Validates the variables of all roles that are set for a host, before a playbook changes that host. A role validates only its own
    variables, and only when it runs, which may be after the deploy.
  - Refuses a name that begins with C(dhash_) and is similar to the name of a variable of this collection, wherever the name is set. Names
    that are not similar, for example an operator's own C(dhash_site), and names that begin with C(__dhash_) are not refused.
  - Checks types, choices and ranges, and the directory C(dhash_hooks) on the controller. With variables in O(_terms), checks instead that
    the folders that these variables name can be written.
    Does not read C(dhash_notify), because the templates in it have values only when a message is sent.
options:
  _terms:
    description:
      - Names of variables. Each variable sets a folder on the controller that a run will write to.
      - A relative path counts from the current directory. A folder that does not exist is created.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Refuse invalid values
  ansible.builtin.assert:
    that: query('mobius.dhash.invalid_variables') | length == 0

- name: Refuse a folder on the controller that cannot be written
  ansible.builtin.assert:
    that: query('mobius.dhash.invalid_variables', 'dhash_backup_fetch_dir') | length == 0
"""

RETURN = r"""
_list:
  description: All problems, as sentences. Empty if there is no problem.
  type: list
  elements: str
"""

import difflib
import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_bool, check_type_dict, check_type_float, check_type_int, check_type_list
from ansible.plugins.lookup import LookupBase
from ansible_collections.mobius.dhash.plugins.filter.as_list import as_list
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import path_rules
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable
from ansible_collections.mobius.dhash.plugins.module_utils._module import number_ranges
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_gates
from ansible_collections.mobius.dhash.plugins.plugin_utils._hook_files import invalid_hooks

ROLES = Path(__file__).parents[2] / "roles"
NOT_READ = {"dhash_notify"}
PREFIX = "dhash_"
OF_PLAYBOOKS = {"dhash_fleet_status_file", "dhash_hosts", "dhash_notification", "dhash_serial", "dhash_shards"}  # no role reads them
LIKENESS = 0.87  # of two names without the prefix: "env" and "venv" have 0.86
# What the collection does not resolve against the folder of the library, or against the operator's current directory.
ABSOLUTE = ("dhash_library", "dhash_media_roots", "dhash_monitoring_dashboard_dir", "dhash_monitoring_rules_dir", "dhash_pause_file", "dhash_postpone_file",
            "dhash_state_dir", "dhash_temp_dir", "dhash_venv", "dhash_verify_compare", "dhash_wheels")
CONVERSIONS = {"bool": check_type_bool, "dict": check_type_dict, "float": check_type_float, "int": check_type_int, "list": check_type_list}
WANTED = {"bool": "true or false", "dict": "a dictionary", "float": "a number", "int": "a whole number", "list": "a list", "path": "a path", "str": "text"}
ENVIRONMENT_VARIABLE = re.compile(r"\$(\w|\{[^}]*\})")  # what os.path.expandvars replaces


def options_of_all_roles() -> dict[str, dict[str, Any]]:
    """The options of all entry points of all roles, by their names."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {name: option for file in sorted(ROLES.glob("*/meta/argument_specs.yml"))
            for entry in yaml.load(file.read_text(encoding="utf-8"), Loader=loader)["argument_specs"].values()
            for name, option in entry["options"].items()}


def contradictions(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> list[str]:
    """The problems of variables that are valid by themselves but not together, and of invalid patterns."""
    found = []
    manager = given.get("dhash_service_manager") or "none"
    needed = {"none": None, "command": "dhash_start_command"}.get(manager, "dhash_service_name")
    if needed and not given.get(needed):
        found.append(f"{needed} is not set, and dhash_service_manager is {manager}. Set it to the"
                     f" {'command that starts' if manager == 'command' else 'name of'} the service.")
    for name in ("dhash_health_body", "dhash_monitor_error_log_pattern"):
        try:
            re.compile(given.get(name) or "")
        except re.error as error:
            found.append(f"{name} is not a regular expression: {error}.")
    images = given.get("dhash_verify_compare") or []
    if len(images) not in (0, 2):
        found.append(f"dhash_verify_compare names {len(images)} images. Name two images.")
    for name in ("dhash_verify_compare_{}_distance", "dhash_review_{}_distance"):
        least, most = (given.get(name.format(end), options[name.format(end)]["default"]) for end in ("min", "max"))
        if least > most:
            found.append(f"{name.format('min')} ({least}) is greater than {name.format('max')} ({most}).")
    target = given.get("dhash_rollback_to")
    if target and target != options["dhash_rollback_to"]["default"] and given.get("dhash_rollback_remove_dhash"):
        found.append("dhash_rollback_to and dhash_rollback_remove_dhash contradict each other, because the latter restores no backup. Set one of them.")
    return found


def mistyped(known: Collection[str], names: Iterable[str]) -> list[str]:
    """The ``names`` that are similar to one of the ``known`` variables, and probably misspelled."""
    candidates = [name.removeprefix(PREFIX) for name in known]
    found = {name: difflib.get_close_matches(name.removeprefix(PREFIX), candidates, 1, LIKENESS)
             for name in sorted(set(names) - set(known)) if name.startswith(PREFIX)}
    return [f"{name} is not a variable of mobius.dhash. Did you mean {PREFIX}{near[0]}?" for name, near in found.items() if near]


def expanded(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> list[str]:
    """The paths with an environment variable, which Ansible would expand on the host."""
    return [f"{name}: {path} contains an environment variable, which each host would replace by its own value. Write the whole path;"
            " ~ is the home of the user." for name, option in options.items() if "path" in (option["type"], option.get("elements"))
            for path in as_list(given.get(name)) if isinstance(path, str) and ENVIRONMENT_VARIABLE.search(path)]


def relative(given: Mapping[str, Any]) -> list[str]:
    """The relative paths that would count from the folder in which Ansible happens to run a module: over SSH the home of the user, on the
    controller the folder in which the collection is installed, which an upgrade of the collection deletes."""
    return [f"{name}: {path} is a relative path, and on the host there is no folder that it counts from. Write the whole path."
            for name in ABSOLUTE for path in as_list(given.get(name)) if isinstance(path, str) and path and not path.startswith(("/", "~"))]


def wrong_types(name: str, option: Mapping[str, Any], value: Any) -> list[str]:
    """The problems of a value, and of the values in it, that are not of the type of the ``option``. Text is converted, as Ansible does."""
    kind = option["type"]
    if value is None:
        return []
    try:
        if (kind == "path" and not isinstance(value, str)) or (kind == "str" and isinstance(value, (list, tuple, Mapping))):
            raise TypeError
        value = CONVERSIONS[kind](value) if kind in CONVERSIONS else value
        if kind in ("int", "float") and not math.isfinite(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):  # the last of a number without end
        return [f"{name} must be {WANTED[kind]}, got {value!r}. Correct the value, or remove it."]
    if kind == "list":
        return [problem for item in value for problem in wrong_types(f"each item of {name}", {"type": option.get("elements", "raw")}, item)]
    within = option.get("options", {}) if kind == "dict" else {}
    return [problem for key, inner in within.items() for problem in wrong_types(f"{name}.{key}", inner, value.get(key))]


def without_value(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> list[str]:
    """The variables that are null, although without them the default would count."""
    return [f"{name} is set, but has no value (null). Give it a value, or remove it for the default ({json.dumps(options[name]['default'])})."
            for name, value in given.items() if value is None and options[name].get("default") is not None]


def check(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> list[str]:
    """The problems of the variables ``given``; extra variables are text."""
    empty = without_value(options, given)
    given = {name: value for name, value in given.items() if value is not None}
    spec = {name: {key: value for key, value in option.items() if key != "default"} for name, option in options.items()
            if name in given or option.get("required")}
    mistakes = {name: wrong_types(name, option, given.get(name)) for name, option in spec.items()}
    # The validator names the classes of Python instead of the value, and breaks at a wrong type within a dictionary.
    checked = ArgumentSpecValidator({name: option for name, option in spec.items() if not mistakes[name]}).validate(
        {name: value for name, value in given.items() if not mistakes.get(name)})
    found = empty + [mistake for of_one in mistakes.values() for mistake in of_one] + list(checked.error_messages) or expanded(spec, given) or relative(given)
    if not found:
        found = number_ranges.problems(checked.validated_parameters) or contradictions(options, checked.validated_parameters)
        try:
            gates = checked.validated_parameters.get("dhash_monitor_gates") or {}
            watch_gates.chosen({name: {key: value for key, value in gate.items() if value is not None} for name, gate in gates.items() if gate})
        except DhashError as error:
            found.append(str(error))
    return found


def unwritable(given: Mapping[str, str]) -> list[str]:
    """The folders on this controller that cannot be written, by the variables that name them."""
    obstacles = {name: durable.obstacle(os.path.expanduser(path)) for name, path in given.items() if path}
    problems = [path_rules.Problem(name, given[name], f"{obstacle.path} {obstacle.cause}", obstacle.step)
                for name, obstacle in obstacles.items() if obstacle]
    return [f"{problem.variable}: {problem.path} on the controller: {problem.cause}. {problem.next_step}" for problem in problems]


class LookupModule(LookupBase):  # type: ignore[misc] # ansible-core has no types
    """See DOCUMENTATION."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any], **kwargs: Any) -> list[str]:
        options = options_of_all_roles()
        misnamed = mistyped(options.keys() | OF_PLAYBOOKS, variables)
        if misnamed:
            return misnamed
        given = {}
        for name in sorted((set(terms) or set(options) - NOT_READ) & set(variables)):
            try:
                given[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                return [f"{name}: {error}"]
        if terms:
            return unwritable(given)
        hooks = given.get("dhash_hooks")
        return check(options, given) or (invalid_hooks(hooks, self._loader) if hooks else [])
