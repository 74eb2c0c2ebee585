# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module nic_names: names, MTUs and RDMA names of a host's NICs, as one set that is undone when nobody confirms it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nic_names
short_description: Give the NICs of a host their names, now and at every boot
version_added: 0.1.0
description:
  - Renames the interfaces of a host as one set, so that swaps and permutations are no special case, and rewrites every file of a known
    structure that names them - profiles of NetworkManager with all their keys, ifcfg files, C(.link) files, udev rules, sysctl.d, zones of
    firewalld. Places of unknown structure that name one are reported.
  - An interface that the kernel can rename while it is up loses no packet. Otherwise it is switched off for the moment, bond ports one
    after the other.
  - The change is a transaction. A journal and a timer are on the host before anything changes, and everything goes back, names, files byte
    for byte, addresses and routes, unless M(railyard.sglang.nic_names_confirm) closes it within O(confirm_seconds), or when the host
    boots before that.
  - The names are those of the record on the host once they are given by rail. A GPU or NIC that is dead later shifts no other name.
  - Verifies against the kernel and NetworkManager. What is not right after the change undoes it at once.
  - Where names and files are right already, it activates the profile of a NIC that NetworkManager has without it, and fails where
    NetworkManager does not know or manage such a NIC, or has it connected with another profile. A NIC without a link, without a profile of
    its own that starts by itself, or kept from NetworkManager by the host's configuration is left alone.
  - A transaction of an earlier run that is still open is undone first, unless it is just this one; then it is to be confirmed.
  - Refuses while a change of M(railyard.sglang.host_firewall) is neither confirmed nor undone.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    description: Shows files with secrets masked, then the live values.
    support: full
options:
  state:
    description: V(absent) gives the former names back, and the files as they were, as far as nobody has changed them since.
    type: str
    choices: [present, absent]
    default: present
  nics:
    description: The interfaces. Required with O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name that it gets, 1 to 15 lower-case letters, digits, C(_) and C(-), none that the kernel, systemd or a bond would give.
        type: str
        required: true
      mac:
        description: Permanent hardware address. One of O(nics[].mac), O(nics[].pci) and O(nics[].rail) is given.
        type: str
      pci:
        description: Address of the PCI function.
        type: str
      rail:
        description: Number of the rail, by the record on the host, else by O(rails).
        type: int
      mtu:
        description: MTU, in bytes, live and in its profile. Left alone by default.
        type: int
      rdma:
        description: Name of its RDMA device, live and at every boot. Left alone by default.
        type: str
  rails:
    description: Rail of the GPU map to the name that its interface has now.
    type: dict
    default: {}
  carries:
    description: Interfaces that serving instances use. By default any.
    type: list
    elements: str
  apply:
    description:
      - V(boot) writes files only, and the names change at the next boot. Run this module again after it, and confirm; the time until the
        undo begins with that boot, and O(confirm_seconds) is 600 or more.
    type: str
    choices: [live, boot]
    default: live
  stale:
    description: What to do with udev rules and earlier C(.link) files that would give one of the interfaces another name.
    type: str
    choices: [refuse, remove]
    default: refuse
  remap:
    description: Whether O(rails) may change which NIC a rail's name belongs to.
    type: bool
    default: false
  allow_rename:
    description: Consent to change anything. Without it only check mode works.
    type: bool
    default: false
  allow_management:
    description: Consent to rename the interface of the controller's connection.
    type: bool
    default: false
  allow_disruption:
    description: Consent to touch interfaces of O(carries) while an engine runs on the host.
    type: bool
    default: false
  confirm_seconds:
    description: Seconds from the first change to the confirmation, after which the host undoes the change. 30 to 3600.
    type: int
    default: 180
  root:
    description: A captured tree to plan for instead of this host; check mode only.
    type: path
    default: /
seealso:
  - module: railyard.sglang.nic_names_confirm
  - module: railyard.sglang.nic_facts
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Name two NICs by their permanent addresses
  railyard.sglang.nic_names:
    nics:
      - {name: roce0, mac: "02:00:5e:00:53:10"}
      - {name: roce1, mac: "02:00:5e:00:53:11", mtu: 9000}
    allow_rename: true
  register: named

- name: Reach the host again
  ansible.builtin.meta: reset_connection

- name: Keep the names
  railyard.sglang.nic_names_confirm:
    transaction: "{{ named.transaction }}"
  when: named.transaction != ''
"""

RETURN = r"""
rows:
  description:
    - Every interface that was asked for, with C(before), C(after), C(pci), C(mac), C(rail), C(networks), C(management), C(mtu_before),
      C(mtu_after), C(rdma_before), C(rdma_after).
  returned: always
  type: list
  elements: dict
actions:
  description: What was done, or would be, a sentence each.
  returned: always
  type: list
  elements: str
references:
  description: Places that name an interface by its former name and that a person has to look at, with C(path), C(line), C(name), C(text).
  returned: always
  type: list
  elements: dict
references_more:
  description:
    - Files with more such places than RV(references) lists, with C(path) and the number of C(places) that it leaves out. No file is
      left out.
  returned: always
  type: list
  elements: dict
  sample: [{path: /etc/rails.conf, places: 112}]
notes:
  description: What deserves a look.
  returned: always
  type: list
  elements: str
