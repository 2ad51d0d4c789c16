#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_info
short_description: Report what a failed run leaves behind
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Tells which library is live, whether its service runs, which files hold a library that was replaced, and which playbook to run next.
  - Never fails for what it finds.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options
  - mobius.dhash._options.service
options:
  backup_dir:
    description: The folder for backups. By default the folder of the library.
    type: path
  playbook:
    description: The playbook that failed. It is the next one to run, unless the record of the run asks for another one.
    type: str
    default: migrate
"""

EXAMPLES = r"""
- name: Report what the failed run leaves behind
  mobius.dhash.recovery_info:
    library: /srv/mobius/library.json
    service_manager: systemd
    service_name: mobius-service
  register: left
"""

RETURN = r"""
live:
  description:
    - What the live library is, compared with the record of the last run.
    - V(unrecorded) is a library of which there is no record.
  returned: success
  type: str
  choices: [old, new, edited, unreadable, missing, unrecorded]
  sample: old
sha256:
  description: The digest of the live library. None if it cannot be read.
  returned: success
  type: str
service:
  description: What the service does. V(unmanaged) is O(service_manager=none).
  returned: success
  type: str
  choices: [running, stopped, unknown, unmanaged]
  sample: running
stopped_at:
  description: Since when (UTC) a run has the service stopped. None if no run has.
  returned: success
  type: str
phase:
  description: The phase of the last run. None if there is no record.
  returned: success
  type: str
kept:
  description: The existing files that hold a library that was replaced.
  returned: success
  type: list
  elements: str
backups:
  description: The number of backups of this library.
  returned: success
  type: int
next:
  description:
    - The next command to type.
    - If the library is missing or cannot be read, and there is neither a backup of it nor a file in RV(kept), a sentence that says so.
  returned: success
  type: str
  sample: ansible-playbook mobius.dhash.migrate
summary:
  description: The same in sentences.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _recovery
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, respawn


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            backup_dir=dict(type="path"),
            playbook=dict(type="str", default="migrate"),
            **module_arguments.LIBRARY, **module_arguments.SERVICE,
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        library, state = module_arguments.library_and_state(params, reads_only=True)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **_recovery.report(_recovery.Host(
        library=library, state=state, backup_dir=os.path.join(os.path.dirname(library), params["backup_dir"] or ""),
        manager=params["service_manager"], name=params["service_name"], scope=params["service_scope"],
        status_command=params["status_command"], playbook=params["playbook"])))


if __name__ == "__main__":
    main()
