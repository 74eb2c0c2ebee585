# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_report
short_description: Tell which interface of which host becomes which
version_added: 0.1.0
description:
  - Shows one table of what M(railyard.sglang.nic_names) found in check mode on all hosts - former and new name, PCI address, GPU, subnet -
    and what else is rewritten, what needs a person, what would be refused and why.
  - Runs on the controller and contacts no host. Use it once per play.
options:
  hosts:
    description:
      - Host to what is known of it. C(looked) is the result of M(railyard.sglang.nic_names), C(rails) are the rails of the host's slice of
        the plan, C(written) is the interface that the inventory names as C(sglang_fabric_interface). With C(drain) the C(units) of the
        plan that are in the way are stopped before the change, and no others.
    type: dict
    required: true
  directory:
    description:
      - Directory on the controller for C(network.txt) and C(network.json). In check mode nothing is written.
      - By default nothing is written.
    type: path
  dry:
    description: Whether nothing is changed. The report then says what would be.
    type: bool
    default: false
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
seealso:
  - module: railyard.sglang.nic_names
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Tell which interface becomes which
  railyard.sglang.network_report:
    hosts: "{{ dict(ansible_play_hosts | zip(looked)) }}"
    directory: network
    dry: true
  run_once: true
"""

RETURN = r"""
table:
  description: The report as lines of text.
  returned: always
  type: list
  elements: str
refused:
  description: Host to the reasons why nothing may be changed on it.
  returned: always
  type: dict
directory:
  description: Where the files are.
  returned: when O(directory) is given
  type: str
files:
  description: Names of the files.
  returned: when O(directory) is given
  type: list
  elements: str
"""
