#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_monitor
short_description: Watch a deployed library and its service for a while
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Polls the health URL, the service, its error log, the library, the review queue and the disk, often at first and seldom later, and
    holds what it finds against O(gates).
  - It runs in the background of the host. A controller that is lost loses nothing. The next run goes on with a watch that was cut short,
    and gets a verdict that nobody has acted upon.
  - Only one watch is at work on a library. A second one follows it. The lock of the library is not taken.
  - A watch ends without a judgement where another run replaces what was deployed.
  - It puts nothing back itself. M(mobius.dhash.library_rollback) does, with its option O(mobius.dhash.library_rollback#module:undo).
  - The record of the watch does not count as a change. In check mode nothing is watched.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.gates
  - mobius.dhash._options.service
options:
  state:
    description:
      - V(watched) watches, or returns the verdict that there is.
      - V(acknowledged) notes that the verdict over O(run) was acted upon, so that no later run does so again.
    type: str
    choices: [watched, acknowledged]
    default: watched
  run:
    description: The run whose deploy was watched, with O(state=acknowledged).
    type: str
  minutes:
    description:
      - How long to watch. It counts from the first poll, also for a watch that was cut short.
      - What is not well when the time is over is watched until it is well again or its gate has broken.
    type: float
    default: 30
  health_url:
    description: The URL at which the service says that it is well.
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
      - A log of the service. Lines that it had before the watch do not count.
      - A relative path counts from the folder of the library.
    type: path
  error_log_pattern:
    description: The regular expression that a line has to match to count.
    type: str
    default: '\b(ERROR|FATAL|CRITICAL|PANIC|panic|Traceback)\b'
  log_dir:
    description:
      - The folder for the log of the watch, C(library.json.monitor-YYYYMMDD-HHMMSS.log), a line for each poll.
      - A relative path counts from the folder of the library. No log is written without it.
    type: path
  progress_file:
    description:
      - A file that is replaced by the last polls now and then. The action plugin sets it, to show them.
    type: path
"""

EXAMPLES = r"""
- name: Watch for half an hour what was deployed
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

- name: Note that the verdict was acted upon
  mobius.dhash.library_monitor:
    library: /srv/mobius/library.json
    state: acknowledged
    run: "{{ watch.run }}"
"""

RETURN = r"""
verdict:
  description:
    - V(passed), V(failed) or V(rollback) as the gates say, or V(replaced) where another run has replaced what was watched.
    - None where there is nothing to watch, and in check mode where there is no verdict yet.
  returned: with O(state=watched)
  type: str
  choices: [passed, failed, rollback, replaced]
  sample: passed
reason:
  description: Why, for people. The gates are named in RV(broken).
  returned: with O(state=watched)
  type: str
broken:
  description: The gates that broke, each with its V(gate), V(action), V(limit), V(value), the time V(at), and what it V(says).
  returned: with O(state=watched)
  type: list
  elements: dict
polls:
  description: How many times it was polled.
  returned: with O(state=watched)
  type: int
run:
  description: The run that deployed what was watched.
  returned: with O(state=watched)
  type: str
new_sha256:
  description: The digest of what that run deployed.
  returned: with O(state=watched)
  type: str
summary:
  description: The watch in a few lines.
  returned: with O(state=watched)
  type: list
  elements: str
lines:
  description: The last polls, each with its number and one line.
  returned: with O(state=watched)
  type: list
  elements: list
evidence:
  description: The files on the host that hold the last poll, the last lines of the error log, and a line of each poll.
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
    given: dict[str, Any] = {name: params[name] for name in ("health_url", "health_body", "health_status", "health_validate_certs", "service_manager",
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
