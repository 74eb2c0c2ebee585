# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module nic_facts: network devices, their cards and their profiles."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nic_facts
short_description: Gather facts about NICs, their places and their profiles
version_added: 0.1.0
description:
  - Reads all network devices with what tells their cards from others at the next boot (permanent address, PCI address), other names,
    bonds and what lies on what, the C(.link) file that named them, RDMA devices, profiles of NetworkManager, and whether the
    controller's connection runs over them.
  - Asks the kernel by netlink and reads sysfs, udev's database and the files of profiles. Starts C(nmcli) twice at most.
  - Never fails for lack of NetworkManager, and works unprivileged; it then knows no profiles of which only root may read the files. Every
    file that is there and could not be read is in RV(errors).
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  root:
    description:
      - Directory to read as if it were C(/), for a tree that was captured on another machine. Nothing is run then and the kernel is not
        asked; a card's address stands for its permanent one.
    type: path
    default: /
seealso:
  - module: railyard.sglang.nic_names
  - module: railyard.sglang.rdma_facts
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Know the NICs
  railyard.sglang.nic_facts:

- name: Show the permanent address of each card's port
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ item.permanent_mac }} {{ item.pci }}"
  loop: "{{ ansible_facts.nics | selectattr('kind', 'equalto', '') }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts, as C(ansible_facts.nics).
  returned: always
  type: complex
  contains:
    nics:
      description: Network devices in the order of the kernel. Keys are always the same.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          returned: always
          type: str
        index:
          description: Number in the kernel.
          returned: always
          type: int
        mac:
          description: Hardware address in use; of a bond's port that is the bond's.
          returned: always
          type: str
        permanent_mac:
          description: The card's own address, empty where there is none.
          returned: always
          type: str
        driver:
          description: Driver of the card, empty for virtual devices.
          returned: always
          type: str
        pci:
          description: Address of the PCI function.
          returned: always
          type: str
        id_path:
          description: Place of the device by udev, as C(Path=) of a C(.link) file takes it.
          returned: always
          type: str
        port_name:
          description: Name of the port on its card (C(phys_port_name)), of a representor for example V(pf0vf3).
          returned: always
          type: str
        virtual_function:
          description: Whether it is a virtual function or a sub-function.
          returned: always
          type: bool
        kind:
          description: Kind of a virtual device, for example V(bond), empty for a card's port.
          returned: always
          type: str
        altnames:
          description: Alternative names.
          returned: always
          type: list
          elements: str
        up:
          description: Whether it is switched on.
          returned: always
          type: bool
        mtu:
          description: MTU in bytes.
          returned: always
          type: int
        master:
          description: Bond or bridge that it is a port of.
          returned: always
          type: str
        lower:
          description: Devices that it lies on.
          returned: always
          type: list
          elements: str
        ports:
          description: Devices that are its ports.
          returned: always
          type: list
          elements: str
        addresses:
          description: IP addresses with prefix length.
          returned: always
          type: list
          elements: str
        link_file:
          description: The C(.link) file that udev applied to it.
          returned: always
          type: str
        rdma:
          description: Its RDMA devices.
          returned: always
          type: list
          elements: str
        management:
          description: Whether the controller's connection runs over it. Where no ssh connection tells, the default routes do.
          returned: always
          type: bool
        profiles:
          description:
            - Profiles that are active on it or bound to it, with C(uuid), C(id), C(type), C(path), C(device), C(interface_name),
              C(mac_address).
          returned: always
          type: list
          elements: dict
errors:
  description: Files that are there and could not be read, each with the name of the error.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.facts import gather
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import runner


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"root": {"type": "path", "default": "/"}}, supports_check_mode=True)
    if not os.path.isdir(module.params["root"]):
        module.fail_json(msg=f"root: there is no directory {module.params['root']}. Fix: name the directory of an unpacked capture")
    nics, errors = gather(open_root(module.params["root"]), runner(module, (), "C.UTF-8"))
    module.exit_json(changed=False, ansible_facts={"nics": nics}, errors=errors)


if __name__ == "__main__":
    main()
