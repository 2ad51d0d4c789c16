# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _inspection
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, rollback_plan, rollback_report, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, QueueError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_edit, library_file, library_removals
from ansible_collections.mobius.dhash.plugins.module_utils._review import decision_files, known_different, review_import
from conftest import present
from hypothesis import given, settings
from hypothesis import strategies as st
from reviews import BOTH, KEEP_ONE, KEEP_OTHER, RUN, SKIP, Host, bits, digests, picture

NEAR = bits(*range(9))
PIXELS = picture()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def three(host: Host) -> Host:
    """a and b, b and c, a and c are each to be judged."""
    for name, dhash in (("a", 0), ("b", NEAR), ("c", bits(*range(20, 29)))):
        host.add(name, dhash, 0, PIXELS)
    host.add("other", bits(*range(40, 64)), 0, PIXELS)
    host.write()
    return host


def run_module(host: Host, **arguments: Any) -> dict[str, Any]:
    """The result of the module itself."""
    given = {"ANSIBLE_MODULE_ARGS": {"library": str(host.live), "state_dir": str(host.folder.parent / "states"), **arguments}}
    shown = subprocess.run([sys.executable, "-m", "ansible_collections.mobius.dhash.plugins.modules.review_import"], input=json.dumps(given),
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False)
    result = json.loads(shown.stdout)
    return {key: value for key, value in result.items() if key != "invocation"}


def decide(host: Host, decisions: Mapping[tuple[str, str], dict[str, Any]], name: str = "decided.json") -> str:
    return host.decide(decisions, name, maximum=18)


def faults(host: Host, *queues: str) -> list[str]:
    with pytest.raises(QueueError) as failed:
        host.plan(*queues)
    return failed.value.faults


def edited(host: Host, queue: str, edit: Callable[[dict[str, Any]], object]) -> str:
    """The queue in that file after ``edit`` has changed its first match."""
    value = json.loads(Path(queue).read_text(encoding="utf-8"))
    edit(value["matches"][0])
    path = host.folder / "edited.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


# What an import does.


def test_image_that_is_not_kept_leaves_the_library_not_the_disk(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    assert three.paths() == ["a", "c", "other"]
    assert (three.folder / "b").read_bytes() == PIXELS
    three.take_in(decide(three, {("a", "c"): KEEP_OTHER}))
    assert three.paths() == ["c", "other"]


def test_the_library_tells_what_was_imported(three: Host) -> None:
    three.value["images"][1].update({"rating": 4.50, "tags": ["x"]})
    three.value["dhash_duplicates"] = [{"originalPath": "a", "duplicatePath": "other", "n": 1},
                                       {"originalPath": "a", "duplicatePath": "b", "n": 2}]
    three.write()
    queue = decide(three, {("a", "b"): {**KEEP_ONE, "reviewNotes": "blurred"}, ("a", "c"): BOTH, ("b", "c"): SKIP})
    entry = three.library()["images"][1]
    three.take_in(queue)
    value = three.library()
    assert list(value)[-1] == "lcm_import"
    record = value["lcm_import"]
    assert record.pop("importedAt").endswith("Z")
    assert record == {
        "queueFile": queue, "reviewedMatches": 2, "approvedDuplicates": 1, "imagesRemoved": 1,
        "migration": {"migration_timestamp": "2026-01-31T12:00:00.000Z", "algorithm": "pillow"},
        "removalLog": [{"matchId": record["removalLog"][0]["matchId"], "index": 1, "after": "a", "path": "b", "keptPath": "a",
                        "notes": "blurred", "entry": entry,
                        "duplicates": [{"index": 1, "record": {"originalPath": "a", "duplicatePath": "b", "n": 2}}]}]}
    assert value["dhash_duplicates"] == [{"originalPath": "a", "duplicatePath": "other", "n": 1}]
    assert value["dhash_migration"]["total_images"] == 4
    assert _inspection.inspect(str(three.live), three.state)["inconsistencies"] == []


def test_the_result_is_counts(three: Host) -> None:
    planned = three.plan(decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH}))
    assert planned.counts == {
        "reviewed": 2, "approved": 1, "different": 1, "skipped_matches": 0, "pending": 1, "already_removed": 0, "remembered": 1,
        "images_before": 4, "images": 3, "images_removed": 1, "images_restored": 0}
    assert len(planned.lines) == 1 and planned.lines[0].startswith("b is removed, a is kept")


