# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Compute the launch plan of the cluster in this inventory
version_added: 0.1.0
description:
  - Computes, on the controller, from inventory variables and from facts of the hosts where there are some, what will run on every host -
    instances, ranks, command lines, environment, ports, unit names and the router's worker list - and the reason for every derived value.
  - Checks it before anything runs. All violated rules are reported at once, each with the variable, the host, the rule and the fix.
  - No host is contacted; facts were gathered before.
options:
  converge:
    description: Whether the run goes on to change hosts. Then its limit, its tags and the stacks must allow that.
    type: bool
    default: true
  looked:
    description:
      - Whether to complete the plan from the facts that M(railyard.sglang.rdma_facts) gathered on the hosts in this run.
      - Hosts without such facts are planned from the inventory alone; what is then not known is in C(unknown) of their ranks.
    type: bool
    default: false
  looked_hosts:
    description:
      - Hosts whose facts are of this run. By default those of the play; a play of a part of them names them all.
    type: list
    elements: str
  renamed:
    description:
      - Host to rows with C(before), C(after), C(rdma_before) and C(rdma_after), as M(railyard.sglang.nic_names) returns them. The plan
        is then that of the hosts as they will be, with the new names in their facts, and in their variables that name RDMA devices.
        A warning says what is to be written into the inventory.
    type: dict
    default: {}
  already_renamed:
    description: The same for hosts that have their new names by now. Their facts have them, their variables may not.
    type: dict
    default: {}
  names_only:
    description:
      - Whether the run does nothing but give interfaces their names. What that mends, or need not know, is a warning then - interfaces
        without an address, ports that are missing. A run whose only tag is C(network) is such a run, too.
    type: bool
    default: false
  names_dry:
    description: Whether stage network only tells what it would do. With O(converge=true) a run with other stages is refused then.
    type: bool
    default: false
  preliminary:
    description: Whether a plan that is completed from facts follows. Then warnings are left to that one, where there are such facts.
    type: bool
    default: false
  facts_directory:
    description:
      - Directory with facts of an earlier run, one C(HOST.json) per host, to use instead.
    type: path
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
requirements:
  - netaddr (on the controller)
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compute the plan
  railyard.sglang.plan:
  run_once: true
  register: planned

- name: Keep this host's slice of it
  ansible.builtin.set_fact:
    sglang_host: "{{ planned.plan.hosts[inventory_hostname] }}"
"""

RETURN = r"""
plan:
  description: The plan. RV(plan.hosts) holds each host's slice, which is all that a role reads.
  returned: when the inventory can be planned
  type: dict
  contains:
    schema:
      description: Version of this structure.
      type: int
      returned: always
    instances:
      description: Instances with their ranks.
      type: list
      elements: dict
      returned: always
    routers:
      description: Routers with their command line and worker list.
      type: list
      elements: dict
      returned: always
    hosts:
      description: Slice of each host, by inventory name.
      type: dict
      returned: always
findings:
  description: What is wrong, one entry per violated rule.
  returned: when the inventory cannot be planned
  type: list
  elements: dict
draft:
  description: What was planned all the same, as far as it went, for a picture of what is wrong with it. It must not run.
  returned: when the inventory cannot be planned
  type: dict
inventories:
  description: Inventories found beside the playbook and in the current directory.
  returned: when the inventory cannot be planned
  type: list
  elements: str
"""
