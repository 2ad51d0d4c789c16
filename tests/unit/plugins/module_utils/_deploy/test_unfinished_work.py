# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operation does about another one that was prepared and not deployed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, cutover, rollback_plan, run_record, unfinished_work
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly, migration_run, migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_import, review_queue
from conftest import present
from reviews import KEEP_ONE

RUN = "20260201T120000Z-9"
ORIGIN = {"user": "ada", "host": "controller", "playbook": "rollback"}
KEPT = ("restore", "remove_dhash", "review_import", "review_reversal")


class Host:
    """A host with an unfinished operation."""

    def __init__(self, library: str, state: str) -> None:
        self.library, self.state = library, state
        self.folder = Path(library).parent

    def settings(self, **changes: Any) -> migration_settings.Settings:
        settings = migration_settings.Settings(
            self.library, f"{self.folder}/library.dhash.json", self.state, RUN, library_assembly.MatchOptions("pillow", 10, 100), 1, None,
            (str(self.folder),), decoder_limits.Limits(), None, 0, False, None, None)
        return settings._replace(**changes)

    @property
    def record(self) -> run_record.Record:
        return present(run_record.read(self.state))

    def queue(self, decision: dict[str, Any] | None = None, match: int = 0) -> str:
        """The file of a review that has decided one match."""
        folder = self.folder / "review"
        review_export.run(review_export.Settings(
            self.library, self.state, str(folder), RUN, ("json",), review_queue.PairOptions(1, 64, False, 1000), False,
            (str(self.folder),), decoder_limits.Limits(), 1, None, 0))
        queue = json.loads((folder / "queue.json").read_text())
        queue["matches"][match].update(decision or KEEP_ONE)
        decided = self.folder / f"decided-{match}.json"
        decided.write_text(json.dumps(queue))
        return str(decided)

    # The operations, in check mode and for real.

    def check_migration(self, **changes: Any) -> dict[str, Any]:
        return migration_run.check(self.settings(**changes))

    def migrate(self, **changes: Any) -> dict[str, Any]:
        return migration_run.run(self.settings(**changes), lambda _progress: None)

    def plan_rollback(self, remove_dhash: bool = False) -> rollback_plan.RollbackPlan:
        return rollback_plan.make_plan(self.library, self.state, str(self.folder), rollback_plan.RollbackRequest("latest", remove_dhash, False))

    def plan_import(self, *queues: str) -> review_import.Plan:
        return review_import.plan(self.library, self.state, queues)

    def plan_reversal(self) -> review_import.Plan:
        return review_import.plan_reversal(self.library, self.state)

    def take_in(self, planned: review_import.Plan) -> bool:
        return review_import.carry_out(self.library, self.state, planned, RUN)

    def deploy(self) -> bool:
        return _redeploy.run(self.library, self.state, 0)


OPERATIONS = {
    "check of a migration": lambda host: host.check_migration(), "migration": lambda host: host.migrate(),
    "restore": lambda host: host.plan_rollback(), "remove_dhash": lambda host: host.plan_rollback(remove_dhash=True),
    "review_import": lambda host: host.plan_import(), "review_reversal": lambda host: host.plan_reversal(),
}
# A reversal takes back an import that was not deployed yet, and says so.
SAME_KIND = {"restore": {"restore", "remove_dhash"}, "remove_dhash": {"restore", "remove_dhash"}, "review_import": {"review_import", "review_reversal"},
             "review_reversal": {"review_reversal"}}


@pytest.fixture
def new_host(golden_host: Callable[[str], tuple[str, str]], decoded_here: list[str]) -> Callable[..., Host]:
    """Make a host on which the named operation was prepared, or its service is about to be stopped."""
    def make(operation: str, phase: str = run_record.PREPARED, **changes: Any) -> Host:
        host = Host(*golden_host(f"{operation}-prepared"))
        run_record.write(host.state, host.record._replace(origin=ORIGIN, **changes))
        if phase == run_record.ANNOUNCED:
            cutover.announce(host.library, host.state)
        return host

    return make


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
@pytest.mark.parametrize(("waiting", "other"), [
    (waiting, other) for waiting in KEPT for other in OPERATIONS if other not in SAME_KIND[waiting]])
