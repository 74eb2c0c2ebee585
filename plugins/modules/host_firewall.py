# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_firewall: what the plan lets in on a host, as one set that can be taken back and that undoes itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_firewall
short_description: Let in what the launch plan needs on a host, and nothing else
version_added: 0.1.0
description:
  - Opens the connections of the host's slice of the plan, and closes everything else on the interfaces of the fabric and of management.
    Other interfaces are left alone.
  - With V(firewalld) there are two zones, C(railyard-fabric) and C(railyard-mgmt). With V(nftables) there is one table,
    C(inet railyard_sglang), and a unit that loads it; no ruleset is flushed.
  - Profiles of NetworkManager name the zone, because an interface whose profile names none is moved to the default zone, whatever the
    zones bind.
  - The port of SSH by which the controller is connected stays open. A change undoes itself after O(confirm_seconds), by a timer on the
    host and at the next boot, until a second call confirms it.
  - Refuses to take an interface from a zone of the operator's, or from a default zone that lets in more, without O(take).
  - Refuses while a change of M(railyard.sglang.nic_names) is neither confirmed nor undone.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  state:
    description: Whether the filter is to be on the host. V(absent) gives back what was before.
    type: str
    choices: [present, absent]
    default: present
  provider:
    description: What filters. That of an earlier run is taken back.
    type: str
    choices: [firewalld, nftables]
    default: firewalld
  plan:
    description: The host's slice of the plan, as M(railyard.sglang.plan) returns it.
    type: dict
  clients:
    description: Addresses and networks that clients come from. By default they may come from anywhere.
    type: list
    elements: str
    default: []
  monitoring:
    description: Addresses and networks that metrics are read from. By default none.
    type: list
    elements: str
    default: []
  controllers:
    description: Addresses and networks that SSH comes from. By default it may come from anywhere.
    type: list
    elements: str
    default: []
  fabric_test_ports:
    description: Ports and ranges of ports that a fabric test uses between engines.
    type: list
    elements: str
    default: []
  also:
    description: What else is let in, which the plan does not know of.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Port, or two with a dash.
        type: str
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      scope:
        description: On which network.
        type: str
        choices: [fabric, management]
        default: management
      sources:
        description: Addresses and networks that it comes from. By default anywhere.
        type: list
        elements: str
        default: []
      purpose:
        description: What listens there.
        type: str
        default: as told
  take:
    description: Consent to take interfaces from the zones that they are in.
    type: bool
    default: false
  confirm_seconds:
    description: Seconds after which a change is undone unless it is confirmed.
    type: int
    default: 120
  confirm:
    description: Identity of a change to confirm, as RV(transaction) has it. Nothing else is done then.
    type: str
  undo:
    description: Identity of a change to undo now, without waiting for the timer. Nothing else is done then.
    type: str
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Let in what the plan needs
  railyard.sglang.host_firewall:
    plan: "{{ sglang_host }}"
    monitoring: [198.51.100.0/28]
  register: filtered

- name: Connect anew
  ansible.builtin.meta: reset_connection

- name: Confirm that the host can be reached
  railyard.sglang.host_firewall:
    confirm: "{{ filtered.transaction }}"
  when: filtered.transaction | default('')

- name: Give the host its former filter back
  railyard.sglang.host_firewall:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be, a sentence each.
  returned: always
  type: list
  elements: str
  sample: [write /etc/firewalld/zones/railyard-fabric.xml, let firewalld read its files again, move fab0 to zone railyard-fabric]
notes:
  description: What deserves a look.
  returned: always
  type: list
  elements: str
transaction:
  description: Identity of the change, to be confirmed after a new connection. Empty where nothing was changed.
  returned: always
  type: str
  sample: 3f1c0a9b52d7e684
zones:
  description: Zone or chain to its interfaces.
  returned: always
  type: dict
  sample: {railyard-fabric: [fab0], railyard-mgmt: [eno1]}
