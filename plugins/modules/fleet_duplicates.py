#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_duplicates
short_description: Report the images that several hosts have in common
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Compares the hashes that M(mobius.dhash.hash_export) has written on several hosts, and reports the images that more than one host has,
    as JSON and as CSV. The module runs on the controller, where the files of the hosts were fetched to.
  - The search is exact. Images that match directly or through other images form a group. Two images of the same host are not a match.
  - A host is left out with a warning if its file is damaged, or if its hashes are of another algorithm than the hashes of the first host.
  - An existing report with the same content is not written again. A file that has the name of a report and is not a report of this module
    is renamed, with a warning.
requirements:
  - numpy >= 1.24
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
options:
  hashes:
    description: The file of each host, by the name of the host.
    type: dict
    required: true
  threshold:
    description: Maximum Hamming distance at which two images are duplicates.
    type: int
    default: 10
  confirm:
    description:
      - Whether to leave out the pairs that are not confirmed by the pixels that the hashes were computed from, or by the vertical hash
        where a host has no pixels of an image.
    type: bool
    default: true
  dest:
    description: The folder for C(duplicates.json) and C(duplicates.csv). The module creates the folder if it does not exist.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Compare two hosts
  mobius.dhash.fleet_duplicates:
    hashes:
      host1: hashes/host1.jsonl.gz
      host2: hashes/host2.jsonl.gz
    dest: reports
  delegate_to: localhost
"""

RETURN = r"""
hosts:
  description: The number of hosts that were compared.
  returned: success
  type: int
images:
  description: The number of images of the compared hosts.
  returned: success
  type: int
threshold:
  description: The maximum Hamming distance that was used.
  returned: success
  type: int
pairs:
  description: The number of pairs of images of different hosts within RV(threshold).
  returned: success
  type: int
refuted:
  description: The number of further pairs that were left out because they are not confirmed.
  returned: success
  type: int
groups:
  description: The number of groups of images.
  returned: success
  type: int
grouped_images:
  description: The number of images in all groups.
  returned: success
  type: int
host_pairs:
  description: The number of pairs of images for each two hosts that have such pairs.
  returned: success
  type: list
  elements: dict
  sample: [{hosts: [host1, host2], pairs: 12}]
left_out:
  description:
    - The hosts that were left out, each with a V(reason) and a V(message) for people.
    - The reason is V(missing), V(unreadable), V(damaged), V(other_kind), V(other_version) (of the collection) or V(other_algorithm).
  returned: success
  type: dict
  sample: {host3: {reason: other_algorithm, message: 'the hashes are of algorithm ffmpeg, those of host1 of pillow'}}
files:
  description: The paths of the report files.
  returned: success
  type: list
  elements: str
written:
  description: The paths of the report files that the module wrote, or would write in check mode.
  returned: success
  type: list
  elements: str
set_aside:
  description: The new paths of files that had the name of a report and were not written by this module.
  returned: success, empty in check mode
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, printable
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import shared_images
from ansible_collections.mobius.dhash.plugins.module_utils._module import number_ranges, respawn


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            hashes=dict(type="dict", required=True),
            threshold=dict(type="int", default=10),
            confirm=dict(type="bool", default=True),
            dest=dict(type="path", required=True),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        number_ranges.require(module.params)
        files = {str(host): str(file) for host, file in params["hashes"].items()}
        result = shared_images.find(files, params["threshold"], params["confirm"], os.path.abspath(params["dest"]),
                                    module.check_mode)
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        folder = params["dest"]
        result["diff"] = {"before_header": folder, "after_header": folder, "before": "",
                          "after": "".join(f"{os.path.basename(path)}: {result['groups']} groups\n" for path in result["written"])}
    for host, why in result["left_out"].items():
        module.warn(f"The host {host} is left out: {why['message']}")
    for kept in result["set_aside"]:
        module.warn(f"A file that this module has not written was renamed to {printable(kept)}.")
    module.exit_json(changed=bool(result["written"]), **result)


if __name__ == "__main__":
    main()
