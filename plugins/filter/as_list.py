# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: as_list
short_description: Convert a list that was given as text
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Extra variables of the form C(-e NAME=VALUE) are text. This filter converts such text to a list, like a module option of type list.
positional: _input
options:
  _input:
    description:
      - A list, or its items as text separated by commas, or a JSON array as text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show two paths
  ansible.builtin.debug:
    msg: "{{ '/srv/one,/srv/two' | mobius.dhash.as_list }}"
"""

RETURN = r"""
_value:
  description: The items of the list.
  type: list
  elements: raw
"""

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, str):
        return list(value) if isinstance(value, (list, tuple)) else [value]
    if not value.lstrip().startswith("["):
        return [item for item in map(str.strip, value.split(",")) if item]
    try:
        items: list[Any] = json.loads(value)
        return items
    except (ValueError, RecursionError) as error:
        raise AnsibleFilterError(f"not a JSON array: {value} ({error})") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[[Any], list[Any]]]:
        return {"as_list": as_list}
