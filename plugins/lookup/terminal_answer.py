# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: terminal_answer
short_description: Ask a question on the terminal, with a time limit
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Shows a question on the terminal of C(ansible-playbook) and waits for one line. In contrast to M(ansible.builtin.pause), the time limit
    also applies to a question that expects an answer.
  - Asks each time it is evaluated. Use it in an argument of a task with C(run_once), not in a variable.
options:
  _terms:
    description:
      - The question. Without a question, the lookup only finds out whether there is a terminal.
    type: list
    elements: str
  seconds:
    description:
      - Maximum time to wait for the answer.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Ask, for five minutes at most
  ansible.builtin.set_fact:
    answer: "{{ query('mobius.dhash.terminal_answer', 'Type yes to continue', seconds=300) }}"
  run_once: true

- name: Refuse to run without a terminal
  ansible.builtin.assert:
    that: query('mobius.dhash.terminal_answer') | length == 1
  run_once: true
"""

RETURN = r"""
_list:
  description: The answer. An empty text if the time is over, or if Ctrl-C was pressed. No element without a terminal, or in the background.
  type: list
  elements: str
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display


class LookupModule(LookupBase):  # type: ignore[misc] # ansible-core has no types
    """See DOCUMENTATION."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        seconds = self.get_option("seconds")
        start = time.monotonic()
        try:
            answer = Display().prompt_until(terms[0] if terms else "", seconds=seconds)
        except AnsiblePromptNoninteractive:
            return []
        except AnsiblePromptInterrupt:
            return [""]
        # When the time is over, Ansible returns what was typed without the Enter key.
        return [answer.decode("utf-8", "replace").strip() if time.monotonic() - start < seconds else ""]
