# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The charts: well-formed, with every element inside, also where there is nothing to draw."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import svg_charts
from ansible_collections.mobius.dhash.plugins.module_utils._calibration.svg_charts import Mark, Series


def texts(chart: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(chart).iter("text")]


@pytest.mark.parametrize("values", [[0.0] * 9, [1.0] * 9, [0.5, 1e-12, 0.0, 0.1, 1e-3, 0.0, 0.0, 0.0, 0.3]])
@pytest.mark.parametrize("logarithmic", [True, False])
def test_every_point_is_inside_the_chart(values: list[float], logarithmic: bool) -> None:
    for chart in (svg_charts.lines("a label", "x", 8, [Series("copies", values)], logarithmic, [Mark(8, "last")],
                                   (3.0 if logarithmic else 0.5, "limit")),
                  svg_charts.distribution("a label", "x", [(0, "0"), (9, "9")], 9, [Series("copies", values)], [Mark(0, "first")])):
        for element in ET.fromstring(chart).iter():
            for name, most in (("x", svg_charts.WIDTH), ("cx", svg_charts.WIDTH), ("y", svg_charts.HEIGHT), ("cy", svg_charts.HEIGHT)):
                assert 0 <= float(element.get(name, "0")) <= most
            assert all(0 <= float(number) <= svg_charts.WIDTH for number in re.findall(r"[\d.]+", element.get("d", "")))


def test_a_small_share_is_seen_beside_a_large_one() -> None:
    chart = svg_charts.distribution("", "x", [], 2, [Series("copies", [1.0, 1e-6])])
    top, bottom = (float(level) for level in re.findall(r"V([\d.]+)H", chart))
    assert svg_charts.TOP == top < bottom <= svg_charts.HEIGHT - svg_charts.BOTTOM


def test_labels_are_text() -> None:
    chart = svg_charts.lines('a "label" <b>', "<i>", 2, [Series("copies", [0, 1, 2])], True, [Mark(1, "<u>")], (1.0, "&"))
    assert ET.fromstring(chart).get("aria-label") == 'a "label" <b>'
    assert {"<i>", "<u>", "&"} <= set(texts(chart))


@pytest.mark.parametrize(("most", "label"), [(90.0, "100"), (9_000.0, "10,000"), (90_000.0, "10⁵"), (3e8, "10⁹")])
def test_the_axis_of_numbers_reaches_the_greatest_one(most: float, label: str) -> None:
    found = texts(svg_charts.lines("", "x", 2, [Series("copies", [0, 1, most])], True))
    assert label in found and "0" in found


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [element.get("width") for element in ET.fromstring(svg_charts.share_bar(0.25, "copies")).iter("rect")] == ["100", "25.0"]
