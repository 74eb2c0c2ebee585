# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module unit_states: what systemd says of some units."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_states
short_description: Return what systemd says of some units
version_added: 0.1.0
description:
  - Returns all properties of units as C(systemctl show) tells them, one that does not exist with C(LoadState) V(not-found).
  - Values that are secrets by their names, or look like them, are masked before they leave the host.
options:
  units:
    description: Names of systemd units.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Look at the units
  railyard.sglang.unit_states:
    units: [sglang-prefill-0.service, sglang-router.service]
"""

RETURN = r"""
units:
  description: Unit to property to value, and as C(Halted) which of its processes are stopped by a signal or a debugger.
  returned: success
  type: dict
  sample: {sglang-router.service: {ActiveState: failed, Result: exit-code}}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.bundle.unitstates import properties
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import runner


def main() -> None:
    """Ask systemd."""
    module = AnsibleModule(argument_spec={"units": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True)
    found, why = properties(runner(module), module.params["units"])
    if why:
        module.fail_json(msg=f"{why}. Fix: systemctl status on the host says what systemd is doing")
    module.exit_json(changed=False, units=found)


if __name__ == "__main__":
    main()
