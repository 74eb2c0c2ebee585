# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_report
short_description: Write a plan as text, JSON, a page with a picture, and firewall input
version_added: 0.1.0
description:
  - Writes C(plan.json), C(plan.txt), C(plan.html), C(firewall.nft) and C(firewall.json) on the controller and shows the text.
  - Says what would restart against the plan that was written there before; with C(--diff) as the difference of the task.
  - The same plan gives the same bytes, so a second run changes nothing. Check mode writes nothing and says what it would write.
  - Without a plan, only with findings, it writes C(plan.txt) and C(plan.html); the other files stay as they are.
  - Fails, after it has written, when a finding is as bad as O(fail_on).
options:
  plan:
    description: The plan, RV(railyard.sglang.plan#module:plan), or the content of a C(plan.json).
    type: dict
  findings:
    description: What stands in the way of a plan, RV(railyard.sglang.plan#module:findings). Used where there is no O(plan).
    type: list
    elements: dict
    default: []
  draft:
    description:
      - What was planned all the same of an inventory that cannot be planned, RV(railyard.sglang.plan#module:draft), for the picture.
    type: dict
  directory:
    description:
      - Directory for the files, on the controller; a relative one begins at the current directory.
      - By default C(plan/NAME), NAME being the name of the inventory.
    type: path
  previous:
    description: A C(plan.json) to compare with, by default the one in O(directory).
    type: path
  fail_on:
    description: The least severity of a finding that makes the task fail.
    type: str
    choices: [error, warning, note]
    default: error
  show:
    description: Whether to show the text.
    type: bool
    default: true
  clients:
    description: Addresses and networks that clients come from. By default they may come from anywhere.
    type: list
    elements: str
    default: []
  monitoring:
    description: Addresses and networks that metrics are read from. By default none.
    type: list
    elements: str
    default: []
  controllers:
    description: Addresses and networks that SSH comes from. By default it may come from anywhere.
    type: list
    elements: str
    default: []
  ssh_port:
    description: Port of SSH on the hosts.
    type: int
    default: 22
  zone:
    description: Zone of the rules for firewalld.
    type: str
    default: public
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.diff
requirements:
  - netaddr (on the controller)
seealso:
  - module: railyard.sglang.plan
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compute the plan
  railyard.sglang.plan:
    converge: false
  run_once: true
  register: planned

- name: Write it down
  railyard.sglang.plan_report:
    plan: "{{ planned.plan }}"
    directory: plan/east
    monitoring: [198.51.100.0/28]
    fail_on: warning
  run_once: true
"""

RETURN = r"""
directory:
  description: Where the files are.
  returned: always
  type: str
files:
  description: Names of the files of this report.
  returned: always
  type: list
  elements: str
written:
  description: Names of the files that were written, or would be in check mode.
  returned: always
  type: list
  elements: str
changes:
  description: What would happen to instances and routers that the earlier plan has, too, or has not.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: V(added), V(removed), V(moved) or V(restarted).
      type: str
      returned: always
    what:
      description: V(instance) or V(router).
      type: str
      returned: always
    cluster:
      description: Name of the cluster.
      type: str
      returned: always
    name:
      description: Name of the instance, or the router's host.
      type: str
      returned: always
    details:
      description: What changed, in words.
      type: list
      elements: str
      returned: always
"""
