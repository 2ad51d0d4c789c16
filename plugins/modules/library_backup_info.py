#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_backup_info
short_description: List and verify the backups of a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Finds the backups of a C(library.json), reads each backup from the disk, and returns whether its checksum matches and what the backup
    contains.
  - Backups with the older name pattern C(library.json.bak.2024-01-15T10-30-00-000Z) are found as well.
  - Another library of the same name may keep its backups in the same folder. Such backups are listed and marked (RV(backups[].belongs)).
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options
options:
  backup_dir:
    description: The folder for backups. Defaults to the folder of the library.
    type: path
"""

EXAMPLES = r"""
- name: List the backups of a library
  mobius.dhash.library_backup_info:
    library: /srv/mobius/library.json
  register: found

- name: Show the backups
  ansible.builtin.debug:
    msg: "{{ found.backups }}"
"""

RETURN = r"""
backups:
  description: The backups, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the backup.
      type: str
    name:
      description: The file name of the backup.
      type: str
    time:
      description: The time (UTC) in the name of the backup, at which the backup was made.
      type: str
      sample: "2026-01-31T12:00:00Z"
    size:
      description: The size of the backup in bytes.
      type: int
    belongs:
      description:
        - The owner of the backup. V(own) is a backup of this library. V(foreign) is a backup of another library. V(unknown) is a backup
          without a manifest outside the folder of the library, and without a record of its content.
        - The modules restore and remove only backups that are V(own).
      type: str
    library:
      description: The real path of the library that was backed up, according to the manifest. None if the backup has no manifest.
      type: str
    host:
      description: The host of the library that was backed up, according to the manifest. None if the manifest does not name the host.
      type: str
    good:
      description: Whether the SHA-256 of the backup matches the recorded one.
      type: bool
    problem:
      description:
        - The kind of problem. None for a good backup.
        - V(checksum_missing) and V(checksum_mismatch) refer to the C(.sha256) file.
        - V(unreadable) is a backup that cannot be read as a library.
        - V(encrypted_unverified) is an encrypted backup whose file, manifest or C(.sha256) file is missing or damaged.
      type: str
      choices: [checksum_missing, checksum_mismatch, unreadable, encrypted_unverified]
    message:
      description: The problem, as text for people. None for a good backup.
      type: str
    encrypted:
      description: Whether the backup is encrypted. RV(backups[].images) and RV(backups[].hashed) of an encrypted backup come from its
        manifest.
      type: bool
    images:
      description: The number of images in the backup. None if the backup cannot be read.
      type: int
    hashed:
      description: The number of images with a hash in the backup.
      type: int
good:
  description: The number of good backups of this library.
  returned: success
  type: int
"""

import os
from collections.abc import Collection
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, respawn


def digests_on_record(module: AnsibleModule, state: str) -> Collection[str]:
    try:
        return backup_files.digests_on_record(state)
    except DhashError as error:
        module.warn(f"Backups without a manifest may be listed as unknown: {error}")
        return ()


def describe(backup: backup_files.Backup) -> dict[str, Any]:
    content = backup_files.examine(backup)
    return {"path": backup.path, "name": os.path.basename(backup.path), "size": backup.size, "encrypted": backup.encrypted,
            "time": backup.time.strftime("%Y-%m-%dT%H:%M:%SZ"), "belongs": backup.belongs, "library": backup.library,
            "host": backup.host, **content._asdict()}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(backup_dir=dict(type="path"), **module_arguments.LIBRARY),
        supports_check_mode=True,
    )
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        library, state = module_arguments.library_and_state(module.params, reads_only=True)
        backup_dir = os.path.join(os.path.dirname(library), module.params["backup_dir"] or "")
        backups = [describe(backup) for backup in backup_files.find(library, backup_dir, digests_on_record(module, state))]
    except DhashError as error:
        module.fail_json(msg=str(error))
    good = sum(backup["good"] and backup["belongs"] == backup_files.OWN for backup in backups)
    module.exit_json(changed=False, backups=backups, good=good)


if __name__ == "__main__":
    main()
