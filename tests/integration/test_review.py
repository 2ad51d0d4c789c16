# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review queue: out, decided, in, and taken back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_service import Service
from conftest import IMAGES, Run, Site, sha256, snapshot

QUEUE: dict[str, Any] = {"dhash_review_min_distance": 0, "dhash_confirm": False, "dhash_review_formats": ["json", "csv", "html"]}


class Way(NamedTuple):
    site: Site
    fetched: Path
    export: Run
    second_export: Run
    decisions: Path
    before: str  # the digest of the library
    imported: Run
    library: dict[str, Any]  # after it
    second_import: Run
    export_after: Run


def decide(queue: dict[str, Any]) -> dict[str, Any]:
    """Approve the first two pairs, call the third and fourth different, skip the fifth."""
    for match in queue["matches"][:2]:
        match.update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
    for match in queue["matches"][2:4]:
        match.update(reviewStatus="rejected", isDuplicate=False, keepImage="both", needsReview=False)
    queue["matches"][4].update(reviewStatus="skipped", needsReview=True)
    return queue


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("review")
    site.migrate()
    fetched = site.home / "reviews"
    options: dict[str, Any] = {**QUEUE, "dhash_review_fetch_dir": str(fetched)}
    export, second_export = (site.playbook("review_export", **options) for _time in range(2))
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(decide(json.loads((fetched / "localhost/queue.json").read_text()))))
    before = sha256(site.library)
    given: dict[str, Any] = {"dhash_review_decisions": [str(decisions)]}
    imported = site.playbook("review_import", **given)
    library = site.read()
    second_import = site.playbook("review_import", **given)
    export_after = site.playbook("review_export", **options)
    return Way(site, fetched, export, second_export, decisions, before, imported, library, second_import, export_after)


@pytest.mark.thorough
def test_checks_tell_and_write_nothing(site: Site) -> None:
    site.migrate()
    before = site.snapshot()
    check = site.playbook("review_export", "--check", **QUEUE)
    assert check.code == 0 and site.snapshot() == before, check.output
    export = site.playbook("review_export", **QUEUE)
    assert check.of("Export the queue")["exported_matches"] == export.of("Export the queue")["exported_matches"] > 4
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(decide(site.read("library.json.review/queue.json"))))
    before = site.snapshot()
    check = site.playbook("review_import", "--check", "--diff", dhash_review_decisions=[str(decisions)])
    assert check.code == 0 and site.snapshot() == before, check.output
    assert f"-images: {IMAGES}" in check.output and f"+images: {IMAGES - 2}" in check.output


@pytest.mark.matrix
def test_review_is_fetched_and_a_second_export_changes_nothing(way: Way) -> None:
    assert way.export.code == way.second_export.code == 0, way.export.output
    assert way.second_export.changed() == []
    review = way.site.library.parent / "library.json.review"
    assert {"queue.json", "queue.csv", "review.html", "images"} <= {path.name for path in (way.fetched / "localhost").iterdir()}
    queue = json.loads((way.fetched / "localhost/queue.json").read_text())
    previews = {image["preview"] for match in queue["matches"] for image in (match["image1"], match["image2"])}
    assert None not in previews and all((way.fetched / "localhost" / preview).exists() for preview in previews)
    assert review.stat().st_mode & 0o777 == 0o750


@pytest.mark.thorough
def test_fetched_review_overwrites_no_existing_files(make_site: Callable[[str], Site]) -> None:
    """The decisions of a reviewer, or the review of another library; an archive of the host's name; a folder of everybody."""
    site = make_site("brought")
    site.migrate()
    fetched = site.home / "reviews/localhost"
    fetched.mkdir(parents=True)
    fetched.chmod(0o1777)
    archive = site.home / "reviews/localhost.tar.gz"
    for file in (archive, fetched / "queue.json", fetched / "notes.txt"):
        file.write_text("somebody's", encoding="utf-8")
    run = site.playbook("review_export", dhash_review_fetch_dir=str(site.home / "reviews"), **QUEUE)
    assert run.code == 0, run.output
    [kept] = fetched.glob("*.set-aside-*")
    assert {file.read_text(encoding="utf-8") for file in (archive, kept, fetched / "notes.txt")} == {"somebody's"}
    assert kept.name.startswith("queue.json.set-aside-") and str(kept) in str(run.of("Show the path of the review")["msg"])
    assert json.loads((fetched / "queue.json").read_text(encoding="utf-8"))["matches"]
    assert fetched.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.matrix
def test_what_was_approved_leaves_the_library_and_stays_on_disk(way: Way) -> None:
    assert way.imported.code == 0, way.imported.output
    gone = [match["image2"]["path"] for match in json.loads(way.decisions.read_text())["matches"][:2]]
    assert not set(gone) & {image["path"] for image in way.library["images"]}
    assert all((way.site.library.parent / path).exists() for path in gone)
    record = way.library["lcm_import"]
    assert (record["reviewedMatches"], record["approvedDuplicates"], record["imagesRemoved"]) == (4, 2, 2)
    assert [sha256(backup) for backup in way.site.backups()][-1] == way.before


