# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: a whole lab of virtual machines with soft-RoCE devices on this machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_lab
short_description: A lab of virtual machines with soft-RoCE devices on this machine
version_added: 0.1.0
description:
  - Starts or removes a whole lab of emulated machines. They run Debian's kernel, systemd, NetworkManager and an ssh server, on
    two NUMA nodes, with an interface for the management and eight cards on eight rails.
  - Prefill and decode hosts have their cards at other places on PCI, so that the interfaces' names differ. Each card has a
    soft-RoCE device, C(mlx5_0) to C(mlx5_7), made at each boot.
  - The processors are emulated ones, whatever this machine could do, and 10 to 30 times slower than its own.
  - The networks exist in one network namespace of the lab only. There is no uplink and no default route. Rails are separate.
  - All hosts share one disk image, which is built once from this machine's own package sources and kept in the cache
    under the hash of its content. What a host writes goes to a disk of its own on top, which is removed with the lab.
  - The state of a lab that has booted is kept in the cache. The same lab goes on from there when it is started again.
  - A lab that is up is left alone. Hosts of it that have died are booted again, with what they had written, and those that were
    halted by their monitor go on.
author:
  - railyard.sglang contributors (@railyard)
attributes:
  check_mode:
    description: Can run in check mode and say what it would do without doing it.
    support: full
  diff_mode:
    description: Shows the state of the lab and its hosts before and after.
    support: full
  platform:
    description: Machines that it runs on.
    platforms: linux
    support: full
requirements:
  - root
  - qemu-system-x86_64, qemu-img, mke2fs, zstd, mmdebstrap, ip, nsenter, ssh and ssh-keygen
  - /dev/net/tun
