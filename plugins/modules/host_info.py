#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Say what a host lacks for a migration, and how to mend it
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Looks at everything that a migration needs of a host in one go, from Python and its packages to free disk space.
  - Needs nothing but the standard library of Python itself, and never fails for what it finds.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
options:
  library:
    description: The C(library.json) that is to be migrated.
    type: path
    required: true
  interpreter:
    description: The Python that will hash. By default the one that runs this module.
    type: path
  backup_dir:
    description: The folder for backups. By default the folder of the library.
    type: path
  copy_dir:
    description: The folder for copies of backups, where there is to be one.
    type: path
  encrypt_to:
    description: The recipients that backups are to be encrypted to. With one, the program C(age) has to be there and accept them.
    type: list
    elements: str
    default: []
  rehearsal_max_days:
    description: How many days ago the last rehearsal may have passed at most, where one is demanded.
    type: int
  state_dir:
    description:
      - The folder in which this host keeps its journals and records, the note of the last rehearsal among them. It has to be writable.
      - By default V(/var/lib/mobius-dhash) for root and V(~/.local/state/mobius-dhash) for others.
    type: path
  temp_dir:
    description: The folder for temporary files of decoders, where one is to be used. It has to be there.
    type: path
  log_dir:
    description: The folder for logs, where there are to be some. A relative path counts from the folder of the library.
    type: path
  async_dir:
    description: The folder in which Ansible keeps the state of jobs in the background (the variable C(ansible_async_dir)).
    type: path
  parallel:
    description: How many worker processes are to hash. By default one a core. Each needs some open files.
    type: int
  media_roots:
    description: The folders that images lie in. By default the folder of the library.
    type: list
    elements: path
  require_ffmpeg:
    description: Whether a missing FFmpeg is a problem.
    type: bool
    default: false
  node_min_version:
    description: The oldest Node.js that will do, where one has to be there.
    type: str
  venv:
    description: The virtual environment of the collection, if it is used.
    type: path
  output:
    description: Where a migration writes the new library. A relative path counts from the folder of the library, here and below.
    type: path
  report:
    description: Where a migration writes its report.
    type: path
  dry_run_report:
    description: Where a dry run writes its report.
    type: path
  review_dir:
    description: The folder of the review.
    type: path
  metrics_dir:
    description: The folder of the metrics.
    type: path
  controller:
    description:
      - Paths that the playbook writes to on the controller, by the variable that names each. Names that end with C(_file) are files.
      - They are checked if O(controller_id) says that the controller is this host.
    type: dict
    default: {}
  controller_id:
    description: The node name and the boot ID of the controller (C(uname -n) and C(/proc/sys/kernel/random/boot_id)), with a space between.
    type: str
  maintenance_window:
    description:
      - When the migration may run, in the host's local time.
      - For example V(22:00-04:00), V(Sat 22:00-04:00) or V(Mon-Fri 01:00-05:00).
    type: str
"""

EXAMPLES = r"""
- name: Look at a host
  mobius.dhash.host_info:
    library: /srv/mobius/library.json
    require_ffmpeg: true
    maintenance_window: Sat 22:00-04:00
  register: host
"""

RETURN = r"""
versions:
  description: The versions of what is there; none for what is not.
  returned: success
  type: dict
  sample: {python: 3.11.2, pillow: 9.4.0, numpy: 1.24.2, ffmpeg_python: null, ffmpeg: 5.1.8, ffprobe: 5.1.8, node: null}
