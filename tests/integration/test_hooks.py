# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task files of the operator: when they run, what they see, and that no host stays drained whatever fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from command_service import Service, record
from conftest import ROOT, Site, sha256, wait_for

SUCCESS = ["before_prerequisites", "before_stop", "stop", "start", "after_start", "after_verify"]
HOOKS = ("before_prerequisites", "before_stop", "after_start", "after_verify", "on_rollback", "on_failure")


class Hooks:
    """A directory of hooks that note their names in the log of the service, and fail where a file of their name tells them to."""

    def __init__(self, site: Site) -> None:
        self.folder = site.home / "hooks"
        self.folder.mkdir()
        self.log = site.home / "service.log"
        self.log.touch()
        self.failing = {hook: site.home / f"failing-{hook}" for hook in HOOKS}
        for hook in HOOKS:
            self.write(hook, f"echo {hook} x >> '{self.log}'; [ ! -e '{self.failing[hook]}' ] || {{ echo no >&2; exit 1; }}")

    def write(self, hook: str, script: str) -> None:
        task = {"name": f"Tell of {hook}", "ansible.builtin.shell": script, "changed_when": False}
        (self.folder / f"{hook}.yml").write_text(json.dumps([task]), encoding="utf-8")

    def told(self) -> list[str]:
        """What has happened since this was asked last, in its order: the verbs of the service and the hooks."""
        told = [line.split()[0] for line in self.log.read_text(encoding="utf-8").splitlines()]
        self.log.write_text("", encoding="utf-8")
        return told


@pytest.fixture
def hooks(site: Site) -> Hooks:
    return Hooks(site)


def test_hooks_run_in_order_and_an_unchanged_run_drains_nothing(site: Site, service: Service, hooks: Hooks) -> None:
    settings = {**service.settings, "dhash_hooks": os.path.relpath(hooks.folder, ROOT)}
    (hooks.folder / "tasks").mkdir()
    (hooks.folder / "tasks/told.yml").write_text(json.dumps([{"ansible.builtin.debug": {"msg": "told"}}]), encoding="utf-8")
    (hooks.folder / "after_start.yml").write_text(json.dumps([
        {"ansible.builtin.assert": {"that": ["__dhash_run.playbook.name == 'migrate'", "__dhash_run.deployed.phase == 'deployed'"]}},
        {"ansible.builtin.include_tasks": "tasks/told.yml"},
        {"ansible.builtin.shell": f"echo after_start x >> '{hooks.log}'"}]), encoding="utf-8")
    run = site.playbook("migrate", **settings)
    assert run.code == 0, run.output
    assert hooks.told() == SUCCESS
    again = site.playbook("migrate", **settings)
    assert again.code == 0 and again.changed() == [], again.output
    assert hooks.told() == ["before_prerequisites"]

    (hooks.folder / "after_start.yml").unlink()
    back = site.playbook("rollback", **settings)
    assert back.code == 0, back.output
    assert hooks.told() == [verb for verb in SUCCESS if verb != "after_start"]


