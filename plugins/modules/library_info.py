#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_info
short_description: Validate a library and count its images
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Reads a C(library.json), checks that it is a valid library, and counts its images, hashes, errors and duplicates.
  - Also returns the images that are missing or have changed since they were hashed, the holder of the library's lock, and the pending work
    of the last run on this host.
  - The module fails if the library cannot be read or is not valid, unless O(check_library=false). If the result of the last monitoring
    cannot be read, the module only warns.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options
  - mobius.dhash._options.real_path
options:
  check_library:
    description:
      - Whether to read the library.
      - With V(false) the module reads only the record of the last run, the result of the last monitoring, and the lock. This is enough to
        start a service again.
    type: bool
    default: true
  check_media:
    description: Whether to check the image files as well. Ignored with O(check_library=false).
    type: bool
    default: true
  max_examples:
    description: Maximum number of paths to return of missing images, and of stale images.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Validate a library and count its images
  mobius.dhash.library_info:
    library: /srv/mobius/library.json
  register: library

- name: Show the number of images without a file
  ansible.builtin.debug:
    msg: "Missing images: {{ library.missing }}, {{ library.missing_examples | join(', ') }}"
"""

RETURN = r"""
real_path:
  description: The real path of the library, after resolving symbolic links.
  returned: success
  type: str
  sample: /srv/mobius/library.json
sha256:
  description: The SHA-256 of the library.
  returned: when O(check_library=true)
  type: str
size:
  description: The size of the library in bytes.
  returned: when O(check_library=true)
  type: int
images:
  description: The number of images.
  returned: when O(check_library=true)
  type: int
  sample: 755
hashed:
  description: The number of images with a hash.
  returned: when O(check_library=true)
  type: int
  sample: 750
errors:
  description: The number of records in RV(ignore:dhash_errors).
  returned: when O(check_library=true)
  type: int
duplicates:
  description: The number of records in RV(ignore:dhash_duplicates).
  returned: when O(check_library=true)
  type: int
algorithm:
  description: The algorithm of the hashes in the library. None if the library was never migrated.
  returned: when O(check_library=true)
  type: str
  sample: pillow
migration_timestamp:
  description: The time of the last migration of the library. None if the library was never migrated.
  returned: when O(check_library=true)
  type: str
inconsistencies:
  description: The differences between the library and the record of its migration. Empty if both agree.
  returned: when O(check_library=true)
  type: list
  elements: dict
  contains:
    id:
      description: A token for the kind of difference. V(duplicates_count), V(errors_count) and V(hashed_count) are counts that differ.
        V(malformed_hash) is a value that is not a hash.
      type: str
      choices: [duplicates_count, errors_count, hashed_count, malformed_hash]
    message:
      description: The difference, as text for people.
      type: str
missing:
  description: The number of images whose file does not exist.
  returned: when O(check_library=true) and O(check_media=true)
  type: int
missing_examples:
  description: The paths of some of the images whose file does not exist.
  returned: when O(check_library=true) and O(check_media=true)
  type: list
  elements: str
stale:
  description: The number of hashed images whose file has changed since this host hashed it.
  returned: when O(check_library=true) and O(check_media=true)
  type: int
stale_examples:
  description: The paths of some of the hashed images whose file has changed.
  returned: when O(check_library=true) and O(check_media=true)
  type: list
  elements: str
