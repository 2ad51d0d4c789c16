# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recommendation, and the figures that it follows from."""

from __future__ import annotations

import numpy as np
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import pair_counts, threshold_choice
from ansible_collections.mobius.dhash.plugins.module_utils._calibration.threshold_choice import Outlook

LEVELS_OFF = [min(0.97, 0.4 + 0.08 * bits) for bits in range(17)]  # at 8 bits
RISES = [0.2 + 0.05 * bits for bits in range(17)]
NONE = [0.0] * 17


def counts(near: dict[tuple[int, int], int], far: int = 0) -> pair_counts.Counts:
    """Pairs by distance and hundredths, and pairs at 32 bits."""
    by_distance, by_both = np.zeros(65, np.int64), np.zeros((17, 101), np.int64)
    for (distance, hundredths), number in near.items():
        by_distance[distance] += number
        by_both[distance, hundredths] += number
    by_distance[32] += far
    return pair_counts.Counts(by_distance, by_both)


def table(recall: list[float], false: list[float], plain: list[float] | None = None) -> list[Outlook]:
    return [Outlook(bits, found, found, (plain or false)[bits], false[bits], false[bits]) for bits, found in enumerate(recall)]


def choose(rows: list[Outlook], current: int = 0, confirm: bool = True, images: int = 10_000, pairs: int = 10_000,
           pictures: int = 200) -> threshold_choice.Choice:
    return threshold_choice.choose(rows, current, confirm, images, pairs, pictures)


def test_sample_rates_are_scaled_to_the_size_of_the_library() -> None:
    unrelated = pair_counts.Unrelated(100, counts({(5, 0): 2, (10, 30): 6}, 4942), counts({(5, 0): 3, (10, 0): 4, (10, 60): 1}, 4942), 0, 0)
    edits = counts({(0, 100): 60, (5, 95): 20, (10, 10): 10, (12, 60): 5}, 5)
    rows = threshold_choice.outlooks(unrelated, edits, 1001)
    scale = 500_500 / 4950
    assert [round(rows[bits].false / scale, 6) for bits in (4, 5, 10, 16)] == [0, 2, 8, 8]
    assert [round(rows[bits].false_confirmed / scale, 6) for bits in (5, 9, 10)] == [0, 0, 1]  # 1 of 8 mirrored pairs is confirmed
    assert [rows[bits].found for bits in (0, 5, 10, 12)] == [0.6, 0.8, 0.9, 0.95]
    assert [rows[bits].found_confirmed for bits in (0, 5, 10, 12)] == [0.6, 0.8, 0.8, 0.85]


def test_upper_bound_of_false_duplicates_is_sound_and_monotonic() -> None:
    unrelated = pair_counts.Unrelated(100, counts({(3, 0): 5, (8, 0): 9}, 4936), counts({(3, 0): 2, (8, 0): 200, (9, 80): 2}, 4746), 0, 0)
    rows = threshold_choice.outlooks(unrelated, counts({(0, 100): 1}), 100)
    assert all(row.false_confirmed <= row.most_confirmed <= row.false for row in rows)
    assert all(one.most_confirmed <= other.most_confirmed and one.false_confirmed <= other.false_confirmed for one, other in zip(rows, rows[1:]))


@pytest.mark.parametrize(("count", "mean"), [(0, 3.00), (1, 4.74), (5, 10.51), (100, 118.1)])
def test_what_a_mean_is_at_most(count: int, mean: float) -> None:
    assert threshold_choice.at_most(count) == pytest.approx(mean, rel=0.012)  # tables of the Poisson distribution


def test_threshold_beyond_which_gain_diminishes_is_recommended() -> None:
    found = choose(table(LEVELS_OFF, NONE))
    assert (found.threshold, found.reason) == (7, threshold_choice.RECALL_LEVELS_OFF)
    assert "96.0 %" in found.text and "97.0 %" in found.text


def test_threshold_with_too_many_false_duplicates_is_rejected() -> None:
    false = [0.0] * 9 + [11.0] * 8
    found = choose(table(RISES, false))
    assert (found.threshold, found.reason) == (8, threshold_choice.FALSE_DUPLICATES)
    assert "A threshold of 9 would find 65.0 %, and give about 11 false duplicates; 10 are tolerated" in found.text


def test_the_present_threshold_is_kept_if_it_does_as_well() -> None:
    assert choose(table(LEVELS_OFF, NONE), current=10)[:2] == (10, threshold_choice.CURRENT_IS_GOOD)
    assert choose(table(LEVELS_OFF, [0.0] * 10 + [99.0] * 7), current=10)[:2] == (7, threshold_choice.RECALL_LEVELS_OFF)


def test_the_greatest_measured_threshold_may_be_the_best() -> None:
    assert choose(table(RISES, NONE))[:2] == (16, threshold_choice.GREATEST_MEASURED)


def test_without_confirmation_the_plain_figures_count() -> None:
    rows = table(LEVELS_OFF, NONE, [1e6] * 17)
    assert choose(rows)[0] == 7
    found = choose(rows, confirm=False)
    assert (found.threshold, found.reason) == (0, threshold_choice.FALSE_AT_EVERY_THRESHOLD)
    assert "dhash_confirm" in found.text


@pytest.mark.parametrize(("pairs", "pictures"), [(3999, 200), (10_000, 19)])
def test_a_small_library_keeps_its_threshold(pairs: int, pictures: int) -> None:
    found = choose(table(RISES, NONE), current=10, pairs=pairs, pictures=pictures)
    assert (found.threshold, found.reason) == (10, threshold_choice.TOO_LITTLE_DATA)
    assert f"compared: {pairs:,}," in found.text and f"edited: {pictures}." in found.text


def test_every_reason_is_given_by_one_of_these_tests() -> None:
    assert set(threshold_choice.REASONS) == {
        threshold_choice.CURRENT_IS_GOOD, threshold_choice.RECALL_LEVELS_OFF, threshold_choice.FALSE_DUPLICATES,
        threshold_choice.GREATEST_MEASURED, threshold_choice.FALSE_AT_EVERY_THRESHOLD, threshold_choice.TOO_LITTLE_DATA}
