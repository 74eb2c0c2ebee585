# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_clock
short_description: Measure how far a host's clock is from the controller's
version_added: 0.1.0
description:
  - Asks the host for the time by a few short commands over the connection. Each answer was given between the question and its
    arrival, so that each leaves a span in which the offset must be; together they leave a narrower one.
  - Also asks whether a time service keeps the clock, as C(timedatectl) says it.
  - Nothing is installed, set or written. C(become) is not used, and no Python is needed on the host.
  - M(railyard.sglang.host_compare) compares the clocks of all hosts.
options:
  attempts:
    description: How often to ask at most, from 2 to 20. Two are always made, because the first one may open the connection.
    type: int
    default: 4
  enough:
    description: Stop asking when the offset is known to so many seconds either way.
    type: float
    default: 0.1
  seconds:
    description: Ask no further after so many seconds.
    type: float
    default: 20.0
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
seealso:
  - module: railyard.sglang.host_compare
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Measure the clock
  railyard.sglang.host_clock:

- name: Show it
  ansible.builtin.debug:
    msg: "{{ ansible_facts.sglang_clock.offset }} s, give or take {{ ansible_facts.sglang_clock.uncertainty }} s"
"""

RETURN = r"""
ansible_facts:
  description: The clock, as C(ansible_facts.sglang_clock).
  returned: success
  type: complex
  contains:
    sglang_clock:
      description: What is known of the clock.
      returned: success
      type: complex
      contains:
        low:
          description: The clock is at least so many seconds ahead of the controller's; negative where it may be behind.
          returned: success
          type: float
        high:
          description: The clock is at most so many seconds ahead of the controller's.
          returned: success
          type: float
        offset:
          description: The middle between both.
          returned: success
          type: float
        uncertainty:
          description: How far the true offset may be from RV(ansible_facts.sglang_clock.offset).
          returned: success
          type: float
        steady:
          description: Whether all answers agree. A clock that was set while it was measured is not steady.
          returned: success
          type: bool
        synchronised:
          description: Whether a time service keeps the clock; V(null) where the host has no C(timedatectl).
          returned: success
          type: bool
readings:
  description: What each answer left by itself.
  returned: success
  type: list
  elements: dict
"""