def test_repeated_import_changes_nothing_before_or_after_deploy(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH})
    assert three.prepare(three.plan(queue))
    before = digests(three.folder.parent)
    assert not three.prepare(three.plan(queue))
    assert digests(three.folder.parent) == before
    three.deploy()
    before = digests(three.folder.parent)
    assert not three.take_in(queue)
    assert digests(three.folder.parent) == before
    assert three.plan(queue).counts["already_removed"] == 1


@pytest.mark.parametrize(("state", "name"), [
    ("checked", "library.json.pre-dhash"), ("checked", "library.json"), ("checked", "other.json.review"),
    ("present", "library.json.pre-dhash"), ("absent", "library.json.pre-dhash")])
def test_forbidden_review_folder_is_refused_by_name(three: Host, state: str, name: str) -> None:
    three.folder.joinpath("other.json").touch()
    before = digests(three.folder.parent)
    result = run_module(three, state=state, review_dir=name, queues=[])
    assert result["failed"] and result["msg"].startswith(f"{three.folder / name}: dhash_review_dir: this ")
    assert digests(three.folder.parent) == before


@pytest.mark.parametrize("folder", [None, "review"])
def test_checking_the_paths_of_an_import_changes_nothing(three: Host, folder: str | None) -> None:
    before = digests(three.folder.parent)
    assert run_module(three, state="checked", review_dir=folder) == {"changed": False}
    assert digests(three.folder.parent) == before


def test_import_without_removals_deploys_nothing_but_remembers(three: Host) -> None:
    live = three.live.read_bytes()
    planned = three.plan(decide(three, {("a", "b"): BOTH}))
    assert not review_import.is_due(planned)
    assert three.prepare(planned)
    assert not three.deploy()
    assert three.live.read_bytes() == live
    three.export(maximum=18, formats=("json",), include_images=False)
    assert ("a", "b") not in three.pairs()
    assert not three.prepare(three.plan(decide(three, {})))


def test_export_after_import_of_the_same_decisions_is_unchanged(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH})
    three.take_in(queue)
    three.export(maximum=18, include_images=False)
    before = digests(three.folder.parent)
    assert not three.take_in(queue)
    assert not three.export(maximum=18, include_images=False).changed
    assert digests(three.folder.parent) == before


def test_numbers_survive_an_import_and_its_reversal_literally(three: Host) -> None:
    text = three.live.read_text(encoding="utf-8").replace('"path": "b",', '"path": "b",\n      "big": 1E+400,\n      "zero": -0.00,')
    three.live.write_text(text, encoding="utf-8")
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    assert '"big": 1E+400' in three.live.read_text(encoding="utf-8")
    three.take_back()
    assert three.live.read_text(encoding="utf-8") == text


def test_an_import_in_check_mode_writes_nothing(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH})
    before = digests(three.folder.parent)
    assert review_import.would_change(str(three.live), three.state, three.plan(queue))
    assert digests(three.folder.parent) == before


def test_the_difference_names_what_leaves(three: Host) -> None:
    shown = review_import.difference(str(three.live), three.plan(decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH})))
    assert shown["before"] == "images: 4\n"
    assert shown["after"].startswith("images: 3\nb is removed, a is kept (match ")
    assert shown["after"].endswith(")\npairs that are different: 1 more\n")


# Several matches about one image, and several reviewers.


def test_last_image_of_a_chain_stays_and_is_named_for_all(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE, ("b", "c"): KEEP_ONE}))
    assert three.paths() == ["a", "other"]
    assert [element["keptPath"] for element in three.library()["lcm_import"]["removalLog"]] == ["a", "a"]


def test_cluster_that_would_lose_all_images_imports_nothing(three: Host) -> None:
    found = faults(three, decide(three, {("a", "b"): KEEP_ONE, ("b", "c"): KEEP_ONE, ("a", "c"): KEEP_OTHER}))
    assert len(found) == 3
    assert all("this would remove every copy" in text for text in found)


