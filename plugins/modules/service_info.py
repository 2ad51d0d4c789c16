#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Read the state of a service and the effects of stopping it
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Asks the manager of a service whether the service runs.
  - For systemd, returns the active units that stop together with the unit (C(Requires), C(BindsTo), C(PartOf) and C(Requisite) of those
    units), directly or through other units.
  - For docker, returns whether stopping the container removes it.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options.service
"""

EXAMPLES = r"""
- name: Find the units that stop with a service
  mobius.dhash.service_info:
    service_manager: systemd
    service_name: mobius-service
  register: service
"""

RETURN = r"""
running:
  description: Whether the service runs. None if this is unknown.
  returned: success
  type: bool
message:
  description: The answer of the service manager.
  returned: success
  type: str
  sample: active (running)
dependents:
  description: The active systemd units that stop together with the service. They must be started after the service.
  returned: success
  type: list
  elements: str
removed_when_stopped:
  description: Whether stopping the container removes it (C(docker run --rm)).
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes


def main() -> None:
    module = AnsibleModule(
        argument_spec=module_arguments.SERVICE,
        required_if=[("service_manager", manager, ("service_name",)) for manager in ("systemd", "docker", "pm2")],
        supports_check_mode=True,
    )
    manager, name, scope = (module.params[option] for option in ("service_manager", "service_name", "service_scope"))
    try:
        service = service_probes.service(manager, name, scope, module.params["status_command"])
        dependents = service_probes.dependents(name, scope) if manager == "systemd" else []
        removed = manager == "docker" and service_probes.is_removed_when_stopped(name)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, running=service and service.running, message=service.message if service else "no service to query",
                     dependents=dependents, removed_when_stopped=removed)


if __name__ == "__main__":
    main()
