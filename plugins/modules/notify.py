#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Send notifications about a run
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Sends one message to webhooks, to Slack and by mail, to all targets at the same time. Delegate this module to the controller.
  - The module ends after at most O(timeout) seconds. It does not fail if a target does not accept the message. RV(delivered) and
    RV(failures) list the results.
  - Redirects are not followed. A secret in a URL or a header is therefore never sent to another server.
extends_documentation_fragment:
  - mobius.dhash._attributes
options:
  notification:
    description:
      - The message. V(event) is V(start), V(approval), V(success), V(failure) or V(rollback). V(text) is the text for people, and its
        first line is the subject of a mail. All other keys are for webhooks.
    type: dict
    required: true
  targets:
    description: The targets to notify.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - V(webhook) posts O(targets[].template) or, without a template, O(notification) as JSON to O(targets[].url).
          - V(slack) posts the text in the format of Slack's incoming webhooks.
          - V(mail) sends a mail through an SMTP server.
        type: str
        choices: [webhook, slack, mail]
        required: true
      events:
        description: The events that are sent to this target.
        type: list
        elements: str
        choices: [start, approval, success, failure, rollback]
        default: [start, approval, success, failure, rollback]
      url:
        description: The URL to post to, V(http) or V(https). It is never shown.
        type: str
      template:
        description:
          - The content to post instead of the whole message, as Ansible has evaluated it. The content is text, and must be JSON unless
            O(targets[].headers) sets another V(Content-Type).
        type: raw
      headers:
        description: Headers of the request, for example V(Authorization). They are never shown.
        type: dict
      to:
        description: The addresses that receive the mail.
        type: list
        elements: str
      from:
        description: The address that sends the mail.
        type: str
        default: mobius-dhash@localhost
      host:
        description: The SMTP server.
        type: str
        default: localhost
      port:
        description: Port of the SMTP server, between 1 and 65535.
        type: int
        default: 25
      secure:
        description: Whether to encrypt the connection to the SMTP server. V(always) encrypts from the beginning, V(starttls) after the
          command STARTTLS.
        type: str
        choices: [never, starttls, always]
        default: never
      username:
        description: The user name for the SMTP server, if the server requires a login.
        type: str
      password:
        description: The password for the SMTP server. It is never shown.
        type: str
      validate_certs:
        description: Whether to validate the server's TLS certificate.
        type: bool
        default: true
      ca_path:
        description: A file with the CA certificates to trust, instead of the CA certificates of the controller.
        type: path
  timeout:
    description: Maximum total time, in seconds, for all targets and attempts.
    type: float
    default: 10
  retries:
    description: Number of retries after a temporary failure.
    type: int
    default: 2
attributes:
  check_mode:
    support: full
    details:
      - In check mode the module sends nothing and returns the targets that it would notify.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Every call sends the message. A sent message does not count as a change.
"""

EXAMPLES = r"""
- name: Notify the team that a migration begins
  mobius.dhash.notify:
    notification:
      event: start
      text: The migration of the library begins.
    targets:
      - type: slack
        url: "{{ vault_slack_url }}"
      - type: mail
        to: [oncall@example.org]
        host: mail.example.org
  delegate_to: localhost
  become: false
  no_log: true
"""

RETURN = r"""
targets:
  description: The targets that receive this event, each as its number, its type and its host.
  returned: success
  type: list
  elements: str
  sample: ["1 (slack hooks.slack.com)", "2 (mail by mail.example.org)"]
delivered:
  description: The targets that accepted the message. None in check mode.
  returned: success
  type: list
  elements: str
  sample: ["1 (slack hooks.slack.com)"]
failures:
  description: The targets that did not accept the message.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: The target, as in RV(targets).
      type: str
    reason:
      description: Reason for the failure.
      type: str
  sample:
    - {target: "2 (mail by mail.example.org)", reason: Connection refused}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils import _notification
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._module import number_ranges

TARGET = dict(
    type=dict(type="str", choices=["webhook", "slack", "mail"], required=True),
    events=dict(type="list", elements="str", choices=list(_notification.EVENTS), default=list(_notification.EVENTS)),
    url=dict(type="str", no_log=True),
    template=dict(type="raw"),
    headers=dict(type="dict", no_log=True),
    to=dict(type="list", elements="str"),
    host=dict(type="str", default="localhost"),
    port=dict(type="int", default=25),
    secure=dict(type="str", choices=["never", "starttls", "always"], default="never"),
    username=dict(type="str"),
    password=dict(type="str", no_log=True),
    validate_certs=dict(type="bool", default=True),
    ca_path=dict(type="path"),
    **{"from": dict(type="str", default="mobius-dhash@localhost")},
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            notification=dict(type="dict", required=True),
            targets=dict(type="list", elements="dict", required=True, options=TARGET,
                         required_if=[("type", "webhook", ("url",)), ("type", "slack", ("url",)), ("type", "mail", ("to",))]),
            timeout=dict(type="float", default=10),
            retries=dict(type="int", default=2),
        ),
        supports_check_mode=True,
    )
    try:
        number_ranges.require(module.params)
    except DhashError as error:
        module.fail_json(msg=str(error))
    message = module.params["notification"]
    if message.get("event") not in _notification.EVENTS or not isinstance(message.get("text"), str):
        module.fail_json(msg=f"notification must have a text, and as event one of {', '.join(_notification.EVENTS)}")
    targets = module.params["targets"]
    problems = _notification.problems(targets)
    if problems:
        module.fail_json(msg="; ".join(problems))
    if module.check_mode:
        wanted = [_notification.name(number, target) for number, target in enumerate(targets, 1)
                  if message["event"] in target["events"]]
        module.exit_json(changed=False, targets=wanted, delivered=[], failures=[])
    outcomes = _notification.deliver(targets, message, module.params["timeout"], module.params["retries"])
    module.exit_json(
        changed=False, targets=[outcome.target for outcome in outcomes],
        delivered=[outcome.target for outcome in outcomes if outcome.reason is None],
        failures=[{"target": outcome.target, "reason": outcome.reason} for outcome in outcomes if outcome.reason is not None])


if __name__ == "__main__":
    main()