def test_image_does_not_leave_for_one_judged_different(three: Host) -> None:
    found = faults(three, decide(three, {("a", "b"): KEEP_ONE, ("b", "c"): KEEP_ONE, ("a", "c"): BOTH}))
    assert len(found) == 1
    assert "c would be removed as a duplicate of a, but match " in found[0]


def test_nor_where_an_earlier_review_said_so(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): BOTH}))
    memory = three.folder / "library.json.review.json"
    kept = memory.read_bytes()
    memory.unlink()
    queue = decide(three, {("a", "b"): KEEP_ONE})
    memory.write_bytes(kept)
    assert "an earlier review says that they are different" in faults(three, queue)[0]


def test_an_image_that_two_matches_remove_leaves_once(three: Host) -> None:
    three.take_in(decide(three, {("a", "c"): KEEP_ONE, ("b", "c"): KEEP_ONE}))
    assert three.paths() == ["a", "b", "other"]
    assert three.library()["lcm_import"]["imagesRemoved"] == 1
    assert three.library()["lcm_import"]["approvedDuplicates"] == 2


def test_the_queues_of_several_reviewers_are_taken_together(three: Host) -> None:
    anna = decide(three, {("a", "b"): {**KEEP_ONE, "reviewNotes": "same"}, ("a", "c"): SKIP}, "anna.json")
    ben = decide(three, {("a", "b"): {**KEEP_ONE, "reviewNotes": "sure"}, ("a", "c"): BOTH}, "ben.json")
    planned = three.plan(anna, ben)
    assert (planned.counts["reviewed"], planned.counts["skipped_matches"], planned.counts["pending"]) == (2, 0, 1)
    three.take_in(anna, ben)
    assert three.library()["lcm_import"]["removalLog"][0]["notes"] == "same; sure"
    assert three.library()["lcm_import"]["queueFile"] == f"{anna}, {ben}"


def test_one_after_the_other_comes_to_the_same_as_together(three: Host) -> None:
    anna, ben = decide(three, {("a", "b"): KEEP_ONE}, "anna.json"), decide(three, {("b", "c"): KEEP_ONE}, "ben.json")
    three.take_in(anna)
    three.take_in(ben)
    assert three.paths() == ["a", "other"]
    assert three.library()["lcm_import"]["removalLog"][0]["keptPath"] == "a"


def test_reviewers_who_contradict_one_another_are_both_named(three: Host) -> None:
    anna, ben = (decide(three, {("a", "b"): decision}, f"{name}.json") for name, decision in (("anna", KEEP_ONE), ("ben", BOTH)))
    [found] = faults(three, anna, ben)
    assert "ben.json: match " in found and "anna.json" in found
    assert "contradict" in found


@pytest.mark.parametrize("second", [KEEP_OTHER, BOTH])
def test_so_is_a_decision_against_what_was_imported_before(three: Host, second: dict[str, Any]) -> None:
    anna, ben = decide(three, {("a", "b"): KEEP_ONE}, "anna.json"), decide(three, {("a", "b"): second}, "ben.json")
    three.take_in(anna)
    [found] = faults(three, ben)
    assert "ben.json: match " in found


# What is refused: all of it at once, and nothing is changed.


