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
options:
  backup_dir:
    description: The folder for backups, made where it is not there. By default the folder of the library.
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
"""

RETURN = r"""
backup:
  description: The good backup of what the library holds. In check mode, where it is yet to be made, without the time in its name.
  returned: success
  type: str
  sample: /srv/mobius/library.json.bak.20260131T120000Z
sha256:
  description: The digest of the library and of its backup.
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
from ansible_collections.mobius.dhash.plugins.module_utils import _arguments, _backups, _durable, _state
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError


def plan(library, backup_dir, params):
    digest = _durable.sha256_of_file(library)
    present = _backups.holding(library, backup_dir, digest)
    found = _backups.find(library, backup_dir)
    superfluous = _backups.superfluous(found, params["keep"], params["keep_days"], datetime.now(timezone.utc))
    return {"sha256": digest, "backup": present.path if present else _backups.name_of(library, backup_dir, "YYYYMMDDTHHMMSSZ"), "created": present is None,
            "pruned": [backup.path for backup in superfluous]}


def carry_out(library, backup_dir, params):
    with _durable.lock(library, "backup", _state.new_run(), params["lock_timeout"]):
        backup, created = _backups.make(library, backup_dir)
        superfluous = _backups.superfluous(_backups.find(library, backup_dir), params["keep"], params["keep_days"],
                                           datetime.now(timezone.utc))
        _backups.prune(superfluous)
    return {"sha256": backup.expected_sha256, "backup": backup.path, "created": created,
            "pruned": [backup.path for backup in superfluous]}


def main():
    module = AnsibleModule(
        argument_spec=dict(
            backup_dir=dict(type="path"),
            keep=dict(type="int", default=10),
            keep_days=dict(type="int", default=30),
            **_arguments.LIBRARY, **_arguments.LOCK,
        ),
        supports_check_mode=True,
    )
    try:
        library = _state.resolve(module.params["library"])
        backup_dir = os.path.join(os.path.dirname(library), module.params["backup_dir"] or "")
        result = (plan if module.check_mode else carry_out)(library, backup_dir, module.params)
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        made = [result["backup"]] if result["created"] else []
        result["diff"] = {"before": "".join(f"{path}\n" for path in result["pruned"]),
                          "after": "".join(f"{path}\n" for path in made)}
    module.exit_json(changed=result["created"] or bool(result["pruned"]), **result)


if __name__ == "__main__":
    main()
