# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module service_state: systemd units started, stopped or removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: Start, stop or remove systemd units
version_added: 0.1.0
description:
  - Starts or stops several units of one host in one call, at the same time, or stops and removes them with the files that belong to them.
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
    description:
      - V(absent) stops and disables the units and removes their files and O(directories).
    type: str
    choices: [started, stopped, absent]
    required: true
  directories:
    description: Directories to remove with the units, used with O(state=absent).
    type: list
    elements: path
    default: []
  stopped:
    description:
      - Units that an earlier task of the same run stops. In check mode they still run, and O(state=started) counts them as started.
    type: list
    elements: str
    default: []
  allow_stop:
    description: Whether a running unit may be stopped by O(state=absent).
    type: bool
    default: false
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

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import units


def remove(module: AnsibleModule, names: list, directories: list) -> None:
    """Disable units and take their files away."""
    for name in names:
        units.systemctl(module.run_command, "disable", "--now", name)
        os.unlink(os.path.join(units.DIRECTORY, name))
        shutil.rmtree(os.path.join(units.DIRECTORY, name + ".d"), ignore_errors=True)
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)
    units.systemctl(module.run_command, "daemon-reload")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "required": True},
            "directories": {"type": "list", "elements": "path", "default": []},
            "stopped": {"type": "list", "elements": "str", "default": []},
            "allow_stop": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params["state"]
    try:
        found = [units.show(module.run_command, name) for name in module.params["units"]]
        if wanted == "started":
            stopped = module.params["stopped"] if module.check_mode else []
            chosen = [unit for unit in found if unit.active not in ("active", "activating", "reloading") or unit.name in stopped]
        elif wanted == "stopped":
            chosen = [unit for unit in found if unit.active not in ("inactive", "failed")]
        else:
            chosen = [unit for unit in found if unit.load != "not-found"]
            serving = [unit.name for unit in chosen if unit.active == "active"]
            if serving and not module.params["allow_stop"]:
                module.fail_json(
                    msg=f"{', '.join(serving)} runs here and is in no plan any more. Nothing was changed. "
                    "Fix: set sglang_allow_restart: true to let it be stopped and removed, or put the instance back into the inventory"
                )
        names = [unit.name for unit in chosen]
        if names and not module.check_mode:
            if wanted == "absent":
                remove(module, names, module.params["directories"])
            else:
                units.systemctl(module.run_command, "start" if wanted == "started" else "stop", *names)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"{', '.join(module.params['units'])}: {error}")
    module.exit_json(changed=bool(names), units=names)


if __name__ == "__main__":
    main()
