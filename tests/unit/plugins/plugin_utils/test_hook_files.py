# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hook files that would end a run with the host drained are refused before it; all others are taken."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from ansible_collections.mobius.dhash.plugins.plugin_utils import _hook_files

pytestmark = pytest.mark.matrix
ROOT = Path(__file__).parents[4]
SECRET = [("default", VaultSecret(b"right"))]


@pytest.fixture(autouse=True)
def _finds_collections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ansible finds the modules and roles of collections, as in a run. A test imports the collection without Ansible, so Ansible imports it anew."""
    for name in [name for name in sys.modules if re.fullmatch(r"ansible_collections(\.\w+){0,2}|ansible_collections\.mobius\.dhash\.(plugins|roles).*", name)]:
        monkeypatch.delitem(sys.modules, name)
    finder = _AnsibleCollectionFinder(paths=[str(ROOT / ".ansible/collections")])
    finder._install()
    yield
    finder._remove()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]


class Directory:
    """A directory of hooks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loader = DataLoader()

    def write(self, name: str, content: str | bytes | list[Any] = "- ansible.builtin.debug:\n") -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content) if isinstance(content, list) else content
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return file

    def problems(self) -> list[str]:
        return _hook_files.invalid_hooks(str(self.folder), self.loader)


@pytest.fixture
def hooks(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_hooks_are_optional_and_may_have_folders_beside_them(hooks: Directory) -> None:
    assert hooks.problems() == []
    hooks.write("before_stop.yml")
    hooks.write("after_verify.yml", "---\n")
    hooks.write(".after_verify.yml.swp", "[")
    hooks.write("tasks/.drain.yml", "[")
    assert hooks.problems() == []


def test_a_directory_of_hooks_counts_from_the_current_directory(hooks: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.write("hooks/before_stop.yml")
    monkeypatch.chdir(hooks.folder)
    assert _hook_files.invalid_hooks("hooks", hooks.loader) == []
    monkeypatch.setenv("HOME", str(hooks.folder))
    assert _hook_files.invalid_hooks("~/hooks", hooks.loader) == []


def test_a_missing_directory_of_hooks_is_named(hooks: Directory) -> None:
    missing = hooks.folder / "missing"
    assert _hook_files.invalid_hooks(str(missing), hooks.loader) == [
        f"dhash_hooks: {missing} on the controller: No such file or directory. Correct the path, or remove the variable."]


@pytest.mark.parametrize("name", ["before_drain.yml", "before_stop.yaml"])
def test_a_file_with_another_name_is_refused(hooks: Directory, name: str) -> None:
    hooks.write(name, "[]")
    (found,) = hooks.problems()
    assert found.startswith(f"dhash_hooks: {hooks.folder} contains {name}, which is not the name of a hook")


@pytest.mark.parametrize(("content", "line", "cause"), [
    ("- name: Drain\n  ansible.builtin.debug:\n  whne: true\n", 1, "conflicting action statements: ansible.builtin.debug, whne"),
    ("- block:\n    - block:\n        - ansible.builtin.debug:\n          whne: true\n", 3, "conflicting action statements"),
    ("- name: Drain\n", 1, "no module/action detected in task"),
    ("- debug:\n  command: 'true'\n", 1, "conflicting action statements: debug, command"),
    ("- copyy:\n    src: a\n", 1, "couldn't resolve module/action 'copyy'"),
    ("- mobius.dhash.no_such_module:\n", 1, "couldn't resolve module/action 'mobius.dhash.no_such_module'"),
    ("- block: 1\n", 1, "A malformed block was encountered"),
    ("- import_role:\n    name: no_such_role\n", 2, "ole 'no_such_role' was not found"),
    ("- ansible.builtin.debug:\n- [\n", 3, "expected node content"),
    ("- ansible.builtin.debug:\n\tmsg: x\n", 2, ""),
    (b"- ansible.builtin.debug:\n    msg: \xff\xfe\n", 2, "not UTF-8. Save the file as UTF-8, then run again."),
])
def test_the_line_that_ansible_cannot_load_is_named(hooks: Directory, content: str | bytes, line: int, cause: str) -> None:
    file = hooks.write("before_stop.yml", content)
    (found,) = hooks.problems()
    assert found.startswith(f"dhash_hooks: {file}, line {line}: ") and cause in found and found.endswith(", then run again.")
    assert "\n" not in found and "<class" not in found


@pytest.mark.parametrize(("content", "cause"), [
    ("tasks: []\n", "is not a list of tasks"), ("text\n", "is not a list of tasks"), ("- text\n", "is not a list of tasks"),
    ("- hosts: all\n  tasks: []\n", "is a playbook, and a hook is a list of tasks"),
    ("- import_tasks: tasks/missing.yml\n", "/tasks/missing.yml"),
    ("- 1: 2\n", ""),
])
def test_a_file_that_is_no_task_file_is_refused(hooks: Directory, content: str, cause: str) -> None:
    file = hooks.write("before_stop.yml", content)
    (found,) = hooks.problems()
    assert found.startswith(f"dhash_hooks: {file}") and cause in found and found.endswith(", then run again.")


def test_a_hook_that_cannot_be_read_is_refused(hooks: Directory) -> None:
    (hooks.folder / "before_stop.yml").symlink_to("nowhere")
    assert hooks.problems() == [f"dhash_hooks: {hooks.folder}/before_stop.yml: No such file or directory. Correct this, then run again."]


@pytest.mark.parametrize("name", ["tasks/bad.yml", "tasks/deep/bad.yaml", "vars/bad.yml"])
def test_broken_yaml_below_the_directory_is_refused(hooks: Directory, name: str) -> None:
    file = hooks.write(name, "- a\n- [\n")
    (found,) = hooks.problems()
    assert found.startswith(f"dhash_hooks: {file}, line 3: ")


@pytest.mark.parametrize("include", ["ansible.builtin.include_tasks", "include_tasks", "import_tasks"])
def test_what_a_hook_includes_is_loaded_too(hooks: Directory, include: str) -> None:
    hooks.write("before_stop.yml", [{"block": [{include: "tasks/one.yml"}]}])
    hooks.write("tasks/one.yml", [{include: "two.yml", "when": "true"}])
    two = hooks.write("tasks/two.yml", "- ansible.builtin.debug:\n  whne: true\n")
    (found,) = hooks.problems()
    assert found.startswith(f"dhash_hooks: {two}, line 1: conflicting action statements")


def test_included_files_may_include_each_other(hooks: Directory) -> None:
    hooks.write("before_stop.yml", [{"include_tasks": "tasks/one.yml"}])
    hooks.write("tasks/one.yml", [{"include_tasks": {"file": "one.yml"}}, {"include_tasks": "{{ made }}.yml"}])
    assert hooks.problems() == []


@pytest.mark.parametrize("name", ["before_stop.yml", "tasks/made.yml", "roles/drain/tasks/main.yml"])
@pytest.mark.parametrize("task", [{"meta": "end_host"}, {"ansible.builtin.meta": "end_batch", "when": "x"}, {"action": "meta end_play"}],
                         ids=["host", "batch", "play"])
def test_a_task_that_ends_the_run_is_refused(hooks: Directory, name: str, task: dict[str, Any]) -> None:
    file = hooks.write(name, [{"block": [{"ansible.builtin.debug": {}}], "rescue": [{"block": [{"name": "Stop here", **task}]}]}])
    (found,) = hooks.problems()
    assert found.startswith(f'dhash_hooks: {file}: the task "Stop here" has meta: end_')


@pytest.mark.parametrize("name", ["before_stop.yml", "tasks/made.yml"])
def test_a_task_that_notifies_a_handler_is_refused(hooks: Directory, name: str) -> None:
    file = hooks.write(name, [{"block": [{"name": "Set", "ansible.builtin.command": "true", "notify": "Reload"}]}])
    (found,) = hooks.problems()
    assert found.startswith(f'dhash_hooks: {file}: the task "Set" notifies a handler, and a hook has no handlers.')


@pytest.mark.parametrize("is_given", [False, True], ids=["no secret", "wrong secret"])
@pytest.mark.parametrize("name", ["before_stop.yml", "vars/secret.yml"])
def test_a_file_without_its_vault_secret_is_refused(hooks: Directory, name: str, is_given: bool) -> None:
    file = hooks.write(name, VaultLib(SECRET).encrypt(b"- ansible.builtin.debug:\n"))
    if is_given:
        hooks.loader.set_vault_secrets([("default", VaultSecret(b"wrong"))])
    assert hooks.problems() == [f"dhash_hooks: {file} is encrypted with Ansible Vault, and no vault secret that decrypts it was given. Give the secret"
                                " with --vault-password-file, --vault-id or --ask-vault-pass, then run again."]


def test_what_ansible_can_run_is_taken(hooks: Directory) -> None:
    hooks.loader.set_vault_secrets(SECRET)
    hooks.write("before_stop.yml", [
        {"name": "End this role", "ansible.builtin.meta": "end_role"}, {"meta": "flush_handlers"}, {"meta": "clear_host_errors"},
        {"mobius.dhash.library_info": {"library": "{{ dhash_library }}"}, "register": "found", "until": "found is succeeded", "retries": "{{ tries }}"},
        {"ansible.builtin.command": "true", "notify": [], "delegate_to": "{{ item }}", "loop": "{{ groups.all }}"},
        {"local_action": "ansible.builtin.command true"}, {"ansible.builtin.include_role": {"name": "made_later"}},
        {"import_tasks": "tasks/imported.yml"}, {"include_tasks": "tasks/missing.yml"}])
    hooks.write("tasks/imported.yml")
    hooks.write("vars/secret.yml", VaultLib(SECRET).encrypt(b"password: x\n"))
    hooks.write("vars/inline.yml", "password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3030\n")
    hooks.write("vars/list.yml", "- name: lb1\n  address: 10.0.0.1\n- 1\n- 1: 2\n- [a]\n")
    hooks.write("templates/haproxy.yml", "{% if x %}\n[\n{% endif %}\n")
    hooks.write("files/several.yml", "---\na: 1\n---\na: 2\n")
    hooks.write("roles/drain/tasks/main.yml", [{"ansible.builtin.command": "true", "notify": "Reload"}])
    assert hooks.problems() == []


def test_the_hooks_of_the_example_are_taken() -> None:
    assert _hook_files.invalid_hooks(str(ROOT / "examples/hooks/haproxy"), DataLoader()) == []
