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
  - Copies the first entries of a C(library.json) into a scratch folder in O(state_dir). With the same steps as for the real library, the
    module makes a backup, migrates and deploys the copy, and rolls it back in every way. It compares the bytes after each step.
  - The live library is only read, and no service is touched. Only the time of the successful rehearsal is recorded, which does not count as
    a change.
  - In check mode nothing is done.
requirements:
  - the programs age and age-keygen, if O(encrypt_to) is given
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
    description: Number of images to rehearse with, beginning with the first image.
    type: int
    default: 100
  threshold:
    description: Maximum Hamming distance at which two images are duplicates.
    type: int
    default: 10
  confirm:
    description:
      - Whether the pixels of two images must confirm a duplicate. The pixels are the 144 brightness values that the hashes were computed
        from; for an image of which the journal has no pixels, the vertical hash confirms.
      - Without confirmation every image within O(threshold) is a duplicate. In a large library most of these are different pictures.
    type: bool
    default: true
  encrypt_to:
    description: The recipients that backups will be encrypted to. The rehearsal encrypts to these recipients and to an identity of its own,
      and decrypts with its own identity.
    type: list
    elements: str
    default: []
  progress_file:
    description:
      - A file that the module regularly replaces with the progress of the hashing. The action plugin sets this option to show the progress.
    type: path
"""

EXAMPLES = r"""
- name: Rehearse on the first 100 images
  mobius.dhash.library_rehearse:
    library: /srv/mobius/library.json
"""

RETURN = r"""
images:
  description: The number of images that were used for the rehearsal.
  returned: success, not in check mode
  type: int
hashed:
  description: The number of rehearsed images that got a hash.
  returned: success, not in check mode
  type: int
errors:
  description: The number of rehearsed images that got no hash.
  returned: success, not in check mode
  type: int
seconds:
  description: The duration of the rehearsal, in seconds.
  returned: success, not in check mode
  type: float
rehearsed_at:
  description: The time (UTC) of the successful rehearsal.
  returned: success, not in check mode
  type: str
  sample: "2026-01-31T12:00:00Z"
throttled:
  description: How long no image was begun because the host was busy or the run was paused.
  returned: success, not in check mode
  type: dict
  contains:
    seconds:
      description: The number of seconds in all.
      type: float
    reasons:
      description: The number of seconds for each reason, one of V(load), V(cpu_pressure), V(io_pressure), V(command), V(pause_file), and V(lock)
        for another operation that had locked the library at the end of a wait.
      type: dict
      sample: {cpu_pressure: 41.2, pause_file: 3600.4}
    unavailable:
      description: What O(max_load) or O(max_pressure) could not limit because this host does not tell it, of V(load), V(cpu_pressure) and
        V(io_pressure).
      type: list
      elements: str
sandbox:
  description: What confined the processes that decoded images. None if no image was decoded.
  returned: success, not in check mode
  type: dict
  contains:
    in_force:
      description: What was in force in every one of these processes.
      type: list
      elements: str
      choices: [landlock, no_new_privs, seccomp, no_capabilities, unprivileged_user, resource_limits]
    missing:
      description: What was not in force in at least one of them, each with C(id), one of the tokens of RV(sandbox.in_force), and C(reason).
      type: list
      elements: dict
    landlock_version:
      description: The version of Landlock. 0 if it was not in force.
      type: int
    uid:
      description: The user ID with which the images were decoded, the smallest if there were several.
      type: int
    text:
      description: RV(sandbox.in_force) as text for people.
      type: str
      sample: landlock 7, no_new_privs, seccomp, no_capabilities, uid 65534, resource_limits
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _rehearsal
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            images=dict(type="int", default=100),
            threshold=dict(type="int", default=10),
            confirm=dict(type="bool", default=True),
            encrypt_to=dict(type="list", elements="str", default=[]),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.BATCHES,
        ),
        supports_check_mode=True,
    )
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(module.params["interpreter"], module.check_mode)
        settings = migration_settings.from_params(module.params)
        age_encryption.require_recipients(module.params["encrypt_to"])
        if module.check_mode:
            module.exit_json(changed=False)
        with run_log.progress_to(module.params["progress_file"]) as progress:
            result = _rehearsal.rehearse(settings, module.params["images"], module.params["encrypt_to"], progress)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, sandbox=worker_pool.sandbox_in_force(), **result)


if __name__ == "__main__":
    main()
