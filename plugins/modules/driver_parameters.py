# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module driver_parameters: parameters of NVIDIA's driver that let GPUs ring the doorbells of NICs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_parameters
short_description: Set the parameters of NVIDIA's driver that IBGDA needs
version_added: 0.1.0
description:
  - Writes C(NVreg_EnableStreamMemOPs) and C(PeerMappingOverride) of C(NVreg_RegistryDwords) into a file of its own in
    C(/etc/modprobe.d), which is read after all others and keeps the registry words that they set.
  - Says whether the loaded driver has them. It gets them when it is loaded the next time, in practice after a reboot.
  - A file of that name that is not its own is refused, and so is a file that would be read later and sets the same.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  state:
    description: Whether the file is to be there.
    type: str
    choices: [present, absent]
    default: present
  initial_ramdisk:
    description: Whether the initial RAM disk of the running kernel is made anew where it is older than the file. It may hold the driver.
    type: bool
    default: false
  wait:
    description: Seconds to wait for the driver to be loaded, as after a boot.
    type: int
    default: 0
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Let GPUs ring the doorbells of NICs after the next boot
  railyard.sglang.driver_parameters:
    initial_ramdisk: true
"""

RETURN = r"""
missing:
  description: What the loaded driver lacks. Empty where it has all, and where none is loaded.
  returned: always
  type: list
  elements: str
  sample: [PeerMappingOverride]
loaded:
  description: Whether the driver is loaded.
  returned: always
  type: bool
reboot:
  description: Whether a reboot is needed for the parameters to be in effect.
  returned: always
  type: bool
notes:
  description: What deserves a look.
  returned: always
  type: list
  elements: str
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import driver
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import runner
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.refusing import refuse
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.selinux import labeller

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "initial_ramdisk": {"type": "bool", "default": False},
    "wait": {"type": "int", "default": 0},
}


def make_image(module: AnsibleModule, image: str, kernel: str) -> None:
    """Make the initial RAM disk anew; fail where that fails."""
    rc, out, err = runner(module, longer=driver.IMAGE_SECONDS)(driver.image_command(image, kernel))
    if rc != 0:
        words = (err or out).strip().splitlines()
        module.fail_json(msg=f"{image} could not be made anew: {words[-1] if words else rc}. Fix: see its tool's message, then run again")


def awaited(tree: Tree, kernel: str, seconds: float) -> driver.Host:
    """Return what there is, after the driver was loaded or the time is over."""
    until = time.monotonic() + seconds
    host = driver.look(tree, kernel)
    while host.params is None and time.monotonic() < until:
        time.sleep(min(2.0, seconds))
        host = driver.look(tree, kernel)
    return host


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    present, kernel = module.params["state"] == "present", os.uname().release
    os.umask(0o022)
    tree = Tree("/", labeller(module))
    try:
        host = awaited(tree, kernel, module.params["wait"])
        made = driver.plan(host, present)
        refuse(module, made.faults)
        for note in made.notes:
            module.warn(note)
        if made.changed and not module.check_mode:
            if made.text is None:
                tree.remove(driver.FILE)
            else:
                tree.write(driver.FILE, made.text.encode())
        image = bool(host.image) and module.params["initial_ramdisk"] and present and bool(made.missing) and (made.changed or host.stale)
        if image and not module.check_mode:
            make_image(module, host.image, kernel)
    except OSError as error:
        module.fail_json(msg=f"{error}. Fix: let root write to /etc/modprobe.d")
    loaded = host.params is not None
    result = {"diff": dict(driver.shown(host, made))} if module._diff else {}
    module.exit_json(
        changed=made.changed or image, loaded=loaded, missing=list(made.missing), reboot=bool(made.missing), notes=list(made.notes),
        **result,
    )


if __name__ == "__main__":
    main()