run:
  description: This host's record of the last run on the library. None if there is no record.
  returned: success
  type: dict
  contains:
    run:
      description: The identifier of the run.
      type: str
    phase:
      description: "The phase of the run: V(prepared), V(announced), V(deploying), V(deployed) or V(verified)."
      type: str
    restart_owed:
      description: Whether a restart is pending. The service must be restarted and verified.
      type: bool
    old_sha256:
      description: The SHA-256 of the library that the operation replaces.
      type: str
    new_sha256:
      description: The SHA-256 of the new library.
      type: str
    stopped_at:
      description: The time (UTC) at which a deploy began to stop the service. None if the service has been started since.
      type: str
    dependents:
      description: The systemd units that were active and that stop with the service.
      type: list
      elements: str
    service:
      description:
        - The service whose restart is pending. None if no restart is pending, or if no run has managed a service.
      type: dict
      contains:
        manager:
          description: The manager of the service.
          type: str
        name:
          description: The systemd unit, the container or the process of the service. None if the manager is V(command).
          type: str
        since:
          description: The time (UTC) since which the restart is pending.
          type: str
        library:
          description: The path of the library as the run was given it.
          type: str
    drained:
      description: Whether a hook of the operator has begun to drain the host, and none has put it back since.
      type: bool
    undoes:
      description: The run that this rollback reverts, if a failed run has prepared the rollback. None for a rollback that an operator
        requested.
      type: str
    metadata:
      description: The V(mode), V(uid), V(gid) and V(xattrs) of the live library when the operation was prepared.
      type: dict
    origin:
      description: Who began the run and from where, as O(mobius.dhash.library_deploy#module:origin) was given.
      type: dict
    unfinished:
      description: Whether the operation was prepared and is not deployed yet, or its deploy was interrupted.
      type: bool
pending_elsewhere:
  description:
    - A run whose restart is pending, and that was given another file by the same path O(library), because what the path leads to was
      replaced since. None if there is no such run.
  returned: success
  type: dict
  contains:
    library:
      description: The real path of the library of that run.
      type: str
    run:
      description: The identifier of that run.
      type: str
    stopped_at:
      description: The time (UTC) since which that run has the service stopped. None if the service has been started since.
      type: str
    next:
      description: The command that completes that run.
      type: str
watch:
  description: The last monitoring after a deploy (M(mobius.dhash.library_monitor)). None if there was no monitoring.
  returned: success
  type: dict
  contains:
    run:
      description: The run whose deploy was monitored.
      type: str
    verdict:
      description: The outcome of the monitoring. None if the monitoring has no outcome yet.
      type: str
      choices: [passed, failed, rollback, replaced]
    reason:
      description: Reason for the outcome, as text for people. RV(watch.broken) has the gates.
      type: str
    broken:
      description: The gates that were exceeded.
      type: list
      elements: dict
    pending:
      description: Whether the monitored deploy is still in place, and the monitoring is not finished or nothing was done about its outcome.
      type: bool
    waits:
      description: Whether the next run must act on the outcome of the monitoring before it does anything else.
      type: bool
    evidence:
      description: The files with the details of the monitoring.
      type: list
      elements: str
lock:
  description: The holder of the library's lock. None if the library is not locked.
  returned: success
  type: dict
  contains:
    operation:
      description: The operation that holds the lock, named as in the audit log.
      type: str
      sample: migration
    run:
      description: The run that holds the lock.
      type: str
    process:
      description: The process that holds the lock.
      type: int
    host:
      description: The host of the process that holds the lock.
      type: str
    since:
      description: The time (UTC) since which the lock is held.
      type: str
waiting:
  description: The run that waits because the host is busy or the run is paused. It has released its lock. None if no run waits.
  returned: success
  type: dict
  contains:
    operation:
      description: The operation that waits, named as in the audit log.
      type: str
      sample: migration
    run:
      description: The run that waits.
      type: str
    process:
      description: The process that waits.
      type: int
    host:
      description: The host of the process that waits.
      type: str
    since:
      description: The time (UTC) since which the run waits for this reason.
      type: str
    reason:
      description: The reason, one of V(load), V(cpu_pressure), V(io_pressure), V(command), V(pause_file) and V(lock).
      type: str
    text:
      description: RV(waiting.reason) as text for people, with the reading at RV(waiting.since).
      type: str
      sample: throttled (load 9.1)
disk_free:
  description: Free disk space beside the library, in bytes.
  returned: when O(check_library=true)
  type: int
disk_total:
  description: Size of the file system of the library, in bytes.
  returned: when O(check_library=true)
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _inspection
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record


def watch_or_warning(module: AnsibleModule, state: str) -> dict[str, Any] | None:
    try:
        return watch_record.summary(state)
    except DhashError as error:
        module.warn(str(error))
        return None


def pending_elsewhere(name: str, library: str, state: str) -> dict[str, Any] | None:
    record = _inspection.pending_elsewhere(run_record.named(name), library, state)
    return record and {"library": record.library, "run": record.run, "stopped_at": record.stopped_at,
                       "next": module_arguments.verify_command(record.library)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            check_library=dict(type="bool", default=True),
            check_media=dict(type="bool", default=True),
            max_examples=dict(type="int", default=5),
            **module_arguments.REAL_PATH, **module_arguments.LIBRARY,
        ),
        supports_check_mode=True,
    )
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        library, state = module_arguments.library_and_state(module.params, reads_only=True)
        look = _inspection.inspect if module.params["check_library"] else _inspection.inspect_record
        result = {**look(library, state), "watch": watch_or_warning(module, state),
                  "pending_elsewhere": pending_elsewhere(module.params["library"], library, state)}
        if module.params["check_library"] and module.params["check_media"]:
            result.update(_inspection.inspect_media(library, state, module.params["max_examples"]))
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
