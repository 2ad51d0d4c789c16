#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal_merge
short_description: Merge hashes from other hosts into the local journal
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - For a library that several hosts can read. One host merges the hashes that M(mobius.dhash.library_hash) has exported on the other hosts,
    and lists the images that are not in its journal, for the other hosts to hash.
  - An entry is accepted only if the image is in the library and its file has the same size and modification time on this host. An accepted
    entry is therefore as good as a hash that this host computed. All entries are validated. A file with an invalid entry is refused as a
    whole, with a warning.
  - The module does not change or lock the library. New entries in the journal do not count as a change.
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
    description: The files to merge, on this host. Without files the module only makes the list of images to hash.
    type: list
    elements: path
    default: []
  max_image_bytes:
    description: Maximum size of an image file, in bytes, as for M(mobius.dhash.library_migrate). An image that was too large for another
      host counts as such only if that host had the same limits.
    type: int
    default: 1073741824
  max_image_pixels:
    description: Maximum number of pixels of an image, as for M(mobius.dhash.library_migrate). An image that was too large for another host
      counts as such only if that host had the same limits.
    type: int
    default: 250000000
  worker_memory:
    description: Maximum memory of one worker process, in bytes, as for M(mobius.dhash.library_migrate). An image that was too large for
      another host counts as such only if that host had the same limits.
    type: int
    default: 2147483648
  interpreter:
    description: The Python that hashes images on this host. The versions of its decoders are compared with the versions on the other hosts.
    type: path
"""

EXAMPLES = r"""
- name: Merge the hashes of two hosts
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
  description: The number of images that are not in the journal.
  returned: success
  type: int
pending:
  description: The number of images in RV(list). Images whose file this host cannot access are not in the list.
  returned: success
  type: int
taken:
  description: The number of entries that were added to the journal.
  returned: success
  type: int
outdated:
  description: The number of entries that were not added because the file of the image has changed since.
  returned: success
  type: int
not_pending:
  description: The number of entries that were not added because their image is not in the library or is already in the journal, or because
    their error does not count on this host.
  returned: success
  type: int
refused:
  description: The files from which nothing was added.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the file.
      type: str
    reason:
      description: Why the file was refused. V(other_version) means another version of the collection.
      type: str
      choices: [missing, unreadable, damaged, other_kind, other_version, other_algorithm]
    message:
      description: Why the file was refused, as text for people.
      type: str
list:
  description: The path of the list of images to hash, for M(mobius.dhash.library_hash).
  returned: success, not in check mode
  type: str
  sample: /var/lib/mobius-dhash/mobius-0123456789ab/exchange/pending-images.jsonl.gz
journal_set_aside:
  description: The path to which a damaged journal was renamed. None if the journal was not damaged.
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
                                     params["lock_timeout"], params["ignore_ctime"], params["rehash"])
        result = shard_files.check_merge(settings) if module.check_mode else shard_files.merge(settings)
    except DhashError as error:
        module.fail_json(msg=str(error))
    for file in result["refused"]:
        module.warn(file["message"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
