#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_hash
short_description: Hash a shard of a library into this host's journal
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - For a library that several hosts see. Each hashes a shard of the images that M(mobius.dhash.journal_merge) has listed on one of
    them, into a journal of its own, and writes what came of it to a file for that host to merge.
  - An image whose file is missing here, or has another size or time of change than the host that made the list saw, is left out.
  - On a host whose decoders have other versions than on that host, images whose hash depends on them (AVIF, JPEG 2000, HEIC, video),
    and images that fail, are left to that host, so that the result is the one that it would have come to alone.
  - Neither the library nor its lock is touched, and what is kept in the journal is no change.
requirements:
  - ffmpeg-python and the FFmpeg program, for what Pillow cannot decode (optional)
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.decoding
  - mobius.dhash._options.hashing
  - mobius.dhash._options.batches
  - mobius.dhash._options.journal
options:
  pending:
    description:
      - The list of the images to hash, as M(mobius.dhash.journal_merge) wrote it.
      - By default where that module leaves it on this very host.
    type: path
  shard:
    description:
      - Which shard to hash, from V(0) on.
      - Without it nothing is hashed; what this host's journal knows of the whole list is handed over.
    type: int
  shards:
    description: How many shards there are.
    type: int
    default: 1
  progress_file:
    description:
      - A file that is replaced by the state of the hashing now and then. The action plugin sets it, to show progress.
    type: path
"""

EXAMPLES = r"""
- name: Hash every third image of the list, from the second on
  mobius.dhash.library_hash:
    library: /srv/mobius/library.json
    pending: /tmp/pending-images.jsonl.gz
    shard: 1
    shards: 3
  register: hashed

- name: Fetch what came of it
  ansible.builtin.fetch:
    src: "{{ hashed.entries }}"
    dest: "entries/{{ inventory_hostname }}.jsonl.gz"
    flat: true
"""

RETURN = r"""
images:
  description: The number of images in the shard.
  returned: success
  type: int
  sample: 4000
to_hash:
  description: The number of images that are, or in check mode were, still to be hashed.
  returned: success
  type: int
known:
  description: The number of images that this host's journal knew before.
  returned: success
  type: int
missing:
  description: The number of images whose file is not there on this host.
  returned: success
  type: int
differing:
  description: The number of images whose file has another size or time of change here.
  returned: success
  type: int
left_to_leader:
  description: The number of images that are left to the host that made the list, since their hash depends on its decoders.
  returned: success
  type: int
hashed_now:
  description: The number of images that were hashed, those that failed included.
  returned: success, not in check mode
  type: int
errors:
  description: The number of those that failed.
  returned: success, not in check mode
  type: int
errors_by_kind:
  description: The same by kind.
  returned: success, not in check mode
  type: dict
handed_over:
  description: The number of images that RV(entries) tells of.
  returned: success, not in check mode
  type: int
entries:
  description: The file to hand over.
  returned: success, not in check mode
  type: str
  sample: /var/lib/mobius-dhash/mobius-0123456789ab/exchange/journal-entries.jsonl.gz
journal_set_aside:
  description: Where a damaged journal was set aside; none where it was not damaged.
  returned: success, not in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shard_files
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            pending=dict(type="path"),
            shard=dict(type="int"),
            shards=dict(type="int", default=1),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.BATCHES, **module_arguments.JOURNAL,
        ),
        supports_check_mode=True,
    )
    params = module.params
    if params["shard"] is not None and not 0 <= params["shard"] < params["shards"]:
        module.fail_json(msg=f"shard {params['shard']} of {params['shards']}: it has to be from 0 to {params['shards'] - 1}")
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(params["interpreter"], module.check_mode)
        settings = migration_settings.of(params)
        pending = params["pending"] or handover.path_in(settings.state, handover.PENDING)
        if module.check_mode:
            result = shard_files.check_shard(settings, pending, params["shard"], params["shards"])
        else:
            with run_log.progress_to(params["progress_file"]) as progress:
                result = shard_files.hash_shard(settings, pending, params["shard"], params["shards"], progress)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
