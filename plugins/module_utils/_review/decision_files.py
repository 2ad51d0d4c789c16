# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read reviewed queues: the decisions in one or several files, and the problems of these files.

The files are not trusted. Every problem is collected with its file and its match, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._errors import LibraryError, printable
from .._hashing import difference_hash
from .._library import json_text, library_file
from . import review_queue

MAX_BYTES = 512 << 20
ONE, OTHER, DIFFERENT = "keep image1", "keep image2", "different"
TEXT = (str,)
# The types of the fields that an import uses. Other fields are for people, or for later versions.
FIELDS = {"id": TEXT, "image1": (dict,), "image2": (dict,), "reviewStatus": TEXT, "isDuplicate": (bool, type(None)),
          "keepImage": (str, type(None)), "reviewNotes": (str, type(None))}
NAMES = {dict: "an object", str: "a string", bool: "true or false", type(None): "null"}
# The valid values of isDuplicate and keepImage for each status, and the decision that they mean.
DECISIONS = {
    ("approved", True, "image1"): ONE, ("approved", True, "image2"): OTHER,
    ("rejected", False, "both"): DIFFERENT, ("rejected", False, None): DIFFERENT,
    ("pending", None, None): None, ("skipped", None, None): None,
}
STATUSES = ("pending", "approved", "rejected", "skipped")


class Side(NamedTuple):
    """An image of a match, as it was at the export."""

    path: str
    dhash: str


class Decision(NamedTuple):
    """The decision about a match, and its file. ``verdict`` is ONE, OTHER or DIFFERENT; None if the match is undecided."""

    match_id: str
    one: Side
    other: Side
    verdict: str | None
    notes: str
    file: str

    @property
    def kept(self) -> Side:
        """The image of a duplicate pair that is kept."""
        return self.one if self.verdict == ONE else self.other

    @property
    def removed(self) -> Side:
        """The image of a duplicate pair that is removed from the library."""
        return self.other if self.verdict == ONE else self.one


class Reading(NamedTuple):
    """The decisions in the order of the queues, the number of matches without a decision, and all problems."""

    decisions: list[Decision]
    pending: int
    skipped: int
    faults: list[str]


def fault(decision: Decision, what: str) -> str:
    """The message for a problem of a decision."""
    return f"{printable(decision.file)}: match {decision.match_id}: {what}"


def read(paths: Sequence[str]) -> Reading:
    """Read the queues of one or several reviewers; ``faults`` are the problems in them.

    Raises ``LibraryError`` if a file cannot be read.
    """
    faults: list[str] = []
    decided: dict[str, Decision] = {}
    undecided: dict[str, str] = {}
    for path in paths:
        seen = set()
        for number, match in enumerate(_matches(path, faults)):
            read_match = _match(match, number, path, faults)
            if read_match is None:
                continue
            status, decision = read_match
            if decision.match_id in seen:
                faults.append(fault(decision, "this match occurs more than once in the file"))
            seen.add(decision.match_id)
            if decision.verdict is None:
                undecided[decision.match_id] = status
            else:
                _merge(decided, decision, faults)
    left = [status for match_id, status in undecided.items() if match_id not in decided]
    return Reading(list(decided.values()), left.count("pending"), left.count("skipped"), faults)


def _matches(path: str, faults: list[str]) -> list[Any]:
    content = library_file.read_bytes(path, MAX_BYTES, "the queue")
    try:
        queue = json_text.parse_json(content)
    except LibraryError as error:
        faults.append(f"{printable(path)}: {error.cause}")
        return []
    if not isinstance(queue, dict) or not isinstance(queue.get("matches"), list):
        faults.append(f"{printable(path)}: not a review queue: \"matches\" is missing or not an array")
        return []
    matches: list[Any] = queue["matches"]
    return matches


def _match(match: Any, number: int, path: str, faults: list[str]) -> tuple[str, Decision] | None:
    """The status of a match, and its decision. None for an invalid match, whose problems are added to ``faults``."""
    name = f"{printable(path)}: match {_name(match, number)}"
    if not isinstance(match, dict):
        faults.append(f"{name}: not an object")
        return None
    found = [f"{name}: {field} is not {' or '.join(NAMES[kind] for kind in kinds)}"
             for field, kinds in FIELDS.items() if (field != "reviewNotes" and field not in match)
             or not isinstance(match.get(field, ""), kinds)]
    sides = []
    for field in ("image1", "image2"):
        side = match.get(field)
        if isinstance(side, dict):
            if isinstance(side.get("path"), str) and difference_hash.is_hex(side.get("dhash")):
                sides.append(Side(side["path"], side["dhash"]))
            else:
                found.append(f"{name}: {field} lacks a path, or a hash of 16 upper-case hexadecimal digits")
    if not found and match["id"] != review_queue.match_id(*sides[0], *sides[1]):
        found.append(f"{name}: the id does not belong to these images, so the id or an image was changed")
    verdict = None
    if not found:
        status = match["reviewStatus"]
        key = status, match["isDuplicate"], match["keepImage"]
        if status not in STATUSES:
            found.append(f"{name}: reviewStatus must be one of {', '.join(STATUSES)}, got {printable(status)!r}")
        elif key not in DECISIONS:
            found.append(f"{name}: {_disagreement(*key)}")
        else:
            verdict = DECISIONS[key]
    faults += found
    if found:
        return None
    return status, Decision(match["id"], sides[0], sides[1], verdict, match.get("reviewNotes") or "", path)


def _name(match: Any, number: int) -> str:
    match_id = match.get("id") if isinstance(match, dict) else None
    return printable(match_id)[:40] if isinstance(match_id, str) and match_id else f"number {number + 1}"


def _disagreement(status: str, is_duplicate: bool | None, keep: str | None) -> str:
    if status == "approved" and is_duplicate and keep is None:
        return "approved as a duplicate, but keepImage does not say which image to keep"
    return (f"reviewStatus {status}, isDuplicate {_json(is_duplicate)} and keepImage {_json(keep)} contradict each other"
            " (approved, true and image1 or image2; rejected, false and both; pending or skipped, null and null)")


def _json(value: bool | str | None) -> str:
    return printable(value)[:40] if isinstance(value, str) else {True: "true", False: "false", None: "null"}[value]


def _merge(decided: dict[str, Decision], decision: Decision, faults: list[str]) -> None:
    earlier = decided.setdefault(decision.match_id, decision)
    if earlier.verdict != decision.verdict:
        faults.append(fault(decision, f"the reviewers contradict each other: {decision.verdict} here,"
                            f" {earlier.verdict} in {printable(earlier.file)}"))
    elif decision.notes and decision.notes not in earlier.notes.split("; "):
        notes = f"{earlier.notes}; {decision.notes}" if earlier.notes else decision.notes
        decided[decision.match_id] = earlier._replace(notes=notes)
