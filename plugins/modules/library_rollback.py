#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_rollback
short_description: Prepare a rollback of a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Finds the version to which a C(library.json) is rolled back, verifies it, and writes it beside the live library. The module does not
    change the live library. M(mobius.dhash.library_deploy) deploys the prepared library like a migrated one, and keeps the library that it
    replaces as C(library.json.pre-rollback.YYYYMMDDTHHMMSSZ).
  - The module refuses a backup with a checksum mismatch, and names the next good backup.
  - Restoring a backup discards what was added or changed in the live library since the backup. The module refuses the backup unless
    O(force) is set, if the backup lacks images, edits of images or other top-level fields. Fields that a migration or a review import
    writes do not count.
  - Only backups of the same library are restored. A backup of another library of the same name, or of an unknown library, must be named in
    O(backup), and requires O(force).
  - If the live library does not exist, the backup is deployed immediately. It gets the mode, owner, ACL, extended attributes and security
    label that the library had when the last operation was prepared or, without a record of this operation, when the backup was made.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
  - mobius.dhash._options.metrics
  - mobius.dhash._options.restarted
options:
  backup:
    description:
      - The backup to restore, by its file name or path.
      - V(latest) is the newest good backup of the library that the last migration replaced. If this host has no record of such a library,
        V(latest) is the newest good backup without hashes.
      - If the live library is missing or cannot be read, V(latest) is the newest intact backup of it, or the library that an unfinished
        operation was going to replace, if that one is at least as new. If the newest one is encrypted, O(age_identity) is required.
    type: str
    default: latest
  remove_dhash:
    description:
      - Remove exactly the fields that a migration adds from the live library, instead of restoring a backup.
      - All other changes of the library since the migration are kept.
    type: bool
    default: false
  force:
    description:
      - Restore the backup even if additions or changes in the library since the backup are lost, or if the backup is not a backup of this
        library.
    type: bool
    default: false
  undo_sha256:
    description:
      - Revert the run that deployed a library with this SHA-256. If another run has deployed since, nothing is changed.
      - "The replaced library is restored if the live library is still the deployed one or cannot be read. Otherwise later edits are kept:
        only the fields of the migration are removed, or the images that a review import removed are restored."
      - O(backup) and O(remove_dhash) are ignored if this option is set.
    type: str
  age_identity:
    description:
      - The content of the age identity file that decrypts encrypted backups.
      - It is passed to C(age) and never written to a file.
    type: str
  backup_dir:
    description: The folder for backups. Defaults to the folder of the library.
    type: path
  log_dir:
    description:
      - The folder for the log of the rollback, C(library.json.rollback-YYYYMMDD-HHMMSS.log), and for the audit log,
        C(library.json.operations-YYYYMM.jsonl). The log of the rollback has the restored file and its source.
      - A relative path counts from the folder of the library. Without this option no log is written.
    type: path
"""

EXAMPLES = r"""
- name: Roll back to the library that the last migration replaced
  mobius.dhash.library_rollback:
    library: /srv/mobius/library.json

- name: Restore a given backup and discard later changes
  mobius.dhash.library_rollback:
    library: /srv/mobius/library.json
    backup: library.json.bak.20260131T120000Z
    force: true

- name: Restore an encrypted backup
  mobius.dhash.library_rollback:
    library: /srv/mobius/library.json
    age_identity: "{{ lookup('ansible.builtin.unvault', '~/mobius-backup-key.txt') }}"

- name: Remove only the hashes
  mobius.dhash.library_rollback:
    library: /srv/mobius/library.json
    remove_dhash: true

- name: Deploy the rollback
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json
"""

RETURN = r"""
operation:
  description:
    - "The kind of rollback: V(restore), V(remove_dhash), V(review_reversal) if O(undo_sha256) reverts a review import, or V(none) if
      O(undo_sha256) found nothing to revert."
  returned: success
  type: str
restored_from:
  description: The path of the file to restore. None if only the hashes are removed.
  returned: success
  type: str
  sample: /srv/mobius/library.json.bak.20260131T120000Z
due:
  description: Whether the live library differs from the rollback target.
  returned: success
  type: bool
images:
  description: The number of images in the rollback target.
  returned: success
  type: int