options:
  name:
    description:
      - Name of the lab, 1 to 16 lower-case letters and digits. Labs of different names can run side by side.
    type: str
    default: lab
  state:
    description:
      - V(present) starts what of the lab does not run, and waits until it answers.
      - V(absent) removes the lab. Images, saved states and the directories that O(binds) names remain.
    type: str
    choices: [absent, present]
    default: present
  cache:
    description:
      - Directory of images and saved states (C(image)), and of the lab's files (C(lab/<name>)).
    type: path
    required: true
  management_network:
    description:
      - IPv4 network of the interfaces C(enp0s3). This machine has its first address, inside the lab's namespace.
      - Required with O(state=present). Refused where it overlaps a route or an address of this machine.
    type: str
  fabric_network:
    description:
      - IPv4 network of the rails, of which each has a /24 in turn; its prefix is /21 or shorter.
      - Required with O(state=present); same rule.
    type: str
  hosts:
    description:
      - The hosts. Required with O(state=present). The inventory plugin P(railyard.sglang.lab#inventory) has them in the
        variable C(lab_hosts).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the host.
        type: str
        required: true
      group:
        description:
          - Group of the host, which says where its cards are. V(prefill) and V(decode) have eight, V(router) one, without a device.
        type: str
        default: ""
      management_address:
        description: IPv4 address on the management network.
        type: str
        required: true
      fabric_address:
        description: IPv4 address on the first rail. On the others the host has the same last byte.
        type: str
        required: true
      memory_mb:
        description: Memory in MiB of the host, half of it on each NUMA node.
        type: int
        default: 768
  binds:
    description:
      - Directories of this machine that hosts see, by 9p. One that lies in O(cache) is made where it is missing. 11 at most.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description: Directory of this machine.
        type: path
        required: true
      dst:
        description: Where hosts see it.
        type: path
        required: true
      hosts:
        description: Names of the hosts that see it; empty for all.
        type: list
        elements: str
        default: []
      writable_on:
        description: Names of the hosts that may write to it.
        type: list
        elements: str
        default: []
  owner:
    description:
      - User id that may use the lab by ssh, and that owns directories made in O(cache).
    type: int
    default: 0
  wait_seconds:
    description: Seconds within which all hosts must answer and have booted.
    type: int
    default: 600
  extra_disk_mb:
    description: Free space in MiB that must be left in O(cache) besides what hosts need.
    type: int
    default: 0
  cpus:
    description: Processors of each host.
    type: int
    default: 1
  kernel_arguments:
    description: Words of the hosts' kernel command line, after the lab's own.
    type: str
    default: ""
  saved_state:
    description: Whether the state of a lab that has booted is kept in the cache, and a lab goes on from it.
    type: bool
    default: true
  distribution:
    description:
      - What the hosts look like. V(rhel_like) is Debian with RHEL's release files, C(dnf) and an enforcing SELinux with Debian's
        policy, on which code for RHEL takes its paths. It is no RHEL.
    type: str
    choices: [debian, rhel_like]
    default: debian
  extra_packages:
    description: Packages of the image besides the collection's own.
    type: list
    elements: str
    default: []
  suite:
    description: Code name of the Debian or Ubuntu release of the image; empty for this machine's.
    type: str
    default: ""
  apt_sources:
    description: Files with the package sources of O(suite). Empty, those of this machine; on Debian also for another release of it.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Start the lab of the inventory
  railyard.sglang.qemu_lab:
    cache: "{{ lab_cache }}"
    management_network: "{{ lab_management_network }}"
    fabric_network: "{{ lab_fabric_network }}"
    hosts: "{{ lab_hosts }}"
    binds:
      - src: "{{ lab_cache }}/wheels"
        dst: /srv/wheels

- name: Remove it
  railyard.sglang.qemu_lab:
    cache: "{{ lab_cache }}"
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or with check mode would be done, in this order.
  type: list
  elements: str
  returned: always
  sample: [make network namespace railyard-lab, start host p0]
image:
  description: Name of the image, the hash of everything that makes it.
  type: str
  returned: when state is present
  sample: 3f2a77c01b9d
instance:
  description: Identifier of this lab from its first start to its removal.
  type: str
  returned: when state is present
  sample: 5c1e09aa
notes:
  description: What is unusual and did not prevent success, such as units that failed in a host.
  type: list
  elements: str
  returned: always
  sample: []
seconds:
  description: Duration of the stages.
  type: dict
  returned: always
  sample: {network: 0.1, resume: 4.9}
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.lab.down import absent
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.looks import LOOKS
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_up import MachineSettings, machines_present
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import run_command
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import bind_hosts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import parse_network


def settings_from(params: dict[str, Any]) -> MachineSettings:
    """Return the settings that the parameters name. Raises LabError where they are wrong."""
    settings = MachineSettings(
        name=params["name"],
        cache=Path(params["cache"]),
        management_network=parse_network(params["management_network"], "management_network"),
        fabric_network=parse_network(params["fabric_network"], "fabric_network"),
        hosts=tuple(HostRecord(**host) for host in params["hosts"]),
        owner=params["owner"],
        wait_seconds=params["wait_seconds"],
        extra_disk_mb=params["extra_disk_mb"],
        cpus=params["cpus"],
        kernel_arguments=params["kernel_arguments"],
        saved_state=params["saved_state"],
        look=params["distribution"],
        extra_packages=tuple(params["extra_packages"]),
        suite=params["suite"],
        apt_sources=tuple(Path(path) for path in params["apt_sources"]),
    )
    return replace(settings, hosts=bind_hosts(settings.hosts, params["binds"]))


def apply(params: dict[str, Any], check: bool) -> Outcome:
    """Bring the lab to the state asked for. Raises LabError where that is impossible."""
    lab = Lab(Paths(Path(params["cache"]), params["name"]), run_command)
    return absent(lab, check) if params["state"] == "absent" else machines_present(lab, settings_from(params), check)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "lab"},
            "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
            "cache": {"type": "path", "required": True},
            "management_network": {"type": "str"},
            "fabric_network": {"type": "str"},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "group": {"type": "str", "default": ""},
                    "management_address": {"type": "str", "required": True},
                    "fabric_address": {"type": "str", "required": True},
                    "memory_mb": {"type": "int", "default": 768},
                },
            },
            "binds": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "src": {"type": "path", "required": True},
                    "dst": {"type": "path", "required": True},
                    "hosts": {"type": "list", "elements": "str", "default": []},
                    "writable_on": {"type": "list", "elements": "str", "default": []},
                },
            },
            "owner": {"type": "int", "default": 0},
            "wait_seconds": {"type": "int", "default": 600},
            "extra_disk_mb": {"type": "int", "default": 0},
            "cpus": {"type": "int", "default": 1},
            "kernel_arguments": {"type": "str", "default": ""},
            "saved_state": {"type": "bool", "default": True},
            "distribution": {"type": "str", "choices": sorted(LOOKS), "default": "debian"},
            "extra_packages": {"type": "list", "elements": "str", "default": []},
            "suite": {"type": "str", "default": ""},
            "apt_sources": {"type": "list", "elements": "path", "default": []},
        },
        required_if=[("state", "present", ("management_network", "fabric_network"))],
        supports_check_mode=True,
    )
    try:
        outcome = apply(module.params, module.check_mode)
    except LabError as error:
        module.fail_json(msg=str(error))
    result: dict[str, Any] = {
        "changed": outcome.changed,
        "actions": outcome.actions,
        "notes": outcome.notes,
        "seconds": outcome.seconds,
    }
    if module.params["state"] == "present":
        result.update(image=outcome.image, instance=outcome.instance)
    if module._diff:
        result["diff"] = {"before": outcome.before, "after": outcome.after}
    for note in outcome.notes:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
