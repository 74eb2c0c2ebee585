# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_report
short_description: Judge what the fabric test measured and write it down
version_added: 0.1.0
description:
  - Compares figures with thresholds and with each other, names what failed with cause and fix, and writes C(fabric.json) and
    C(fabric.html), a page of heat maps that needs nothing else, on the controller.
  - Fails, after it has written, when something within rails, within a host or within an instance failed, is slow or was not measured.
    Ways between rails are reported only.
options:
  schedule:
    description: What M(railyard.sglang.fabric_schedule) returned.
    type: dict
    required: true
  hosts:
    description:
      - Of each host C(looked), what M(railyard.sglang.fabric_host) returned, and C(measured), what M(railyard.sglang.fabric_measure)
        returned, or null where it did not.
    type: dict
    required: true
  directory:
    description: Directory on the controller. It is created.
    type: path
    required: true
  title:
    description: Title of the page.
    type: str
    default: Fabric test
  min_gbps:
    description: Gb/s that every way within a rail must have. Without it, 90 % of what hardware ports carry.
    type: float
  max_latency_us:
    description: Microseconds that a way within a rail may take. Without it, 10 between hardware ports.
    type: float
  min_busbw_gbps:
    description: Bus bandwidth in Gb/s that every all-reduce must reach with one of its sizes.
    type: float
  outlier:
    description: Share of the median of its rail below which a way is slow.
    type: float
    default: 0.6
  require_perftest:
    description: Whether what was not measured for want of perftest is a failure.
    type: bool
    default: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Write the report
  railyard.sglang.fabric_report:
    schedule: "{{ schedule }}"
    hosts: "{{ measured }}"
    directory: fabric
  run_once: true
"""

RETURN = r"""
directory:
  description: Where the files are.
  returned: always
  type: str
files:
  description: Their names.
  returned: always
  type: list
  elements: str
counts:
  description: Number of measurements of each kind in each state.
  returned: always
  type: dict
errors:
  description: Error counters that moved, by port.
  returned: always
  type: dict
cross_rail_reachable:
  description: Whether rails reach each other; null where some do, none was tried, or it is not known.
  returned: always
  type: bool
"""