@pytest.mark.matrix
def test_an_import_with_a_skipped_pair_is_shown_as_changed(way: Way) -> None:
    result = way.imported.of("Prepare the library without what was approved")
    assert (result["status"], result["skipped_matches"]) == ("changed", 1)
    assert "skipped 1, undecided" in way.imported.output


@pytest.mark.matrix
def test_same_decisions_change_nothing_and_are_not_asked_again(way: Way) -> None:
    assert way.second_import.code == 0 and way.second_import.changed() == []
    assert way.export_after.of("Export the queue")["decided_matches"] == 2


def test_a_check_says_that_a_reversal_would_wait(way: Way, tmp_path: Path) -> None:
    flag = tmp_path / "postpone"
    flag.touch()
    check = way.site.playbook("review_import", "--check", dhash_review_state="absent", dhash_postpone_file=str(flag))
    assert check.code == 0, check.output
    assert check.of("Show that a run would wait")["msg"] == f"Would wait with the swap of {way.site.library} until {flag} is removed."


def test_an_import_that_is_taken_back_gives_back_the_same_bytes(way: Way) -> None:
    back = way.site.playbook("review_import", dhash_review_state="absent")
    assert back.code == 0, back.output
    assert sha256(way.site.library) == way.before
    again = way.site.playbook("review_import", dhash_review_state="absent")
    assert again.code == 0 and again.changed() == []


@pytest.mark.thorough
def test_keyboard_decisions_in_the_page_are_what_is_imported(way: Way, tmp_path: Path) -> None:
    chromium = pytest.importorskip("chromium", reason="needs selenium (requirements-dev.txt)")
    if not chromium.CHROMIUM or not chromium.CHROMEDRIVER:
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    (tmp_path / "downloads").mkdir()
    browser = chromium.Browser(tmp_path / "profile", tmp_path / "downloads")
    try:
        page = way.fetched / "localhost/review.html"
        browser.open(page)
        browser.press("1", "u", "2", "3")  # keep left, no, right; and the next ones are different
        browser.reopen(page)
        exported = browser.exported()
    finally:
        browser.quit()
    first, second = json.loads(exported)["matches"][:2]
    assert (first["keepImage"], second["keepImage"]) == ("image2", "both")
    decisions = tmp_path / "decisions.json"
    decisions.write_text(exported, encoding="utf-8")
    run = way.site.playbook("review_import", dhash_review_decisions=str(decisions))
    assert run.code == 0, run.output
    paths = {image["path"] for image in way.site.read()["images"]}
    assert first["image1"]["path"] not in paths and {second["image1"]["path"], second["image2"]["path"]} <= paths
    assert way.site.playbook("review_import", dhash_review_state="absent").code == 0


def test_nobody_is_told_to_remove_a_library(way: Way) -> None:
    before = sha256(way.site.library)
    run = way.site.playbook("review_import", dhash_review_state="absent", dhash_postpone_file=str(way.site.library))
    assert run.code == 2 and "dhash_postpone_file: " in run.failures()[-1] and "is removed" not in run.output, run.output
    assert sha256(way.site.library) == before


def test_all_faults_in_decisions_are_reported_before_any_change(way: Way) -> None:
    queue = json.loads(way.decisions.read_text())
    queue["matches"][0]["image1"]["dhash"] = "0" * 16
    queue["matches"][1]["reviewStatus"] = "maybe"
    wrong = way.site.home / "wrong.json"
    wrong.write_text(json.dumps(queue))
    tree = snapshot(way.site.library.parent / "media"), sha256(way.site.library)
    run = way.site.playbook("review_import", dhash_review_decisions=[str(wrong)])
    told = " ".join(run.failures())
    assert run.code != 0 and all(match["id"] in told for match in queue["matches"][:2]), told
    assert (snapshot(way.site.library.parent / "media"), sha256(way.site.library)) == tree


def test_a_library_that_was_never_migrated_has_nothing_to_review(site: Site) -> None:
    tree = site.snapshot()
    run = site.playbook("review_export")
    assert run.code != 0 and "Run the migrate playbook, then export again" in " ".join(run.failures())
    assert site.snapshot() == tree


def test_refused_migration_is_not_deployed_by_another_playbook(site: Site) -> None:
    before = sha256(site.library)
    assert site.playbook("migrate", dhash_max_failure_rate=0.01).code != 0
    assert (site.library.parent / "library.dhash.json").exists()
    assert site.playbook("rollback").code == 0
    assert sha256(site.library) == before