def test_check_mode_changes_only_what_a_hook_itself_changes(site: Site, service: Service, hooks: Hooks) -> None:
    plain = {"name": "Tell", "ansible.builtin.shell": f"echo plain x >> '{hooks.log}'"}
    (hooks.folder / "after_verify.yml").write_text(json.dumps([plain, {**plain, "check_mode": False, "name": "Tell in check mode"}]), encoding="utf-8")
    before = site.snapshot()
    run = site.playbook("migrate", "--check", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code == 0, run.output
    assert hooks.told() == ["plain"]
    seen = [result["task"].split(" : ")[-1] for result in run.results]
    assert [name for name in HOOKS if f"Tell of {name}" in seen] == ["before_prerequisites", "before_stop", "after_start"]
    assert site.snapshot() == before


def test_failed_drain_is_undone_and_the_service_is_left_alone(site: Site, service: Service, hooks: Hooks) -> None:
    old = sha256(site.library)
    hooks.failing["before_stop"].touch()
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    *_hook, deploy, end = run.failures()
    assert run.code != 0 and deploy == 'the deploy failed at "Hooks | Fail because a hook failed"' and "the hook before_stop" in end, run.output
    assert hooks.told() == ["before_prerequisites", "before_stop", "after_verify", "on_failure"]
    assert sha256(site.library) == old
    assert (record(site)["stopped_at"], record(site)["restart_owed"]) == (None, False)


@pytest.mark.matrix
def test_failure_before_the_deploy_runs_only_the_failure_hook(site: Site, service: Service, hooks: Hooks) -> None:
    hooks.failing["before_prerequisites"].touch()
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code != 0 and "the hook before_prerequisites" in run.failures()[-1], run.output
    assert hooks.told() == ["before_prerequisites", "on_failure"]


@pytest.mark.parametrize("hook", ["before_prerequisites", pytest.param("before_stop", marks=pytest.mark.thorough)])
def test_a_hook_that_sets_an_invalid_value_fails(site: Site, service: Service, hooks: Hooks, hook: str) -> None:
    """The variables were checked before it: without this check, a deploy would make no backup."""
    before = sha256(site.library)
    tasks = json.loads((hooks.folder / f"{hook}.yml").read_text(encoding="utf-8"))
    tasks.append({"ansible.builtin.set_fact": {"dhash_backup": "maybe"}})
    (hooks.folder / f"{hook}.yml").write_text(json.dumps(tasks), encoding="utf-8")
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code != 0 and sha256(site.library) == before, run.output
    message = run.failures()[-1]
    assert f"after the hook {hook} ({hooks.folder}/{hook}.yml), values of variables are invalid: dhash_backup must be true or false" in message
    drained = ["before_stop", "after_verify"] if hook == "before_stop" else []
    assert hooks.told() == ["before_prerequisites", *drained, "on_failure"]


@pytest.mark.thorough
@pytest.mark.parametrize("breaking", ["after_start", "health"])
def test_failure_after_the_swap_rolls_back_and_undrains_the_host(site: Site, service: Service, hooks: Hooks, breaking: str) -> None:
    before, old = site.library.read_bytes(), sha256(site.library)
    if breaking == "health":
        service.answer = lambda: (200, '{"status": "ok"}' if site.library.read_bytes() == before else '{"status": "confused"}')
    else:
        hooks.write("after_start", f"echo after_start x >> '{hooks.log}'; [ $(sha256sum < '{site.library}' | cut -d' ' -f1) = {old} ]")
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code != 0
    assert sha256(site.library) == old
    told = hooks.told()
    assert told == ["before_prerequisites", "before_stop", "stop", "start", "after_start",
                    "before_stop", "stop", "start", "after_start", "after_verify", "on_rollback"], run.output
    assert record(site)["restart_owed"] is False


@pytest.mark.thorough
def test_rollback_continues_after_a_failed_hook_and_undrains(site: Site, service: Service, hooks: Hooks) -> None:
    old = sha256(site.library)
    hooks.write("before_stop", f"echo before_stop x >> '{hooks.log}'; [ $(sha256sum < '{site.library}' | cut -d' ' -f1) = {old} ]")
    hooks.failing["after_verify"].touch()
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code != 0 and "The host may still be drained" in run.failures()[-1], run.output
    assert sha256(site.library) == old
    assert hooks.told() == ["before_prerequisites", "before_stop", "stop", "start", "after_start", "after_verify",
                            "before_stop", "stop", "start", "after_start", "after_verify", "after_verify", "on_rollback"]


@pytest.mark.thorough
def test_a_host_whose_service_does_not_start_is_put_back_too(site: Site, service: Service, hooks: Hooks) -> None:
    service.broken["start"].touch()
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder), dhash_auto_rollback=False)
    assert run.code != 0
    assert hooks.told() == ["before_prerequisites", "before_stop", "stop", "after_verify", "on_failure"], run.output