@pytest.mark.parametrize(("edit", "message"), [
    (lambda match: match.update(reviewStatus="done"), "reviewStatus must be one of pending, approved, rejected, skipped, got 'done'"),
    (lambda match: match.update(keepImage=None), "keepImage does not say which image to keep"),
    (lambda match: match.update(keepImage="both"), "contradict each other"),
    (lambda match: match.update(keepImage="image3"), "contradict each other"),
    (lambda match: match.update(isDuplicate=None), "contradict each other"),
    (lambda match: match.update(isDuplicate="yes"), "isDuplicate is not true or false or null"),
    (lambda match: match.update(reviewStatus="pending"), "contradict each other"),
    (lambda match: match.update(reviewStatus=["approved"]), "reviewStatus is not a string"),
    (lambda match: match.update(keepImage={}), "keepImage is not a string or null"),
    (lambda match: match.update(reviewNotes=7), "reviewNotes is not a string or null"),
    (lambda match: match.update(id="0" * 16), "the id does not belong to these images"),
    (lambda match: match.update(id=7), "id is not a string"),
    (lambda match: match.pop("id"), "id is not a string"),
    (lambda match: match.pop("keepImage"), "keepImage is not a string or null"),
    (lambda match: match.update(image1="a"), "image1 is not an object"),
    (lambda match: match["image2"].update(path=None), "image2 lacks a path, or a hash"),
    (lambda match: match["image2"].update(dhash="00"), "image2 lacks a path, or a hash"),
    (lambda match: match["image2"].update(path="../../etc/passwd"), "the id does not belong to these images"),
])
def test_a_match_that_is_not_what_it_has_to_be_is_told(three: Host, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    queue = edited(three, decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): KEEP_ONE, ("b", "c"): KEEP_ONE}), edit)
    found = [text for text in faults(three, queue) if message in text]
    assert len(found) == 1
    assert found[0].startswith(f"{queue}: match ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"matches": {}}', b"\xff\xfe", b"[" * 100_000, b'{"matches": NaN}'])
def test_a_file_that_is_no_queue_is_told(three: Host, content: bytes) -> None:
    path = three.folder / "queue.json"
    path.write_bytes(content)
    [found] = faults(three, str(path))
    assert found.startswith(f"{path}: ")


@pytest.mark.parametrize("match", [None, 7, "x", [], {}])
def test_a_match_that_is_none_is_told_by_its_number(three: Host, match: object) -> None:
    path = three.folder / "queue.json"
    path.write_text(json.dumps({"matches": [match]}), encoding="utf-8")
    assert all(text.startswith(f"{path}: match number 1: ") for text in faults(three, str(path)))


def test_a_queue_that_is_not_there_or_no_file_is_told(three: Host) -> None:
    for path, cause in ((three.folder / "none.json", "No such file"), (three.folder, "Is a directory")):
        with pytest.raises(DhashError, match=cause) as failed:
            three.plan(str(path))
        assert failed.value.path == str(path) and failed.value.next_step


def test_a_match_that_comes_twice_in_one_file_is_told(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    value = json.loads(Path(queue).read_text(encoding="utf-8"))
    value["matches"].append(value["matches"][0])
    Path(queue).write_text(json.dumps(value), encoding="utf-8")
    assert "this match occurs more than once in the file" in faults(three, queue)[0]


@pytest.mark.parametrize("decision", [KEEP_ONE, KEEP_OTHER, BOTH])
def test_decision_about_an_image_with_a_changed_hash_is_stale(three: Host, decision: dict[str, Any]) -> None:
    queue = decide(three, {("a", "b"): decision})
    three.value["images"][1]["dhash"] = "00000000000000FF"
    three.write()
    assert "b has changed since it was exported: the decision is stale" in faults(three, queue)[0]


def test_decision_about_an_image_with_a_changed_file_is_stale(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    (three.folder / "a").write_bytes(PIXELS * 2)
    assert "the file of a has changed since it was hashed" in faults(three, queue)[0]


def test_an_image_does_not_leave_for_one_whose_file_is_gone(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    (three.folder / "a").unlink()
    assert "the file of the image to keep, a, does not exist" in faults(three, queue)[0]


def test_kept_file_that_cannot_be_checked_is_not_called_missing(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    (three.folder / "a").unlink()
    (three.folder / "a").symlink_to("a")
    with pytest.raises(DhashError, match="could not access the image to keep") as failed:
        three.plan(queue)
    assert failed.value.path == str(three.folder / "a") and failed.value.next_step


def test_but_it_may_leave_when_its_own_file_is_gone(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    (three.folder / "b").unlink()
    assert three.take_in(queue)


def test_an_image_that_the_library_no_longer_has_is_told(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE})
    del three.value["images"][1]
    three.write()
    assert "b is not in the library" in faults(three, queue)[0]


def test_all_import_faults_are_reported_at_once_without_a_change(three: Host) -> None:
    queue = decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): {**KEEP_ONE, "keepImage": None}})
    (three.folder / "broken.json").write_bytes(b"{")
    three.value["images"][1]["dhash"] = "00000000000000FF"
    three.write()
    before = digests(three.folder.parent)
    found = faults(three, queue, str(three.folder / "broken.json"))
    assert len(found) == 3
    assert digests(three.folder.parent) == before


def test_the_message_names_the_first_faults_and_counts_the_rest() -> None:
    error = QueueError([f"fault {number}" for number in range(60)])
    assert "60 problems" in str(error) and "fault 49" in str(error) and "fault 50" not in str(error)
    assert str(error).endswith("and 10 more")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["matches", "id", "image1", "image2", "path", "dhash", "reviewStatus", "isDuplicate", "keepImage"]), inner)))
