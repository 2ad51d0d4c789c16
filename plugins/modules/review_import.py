#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: review_import
short_description: Apply or revert review decisions
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Imports the decisions of reviewers from the queues that M(mobius.dhash.review_export) wrote. Approved duplicates are removed from
    RV(ignore:images) of the C(library.json), and their files stay on disk. Pairs marked as different are remembered in
    C(library.json.review.json) beside the library, and are not exported again.
  - The new library is written beside the live one. The module does not change the live library. M(mobius.dhash.library_deploy) deploys the
    new library like a migrated one. If no image is removed, there is nothing to deploy.
  - The module validates all decisions before it changes anything, and reports all problems together. A decision applies only to the two
    images as they were exported. If one of the images has changed since, the decision is refused as stale.
  - An image may be kept by one decision and removed by another, as long as the chain of decisions ends at an image that stays.
  - The record C(lcm_import) in the library contains everything that is needed to restore the images.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
  - mobius.dhash._options.metrics
options:
  queues:
    description:
      - The queues with the decisions, as JSON files on the managed host. A relative path counts from the folder of the library.
      - Several queues contain the decisions of several reviewers. If the decisions contradict each other, nothing is imported.
      - Required with O(state=present).
    type: list
    elements: path
  state:
    description:
      - V(present) imports the decisions.
      - V(absent) reverts the last import. The removed images and their records of duplicates are restored in their positions. Later changes
        of the library are kept. Pairs marked as different stay remembered.
      - V(checked) changes nothing and returns nothing. It fails if the module must not write to a path. Call it before decisions are copied
        into O(review_dir).
    type: str
    choices: [present, absent, checked]
    default: present
  review_dir:
    description:
      - The folder of the review, to which decisions are copied. Defaults to C(library.json.review) beside the library. A relative path
        counts from the folder of the library.
      - The module only checks this path, and refuses a path that must not be written to.
    type: path
  postpone_file:
    description:
      - The absolute path of the file that postpones the swap as long as it exists.
      - The module only checks this path, and refuses a path that belongs to a library.
    type: path
  validate_only:
    description: Only validate the queues against the library, and change nothing.
    type: bool
    default: false
  log_dir:
    description:
      - The folder for the log of the decisions and of all problems, C(library.json.review-import-YYYYMMDD-HHMMSS.log), and for the audit
        log, C(library.json.operations-YYYYMM.jsonl).
      - A relative path counts from the folder of the library. Without this option no log is written.
    type: path
  interpreter:
    description: The Python to run the module with, instead of the Python that Ansible uses.
    type: path
"""

EXAMPLES = r"""
- name: Validate the decisions of two reviewers
  mobius.dhash.review_import:
    library: /srv/mobius/library.json
    queues:
      - library.json.review/queue-anna.json
      - library.json.review/queue-ben.json
    validate_only: true

- name: Import the decisions
  mobius.dhash.review_import:
    library: /srv/mobius/library.json
    queues:
      - library.json.review/queue-anna.json
      - library.json.review/queue-ben.json

- name: Deploy the library without the duplicates
  mobius.dhash.library_deploy:
    library: /srv/mobius/library.json

- name: Revert the last import
  mobius.dhash.review_import:
    library: /srv/mobius/library.json
    state: absent
"""

RETURN = r"""
due:
  description: Whether M(mobius.dhash.library_deploy) has to replace the live library.
  returned: success, not with O(state=checked)
  type: bool
output:
  description: The path at which the new library is, or would be, written. None if no deploy is due.
  returned: success, not with O(state=checked)
  type: str
  sample: /srv/mobius/library.json.import
output_sha256:
  description: The SHA-256 of the new library. None if no deploy is due.
  returned: success, not in check mode, not with O(validate_only), not with O(state=checked)
  type: str
source_sha256:
  description: The SHA-256 of the live library.
  returned: success, not with O(state=checked)
  type: str
images_before:
  description: The number of images in the live library.
  returned: success, not with O(state=checked)
  type: int
  sample: 755
images:
  description: The number of images in the new library.
  returned: success, not with O(state=checked)
  type: int
  sample: 749
images_removed:
  description: The number of images that the import removes from the library.
  returned: success, not with O(state=checked)
  type: int
  sample: 6
images_restored:
  description: The number of images that are restored in the library.
  returned: success, not with O(state=checked)
  type: int
reviewed:
  description: The number of decided matches.
  returned: with O(state=present)
  type: int
  sample: 31
approved:
  description: The number of matches that were approved as duplicates.
  returned: with O(state=present)
  type: int
different:
  description: The number of matches that were marked as different.
  returned: with O(state=present)
  type: int
skipped_matches:
  description: The number of matches that the reviewers skipped.
  returned: with O(state=present)
  type: int
pending:
  description: The number of matches without a decision.
  returned: with O(state=present)
  type: int
already_removed:
  description: The number of images that the decisions remove and that are no longer in the library.
  returned: with O(state=present)
  type: int
remembered:
  description: The number of pairs marked as different that are newly remembered.
  returned: with O(state=present)
  type: int
