# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible inventory plugin: the hosts of the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab
short_description: Hosts of the lab on this machine
version_added: 0.1.0
author:
  - railyard.sglang contributors (@railyard)
description:
  - Lists the hosts of a lab of a given shape, in the groups V(prefill), V(decode) and V(router), be it up or not.
  - The module M(railyard.sglang.nspawn_lab) or M(railyard.sglang.qemu_lab) starts what this lists.
  - The file's name must end with V(lab.yml) or V(lab.yaml).
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [railyard.sglang.lab]
  backend:
    description:
      - What the hosts are. V(nspawn) are containers with this machine's kernel, as fast as it; the engine runs there.
      - V(qemu) are emulated machines with a kernel of their own, 10 to 30 times slower. They have eight soft-RoCE devices on
        eight rails, two NUMA nodes, and interfaces named differently on prefill and decode hosts.
    type: str
    choices: [nspawn, qemu]
    default: nspawn
    aliases: [lab_backend]
    env:
      - name: RAILYARD_LAB_BACKEND
  router:
    description: Whether there is a router's host. Unset, there is one with O(backend=nspawn) only.
    type: bool
    env:
      - name: RAILYARD_LAB_ROUTER
  machine_memory_mb:
    description: Memory in MiB of each emulated machine, with O(backend=qemu).
    type: int
    default: 768
    env:
      - name: RAILYARD_LAB_MACHINE_MEMORY_MB
  distribution:
    description: What emulated machines look like, with O(backend=qemu); see M(railyard.sglang.qemu_lab).
    type: str
    choices: [debian, rhel_like]
    default: debian
    env:
      - name: RAILYARD_LAB_DISTRIBUTION
  shape:
    description:
      - Prefill and decode hosts, as V(2p2d); a router comes on top. V(1p1d) fits machines with 8 GiB of memory.
    type: str
    default: 2p2d
    env:
      - name: RAILYARD_LAB_SHAPE
  nodes_per_instance:
    description:
      - Hosts that form one engine instance. It must divide both counts of O(shape).
      - Unset, it is 2 where both counts are even, else 1.
    type: int
    env:
      - name: RAILYARD_LAB_NODES_PER_INSTANCE
  name:
    description: Name of the lab.
    type: str
    default: lab
    env:
      - name: RAILYARD_LAB_NAME
  cache_directory:
    description:
      - Directory of the lab's files and root images. Unset, it is C(railyard-sglang) in the user's cache directory.
    type: path
    env:
      - name: RAILYARD_CACHE
  management_network:
    description:
      - IPv4 network of the interfaces C(mgmt0).
      - V(auto) takes that of the running lab, else the first one of the ranges for documentation and benchmarking
        that is free on this machine.
    type: str
    default: auto
    env:
      - name: RAILYARD_LAB_MANAGEMENT_NETWORK
  fabric_network:
    description:
      - IPv4 network of the interfaces C(fab0); V(auto) as for O(management_network).
      - With O(backend=qemu) it is that of all rails, of which each has a /24 in turn; its prefix is /21 or shorter.
    type: str
    default: auto
    env:
      - name: RAILYARD_LAB_FABRIC_NETWORK
"""

EXAMPLES = r"""
# inventory/lab/lab.yml
plugin: railyard.sglang.lab

# Six engine hosts, two of which form an instance, in networks of your own choice.
# plugin: railyard.sglang.lab
# shape: 4p2d
# nodes_per_instance: 2
# management_network: 203.0.113.0/24
# fabric_network: 198.51.100.0/24

