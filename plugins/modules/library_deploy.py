#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_deploy
short_description: Put the migrated library in the live one's place, atomically
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Exchanges the live C(library.json) for what M(mobius.dhash.library_migrate) wrote, in one step. At every instant the
    live library is either the old one whole or the new one whole.
  - What was migrated is what is deployed. Where the live library has changed since it was read, the migration is brought
    up to date from the journal and tried again; if it goes on changing, nothing is replaced and the task fails.
  - What M(mobius.dhash.library_rollback) and M(mobius.dhash.review_import) prepare is deployed in the same way.
  - The library that is replaced stays beside it as C(library.json.pre-dhash) until a verification has passed.
  - The host's record of the run says durably what is still owed, so that no failure in between loses a restart.
  - The record keeps which service has to be restarted. What is owed to it only a run that manages a service clears.
  - A writer that keeps the old file open over the exchange writes into a file that is no longer the library. Let
    O(state=announced) come first and stop such a service before the exchange.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
  - mobius.dhash._options.metrics
  - mobius.dhash._options.real_path
  - mobius.dhash._options.restarted
options:
  state:
    description:
      - V(deployed) makes the exchange.
      - V(announced) only puts on record that a restart will be owed, before the service is stopped for the exchange, and tells
        whether it is still RV(due), since another run may have made it after it was planned.
      - V(started) puts on record that the service runs again. Where the library was not replaced, no restart is pending then.
        It needs neither a library that can be read nor a Python with Pillow and numpy.
      - V(verified) clears what is owed, and removes the replaced library, since a verification has passed. While the service is on
        record as stopped, nothing is cleared. Where the record names a service whose restart is pending, it fails with
        O(service_manager=none) and clears nothing.
    type: str
    choices: [deployed, announced, started, verified]
    default: deployed
  dependents:
    description:
      - With O(state=announced), the systemd units that are active and stop with the service. They are kept on record until
        O(state=started) or O(state=verified).
    type: list
    elements: str
    default: []
  encrypt_to:
    description:
      - With O(state=verified), the recipients that what rollbacks have replaced (C(library.json.pre-rollback.YYYYMMDDTHHMMSSZ)) is
        encrypted to with C(age), so that no clear text but the live library stays.
      - The module fails for recipients that C(age) refuses, in check mode as well. It clears what is owed before it does.
    type: list
    elements: str
    default: []
  run:
    description:
      - With O(state=verified), the run that was on record when the library was read, as M(mobius.dhash.library_info) returns it, empty for
        none. Where another run came in between, the module fails and clears nothing.
    type: str
  interpreter:
    description:
      - A Python that has Pillow and numpy, where the one that Ansible uses has not. It is needed where images were added
        to the library since it was migrated.
    type: path
"""

EXAMPLES = r"""
- name: Deploy what was migrated
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json

- name: Say that the service was restarted and serves the new library
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json
    state: verified
"""

RETURN = r"""
library:
  description: The real path of the library.
  returned: success
  type: str
  sample: /srv/mobius/library.json
phase:
  description: How far the last run has come; none where there was none.
  returned: success
  type: str
  sample: deployed
restart_owed:
  description: Whether the service has yet to be restarted and verified.
  returned: success
  type: bool
due:
  description:
    - Whether a migrated library waits to be deployed, or a deploy that was cut short to be finished. With O(state=announced) the
      answer is that of the moment in which no other operation was at work.
  returned: success
  type: bool
operation:
  description: What the run does to the library.
  returned: success, where there was a run
  type: str
  choices: [migration, restore, remove_dhash, review_import, review_reversal]
  sample: migration
old_sha256:
  description: The digest of the library that was, or is to be, replaced.
  returned: success, where there was a run
  type: str
new_sha256:
  description: The digest of the migrated library.
  returned: success, where there was a run
  type: str
run:
  description: The identifier of the run on record.
  returned: success, where there was a run
  type: str
stopped_at:
  description: When (UTC) the service was about to be stopped for a deploy; none once it was started again.
  returned: success, where there was a run
  type: str
dependents:
  description: The systemd units that were active and stop with the service.
  returned: success, where there was a run
  type: list
  elements: str
