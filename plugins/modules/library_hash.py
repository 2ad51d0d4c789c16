#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_hash
short_description: Hash a shard of the images of a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - For a library that several hosts can read. M(mobius.dhash.journal_merge) on one host (the leader) lists the images to hash. Each host
    hashes a shard of this list into its own journal, and exports the hashes to a file that the leader merges.
  - An image is left out if its file is missing on this host, or has another size or modification time than on the leader.
  - "If the decoders of this host have other versions than the decoders of the leader, two kinds of images are left to the leader: images
    whose hash depends on the decoder (AVIF, JPEG 2000, HEIC, video), and images that fail. The result is therefore the same as if the
    leader hashed all images."
  - The module does not change or lock the library. New entries in the journal do not count as a change.
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
      - The list of images to hash, as M(mobius.dhash.journal_merge) wrote it.
      - Defaults to the path at which M(mobius.dhash.journal_merge) writes the list on this host.
    type: path
  shard:
    description:
      - The number of the shard to hash. The first shard is V(0).
      - Without this option nothing is hashed, and the module exports all hashes of the list that are in this host's journal.
    type: int
  shards:
    description: Number of shards.
    type: int
    default: 1
  progress_file:
    description:
      - A file that the module regularly replaces with the progress of the hashing. The action plugin sets this option to show the progress.
    type: path
"""

EXAMPLES = r"""
- name: Hash every third image of the list, beginning with the second
  mobius.dhash.library_hash:
    library: /srv/mobius/library.json
    pending: /tmp/pending-images.jsonl.gz
    shard: 1
    shards: 3
  register: hashed

- name: Fetch the hashes
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
  description: The number of images that were to be hashed by this run. In check mode, the number of images to hash.
  returned: success
  type: int
known:
  description: The number of images that were already in this host's journal.
  returned: success
  type: int
missing:
  description: The number of images whose file does not exist on this host.
  returned: success
  type: int
differing:
  description: The number of images whose file has another size or modification time on this host.
  returned: success
  type: int
left_to_leader:
  description: The number of images that are left to the leader because their hash depends on the decoders of the leader.
  returned: success
  type: int
hashed_now:
  description: The number of images that this run hashed, including images that failed.
  returned: success, not in check mode
  type: int
errors:
  description: The number of images that failed in this run.
  returned: success, not in check mode
  type: int
errors_by_kind:
  description: The number of images that failed in this run, by kind of error.
  returned: success, not in check mode
  type: dict
handed_over:
  description: The number of images in RV(entries).
  returned: success, not in check mode
  type: int
entries:
  description: The path of the file with the hashes, for M(mobius.dhash.journal_merge).
  returned: success, not in check mode
  type: str
  sample: /var/lib/mobius-dhash/mobius-0123456789ab/exchange/journal-entries.jsonl.gz
journal_set_aside:
  description: The path to which a damaged journal was renamed. None if the journal was not damaged.
  returned: success, not in check mode
  type: str
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
  returned: success
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
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shard_files
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import worker_pool
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
        module.fail_json(msg=f"shard must be from 0 to {params['shards'] - 1}, got {params['shard']}")
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(params["interpreter"], module.check_mode)
        settings = migration_settings.from_params(params)
        pending = params["pending"] or handover.path_in(settings.state, handover.PENDING)
        if module.check_mode:
            result = shard_files.check_shard(settings, pending, params["shard"], params["shards"])
        else:
            with run_log.progress_to(params["progress_file"]) as progress:
                result = shard_files.hash_shard(settings, pending, params["shard"], params["shards"], progress)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, sandbox=worker_pool.sandbox_in_force(), **result)


if __name__ == "__main__":
    main()