# Two emulated machines with RDMA devices.
# plugin: railyard.sglang.lab
# backend: qemu
# shape: 1p1d
"""

import os
import shlex
from dataclasses import asdict, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import (
    SHORTEST_NETWORK,
    LabHost,
    check_name,
    lab_hosts,
    nodes_per_instance,
    parse_shape,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import FABRIC_PREFIX, cards, check_fabric
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner, run_command
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    REGISTER,
    HostRecord,
    Paths,
    default_cache,
    load_record,
    networks_of_labs,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import (
    choose_networks,
    parse_network,
    read_occupied,
)

GROUPS = ("prefill", "decode", "router")
OPTIONS = (
    "backend",
    "distribution",
    "router",
    "machine_memory_mb",
    "shape",
    "nodes_per_instance",
    "name",
    "cache_directory",
    "management_network",
    "fabric_network",
)
SSH = Path(__file__).resolve().parents[2] / "roles/lab/files/lab-ssh.sh"


def lab_networks(options: dict[str, Any], paths: Paths, runner: Runner, register: Path = REGISTER) -> tuple[IPv4Network, IPv4Network]:
    """Return the management and the fabric network: the operator's, else the recorded ones, else free ones.

    Raises:
        LabError: a network is wrong or in use, or none is free.
    """
    names = ("management_network", "fabric_network")
    given = {name: None if options[name] == "auto" else parse_network(options[name], name) for name in names}
    try:
        record = load_record(paths.record)
    except LabError:
        # Taking the lab down needs an inventory; starting it says what is wrong with the record.
        record = None
    if record:
        management = given["management_network"] or IPv4Network(record.management_network)
        return management, given["fabric_network"] or IPv4Network(record.fabric_network)
    occupied = [*read_occupied(runner), *networks_of_labs(register, paths.name)]
    prefix = FABRIC_PREFIX if options["backend"] == "qemu" else SHORTEST_NETWORK
    return choose_networks(given["management_network"], given["fabric_network"], occupied, prefix)


def rail_variables(host: LabHost, fabric: IPv4Network) -> dict[str, Any]:
    """Return what only emulated machines have: an interface for each rail, and its device.

    Raises:
        LabError: the rails do not fit into the fabric's network.
    """
    record = HostRecord(**asdict(host))
    check_fabric(fabric, (record,))
    found = cards(record, str(fabric))
    rails = [
        {
            "rail": card.rail,
            "interface": card.interface,
            "device": "" if host.group == "router" else card.device,
            "address": card.address,
            "mac": card.mac,
            "pci": card.slot.address,
            "numa_node": card.slot.numa_node,
        }
        for card in found
    ]
    return {"lab_rails": rails, "sglang_fabric_interface": found[0].interface}


def lab_variables(options: dict[str, Any], runner: Runner, register: Path = REGISTER) -> dict[str, Any]:
    """Return the variables of the group all and, as hosts, each host's group and variables.

    Raises:
        LabError: an option is wrong; the text names it, the rule and the fix.
    """
    shape = parse_shape(options["shape"])
    paths = Paths(Path(options["cache_directory"]), check_name(options["name"]), register)
    management, fabric = lab_networks(options, paths, runner, register)
    emulated = options["backend"] == "qemu"
    routed = not emulated if options["router"] is None else options["router"]
    hosts = [host for host in lab_hosts(shape, management, fabric) if routed or host.group != "router"]
    if emulated:
        hosts = [replace(host, memory_mb=options["machine_memory_mb"]) for host in hosts]
    shared = {
        "lab_name": paths.name,
        "lab_backend": options["backend"],
        "lab_distribution": options["distribution"],
        "lab_cache": str(paths.cache),
        "lab_owner": os.getuid(),
        "lab_shape": str(shape),
        "lab_nodes_per_instance": nodes_per_instance(shape, options["nodes_per_instance"]),
        "lab_management_network": str(management),
        "lab_fabric_network": str(fabric),
        "lab_hosts": [asdict(host) for host in hosts],
        "sglang_fabric_network": str(fabric),
    }
    connection = {
        "ansible_connection": "ssh",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_executable": str(SSH),
        "ansible_ssh_common_args": f"-F {shlex.quote(str(paths.ssh_config))}",
        # sftp and scp would not find their way into the lab's namespace.
        "ansible_ssh_transfer_method": "piped",
        "ansible_ssh_pipelining": True,
    }
    if paths.control.is_dir():
        # Shared connections must not outlive the lab: a later one has other hosts at the same addresses.
        connection["ansible_control_path_dir"] = str(paths.control)
    return {
        "all": shared,
        "hosts": {
            host.name: (
                host.group,
                {
                    "ansible_host": host.management_address,
                    "sglang_fabric_address": host.fabric_address,
                    **connection,
                    **(rail_variables(host, fabric) if emulated else {}),
                },
            )
            for host in hosts
        },
    }


class InventoryModule(BaseInventoryPlugin):
    """The inventory plugin railyard.sglang.lab."""

    NAME = "railyard.sglang.lab"

    def verify_file(self, path: str) -> bool:
        """Tell whether a file may be meant for this plugin."""
        return super().verify_file(path) and path.endswith(("lab.yml", "lab.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the lab's hosts, groups and variables to the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        options = {name: self.get_option(name) for name in OPTIONS}
        options["cache_directory"] = options["cache_directory"] or str(default_cache(dict(os.environ)))
        try:
            variables = lab_variables(options, run_command)
        except LabError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        for name, value in variables["all"].items():
            self.inventory.set_variable("all", name, value)
        for group in GROUPS:
            self.inventory.add_group(group)
        for host, (group, values) in variables["hosts"].items():
            self.inventory.add_host(host, group=group)
            for name, value in values.items():
                self.inventory.set_variable(host, name, value)
