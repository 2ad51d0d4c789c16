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
  - Copies a C(library.json) to C(library.json.bak.YYYYMMDDTHHMMSSZ) with mode 0600 and the library's owner, reads the
    copy back from the disk, and vouches for it with a C(.sha256) file that C(sha256sum -c) accepts.
  - Content of which there is a good backup is not backed up again.
  - Old backups go when they are neither among the O(keep) newest good ones nor younger than O(keep_days).
    The last good one always stays, and so does every backup whose digest does not hold.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
options:
  backup_dir:
    description: The folder for backups, made where it is not there. By default the folder of the library.
    type: path
  encrypt_to:
    description:
      - The recipients that a backup is encrypted to with C(age), as C(age1…) or as ssh public keys. Each of them can decrypt it.
      - The backup's name ends in C(.age) then. Its C(.sha256) file covers the encrypted file, and a small manifest beside it
        (C(.age.json)) tells the digest and the counts of the clear text.
    type: list
    elements: str
    default: []
  copy_dir:
    description:
      - A second folder, on another disk or another machine's share, that gets a copy of the backup, read back there.
      - It is pruned as O(backup_dir) is. Hosts that share it need a folder each.
    type: path
  keep:
    description: How many good backups are kept whatever their age.
    type: int
    default: 10
  keep_days:
    description: How many days a backup is kept whatever their number.
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
  description: The good backup of what the library holds. In check mode, where it is yet to be made, without the time in its name.
  returned: success
  type: str
  sample: /srv/mobius/library.json.bak.20260131T120000Z
sha256:
  description: The digest of the library, which is that of its backup where it is not encrypted.
  returned: success
  type: str
copied:
  description: Whether a copy of it had to be made in O(copy_dir).
  returned: success
  type: bool
backup_sha256:
  description: The digest of the backup's file, as its C(.sha256) file has it; none in check mode where it is yet to be made.
  returned: success
  type: str
created:
  description: Whether that backup had to be made.
  returned: success
  type: bool
pruned:
  description: The backups that were removed.
  returned: success
  type: list
  elements: str
"""

import os
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _arguments, _backups, _durable, _operations, _state
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError


def too_many(library, folder, params):
    """The backups in a folder that are to go."""
    return _backups.superfluous(_backups.find(library, folder), params["keep"], params["keep_days"], datetime.now(timezone.utc))


def plan(library, folders, params):
    digest = _durable.sha256_of_file(library)
    present = _backups.holding(library, folders[0], digest, params["encrypt_to"])
    stamp = "YYYYMMDDTHHMMSSZ.age" if params["encrypt_to"] else "YYYYMMDDTHHMMSSZ"
    path = present.path if present else _backups.name_of(library, folders[0], stamp)
    return {"sha256": digest, "backup": path, "created": present is None,
            "backup_sha256": present and present.expected_sha256,
            "copied": any(not present or not _backups.is_copied(present, folder) for folder in folders[1:]),
            "pruned": [backup.path for folder in folders for backup in too_many(library, folder, params)]}


def carry_out(library, folders, params, run):
    copied = False
    pruned = []
    with _durable.lock(library, "backup", run, params["lock_timeout"]):
        backup, created = _backups.make(library, folders[0], params["encrypt_to"])
        for folder in folders[1:]:
            if not _backups.is_copied(backup, folder):
                _backups.copy_to(backup, folder)
                copied = True
        for folder in folders:
            superfluous = too_many(library, folder, params)
            _backups.prune(superfluous)
            pruned += [old.path for old in superfluous]
    return {"sha256": backup.content_sha256, "backup": backup.path, "backup_sha256": backup.expected_sha256,
            "created": created, "copied": copied, "pruned": pruned}


def main():
    module = AnsibleModule(
        argument_spec=dict(
            backup_dir=dict(type="path"),
            encrypt_to=dict(type="list", elements="str", default=[]),
            copy_dir=dict(type="path"),
            keep=dict(type="int", default=10),
            keep_days=dict(type="int", default=30),
            **_arguments.LIBRARY, **_arguments.LOCK, **_arguments.LOG,
        ),
        supports_check_mode=True,
    )
    try:
        _arguments.run_in(None, module.check_mode)
        library = _state.resolve(module.params["library"])
        beside = os.path.dirname(library)
        folders = [os.path.join(beside, module.params["backup_dir"] or "")]
        if module.params["copy_dir"]:
            folders.append(os.path.join(beside, module.params["copy_dir"]))
        with _operations.recorded(module, "backup") as done:
            if module.check_mode:
                result = plan(library, folders, module.params)
            else:
                done.run = _state.new_run()
                result = carry_out(library, folders, module.params, done.run)
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
