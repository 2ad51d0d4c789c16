#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tell people and machines of an event of a run
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Sends one message to webhooks, to Slack and by mail, to all at the same time. Delegate it to the controller.
  - It ends after O(timeout) seconds at the latest, and a message that nobody took does not fail the task. RV(answers) says what came of it.
  - A redirect is not followed, so that no secret in a URL or a header goes elsewhere.
extends_documentation_fragment:
  - mobius.dhash._attributes
options:
  notification:
    description:
      - What is told. V(event) is one of V(start), V(success), V(failure) and V(rollback), V(text) what people read, its first line the subject
        of a mail. Whatever else there is is for webhooks.
    type: dict
    required: true
  targets:
    description: Whom to tell.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - V(webhook) posts O(targets[].template) or, without one, O(notification) as JSON to O(targets[].url).
          - V(slack) posts the text as Slack's incoming webhooks take it.
          - V(mail) hands a mail to an SMTP server.
        type: str
        choices: [webhook, slack, mail]
        required: true
      events:
        description: The events that this target is told of.
        type: list
        elements: str
        choices: [start, success, failure, rollback]
        default: [start, success, failure, rollback]
      url:
        description: Where to post to, with V(http) or V(https). Never shown.
        type: str
      template:
        description:
          - What to post in place of the whole message, as Ansible has evaluated it. Text, that has to be JSON unless O(targets[].headers) names
            another V(Content-Type).
        type: raw
      headers:
        description: Headers of the request, V(Authorization) for example. Never shown.
        type: dict
      to:
        description: The addresses that a mail goes to.
        type: list
        elements: str
      from:
        description: The address that it comes from.
        type: str
        default: mobius-dhash@localhost
      host:
        description: The SMTP server.
        type: str
        default: localhost
      port:
        description: Its port.
        type: int
        default: 25
      secure:
        description: Whether the connection is encrypted, V(always) from its beginning on, or by V(starttls).
        type: str
        choices: [never, starttls, always]
        default: never
      username:
        description: The user to log in as, where the server asks for one.
        type: str
      password:
        description: The password of that user. Never shown.
        type: str
      validate_certs:
        description: Whether the certificate of the server has to be good.
        type: bool
        default: true
      ca_path:
        description: A file with the certificates to trust, where it is not those of the controller.
        type: path
  timeout:
    description: After how many seconds all of it ends, however many targets and attempts there are.
    type: float
    default: 10
  retries:
    description: How many times an attempt that failed is repeated, where another one may go better.
    type: int
    default: 2
attributes:
  check_mode:
    support: full
    details:
      - Sends nothing, and says whom it would tell.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Every call sends the message, and none is called a change.
"""

EXAMPLES = r"""
- name: Tell the team that a migration begins
  mobius.dhash.notify:
    notification:
      event: start
      text: The library is migrated now.
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
  description: The targets that want this event, each by its number, its type and its host.
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
      description: Why it did not.
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
        module.fail_json(msg=f"notification needs a text, and as its event one of {', '.join(_notification.EVENTS)}")
    targets = module.params["targets"]
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
