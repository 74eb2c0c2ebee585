# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cache_report
short_description: Show and write the kernel caches of all hosts
version_added: 0.1.0
description:
  - Shows what M(railyard.sglang.kernel_cache) has found on the hosts in this run - keys, sizes, whether they are whole - as tables, and
    writes it as text and as JSON. Runs on the controller and contacts no host. Use it once per play.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  hosts:
    description: The registered result of the look, by host. Hosts that were not looked at for having no caches are left out.
    type: dict
    required: true
  absent:
    description: Hosts that could not be looked at.
    type: list
    elements: str
    default: []
  directory:
    description: Directory on the controller for C(caches.txt) and C(caches.json). By default nothing is written.
    type: path
  fail:
    description: Whether a cache that is not whole makes the task fail, after everything was written.
    type: bool
    default: false
  show:
    description: Whether to show the tables.
    type: bool
    default: true
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Show them
  railyard.sglang.kernel_cache_report:
    hosts: "{{ looked_by_host }}"
    directory: caches
  run_once: true
"""

RETURN = r"""
problems:
  description: What is not whole, a line each.
  returned: always
  type: list
  elements: str
table:
  description: What was shown.
  returned: always
  type: list
  elements: str
directory:
  description: Where the files are.
  returned: when O(directory) is given
  type: str
written:
  description: Files that differed.
  returned: when O(directory) is given
  type: list
  elements: str
"""
