# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw charts as SVG elements. The colours are those of classes, which the style of the page defines for light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 26, 44  # margins around the plot
FEWEST_DECADES, MOST_DECADES = 2, 9  # of a logarithmic axis
MOST_LABELS = 6  # on one axis


class Series(NamedTuple):
    """Numbers that are drawn in one colour. ``style``: a class of the page."""

    style: str
    values: Sequence[float]


class Mark(NamedTuple):
    """A vertical line at ``x`` with a label; ``style`` as that of a series."""

    x: float
    label: str
    style: str = "mark"


class _Axis(NamedTuple):
    """``place``: where a value is, 0 to 1. ``ticks``: the values that are labelled, with their labels."""

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def distribution(label: str, x_name: str, ticks: Sequence[tuple[float, str]], bins: int, series: Sequence[Series],
                 marks: Sequence[Mark] = ()) -> str:
    """Steps over ``bins`` bins from 0 on, with shares from 0 to 1 on a logarithmic axis. ``ticks``: x values and labels."""
    smallest = min((value for one in series for value in one.values if value > 0), default=1.0)
    decades = min(MOST_DECADES, max(FEWEST_DECADES, math.ceil(-math.log10(smallest) - 1e-9)))
    y = _log_axis(-decades, 0, _percent)
    x = _Axis(lambda value: value / bins, ticks)
    parts = [_frame(x, y, x_name), *(_steps(x, y, one) for one in series), *_vertical(x, marks)]
    return _svg(label, parts)


def lines(label: str, x_name: str, most_x: int, series: Sequence[Series], logarithmic: bool, marks: Sequence[Mark] = (),
          limit: tuple[float, str] | None = None) -> str:
    """Lines through a value for each of 0 to ``most_x``: shares from 0 to 1 or, ``logarithmic``, numbers.

    ``limit``: a horizontal line, with its label.
    """
    x = _Axis(lambda value: value / most_x, [(value, str(value)) for value in range(0, most_x + 1, 2)])
    if logarithmic:
        values = [value for one in series for value in one.values if value > 0] + ([limit[0]] if limit else [])
        y = _log_axis(-1, max(2, math.ceil(math.log10(max(values, default=1.0)))), _number)
    else:
        y = _Axis(lambda value: value, [(share / 4, f"{25 * share} %") for share in range(5)])
    parts = [_frame(x, y, x_name)]
    if limit:
        level = _down(y, limit[0])
        parts += [f'<path class="limit" d="M{LEFT} {level}H{WIDTH - RIGHT}"/>',
                  f'<text class="small" x="{LEFT + 6}" y="{level - 5:.1f}">{html.escape(limit[1])}</text>']
    parts += [_line(x, y, one) for one in series]
    return _svg(label, [*parts, *_vertical(x, marks)])


def share_bar(share: float, style: str) -> str:
    """A bar of ``share``, 0 to 1, for a cell of a table."""
    return (f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="8"/>'
            f'<rect class="{style}" width="{100 * share:.1f}" height="8"/></svg>')


def _svg(label: str, parts: Sequence[str]) -> str:
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'


def _log_axis(least: int, most: int, text: Callable[[float], str]) -> _Axis:
    """From 10**least, where zero is drawn as well, to 10**most."""
    step = math.ceil((most - least + 1) / MOST_LABELS)
    ticks = [(10.0 ** power, text(10.0 ** power)) for power in range(most, least, -step)]

    def place(value: float) -> float:
        return min(1.0, max(0.0, (math.log10(value) - least) / (most - least))) if value > 0 else 0.0

    return _Axis(place, [*ticks, (0.0, "0")])


def _percent(share: float) -> str:
    return f"{_number(100 * share)} %"


def _number(power: float) -> str:
    """A power of ten."""
    if 0.001 <= power <= 10_000:
        return f"{power:,.0f}" if power >= 1 else f"{power:g}"
    return f"10{str(round(math.log10(power))).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _across(x: _Axis, value: float) -> float:
    return round(LEFT + x.place(value) * (WIDTH - LEFT - RIGHT), 1)


def _down(y: _Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM), 1)


def _frame(x: _Axis, y: _Axis, x_name: str) -> str:
    parts = []
    for value, text in y.ticks:
        level = _down(y, value)
        parts += [f'<path class="grid" d="M{LEFT} {level}H{WIDTH - RIGHT}"/>', f'<text x="{LEFT - 7}" y="{level + 4:.1f}" text-anchor="end">{text}</text>']
    for value, text in x.ticks:
        parts.append(f'<text x="{_across(x, value)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(x_name)}</text>')
    return "".join(parts)


def _steps(x: _Axis, y: _Axis, series: Series) -> str:
    base = HEIGHT - BOTTOM
    top = "".join(f"H{_across(x, at)}V{_down(y, value)}H{_across(x, at + 1)}" for at, value in enumerate(series.values))
    return f'<path class="area {series.style}" d="M{_across(x, 0)} {base}{top}V{base}Z"/>'


def _line(x: _Axis, y: _Axis, series: Series) -> str:
    points = [(_across(x, at), _down(y, value)) for at, value in enumerate(series.values)]
    path = "L".join(f"{across} {down}" for across, down in points)
    dots = "".join(f'<circle class="{series.style}" cx="{across}" cy="{down}" r="2.6"/>' for across, down in points)
    return f'<path class="line {series.style}" d="M{path}"/>{dots}'


def _vertical(x: _Axis, marks: Sequence[Mark]) -> list[str]:
    parts = []
    for mark in marks:
        across = _across(x, mark.x)
        anchor = "start" if across < WIDTH / 2 else "end"
        label = across + (4 if anchor == "start" else -4)
        parts.append(f'<path class="{mark.style}" d="M{across} {TOP - 14}V{HEIGHT - BOTTOM}"/>'
                     f'<text class="small" x="{label:.1f}" y="{TOP - 8}" text-anchor="{anchor}">{html.escape(mark.label)}</text>')
    return parts