@pytest.mark.thorough
def test_an_import_whose_service_does_not_start_is_put_back(make_site: Callable[[str], Site]) -> None:
    site = make_site("rescued")
    site.migrate()
    assert site.playbook("review_export", **QUEUE).code == 0
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(decide(site.read("library.json.review/queue.json"))))
    before = sha256(site.library)
    run = site.playbook("review_import", dhash_review_decisions=str(decisions), dhash_service_manager="command", dhash_start_command="false")
    assert run.code != 0 and "the import of the review of" in " ".join(run.failures())
    assert sha256(site.library) == before


@pytest.mark.thorough
def test_reversal_after_remove_dhash_restarts_the_service_once(site: Site) -> None:
    common: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}

    def run(module: str, **arguments: Any) -> dict[str, Any]:
        result = site.module(module, **common, **arguments)
        assert not result.get("failed"), result
        return result

    def go_live() -> None:
        run("library_deploy")
        run("library_deploy", state="verified")

    run("library_migrate", parallel=1)
    go_live()
    run("review_export", min_distance=0, confirm=False, formats=["json"], include_images=False, parallel=1)
    (queue,) = site.library.parent.glob("*review/queue.json")
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(decide(json.loads(queue.read_text()))))
    assert run("review_import", queues=[str(decisions)])["images_removed"] == 2
    go_live()
    run("library_rollback", remove_dhash=True)
    go_live()

    starts = site.home / "starts"
    script = site.home / "start"
    script.write_text(f"#!/bin/sh\necho start >> '{starts}'\n")
    script.chmod(0o755)
    back = site.playbook("review_import", dhash_review_state="absent", dhash_service_manager="command",
                         dhash_start_command=str(script))
    assert back.code == 0, back.output
    assert starts.read_text().count("start") == 1
    library = site.read()
    assert len(library["images"]) == IMAGES and "lcm_import" not in library and "dhash_migration" not in library
    assert not [image for image in library["images"] if "dhash" in image]
    record = site.module("library_info", **common)["run"]
    assert (record["operation"], record["phase"], record["restart_owed"]) == ("review_reversal", "verified", False)


class Editing(NamedTuple):
    """A migrated library, decisions about two of its images, and a command for a service that edits its library as it starts."""

    site: Site
    decisions: str
    settings: dict[str, Any]


@pytest.fixture
def editing(site: Site) -> Editing:
    site.migrate()
    queue = site.module("review_export", library=str(site.library), state_dir=str(site.state), min_distance=0, confirm=False, formats=["json"],
                        include_images=False, parallel=1)
    assert not queue.get("failed"), queue
    decisions = site.home / "decisions.json"
    decisions.write_text(json.dumps(decide(site.read("library.json.review/queue.json"))))
    edit = site.home / "edit.py"
    edit.write_text(f"import json, pathlib\npath = pathlib.Path({str(site.library)!r})\nlibrary = json.loads(path.read_text())\n"
                    "library['started'] = library.get('started', 0) + 1\npath.write_text(json.dumps(library, indent=2))\n")
    return Editing(site, str(decisions), {"dhash_service_manager": "command", "dhash_stop_command": "true",
                                          "dhash_start_command": f"{sys.executable} {edit}"})


def record(site: Site) -> dict[str, Any]:
    run: dict[str, Any] = site.module("library_info", library=str(site.library), state_dir=str(site.state), check_media=False)["run"]
    return run


@pytest.mark.thorough
def test_service_that_writes_at_start_is_verified_with_a_warning(editing: Editing) -> None:
    site = editing.site
    run = site.playbook("review_import", dhash_review_decisions=editing.decisions, **editing.settings)
    assert run.code == 0, run.output
    assert site.read()["started"] == 1 and len(site.read()["images"]) == IMAGES - 2
    warning = run.of("Warn that it was edited since")["msg"]
    assert warning.startswith(f"WARNING: {site.library} was edited after run {record(site)['run']} had put it in place")
    assert (record(site)["phase"], record(site)["restart_owed"]) == ("verified", False)


@pytest.mark.thorough
def test_rescue_keeps_what_the_service_wrote_at_its_start(editing: Editing) -> None:
    site = editing.site
    service = Service(site)
    service.answer = lambda: (200 if len(site.read()["images"]) == IMAGES else 503, '{"status": "ok"}')
    run = site.playbook("review_import", dhash_review_decisions=editing.decisions, **service.settings | editing.settings)
    service.close()
    assert run.code != 0
    assert site.read()["started"] == 2 and len(site.read()["images"]) == IMAGES
    (kept,) = site.library.parent.glob("library.json.pre-rollback.*")
    assert json.loads(kept.read_text())["started"] == 1
    last = run.failures()[-1]
    assert "its edits are kept, and what the review had removed was put back" in last and str(kept) in last, last
