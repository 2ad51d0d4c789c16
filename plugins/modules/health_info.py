#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_info
short_description: Check the health URL of a service once
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Sends one GET request, and returns whether the service is healthy. The request takes at most 10 seconds in total, even if the answer
    never ends.
  - The prerequisites, the verification and the monitoring of this collection use the same rule.
  - A proxy is never used for a loopback address. For other addresses the environment variables of the host apply (C(http_proxy),
    C(https_proxy), C(no_proxy)).
  - The module does not fail if the service is not healthy.
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
options:
  url:
    description: The health check URL of the service.
    type: str
    required: true
  status:
    description: The HTTP status codes that a healthy service answers with.
    type: list
    elements: int
    default: [200, 204]
  body:
    description: A regular expression that the answer of a healthy service matches. The first 64 KiB of the answer are searched.
    type: str
  validate_certs:
    description: Whether to validate the TLS certificate of the server.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Wait for a service to become healthy
  mobius.dhash.health_info:
    url: http://localhost:5001/health
    body: '"status": *"ok"'
  register: health
  until: health.healthy
  retries: 10
  delay: 3
"""

RETURN = r"""
healthy:
  description: Whether the status code is in O(status), and the answer matches O(body).
  returned: success
  type: bool
message:
  description: V(ok), or a description of the problem.
  returned: success
  type: str
  sample: status 503
problem:
  description:
    - The kind of problem. None if the service is healthy.
    - V(pattern) means that O(body) is not a regular expression.
  returned: success
  type: str
  choices: [connection, timeout, status, body, pattern, url, certificate, tls, proxy]
  sample: status
next_step:
  description: What to do about the problem. None if the service is healthy.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            url=dict(type="str", required=True),
            status=dict(type="list", elements="int", default=list(service_probes.HEALTHY_STATUS)),
            body=dict(type="str"),
            validate_certs=dict(type="bool", default=True),
        ),
        supports_check_mode=True,
    )
    params = module.params
    health = service_probes.health(params["url"], params["body"], params["status"], params["validate_certs"])
    module.exit_json(changed=False, healthy=health.healthy, message=health.message, problem=health.problem,
                     next_step=service_probes.FIXES.get(health.problem or ""))


if __name__ == "__main__":
    main()
