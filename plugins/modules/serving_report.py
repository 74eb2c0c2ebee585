# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_report
short_description: Join what the hosts of a plan have said into the proof that they serve
version_added: 0.1.0
description:
  - Joins what M(railyard.sglang.rank_state), M(railyard.sglang.serving_proof) and M(railyard.sglang.serving_evidence) have returned in
    this run, as the role C(verify) registers it, judges by which transport the KV cache travelled, and finds slow pairs.
  - Runs on the controller and contacts no host. Use it once per play.
  - Fails where something was looked at and is not as planned. What a limited run did not look at is named, and no failure.
options:
  plan:
    description: The plan, RV(railyard.sglang.plan#module:plan).
    type: dict
    required: true
  directory:
    description: Directory of the controller for C(proof.txt), C(proof.json) and C(proof.html). Empty for none.
    type: str
    default: ""
  fail_on_slow:
    description: Whether a pair that is much slower than the others is a failure.
    type: bool
    default: false
  clock_seconds:
    description:
      - How many seconds the clocks of a cluster's hosts may be apart. Where its C(sglang_waive) accepts rule C(compare.clock) it is a note.
    type: float
    default: 1.0
  show:
    description: Whether to show the table.
    type: bool
    default: true
  fail:
    description: Whether to fail where something is not proven. Otherwise RV(verdict) says so.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
seealso:
  - module: railyard.sglang.serving_proof
  - module: railyard.sglang.serving_evidence
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Report what is proven
  railyard.sglang.serving_report:
    plan: "{{ sglang_planned.plan }}"
    directory: proof
  run_once: true
"""

RETURN = r"""
proof:
  description: The result, per cluster its verdict, steps, pairs, slow pairs and what the workers said of themselves.
  returned: always
  type: dict
verdict:
  description: V(proven), V(in part) where something was not looked at, or V(failed).
  returned: always
  type: str
table:
  description: The result as lines.
  returned: always
  type: list
  elements: str
problems:
  description: What is not proven, each with its step.
  returned: failure
  type: list
  elements: str
written:
  description: The files that were written.
  returned: when a directory is given
  type: list
  elements: str
directory:
  description: Where they are.
  returned: when a directory is given
  type: str
"""
