# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module service_state: systemd units started or stopped."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: Start or stop systemd units
version_added: 0.1.0
description:
  - Starts or stops several units of one host in one call, at the same time.
  - In check mode a unit that does not exist yet counts as one that would be started, so a first run on a bare host can be predicted.
extends_documentation_fragment:
  - railyard.sglang.attributes
options:
  units:
    description: Names of the units, with their suffix.
    type: list
    elements: str
    required: true
  state:
    description: What they shall be.
    type: str
    choices: [started, stopped]
    required: true
  stopped:
    description:
      - Units that an earlier task of the same run stops. In check mode they still run, and O(state=started) counts them as started.
    type: list
    elements: str
    default: []
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Start the ranks of this host
  railyard.sglang.service_state:
    units: [sglang-prefill-0.service]
    state: started
"""

RETURN = r"""
units:
  description: The units that were (or would be) acted on.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import units


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "stopped": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = module.params["state"]
    try:
        found = [units.show(module.run_command, name) for name in module.params["units"]]
        if wanted == "started":
            stopped = module.params["stopped"] if module.check_mode else []
            chosen = [unit for unit in found if unit.active not in ("active", "activating", "reloading") or unit.name in stopped]
        else:
            chosen = [unit for unit in found if unit.active not in ("inactive", "failed")]
        names = [unit.name for unit in chosen]
        if names and not module.check_mode:
            units.systemctl(module.run_command, "start" if wanted == "started" else "stop", *names)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"{', '.join(module.params['units'])}: {error}")
    module.exit_json(changed=bool(names), units=names)


if __name__ == "__main__":
    main()