def test_another_operation_is_refused_and_changes_nothing(new_host: Callable[..., Host], waiting: str, other: str, phase: str) -> None:
    host = new_host(waiting, phase)
    record, staged = host.record, Path(host.record.output).read_bytes()
    with pytest.raises(RefusedError) as refused:
        OPERATIONS[other](host)
    text = str(refused.value)
    assert f"run {record.run}, begun by ada@controller (playbook rollback) at 2026-01-31T1" in text
    assert f"ansible-playbook mobius.dhash.{unfinished_work.PLAYBOOKS[waiting]}" in text and f"remove {record.output}" in text
    assert ("the service stopped since" in text) is (phase == run_record.ANNOUNCED)
    assert (host.record, Path(record.output).read_bytes()) == (record, staged)


@pytest.mark.parametrize("operation", KEPT)
def test_trial_and_dry_run_ignore_an_unfinished_operation(new_host: Callable[..., Host], operation: str) -> None:
    host = new_host(operation)
    record = host.record
    host.migrate(dry_run=True)
    host.check_migration(dry_run=True)
    host.migrate(limit=1, output=f"{host.folder}/test-library.dhash.json")
    assert host.record == record and durable.exists(record.output)


@pytest.mark.parametrize("operation", KEPT)
def test_operation_without_its_staged_library_is_abandoned(new_host: Callable[..., Host], operation: str) -> None:
    host = new_host(operation, run_record.ANNOUNCED)
    os.unlink(host.record.output)
    assert present(run_record.shown(host.record))["unfinished"] is False
    assert not host.deploy()
    host.check_migration()
    cutover.started(host.library, host.state, check=False)
    cutover.verified(host.library, host.state, check=False)
    assert (host.record.phase, host.record.restart_owed, host.record.stopped_at) == (run_record.PREPARED, False, None)


@pytest.mark.parametrize("end", [cutover.started, cutover.verified])
def test_an_abandoned_deploy_leaves_no_restart_pending(new_host: Callable[..., Host], end: Callable[..., bool]) -> None:
    host = new_host("restore", run_record.ANNOUNCED)
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING, stopped_at=None))
    os.unlink(host.record.output)
    assert end(host.library, host.state, check=False)
    assert (host.record.phase, host.record.restart_owed) == (run_record.PREPARED, False)


@pytest.mark.parametrize("operation", KEPT)
def test_migration_finishes_an_operation_that_was_swapped(new_host: Callable[..., Host], operation: str) -> None:
    host = new_host(operation)
    wanted = host.record.new_sha256
    durable.copy(host.record.output, cutover.incoming(host.library), like=host.library)
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING, restart_owed=True))
    durable.copy(host.library, host.record.kept, like=host.library)
    durable.exchange(cutover.incoming(host.library), host.library)
    result = host.migrate()
    assert result["source_sha256"] == wanted and host.record.restart_owed


# A migration gives way, and its hashes stay.


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_a_rollback_withdraws_a_migration_and_says_so(new_host: Callable[..., Host], phase: str) -> None:
    host = new_host("migration", phase)
    backup_files.make(host.library, str(host.folder))
    migration = host.record
    text = Path(host.library).read_text().replace('"rating": 4', '"rating": 5')
    Path(host.library).write_text(text)
    backup_files.make(host.library, str(host.folder))
    way = rollback_plan.make_plan(host.library, host.state, str(host.folder), rollback_plan.RollbackRequest(
        backup_files.find(host.library, str(host.folder))[-1].path, False, True))
    assert rollback_plan.withdrawn(host.library, host.state, way) == {"operation": "migration", "run": migration.run}
    rollback_plan.prepare(host.library, host.state, way, True, RUN)
    assert not durable.exists(migration.output)
    assert (host.record.operation, host.record.stopped_at) == ("restore", migration.stopped_at)
    assert host.record.restart_owed is migration.restart_owed


