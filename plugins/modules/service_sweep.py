# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module service_sweep: services that a plan does not have any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_sweep
short_description: Remove services of a cluster that its plan does not have any more
version_added: 0.1.0
description:
  - Finds the units that this collection installed for the cluster on the host, by the mark in their first line, and removes those that
    are not planned - stopped, disabled, with their drop-ins and their directory below C(/etc/sglang).
  - An instance that was renamed, moved to another host or taken away, and a router that moved, end this way.
extends_documentation_fragment:
  - railyard.sglang.attributes
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  planned:
    description: Units that the plan puts on this host.
    type: list
    elements: str
    required: true
  allow_stop:
    description: Whether a unit that runs may be stopped. Without it the module fails before it changes anything when one does.
    type: bool
    default: false
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Remove what the plan does not have any more
  railyard.sglang.service_sweep:
    cluster: lab
    planned: [sglang-prefill-0.service]
    allow_stop: true
"""

RETURN = r"""
units:
  description: Units that were (or would be) removed.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
from typing import Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import units


def remove(module: AnsibleModule, surplus: Dict[str, str]) -> None:
    """Stop units and take their files away, the mark last, so that an interrupted removal is found again."""
    for name, text in surplus.items():
        units.systemctl(module.run_command, "disable", "--now", name)
        for path in (os.path.join(units.DIRECTORY, name + ".d"), units.own_directory(text)):
            if path and os.path.isdir(path):
                shutil.rmtree(path)
        os.unlink(os.path.join(units.DIRECTORY, name))
    units.systemctl(module.run_command, "daemon-reload")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "planned": {"type": "list", "elements": "str", "required": True},
            "allow_stop": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    planned = set(module.params["planned"])
    try:
        surplus = {name: text for name, text in units.marked(module.params["cluster"]).items() if name not in planned}
        running = [name for name in surplus if units.show(module.run_command, name).up]
        if running and not module.params["allow_stop"] and not module.check_mode:
            module.fail_json(
                msg=f"{', '.join(running)} runs here and is in the plan of this host no more. Nothing was changed on this host. "
                "Fix: set sglang_allow_restart: true to let it be stopped and removed, or put it back into the inventory",
                units=sorted(surplus),
            )
        if surplus and not module.check_mode:
            remove(module, surplus)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"removing services that are not planned: {error}")
    module.exit_json(changed=bool(surplus), units=sorted(surplus))


if __name__ == "__main__":
    main()
