# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task files of the operator on the controller: whether Ansible can load them, before a host is drained."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.mod_args import ModuleArgsParser
from ansible.parsing.vault import AnsibleVaultError
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_tasks
from ansible.playbook.play import Play
from ansible.playbook.role import Role
from ansible.playbook.role.include import RoleInclude
from ansible.vars.manager import VariableManager

HOOKS = ("before_prerequisites", "before_stop", "after_start", "after_verify", "on_rollback", "on_failure")
ROLE = "mobius.dhash.hooks"  # includes the files, and so decides what a task in them may be
ENDS = {"end_batch", "end_host", "end_play"}  # of the run of a host, as a success
NOT_TASKS = {"files", "templates"}  # what a task copies: other YAML than Ansible's, or YAML only after it was templated
NO_TASK = (AnsibleError, AttributeError, TypeError, ValueError)  # what Ansible raises for something that is no task
# ansible-core up to 2.18 says where the error is in its text, a later one beside it.
WHERE = (re.compile(r"appears to be in '(?P<file>/.+?)': line (?P<line>\d+)"), re.compile(r"Origin: (?P<file>/.+?):(?P<line>\d+):\d+"))


class HookFileError(Exception):
    """A file that Ansible cannot load, as the path, the cause and the next step."""


def invalid_hooks(path: str, loader: DataLoader) -> list[str]:
    """The problems of the directory ``path`` of hooks on this controller.

    Folders in it are for what the hooks themselves include, and names that begin with a dot are an editor's.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and not entry.is_dir())
    except OSError as error:
        return [f"dhash_hooks: {folder} on the controller: {error.strerror}. Correct the path, or remove the variable."]
    known = [f"{hook}.yml" for hook in HOOKS]
    found = [f"{folder} contains {name}, which is not the name of a hook. The names are {', '.join(known)}. Rename the file, or move"
             " it into a subfolder." for name in names if name not in known]
    run = [os.path.join(folder, name) for name in names if name in known]
    for file in run:  # which grows: a file includes others
        try:
            tasks = tasks_of(file, loader)
            if tasks:
                load(file, loader)
            found += forbidden(file, tasks)
            run += [other for other in included(file, tasks) if other not in run]
        except HookFileError as error:
            found.append(str(error))
    # A hook may also include a file whose name a template makes, or read variables from it.
    for file in sorted(set(files_below(folder)) - set(run)):
        try:
            found += forbidden(file, read(file, loader))
        except HookFileError as error:
            found.append(str(error))
    return [f"dhash_hooks: {problem}" for problem in dict.fromkeys(found)]


def files_below(folder: str) -> Iterator[str]:
    """The YAML files in the folders in ``folder``."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_TASKS]
        if place != folder:
            yield from (os.path.join(place, name) for name in names if name.endswith((".yml", ".yaml")) and not name.startswith("."))


def read(file: str, loader: DataLoader) -> Any:
    """What the YAML file contains."""
    try:
        raw = Path(file).read_bytes()
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise HookFileError(f"{file}, line {line}: not UTF-8. Save the file as UTF-8, then run again.") from error
    except OSError as error:
        raise HookFileError(f"{file}: {error.strerror}. Correct this, then run again.") from error
    try:
        return loader.load_from_file(file)
    except AnsibleVaultError as error:
        raise HookFileError(f"{file} is encrypted with Ansible Vault, and no vault secret that decrypts it was given. Give the secret with"
                            " --vault-password-file, --vault-id or --ask-vault-pass, then run again.") from error
    except NO_TASK as error:
        raise HookFileError(explained(file, error)) from error


def tasks_of(file: str, loader: DataLoader) -> list[Any]:
    """The tasks of a file that a hook runs."""
    tasks = read(file, loader)
    if tasks is None:
        return []
    if not (isinstance(tasks, list) and all(isinstance(task, dict) for task in tasks)):
        raise HookFileError(f"{file} is not a list of tasks. Correct the file, then run again.")
    if any("hosts" in task for task in tasks):
        raise HookFileError(f"{file} is a playbook, and a hook is a list of tasks. Leave only the tasks in the file, then run again.")
    return tasks


def load(file: str, loader: DataLoader) -> None:
    """Load the file as Ansible does when a hook is run. An error at that time would end the run of all hosts, and no rescue would follow."""
    manager = VariableManager(loader=loader)
    play = Play()
    try:
        role = Role.load(RoleInclude.load(ROLE, play=play, variable_manager=manager, loader=loader), play=play)
        load_list_of_tasks([{"import_tasks": {"file": file}}], play=play, block=Block(play=play, role=role), role=role, variable_manager=manager,
                           loader=loader)
    except NO_TASK as error:
        raise HookFileError(explained(file, error)) from error


def explained(file: str, error: Exception) -> str:
    """The file, the line if it is known, what is wrong there, and the next step."""
    text = str(error)
    places = [pattern.search(context) for pattern, context in zip(WHERE, (text, getattr(error, "_formatted_source_context", None) or ""), strict=True)]
    where = next((f"{place['file']}, line {place['line']}" for place in places if place), file)
    # Up to ansible-core 2.18 the errors of both parsers come first, and the place comes last.
    _both, is_syntax, rest = text.rpartition("Syntax Error while loading YAML.")
    said = rest.partition("The error appears")[0].strip()
    cause = said.splitlines()[0] if is_syntax and said else " ".join(said.split())
    cause = re.sub(r"[:.] The ds .*", "", cause)  # continues with classes of Python
    return f"{where}: {cause.rstrip('. ')}. Correct the file, then run again."


def every_task(entries: Any) -> Iterator[Mapping[str, Any]]:
    """The tasks and blocks among ``entries``, at any depth."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            yield entry
            for section in ("block", "rescue", "always"):
                yield from every_task(entry.get(section))


def action_of(task: Mapping[str, Any]) -> tuple[str, str]:
    """The action of a task without the name of its collection, and its argument that has no name, or the file. Empty if this is no task."""
    try:
        action, arguments, _host = ModuleArgsParser(task).parse(skip_action_validation=True)
    except NO_TASK:
        return "", ""
    return re.sub(r"^ansible\.(builtin|legacy)\.", "", action), str(arguments.get("_raw_params") or arguments.get("file") or "").strip()


def forbidden(file: str, tasks: Any) -> list[str]:
    """The tasks that Ansible can load, but that would leave the host drained."""
    found = []
    for task in every_task(tasks):
        action, argument = action_of(task)
        name = f"the task \"{task.get('name') or action or 'block'}\""
        if action == "meta" and argument in ENDS:
            found.append(f"{file}: {name} has meta: {argument}, which would end the run as a success, with the host drained. Give the tasks after it"
                         " a condition (when) instead, or fail with ansible.builtin.fail, then run again.")
        if task.get("notify") and "roles" not in Path(file).parts:  # a role has handlers of its own
            found.append(f"{file}: {name} notifies a handler, and a hook has no handlers. Make the handler a task after it with a condition"
                         " (when: result is changed), then run again.")
    return found


def included(file: str, tasks: Any) -> Iterator[str]:
    """The files that ``tasks`` include by a name that no template makes, which count from the folder of the ``file``."""
    for action, argument in map(action_of, every_task(tasks)):
        other = os.path.normpath(os.path.join(os.path.dirname(file), argument))
        if action in ("include_tasks", "import_tasks") and os.path.isfile(other):
            yield other
