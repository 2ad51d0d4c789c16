#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal_merge
short_description: Take what other hosts have hashed into this host's journal, and list what is left
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - For a library that several hosts see. One of them merges what M(mobius.dhash.library_hash) has handed over on the others, and lists
    the images that its journal does not know, for them to hash.
  - An entry counts only for an image of the library whose file has the same size and time of change here, so that what is taken is as
    good as if this host had hashed it. Entries are checked; a file with anything wrong in it is refused as a whole, with a warning.
  - Neither the library nor its lock is touched, and what is kept in the journal is no change.
requirements:
  - Pillow >= 9.0
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.hashing
  - mobius.dhash._options.journal
options:
  entries:
    description: The files to merge, on this host. Without one only the list is made.
    type: list
    elements: path
    default: []
  max_image_bytes:
    description: As for M(mobius.dhash.library_migrate). What was too large elsewhere counts only under the same limits.
    type: int
    default: 1073741824
  max_image_pixels:
    description: The same.
    type: int
    default: 250000000
  worker_memory:
    description: The same.
    type: int
    default: 2147483648
  interpreter:
    description: The Python that hashes, whose decoders are the measure for the other hosts' ones.
    type: path
"""

EXAMPLES = r"""
- name: Merge what two hosts have hashed
  mobius.dhash.journal_merge:
    library: /srv/mobius/library.json
    entries:
      - /tmp/entries/host2.jsonl.gz
      - /tmp/entries/host3.jsonl.gz
"""

RETURN = r"""
images:
  description: The number of images in the library.
  returned: success
  type: int
  sample: 12000
to_hash:
  description: The number of images that the journal does not know.
  returned: success
  type: int
pending:
  description: The number of those in the list. What this host cannot even look at is not in it.
  returned: success
  type: int
taken:
  description: The number of entries that were taken.
  returned: success
  type: int
outdated:
  description: The number of entries that were not, since the file is another one by now.
  returned: success
  type: int
not_pending:
  description: The number of entries of images that are not in the library, or that the journal knew.
  returned: success
  type: int
refused:
  description: The files of which nothing was taken.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    reason:
      description: Why. V(other_version) is another version of the collection.
      type: str
      choices: [missing, unreadable, damaged, other_kind, other_version, other_algorithm]
    message:
      description: What is wrong with it, for people.
      type: str
list:
  description: The list of what is to be hashed, for M(mobius.dhash.library_hash).
  returned: success, not in check mode
  type: str
  sample: /var/lib/mobius-dhash/mobius-0123456789ab/exchange/pending-images.jsonl.gz
journal_set_aside:
  description: Where a damaged journal was set aside; none where it was not damaged.
  returned: success, not in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import shard_files
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            entries=dict(type="list", elements="path", default=[]),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.JOURNAL,
            **{key: module_arguments.HASHING[key]
               for key in ("algorithm", "max_image_bytes", "max_image_pixels", "worker_memory", "interpreter")},
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(params["interpreter"], module.check_mode)
        library, state = module_arguments.library_and_state(params, writes=("state_dir",))
        limits = decoder_limits.Limits(file_bytes=params["max_image_bytes"], pixels=params["max_image_pixels"], memory_bytes=params["worker_memory"])
        settings = shard_files.Merge(library, state, run_record.new_run(), params["algorithm"], limits, params["entries"],
                                     params["lock_timeout"], params["ignore_ctime"])
        result = shard_files.check_merge(settings) if module.check_mode else shard_files.merge(settings)
    except DhashError as error:
        module.fail_json(msg=str(error))
    for file in result["refused"]:
        module.warn(file["message"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
