#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_info
short_description: Report the state of a host after a failed run
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Returns which library is live, whether its service runs, which files contain a replaced library, and which playbook to run next.
  - The module does not fail because of the state that it finds.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options
  - mobius.dhash._options.service
options:
  backup_dir:
    description: The folder for backups. Defaults to the folder of the library.
    type: path
  playbook:
    description: The playbook that failed. It is the playbook to run next, unless the run record requires another one.
    type: str
    default: migrate
"""

EXAMPLES = r"""
- name: Report the state of the host after a failed run
  mobius.dhash.recovery_info:
    library: /srv/mobius/library.json
    service_manager: systemd
    service_name: mobius-service
  register: left
"""

RETURN = r"""
live:
  description:
    - The state of the live library, compared with the record of the last run.
    - V(unrecorded) means that there is no record.
  returned: success
  type: str
  choices: [old, new, edited, unreadable, missing, unrecorded]
  sample: old
sha256:
  description: The SHA-256 of the live library. None if the library cannot be read.
  returned: success
  type: str
service:
  description: The state of the service. V(unmanaged) means O(service_manager=none).
  returned: success
  type: str
  choices: [running, stopped, unknown, unmanaged]
  sample: running
stopped_at:
  description: The time (UTC) since which a run has the service stopped. None if no run has stopped the service.
  returned: success
  type: str
phase:
  description: The phase of the last run. None if there is no record.
  returned: success
  type: str
kept:
  description: The existing files that contain a replaced library.
  returned: success
  type: list
  elements: str
backups:
  description: The number of backups of this library.
  returned: success
  type: int
next:
  description:
    - The next command to run.
    - If the library is missing or cannot be read, and neither a backup nor a file in RV(kept) exists, the value is a sentence with this
      information.
  returned: success
  type: str
  sample: ansible-playbook mobius.dhash.migrate
summary:
  description: The state of the host, as lines of text.
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
