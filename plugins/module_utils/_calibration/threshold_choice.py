# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each threshold would find in a library, how many false duplicates it would give, and the threshold to recommend."""

from __future__ import annotations

from typing import NamedTuple

from .._hashing import confirmation
from . import pair_counts

LEAST_GAIN = 0.01  # of all edited copies: a threshold that finds less in addition is not worth its false duplicates
TOLERATED = 1000  # images to one false duplicate that is tolerated
LEAST_PAIRS, LEAST_PICTURES = 4000, 20  # with fewer unrelated pairs or edited pictures the figures mean little
CURRENT_IS_GOOD, RECALL_LEVELS_OFF, FALSE_DUPLICATES = "current_is_good", "recall_levels_off", "false_duplicates"
GREATEST_MEASURED, FALSE_AT_EVERY_THRESHOLD, TOO_LITTLE_DATA = "greatest_measured", "false_at_every_threshold", "too_little_data"
REASONS = (CURRENT_IS_GOOD, RECALL_LEVELS_OFF, FALSE_DUPLICATES, GREATEST_MEASURED, FALSE_AT_EVERY_THRESHOLD, TOO_LITTLE_DATA)


class Outlook(NamedTuple):
    """What ``threshold`` would give. Of the edited copies, 0 to 1: ``found`` within the threshold, ``found_confirmed`` also confirmed.

    False duplicates expected in the whole library: ``false`` without confirmation, ``false_confirmed`` with confirmation, and
    ``most_confirmed``, which the latter exceeds in one of twenty libraries.
    """

    threshold: int
    found: float
    found_confirmed: float
    false: float
    false_confirmed: float
    most_confirmed: float

    def recall(self, confirm: bool) -> float:
        return self.found_confirmed if confirm else self.found

    def expected(self, confirm: bool) -> float:
        return self.false_confirmed if confirm else self.false


class Choice(NamedTuple):
    """The threshold to recommend, the token of the reason, and the reason for people."""

    threshold: int
    reason: str
    text: str


def outlooks(unrelated: pair_counts.Unrelated, edits: pair_counts.Counts, images: int) -> list[Outlook]:
    """What each threshold from 0 to WIDEST would give in a library of ``images`` images that can be matched."""
    scale = images * (images - 1) / 2 / max(unrelated.pairs.total, 1)
    near = unrelated.pairs.by_distance.cumsum()
    control = unrelated.mirrored.near.sum(axis=1).cumsum()
    false = unrelated.mirrored.near[:, confirmation.CONFIRMED:].sum(axis=1).cumsum()
    found = edits.by_distance.cumsum() / max(edits.total, 1)
    confirmed = edits.near[:, confirmation.CONFIRMED:].sum(axis=1).cumsum() / max(edits.total, 1)
    table: list[Outlook] = []
    for bits in range(pair_counts.WIDEST + 1):
        expected = float(near[bits]) * scale
        share, most_share = (min(1.0, count / max(int(control[bits]), 1)) for count in (int(false[bits]), at_most(int(false[bits]))))
        confirmed_false = max(expected * share, table[-1].false_confirmed if table else 0.0)  # a smaller threshold gives no more
        table.append(Outlook(bits, float(found[bits]), float(confirmed[bits]), expected, confirmed_false, max(expected * most_share, confirmed_false)))
    for bits in range(pair_counts.WIDEST - 1, -1, -1):  # a greater threshold gives no fewer
        table[bits] = table[bits]._replace(most_confirmed=min(table[bits].most_confirmed, table[bits + 1].most_confirmed))
    return table


def at_most(count: int) -> float:
    """The mean that a count has at most, if as few as ``count`` are seen in one of twenty cases: 3.0 for none.

    Source: the chi-squared approximation of Wilson and Hilferty, "The distribution of chi-square" (PNAS 17, 1931).
    """
    return float((count + 1) * (1 - 1 / (9 * (count + 1)) + 1.645 / (3 * (count + 1) ** 0.5)) ** 3)


def tolerated(images: int) -> float:
    """The number of false duplicates that are tolerated in a library of ``images`` images."""
    return max(1.0, images / TOLERATED)


def choose(table: list[Outlook], current: int, confirm: bool, images: int, pairs: int, pictures: int) -> Choice:
    """Recommend the smallest threshold that finds about as much as any with a tolerable number of false duplicates.

    ``current``: the threshold of the library, which is kept if it does that as well. ``pairs``: the number of unrelated pairs that were
    compared; ``pictures``: that of edited pictures.
    """
    if pairs < LEAST_PAIRS or pictures < LEAST_PICTURES:
        return Choice(max(current, 0), TOO_LITTLE_DATA, f"Keep the present threshold. Unrelated pairs compared: {pairs:,}, pictures edited: {pictures:,}."
                      f" With fewer than {LEAST_PAIRS:,} pairs or {LEAST_PICTURES} pictures the figures mean little.")
    limit = tolerated(images)
    allowed = [row for row in table if row.expected(confirm) <= limit]
    if not allowed:
        return Choice(0, FALSE_AT_EVERY_THRESHOLD, f"Every threshold would give more than {limit:,.0f} false duplicates in {images:,} images."
                      + ("" if confirm else " Set dhash_confirm to true."))
    enough = allowed[-1].recall(confirm) - LEAST_GAIN
    chosen = next(row for row in allowed if row.recall(confirm) >= enough)
    at = next((row for row in allowed if row.threshold == current), None)
    if at is not None and at.recall(confirm) >= enough:
        return Choice(current, CURRENT_IS_GOOD, f"The present threshold finds {_percent(at.recall(confirm))} of the edited copies."
                      f" {_beyond(table, at, confirm, limit)}")
    if chosen is table[-1]:
        return Choice(chosen.threshold, GREATEST_MEASURED, f"It finds {_percent(chosen.recall(confirm))} of the edited copies, more than every"
                      " smaller threshold. Greater thresholds were not measured.")
    reason = FALSE_DUPLICATES if table[-1].recall(confirm) - chosen.recall(confirm) > LEAST_GAIN else RECALL_LEVELS_OFF
    return Choice(chosen.threshold, reason, f"It finds {_percent(chosen.recall(confirm))} of the edited copies."
                  f" {_beyond(table, chosen, confirm, limit)}")


def _beyond(table: list[Outlook], row: Outlook, confirm: bool, limit: float) -> str:
    """What a greater threshold would give."""
    gain = table[-1].recall(confirm) - row.recall(confirm)
    if gain <= LEAST_GAIN:
        return f"A threshold of {table[-1].threshold} would find {_percent(table[-1].recall(confirm))}."
    first = next((other for other in table[row.threshold + 1:] if other.expected(confirm) > limit), table[-1])
    return (f"A threshold of {first.threshold} would find {_percent(first.recall(confirm))}, and give about {first.expected(confirm):,.0f}"
            f" false duplicates; {limit:,.0f} are tolerated, one in {TOLERATED:,} images.")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