@pytest.mark.parametrize("waiting", ["migration", "restore"])
@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_rollback_to_the_live_library_withdraws_what_waits(new_host: Callable[..., Host], waiting: str, phase: str) -> None:
    host = new_host(waiting, phase)
    live = backup_files.make(host.library, str(host.folder))[0]
    before = host.record
    way = rollback_plan.make_plan(host.library, host.state, str(host.folder), rollback_plan.RollbackRequest(live.path, False, False))
    assert not way.due
    assert rollback_plan.withdrawn(host.library, host.state, way) == {"operation": waiting, "run": before.run}
    assert rollback_plan.prepare(host.library, host.state, way, False, RUN)
    assert not durable.exists(before.output) and not host.deploy()
    after = host.record
    assert (after.run, after.operation, after.phase, after.stopped_at) == (RUN, "restore", run_record.VERIFIED, before.stopped_at)
    assert after.restart_owed is before.restart_owed and run_record.rollback_target(after) == live.content_sha256
    assert rollback_plan.withdrawn(host.library, host.state, way) is None


def test_an_import_withdraws_a_migration_and_says_so(new_host: Callable[..., Host]) -> None:
    host = new_host("review_import")
    queue = host.queue()
    os.unlink(host.record.output)
    migration = host.record._replace(operation=run_record.MIGRATION, output=f"{host.folder}/library.dhash.json")
    migration = migration._replace(new_sha256=durable.write(migration.output, [b"{}"]))
    run_record.write(host.state, migration)
    planned = host.plan_import(queue)
    assert planned.withdrawn == {"operation": "migration", "run": migration.run}
    host.take_in(planned)
    assert not durable.exists(migration.output) and host.record.operation == "review_import"


def test_obsolete_migration_leaves_its_restart_pending(new_host: Callable[..., Host]) -> None:
    host = new_host("migration", run_record.ANNOUNCED)
    staged = host.record.output
    Path(host.library).write_bytes(Path(staged).read_bytes().replace(b'"ratio": 0.5', b'"ratio": 0.25'))
    assert host.migrate()["staged_file_is_stale"]
    assert not durable.exists(staged) and host.record.restart_owed


# The same operation is finished, and a rollback replaces a rollback.


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_the_same_rollback_is_recognised_and_deployed(new_host: Callable[..., Host], phase: str) -> None:
    host = new_host("remove_dhash", phase)
    record = host.record
    way = host.plan_rollback(remove_dhash=True)
    assert rollback_plan.withdrawn(host.library, host.state, way) is None
    rollback_plan.prepare(host.library, host.state, way, False, RUN)
    assert host.record == record
    assert host.deploy() and durable.sha256_of_file(host.library) == record.new_sha256


def test_rollback_to_another_target_replaces_the_first_one(new_host: Callable[..., Host]) -> None:
    host = new_host("restore", run_record.ANNOUNCED)
    first = host.record
    text = json.loads(Path(host.library).read_text())
    text["settings"]["ratio"] = 0.25
    Path(host.library).write_text(json.dumps(text))
    way = host.plan_rollback(remove_dhash=True)
    assert rollback_plan.withdrawn(host.library, host.state, way) == {"operation": "restore", "run": first.run}
    rollback_plan.prepare(host.library, host.state, way, False, RUN)
    assert (host.record.operation, host.record.run, host.record.stopped_at) == ("remove_dhash", RUN, first.stopped_at)


