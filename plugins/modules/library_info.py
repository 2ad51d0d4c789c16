#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_info
short_description: Count and validate a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Reads a C(library.json), says whether it is what a library has to be, and counts what is in it.
  - Tells which images are missing and which have changed since they were hashed, who holds the library's lock,
    and what the last run on this host still owes.
  - Fails where the library cannot be read or is not valid, unless O(check_library=false). A watch that cannot be read is a warning.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options
  - mobius.dhash._options.real_path
options:
  check_library:
    description:
      - Whether to read the library.
      - With V(false) the module reads only the record of the last run, the result of the last watch, and the lock. To start a service
        again, nothing more is needed.
    type: bool
    default: true
  check_media:
    description: Whether to look at the image files too. Ignored with O(check_library=false).
    type: bool
    default: true
  max_examples:
    description: How many paths to name of the images that are missing or stale.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Count and validate a library
  mobius.dhash.library_info:
    library: /srv/mobius/library.json
  register: library

- name: Say how many images have no file
  ansible.builtin.debug:
    msg: "Missing images: {{ library.missing }}, {{ library.missing_examples | join(', ') }}"
"""

RETURN = r"""
real_path:
  description: The file behind the library's path.
  returned: success
  type: str
  sample: /srv/mobius/library.json
sha256:
  description: The digest of the library.
  returned: when O(check_library=true)
  type: str
size:
  description: Its size in bytes.
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
  description: The algorithm of its hashes; none where it was never migrated.
  returned: when O(check_library=true)
  type: str
  sample: pillow
migration_timestamp:
  description: When its last migration was; none where it was never migrated.
  returned: when O(check_library=true)
  type: str
inconsistencies:
  description: What in the library does not agree with the record of its migration. Empty where all agrees.
  returned: when O(check_library=true)
  type: list
  elements: dict
  contains:
    id:
      description: A token. The first three are counts that differ, the last is a hash that is none.
      type: str
      choices: [duplicates_count, errors_count, hashed_count, malformed_hash]
    message:
      description: What does not agree, for people.
      type: str
missing:
  description: The number of images whose file is not there.
  returned: when O(check_library=true) and O(check_media=true)
  type: int
missing_examples:
  description: Some of their paths.
  returned: when O(check_library=true) and O(check_media=true)
  type: list
  elements: str
stale:
  description: The number of hashed images whose file has changed since this host hashed it.
  returned: when O(check_library=true) and O(check_media=true)
  type: int
stale_examples:
  description: Some of their paths.
  returned: when O(check_library=true) and O(check_media=true)
  type: list
  elements: str
run:
  description: This host's record of the last run on the library; none where there is none.
  returned: success
  type: dict
  contains:
    run:
      description: Its identifier.
      type: str
    phase:
      description: How far it came, V(prepared), V(announced), V(deploying), V(deployed) or V(verified).
      type: str
    restart_owed:
      description: Whether the service has yet to be restarted and verified.
      type: bool
    old_sha256:
      description: The digest of the library that was migrated.
      type: str
    new_sha256:
      description: The digest of the migrated library.
      type: str
    stopped_at:
      description: When (UTC) the service was about to be stopped for a deploy; none once it was started again.
      type: str
    dependents:
      description: The systemd units that were active and stop with the service.
      type: list
      elements: str
    service:
      description:
        - The service whose restart is pending; none where no run has managed one, or nothing is pending.
      type: dict
      contains:
        manager:
          description: What manages it.
          type: str
        name:
          description: The unit, the container or the process; none with V(command).
          type: str
        since:
          description: Since when (UTC) its restart is pending.
          type: str
    undoes:
      description: The run that this rollback takes back, if a failed run has prepared it; none for a rollback that an operator asked for.
      type: str
    metadata:
      description: The V(mode), V(uid), V(gid) and V(xattrs) of the live library when the operation was prepared.
      type: dict
    origin:
      description: Who began the run, as O(mobius.dhash.library_deploy#module:origin) was given.
      type: dict
    unfinished:
      description: Whether the operation was prepared and not deployed yet, or its deploy was interrupted.
      type: bool
watch:
  description: The last watch over a deploy (M(mobius.dhash.library_monitor)); none where there was none.
  returned: success
  type: dict
  contains:
    run:
      description: The run that deployed what was watched.
      type: str
    verdict:
      description: None as long as there is no verdict.
      type: str
      choices: [passed, failed, rollback, replaced]
    reason:
      description: Why, for people. The gates are named in RV(watch.broken).
      type: str
    broken:
      description: The gates that broke.
      type: list
      elements: dict
    pending:
      description: Whether that deploy is in place, and the watch has yet to be finished or its verdict to be acted upon.
      type: bool
    waits:
      description: Whether that verdict is one that the next run has to act upon before it does anything else.
      type: bool
    evidence:
      description: The files that tell of it.
      type: list
      elements: str
lock:
  description: Who holds the library's lock; none where nobody does.
  returned: success
  type: dict
  contains:
    operation:
      description: What it does, as the log of operations names it.
      type: str
      sample: migration
    run:
      description: Its run.
      type: str
    process:
      description: Its process.
      type: int
    host:
      description: The host of that process.
      type: str
    since:
      description: Since when (UTC).
      type: str
disk_free:
  description: The bytes that are free beside the library.
  returned: when O(check_library=true)
  type: int
disk_total:
  description: The bytes of that file system.
  returned: when O(check_library=true)
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _inspection
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record


def watch_or_warning(module: AnsibleModule, state: str) -> dict[str, Any] | None:
    try:
        return watch_record.summary(state)
    except DhashError as error:
        module.warn(str(error))
        return None


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
        result = {**look(library, state), "watch": watch_or_warning(module, state)}
        if module.params["check_library"] and module.params["check_media"]:
            result.update(_inspection.inspect_media(library, state, module.params["max_examples"]))
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
