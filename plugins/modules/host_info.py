#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Check whether a host meets the requirements for a migration
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Checks everything that a migration needs on a host, from Python and its packages to free disk space.
  - The module needs only the standard library of Python. It does not fail because of the problems that it finds.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
options:
  library:
    description: The C(library.json) to migrate.
    type: path
    required: true
  interpreter:
    description: The Python that hashes the images. Defaults to the Python that runs this module.
    type: path
  backup_dir:
    description: The folder for backups. Defaults to the folder of the library.
    type: path
  copy_dir:
    description: The folder for copies of backups, if copies are required.
    type: path
  encrypt_to:
    description: The recipients that backups are encrypted to. If there are recipients, the program C(age) is required and must accept them.
    type: list
    elements: str
    default: []
  rehearsal_max_days:
    description: Maximum age of the last successful rehearsal, in days, if a rehearsal is required.
    type: int
  state_dir:
    description:
      - The folder for this host's journals and records, including the record of the last rehearsal. It must be writable.
      - Defaults to V(/var/lib/mobius-dhash) for root and V(~/.local/state/mobius-dhash) for other users.
    type: path
  temp_dir:
    description: The folder for temporary files of the decoders, if one is used. It must exist.
    type: path
  log_dir:
    description: The folder for logs, if logs are written. A relative path counts from the folder of the library.
    type: path
  async_dir:
    description: The folder in which Ansible keeps the state of background jobs (the variable C(ansible_async_dir)).
    type: path
  worker_user:
    description: The user as whom worker processes of root decode images, if this user can read the media roots. Empty means root.
    type: str
    default: nobody
  require_sandbox:
    description: Whether an incomplete sandbox of the decoders is a problem.
    type: bool
    default: false
  parallel:
    description: Number of worker processes that will hash images. Defaults to one per CPU core. Each worker needs some open files.
    type: int
  media_roots:
    description: The folders that contain the images. Defaults to the folder of the library.
    type: list
    elements: path
  require_ffmpeg:
    description: Whether a missing FFmpeg is a problem.
    type: bool
    default: false
  node_min_version:
    description: Minimum version of Node.js, if Node.js is required.
    type: str
  venv:
    description: The virtual environment of the collection, if it is used.
    type: path
  output:
    description: The path at which a migration writes the migrated library. A relative path counts from the folder of the library.
    type: path
  report:
    description: The path at which a migration writes its report. A relative path counts from the folder of the library.
    type: path
  dry_run_report:
    description: The path at which a dry run writes its report. A relative path counts from the folder of the library.
    type: path
  calibration_report:
    description: The path at which a calibration writes its report. A relative path counts from the folder of the library.
    type: path
  review_dir:
    description: The folder of the review. A relative path counts from the folder of the library.
    type: path
  metrics_dir:
    description: The folder of the metrics. A relative path counts from the folder of the library.
    type: path
  postpone_file:
    description: The absolute path of the file that postpones the swap as long as it exists.
    type: path
  controller:
    description:
      - The paths that the playbook writes to on the controller, by the name of the variable that sets each path. A name that ends with
        C(_file) is the path of a file.
      - The paths are checked if O(controller_id) identifies this host as the controller.
    type: dict
    default: {}
  controller_id:
    description: The node name and the boot ID of the controller (C(uname -n) and C(/proc/sys/kernel/random/boot_id)), separated by a space.
    type: str
  maintenance_window:
    description:
      - The time in which the migration may run, in the host's local time.
      - Examples are V(22:00-04:00), V(Sat 22:00-04:00) and V(Mon-Fri 01:00-05:00).
    type: str
"""

EXAMPLES = r"""
- name: Check a host
  mobius.dhash.host_info:
    library: /srv/mobius/library.json
    require_ffmpeg: true
    maintenance_window: Sat 22:00-04:00
  register: host
"""

RETURN = r"""
versions:
  description: The versions of the programs and packages on the host. A version is none if the program or the package is missing.
  returned: success
  type: dict
  sample: {python: 3.11.2, pillow: 9.4.0, numpy: 1.24.2, ffmpeg_python: null, ffmpeg: 5.1.8, ffprobe: 5.1.8, node: null}
problems:
  description: What is missing or wrong. Empty if the host meets all requirements.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description:
        - A token for the kind of problem. The token stays the same if the text of RV(problems[].what) changes.
        - V(python_missing) means that the Python of a virtual environment does not exist yet.
        - V(library_missing) means that the library does not exist although this host has backups or a record of it. If there never was a
          library at the path, the problem is V(library_invalid).
        - V(foreign_file) means that the path of a file that a run writes has a file that this collection did not write. V(path_refused) is
          any other path that a run must not write to.
        - V(work_pending) means that another user, or a run with another O(state_dir), has work pending for this library.
        - V(state_unreadable) means that a record of this host cannot be read. Without the record the owner of a file is unknown.
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
        - work_pending
        - foreign_file
        - state_unreadable
        - open_files_limit
        - sandbox_incomplete
        - rehearsal_missing
        - maintenance_window_invalid
        - maintenance_window_closed
      sample: pillow_version
    scope:
      description:
        - V(hash) is a requirement for every host that hashes images.
        - V(migrate) is a requirement only for hosts that migrate a library.
      type: str
      choices: [hash, migrate]
      sample: hash
    installable:
      description: Whether the variable C(dhash_install) of the role C(mobius.dhash.prerequisites) can install what is missing.
      type: bool
      sample: true
    what:
      description: The requirement, as text for people.
      type: str
    found:
      description: What the module found instead of the requirement.
      type: str
    fix:
      description: The command or the step that fixes the problem.
      type: str
sandbox:
  description: What would confine the processes that decode images on this host, found out in a process that decodes nothing.
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

import os
import sys
from datetime import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _preflight
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits
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
            worker_user=dict(type="str", default="nobody"),
            require_sandbox=dict(type="bool", default=False),
            media_roots=dict(type="list", elements="path"),
            require_ffmpeg=dict(type="bool", default=False),
            node_min_version=dict(type="str"),
            maintenance_window=dict(type="str"),
            venv=dict(type="path"),
            output=dict(type="path"),
            report=dict(type="path"),
            dry_run_report=dict(type="path"),
            calibration_report=dict(type="path"),
            review_dir=dict(type="path"),
            metrics_dir=dict(type="path"),
            postpone_file=dict(type="path"),
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
        limits=decoder_limits.Limits(worker_user=params["worker_user"], require_sandbox=params["require_sandbox"]),
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
