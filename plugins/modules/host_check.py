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
  - Reads the host's addresses, listening sockets, port ranges, kernel command line, shared memory and proxy settings and compares
    them with what the plan will run on it.
  - Reports everything that is wrong at once. Changes nothing.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  plan:
    description: The host's slice of the plan, as M(railyard.sglang.plan) returns it.
    type: dict
    required: true
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compare the host with its slice of the plan
  railyard.sglang.host_check:
    plan: "{{ sglang_host }}"
"""

RETURN = r"""
problems:
  description: What contradicts the plan, with the rule, the variable and the fix. Empty when nothing does.
  returned: always
  type: list
  elements: dict
addresses:
  description: The host's addresses, each with its interface.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.facts import read
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import check


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"plan": {"type": "dict", "required": True}}, supports_check_mode=True)
    plan = module.params["plan"]
    host = read(module.run_command, cluster=plan.get("cluster", ""))
    problems = check(plan, host)
    result = {"changed": False, "problems": problems, "addresses": host.addresses}
    if problems:
        lines = [f"- {row['text']} [rule {row['rule']}] Fix: {row['fix']}" for row in problems]
        title = f"{plan.get('name', 'this host')} cannot run its part of the plan; nothing was changed:"
        module.fail_json(msg="\n".join([title, *lines]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