@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
def test_the_same_import_is_recognised_and_deployed(new_host: Callable[..., Host], phase: str) -> None:
    host = new_host("review_import")
    queue = host.queue()
    host.take_in(host.plan_import(queue))
    if phase == run_record.ANNOUNCED:
        cutover.announce(host.library, host.state)
    record = host.record
    assert record.run == RUN
    review_import.carry_out(host.library, host.state, host.plan_import(queue), "another")
    assert host.record == record
    assert host.deploy()
    assert len(json.loads(Path(host.library).read_text())["images"]) == 2


def test_other_decisions_do_not_discard_those_that_wait(new_host: Callable[..., Host]) -> None:
    host = new_host("review_import")
    with pytest.raises(RefusedError, match="an import of review decisions is unfinished: run 20260131T130000Z-8"):
        host.plan_import(host.queue(match=1))


def test_refusal_names_an_interrupted_rescue_and_its_playbook(new_host: Callable[..., Host]) -> None:
    host = new_host("restore", undoes="20260130T120000Z-5")
    with pytest.raises(RefusedError, match=r"This operation rolls back run 20260130T120000Z-5, which failed.*ansible-playbook mobius.dhash.migrate"):
        host.check_migration()


def test_what_the_staged_library_became_is_not_removed(new_host: Callable[..., Host]) -> None:
    host = new_host("migration")
    Path(host.record.output).write_bytes(b"somebody's")
    unfinished_work.withdraw(host.record, host.record._replace(output="another"))
    assert Path(host.record.output).read_bytes() == b"somebody's"
    with pytest.raises(DhashError, match="the staged library is not the one that the last run wrote") as refused:
        cutover.plan(host.library, host.state)
    moved = re.search(r"\(mv '(.+)' '(.+)'\)", str(refused.value))
    assert moved  # a migration does not overwrite it either
    os.rename(*moved.groups())
    assert host.migrate()["would_change"] and host.deploy() and Path(moved[2]).read_bytes() == b"somebody's"


# A library that is missing, or cannot be read.


@pytest.mark.parametrize("live", [None, b'{"images": [NaN]}'])
@pytest.mark.parametrize("phase", [run_record.PREPARED, run_record.ANNOUNCED])
@pytest.mark.parametrize("waiting", ["review_import", "review_reversal"])
def test_prepared_work_yields_to_the_restore_of_a_lost_library(new_host: Callable[..., Host], waiting: str, phase: str, live: bytes | None) -> None:
    host = new_host(waiting, phase)
    backup = backup_files.make(host.library, str(host.folder))[0]
    before, content = host.record, Path(host.library).read_bytes()
    os.unlink(host.library)
    if live:
        Path(host.library).write_bytes(live)
    way = host.plan_rollback()
    assert way.source == backup.path
    assert rollback_plan.withdrawn(host.library, host.state, way) == {"operation": waiting, "run": before.run}
    rollback_plan.prepare(host.library, host.state, way, False, RUN)
    assert not durable.exists(before.output)
    assert host.record.stopped_at == before.stopped_at
    host.deploy()
    assert Path(host.library).read_bytes() == content and host.record.restart_owed


@pytest.mark.parametrize("waiting", ["review_import", "review_reversal"])
def test_interrupted_deploy_blocks_others_and_can_be_abandoned(new_host: Callable[..., Host], waiting: str) -> None:
    host = new_host(waiting)
    backup_files.make(host.library, str(host.folder))
    run_record.write(host.state, host.record._replace(phase=run_record.DEPLOYING))
    os.unlink(host.library)
    with pytest.raises(RefusedError) as refused:
        host.plan_rollback()
    assert "To finish this operation" not in str(refused.value) and f"remove {host.record.output}" in str(refused.value)
    assert durable.exists(host.record.output)


@pytest.mark.parametrize("waiting", ["review_import", "review_reversal"])
def test_prepared_work_of_a_readable_library_does_not_yield(new_host: Callable[..., Host], waiting: str) -> None:
    host = new_host(waiting)
    backup_files.make(host.library, str(host.folder))
    with pytest.raises(RefusedError, match=r"To finish this operation, run: .*, with the same inventory and options as before"):
        host.plan_rollback()
