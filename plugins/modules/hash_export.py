#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hash_export
short_description: Export the hashes of a library for a comparison with other libraries
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Writes the path, both hashes and the size of each hashed image of a migrated C(library.json). The module does not open any image.
  - Images that are too flat to be matched by hash are left out.
  - The file is in the state folder and does not count as a change. In check mode the file is not written.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
"""

EXAMPLES = r"""
- name: Export the hashes
  mobius.dhash.hash_export:
    library: /srv/mobius/library.json
  register: exported

- name: Fetch the hashes
  ansible.builtin.fetch:
    src: "{{ exported.hashes }}"
    dest: "hashes/{{ inventory_hostname }}.jsonl.gz"
    flat: true
"""

RETURN = r"""
images:
  description: The number of images in the library.
  returned: success
  type: int
hashed:
  description: The number of images with a hash.
  returned: success
  type: int
algorithm:
  description: The algorithm of the hashes.
  returned: success
  type: str
  sample: pillow
exported:
  description: The number of images whose hashes were written.
  returned: success, not in check mode
  type: int
hashes:
  description: The path of the file with the hashes.
  returned: success, not in check mode
  type: str
  sample: /var/lib/mobius-dhash/mobius-0123456789ab/exchange/hashes.jsonl.gz
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import shared_images
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn


def main() -> None:
    module = AnsibleModule(argument_spec=dict(**module_arguments.LIBRARY, **module_arguments.LOCK), supports_check_mode=True)
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        number_ranges.require(module.params)
        library, state = module_arguments.library_and_state(module.params, reads_only=True, writes=("state_dir",))
        if module.check_mode:
            result = shared_images.check_export(library)
        else:
            result = shared_images.export(library, state, run_record.new_run(), module.params["lock_timeout"])
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
