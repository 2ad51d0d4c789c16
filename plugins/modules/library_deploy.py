#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_deploy
short_description: Atomically replace the live library with the migrated one
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Swaps the live C(library.json) and the library that M(mobius.dhash.library_migrate) wrote, in one step. At any moment the live library
    is either the complete old file or the complete new one.
  - The module deploys only the result of the migration. If the live library has changed since the migration read it, the module migrates
    again from the journal and retries. If the library keeps changing, nothing is replaced and the task fails.
  - The libraries that M(mobius.dhash.library_rollback) and M(mobius.dhash.review_import) prepare are deployed in the same way.
  - The replaced library is kept beside the live one as C(library.json.pre-dhash) until a verification passes.
  - The run record on the host stores durably whether a restart is pending. No failure between deploy and verification loses a pending
    restart.
  - The run record also stores which service must be restarted. Only a run that manages a service clears the pending restart of that
    service.
  - A process that keeps the old file open during the swap goes on writing to a file that is no longer the library. For such a service, call
    the module with O(state=announced) and stop the service before the swap.
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
      - V(deployed) swaps the libraries.
      - V(announced) only records that a restart will be pending, before the service is stopped for the swap. It returns whether a deploy is
        still RV(due), because another run may have deployed the library since the plan was made.
      - V(finished) only finishes a deploy that was interrupted after its swap, before the service is started. This state needs no Python
        with Pillow and numpy.
      - V(started) records that the service runs again. If the library was not replaced, no restart is pending after this. This state needs
        neither a readable library nor a Python with Pillow and numpy.
      - V(verified) records that a verification has passed. It clears the pending restart and removes the replaced library. Nothing is
        cleared while the service is recorded as stopped. If the record names a service whose restart is pending, the module fails with
        O(service_manager=none) and clears nothing.
      - V(drained) records that a hook of the operator is about to drain the host, and V(put_back) that a hook has put the host back. No other
        state changes this part of the record.
    type: str
    choices: [deployed, announced, finished, started, verified, drained, put_back]
    default: deployed
  dependents:
    description:
      - With O(state=announced), the systemd units that are active and stop with the service. The record keeps these units until
        O(state=started) or O(state=verified).
    type: list
    elements: str
    default: []
  encrypt_to:
    description:
      - With O(state=verified), the C(age) recipients for encrypting the libraries that rollbacks have replaced
        (C(library.json.pre-rollback.YYYYMMDDTHHMMSSZ)). After the encryption, the live library is the only unencrypted one.
      - The module fails if C(age) does not accept a recipient, also in check mode. The pending restart is cleared before this failure.
    type: list
    elements: str
    default: []
  run:
    description:
      - With O(state=verified), the run that was on record when the library was read, as M(mobius.dhash.library_info) returns it. Empty if
        there was no run.
      - If the record is of another run now, the module fails and clears nothing.
    type: str
  postpone_file:
    description:
      - The absolute path of the file that postpones the swap as long as it exists.
      - The module only checks this path, and refuses a path that belongs to a library.
    type: path
  interpreter:
    description:
      - A Python that has Pillow and numpy, if the Python that Ansible uses does not have them. It is required if images were added to the
        library since the migration.
    type: path
"""

EXAMPLES = r"""
- name: Deploy the migrated library
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json

- name: Record that the service was restarted and serves the new library
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json
    state: verified
"""

RETURN = r"""
library:
  description: The real path of the library, after resolving symbolic links.
  returned: success
  type: str
  sample: /srv/mobius/library.json
phase:
  description: The phase of the last run. None if there was no run.
  returned: success
  type: str
  sample: deployed
restart_owed:
  description: Whether a restart is pending. The service must be restarted and verified.
  returned: success
  type: bool
due:
  description:
    - Whether a staged library has to be deployed, or an interrupted deploy has to be finished. With O(state=announced) the value was
      determined while no other operation was running.
  returned: success
  type: bool
operation:
  description: The operation of the run on the library.
  returned: success, if there was a run
  type: str
  choices: [migration, restore, remove_dhash, review_import, review_reversal]
  sample: migration
old_sha256:
  description: The SHA-256 of the library that was, or will be, replaced.
  returned: success, if there was a run
  type: str
new_sha256:
  description: The SHA-256 of the new library.
  returned: success, if there was a run
  type: str
run:
  description: The identifier of the run on record.
  returned: success, if there was a run
  type: str
stopped_at:
  description: The time (UTC) at which a deploy began to stop the service. None if the service has been started since.
  returned: success, if there was a run
  type: str
dependents:
  description: The systemd units that were active and that stop with the service.
  returned: success, if there was a run
  type: list
  elements: str
