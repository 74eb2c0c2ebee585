# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kernel_progress: how far the compilations of a host are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_progress
short_description: Say how far the compilation of DeepGEMM kernels is, and wait for it
version_added: 0.1.0
description:
  - Reads what M(railyard.sglang.kernel_compile) has started - kernels so far, lines of the log and its last one, and how it ended.
  - With O(wait) the action plugin of the same name looks again until all of it has ended, and prints what has changed. Ranks of one
    instance wait for each other, so where one has failed on another host the others are ended as well.
  - A compilation that has failed is no failure of the task, see RV(jobs).
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  jobs:
    description: C(instance) and C(partial), the directory in which its kernels are made, of each compilation.
    type: list
    elements: dict
    required: true
  end:
    description: Whether to end those that are at work.
    type: bool
    default: false
  root:
    description: Directory that stands for the root of the host's file system where the files of compilations are.
    type: path
    default: /
  wait:
    description: Whether to wait. Read by the action plugin.
    type: bool
    default: true
  board:
    description: Directory on the controller by which the hosts of a run know of each other's failures. Read by the action plugin.
    type: path
    default: ''
  seconds:
    description: Seconds after which waiting ends. Read by the action plugin.
    type: int
    default: 3900
  most:
    description: Seconds after which this look ends although something is still at work, 0 for none. Read by the action plugin.
    type: int
    default: 0
  began:
    description: RV(began) of a former look at the same compilations. Read by the action plugin.
    type: int
    default: 0
  poll:
    description: Seconds between two looks. Read by the action plugin.
    type: int
    default: 15
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: See how far it is
  railyard.sglang.kernel_progress:
    jobs: "{{ jobs }}"
    wait: false
"""

RETURN = r"""
jobs:
  description: C(instance), C(state) (V(running), V(done), V(failed) or V(lost)), C(why), C(kernels), C(lines), C(last), C(log), C(tail).
  returned: always
  type: list
  elements: dict
began:
  description: When waiting began, in seconds since 1970 on the controller.
  returned: with O(wait)
  type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import compiling
from ansible_collections.railyard.sglang.plugins.module_utils.services import units


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "jobs": {"type": "list", "elements": "dict", "required": True},
            "end": {"type": "bool", "default": False},
            "root": {"type": "path", "default": "/"},
            "wait": {"type": "bool", "default": True},
            "board": {"type": "path", "default": ""},
            "seconds": {"type": "int", "default": 3900},
            "most": {"type": "int", "default": 0},
            "began": {"type": "int", "default": 0},
            "poll": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    try:
        rows = []
        for row in module.params["jobs"]:
            job = compiling.Job(row["instance"], module.params["root"].rstrip("/"))
            if module.params["end"] and not module.check_mode:
                compiling.stop(job, module.run_command)
            rows.append(compiling.status(job, module.run_command, row["partial"]))
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, jobs=rows)


if __name__ == "__main__":
    main()
