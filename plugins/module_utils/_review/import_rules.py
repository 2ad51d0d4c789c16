# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a review import: which images the decisions remove from a library, and which decisions are refused.

web/review/results.js predicts the same; tests/shared/review_decisions.json has the cases for both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _clock
from .._errors import DhashError, printable
from .._hashing import hash_journal
from .._library import library_fields, library_removals
from .._library.library_removals import Removal
from .._migrate import matchable_images
from . import known_different
from .decision_files import DIFFERENT, Decision, Side, fault


class Verdict(NamedTuple):
    """``removals``: the images to remove, in the order of the decisions. ``already``: how many were removed before.

    ``different``: the pairs to remember. ``faults``: all problems, with the file and the match.
    """

    removals: list[Removal]
    already: int
    different: list[known_different.Different]
    faults: list[str]


class _Present(NamedTuple):
    """The hashes and the images of each path in the library, and the removal logs of images that imports have removed."""

    hashes: dict[str, set[Any]]
    images: dict[str, dict[str, Any]]
    log: dict[Side, dict[str, Any]]

    def problem(self, side: Side) -> str | None:
        """The reason why a decision about ``side`` does not apply; None if it does."""
        if side.path in self.hashes:
            if self.hashes[side.path] == {side.dhash}:
                return None
            return f"{printable(side.path)} has changed since it was exported: the decision is stale"
        if side in self.log:
            return None
        return f"{printable(side.path)} is not in the library"


def judge(library: str, value: dict[str, Any], state: str, decisions: Sequence[Decision],
          memory: Sequence[known_different.Different]) -> Verdict:
    """The result of ``decisions`` in the library ``value`` at the real path ``library``. Writes nothing.

    Raises ``DhashError``.
    """
    present = _present(value)
    faults: list[str] = []
    sound = []
    for decision in decisions:
        problems = list(filter(None, map(present.problem, (decision.one, decision.other))))
        faults += [fault(decision, problem) for problem in problems]
        if not problems:
            sound.append(decision)
    duplicates = [decision for decision in sound if decision.verdict != DIFFERENT]
    with hash_journal.open_for_reading(state, library_fields.algorithm(value), limits="") as journal:
        faults += _file_faults(library, present, duplicates, journal)
        different = [_remembered(library, present, decision, journal)
                     for decision in sound if decision.verdict == DIFFERENT]
    apart = {frozenset((Side(*record.one[:2]), Side(*record.other[:2]))): "an earlier review" for record in memory}
    apart.update((frozenset((decision.one, decision.other)), f"match {decision.match_id}")
                 for decision in sound if decision.verdict == DIFFERENT)
    removals, already = _removals(present, duplicates, apart, faults)
    faults += [fault(decision, "an earlier import removed one of the two images as a duplicate of the other; revert that import first")
               for decision in sound if decision.verdict == DIFFERENT and _was_taken_out(present, decision)]
    return Verdict(removals, already, different, faults)


def _present(value: dict[str, Any]) -> _Present:
    present = _Present({}, {}, {})
    for image in value["images"]:
        present.hashes.setdefault(image["path"], set()).add(image.get("dhash"))
        present.images.setdefault(image["path"], image)
    for element in library_removals.logged(value):
        present.log.setdefault(Side(element["entry"]["path"], element["entry"].get("dhash")), element)
    return present


def _was_taken_out(present: _Present, decision: Decision) -> bool:
    return any(side.path not in present.hashes and present.log[side].get("matchId") == decision.match_id
               for side in (decision.one, decision.other))