def test_malformed_queue_of_any_kind_is_a_list_of_faults(value: Any) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"matches": [value, {"id": value, "image1": {"path": value}}]}, file)
        file.flush()
        reading = decision_files.read([file.name])
    assert reading.decisions == []
    assert reading.faults


# The way back.


def test_the_last_import_is_taken_back_and_then_the_one_before(three: Host) -> None:
    contents = [three.live.read_bytes()]
    for pair in (("a", "b"), ("a", "c")):
        three.take_in(decide(three, {pair: KEEP_ONE}))
        contents.append(three.live.read_bytes())
    assert three.paths() == ["a", "other"]
    assert three.take_back()
    assert three.live.read_bytes() == contents[1]
    assert three.take_back()
    assert three.live.read_bytes() == contents[0]
    assert not three.take_back()


def test_nothing_imported_leaves_nothing_to_revert(three: Host) -> None:
    before = digests(three.folder.parent)
    assert not three.take_back()
    assert digests(three.folder.parent) == before


def test_reverting_an_undeployed_import_cancels_it(three: Host) -> None:
    live = three.live.read_bytes()
    three.prepare(three.plan(decide(three, {("a", "b"): KEEP_ONE})))
    assert three.plan_reversal().withdrawn == {"operation": run_record.REVIEW_IMPORT, "run": RUN}
    assert three.take_back()
    assert three.live.read_bytes() == live
    assert not (three.folder / "library.json.import").exists()
    assert not three.deploy()


@pytest.mark.parametrize("record", [7, {}, [], {"migration": {}, "removalLog": [{"index": -1}]}, {"migration": {}, "removalLog": 3}])
def test_foreign_import_record_is_kept_but_not_reverted(three: Host, record: object) -> None:
    three.value["lcm_import"] = record
    content = three.write()
    with pytest.raises(DhashError, match="was not written by a review import"):
        three.plan_reversal()
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    assert three.library()["lcm_import"]["earlierImports"] == [record]
    three.take_back()
    assert three.live.read_bytes() == content


def test_reversal_keeps_new_images_and_restores_the_old_order(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE, ("a", "c"): KEEP_ONE}))
    value = three.library()
    value["images"] = [{"path": "new first", "filename": "n"}, *value["images"], {"path": "new last", "filename": "n"}]
    three.live.write_text(json.dumps(value), encoding="utf-8")
    three.take_back()
    assert three.paths() == ["new first", "a", "b", "c", "other", "new last"]


