# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module stack_facts: what is installed as stacks, and what they run on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_facts
short_description: Gather facts about installed stacks, drivers, CUDA and firmware
version_added: 0.1.0
description:
  - Reads which tree each stack's link points to, whether it is complete, and every package in it; and the operating system, NVIDIA's
    and AMD's
    drivers, CUDA toolkits, and the firmware of GPUs and RDMA devices.
  - Reads files only. It runs no program and imports nothing of a stack, and never fails for lack of a stack or of hardware.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  names:
    description: Names of the stacks.
    type: list
    elements: str
    required: true
  path:
    description: Directory of the links.
    type: path
    default: /opt/sglang
  store:
    description: Directory of the trees, V(store) below O(path) if it is not given.
    type: path
  planned:
    description: Names of all stacks that any host plans to take from O(store). By default those of O(names).
    type: list
    elements: str
  verify:
    description:
      - Whether to read every file of the stacks and compare it with the digest that its wheel has recorded. An engine's stack has
        several GiB.
      - Files that the definition of a stack patches are altered, too; M(railyard.sglang.stack_report) knows them.
    type: bool
    default: false
  root:
    description: Directory to read drivers, CUDA and firmware in as if it were C(/), for a tree that was captured on another machine.
    type: path
    default: /
seealso:
  - module: railyard.sglang.stack_report
  - module: railyard.sglang.stack
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Know what is installed
  railyard.sglang.stack_facts:
    names: [sglang-0.5.8-cpu, sglang-router-0.3.2]

- name: Show the versions of its packages
  ansible.builtin.debug:
    var: ansible_facts.sglang_versions.stacks['sglang-0.5.8-cpu'].packages
"""

RETURN = r"""
ansible_facts:
  description: The facts, as C(ansible_facts.sglang_versions).
  returned: always
  type: complex
  contains:
    sglang_versions:
      description: Everything that was found. Keys are always the same; what is not known is V(null).
      returned: always
      type: complex
      contains:
        stacks:
          description:
            - By name of the stack, C(link), C(state) (V(absent), V(foreign) for what is no link, V(dangling), V(incomplete),
              V(complete)), C(tree), C(external),
              C(id) of its content, C(python), C(packages) with their versions, and C(altered), files that are not what was
              installed, V(null)
              without O(verify).
          returned: always
          type: dict
        unplanned:
          description:
            - Complete trees in O(store) of stacks that are not O(planned), with C(stack), C(tree), and C(mib), their size, V(null) where
              it was not recorded. The stack role never removes them.
          returned: always
          type: list
          elements: dict
        os:
          description: C(id), C(version) and C(name) of the operating system.
          returned: always
          type: dict
        kernel:
          description: Release of the running kernel.
          returned: always
          type: str
        glibc:
          description: Version of glibc.
          returned: always
          type: str
        bios:
          description: Version of the BIOS.
          returned: always
          type: str
        nvidia:
          description: Version of the loaded C(driver), its C(kind) (V(open), V(proprietary)) and the versions of libcuda that are
            installed, C(libraries).
          returned: always
          type: dict
        amd:
          description: Versions of C(driver) and C(rocm).
          returned: always
          type: dict
        cuda:
          description: CUDA toolkits with C(path), C(version), and C(nvcc), its version, empty where the compiler is missing.
          returned: always
          type: list
          elements: dict
        gpus:
          description: GPUs with C(index), V(null) where no process can use it, C(model), C(firmware) and C(bios).
          returned: always
          type: list
          elements: dict
        nics:
          description: RDMA devices with C(name), C(driver), C(driver_version), C(firmware) and C(board).
          returned: always
          type: list
          elements: dict
"""

import os
from pathlib import Path
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.installed import look_at, unplanned
from ansible_collections.railyard.sglang.plugins.module_utils.stack.machine import look
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_glibc

ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "names": {"type": "list", "elements": "str", "required": True},
    "path": {"type": "path", "default": "/opt/sglang"},
    "store": {"type": "path"},
    "planned": {"type": "list", "elements": "str"},
    "verify": {"type": "bool", "default": False},
    "root": {"type": "path", "default": "/"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if not os.path.isdir(params["root"]):
        module.fail_json(msg=f"root: there is no directory {params['root']}")
    path = Path(params["path"])
    store = Path(params["store"]) if params["store"] else path / "store"
    planned = params["names"] if params["planned"] is None else params["planned"]
    try:
        stacks = {name: look_at(path, name, params["verify"]) for name in params["names"]}
        surplus = unplanned(store, planned)
    except OSError as error:
        fix = "run as a user who may read the stacks; they are readable by everybody unless somebody changed that"
        module.fail_json(msg=f"{error.filename}: {error.strerror}. Fix: {fix}.")
    except StackError as error:
        module.fail_json(msg=str(error))
    facts = {"stacks": stacks, "unplanned": surplus, **look(open_root(params["root"]), local_glibc)}
    module.exit_json(changed=False, ansible_facts={"sglang_versions": facts})


if __name__ == "__main__":
    main()
