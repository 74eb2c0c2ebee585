# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_compare
short_description: Compare the hosts of a plan with each other by their facts
version_added: 0.1.0
description:
  - Compares what M(railyard.sglang.rdma_facts) and M(railyard.sglang.host_clock) have found on the hosts in this run - data devices, rates,
    MTUs, GID indexes, subnets, GPUs, topology, drivers, firmware, kernels, clocks - and says which hosts differ from the others.
  - What is usual is decided within an instance; where that is undecided, by its pool, its cluster, and the other rails.
  - Runs on the controller and contacts no host. Use it once per play.
  - Hosts that the run is limited away from are left out, and named.
  - C(sglang_waive) of a cluster waives its rules, C(sglang_rails_routed) says that rails of one number need not be in one subnet.
options:
  plan:
    description: The plan, RV(railyard.sglang.plan#module:plan).
    type: dict
    required: true
  clock_seconds:
    description: How many seconds clocks may be apart. Two are apart only where the uncertainty of both leaves no other possibility.
    type: float
    default: 1.0
  only_clocks:
    description: Compare nothing but clocks. No facts are needed then.
    type: bool
    default: false
  directory:
    description:
      - Directory on the controller for C(summary.txt), C(summary.html), C(summary.json) and the facts of every host, C(HOST.json).
        What a name of a file cannot hold becomes an underscore.
      - By default nothing is written.
    type: path
  fail_on:
    description: The least severity of a finding that makes the task fail, after everything was written.
    type: str
    choices: [error, warning, note]
    default: error
  show:
    description: Whether to show the table and the findings. Otherwise warnings are shown as those of the task.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
requirements:
  - netaddr (on the controller)
seealso:
  - module: railyard.sglang.rdma_facts
  - module: railyard.sglang.host_clock
  - module: railyard.sglang.plan
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compare the hosts with each other
  railyard.sglang.host_compare:
    plan: "{{ sglang_planned.plan }}"
    directory: facts
  run_once: true
"""

RETURN = r"""
findings:
  description: What differs, errors first, in the form of the plan's findings.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: Name of the rule, for example V(compare.active-mtu).
      returned: always
      type: str
    variable:
      description: The inventory variable, or the fact, that is to blame.
      returned: always
      type: str
    host:
      description: The host that differs; empty where it is no single one.
      returned: always
      type: str
    text:
      description: What is wrong, with the values found.
      returned: always
      type: str
    fix:
      description: What to do.
      returned: always
      type: str
    severity:
      description: V(error), V(warning), V(note) or V(waived).
      returned: always
      type: str
    cluster:
      description: Name of the cluster.
      returned: always
      type: str
    place:
      description: Instance that it concerns, empty when it is no single one.
      returned: always
      type: str
table:
  description: The summary as lines of text.
  returned: always
  type: list
  elements: str
directory:
  description: Where the files are.
  returned: when O(directory) is given
  type: str
files:
  description: Names of all files.
  returned: when O(directory) is given
  type: list
  elements: str
written:
  description: Names of the files that were written, or would be in check mode.
  returned: when O(directory) is given
  type: list
  elements: str
"""
