# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rdma_facts: RDMA devices, GPUs and what connects them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rdma_facts
short_description: Gather facts about RDMA devices, GPUs and what connects them
version_added: 0.1.0
description:
  - Reads RDMA devices with their ports and GID tables, NVIDIA and AMD GPUs with the nearest NICs, network devices, and what kernel
    and drivers allow RDMA and GPUs to do with each other. Selects the devices that can carry data between hosts, with reasons.
  - Needs no external tool. Reads sysfs, procfs and unit files, and asks the kernel by netlink where files do not tell.
  - Works unprivileged and then knows less, for example nothing of PCI access control. What is not known is V(null); every file that
    is there and could not be read is in RV(ignore:rdma.errors).
  - Never fails for lack of hardware.
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
options:
  root:
    description:
      - Directory to read as if it were C(/), for a tree that was captured on another machine. Nothing outside it is read.
      - The kernel is not asked by netlink unless this is V(/). An unpacked archive of M(railyard.sglang.host_capture) holds what the
        kernel answered there, and which files could not be read.
    type: path
    default: /
  subsets:
    description:
      - Which facts to gather. V(select) needs V(rdma) and V(gpu) and gathers them too.
    type: list
    elements: str
    choices: [rdma, gpu, net, system, select]
    default: [rdma, gpu, net, system, select]
  use_netlink:
    description:
      - Whether to ask the kernel by netlink for what no file tells, such as the network device of an RDMA port, and the prefixes of
        addresses that have no route of their own.
    type: bool
    default: true
  units:
    description:
      - systemd units whose memlock limit is wanted, for example V(sglang-prefill-0.service). It is read from unit files and drop-ins.
    type: list
    elements: str
    default: []
  selection:
    description:
      - What is known of the host's data devices beforehand. It always wins over what the facts suggest, and is verified.
    type: dict
    suboptions:
      include:
        description:
          - Exactly these devices, by name, C(name:port) or PCI address, in this order.
        type: list
        elements: str
      exclude:
        description:
          - Never these devices.
        type: list
        elements: str
        default: []
      link_layer:
        description:
          - Link layer of the data devices.
        type: str
        choices: [auto, InfiniBand, Ethernet]
        default: auto
      min_rate_gbps:
        description:
          - Ports that are slower carry no data.
        type: float
      expected_devices:
        description:
          - Number of data devices that the host must have.
        type: int
      expected_rate_gbps:
        description:
          - Rate that every data port must have.
        type: float
      address_range:
        description:
          - Network that holds the addresses of all data ports, for example V(192.0.2.0/24).
        type: str
      gpu_map:
        description:
          - Devices of every GPU by its index, where the PCI layout does not tell.
        type: dict
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Know the RDMA devices and GPUs
  railyard.sglang.rdma_facts:

- name: Show which devices carry data, and why
  ansible.builtin.debug:
    msg: "{{ ansible_facts.rdma.selection.data_devices }}: {{ ansible_facts.rdma.selection.reasons }}"

- name: Know what an engine's unit may lock into memory
  railyard.sglang.rdma_facts:
    subsets: [system]
    units: [sglang-prefill-0.service]

- name: Replay a tree that was captured on another machine
  railyard.sglang.rdma_facts:
    root: /var/tmp/capture
  delegate_to: localhost
"""

RETURN = r"""
ansible_facts:
  description: The facts, as C(ansible_facts.rdma).
  returned: always
  type: complex
  contains:
    rdma:
      description: Everything that was found. Keys are always the same.
      returned: always
      type: complex
      contains:
        present:
          description: Whether there is an RDMA device with a port.
          returned: always
          type: bool
        netns_mode:
          description: Whether network namespaces share RDMA devices (V(shared)) or not (V(exclusive)).
          returned: always
          type: str
        devices:
          description:
            - RDMA devices with names, GUIDs, driver, firmware, board, PCI address and way through PCI, NUMA node, V(is_vf), bond
              (C(lag)) and C(ports).
            - A port has state, rate, link layer, network devices with MTU and addresses (those of VLANs on it, too), C(active_mtu)
              (derived, Ethernet only), the used slots of the GID table, C(rocev2_gid_index) of the port's own address,
              C(nccl_auto_gid_index) that NCCL would take by itself, and traffic class, PFC, ECN and trust where drivers show them.
          returned: always
          type: list
          elements: dict
        gpus:
          description:
            - GPUs in the order of their PCI addresses, with model, UUID, NUMA node, the nearest NICs (C(nics)), the path class to them
              (C(path), one of V(PIX), V(PXB), V(PHB), V(NODE), V(UNKNOWN), V(SYS)), the ties among them (C(tied)), the classes to
              all devices (C(paths)) and the GPUs of the same vendor that have a nearest NIC in common (C(shared_with)).
            - C(index) is the number by which the programs of its vendor know a GPU, V(null) where they do not see it, for example
              because C(vfio-pci) holds it for a guest.
          returned: always
          type: list
          elements: dict
        interfaces:
          description: Network devices by name, with MTU, state, addresses, PCI address, master and bond.
          returned: always
          type: dict
        system:
          description:
            - Kernel, command line traps, NVIDIA driver and its kind, peer memory, DMA-BUF, ACS, IOMMU, huge pages, memlock limits.
          returned: always
          type: dict
        selection:
          description: Data devices, what was left out and why, what is missing, and which GPU uses which device.
          returned: when asked for
          type: dict
        warnings:
          description: What deserves a look, one sentence each.
          returned: always
          type: list
          elements: str
        errors:
          description: Files that are there and could not be read, each with the name of the error.
          returned: always
          type: dict
        reads:
          description: Number of files read and directories listed.
          returned: always
          type: int
"""

import ipaddress
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select

SELECTION = {
    "include": {"type": "list", "elements": "str"},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "link_layer": {"type": "str", "choices": ["auto", "InfiniBand", "Ethernet"], "default": "auto"},
    "min_rate_gbps": {"type": "float"},
    "expected_devices": {"type": "int"},
    "expected_rate_gbps": {"type": "float"},
    "address_range": {"type": "str"},
    "gpu_map": {"type": "dict"},
}
SUBSETS = ["rdma", "gpu", "net", "system", "select"]
ARGUMENTS = {
    "root": {"type": "path", "default": "/"},
    "subsets": {"type": "list", "elements": "str", "choices": SUBSETS, "default": SUBSETS},
    "use_netlink": {"type": "bool", "default": True},
    "units": {"type": "list", "elements": "str", "default": []},
    "selection": {"type": "dict", "options": SELECTION, "apply_defaults": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    asked = module.params
    if not os.path.isdir(asked["root"]):
        module.fail_json(msg=f"root: there is no directory {asked['root']}")
    options = Options(**asked["selection"])
    if options.address_range:
        try:
            ipaddress.ip_network(options.address_range, strict=False)
        except ValueError as error:
            module.fail_json(msg=f"selection.address_range: {error}")
    subsets = set(asked["subsets"])
    if "select" in subsets:
        subsets |= {"rdma", "gpu"}
    facts = gather(open_root(asked["root"]), sorted(subsets), asked["use_netlink"], asked["units"])
    if "select" in subsets:
        facts["selection"] = select(facts, options)
    module.exit_json(changed=False, ansible_facts={"rdma": facts})


if __name__ == "__main__":
    main()