service:
  description:
    - The service whose restart is pending; none where no run has managed one, or nothing is pending.
    - It has V(manager), V(name) and V(since), the time (UTC).
  returned: success, where there was a run
  type: dict
undoes:
  description: The run that this rollback takes back, if a failed run has prepared it; none for a rollback that an operator asked for.
  returned: success, where there was a run
  type: str
metadata:
  description: The V(mode), V(uid), V(gid) and V(xattrs) of the live library when the operation was prepared.
  returned: success, where there was a run
  type: dict
origin:
  description: Who began the run, as O(origin) was given.
  returned: success, where there was a run
  type: dict
unfinished:
  description: Whether the operation was prepared and not deployed yet, or its deploy was interrupted.
  returned: success, where there was a run
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, path_rules, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, locking
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file

OPERATIONS = {"deployed": "deploy", "announced": "announce", "started": "start", "verified": "verify"}  # in the log, and of the lock


def verified(library: str, state: str, params: dict[str, Any], check: bool) -> bool:
    return cutover.verified(library, state, check, params["encrypt_to"], params["run"], manages=params["service_manager"] != "none")


def foresee(operation: str, library: str, state: str, params: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the operation would change anything, and whether the exchange is due."""
    if operation == "started":
        return cutover.started(library, state, check=True), False
    if operation == "verified":
        return verified(library, state, params, check=True), False
    planned = cutover.plan(library, state)
    due = cutover.is_due(planned)
    if due:
        path_rules.require_writable(library, state, params, ("state_dir",))
    return cutover.announcement_is_due(planned, params["dependents"]) if operation == "announced" else due, due


def carry_out(operation: str, library: str, state: str, params: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the operation has changed anything, and whether the exchange is due after it."""
    if operation == "deployed":
        return _redeploy.run(library, state, params["lock_timeout"], module_arguments.service(params)), False
    with locking.lock(library, OPERATIONS[operation], run_record.new_run(), params["lock_timeout"]):
        if operation == "started":
            return cutover.started(library, state, check=False), False
        if operation == "verified":
            return verified(library, state, params, check=False), False
        planned = cutover.announce(library, state, params["dependents"], module_arguments.service(params))
        return cutover.announcement_is_due(planned, params["dependents"]), cutover.is_due(planned)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["deployed", "announced", "started", "verified"], default="deployed"),
            dependents=dict(type="list", elements="str", default=[]),
            interpreter=dict(type="path"),
            run=dict(type="str"),
            encrypt_to=dict(type="list", elements="str", default=[]),
            **module_arguments.REAL_PATH, **module_arguments.RESTARTED,
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.LOG, **module_arguments.METRICS,
        ),
        supports_check_mode=True,
    )
    operation = module.params["state"]
    try:
        with audit_log.recorded(module, OPERATIONS[operation]) as done:
            respawn.respawn_if_needed(module.params["interpreter"], module.check_mode)
            # A service that was stopped is started whatever has become of the paths.
            library, state = module_arguments.library_and_state(module.params, check_places=operation != "started")
            changed, due = foresee(operation, library, state, module.params)
            if not module.check_mode and (changed or operation == "announced"):  # only under the lock can that be told for sure
                changed, due = carry_out(operation, library, state, module.params)
            record = run_record.read(state)
            done.changed = changed
            if record:
                done.run, done.before, done.after = record.run, record.old_sha256, record.new_sha256
                done.details = {"operation": record.operation, "phase": record.phase}
        if not module.check_mode:
            metrics = metrics_file.of(module.params, library, state, module.warn)
            metrics.settled(record, changed, is_verified=operation == "verified")
        age_encryption.require_recipients(module.params["encrypt_to"])  # last, as they are needed for nothing else
    except DhashError as error:
        module.fail_json(msg=str(error))
    result: dict[str, Any] = {"library": library, "phase": None, "restart_owed": False, "due": due}
    if record:
        result.update(run_record.shown(record) or {})
    if record and module._diff and changed and operation == "deployed":
        result["diff"] = {"before_header": library, "after_header": library,
                          "before": f"sha256 {record.old_sha256}\n", "after": f"sha256 {record.new_sha256}\n"}
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
