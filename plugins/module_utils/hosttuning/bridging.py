# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust, priority flow control and DSCP map of network devices, by mlnx_qos or dcb.

C(mlnx_qos) comes with NVIDIA's DOCA-OFED; its options and its output are those of the vendor's description (version 16, MLNX_OFED 4.2) and
of outputs that users published; it was not run. C(dcb) is iproute2's (5.11 and later); options and output are those of dcb-pfc(8) and
dcb-app(8) of 6.1. The kernel's mlx5 driver trusts DSCP from the first dscp-prio entry on, which adds one for each DSCP, and the VLAN tag
again after the last is gone (en_dcbnl.c, Linux 6.1, read).
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Bridge, Part, Record, Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted

Entries = Dict[int, int]
NO_TOOL = (
    "neither mlnx_qos nor dcb is on this host. Fix: install iproute2 5.11 or later, which has dcb, or the mlnx-tools of DOCA-OFED, "
    "or leave out rdma_trust, rdma_pfc and rdma_priority"
)

LATER = "was not restored, what it was stays in the record, and the next run with rdma_state: absent goes on"


def parse_mlnx(text: str) -> Bridge:
    """Return what C(mlnx_qos -i DEVICE) shows. The DSCP map is shown only while DSCP is trusted."""
    trust = re.search(r"^Priority trust state:\s*(\w+)", text, re.MULTILINE)
    enabled = re.search(r"^\s*enabled((?:\s+[01]){8})\s*$", text, re.MULTILINE)
    if not enabled:
        return Bridge("mlnx_qos", error="mlnx_qos shows no flow control for it")
    pfc = tuple(number for number, flag in enumerate(enabled.group(1).split()) if flag == "1")
    priorities = {
        int(code): int(number)
        for number, codes in re.findall(r"^\s*prio:([0-7])\s+dscp:([0-9,]+)", text, re.MULTILINE)
        for code in filter(None, codes.split(","))
    }
    return Bridge("mlnx_qos", trust.group(1).lower() if trust else None, pfc, priorities)


def parse_dcb(pfc: str, entries: str) -> Bridge:
    """Return what C(dcb pfc show) and C(dcb -N app show ... dscp-prio) print."""
    flags = re.findall(r"\b([0-7]):(on|off)\b", pfc)
    if not flags:
        return Bridge("dcb", error="dcb shows no flow control for it")
    found = {int(code): int(number) for code, number in re.findall(r"\b([0-9]{1,2}):([0-7])\b", entries)}
    return Bridge("dcb", "dscp" if found else "pcp", tuple(int(number) for number, flag in flags if flag == "on"), found)


def target_entries(wanted: Wanted, entries: Entries) -> Entries:
    """Return the dscp-prio entries that dcb should hold."""
    if wanted.trust == "pcp":
        return {}
    found = dict(entries)
    if wanted.mapping:
        found[wanted.mapping[0]] = wanted.mapping[1]
    if wanted.trust == "dscp" and not found:
        code = wanted.dscp or 0
        found[code] = code >> 3
    return found


def entry_commands(netdev: str, now: Entries, then: Entries) -> List[Tuple[str, ...]]:
    """Return the commands that make one set of dscp-prio entries of another."""
    base = ("dcb", "app")
    if now and not then:
        return [(*base, "flush", "dev", netdev, "dscp-prio")]
    changed = [f"{code}:{number}" for code, number in sorted(then.items()) if now.get(code) != number]
    gone = [f"{code}:{number}" for code, number in sorted(now.items()) if code not in then]
    found = [(*base, "replace", "dev", netdev, "dscp-prio", *changed)] if changed else []
    return found + ([(*base, "del", "dev", netdev, "dscp-prio", *gone)] if gone else [])


def pfc_command(tool: str, netdev: str, pfc: Tuple[int, ...]) -> Tuple[str, ...]:
    """Return the command that turns flow control on for these priorities and off for all others."""
    if tool == "dcb":
        return ("dcb", "pfc", "set", "dev", netdev, "prio-pfc", "all:off", *(f"{number}:on" for number in pfc))
    return ("mlnx_qos", "-i", netdev, "--pfc", ",".join("1" if number in pfc else "0" for number in range(8)))


def commands(wanted: Wanted, tool: str, netdev: str) -> List[Tuple[str, ...]]:
    """Return the commands that set a network device from whatever it has, for the unit that does so at each boot."""
    found: List[Tuple[str, ...]] = []
    if tool == "dcb":
        found = entry_commands(netdev, {0: 0}, {}) if wanted.trust == "pcp" else entry_commands(netdev, {}, target_entries(wanted, {}))
    else:
        found += [("mlnx_qos", "-i", netdev, "--trust", wanted.trust)] if wanted.trust else []
        found += [("mlnx_qos", "-i", netdev, "--dscp2prio", "set,{},{}".format(*wanted.mapping))] if wanted.mapping else []
    return found + ([pfc_command(tool, netdev, wanted.pfc)] if wanted.pfc is not None else [])


