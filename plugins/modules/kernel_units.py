# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kernel_units: what is stopped for a compilation is started again, whatever becomes of the run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_units
short_description: Remember what is stopped for a compilation of DeepGEMM kernels, and start it again
version_added: 0.1.0
description:
  - Units are written down on the host before they are stopped, so that what a run has stopped is started again by the next one when the
    controller was lost between the two. The record is in C(/run), gone with the next boot.
  - Stops nothing but compilations, see M(railyard.sglang.service_state).
extends_documentation_fragment:
  - railyard.sglang.attributes
options:
  state:
    description:
      - V(noted) writes down those of O(units) that are at work. V(restored) ends O(instances), starts what is written down, and forgets it.
        V(forgotten) ends O(instances) and forgets it, for a run that starts the units later.
    type: str
    choices: [noted, restored, forgotten]
    required: true
  units:
    description: Units that are about to be stopped. With O(state=restored) they matter in check mode only, which has noted nothing.
    type: list
    elements: str
    default: []
  instances:
    description: Instances whose compilation is ended where it is at work. Its kernels stay.
    type: list
    elements: str
    default: []
  root:
    description: Directory that stands for the root of the host's file system.
    type: path
    default: /
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Write down what is about to be stopped
  railyard.sglang.kernel_units:
    state: noted
    units: [sglang-prefill-0.service]

- name: Start it again
  railyard.sglang.kernel_units:
    state: restored
"""

RETURN = r"""
units:
  description: Units that are written down, or that were (or would be) started.
  returned: always
  type: list
  elements: str
ended:
  description: Instances whose compilation was ended.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import compiling, holders
from ansible_collections.railyard.sglang.plugins.module_utils.services import units


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["noted", "restored", "forgotten"], "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "instances": {"type": "list", "elements": "str", "default": []},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    given, root, run = module.params, module.params["root"].rstrip("/"), module.run_command
    try:
        jobs = [compiling.Job(name, root) for name in given["instances"]]
        ended = [job.instance for job in jobs if compiling.active(job, run)]
        for job in [] if module.check_mode else jobs:
            compiling.stop(job, run)
        if given["state"] == "noted":
            names = [name for name in given["units"] if units.show(run, name).active in holders.ACTIVE]
            if not module.check_mode:
                names = holders.note(root, names)
            module.exit_json(changed=bool(ended), units=names, ended=ended)
        if module.check_mode:
            names = sorted({*given["units"], *holders.waiting(root, run)}) if given["state"] == "restored" else []
        elif given["state"] == "restored":
            names = holders.restore(root, run)
        else:
            names = []
            holders.forget(root)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=f"what was stopped for a compilation: {error}. Fix: see the message, then run --tags deepgemm again")
    module.exit_json(changed=bool(names or ended), units=names, ended=ended)


if __name__ == "__main__":
    main()
