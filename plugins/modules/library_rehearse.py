#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_rehearse
short_description: Rehearse a migration and its rollbacks on a part of a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Copies the first images' entries of a C(library.json) into a scratch folder below O(state_dir), and does there, by the same steps
    as on the real library, a backup, a migration, the exchange, and every way back. After each it compares the bytes.
  - The live library is only read, and no service is touched. Nothing is left but a note of when the rehearsal passed, which
    does not count as a change.
  - In check mode nothing is done.
requirements:
  - the programs age and age-keygen, where O(encrypt_to) is given
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.decoding
  - mobius.dhash._options.hashing
  - mobius.dhash._options.batches
options:
  images:
    description: How many images, from the first on.
    type: int
    default: 100
  threshold:
    description: The largest Hamming distance at which two images are called duplicates.
    type: int
    default: 10
  encrypt_to:
    description: The recipients that backups will be encrypted to. The rehearsal encrypts to them as well, and decrypts with an identity of its own.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Rehearse on the first 100 images
  mobius.dhash.library_rehearse:
    library: /srv/mobius/library.json
"""

RETURN = r"""
images:
  description: The number of images that it was rehearsed on.
  returned: success, not in check mode
  type: int
hashed:
  description: The number of those that got a hash.
  returned: success, not in check mode
  type: int
errors:
  description: The number of those that got none.
  returned: success, not in check mode
  type: int
seconds:
  description: How long the rehearsal took.
  returned: success, not in check mode
  type: float
rehearsed_at:
  description: When it passed (UTC).
  returned: success, not in check mode
  type: str
  sample: "2026-01-31T12:00:00Z"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _rehearsal
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            images=dict(type="int", default=100),
            threshold=dict(type="int", default=10),
            encrypt_to=dict(type="list", elements="str", default=[]),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.BATCHES,
        ),
        supports_check_mode=True,
    )
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(module.params["interpreter"], module.check_mode)
        settings = migration_settings.of(module.params)
        age_encryption.require_recipients(module.params["encrypt_to"])
        if module.check_mode:
            module.exit_json(changed=False)
        result = _rehearsal.rehearse(settings, module.params["images"], module.params["encrypt_to"])
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
