#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_monitor
short_description: Monitor a deployed library and its service
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Polls the health URL, the service, its error log, the library, the review queue and the disk, and compares the results with O(gates).
    The polls are frequent at first and rare later.
  - The module runs in the background of the host. The monitoring survives the loss of the controller. The next run continues an interrupted
    monitoring, and gets an outcome that no run has acted on yet.
  - Only one process monitors a library. A second call follows the process that is already running. The module does not lock the library.
  - If another run replaces the deployed library, the monitoring ends with the outcome V(replaced).
  - The module does not roll back. M(mobius.dhash.library_rollback) rolls back, with its option
    O(mobius.dhash.library_rollback#module:undo_sha256).
  - The record of the monitoring does not count as a change. In check mode nothing is monitored.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.gates
  - mobius.dhash._options.service
options:
  state:
    description:
      - V(watched) monitors the library, or returns the existing outcome.
      - V(acknowledged) records that a run has acted on the outcome for O(run). No later run acts on this outcome again.
    type: str
    choices: [watched, acknowledged]
    default: watched
  run:
    description: With O(state=acknowledged), the run whose deploy was monitored.
    type: str
  minutes:
    description:
      - Duration of the monitoring, in minutes. The time counts from the first poll, also for an interrupted monitoring that is continued.
      - If a check fails when the time is over, the monitoring goes on until the check passes again or its gate is exceeded.
    type: float
    default: 30
  health_url:
    description: The health check URL of the service.
    type: str
  health_body:
    description: A regular expression that the answer of a healthy service matches.
    type: str
  health_status:
    description: The HTTP status codes that a healthy service answers with.
    type: list
    elements: int
    default: [200, 204]
  health_validate_certs:
    description: Whether to validate the TLS certificate of O(health_url).
    type: bool
    default: true
  error_log:
    description:
      - The path of a log of the service. Lines from before the monitoring do not count.
      - A relative path counts from the folder of the library.
    type: path
  error_log_pattern:
    description: A regular expression. Only lines of O(error_log) that match it count.
    type: str
    default: '\b(ERROR|FATAL|CRITICAL|PANIC|panic|Traceback)\b'
  log_dir:
    description:
      - The folder for the log of the monitoring, C(library.json.monitor-YYYYMMDD-HHMMSS.log), with one line per poll.
      - A relative path counts from the folder of the library. Without this option no log is written.
    type: path
  progress_file:
    description:
      - A file that the module regularly replaces with the last polls. The action plugin sets this option to show the polls.
    type: path
"""

EXAMPLES = r"""
- name: Monitor a deployed library for half an hour
  mobius.dhash.library_monitor:
    library: /srv/mobius/library.json
    health_url: http://localhost:5001/health
    service_manager: systemd
    service_name: mobius-service
    error_log: /var/log/mobius/error.log
    gates:
      health: {limit: 5}
      error_log: {limit: 20, action: fail}
  register: watch

- name: Record that the outcome was acted on
  mobius.dhash.library_monitor:
    library: /srv/mobius/library.json
    state: acknowledged
    run: "{{ watch.run }}"
"""

RETURN = r"""
verdict:
  description:
    - The outcome of the monitoring. V(passed), V(failed) and V(rollback) follow from the gates. V(replaced) means that another run has
      replaced the monitored library.
    - None if there is nothing to monitor, and in check mode if there is no outcome yet.
  returned: with O(state=watched)
  type: str
  choices: [passed, failed, rollback, replaced]
  sample: passed
reason:
  description: Reason for the outcome, as text for people. RV(broken) has the gates.
  returned: with O(state=watched)
  type: str
broken:
  description: The gates that were exceeded. Each has its name (V(gate)), V(action), V(limit) and V(value), the time (V(at)), and a message
    (V(says)).
  returned: with O(state=watched)
  type: list
  elements: dict
polls:
  description: The number of polls.
  returned: with O(state=watched)
  type: int
run:
  description: The run whose deploy was monitored.
  returned: with O(state=watched)
  type: str
new_sha256:
  description: The SHA-256 of the library that the run deployed.
  returned: with O(state=watched)
  type: str
summary:
  description: A summary of the monitoring, as lines of text.
  returned: with O(state=watched)
  type: list
  elements: str
lines:
  description: The last polls, each as its number and one line of text.
  returned: with O(state=watched)
  type: list
  elements: list
evidence:
  description: The files on the host with the last poll, the last lines of the error log, and one line per poll.
  returned: with O(state=watched)
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import log_tail
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes, watch_gates, watch_record, watcher
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log


def settings_of(params: dict[str, Any]) -> watcher.Settings:
    library, state = module_arguments.library_and_state(params, writes=("state_dir", "log_dir"))
    beside: dict[str, Any] = {name: params[name] and os.path.join(os.path.dirname(library), params[name]) for name in ("error_log", "log_dir")}
    given: dict[str, Any] = {name: params[name] for name in (
        "health_url", "health_body", "health_status", "health_validate_certs", "service_manager",
        "service_name", "service_scope", "status_command", "error_log_pattern")}
    return watcher.Settings(library=library, state=state, run=run_record.new_run(), minutes=params["minutes"],
                            gates=watch_gates.chosen(params["gates"]), **given, **beside)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["watched", "acknowledged"], default="watched"),
            run=dict(type="str"),
            minutes=dict(type="float", default=30),
            health_url=dict(type="str"),
            health_body=dict(type="str"),
            health_status=dict(type="list", elements="int", default=list(service_probes.HEALTHY_STATUS)),
            health_validate_certs=dict(type="bool", default=True),
            error_log=dict(type="path"),
            error_log_pattern=dict(type="str", default=log_tail.PATTERN),
            log_dir=dict(type="path"),
            gates=watch_gates.argument_spec(),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.SERVICE,
        ),
        required_if=[("state", "acknowledged", ("run",))],
        supports_check_mode=True,
    )
    try:
        respawn.respawn_if_needed(None, module.check_mode)
        number_ranges.require(module.params)
        settings = settings_of(module.params)
        if module.params["state"] == "acknowledged":
            result = {}
            if not module.check_mode:
                watch_record.acknowledge(settings.state, module.params["run"])
        elif module.check_mode:
            result = watcher.check(settings)
        else:
            with run_log.progress_to(module.params["progress_file"]) as progress:
                result = watcher.watch(settings, progress)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
