# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles, the playbooks and the collection's own files promise one another."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
# What ansible-core reads in, or adds to, the result of a task. Of these a module may document only what it means as Ansible does.
RESERVED_KEYS = frozenset((
    "add_group add_host ansible_facts ansible_index_var ansible_job_id ansible_loop ansible_loop_var ansible_parsed ansible_stats async_result"
    " attempts break_when_result changed changed_when_result delta deprecations diff end exception failed failed_when_result false_condition"
    " finished invocation item module_stderr module_stdout msg rc results results_file retries skip_reason skipped skipped_reason start"
    " started stderr stderr_lines stdout stdout_lines unreachable warnings").split())
OWN_NAME = re.compile(r"(__)?dhash_[a-z0-9_]+")
SETTING = re.compile(r"(?<![A-Za-z0-9_])dhash_[a-z0-9_]+")


def load(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def defaults(role: str) -> dict[str, Any]:
    return load(f"roles/{role}/defaults/main.yml") or {}


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of a role, of all its entry points together."""
    return {name: option for entry in load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"].values()
            for name, option in entry["options"].items()}


def defined_in(tasks: Any) -> Iterator[str]:
    """The names of the variables that tasks define."""
    if isinstance(tasks, list):
        for task in tasks:
            yield from defined_in(task)
    elif isinstance(tasks, dict):
        for key, value in tasks.items():
            if key == "register":
                yield value
            elif key in ("vars", "set_fact", "ansible.builtin.set_fact"):
                yield from (name for name in value if name != "cacheable")
            elif key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
                yield from defined_in(value)


def all_tasks(tasks: Any) -> Iterator[dict[str, Any]]:
    """The tasks and blocks of a task file or a playbook."""
    for task in tasks:
        yield task
        for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from all_tasks(task.get(key, []))


def module_options(module: str) -> set[str]:
    """The options of a module, as its documentation has them: its own and those of the fragments that it names."""
    documented = importlib.import_module(f"ansible_collections.mobius.dhash.plugins.modules.{module}").DOCUMENTATION
    page = yaml.safe_load(documented)
    found = set(page.get("options", {}))
    for fragment in page.get("extends_documentation_fragment", []):
        _namespace, _name, file, *part = fragment.split(".")
        fragments = importlib.import_module(f"ansible_collections.mobius.dhash.plugins.doc_fragments.{file}").ModuleDocFragment
        found |= set(yaml.safe_load(getattr(fragments, part[0].upper() if part else "DOCUMENTATION"))["options"])
    return found


TASK_FILES = sorted(str(path.relative_to(ROOT)) for folder in ("roles/*/tasks", "playbooks") for path in ROOT.glob(f"{folder}/*.yml"))
PLAYS = [pytest.param(play, id=f"{path.stem}: {play['name']}") for path in sorted(ROOT.glob("playbooks/*.yml"))
         for play in load(path) if "hosts" in play]


@pytest.mark.parametrize("file", TASK_FILES)
def test_variables_defined_by_tasks_are_internal_and_ours(file: str) -> None:
    names = [name for name in defined_in(load(file)) if name != "ansible_become"]
    assert [name for name in names if not name.startswith("__dhash_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_begins_with_the_prefix_of_the_collection(role: str) -> None:
    variables = ROOT / f"roles/{role}/vars/main.yml"
    names = [*defaults(role), *options(role), *(load(variables) if variables.exists() else {})]
    assert [name for name in names if not OWN_NAME.fullmatch(name)] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_role_says_what_it_is_and_since_which_ansible(role: str) -> None:
    about = load(f"roles/{role}/meta/main.yml")
    assert about["dependencies"] == []
    info = about["galaxy_info"]
    assert info["description"] == load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["short_description"]
    assert f">={info['min_ansible_version']}.0" == load("meta/runtime.yml")["requires_ansible"]


@pytest.mark.parametrize("role", ROLES)
def test_defaults_equal_those_of_the_argument_spec(role: str) -> None:
    documented = {name: option.get("default") for name, option in options(role).items() if not option.get("required")}
    assert documented == defaults(role)


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    return found


def included_roles(tasks: Any) -> Iterator[tuple[str, str, bool]]:
    """The roles of this collection that tasks include: role, entry point, and whether the role validates its variables.

    A name with a template in it stands for all entry points that it may name.
    """
    for task in all_tasks(tasks):
        included = task.get("ansible.builtin.include_role")
        if included:
            role = included["name"].removeprefix("mobius.dhash.")
            name = included.get("tasks_from", "main")
            names = [name] if "{{" not in name else [entry for entry in entry_points(role) if re.fullmatch(re.sub(r"{{.*}}", ".*", name), entry)]
            yield from ((role, entry, included.get("rolespec_validate", True)) for entry in names)


@pytest.mark.parametrize("file", TASK_FILES)
def test_included_entry_points_have_an_argument_spec(file: str) -> None:
    assert [f"{role}/{entry}" for role, entry, _validates in included_roles(load(file)) if entry not in entry_points(role)] == []


@pytest.mark.parametrize("file", TASK_FILES)
def test_each_variable_is_validated_once(file: str) -> None:
    """In a playbook the entry point settings of the role prerequisites validates all variables, in a role its own argument spec does.

    What may follow a failure validates none: the hooks, the role rescue, and what a section rescue or always includes.
    """
    included = list(included_roles(load(file)))
    roles = [file.split("/")[1]] if file.startswith("roles/") else ROLES if ("prerequisites", "settings", False) in included else []
    known = {name for role in roles for name in options(role)}
    after_failure = {found[:2] for block in all_tasks(load(file)) for key in ("rescue", "always") for found in included_roles(block.get(key, []))}
    expected = [(role, entry, not (role == "hooks" or file.startswith("roles/rescue/") or (role, entry) in after_failure
                                   or entry_points(role)[entry]["options"].keys() <= known))
                for role, entry, _validates in included]
    assert included == expected


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_of_readmes_and_specs_are_there(role: str) -> None:
    named = set(re.findall(r"`tasks_from: (\w+)`", (ROOT / f"roles/{role}/README.md").read_text(encoding="utf-8")))
    assert named <= entry_points(role).keys()
    assert [name for name in entry_points(role) if name != "main" and not (ROOT / f"roles/{role}/tasks/{name}.yml").exists()] == []


@pytest.mark.parametrize("name", ["rescue/report", "run/end", "fleet_report/write", "rollback/prepare", "restart/resume", "restart/recovery",
                                  "hooks/attempt", "hooks/end", "notify/end", "notify/send"])
def test_entry_points_run_after_a_failure_validate_no_variable(name: str) -> None:
    role, entry = name.split("/")
    assert entry_points(role)[entry]["options"] == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_that_a_role_reads_is_in_its_argument_spec(role: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for folder in ("tasks", "vars") for path in ROOT.glob(f"roles/{role}/{folder}/*.yml"))
    variables = ROOT / f"roles/{role}/vars/main.yml"
    made_here = load(variables).keys() if variables.exists() else set()
    of_playbooks = {"dhash_serial"}  # a message names it
    assert set(SETTING.findall(text)) - of_playbooks <= options(role).keys() | made_here


def test_every_module_with_paths_takes_care_of_the_locale() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "plugins/modules").glob("*.py")}
    del texts["notify"]  # it runs on the controller, where Ansible itself accepts no locale but a UTF-8 one
    with_paths = {name: text for name, text in texts.items() if 'type="path"' in text or "module_arguments.LIBRARY" in text}
    assert len(with_paths) >= 16
    assert [name for name, text in with_paths.items() if "respawn.respawn_if_needed(" not in text] == []


def test_every_document_that_the_code_cites_is_there() -> None:
    files = [path for folder in ("plugins", "roles", "playbooks", "tests") for path in (ROOT / folder).rglob("*")
             if path.suffix in (".py", ".yml", ".sh", ".j2") and path != Path(__file__)]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert [str(path) for path, text in texts.items() if re.search(r"\bDESIGN\b", text)] == []
    cited = {(path, name) for path, text in texts.items() for name in re.findall(r"\bdocs/[a-z_]+\.md\b", text)}
    assert [(str(path), name) for path, name in cited if not (ROOT / name).exists()] == []


def test_what_two_roles_share_is_the_same_in_both() -> None:
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for role in ROLES:
        for name, option in options(role).items():
            known, known_option = first.setdefault(name, (role, option))
            assert option == known_option, f"{name} differs between {known} and {role}"


def test_the_version_is_the_same_wherever_it_stands() -> None:
    assert load("galaxy.yml")["version"] == run_record.VERSION


def action_group(name: str) -> set[str]:
    """The modules of an action group, those of the groups that it extends included."""
    modules: set[str] = set()
    for entry in load("meta/runtime.yml")["action_groups"][name]:
        extended = entry["metadata"]["extend_group"] if isinstance(entry, dict) else []
        modules |= {module for group in extended for module in action_group(group)} if extended else {entry}
    return modules


@pytest.mark.parametrize(("group", "shared"), [
    ("dhash", {"library", "state_dir"}), ("dhash_locking", {"library", "state_dir", "lock_timeout"})])
def test_action_group_modules_accept_the_shared_options(group: str, shared: set[str]) -> None:
    # image_hash takes a library or images: with a library of the group, it would refuse images.
    modules = {module for module in MODULES if shared <= module_options(module)} - {"image_hash"}
    assert action_group(group) == modules


@pytest.mark.parametrize("play", PLAYS)
def test_every_play_demands_the_linear_strategy(play: dict[str, Any]) -> None:
    assert play.get("strategy") == "linear"


@pytest.mark.parametrize("file", TASK_FILES)
def test_delegated_tasks_ignore_become_of_the_inventory(file: str) -> None:
    delegated = [task for task in all_tasks(load(file)) if task.get("delegate_to") == "localhost"]
    assert [task["name"] for task in delegated if task.get("vars", {}).get("ansible_become") is not False or "become" in task] == []


@pytest.mark.parametrize("file", TASK_FILES)
def test_folders_that_are_there_keep_their_mode(file: str) -> None:
    folders = [task for task in all_tasks(load(file)) if task.get("ansible.builtin.file", {}).get("state") == "directory"]
    assert [task["name"] for task in folders if ".stat.exists" not in str((task["ansible.builtin.file"].get("mode"), task.get("when")))] == []


@pytest.mark.parametrize("file", TASK_FILES)
def test_operators_are_not_warned_of_a_key_that_stands_twice(file: str) -> None:
    """Ansible counts the keys of a merged mapping as well."""
    with mock.patch.object(Display(), "warning") as warned:
        DataLoader().load_from_file(str(ROOT / file))
    warned.assert_not_called()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_returns_a_key_that_ansible_reserves(module: str) -> None:
    documented = importlib.import_module(f"ansible_collections.mobius.dhash.plugins.modules.{module}").RETURN
    assert sorted(RESERVED_KEYS & yaml.safe_load(documented).keys()) == []


@pytest.mark.matrix
def test_every_key_that_the_installed_ansible_reserves_is_known() -> None:
    task = pytest.importorskip("ansible._internal._task", reason="ansible-core before 2.21 has no list of the keys that it reserves")
    if not hasattr(task, "UnifiedTaskResult"):
        pytest.skip("ansible-core 2.19 and 2.20 have the module, but no list")
    reserved = task.UnifiedTaskResult.get_result_key_to_resolved_field_mapping(source_is_module=True)
    assert {key for key in reserved if not key.startswith("_")} <= RESERVED_KEYS


def test_results_of_an_earlier_playbook_are_forgotten() -> None:
    """What is left out is always registered before it is read, or belongs to the whole run."""
    always_new = {"__dhash_status", "__dhash_status_record", "__dhash_backups", "__dhash_status_written", "__dhash_status_folder_found",
                  "__dhash_status_instead", "__dhash_promtool", "__dhash_running_early"}
    registered = {task["register"] for file in TASK_FILES for task in all_tasks(load(file)) if "register" in task}
    reset = load("roles/run/tasks/begin.yml")[0]["ansible.builtin.set_fact"]
    assert registered - always_new <= reset.keys()
    facts = {name for file in TASK_FILES for task in all_tasks(load(file)) for name in task.get("ansible.builtin.set_fact", {})}
    assert reset.keys() <= registered | facts


@pytest.mark.parametrize("playbook", sorted({path.stem for path in ROOT.glob("playbooks/*.yml")}
                                            - {"fleet_status", "install_monitoring"}))
def test_playbooks_begin_without_results_of_earlier_ones(playbook: str) -> None:
    plays = [play for play in load(f"playbooks/{playbook}.yml") if "tasks" in play and "dhash_serial" not in play["name"]
             and play["name"] != "Refuse a batch size that would not be seen"]
    first = [play["tasks"][0]["ansible.builtin.include_role"] for play in plays]
    assert {(role["name"], role["tasks_from"]) for role in first} == {("mobius.dhash.run", "begin")}


@pytest.mark.parametrize("playbook", ["calibrate", "dry_run", "fleet_duplicates", "migrate", "migrate_sharded", "monitor", "rehearse", "review_export",
                                      "review_import", "rollback", "verify"])
def test_playbooks_check_all_variables_before_other_roles(playbook: str) -> None:
    tasks = [task["ansible.builtin.include_role"] if "ansible.builtin.include_role" in task else task["ansible.builtin.import_role"]
             for play in load(f"playbooks/{playbook}.yml") for task in all_tasks(play.get("tasks", []))
             if {"ansible.builtin.include_role", "ansible.builtin.import_role"} & task.keys()]
    first = next(role for role in tasks if role["name"] != "mobius.dhash.run"
                 and role.get("tasks_from") not in ("look", "resume"))
    assert (first["name"], first.get("tasks_from")) == ("mobius.dhash.prerequisites", "settings")


def texts_for_people(task: dict[str, Any]) -> list[str]:
    arguments = [task.get(f"ansible.builtin.{action}", {}) for action in ("fail", "assert", "debug")]
    return [str(found[key]) for found in arguments for key in ("msg", "fail_msg") if key in found]


def unrendered(tasks: list[dict[str, Any]], results: set[str], keys: set[str], guards: str = "") -> Iterator[str]:
    """What a message takes from a result that may lack it, where neither the message nor a condition of its task takes care of that."""
    for task in tasks:
        conditions = f"{guards} {task.get('when', '')}".replace(" | default({})", "").replace("(", "").replace(")", "")
        for text in texts_for_people(task):
            for use in re.finditer(r"(?P<result>__dhash_\w+)\.(?P<key>\w+)(?P<default> \| default)?", text):
                name = f"{use['result']}.{use['key']}"
                if use["result"] in results and use["key"] in keys and not use["default"] and f"{name} is defined" not in conditions:
                    yield f"{task['name']}: {name}"
        for key in ("block", "rescue", "always", "tasks"):
            yield from unrendered(task.get(key, []), results, keys, conditions)


def test_deploy_message_is_rendered_without_a_record_too() -> None:
    """library_deploy returns the fields of the record only if there is one: a library that has become another file has none."""
    results = {task["register"] for file in TASK_FILES for task in all_tasks(load(file)) if "register" in task and "mobius.dhash.library_deploy" in task}
    assert {"__dhash_deploy", "__dhash_deploy_plan", "__dhash_settled"} <= results
    fields = set(run_record.SHOWN) - {"phase", "restart_owed"}
    assert [(file, found) for file in TASK_FILES for found in unrendered(load(file), results, fields)] == []