hashed:
  description: The number of images with a hash in the rollback target.
  returned: success
  type: int
lost_images:
  description:
    - The number of images of the live library that are missing in the rollback target.
    - None if this is unknown because the live library is missing or cannot be read.
  returned: success
  type: int
changed_images:
  description: The number of images whose fields differ between the live library and the rollback target. None if the live library is
    missing or cannot be read.
  returned: success
  type: int
lost_fields:
  description: The number of top-level fields of the live library that the rollback target lacks or has with another value. None if the live
    library is missing or cannot be read.
  returned: success
  type: int
newest:
  description:
    - The newest intact backup of this library, if it is not RV(restored_from) and has other content.
    - None if only the hashes are removed, and with O(undo_sha256).
  returned: success
  type: str
  sample: /srv/mobius/library.json.bak.20260201T120000Z
passed_over:
  description: The later backups that were skipped because they are not intact, or because it is unknown which library they are of.
  returned: success
  type: list
  elements: str
kept:
  description:
    - The path at which the live library is kept when it is replaced. None if nothing is replaced.
    - In check mode, if nothing is prepared yet, the time is missing in the name.
  returned: success
  type: str
  sample: /srv/mobius/library.json.pre-rollback.20260131T120000Z
locked:
  description: With O(undo_sha256), whether the replaced library exists only in encrypted backups, and O(age_identity) was not given to
    decrypt them.
  returned: success
  type: bool
summary:
  description: What is restored from where, what is lost by it, and where the replaced library is kept, for people. Empty if nothing is RV(due).
  returned: success
  type: list
  elements: str
sha256:
  description: The SHA-256 of the rollback target.
  returned: success
  type: str
log:
  description: The path of the log.
  returned: when O(log_dir) is given, not in check mode
  type: str
run:
  description: The run in this host's record of the last operation. None if there is no record.
  returned: success
  type: str
withdrawn:
  description:
    - The unfinished operation that this rollback replaces, as its V(operation) and its V(run). None if there is no unfinished operation.
    - A migration is withdrawn for any other operation, because its hashes stay in the journal. A rollback is withdrawn for another
      rollback. Both are withdrawn as well if the live library already is the rollback target, so nothing is RV(due).
    - If the live library is missing or cannot be read, a restore also withdraws a review import or its reversal, as long as nothing of it
      was deployed.
  returned: success
  type: dict
  sample: {operation: migration, run: 20260131T120000Z-7}
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, cutover, path_rules, rollback_plan, rollback_report, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, locking
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_fields, library_losses
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, run_log

WRITES = ("state_dir", "log_dir")


def log_dir_of(params: dict[str, Any], library: str, state: str) -> str | None:
    """The folder for the log; None for a rescue if the folder cannot be used, because a failed run is rolled back all the same."""
    if params["undo_sha256"] is not None:
        try:
            path_rules.require(library, state, {"log_dir": params["log_dir"]})
            path_rules.require_writable(library, state, params, WRITES)
        except RefusedError:
            return None
    return params["log_dir"] and os.path.join(os.path.dirname(library), params["log_dir"])


def make_plan(params: dict[str, Any], library: str, state: str) -> rollback_plan.RollbackPlan | None:
    backup_dir = os.path.join(os.path.dirname(library), params["backup_dir"] or "")
    if params["undo_sha256"] is not None:
        return rollback_plan.plan_undo(library, state, backup_dir, params["undo_sha256"], params["age_identity"])
    request = rollback_plan.RollbackRequest(params["backup"], params["remove_dhash"], params["force"], params["age_identity"])
    return rollback_plan.make_plan(library, state, backup_dir, request)


def describe(planned: rollback_plan.RollbackPlan | None) -> dict[str, Any]:
    if planned is None:
        return {"operation": "none", "restored_from": None, "due": False, "images": None, "hashed": None, "lost_images": 0,
                "changed_images": 0, "lost_fields": 0, "kept": None, "sha256": None, "locked": False, "withdrawn": None,
                "newest": None, "passed_over": [], "summary": []}
    counts = library_fields.counts(planned.content)
    images, changed, fields = (None, None, None) if planned.losses is library_losses.UNKNOWN else map(len, planned.losses)
    return {"operation": planned.operation, "restored_from": planned.source, "due": planned.due, "images": counts["images"],
            "hashed": counts["hashed"], "lost_images": images, "changed_images": changed, "lost_fields": fields,
            "kept": None, "sha256": planned.sha256, "locked": planned.locked, "withdrawn": None, "newest": planned.newest, "passed_over": planned.passed_over,
            "summary": []}


