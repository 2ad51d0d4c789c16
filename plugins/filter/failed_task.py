# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: failed_task
short_description: Name the task that failed and its error
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - In the rescue section of a block, makes one line of the task that failed, its message and the end of its error output.
  - Empty on a host that has not failed itself. The failure of another host of its batch brings such a host into the rescue section as well.
positional: _input, result
options:
  _input:
    description:
      - C(ansible_failed_task) of the host, or an empty dictionary.
    type: dict
    required: true
  result:
    description:
      - C(ansible_failed_result) of the host, or an empty dictionary.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Remember the task that failed
  ansible.builtin.set_fact:
    failure: "{{ ansible_failed_task | default({}) | mobius.dhash.failed_task(ansible_failed_result | default({})) }}"
"""

RETURN = r"""
_value:
  description: The name of the task, its message and the end of its error output.
  type: str
  sample: "Restart | Restart the container: non-zero return code: No such container: mobius"
"""

from collections.abc import Callable
from typing import Any

MAX_ERROR_OUTPUT = 500  # characters


def failed_task(task: dict[str, Any], result: dict[str, Any]) -> str:
    if not task:
        return ""
    text = f"{task['name']}: {str(result.get('msg', 'failed')).strip()}"
    error_output = str(result.get("stderr") or "").strip()
    return f"{text}: {error_output[-MAX_ERROR_OUTPUT:]}" if error_output else text


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"failed_task": failed_task}
