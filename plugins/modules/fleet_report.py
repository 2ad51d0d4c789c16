#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write the report of a run on the controller
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Writes the report of a run as JSON and as a page, each atomically. An action plugin does all of it on the controller, so no host has to be
    reached.
  - "The module never fails because of a folder: if nothing can be written to O(directory), the report is written to
    O(fallback_directory), and a warning gives the reason."
extends_documentation_fragment:
  - mobius.dhash._attributes
options:
  directory:
    description:
      - The folder of the report on the controller. The module creates it with its parents (mode V(0750)), and keeps the mode of a folder that
        exists.
    type: path
    required: true
  fallback_directory:
    description: The folder that is used if O(directory) cannot be written.
    type: path
    required: true
  report:
    description: What is written as C(fleet.json). Without this option only the folder is chosen and created.
    type: dict
  page:
    description: The HTML that is written as C(index.html).
    type: str
attributes:
  check_mode:
    support: full
    details:
      - In check mode the module writes nothing and returns O(directory).
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A report is no change of a host. The module never returns that something has changed.
  platform:
    support: full
"""

EXAMPLES = r"""
- name: Write a report of all hosts
  mobius.dhash.fleet_report:
    directory: reports/2026-11-27
    fallback_directory: ~/mobius-dhash-reports/2026-11-27
    report:
      hosts: "{{ ansible_play_hosts }}"
    page: "{{ lookup('ansible.builtin.template', 'report.html.j2') }}"
  run_once: true
"""

RETURN = r"""
directory:
  description: The folder that was used.
  returned: success
  type: str
  sample: /home/operator/mobius-dhash-reports/20261127T020000Z
written:
  description: Whether the report was written. It is V(false) if neither folder can be written.
  returned: success
  type: bool
  sample: true
"""