def kept_of(state: str) -> str | None:
    record = run_record.read(state)
    return record and record.kept


def foresee(params: dict[str, Any], library: str, state: str) -> tuple[dict[str, Any], bool]:
    planned = make_plan(params, library, state)
    result = describe(planned)
    withdrawn = rollback_plan.withdrawn(library, state, planned)
    changed = planned is not None and (not rollback_plan.is_prepared(library, state, planned) if planned.due else withdrawn is not None)
    if result["due"] and durable.exists(library):
        stamped = f"{library}{backup_files.PRE_ROLLBACK}YYYYMMDDTHHMMSSZ"
        result["kept"] = stamped if changed else kept_of(state)
    if planned is not None and planned.due:
        result["summary"] = rollback_report.lines(library, planned, result["kept"])
    return {**result, "withdrawn": withdrawn}, changed


def carry_out(params: dict[str, Any], library: str, state: str, run: str) -> tuple[dict[str, Any], bool]:
    planned = make_plan(params, library, state)
    is_due = planned is not None and (planned.due or rollback_plan.withdrawn(library, state, planned) is not None)
    if not is_due and locking.holder(library) is None:  # else a run that deploys would undo what this result says
        return describe(planned), False
    with locking.lock(library, "rollback", run, params["lock_timeout"]):
        with contextlib.suppress(cutover.ChangedError):
            cutover.finish(library, state, check=False)  # a swap that was interrupted is finished first
        planned = make_plan(params, library, state)  # the plan without the lock may be outdated
        withdrawn = rollback_plan.withdrawn(library, state, planned)
        if planned is None or not (planned.due or withdrawn):
            return describe(planned), False
        with run_log.Log(log_dir_of(params, library, state), library, "rollback") as log:
            undoes = run_record.run_of(state) if params["undo_sha256"] is not None else None
            is_replaced = planned.due and durable.exists(library)
            changed = rollback_plan.prepare(library, state, planned, params["force"], run, params["origin"], undoes,
                                            module_arguments.service(params))
            kept = kept_of(state) if is_replaced else None
            if withdrawn:
                log.line("Withdrew the {operation} of run {run}, which was not deployed".format(**withdrawn))
            summary = rollback_report.lines(library, planned, kept) if planned.due else []
            for line in ["Rollback Report", *summary] if summary else []:
                log.line(line)
            return {**describe(planned), "kept": kept, "log": log.path, "withdrawn": withdrawn, "summary": summary}, changed


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            backup=dict(type="str", default=rollback_plan.LATEST),
            remove_dhash=dict(type="bool", default=False),
            force=dict(type="bool", default=False),
            undo_sha256=dict(type="str"),
            age_identity=dict(type="str", no_log=True),
            backup_dir=dict(type="path"),
            **module_arguments.RESTARTED, **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.LOG, **module_arguments.METRICS,
        ),
        supports_check_mode=True,
    )
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        library, state = module_arguments.library_and_state(module.params, check_places=module.params["undo_sha256"] is None, writes=WRITES)
        with audit_log.recorded(module, "rollback") as done:
            if module.check_mode:
                result, done.changed = foresee(module.params, library, state)
            else:
                done.run = run_record.new_run()
                result, done.changed = carry_out(module.params, library, state, done.run)
                record = run_record.read(state)
                done.before, done.after = record and record.old_sha256, result["sha256"]
                done.details = {key: result[key] for key in (
                    "operation", "restored_from", "images", "lost_images", "changed_images", "lost_fields", "kept", "newest")}
        metrics = metrics_file.for_module(module.params, library, state, module.warn)
        if module.check_mode:
            metrics.forewarn()
        else:
            metrics.settled(record, done.changed)
        result["run"] = run_record.run_of(state)
        if module._diff and result["due"]:
            result["diff"] = rollback_report.diff(library, result)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=done.changed, **result)


if __name__ == "__main__":
    main()
