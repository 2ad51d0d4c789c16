# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an import refuses, held against the cases that web/review/test/results.test.js holds the page against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_removals
from ansible_collections.mobius.dhash.plugins.module_utils._review import decision_files, import_rules, known_different, review_queue
from reviews import Host

CASES = json.loads((Path(__file__).parents[1] / "shared/review_decisions.json").read_text(encoding="utf-8"))["cases"]
VERDICTS = {"left": decision_files.ONE, "right": decision_files.OTHER, "different": decision_files.DIFFERENT}
ACCOUNT = library_removals.Account("2026-01-31T12:00:00.000Z", "earlier.json", 1, 1)
WHY = {"this would remove every copy": "nothing remains", "would be removed as a duplicate of": "judged different",
       "is no longer in the library": "what stays has left", "an earlier import removed one of the two": "taken out before"}


def sides(case: dict[str, Any]) -> dict[str, decision_files.Side]:
    """The images of a case by their name, each with a hash of its own."""
    earlier = case.get("earlier_imports", {})
    names = {*earlier, *earlier.values(), *(name for pair in case.get("earlier_different", []) for name in pair)}
    names |= {name for one, other, _decision in case["decisions"] for name in (one, other)}
    return {name: decision_files.Side(name, f"{number:016X}") for number, name in enumerate(sorted(names), 1)}


def match_id(one: decision_files.Side, other: decision_files.Side) -> str:
    return review_queue.match_id(*one, *other)


def judge(case: dict[str, Any], folder: Path) -> tuple[import_rules.Verdict, dict[str, str]]:
    """The verdict on a case, and by match the image that its decision is about."""
    images = sides(case)
    host = Host(folder)
    for name, side in images.items():
        if name not in case.get("left_otherwise", []):
            (host.folder / name).write_bytes(b"a picture")
            host.add(name, int(side.dhash, 16))
    earlier = [library_removals.Removal(match_id(images[kept], images[name]), *images[name], *images[kept], "")
               for name, kept in case.get("earlier_imports", {}).items()]
    value = library_removals.take_out(host.value, earlier, ACCOUNT) if earlier else host.value
    sides_of = {name: known_different.Side(*side, None) for name, side in images.items()}
    memory = [known_different.different(sides_of[one], sides_of[other], "", "2026-01-31T12:00:00Z")
              for one, other in case.get("earlier_different", [])]
    decided = [(images[one], images[other], VERDICTS[decision]) for one, other, decision in case["decisions"] if decision in VERDICTS]
    decisions = [decision_files.Decision(match_id(one, other), one, other, verdict, "", "decisions.json")
                 for one, other, verdict in decided]
    about = {decision.match_id: (decision.one if decision.verdict == decision_files.DIFFERENT else decision.removed).path
             for decision in decisions}
    return import_rules.judge(str(host.live), value, host.state, decisions, memory), about


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_import_decides_each_shared_case_so(case: dict[str, Any], tmp_path: Path) -> None:
    verdict, about = judge(case, tmp_path)
    refused = set()
    for fault in verdict.faults:
        _file, match, what = fault.split(": ", 2)
        [why] = [why for part, why in WHY.items() if part in what]
        refused.add((about[match.removeprefix("match ")], why))
    assert refused == set(map(tuple, case["refused"]))
    if not refused:
        assert {removal.path: removal.kept for removal in verdict.removals} == case["removals"]


def test_shared_cases_have_names_of_their_own() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {case.get("page_knows", True) for case in CASES} == {True, False}