def kill_in(hook: str, site: Site, service: Service, hooks: Hooks) -> None:
    """A controller that is killed while it waits for ``hook``."""
    before = (hooks.folder / f"{hook}.yml").read_text(encoding="utf-8")
    waiting = site.home / "waiting"
    hooks.write(hook, f"echo {hook} x >> '{hooks.log}'; touch '{waiting}'; exec sleep 600")
    with subprocess.Popen(site.command("migrate", **service.settings, dhash_hooks=str(hooks.folder)), cwd=ROOT, env=site.environment(),
                          start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        wait_for(waiting.exists, f"the hook {hook}")
        os.killpg(killed.pid, signal.SIGKILL)
    (hooks.folder / f"{hook}.yml").write_text(before, encoding="utf-8")
    hooks.told()


@pytest.mark.parametrize(("hook", "playbook", "told"), [
    pytest.param("before_stop", "migrate", SUCCESS, marks=pytest.mark.thorough),
    ("before_stop", "verify", ["start", "after_start", "after_verify"]),
    pytest.param("after_start", "migrate", ["before_prerequisites", "start", "after_start", "after_verify"], marks=pytest.mark.thorough),
    pytest.param("after_verify", "verify", ["before_stop", "start", "after_start", "after_verify"], marks=pytest.mark.thorough),
])
def test_next_run_undrains_a_host_left_by_a_killed_controller(
        site: Site, service: Service, hooks: Hooks, hook: str, playbook: str, told: list[str]) -> None:
    site.migrate()
    kept = site.read()
    kept["images"].pop()
    site.library.write_text(json.dumps(kept), encoding="utf-8")
    kill_in(hook, site, service, hooks)
    run = site.playbook(playbook, **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code == 0, run.output
    assert hooks.told() == told
    assert record(site)["restart_owed"] is False


@pytest.mark.thorough
def test_a_run_without_hooks_keeps_and_names_a_drained_host(site: Site, service: Service, hooks: Hooks) -> None:
    site.migrate()
    kept = site.read()
    kept["images"].pop()
    site.library.write_text(json.dumps(kept), encoding="utf-8")
    kill_in("before_stop", site, service, hooks)
    run = site.playbook("migrate", **service.settings)
    assert run.code == 0 and "may still be drained" in run.of("Warn that the host may still be drained")["msg"], run.output
    assert record(site)["drained"] is True and record(site)["restart_owed"] is False
    status = site.playbook("fleet_status", dhash_fleet_status_file=str(site.home / "status.json"))
    assert "the host may still be drained" in status.output, status.output
    hooks.told()
    back = site.playbook("verify", **service.settings, dhash_hooks=str(hooks.folder))
    assert back.code == 0 and hooks.told() == ["after_verify"], back.output
    assert record(site)["drained"] is False


@pytest.mark.parametrize("is_drained", [pytest.param(False, marks=pytest.mark.thorough), True], ids=["not-drained", "drained"])
def test_failed_verification_undrains_and_runs_on_failure(site: Site, service: Service, hooks: Hooks, is_drained: bool) -> None:
    if is_drained:
        kill_in("before_stop", site, service, hooks)
    else:
        site.migrate()
    service.answer = lambda: (503, "{}")
    run = site.playbook("verify", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code != 0 and any("is not healthy after" in message for message in run.failures()), run.output
    assert hooks.told() == [*(["start", "after_start", "after_verify"] if is_drained else []), "on_failure"], run.output


def test_missing_or_misnamed_hook_directory_is_refused_at_once(site: Site, hooks: Hooks) -> None:
    before = site.snapshot()
    assert "No such file" in site.playbook("migrate", dhash_hooks=str(site.home / "none")).failures()[-1]
    (hooks.folder / "before_drain.yml").touch()
    run = site.playbook("migrate", dhash_hooks=str(hooks.folder))
    assert run.code != 0 and "before_drain.yml" in run.failures()[-1]
    assert hooks.told() == [] and site.snapshot() == before


@pytest.mark.matrix
@pytest.mark.parametrize(("content", "cause"), [
    ("- ansible.builtin.debug:\n  whne: true\n", "line 1: conflicting action statements: ansible.builtin.debug, whne"),
    ("- name: Stop\n  ansible.builtin.meta: end_host\n", 'the task "Stop" has meta: end_host'),
    ("- mobius.dhash.health_info:\n    url: x\n- ansible.builtin.include_tasks: tasks/bad.yml\n", "tasks/bad.yml, line 3: "),
], ids=["keyword", "end", "included"])
def test_hook_that_would_end_the_run_is_refused_before_the_drain(site: Site, service: Service, hooks: Hooks, content: str, cause: str) -> None:
    (hooks.folder / "after_verify.yml").write_text(content, encoding="utf-8")
    (hooks.folder / "tasks").mkdir()
    if "include_tasks" in content:
        (hooks.folder / "tasks/bad.yml").write_text("- a\n- [\n", encoding="utf-8")
    before = site.snapshot()
    run = site.playbook("migrate", **service.settings, dhash_hooks=str(hooks.folder))
    assert run.code == 2 and "nothing was changed" in run.failures()[-1] and cause in run.failures()[-1], run.output
    assert hooks.told() == [] and site.snapshot() == before


def test_drained_host_is_put_back_though_a_variable_is_invalid(site: Site, service: Service, hooks: Hooks) -> None:
    site.migrate()
    site.module("library_deploy", library=str(site.library), state_dir=str(site.state), state="drained")
    run = site.playbook("verify", **service.settings, dhash_hooks=str(hooks.folder), dhash_lock_timeout="soon")
    assert run.code == 2 and any("dhash_lock_timeout" in message for message in run.failures()), run.output
    assert "after_verify" in hooks.told(), run.output
    assert "argument_spec_data" not in run.output


def test_a_list_in_place_of_the_hook_directory_is_refused(site: Site, hooks: Hooks) -> None:
    run = site.playbook("migrate", dhash_hooks=[str(hooks.folder)])
    assert run.code == 2 and "dhash_hooks must be a path, got [" in run.failures()[-1], run.output
    assert hooks.told() == []


@pytest.fixture
def two(make_site: Callable[[str], Site], service: Service, site: Site, hooks: Hooks) -> tuple[Site, dict[str, Any]]:
    """A second site, and the options of a migration of both in one batch, whose hooks leave their marks in the site of their host."""
    mate = make_site("mate")
    (mate.home / "service.log").touch()
    hooks.write("before_stop", "echo before_stop >> '{{ mark }}'; [ {{ inventory_hostname }} != first ]")
    hooks.write("after_verify", "echo after_verify >> '{{ mark }}'")
    hosts: dict[str, Any] = {name: {"dhash_library": str(each.library), "dhash_state_dir": str(each.state), "mark": str(each.home / "mark")}
                             for name, each in (("first", site), ("mate", mate))}
    balancer = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    inventory = site.home / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {**hosts, "balancer": balancer}}}), encoding="utf-8")
    return mate, {"inventory": inventory, "dhash_hosts": "first,mate", "dhash_library": None, "dhash_state_dir": None, "dhash_serial": 2,
                  "dhash_hooks": str(hooks.folder), "dhash_service_manager": "command", "dhash_start_command": "true", "dhash_stop_command": "true"}