def test_restored_image_comes_near_its_place_if_a_neighbour_left(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    value = three.library()
    value["images"] = [image for image in value["images"] if image["path"] != "a"]
    three.live.write_text(json.dumps(value), encoding="utf-8")
    three.take_back()
    assert three.paths() == ["c", "b", "other"]


def test_image_restored_by_hand_does_not_come_twice(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    value = three.library()
    value["images"].append({"path": "b", "filename": "b"})
    three.live.write_text(json.dumps(value), encoding="utf-8")
    three.take_back()
    assert three.paths() == ["a", "c", "other", "b"]


def test_reversal_after_a_migration_drops_outdated_findings(three: Host) -> None:
    three.value["dhash_duplicates"] = [{"originalPath": "a", "duplicatePath": "b"}]
    three.write()
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    value = three.library()
    value["dhash_migration"].update(migration_timestamp="2026-02-01T00:00:00.000Z", algorithm="ffmpeg")
    three.live.write_text(json.dumps(value), encoding="utf-8")
    three.take_back()
    assert three.library()["images"][1] == {"path": "b", "filename": "b"}
    assert three.library()["dhash_duplicates"] == []


entries = st.dictionaries(st.sampled_from(["rating", "tags", "filename2", "dhash_generated_at"]), st.one_of(
    st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
    max_size=3)
numbers = st.sets(st.integers(0, 11))


def reread(library: library_file.Library, value: dict[str, Any]) -> library_file.Library:
    return library_file.parse(library_edit.edited(library, value), "x")


def with_more(library: library_file.Library, images: list[dict[str, Any]]) -> library_file.Library:
    return reread(library, {**library.value, "images": [*library.value["images"], *images]})


@settings(deadline=None)
@given(st.lists(entries, min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12),
       st.lists(numbers, min_size=1, max_size=3), st.booleans(), st.integers(0, 3))
def test_import_and_reversal_restore_the_library_byte_for_byte(
        fields: list[dict[str, Any]], duplicates: list[tuple[int, int]], gone: list[set[int]], newline: bool, added: int) -> None:
    images = [{"path": f"{number}", "filename": "x", "dhash": f"{number:016X}", **extra} for number, extra in enumerate(fields)]
    value = {"images": images, "dhash_migration": {"algorithm": "pillow"}, "more": [1],
             "dhash_duplicates": [{"originalPath": f"{one}", "duplicatePath": f"{other}"} for one, other in duplicates]}
    text = json.dumps(value, indent=2).encode() + b"\n" * newline
    stages = [library_file.parse(text, "x")]
    for numbers_gone in gone:
        removals = [library_removals.Removal("id", f"{number}", f"{number:016X}", "0", "0" * 16, "") for number in numbers_gone]
        account = library_removals.Account("now", "queue", 1, len(removals))
        stages.append(reread(stages[-1], library_removals.take_out(stages[-1].value, removals, account)))
    new = [{"path": f"new {number}", "filename": "n"} for number in range(added)]
    live = with_more(stages[-1], new)
    for stage in reversed(stages[:-1]):
        live = reread(live, present(library_removals.put_back(live.value)))
        assert live == with_more(stage, new)
    if not added:
        assert live.data == text
    assert library_removals.put_back(live.value) is None


@given(st.lists(st.integers(0, 9), unique=True, max_size=10), numbers, st.lists(st.integers(0, 20), unique=True, max_size=10))
def test_reversal_after_any_change_lists_every_image_once(order: list[int], gone: set[int], later: list[int]) -> None:
    value = {"images": [{"path": f"{number}", "filename": "x", "dhash": f"{number:016X}"} for number in order]}
    removals = [library_removals.Removal("id", f"{number}", f"{number:016X}", "0", "0" * 16, "") for number in gone]
    taken = library_removals.take_out(value, removals, library_removals.Account("now", "queue", 1, 1))
    taken["images"] = [{"path": f"{number}", "filename": "y"} for number in later]
    back = present(library_removals.put_back(taken))
    left = set(order) & gone
    assert sorted(image["path"] for image in back["images"]) == sorted(f"{number}" for number in left | set(later))
    rest = [image["path"] for image in back["images"] if image["filename"] == "y"]
    assert rest == [f"{number}" for number in later]


# Its deployment, and the way back from that.


def test_library_changed_since_the_import_keeps_its_changes(three: Host) -> None:
    three.prepare(three.plan(decide(three, {("a", "b"): KEEP_ONE})))
    three.value["images"].append({"path": "new", "filename": "new"})
    three.write()
    assert three.deploy()
    assert three.paths() == ["a", "c", "other", "new"]
    assert three.library()["lcm_import"]["imagesRemoved"] == 1
    assert not (three.folder / "library.json.import").exists()


def test_library_changed_since_a_reversal_plan_keeps_its_changes(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    three.prepare(three.plan_reversal())
    value = three.library()
    value["images"].append({"path": "new", "filename": "new"})
    three.live.write_text(json.dumps(value), encoding="utf-8")
    assert three.deploy()
    assert three.paths() == ["a", "b", "c", "other", "new"]


@pytest.mark.parametrize("changed", ["a", "b"])
def test_decision_stale_before_its_deploy_replaces_nothing(three: Host, changed: str) -> None:
    three.prepare(three.plan(decide(three, {("a", "b"): KEEP_ONE})))
    next(image for image in three.value["images"] if image["path"] == changed)["dhash"] = "00000000000000FF"
    content = three.write()
    with pytest.raises(QueueError):
        three.deploy()
    assert three.live.read_bytes() == content


def test_the_deployment_is_put_back_to_the_very_bytes(three: Host) -> None:
    old = three.live.read_bytes()
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    record = present(run_record.read(three.state))
    assert (record.operation, record.kept) == (run_record.REVIEW_IMPORT, cutover.pre_dhash(str(three.live)))
    way = present(rollback_plan.plan_undo(str(three.live), three.state, str(three.folder), record.new_sha256))
    assert (way.operation, way.text) == (run_record.RESTORE, old)


def test_edits_after_an_import_survive_its_rollback(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    new = present(run_record.read(three.state)).new_sha256
    value = three.library()
    value["images"].append({"path": "new", "filename": "new"})
    three.live.write_text(json.dumps(value), encoding="utf-8")
    way = present(rollback_plan.plan_undo(str(three.live), three.state, str(three.folder), new))
    assert way.operation == run_record.REVIEW_REVERSAL
    assert "Restored from: the live library with the images that the last review removed" in rollback_report.lines(str(three.live), way, None)
    rollback_plan.prepare(str(three.live), three.state, way, False, RUN)
    value["images"].append({"path": "newer", "filename": "newer"})
    three.live.write_text(json.dumps(value), encoding="utf-8")
    assert three.deploy()
    assert three.paths() == ["a", "b", "c", "other", "new", "newer"]
    assert "lcm_import" not in three.library()


def test_a_reversal_is_put_back_too_but_not_over_later_edits(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    imported = three.live.read_bytes()
    three.take_back()
    new = present(run_record.read(three.state)).new_sha256
    assert present(rollback_plan.plan_undo(str(three.live), three.state, str(three.folder), new)).text == imported
    three.live.write_bytes(three.live.read_bytes() + b"\n")
    with pytest.raises(DhashError, match="edited after a review import was reverted"):
        rollback_plan.plan_undo(str(three.live), three.state, str(three.folder), new)


def test_the_latest_rollback_restores_what_the_import_replaced(three: Host) -> None:
    old = three.live.read_bytes()
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    way = rollback_plan.make_plan(str(three.live), three.state, str(three.folder), rollback_plan.RollbackRequest(rollback_plan.LATEST, False, False))
    assert (way.text, any(present(way.losses))) == (old, False)


def test_import_discards_a_prepared_migration(three: Host) -> None:
    output = three.folder / "library.dhash.json"
    output.write_bytes(b"{}")
    old = hashlib.sha256(three.live.read_bytes()).hexdigest()
    run_record.write(three.state, run_record.Record(
        RUN, run_record.MIGRATION, run_record.PREPARED, str(three.live), str(output), cutover.pre_dhash(str(three.live)), old,
        hashlib.sha256(b"{}").hexdigest(), True, {}))
    three.prepare(three.plan(decide(three, {("a", "b"): KEEP_ONE})))
    assert not output.exists()
    assert present(run_record.read(three.state)).restart_owed


def test_verification_removes_what_the_import_replaced(three: Host) -> None:
    three.take_in(decide(three, {("a", "b"): KEEP_ONE}))
    assert durable.exists(cutover.pre_dhash(str(three.live)))
    cutover.verified(str(three.live), three.state, check=False)
    assert not durable.exists(cutover.pre_dhash(str(three.live)))
    assert not three.plan_reversal().leftover


@pytest.mark.slow
def test_killed_import_can_be_repeated_to_the_same_end(tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool]) -> None:
    outcomes = set()
    for number in range(200):
        host = Host(tmp_path / str(number))
        for name, dhash in (("a", 0), ("b", NEAR), ("c", bits(*range(20, 29)))):
            host.add(name, dhash, 0, PIXELS)
        host.write()
        queue = decide(host, {("a", "b"): KEEP_ONE, ("a", "c"): BOTH})
        killed = killed_at(number, functools.partial(host.take_in, queue))
        assert host.paths() in (["a", "b", "c"], ["a", "c"])
        cutover.finish(str(host.live), host.state, check=False)
        host.take_in(queue)
        value = host.library()
        del value["lcm_import"]["importedAt"], value["lcm_import"]["queueFile"]
        names = sorted(path.name for path in host.folder.iterdir() if not path.name.endswith(".lock"))
        remembered = len(known_different.read(str(host.live)))
        outcomes.add((hashlib.sha256(json.dumps(value).encode()).hexdigest(), tuple(names), remembered))
        if not killed:
            break
    assert len(outcomes) == 1
    assert number > 10
