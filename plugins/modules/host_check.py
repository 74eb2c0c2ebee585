# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_check: one host against its slice of the plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Check a host against its slice of the launch plan
version_added: 0.1.0
description:
  - Compares a host with what the plan will run on it - addresses, ports, GPUs and who uses them, the driver's reports, RDMA ports and
    their GIDs, PCIe links, limits, and libraries and settings of the host that reach into the engine.
  - Reports everything at once. Errors fail, warnings and notes do not. Changes nothing on the host.
  - What the plan does not need is not looked at; what cannot be looked at is reported as unknown.
  - The action plugin of the same name shows what deserves a look, and writes the reports.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  plan:
    description: The host's slice of the plan, as M(railyard.sglang.plan) returns it.
    type: dict
    required: true
  waive:
    description:
      - Rules whose errors and warnings are accepted, each with a written reason; they stay visible.
      - Rules of the plan, which do not begin with C(preflight.), are left alone.
    type: dict
    default: {}
  firewall_managed:
    description: Whether a later stage opens the ports of the plan in the host's filter, so that closed ones are a note only.
    type: bool
    default: false
  only:
    description: Rules to report, where not all of them are asked for. Empty for all.
    type: list
    elements: str
    default: []
  root:
    description:
      - Directory to read instead of the whole file system, for a captured tree.
      - Programs are still asked on this machine.
    type: path
    default: /
  show:
    description: Which lines of the host's table to show. Read by the action plugin.
    type: str
    choices: [findings, all, none]
    default: findings
  report_directory:
    description:
      - Directory of the controller for the table of each host, as C(HOST.txt) and C(HOST.json). Read by the action plugin.
      - Nothing is written if it is empty, or in check mode.
    type: str
    default: ""
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compare the host with its slice of the plan
  railyard.sglang.host_check:
    plan: "{{ sglang_host }}"

- name: Accept a link that is known to be narrow, and keep the tables
  railyard.sglang.host_check:
    plan: "{{ sglang_host }}"
    waive:
      preflight.nic-link: the riser has eight lanes, measured at 190 Gb/s
    report_directory: preflight
"""

RETURN = r"""
problems:
  description: The errors, with the rule, its failures, the variable and the fix. Empty when there are none.
  returned: always
  type: list
  elements: dict
findings:
  description: Everything that deserves a look - errors, warnings, notes, waived rules and what is unknown.
  returned: always
  type: list
  elements: dict
checks:
  description: All lines of the table as data.
  returned: always
  type: list
  elements: dict
table:
  description: The table of the host, one line per check.
  returned: always
  type: list
  elements: str
summary:
  description: The number of lines in each state.
  returned: always
  type: str
addresses:
  description: The host's addresses, each with its interface.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import run
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root

ARGUMENTS = {
    "plan": {"type": "dict", "required": True},
    "waive": {"type": "dict", "default": {}},
    "firewall_managed": {"type": "bool", "default": False},
    "only": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "path", "default": "/"},
    "show": {"type": "str", "choices": ["findings", "all", "none"], "default": "findings"},
    "report_directory": {"type": "str", "default": ""},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    plan, waivers = module.params["plan"], module.params["waive"]
    if not os.path.isdir(module.params["root"]):
        module.fail_json(msg=f"root: there is no directory {module.params['root']}")
    wrong = look.wrong_waivers(waivers)
    if wrong:
        fix = "name a rule of docs/host-checks.md and why its violation is accepted"
        module.fail_json(msg=f"preflight_waive: {'; '.join(wrong)}. Fix: {fix}")
    context = Context(plan, open_root(module.params["root"]), run, opens=module.params["firewall_managed"])
    asked = module.params["only"]
    rows = [row for row in look.waive(look.rows(context), waivers) if not asked or row.rule in asked]
    errors = [row for row in rows if row.state == ERROR]
    name = plan.get("name", "this host")
    for text in look.warnings(rows):
        module.warn(f"{name}: {text}")
    result = {
        "changed": False,
        "problems": [look.finding(row) for row in errors],
        "findings": [look.finding(row) for row in look.notable(rows)],
        "checks": [row.plain() for row in rows],
        "table": look.table(rows),
        "summary": look.summary(rows),
        "addresses": look.addresses(context),
    }
    if errors:
        lines = [f"- {look.sentence(row)}" for row in errors]
        title = f"{name} cannot run its part of the plan; nothing was changed:"
        module.fail_json(msg="\n".join([title, *lines]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