def marks(site: Site) -> list[str]:
    return (site.home / "mark").read_text(encoding="utf-8").split()


@pytest.mark.thorough
def test_failed_drain_of_one_host_undrains_the_rest_of_its_batch(site: Site, two: tuple[Site, dict[str, Any]]) -> None:
    mate, options = two
    run = site.playbook("migrate", **options)
    assert run.code != 0
    for each in (site, mate):
        assert marks(each) == ["before_stop", "after_verify"], run.output
        assert record(each)["restart_owed"] is False


def test_a_batch_stops_where_a_load_balancer_does_not_answer(site: Site, hooks: Hooks, two: tuple[Site, dict[str, Any]]) -> None:
    """Ansible takes the host out of the run, which no rescue sees: the next run puts it back."""
    mate, options = two
    old = sha256(mate.library)
    hooks.write("before_stop", "echo before_stop >> '{{ mark }}'")
    path = hooks.folder / "before_stop.yml"
    drain = json.loads(path.read_text(encoding="utf-8"))
    lost = {"ansible.builtin.command": "true", "delegate_to": "balancer", "when": "inventory_hostname == 'first'"}
    path.write_text(json.dumps([*drain, lost]), encoding="utf-8")
    run = site.playbook("migrate", **options)
    assert run.code != 0 and "no answer on first during the hook before_stop" in " ".join(run.output.split()), run.output
    assert (marks(site), marks(mate)) == (["before_stop"], ["before_stop", "after_verify"]) and sha256(mate.library) == old
    assert (record(site)["drained"], record(mate)["drained"]) == (True, False)

    path.write_text(json.dumps(drain), encoding="utf-8")
    again = site.playbook("migrate", **options)
    assert again.code == 0 and marks(site)[-1] == "after_verify" and record(site)["drained"] is False, again.output