"""

import contextlib
import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import apply, look, renaming, undo, views
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.parameters import build
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import locking
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import Runner, runner
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.refusing import refuse
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.selinux import labeller

ALSO = {
    "port": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "scope": {"type": "str", "choices": ["fabric", "management"], "default": "management"},
    "sources": {"type": "list", "elements": "str", "default": []},
    "purpose": {"type": "str", "default": "as told"},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "provider": {"type": "str", "choices": ["firewalld", "nftables"], "default": "firewalld"},
    "plan": {"type": "dict"},
    "clients": {"type": "list", "elements": "str", "default": []},
    "monitoring": {"type": "list", "elements": "str", "default": []},
    "controllers": {"type": "list", "elements": "str", "default": []},
    "fabric_test_ports": {"type": "list", "elements": "str", "default": []},
    "also": {"type": "list", "elements": "dict", "default": [], "options": ALSO},
    "take": {"type": "bool", "default": False},
    "confirm_seconds": {"type": "int", "default": 120},
    "confirm": {"type": "str"},
    "undo": {"type": "str"},
}
LEAST_SECONDS = 20
LOCK_SECONDS = 60.0


def confirm(module: AnsibleModule, run: Runner) -> None:
    """Close a change."""
    record = look.record("")
    if module.check_mode:
        module.exit_json(changed=undo.open_change("") == module.params["confirm"], actions=[], notes=[], transaction="", zones={})
    changed, fault = undo.confirm("", run, module.params["confirm"], record.get("change"))
    if fault:
        module.fail_json(msg=fault)
    if not record:
        apply.forget("")
    module.exit_json(changed=changed, actions=[], notes=[], transaction="", zones={})


def back(module: AnsibleModule, run: Runner) -> None:
    """Undo a change now, or hear that it is not open any more."""
    changed = undo.open_change("") == module.params["undo"]
    if changed and not module.check_mode:
        undo.now("", run)
    module.exit_json(changed=changed, actions=[], notes=[], transaction="", zones={})


def change(module: AnsibleModule, run: Runner, wanted: Wanted) -> None:
    """Compare, and carry the change out."""
    undone, open_names = undo.open_change(""), renaming.faults("")
    if undone and not open_names and not module.check_mode:
        undo.now("", run)
    machine = look.host()
    seen = apply.seen_of("", run, wanted, machine)
    plan = apply.plan_of(wanted, seen, run)
    notes = ([f"Change {undone} was never confirmed: it is undone first"] if undone else []) + plan.notes
    result: Dict[str, Any] = {
        "changed": plan.changed or bool(undone), "actions": plan.actions(), "notes": notes, "transaction": "",
        "zones": views.zones(wanted, machine),
    }
    if module._diff:
        result["diff"] = views.differences(plan, seen)
    refuse(module, plan.faults + (open_names if result["changed"] else []), result)
    for note in notes:
        module.warn(note)
    if plan.changed and not module.check_mode:
        if os.geteuid() != 0:
            refuse(module, ["host_firewall needs root. Fix: become: true (sglang_become)"])
        seconds = module.params["confirm_seconds"]
        result["transaction"] = apply.carry_out("", run, seen, plan, seconds=seconds, label=labeller(module))
        left = apply.remaining("", run, wanted, machine)
        if left:
            undo.now("", run)
            result["transaction"] = ""
            rest = "; ".join(left)
            text = f"After everything was applied, this remains: {rest}. The host has its former filter. Fix: see what else sets it"
            module.fail_json(msg=text, **result)
    module.exit_json(**result)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, mutually_exclusive=[("confirm", "undo")])
    os.umask(0o022)
    run = runner(module, longer={"/bin/sh": undo.TRY_SECONDS})
    try:
        if module.params["confirm"]:
            confirm(module, run)
        if module.params["undo"]:
            with locking.lock(LOCK_SECONDS):
                back(module, run)
        wanted, faults = build(module.params)
        if module.params["confirm_seconds"] < LEAST_SECONDS:
            faults.append(f"network_firewall_confirm_seconds: a connection may take longer. Fix: {LEAST_SECONDS} or more")
        refuse(module, faults)
        # Who may change nothing here is refused later, with words of his own.
        alone = locking.lock(LOCK_SECONDS) if os.geteuid() == 0 and not module.check_mode else contextlib.nullcontext()
        with alone:
            change(module, run, wanted)
    except (apply.FirewallError, undo.UndoError, look.LookError, locking.LockedError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
