#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_backup
short_description: Make a verified backup of a library, and prune old ones
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - "Copies a C(library.json) to C(library.json.bak.YYYYMMDDTHHMMSSZ) with mode 0600 and the owner of the library, and reads the copy back
    from the disk. Two files beside the backup describe it: a C(.sha256) file that C(sha256sum --check) accepts, and a manifest (C(.json))
    with the real path of the library, its mode and owner, its SHA-256 and its counts."
  - Content that already has a good backup is not backed up again.
  - "An old backup is removed if it is neither among the O(keep) newest good backups nor younger than O(keep_days) days. These backups are
    never removed: the last good backup, a backup with a checksum mismatch, the backup of the current content, and the backup of the library
    that the last deploy replaced."
  - A folder that cannot be written or created, and recipients that C(age) does not accept, are refused before anything is written, also in
    check mode.
  - Several libraries of the same name can share a folder for backups. The module counts and removes only the backups of its own library.
    The folder is locked while a backup is made or removed (C(library.json.lock) in the folder).
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
  - mobius.dhash._options.real_path
options:
  backup_dir:
    description: The folder for backups. The module creates the folder if it does not exist. Defaults to the folder of the library.
    type: path
  encrypt_to:
    description:
      - The recipients to encrypt backups to with C(age), as C(age1…) or as ssh public keys. Each recipient can decrypt the backups.
      - The name of an encrypted backup ends in C(.age). Its C(.sha256) file is the checksum of the encrypted file. Its manifest has the
        SHA-256 and the counts of the unencrypted library.
    type: list
    elements: str
    default: []
  copy_dir:
    description:
      - A second folder that gets a copy of the backup, on another disk or on another machine's share. The module reads the copy back.
      - Old copies are removed from this folder by the same rules as old backups from O(backup_dir). Hosts that share a disk need a folder
        each.
    type: path
  keep:
    description: Number of good backups to keep, whatever their age.
    type: int
    default: 10
  keep_days:
    description: Number of days to keep a backup, however many backups there are.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Back up a library
  mobius.dhash.library_backup:
    library: /srv/mobius/library.json
    backup_dir: /var/backups/mobius

- name: Back up a library, encrypted, and keep a copy on a share
  mobius.dhash.library_backup:
    library: /srv/mobius/library.json
    copy_dir: "/mnt/backups/{{ inventory_hostname }}"
    encrypt_to:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
"""

RETURN = r"""
backup:
  description: The path of the good backup of the current content of the library. If the backup is not made yet (check mode), the time is
    missing in the name.
  returned: success
  type: str
  sample: /srv/mobius/library.json.bak.20260131T120000Z
sha256:
  description: The SHA-256 of the library. An unencrypted backup has the same SHA-256.
  returned: success
  type: str
copied:
  description: Whether the backup was, or in check mode would be, copied to O(copy_dir).
  returned: success
  type: bool
backup_sha256:
  description: The SHA-256 of the backup file, as in its C(.sha256) file. None if the backup is not made yet (check mode).
  returned: success
  type: str
files:
  description:
    - The paths of the C(.sha256) file, the manifest and the backup, in this order. A backup from before the introduction of manifests has
      no manifest.
    - If the backup is not made yet (check mode), the list has only the backup.
  returned: success
  type: list
  elements: str
real_path:
  description: The real path of the library, after resolving symbolic links.
  returned: success
  type: str
created:
  description: Whether the backup was, or in check mode would be, made. V(false) if a good backup of the content already existed.
  returned: success
  type: bool
pruned:
  description: The backups that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
"""

import os
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, library_summary, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, durable, locking
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn


def expired(library: str, folder: str, params: dict[str, Any], digests: Collection[str], live: str | None,
            coming: int = 0) -> list[backup_files.Backup]:
    """The backups of the library in a folder that have to be pruned."""
    return backup_files.expired(backup_files.find_own(library, folder, digests), params["keep"], params["keep_days"],
                                datetime.now(timezone.utc), {live, *digests}, coming)


def plan(library: str, state: str, folders: list[str], params: dict[str, Any]) -> dict[str, Any]:
    digests = backup_files.digests_on_record(state)
    digest = durable.sha256_of_file(library)
    present = backup_files.find_containing(backup_files.find_own(library, folders[0], digests), digest, params["encrypt_to"])
    missing = [not present, *(not present or not backup_files.find_copy(present, library, folder) for folder in folders[1:])]
    stamp = "YYYYMMDDTHHMMSSZ.age" if params["encrypt_to"] else "YYYYMMDDTHHMMSSZ"
    path = present.path if present else backup_files.name_of(library, folders[0], stamp)
    return {"sha256": digest, "backup": path, "created": missing[0], "copied": any(missing[1:]), "real_path": library,
            "backup_sha256": present and present.expected_sha256, "files": backup_files.files_of(present) if present else [path],
            "pruned": [backup.path for folder, is_missing in zip(folders, missing)
                       for backup in expired(library, folder, params, digests, digest, coming=int(is_missing))]}


def carry_out(library: str, state: str, folders: list[str], params: dict[str, Any], run: str) -> dict[str, Any]:
    copied = False
    pruned = []
    with locking.lock(library, "backup", run, params["lock_timeout"]), \
            backup_files.lock(library, folders, run, params["lock_timeout"]):
        digests = backup_files.digests_on_record(state)
        known = library_summary.counts_by_digest(state)
        backup, created = backup_files.make(library, folders[0], params["encrypt_to"], digests, known)
        for folder in folders[1:]:
            if not backup_files.find_copy(backup, library, folder):
                backup_files.copy_to(backup, library, folder)
                copied = True
        for folder in folders:
            old = expired(library, folder, params, digests, backup.content_sha256)
            backup_files.prune(old)
            pruned += [gone.path for gone in old]
    return {"sha256": backup.content_sha256, "backup": backup.path, "backup_sha256": backup.expected_sha256, "real_path": library,
            "files": backup_files.files_of(backup), "created": created, "copied": copied, "pruned": pruned}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            backup_dir=dict(type="path"),
            encrypt_to=dict(type="list", elements="str", default=[]),
            copy_dir=dict(type="path"),
            keep=dict(type="int", default=10),
            keep_days=dict(type="int", default=30),
            **module_arguments.REAL_PATH, **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.LOG,
        ),
        supports_check_mode=True,
    )
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        library, state = module_arguments.library_and_state(module.params, writes=("backup_dir", "copy_dir"))
        beside = os.path.dirname(library)
        folders = [os.path.join(beside, module.params["backup_dir"] or "")]
        if module.params["copy_dir"]:
            folders.append(os.path.join(beside, module.params["copy_dir"]))
        with audit_log.recorded(module, "backup") as done:
            age_encryption.require_recipients(module.params["encrypt_to"])
            if module.check_mode:
                result = plan(library, state, folders, module.params)
            else:
                done.run = run_record.new_run()
                result = carry_out(library, state, folders, module.params, done.run)
            done.changed = result["created"] or result["copied"] or bool(result["pruned"])
            done.before = done.after = result["sha256"]
            done.details = {"backup": result["backup"], "created": result["created"], "copied": result["copied"],
                            "pruned": [os.path.basename(path) for path in result["pruned"]]}
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        made = [result["backup"]] if result["created"] else []
        result["diff"] = {"before": "".join(f"{path}\n" for path in result["pruned"]),
                          "after": "".join(f"{path}\n" for path in made)}
    module.exit_json(changed=done.changed, **result)


if __name__ == "__main__":
    main()