problems:
  description: Why the run would be refused; with check mode it is not.
  returned: always
  type: list
  elements: str
transaction:
  description: Identifier for M(railyard.sglang.nic_names_confirm); empty where nothing waits for it.
  returned: always
  type: str
"""

import os
import sys
from dataclasses import asdict
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import apply, bindings, locking, parameters, planned, undo
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import JournalError
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.planned import Prospect
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.record import RecordError
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.onhost import refusing
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.selinux import labeller

NIC = {
    "name": {"type": "str", "required": True},
    "mac": {"type": "str"},
    "pci": {"type": "str"},
    "rail": {"type": "int"},
    "mtu": {"type": "int"},
    "rdma": {"type": "str"},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "nics": {"type": "list", "elements": "dict", "default": [], "options": NIC},
    "rails": {"type": "dict", "default": {}},
    "carries": {"type": "list", "elements": "str"},
    "apply": {"type": "str", "choices": ["live", "boot"], "default": "live"},
    "stale": {"type": "str", "choices": ["refuse", "remove"], "default": "refuse"},
    "remap": {"type": "bool", "default": False},
    "allow_rename": {"type": "bool", "default": False},
    "allow_management": {"type": "bool", "default": False},
    "allow_disruption": {"type": "bool", "default": False},
    "confirm_seconds": {"type": "int", "default": 180},
    "root": {"type": "path", "default": "/"},
}
LOCK_SECONDS = 60.0
BOOT_SECONDS = 600
EMPTY: Dict[str, Any] = {"rows": [], "actions": [], "references": [], "references_more": [], "notes": [], "problems": [], "transaction": ""}


def refuse(module: AnsibleModule, problems: List[str], result: Dict[str, Any], end: str = refusing.UNCHANGED) -> None:
    """Fail with everything that is wrong, when something is, and with every key of a result."""
    refusing.refuse(module, problems, {**EMPTY, **result, "changed": False, "problems": problems}, end)


def result_of(prospect: Prospect, diff: bool) -> Dict[str, Any]:
    """Return what the module returns of a plan."""
    plan = prospect.plan
    result: Dict[str, Any] = {
        "changed": prospect.changed,
        "rows": [asdict(row) for row in plan.rows],
        "actions": planned.actions(prospect),
        "references": [asdict(reference) for reference in plan.references],
        "references_more": [{"path": path, "places": places} for path, places in prospect.more.items()],
        "notes": plan.notes,
        "problems": prospect.problems,
        "transaction": prospect.open_transaction,
    }
    if diff:
        result["diff"] = planned.differences(prospect)
    return result


def run(module: AnsibleModule, wanted: Wanted) -> Dict[str, Any]:
    """Do what the parameters ask for, and return the result."""
    params = module.params
    prospect = planned.prospect(params["root"], undo.bounded, wanted, consent=params["allow_rename"])
    result = result_of(prospect, module._diff)
    if module.check_mode:
        result["changed"] = prospect.changed or prospect.superseded
    else:
        refuse(module, prospect.problems, result)
        if prospect.superseded:
            said = apply.back(undo.bounded)
            if said != apply.UNDONE:
                module.fail_json(msg=f"A transaction of an earlier run was open. {said}")
            prospect = planned.prospect(params["root"], undo.bounded, prospect.wanted, consent=params["allow_rename"])
            result = result_of(prospect, module._diff)
            result["actions"].insert(0, planned.UNDO)
            refuse(module, prospect.problems, result, "The open transaction of an earlier run was undone, and nothing else was changed.")
            result["changed"] = True
        if prospect.planned:
            # Of a virtual environment that may be gone at the next boot the undo needs nothing.
            work = apply.Work(
                undo.bounded, labeller(module), os.path.realpath(sys.executable), params["confirm_seconds"], wanted.at_boot
            )
            result["transaction"] = apply.carry_out(prospect.plan, prospect.nics, work)
        elif prospect.heals:
            refuse(module, bindings.heal(undo.bounded, prospect.heals), result, "Nothing else was changed.")
    for text in prospect.plan.notes:
        module.warn(text)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    undo.prepare()
    wanted, faults = parameters.build(module.params)
    if not 30 <= module.params["confirm_seconds"] <= 3600:
        faults.append("network_confirm_seconds: 30 to 3600 seconds. Fix: the change takes up to a minute, a fresh connection some seconds")
    elif module.params["apply"] == "boot" and module.params["confirm_seconds"] < BOOT_SECONDS:
        faults.append(
            f"network_confirm_seconds: with network_apply: boot it runs from the host's boot to the run that confirms, and is "
            f"{BOOT_SECONDS} or more. Fix: network_confirm_seconds: 3600"
        )
    real = os.path.realpath(module.params["root"]) == "/"
    if not real and not module.check_mode:
        faults.append("root: a captured tree is not changed. Fix: run in check mode")
    if real and os.geteuid() != 0:
        faults.append("nic_names needs root. Fix: become: true (sglang_become)")
    refuse(module, faults, {})
    try:
        if not real:
            module.exit_json(**run(module, wanted))
        with locking.lock(LOCK_SECONDS):
            result = run(module, wanted)
    except (apply.ApplyError, JournalError, RecordError, locking.LockedError, OSError) as error:
        module.fail_json(msg=f"{error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