faults:
  description: All problems of the queues, each with the file and the ID of the match. The error message has the first 50 problems.
  returned: if the queues cannot be imported
  type: list
  elements: str
log:
  description: The path of the log.
  returned: when O(log_dir) is given, not in check mode
  type: str
run:
  description: The run in this host's record of the last operation. None if there is no record.
  returned: success, not with O(state=checked)
  type: str
withdrawn:
  description:
    - The unfinished operation that this operation replaces, as its V(operation) and its V(run). None if there is no unfinished operation.
    - A migration is withdrawn for any other operation, because its hashes stay in the journal. A rollback is withdrawn for another
      rollback.
  returned: success, not with O(state=checked)
  type: dict
  sample: {operation: migration, run: 20260131T120000Z-7}
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, QueueError
from ansible_collections.mobius.dhash.plugins.module_utils._files import locking
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_import
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, run_log

MOST_FAULTS = 1000  # in a result; the log has them all
WRITES = ("state_dir", "log_dir", "review_dir")


def plan(params: dict[str, Any], library: str, state: str) -> review_import.Plan:
    if params["state"] == "absent":
        return review_import.plan_reversal(library, state)
    folder = os.path.dirname(library)
    return review_import.plan(library, state, [os.path.join(folder, queue) for queue in params["queues"]])


def describe(planned: review_import.Plan, library: str) -> dict[str, Any]:
    due = review_import.is_due(planned)
    return {"due": due, "output": review_import.output_of(library) if due else None, "source_sha256": planned.live_sha256,
            "withdrawn": planned.withdrawn, **planned.counts}


def carry_out(params: dict[str, Any], library: str, state: str, operation: str,
              run: str) -> tuple[review_import.Plan, dict[str, Any], bool]:
    with contextlib.ExitStack() as stack:
        if not params["validate_only"]:
            stack.enter_context(locking.lock(library, operation, run, params["lock_timeout"]))
            cutover.finish(library, state, check=False)  # an interrupted swap is finished first
        log_dir = params["log_dir"] and os.path.join(os.path.dirname(library), params["log_dir"])
        log = stack.enter_context(run_log.Log(log_dir, library, operation))
        try:
            planned = plan(params, library, state)
            changed = not params["validate_only"] and review_import.carry_out(
                library, state, planned, run, params["origin"])
        except DhashError as error:
            for line in getattr(error, "faults", [error]):
                log.line(f"FAILED {line}")
            raise
        if planned.withdrawn and not params["validate_only"]:
            log.line("Withdrew the {operation} of run {run}, which was not deployed".format(**planned.withdrawn))
        for line in [*planned.lines, *(f"{key}: {count}" for key, count in planned.counts.items())]:
            log.line(line)
        sha256 = {} if params["validate_only"] else {"output_sha256": planned.sha256}
        return planned, {**describe(planned, library), **sha256, "log": log.path}, changed


def check_paths(module: AnsibleModule) -> None:
    try:
        respawn.respawn_if_needed(module.params["interpreter"], module.check_mode)
        module_arguments.library_and_state(module.params, writes=WRITES)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False)


def publish(metrics: metrics_file.Metrics, record: run_record.Record | None, result: dict[str, Any], changed: bool) -> None:
    if changed:
        metrics.settled(record, changed)
        if "reviewed" in result:
            metrics.judged(result["reviewed"], result["skipped_matches"] + result["pending"])


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            queues=dict(type="list", elements="path"),
            state=dict(type="str", choices=["present", "absent", "checked"], default="present"),
            review_dir=dict(type="path"),
            postpone_file=dict(type="path"),
            validate_only=dict(type="bool", default=False),
            interpreter=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.LOG, **module_arguments.METRICS,
        ),
        required_if=[("state", "present", ("queues",))],
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] == "checked":
        check_paths(module)
    operation = "review-import" if params["state"] == "present" else "review-reversal"
    try:
        with audit_log.recorded(module, operation, log=not params["validate_only"]) as done:
            respawn.respawn_if_needed(params["interpreter"], module.check_mode)
            library, state = module_arguments.library_and_state(params, writes=WRITES)
            if module.check_mode:
                planned = plan(params, library, state)
                done.changed = not params["validate_only"] and review_import.would_change(library, state, planned)
                result = describe(planned, library)
            else:
                done.run = run_record.new_run()
                planned, result, done.changed = carry_out(params, library, state, operation, done.run)
            done.before, done.after, done.details = planned.live_sha256, planned.sha256, planned.counts
        result["run"] = run_record.run_of(state)
        metrics = metrics_file.for_module(params, library, state, module.warn)
        if module.check_mode:
            metrics.forewarn()
        else:
            publish(metrics, run_record.read(state), result, done.changed)
    except QueueError as error:
        module.fail_json(msg=str(error), faults=error.faults[:MOST_FAULTS])
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        result["diff"] = review_import.difference(library, planned)
    module.exit_json(changed=done.changed, **result)


if __name__ == "__main__":
    main()
