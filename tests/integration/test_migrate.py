# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way of one library: check before, migrate, migrate again, check after. Its service is stopped and started by commands."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import printable
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_edit, library_fields, library_file
from check_library import problems
from conftest import IMAGES, Run, Site, sha256

pytestmark = pytest.mark.matrix

RUNBOOK_GREP = 'grep -E "(Migration Report|Total images|Successfully processed|Errors|Duplicates found)" logs/*.migration-*.log'
WRITTEN = {  # by the first run, beside the library and in the state folder
    "library/library.json", "library/library.json.bak.TIME", "library/library.json.bak.TIME.sha256",
    "library/library.json.bak.TIME.json", "library/library.json.lock",
    "library/logs", "library/logs/library.json.migration-TIME.log",
    "library/logs/library.json.migration-report.json", "library/logs/library.json.operations-TIME.jsonl",
    "state", "state/KEY", "state/KEY/journal.sqlite", "state/KEY/plan.cache", "state/KEY/run.json",
    "state/KEY/summary.json", "state/KEY/written.json"}


class Step(NamedTuple):
    """One run, and what there was on the disk and in the service's own log after it."""

    run: Run
    tree: dict[str, tuple[Any, ...]]
    service: list[str]


class Way(NamedTuple):
    site: Site
    untouched: dict[str, tuple[Any, ...]]
    before: bytes
    check: Step
    first: Step
    second: Step
    check_after: Step


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("way")
    service_log = site.home / "service.log"
    commands = {}
    for verb in ("stop", "start"):
        script = site.home / verb
        script.write_text(f"#!/bin/sh\necho {verb} $(sha256sum < '{site.library}') >> '{service_log}'\n", encoding="utf-8")
        script.chmod(0o755)
        commands[f"dhash_{verb}_command"] = str(script)
    untouched, before = site.snapshot(), site.library.read_bytes()

    def step(*options: str) -> Step:
        # as an operator runs it who has not turned on pipelining
        run = site.playbook("migrate", *options, environment={"ANSIBLE_PIPELINING": "0"}, dhash_service_manager="command",
                            dhash_verify_sample_size=None, dhash_parallel=None, **commands)
        told = service_log.read_text(encoding="utf-8").splitlines() if service_log.exists() else []
        service_log.unlink(missing_ok=True)
        return Step(run, site.snapshot(), told)

    return Way(site, untouched, before, step("--check", "--diff"), step(), step(), step("--check", "--diff"))


def names(tree: dict[str, tuple[Any, ...]]) -> set[str]:
    """The names in a snapshot, times and keys taken out of them."""
    plain = {re.sub(r"\d{8}T\d{6}Z|\d{8}-\d{6}|(?<=operations-)\d{6}", "TIME", name) for name in tree}
    return {re.sub(r"^state/[^/]+", "state/KEY", name) for name in plain}


def test_check_before_the_first_run_succeeds_and_writes_nothing(way: Way) -> None:
    assert way.check.run.code == 0, way.check.run.output
    assert way.check.run.recap["localhost"]["failures"] == 0
    assert way.check.tree == way.untouched
    assert way.check.service == []


def test_the_check_says_what_the_first_run_then_does(way: Way) -> None:
    check, first = way.check.run, way.first.run
    told, done = check.of("Hash and write the migrated library"), first.of("Hash and write the migrated library")
    assert told["to_hash"] == done["hashed_now"] == IMAGES - 1  # the missing one needs no worker
    assert told["missing"] == done["missing"] == 1
    assert told["output"] == done["output"]
    assert f"hashed: {told['hashed']} at most, {told['to_hash']} to hash now" in check.output
    assert "+errors: 1 at least (1 missing)" in check.output
    assert check.of("Back up the library")["created"] and first.of("Back up the library")["status"] in ("changed", "ok")
    assert f"+{way.site.library}.bak." in check.output
    assert f"Would replace {way.site.library} by " in check.of("Show what a run would deploy")["msg"]
    assert "Would restart" in check.of("Show what a run would restart")["msg"]
    assert way.site.home.name in check.of("Show what a run would restart")["msg"]
    assert "would verify" in check.of("Show what a run would verify")["msg"]
    # a step changes something in the check where it changes something in the run
    assert {"Backup", "Migrate", "Deploy", "Restart"} <= {name.split(" | ")[0] for name in check.changed()}
    assert {name.split(" | ")[0] for name in first.changed()} - {"Verify"} == {name.split(" | ")[0] for name in check.changed()}


def test_first_run_hashes_all_but_the_broken_images(way: Way) -> None:
    assert way.first.run.code == 0, way.first.run.output
    before = way.site.folder / "before.json"
    before.write_bytes(way.before)
    try:
        assert problems(way.site.library, before, way.site.truth) == []
    finally:
        before.unlink()