problems:
  description: What is missing or wrong. Empty where the host is ready.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description:
        - A token for the kind of problem. It stays the same if RV(problems[].what) is worded anew.
        - V(python_missing) is that of a virtual environment that is not there yet.
        - V(library_missing) is a library that has been there, since this host has backups or a record of it. A path at which there never was
          one is V(library_invalid).
        - V(foreign_file) is a file that somebody else has written, where a run writes one. V(path_refused) is any other path that must not
          be written to.
        - V(state_unreadable) is a record of this host that cannot be read, so that it is not known whose a file is.
      type: str
      choices:
        - python_missing
        - python_version
        - pillow_missing
        - pillow_version
        - numpy_missing
        - numpy_version
        - ffmpeg_missing
        - ffprobe_missing
        - ffmpeg_python_missing
        - node_missing
        - node_version
        - age_missing
        - backup_recipients_invalid
        - library_invalid
        - library_missing
        - library_dir_not_writable
        - library_dir_no_space
        - library_owner_not_permitted
        - backup_dir_not_writable
        - backup_dir_no_space
        - copy_dir_not_writable
        - copy_dir_no_space
        - media_root_not_readable
        - images_missing
        - state_dir_not_writable
        - log_dir_not_writable
        - output_dir_not_writable
        - report_dir_not_writable
        - review_dir_not_writable
        - venv_not_writable
        - async_dir_not_writable
        - temp_dir_not_writable
        - path_refused
        - foreign_file
        - state_unreadable
        - open_files_limit
        - rehearsal_missing
        - maintenance_window_invalid
        - maintenance_window_closed
      sample: pillow_version
    scope:
      description:
        - V(hash) for what every host needs that hashes images.
        - V(migrate) for what only a host needs that migrates a library.
      type: str
      choices: [hash, migrate]
      sample: hash
    installable:
      description: Whether the variable C(dhash_install) of the role C(mobius.dhash.prerequisites) can provide what is missing.
      type: bool
      sample: true
    what:
      description: What is needed, for people.
      type: str
    found:
      description: What was found.
      type: str
    fix:
      description: The command or the step that mends it.
      type: str
"""

import os
import sys
from datetime import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _preflight
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            library=dict(type="path", required=True),
            interpreter=dict(type="path"),
            backup_dir=dict(type="path"),
            copy_dir=dict(type="path"),
            encrypt_to=dict(type="list", elements="str", default=[]),
            rehearsal_max_days=dict(type="int"),
            state_dir=dict(type="path"),
            temp_dir=dict(type="path"),
            log_dir=dict(type="path"),
            async_dir=dict(type="path"),
            parallel=dict(type="int"),
            media_roots=dict(type="list", elements="path"),
            require_ffmpeg=dict(type="bool", default=False),
            node_min_version=dict(type="str"),
            maintenance_window=dict(type="str"),
            venv=dict(type="path"),
            output=dict(type="path"),
            report=dict(type="path"),
            dry_run_report=dict(type="path"),
            review_dir=dict(type="path"),
            metrics_dir=dict(type="path"),
            controller=dict(type="dict", default={}),
            controller_id=dict(type="str"),
        ),
        supports_check_mode=True,
    )
    respawn.respawn_if_needed(None, module.check_mode)
    params = module.params
    try:
        number_ranges.require(params)
    except DhashError as error:
        module.fail_json(msg=str(error))
    library = run_record.resolve(params["library"])
    beside = os.path.dirname(library)
    state = run_record.folder(params["state_dir"], library)
    rehearsed = run_record.last_rehearsal(state)
    needs = _preflight.Needs(
        library=library,
        python=params["interpreter"] or sys.executable,
        backup_dir=os.path.join(beside, params["backup_dir"] or ""),
        copy_dir=params["copy_dir"] and os.path.join(beside, params["copy_dir"]),
        encrypt_to=params["encrypt_to"],
        rehearsed=rehearsed and rehearsed.astimezone().replace(tzinfo=None),
        rehearsal_max_days=params["rehearsal_max_days"],
        temp_dir=params["temp_dir"],
        parallel=module_arguments.parallel(params),
        media_roots=params["media_roots"],
        ffmpeg_required=params["require_ffmpeg"],
        node_min_version=params["node_min_version"],
        maintenance_window=params["maintenance_window"],
        state=state,
        log_dir=params["log_dir"] and os.path.join(beside, params["log_dir"]),
        async_dir=params["async_dir"],
        places=params,
        controller=params["controller"] if params["controller_id"] == _preflight.identity() else {},
    )
    module.exit_json(changed=False, **_preflight.examine(needs, datetime.now()))


if __name__ == "__main__":
    main()
