# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates of the monitoring: limits of values after a deploy, and the action if a limit is exceeded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._errors import DhashError

IGNORE, WARN, FAIL, ROLLBACK = ACTIONS = ("ignore", "warn", "fail", "rollback")  # the most severe last
IN_A_ROW, ABOVE, BELOW = "in_a_row", "above", "below"


class Gate(NamedTuple):
    """One gate: its ``limit`` (None: never exceeded), its action, how ``breaks`` compares, and its message ``says``.

    IN_A_ROW: the gate is exceeded if the value reaches the limit; ABOVE and BELOW: if the value passes it.
    """

    limit: float | None
    action: str
    breaks: str
    says: str


GATES = {
    "health": Gate(3, ROLLBACK, IN_A_ROW, "consecutive failed health checks: {value:g}"),
    "service": Gate(2, ROLLBACK, IN_A_ROW, "consecutive checks in which the service was not running: {value:g}"),
    "library": Gate(2, FAIL, IN_A_ROW, "consecutive checks in which the library could not be read: {value:g}"),
    "error_log": Gate(0, WARN, ABOVE, "{value:g} new lines in the error log, more than {limit:g}"),
    "failure_rate": Gate(0.05, WARN, ABOVE, "{value:.1%} of the images have no hash, more than {limit:.1%}"),
    "average": Gate(100, WARN, ABOVE, "{value:g} ms per image on average, more than {limit:g}"),
    "p95": Gate(200, WARN, ABOVE, "{value:g} ms per image at the 95th percentile, more than {limit:g}"),
    "queue": Gate(100, WARN, ABOVE, "{value:g} pairs to review, more than {limit:g}"),
    "memory": Gate(None, WARN, ABOVE, "the service takes {value:,.0f} bytes of memory, more than {limit:,.0f}"),
    "disk": Gate(1 << 30, WARN, BELOW, "{value:,.0f} bytes are free beside the library, fewer than {limit:,.0f}"),
}


def argument_spec() -> dict[str, Any]:
    """The option ``gates`` of a module. Its defaults are ``GATES``; unknown names are refused."""
    def options(gate: Gate) -> dict[str, Any]:
        return {"limit": {"type": "float", "default": gate.limit},
                "action": {"type": "str", "choices": list(ACTIONS), "default": gate.action}}

    gates = {name: {"type": "dict", "apply_defaults": True, "options": options(gate)} for name, gate in GATES.items()}
    return {"type": "dict", "apply_defaults": True, "options": gates}


def chosen(wishes: Mapping[str, Mapping[str, Any]]) -> dict[str, Gate]:
    """``GATES`` with the limits and actions of ``wishes``. Raises ``DhashError`` for a limit out of range."""
    gates = {name: gate._replace(**wishes.get(name, {})) for name, gate in GATES.items()}
    for name, gate in gates.items():
        least = 1 if gate.breaks == IN_A_ROW else 0
        most = 1 if name == "failure_rate" else math.inf
        if gate.limit is not None and not (math.isfinite(gate.limit) and least <= gate.limit <= most):
            wanted = f"at least {least}" if most == math.inf else f"between {least} and {most}"
            raise DhashError(f"the limit of the gate {name} must be {wanted}, got {gate.limit:g}",
                             next_step="Correct dhash_monitor_gates.")
    return gates


def find_violations(gates: Mapping[str, Gate], values: Mapping[str, float | None]) -> dict[str, dict[str, Any]]:
    """The gates that ``values`` exceed, by their names. A value that is None (unknown) exceeds nothing."""
    found = {}
    for name, gate in gates.items():
        value = values.get(name)
        if gate.action != IGNORE and value is not None and gate.limit is not None and _breaks(gate.breaks, gate.limit, value):
            says = gate.says.format(value=value, limit=gate.limit)
            found[name] = {"gate": name, "action": gate.action, "limit": gate.limit, "value": value, "says": says}
    return found


def most_severe(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The most severe action of the exceeded gates; ``ignore`` if there are none."""
    return max((gate["action"] for gate in found.values()), key=ACTIONS.index, default=IGNORE)


def _breaks(when: str, limit: float, value: float) -> bool:
    if when == IN_A_ROW:
        return value >= limit
    return value > limit if when == ABOVE else value < limit