def _goal(wanted: Wanted, seen: Bridge, entry: Record) -> Record:
    """Return what each part of a device should be: as wanted, else as it was before, where that is in the record."""
    goal: Record = {}
    if wanted.pfc is not None or "pfc" in entry:
        goal["pfc"] = list(wanted.pfc) if wanted.pfc is not None else entry["pfc"]
    if seen.tool == "dcb":
        was = {int(code): number for code, number in entry.get("entries", {}).items()}
        if wanted.trust or wanted.mapping:
            goal["entries"] = target_entries(wanted, seen.priorities)
        elif "entries" in entry:
            goal["entries"] = was
        return goal
    if wanted.trust or "trust" in entry:
        goal["trust"] = wanted.trust or entry["trust"]
    goal["map"] = {code: number for code, number in entry.get("map", {}).items() if number is not None}
    if wanted.mapping:
        goal["map"][str(wanted.mapping[0])] = wanted.mapping[1]
    return goal


def _was(wanted: Wanted, seen: Bridge, entry: Record) -> Record:
    """Return the record of a device with what is touched for the first time."""
    found = dict(entry, tool=seen.tool)
    if wanted.pfc is not None:
        found.setdefault("pfc", list(seen.pfc))
    if seen.tool == "dcb" and (wanted.trust or wanted.mapping):
        found.setdefault("entries", {str(code): number for code, number in seen.priorities.items()})
    if seen.tool == "mlnx_qos" and wanted.trust:
        found.setdefault("trust", seen.trust)
    if seen.tool == "mlnx_qos" and wanted.mapping:
        found["map"] = {str(wanted.mapping[0]): seen.priorities.get(wanted.mapping[0]), **found.get("map", {})}
    return found


def _step(netdev: str, what: str, now: Any, then: Any, argv: Tuple[str, ...]) -> Step:
    name = f"{what} of {netdev}"
    return Step("command", name, str(now), str(then), argv=argv, disrupts=f"{name} would change from {now} to {then}")


def _words(entries: Entries) -> str:
    return " ".join(f"{code}:{number}" for code, number in sorted(entries.items())) or "none"


def _device(netdev: str, seen: Bridge, goal: Record) -> List[Step]:
    steps = []
    # A map entry can be read and set while DSCP is trusted, so that it comes before trust goes and after trust comes.
    trust = goal.get("trust")
    if trust and trust != seen.trust:
        steps.append(_step(netdev, "trust", seen.trust, trust, ("mlnx_qos", "-i", netdev, "--trust", trust)))
    for code, number in sorted(goal.get("map", {}).items()):
        if seen.priorities.get(int(code)) != number and (seen.trust == "dscp" or trust == "dscp"):
            argv = ("mlnx_qos", "-i", netdev, "--dscp2prio", f"set,{code},{number}")
            step = _step(netdev, f"priority of DSCP {code}", seen.priorities.get(int(code)), number, argv)
            steps.insert(0 if trust == "pcp" else len(steps), step)
    if "entries" in goal:
        words = [_words(entries) for entries in (seen.priorities, goal["entries"])]
        commands_ = entry_commands(netdev, seen.priorities, goal["entries"])
        steps += [_step(netdev, "dscp-prio entries", words[0], words[1], argv) for argv in commands_]
    if "pfc" in goal and list(seen.pfc) != goal["pfc"]:
        steps.append(_step(netdev, "flow control", list(seen.pfc), goal["pfc"], pfc_command(seen.tool, netdev, tuple(goal["pfc"]))))
    return steps


def _kept(wanted: Wanted, found: Record) -> Optional[Record]:
    """Return the part of a device's record that is still needed after the steps."""
    keep = {"pfc": wanted.pfc is not None, "trust": wanted.trust is not None, "map": wanted.mapping is not None}
    keep["entries"] = keep["trust"] or keep["map"]
    left = {name: value for name, value in found.items() if keep.get(name)}
    return dict(left, tool=found["tool"]) if left else None


def plan(wanted: Wanted, seen: Seen, record: Record) -> Part:
    """Return the changes of trust, flow control and DSCP maps.

    :param record: network device to what it was.
    """
    part = Part(during=dict(record), final={})
    rails = [rail.netdev for rail in wanted.rails] if wanted.bridging else []
    for netdev in dict.fromkeys([*rails, *record]):
        bridge, entry = seen.bridges[netdev], record.get(netdev, {})
        own = wanted if netdev in rails else Wanted()
        if bridge.error and own.bridging:
            part.faults.append(f"rdma_trust, rdma_pfc, rdma_priority: {netdev}: {bridge.error}")
        elif bridge.error:
            gone = netdev not in seen.netdevs
            part.final.update({} if gone else {netdev: entry})
            part.notes.append(f"{netdev} {'is gone' if gone else LATER}: {bridge.error}")
        else:
            found = _was(own, bridge, entry)
            goal = _goal(own, bridge, found)
            if own.mapping and bridge.tool == "mlnx_qos" and (goal.get("trust") or bridge.trust) != "dscp":
                part.faults.append(f"rdma_priority: {netdev} trusts {bridge.trust}, not DSCP, and has no map then. Fix: rdma_trust: dscp")
            part.during[netdev] = found
            part.steps += _device(netdev, bridge, goal)
            kept = _kept(own, found)
            part.final.update({netdev: kept} if kept else {})
    return part