def _removals(present: _Present, duplicates: Sequence[Decision], apart: dict[frozenset[Side], str],
              faults: list[str]) -> tuple[list[Removal], int]:
    """Follow each removed image to one that stays, because an image can be kept in one match and removed by another."""
    survivors = _earlier_survivors(present)
    leaving: dict[Side, Decision] = {}
    for decision in duplicates:
        if decision.removed.path in present.hashes:
            leaving.setdefault(decision.removed, decision)
            survivors.setdefault(decision.removed, decision.kept)
    removals, already = [], set()
    for decision in duplicates:
        last = _last_survivor(decision.kept, survivors)
        if decision.removed not in leaving:
            already.add(decision.removed)
        elif last is None or last == decision.removed:
            faults.append(fault(decision, "this would remove every copy: the image to keep is removed by another decision"))
        elif last.path not in present.hashes:
            faults.append(fault(decision, f"the image to keep, {printable(last.path)}, is no longer in the library"))
        elif frozenset((decision.removed, last)) in apart:
            faults.append(fault(decision, f"{printable(decision.removed.path)} would be removed as a duplicate of"
                                f" {printable(last.path)}, but {apart[frozenset((decision.removed, last))]} says that"
                                " they are different"))
        elif leaving[decision.removed] is decision:
            removals.append(Removal(decision.match_id, *decision.removed, *last, decision.notes))
    return removals, len(already)


def _earlier_survivors(present: _Present) -> dict[Side, Side]:
    """For each image that earlier imports removed, the one that was kept instead."""
    gone = {side.path: side for side in present.log if side.path not in present.hashes}
    survivors = {}
    for side in gone.values():
        kept = present.log[side].get("keptPath")
        if kept in gone:
            survivors[side] = gone[kept]
        elif isinstance(kept, str) and len(present.hashes.get(kept, ())) == 1:
            survivors[side] = Side(kept, *present.hashes[kept])
    return survivors


def _last_survivor(side: Side, survivors: dict[Side, Side]) -> Side | None:
    """The image that is finally kept instead of ``side``; None if the decisions form a cycle."""
    seen = set()
    while side in survivors:
        if side in seen:
            return None
        seen.add(side)
        side = survivors[side]
    return side


def _file_faults(library: str, present: _Present, duplicates: Sequence[Decision],
                 journal: hash_journal.Journal) -> list[str]:
    """Decisions whose file to keep is missing, or whose files have changed since they were hashed. Raises ``DhashError``."""
    faults = []
    for decision in duplicates:
        for side in (decision.kept, decision.removed):
            if side.path not in present.hashes:
                continue
            image = _look_up(library, present, side, journal)
            if image.size is None:
                if side == decision.kept and decision.removed.path in present.hashes:
                    if not image.is_missing:
                        raise DhashError("could not access the image to keep", image.file,
                                         "Check the permissions of its folder and the disk, then run again.")
                    faults.append(fault(decision, f"the file of the image to keep, {printable(side.path)}, does not exist"))
            elif not image.is_current and journal.knows(image.file):
                faults.append(fault(decision, f"the file of {printable(side.path)} has changed since it was hashed:"
                                    " the decision is stale. Migrate first"))
    return faults


def _look_up(library: str, present: _Present, side: Side, journal: hash_journal.Journal) -> matchable_images.Image:
    image = present.images.get(side.path) or present.log[side]["entry"]
    return matchable_images.look_up(os.path.join(os.path.dirname(library), side.path), image, journal)


def _remembered(library: str, present: _Present, decision: Decision,
                journal: hash_journal.Journal) -> known_different.Different:
    sides = [known_different.Side(*side, _look_up(library, present, side, journal).vertical)
             for side in (decision.one, decision.other)]
    return known_different.different(sides[0], sides[1], decision.notes, _clock.now())


def stale(value: dict[str, Any], removals: Sequence[Removal]) -> list[str]:
    """The problems of ``removals`` in the library ``value``. An image that was removed already is not a problem."""
    present = _present(value)
    faults = []
    for removal in removals:
        hashes = present.hashes.get(removal.path, {removal.dhash}), present.hashes.get(removal.kept)
        if hashes != ({removal.dhash}, {removal.kept_dhash}):
            faults.append(f"match {removal.match_id}: {printable(removal.path)} or {printable(removal.kept)} has changed,"
                          " or was removed from the library, since the decision was imported")
    return faults
