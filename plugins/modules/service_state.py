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
  links:
    description:
      - Links of stacks with the trees that they shall point to, switched before the units are started and not at all where none is.
      - Only links that a planned unit starts from belong here.
    type: dict
    default: {}
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
from pathlib import Path
from typing import Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import link_target, take_into_use


def switch(links: Dict[str, str]) -> None:
    """Have links point to their trees: what started from them has been stopped."""
    for link, tree in links.items():
        if link_target(Path(link)) != Path(tree):
            take_into_use(Path(link), Path(tree))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "stopped": {"type": "list", "elements": "str", "default": []},
            "links": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
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
            if wanted == "started":
                switch(module.params["links"])
            units.systemctl(module.run_command, "start" if wanted == "started" else "stop", *names)
    except (units.UnitError, StackError, OSError) as error:
        module.fail_json(msg=f"{', '.join(module.params['units'])}: {error}")
    module.exit_json(changed=bool(names), units=names)


if __name__ == "__main__":
    main()
