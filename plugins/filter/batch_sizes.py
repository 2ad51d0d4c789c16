# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: batch_sizes
short_description: Validate the sizes of the batches of a play
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Ansible takes a play whose C(serial) is empty or less than 1 as one batch of all hosts, and ends with a traceback if it is no number. This
    filter returns the default of this collection for an empty value, which is what a survey without an answer gives, and refuses the others.
positional: _input
options:
  _input:
    description:
      - One size or a list of them, also as text. A size is a number of hosts, or a percentage such as C(25%).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Migrate one host, and then all others
  hosts: all
  serial: "{{ '1,100%' | mobius.dhash.batch_sizes }}"
"""

RETURN = r"""
_value:
  description: The sizes, which are C(1, 25%, 100%) for an empty value.
  type: list
  elements: raw
"""

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mobius.dhash.plugins.filter.as_list import as_list

DEFAULT = [1, "25%", "100%"]
SIZE = re.compile(r"0*[1-9]\d*|0*([1-9]\d?|100)%")
NEXT_STEP = "Correct it, for example -e dhash_serial=1,25%,100%."


def batch_sizes(value: Any) -> list[Any]:
    try:
        sizes = [size.strip() if isinstance(size, str) else size for size in as_list(value)]
    except AnsibleFilterError as error:
        raise AnsibleFilterError(f"dhash_serial: {error}. {NEXT_STEP}") from error
    wrong = [size for size in sizes if isinstance(size, bool) or not SIZE.fullmatch(str(size))]
    if wrong:
        raise AnsibleFilterError(f"dhash_serial: {', '.join(map(repr, wrong))} is neither a number of hosts nor a percentage. {NEXT_STEP}")
    return sizes or DEFAULT


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[[Any], list[Any]]]:
        return {"batch_sizes": batch_sizes}
