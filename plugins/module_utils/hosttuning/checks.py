# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what is wanted, before a host is looked at: each fault with its variable and the fix."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import PORTS, Wanted

MODULE = re.compile(r"[A-Za-z0-9_-]+")
KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_/@:-]+)+")
UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(?:service|socket|slice|scope|mount|timer|target)")
WORD = re.compile(r"[^\s#=]+")
RULE = re.compile(r'\s*(?:#|[A-Z][A-Za-z_]*(?:\{[^}]*\})?\s*(?:==|!=|=|\+=|-=|:=)\s*e?")')
MEMLOCK = re.compile(r"infinity|[0-9]+")


def shapes(params: Dict[str, Any]) -> List[str]:
    """Return the faults of parameters that are mappings of no fixed keys: what cannot be made a set of."""
    found = [
        f"sysctl_least: {key} = {value!r} is no number. Fix: write a whole number"
        for key, value in (params.get("sysctl_least") or {}).items()
        if not re.fullmatch(r"[0-9]+", str(value))
    ]
    found += [
        f"{name}: {key} = {value!r} is no single value. Fix: write several numbers as one text with blanks between them"
        for name, given in (("rdma_sysctl", "sysctl"), ("rdma_rail_sysctl", "rail_sysctl"))
        for key, value in (params.get(given) or {}).items()
        if isinstance(value, (list, dict))
    ]
    for unit, sections in (params.get("drop_ins") or {}).items():
        rows = list(sections.values()) if isinstance(sections, dict) else [None]
        values = [value for row in rows if isinstance(row, dict) for value in row.values()]
        if not all(isinstance(row, dict) for row in rows) or any(value is None or isinstance(value, (list, dict)) for value in values):
            found.append(
                f"rdma_drop_ins: {unit} is no mapping of sections to keys with one value each. "
                "Fix: {user@.service: {Service: {LimitMEMLOCK: infinity}}}"
            )
    return found


def settings(wanted: Wanted) -> List[str]:
    """Return the faults of modules and kernel settings."""
    found = [
        f"rdma_modules, rdma_extra_modules: {name!r} is no name of a module. Fix: write it as lsmod does"
        for name in wanted.modules
        if not MODULE.fullmatch(name)
    ]
    for key, value in [*wanted.sysctl.items(), *((key, str(value)) for key, value in wanted.least.items())]:
        if not KEY.fullmatch(key) or ".." in key.replace("/", "."):
            found.append(f"rdma_sysctl: {key!r} is no key. Fix: write it as sysctl -a does")
        if key == PORTS:
            found.append(f"rdma_sysctl: {PORTS} is a list that others add to. Fix: name the ports in rdma_reserved_ports")
        if not value:
            found.append(f"rdma_sysctl: {key} has no value. Fix: give one, or null to leave the key alone")
    return found


def lines(wanted: Wanted) -> List[str]:
    """Return the faults of what goes into files as it is: limits, udev rules and drop-ins."""
    found = [
        f"rdma_limits: {row} is no line of limits.conf. Fix: domain, item and value are one word each"
        for row in wanted.limits
        if not all(WORD.fullmatch(word) for word in (row.domain, row.item, row.value))
    ]
    found += [
        f"rdma_udev_rules: {rule!r} is no rule. Fix: one line per item, as in udev(7), without a backslash at its end"
        for rule in wanted.udev_rules
        if "\n" in rule or rule.rstrip().endswith("\\") or not RULE.match(rule)
    ]
    found += [
        f"rdma_drop_ins: {unit!r} is no unit. Fix: a full name such as user@.service"
        for unit in wanted.drop_ins
        if not UNIT.fullmatch(unit)
    ]
    found += [
        f"rdma_drop_ins: {unit} has {key!r} = {value!r} in [{section}]. "
        "Fix: section, key and a value on one line, without a backslash at its end"
        for unit, sections in wanted.drop_ins.items()
        for section, values in sections.items()
        for key, value in values.items()
        if not re.fullmatch(r"[A-Za-z]+", section) or not re.fullmatch(r"[A-Za-z]+", key) or "\n" in value or value.rstrip().endswith("\\")
    ]
    if wanted.default_memlock and not MEMLOCK.fullmatch(wanted.default_memlock):
        found.append(f"rdma_default_memlock: {wanted.default_memlock!r}. Fix: infinity, or a number of bytes")
    return found


def traffic(wanted: Wanted, link_layer: str) -> List[str]:
    """Return what contradicts itself in trust, flow control and traffic class."""
    found = []
    traffic_class, pfc, priority = wanted.traffic_class, wanted.pfc, wanted.priority
    if traffic_class is not None and not 0 <= traffic_class <= 255:
        return [f"rdma_traffic_class: {traffic_class}. Fix: 0 to 255, that is DSCP times 4 plus the ECN bits, 106 for DSCP 26"]
    if pfc is not None and (len(set(pfc)) != len(pfc) or any(not 0 <= number <= 7 for number in pfc)):
        found.append(f"rdma_pfc: {list(pfc)}. Fix: each priority once, 0 to 7; an empty list for none")
    if priority is not None and not 0 <= priority <= 7:
        found.append(f"rdma_priority: {priority}. Fix: 0 to 7")
    if priority is not None and traffic_class is None:
        found.append("rdma_priority: there is no rdma_traffic_class that it would be the priority of. Fix: set both or neither")
    if wanted.trust == "pcp" and priority is not None:
        found.append("rdma_priority: with rdma_trust pcp the VLAN tag tells the priority. Fix: rdma_trust: dscp, or leave it out")
    # An empty list is a choice: a fabric without pauses, with congestion control alone.
    if pfc and wanted.dscp is not None and wanted.trust != "pcp":
        actual = wanted.dscp >> 3 if priority is None else priority
        if actual not in pfc:
            found.append(
                f"rdma_pfc: traffic class {traffic_class} is DSCP {wanted.dscp} and priority {actual}, which is not among "
                f"{list(pfc)}: RDMA would be in a class that loses packets. Fix: add {actual}, correct rdma_traffic_class, "
                "or set rdma_priority where the ports map that DSCP otherwise"
            )
    asked = [name for name, value in (("rdma_trust", wanted.trust), ("rdma_pfc", pfc), ("rdma_priority", priority)) if value is not None]
    if asked and link_layer != "Ethernet":
        found.append(f"{asked[0]}: the data ports are {link_layer}, and only Ethernet has that. Fix: leave it out")
    elif asked and not wanted.rails:
        found.append(f"{asked[0]}: the host has no data port with a network device. Fix: leave it out, or see the selection of rdma_facts")
    return found