def test_each_error_has_the_kind_of_its_fault(way: Way) -> None:
    told = {error["image"]: error["kind"] for error in way.site.read()["dhash_errors"]}
    assert told == {name: broken["kind"] for name, broken in way.site.truth["broken"].items()}


def test_no_byte_of_the_library_changes_but_for_our_fields(way: Way) -> None:
    after = library_file.read(str(way.site.library))[0]
    assert library_edit.edited(after, library_fields.without_our_fields(after.value)) == way.before


def test_the_first_run_writes_what_it_says_and_nothing_else(way: Way) -> None:
    assert names(way.first.tree) == names(way.untouched) | WRITTEN
    changed = {name for name, found in way.untouched.items() if way.first.tree[name] != found}
    assert changed == {"library", "library/library.json"}


def test_backup_equals_the_library_and_passes_sha256sum(way: Way) -> None:
    (backup,) = way.site.backups()
    assert backup.read_bytes() == way.before
    checked = subprocess.run(["sha256sum", "--check", "--strict", f"{backup.name}.sha256"], cwd=backup.parent, check=False,
                             capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, f"{backup.name}: OK\n{backup.name}.json: OK\n")


def test_the_runbooks_own_grep_prints_the_report_from_the_log(way: Way) -> None:
    shown = subprocess.run(RUNBOOK_GREP, shell=True, cwd=way.site.library.parent, check=True, capture_output=True, text=True).stdout
    library = way.site.read()
    kinds = Counter(error["kind"] for error in library["dhash_errors"])
    assert [line.split(" ", 1)[1] for line in shown.splitlines()] == [
        "Migration Report",
        f"Total images: {IMAGES}",
        f"Successfully processed: {IMAGES - 5}",
        "Errors: 5 (" + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) + ")",
        f"Duplicates found: {len(library['dhash_duplicates'])}"]


def test_the_log_names_each_image_that_has_no_hash(way: Way) -> None:
    (log,) = way.site.library.parent.glob("logs/library.json.migration-*.log")
    text = log.read_text(encoding="utf-8")
    for error in way.site.read()["dhash_errors"]:
        assert f" error {error['kind']} {printable(error['path'])}: {error['error']}\n" in text


def test_the_report_holds_the_same_as_the_library(way: Way) -> None:
    report, library = way.site.read("logs/library.json.migration-report.json"), way.site.read()
    for field in ("dhash_migration", "dhash_duplicates", "dhash_errors"):
        assert report[field] == library[field]
    assert report["missing_paths"] == [error["path"] for error in library["dhash_errors"] if error["kind"] == "missing"]
    assert report["library"] == str(way.site.library)


def test_service_stops_before_the_swap_and_starts_after_it(way: Way) -> None:
    old, new = sha256(way.site.backups()[0]), sha256(way.site.library)
    assert way.first.service == [f"stop {old} -", f"start {new} -"]


def test_second_run_changes_backs_up_and_restarts_nothing(way: Way) -> None:
    assert way.second.run.code == 0, way.second.run.output
    assert way.second.run.recap["localhost"]["changed"] == 0
    assert way.second.service == []
    assert way.second.tree == way.first.tree


def test_a_check_after_it_says_that_there_is_nothing_to_do(way: Way) -> None:
    assert way.check_after.run.code == 0, way.check_after.run.output
    assert way.check_after.run.recap["localhost"]["changed"] == 0
    assert way.check_after.service == []
    assert way.check_after.tree == way.second.tree


def test_the_playbooks_that_only_look_change_nothing(way: Way) -> None:
    (backup,) = way.site.backups()
    listed = way.site.playbook("list_backups")
    assert listed.code == 0, listed.output
    (line,) = listed.of("Show them, the newest first")["msg"]
    assert line.startswith(backup.name) and line.endswith(f"{IMAGES} images, 0 hashed  digest good")
    verified = way.site.playbook("verify", dhash_verify_compare=pair_of(way.site), dhash_verify_compare_max_distance=10)
    assert verified.code == 0, verified.output
    assert verified.recap["localhost"]["changed"] == 0
    assert f"{IMAGES} images, {IMAGES - 5} hashed, 5 errors" in verified.of("Show the result")["msg"]
    assert way.site.snapshot() == way.check_after.tree


def pair_of(site: Site) -> list[str]:
    """The paths of a picture and of an edited copy of it."""
    record = site.read()["dhash_duplicates"][0]
    return [str(Path(site.library.parent, record[key])) for key in ("originalPath", "duplicatePath")]
