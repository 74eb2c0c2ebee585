# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_tuning: what RDMA needs of a host, as one set that can be taken back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tuning
short_description: Set and take back what RDMA needs of a host
version_added: 0.1.0
description:
  - Applies limits, kernel modules, kernel settings, udev rules, systemd drop-ins, and trust, flow control and traffic class of RDMA
    ports, as one set, in files of its own and live.
  - What was live before the first change is kept in C(/var/lib/railyard.sglang/tuning.json). What leaves the set, and with
    O(state=absent) all of it, is what it was before.
  - Compares live values, not only files. After the changes it looks again, and fails when something is not as wanted.
  - A run that was interrupted at any point is finished by the next one.
  - Refuses what contradicts itself, what the host does not have, and files of its names that are not its own, before anything changes.
  - C(mlnx_qos) was not run; its options and output are those of the vendor's description.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  state:
    description: Whether the set is to be on the host. With V(absent) all other options but O(allow_disruption) are ignored.
    type: str
    choices: [present, absent]
    default: present
  modules:
    description: Kernel modules to load, now and at each boot.
    type: list
    elements: str
    default: []
  sysctl:
    description:
      - Kernel settings by key. A null takes a key out of O(sysctl_least) and O(rail_sysctl).
    type: dict
    default: {}
  sysctl_least:
    description:
      - Kernel settings that may be higher, by key. Where the host has as much by itself, the key is left alone; where a sysctl.d file that
        is applied earlier sets more, that value is set.
    type: dict
    default: {}
  rail_sysctl:
    description:
      - Settings below C(net.ipv4.conf.DEVICE) of every device in O(rails), where there are two or more and they are Ethernet.
      - C(arp_ignore) and C(arp_announce) may be higher, which is stricter; O(sysctl) sets an exact value.
    type: dict
    default: {}
  reserved_ports:
    description:
      - Ports and ranges of ports that no outgoing connection gets, added to those that the host has reserved already.
    type: list
    elements: str
    default: []
  limits:
    description: Lines of limits.d, for logins.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: User, C(@group) or C(*).
        type: str
        required: true
      type:
        description: Kind of limit, C(-) for both.
        type: str
        choices: [soft, hard, '-']
        default: '-'
      item:
        description: What is limited.
        type: str
        required: true
      value:
        description: The limit.
        type: str
        required: true
  udev_rules:
    description: udev rules, one line each. They hold from the next event of their device on.
    type: list
    elements: str
    default: []
  drop_ins:
    description: Unit to section to settings, each unit one drop-in.
    type: dict
    default: {}
  default_memlock:
    description: Memlock limit of services that set none, V(infinity) or bytes.
    type: str
  rails:
    description:
      - Ports that carry data, as the plan has them. Of each, C(device), C(port) (1 by default) and C(netdev) are used. A port without a
        network device is left alone.
    type: list
    elements: dict
    default: []
  link_layer:
    description: Link layer of the ports in O(rails), as the kernel names it.
    type: str
    default: Ethernet
  trust:
    description: What tells a packet's priority, its DSCP or its VLAN tag. Left alone by default.
    type: str
    choices: [dscp, pcp]
  pfc:
    description: Priorities with flow control; all others are without. Left alone by default.
    type: list
    elements: int
  priority:
    description:
      - Priority that the DSCP of O(traffic_class) is mapped to. By default the map is left alone.
      - With C(mlnx_qos) the port must trust DSCP.
    type: int
  traffic_class:
    description: Traffic class of RDMA packets, DSCP times 4 plus the ECN bits. Left alone where it is negative, and on InfiniBand.
    type: int
    default: -1
  allow_disruption:
    description: Consent to unload a module or change trust, flow control or traffic class while an engine runs on the host.
    type: bool
    default: false
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Let DSCP 26 go by priority 3, without loss
  railyard.sglang.host_tuning:
    modules: [nvidia_peermem]
    sysctl_least: {vm.max_map_count: 16777216}
    rails:
      - {device: mlx5_0, netdev: ens1np0}
    trust: dscp
    pfc: [3]
    traffic_class: 106

