# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_report
short_description: Compare what is installed on the hosts of a plan with the locks of its stacks
version_added: 0.1.0
description:
  - Compares what M(railyard.sglang.stack_facts) has found on the hosts in this run with the locks, package by package, and shows it
    together with
    drivers, CUDA and firmware. Any difference makes the task fail, with host, package, what was found, what is locked, and what to do.
  - Runs on the controller and contacts no host. Use it once per play.
  - Hosts of the plan that the run has not looked at are named, and are no difference.
options:
  plan:
    description: The plan, RV(railyard.sglang.plan#module:plan).
    type: dict
    required: true
  definitions:
    description: Definitions of all stacks of the plan, as the lookup P(railyard.sglang.stack_definition#lookup) gives them.
    type: list
    elements: dict
    required: true
  directory:
    description: Directory on the controller for C(versions.txt) and C(versions.json). By default nothing is written.
    type: path
  fail:
    description: Whether a difference makes the task fail, after everything was written.
    type: bool
    default: true
  show:
    description: Whether to show the tables.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
seealso:
  - module: railyard.sglang.stack_facts
  - module: railyard.sglang.plan
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compare what is installed with the locks
  railyard.sglang.stack_report:
    plan: "{{ sglang_planned.plan }}"
    definitions: "{{ query('railyard.sglang.stack_definition', 'sglang-0.5.8-cpu', 'sglang-router-0.3.2') }}"
    directory: versions
  run_once: true
"""

RETURN = r"""
drift:
  description: What differs.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host.
      returned: always
      type: str
    stack:
      description: The stack; V(-) where the difference is one of the host.
      returned: always
      type: str
    package:
      description: The package, or V(tree), V(python), V(nvidia driver), or a file of the stack.
      returned: always
      type: str
    found:
      description: The version found, or words.
      returned: always
      type: str
    locked:
      description: The version locked, or words.
      returned: always
      type: str
    fix:
      description: What to do.
      returned: always
      type: str
absent:
  description: Hosts of the plan that the run has not looked at.
  returned: always
  type: list
  elements: str
table:
  description: The tables as lines of text.
  returned: always
  type: list
  elements: str
directory:
  description: Where the files are.
  returned: when O(directory) is given
  type: str
written:
  description: Names of the files that were written, or would be in check mode.
  returned: when O(directory) is given
  type: list
  elements: str
"""