service:
  description:
    - The service whose restart is pending. None if no restart is pending, or if no run has managed a service.
    - The service has a V(manager), a V(name), V(since), the time (UTC) since which the restart is pending, and V(library), the path of the
      library as the run was given it.
  returned: success, if there was a run
  type: dict
drained:
  description: Whether a hook of the operator has begun to drain the host, and none has put it back since.
  returned: success, if there was a run
  type: bool
undoes:
  description: The run that this rollback reverts, if a failed run has prepared the rollback. None for a rollback that an operator
    requested.
  returned: success, if there was a run
  type: str
metadata:
  description: The V(mode), V(uid), V(gid) and V(xattrs) of the live library when the operation was prepared.
  returned: success, if there was a run
  type: dict
origin:
  description: Who began the run and from where, as O(origin) was given.
  returned: success, if there was a run
  type: dict
unfinished:
  description: Whether the operation was prepared and is not deployed yet, or its deploy was interrupted.
  returned: success, if there was a run
  type: bool
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, library_summary, path_rules, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, locking
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file

OPERATIONS = {"deployed": "deploy", "announced": "announce", "finished": "finish", "started": "start", "verified": "verify",
              "drained": "drain", "put_back": "put-back"}  # in the log, and of the lock


def verified(library: str, state: str, params: dict[str, Any], check: bool) -> bool:
    return cutover.verified(library, state, check, params["encrypt_to"], params["run"], manages=params["service_manager"] != "none")


def needs_places(operation: str, params: dict[str, Any]) -> bool:
    """Whether a path that is not valid refuses the operation. A service is started, and a failed run is rolled back, all the same."""
    if operation in ("finished", "started", "drained", "put_back"):
        return False
    with contextlib.suppress(DhashError):
        record = run_record.read(run_record.folder(params["state_dir"], run_record.resolve(params["library"])))
        return record is None or not record.undoes or record.phase == run_record.VERIFIED
    return True


def foresee(operation: str, library: str, state: str, params: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the operation would change anything, and whether the swap is due."""
    if operation == "started":
        return cutover.started(library, state, check=True), False
    if operation == "finished":
        return cutover.finish(library, state, check=True), False
    if operation in ("drained", "put_back"):
        return cutover.drained(state, operation == "drained", check=True), False
    if operation == "verified":
        return verified(library, state, params, check=True), False
    planned = cutover.plan(library, state)
    due = cutover.is_due(planned)
    if due:
        path_rules.require_writable(library, state, params, ("state_dir",))
    return cutover.announcement_is_due(planned, params["dependents"]) if operation == "announced" else due, due


def carry_out(operation: str, library: str, state: str, params: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the operation has changed anything, and whether the swap is due after it."""
    if operation == "deployed":
        return _redeploy.run(library, state, params["lock_timeout"], module_arguments.service(params)), False
    with locking.lock(library, OPERATIONS[operation], run_record.new_run(), params["lock_timeout"]):
        if operation == "started":
            return cutover.started(library, state, check=False), False
        if operation == "finished":
            return cutover.finish(library, state, check=False), False
        if operation in ("drained", "put_back"):
            return cutover.drained(state, operation == "drained", check=False), False
        if operation == "verified":
            library_summary.store(library, state)  # first, since a run that finds nothing pending stores none
            return verified(library, state, params, check=False), False
        planned = cutover.announce(library, state, params["dependents"], module_arguments.service(params))
        return cutover.announcement_is_due(planned, params["dependents"]), cutover.is_due(planned)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["deployed", "announced", "finished", "started", "verified", "drained", "put_back"], default="deployed"),
            dependents=dict(type="list", elements="str", default=[]),
            interpreter=dict(type="path"),
            run=dict(type="str"),
            postpone_file=dict(type="path"),
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
            library, state = module_arguments.library_and_state(module.params, check_places=needs_places(operation, module.params))
            changed, due = foresee(operation, library, state, module.params)
            if not module.check_mode and (changed or operation == "announced"):  # only reliable with the lock held
                changed, due = carry_out(operation, library, state, module.params)
            record = run_record.read(state)
            done.changed = changed
            if record:
                done.run, done.before, done.after = record.run, record.old_sha256, record.new_sha256
                done.details = {"operation": record.operation, "phase": record.phase}
        if not module.check_mode:
            metrics = metrics_file.for_module(module.params, library, state, module.warn)
            metrics.settled(record, changed, is_verified=operation == "verified")
        age_encryption.require_recipients(module.params["encrypt_to"])  # last, because only the encryption of safety copies needs them
    except DhashError as error:
        module.fail_json(msg=str(error))
    result = cutover.shown(library, record, due)
    if record and module._diff and changed and operation == "deployed":
        result["diff"] = {"before_header": library, "after_header": library,
                          "before": f"sha256 {record.old_sha256}\n", "after": f"sha256 {record.new_sha256}\n"}
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