- name: Take everything back
  railyard.sglang.host_tuning:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be, a sentence each.
  returned: always
  type: list
  elements: str
  sample: [write /etc/sysctl.d/90-railyard-rdma.conf, set vm.max_map_count to 16777216]
notes:
  description: What deserves a look, for example a setting that another file overrides at the next boot.
  returned: always
  type: list
  elements: str
"""

import os
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import apply
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.parameters import build
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.plan import Plan
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import ADMINISTRATION, runner
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.refusing import refuse
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.selinux import labeller

LIMIT = {
    "domain": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["soft", "hard", "-"], "default": "-"},
    "item": {"type": "str", "required": True},
    "value": {"type": "str", "required": True},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "modules": {"type": "list", "elements": "str", "default": []},
    "sysctl": {"type": "dict", "default": {}},
    "sysctl_least": {"type": "dict", "default": {}},
    "rail_sysctl": {"type": "dict", "default": {}},
    "reserved_ports": {"type": "list", "elements": "str", "default": []},
    "limits": {"type": "list", "elements": "dict", "default": [], "options": LIMIT},
    "udev_rules": {"type": "list", "elements": "str", "default": []},
    "drop_ins": {"type": "dict", "default": {}},
    "default_memlock": {"type": "str"},
    "rails": {"type": "list", "elements": "dict", "default": []},
    "link_layer": {"type": "str", "default": "Ethernet"},
    "trust": {"type": "str", "choices": ["dscp", "pcp"]},
    "pfc": {"type": "list", "elements": "int"},
    "priority": {"type": "int"},
    "traffic_class": {"type": "int", "default": -1},
    "allow_disruption": {"type": "bool", "default": False},
}
# Where MLNX_OFED puts its own build of ethtool.
DIRECTORIES = (*ADMINISTRATION, "/opt/mellanox/ethtool/sbin")


def differences(plan: Plan) -> List[Dict[str, str]]:
    """Return the plan as Ansible shows differences: each file, then the live values."""
    found = [
        {"before_header": step.what, "after_header": step.what, "before": step.before, "after": step.after}
        for step in plan.steps
        if step.kind in ("file", "link")
    ]
    before, after = apply.live_diff(plan)
    return found + ([{"before_header": "live", "after_header": "live", "before": before, "after": after}] if before or after else [])


def ask(module: AnsibleModule, plan: Plan) -> None:
    """Fail for want of consent; in check mode say so, and show what would change."""
    if not plan.consent or module.params["allow_disruption"]:
        return
    faults = [*plan.consent, "Fix: stop the instance first, or set rdma_allow_disruption: true to consent"]
    if not module.check_mode:
        refuse(module, faults)
    module.warn("The run would be refused: " + "; ".join(faults))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    wanted, faults = build(module.params) if module.params["state"] == "present" else (Wanted(), [])
    refuse(module, faults)
    tree, run, kernel = Tree("/", labeller(module)), runner(module, DIRECTORIES), os.uname().release
    try:
        plan = apply.prepare(tree, run, wanted, kernel)
        refuse(module, plan.faults)
        ask(module, plan)
        for note in plan.notes:
            module.warn(note)
        result: Dict[str, Any] = {"changed": plan.changed, "actions": plan.actions(), "notes": plan.notes}
        if module._diff:
            result["diff"] = differences(plan)
        if plan.changed and not module.check_mode:
            if os.geteuid() != 0:
                refuse(module, ["host_tuning needs root. Fix: become: true (sglang_become)"])
            apply.carry_out(tree, run, plan)
            left = apply.remaining(tree, run, wanted, kernel)
            if left:
                module.fail_json(msg=f"After everything was applied, this remains: {'; '.join(left)}. Fix: see what else sets it", **result)
    except (apply.TuningError, OSError) as error:
        module.fail_json(msg=f"{error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
