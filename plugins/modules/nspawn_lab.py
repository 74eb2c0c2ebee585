# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: a whole lab of systemd-nspawn hosts on this machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nspawn_lab
short_description: A lab of systemd-nspawn hosts on this machine
version_added: 0.1.0
description:
  - Starts or removes a whole lab. Its hosts run systemd, NetworkManager and an ssh server, and have two interfaces,
    C(mgmt0) and C(fab0), on two separate networks.
  - The networks exist in network namespaces of the lab only. There is no uplink and no default route.
  - All hosts share one root image, which is built once from this machine's own package sources and kept in the cache
    under the hash of its content. What a host writes goes into a layer of its own, which is removed with the lab.
  - The kernel's limit of inotify instances, which hosts share with this machine, is raised where it does not suffice, and
    restored with the removal of the last lab.
  - A lab that is up is left alone. Hosts of it that have died are started again, with what they had written.
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
  - systemd-nspawn, mmdebstrap, ip, nsenter, ssh and ssh-keygen
options:
  name:
    description:
      - Name of the lab, 1 to 16 lower-case letters and digits. Labs of different names can run side by side.
    type: str
    default: lab
  state:
    description:
      - V(present) starts what of the lab does not run, and waits until it answers.
      - V(absent) removes the lab. Root images and the directories that O(binds) names remain.
    type: str
    choices: [absent, present]
    default: present
  cache:
    description:
      - Directory of root images (C(image)) and of the lab's files (C(lab/<name>)).
      - It must lie on a file system that overlayfs can write to.
    type: path
    required: true
  management_network:
    description:
      - IPv4 network of the interfaces C(mgmt0). This machine has its first address, inside the lab's namespace.
      - Required with O(state=present). Refused where it overlaps a route or an address of this machine.
    type: str
  fabric_network:
    description:
      - IPv4 network of the interfaces C(fab0). Required with O(state=present); same rule.
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
        description: Group of the host, for information.
        type: str
        default: ""
      management_address:
        description: IPv4 address on the management network.
        type: str
        required: true
      fabric_address:
        description: IPv4 address on the fabric network.
        type: str
        required: true
      memory_mb:
        description: Memory in MiB that the host will use, counted against what this machine has available.
        type: int
        default: 900
  binds:
    description:
      - Directories of this machine that hosts see. One that lies in O(cache) is made where it is missing.
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
    default: 60
  extra_disk_mb:
    description: Free space in MiB that must be left in O(cache) besides what hosts need.
    type: int
    default: 0
  extra_packages:
    description: Packages of the root image besides the collection's own.
    type: list
    elements: str
    default: []
  suite:
    description: Code name of the Debian or Ubuntu release of the root image; empty for this machine's.
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
  railyard.sglang.nspawn_lab:
    cache: "{{ lab_cache }}"
    management_network: "{{ lab_management_network }}"
    fabric_network: "{{ lab_fabric_network }}"
    hosts: "{{ lab_hosts }}"
    binds:
      - src: "{{ lab_cache }}/wheels"
        dst: /srv/wheels

- name: Remove it
  railyard.sglang.nspawn_lab:
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
  description: Name of the root image, the hash of everything that makes it.
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
  sample: {network: 0.2, start: 0.1, boot: 1.9}
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.lab.down import absent
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import run_command
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import Settings, bind_hosts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import parse_network
from ansible_collections.railyard.sglang.plugins.module_utils.lab.up import present


def settings_from(params: dict[str, Any]) -> Settings:
    """Return the settings that the parameters name. Raises LabError where they are wrong."""
    settings = Settings(
        name=params["name"],
        cache=Path(params["cache"]),
        management_network=parse_network(params["management_network"], "management_network"),
        fabric_network=parse_network(params["fabric_network"], "fabric_network"),
        hosts=tuple(HostRecord(**host) for host in params["hosts"]),
        owner=params["owner"],
        wait_seconds=params["wait_seconds"],
        extra_disk_mb=params["extra_disk_mb"],
        extra_packages=tuple(params["extra_packages"]),
        suite=params["suite"],
        apt_sources=tuple(Path(path) for path in params["apt_sources"]),
    )
    return replace(settings, hosts=bind_hosts(settings.hosts, params["binds"]))


def apply(params: dict[str, Any], check: bool) -> Outcome:
    """Bring the lab to the state asked for. Raises LabError where that is impossible."""
    lab = Lab(Paths(Path(params["cache"]), params["name"]), run_command)
    return absent(lab, check) if params["state"] == "absent" else present(lab, settings_from(params), check)


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
                    "memory_mb": {"type": "int", "default": 900},
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
            "wait_seconds": {"type": "int", "default": 60},
            "extra_disk_mb": {"type": "int", "default": 0},
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
