# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module fabric_measure: one host's part of the fabric test."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_measure
short_description: Run one host's part of the fabric test
version_added: 0.1.0
description:
  - Runs, round after round, this host's ends of measurements between ports (perftest) and its ranks of all-reduces (torch), each as a
    transient unit of systemd with user, limits, devices and hardening of the engine's unit.
  - Reads the counters of each port before and after.
  - All hosts must run it at the same time, since each end waits for its peer only so long. Started as an asynchronous task, it does not
    matter how many forks Ansible has.
  - Nothing is left behind. Every unit has an end of its own that systemd keeps, whatever becomes of this module.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  check_mode:
    description: A measurement cannot be predicted.
    support: none
options:
  run:
    description: Name of the run, part of the units' names. Letters and digits.
    type: str
    required: true
  rounds:
    description: Rounds as M(railyard.sglang.fabric_schedule) returns them.
    type: list
    elements: dict
    required: true
  tests:
    description: This host's part, as M(railyard.sglang.fabric_schedule) returns it.
    type: list
    elements: dict
    required: true
  unit_text:
    description: Text of the engine's unit.
    type: str
    required: true
  program:
    description: Text of the Python program for all-reduces.
    type: str
    default: ""
  start_after:
    description: Seconds to wait before the first round, so that all hosts begin together.
    type: float
    default: 0
  limit:
    description: Seconds after which nothing more is begun.
    type: int
    default: 900
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Measure on all hosts at the same time
  railyard.sglang.fabric_measure:
    run: "{{ schedule.run }}"
    rounds: "{{ schedule.rounds }}"
    tests: "{{ schedule.parts[inventory_hostname] }}"
    unit_text: "{{ looked.unit_text }}"
  async: 1200
  poll: 0
"""

RETURN = r"""
records:
  description: What each test came to, with figures, counters and the last lines of what failed.
  returned: success
  type: list
  elements: dict
user:
  description: Who measured.
  returned: success
  type: str
properties:
  description: Properties of the engine's unit that the measuring units had.
  returned: success
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import pwd
import re
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.measure import Host
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.unit import hardening


def known(name: str) -> bool:
    """Return whether a user exists."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "run": {"type": "str", "required": True},
            "rounds": {"type": "list", "elements": "dict", "required": True},
            "tests": {"type": "list", "elements": "dict", "required": True},
            "unit_text": {"type": "str", "required": True},
            "program": {"type": "str", "default": ""},
            "start_after": {"type": "float", "default": 0},
            "limit": {"type": "int", "default": 900},
        },
        supports_check_mode=False,
    )
    given = module.params
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", given["run"]):
        module.fail_json(msg=f"run {given['run']!r} is not a name of letters and digits")
    own = hardening(given["unit_text"], exists=True)
    if own.user and not known(own.user):
        own = hardening(given["unit_text"], exists=False)
    time.sleep(max(0.0, given["start_after"]))
    began = time.monotonic()
    records = Host(given["run"], own, given["program"]).follow(given["rounds"], given["tests"], given["limit"])
    # It measures and leaves everything as it was.
    module.exit_json(
        changed=False, records=records, user=own.said, properties=own.properties, seconds=round(time.monotonic() - began, 1),
    )


if __name__ == "__main__":
    main()
