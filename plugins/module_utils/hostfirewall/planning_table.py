# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change of our table of nftables, and what rules of others shut out; pure of any effect."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft, ruleset, zones
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import (
    FABRIC,
    SOFT_ROCE,
    Flow,
    Host,
    Plan,
    Seen,
    Wanted,
    Zone,
)


def plan_table(wanted: Wanted, seen: Seen, found: Mapping[str, Zone], plan: Plan) -> None:
    """Add files and the table of nftables to a change; without zones both go."""
    held = nft.files(found) if found else {}
    ours = {path: content for path, content in seen.files.items() if path in (nft.PATH, nft.UNIT_PATH)}
    for path in sorted({*held, *ours}):
        before, after = ours.get(path), held.get(path)
        if before is not None and not nft.own(before):
            if after is not None:
                plan.faults.append(f"{path} is there and is not this collection's. Fix: move it away")
        elif before != after:
            plan.files[path] = after
    if seen.linked != bool(held):
        plan.linked = bool(held)
    rules = seen.ruleset or []
    if held and seen.ruleset is None:
        plan.faults.append("network_firewall_provider: nft cannot list the rules of this host. Fix: install nftables, and become root")
    elif held and not (nft.loaded(rules, held[nft.PATH]) and nft.PATH not in plan.files):
        plan.load = True
    elif not held and nft.there(rules):
        plan.load = False
    if held:
        plan.faults += _dropped(wanted, seen)
    if held and not nft.there(rules):
        shut = unheard(found, seen.host)
        if shut:
            ports, names = map(", ".join, shut)
            plan.notes.append(f"By {names} nobody will reach what listens at port {ports}: see network_firewall_also")


def _dropped(wanted: Wanted, seen: Seen) -> List[str]:
    """Return what other tables drop, which accepting in our own does not undo."""
    others = nft.others(seen.ruleset or [])
    if any(isinstance(row.get("table"), dict) and row["table"].get("name") == "firewalld" for row in others):
        return ["network_firewall_provider: firewalld runs, and drops what it does not know. Fix: network_firewall_provider: firewalld"]
    return [
        f"network_firewall_provider: {text}, and what one table drops no other lets in. Fix: accept it there, or remove that policy"
        for text in closed(wanted, seen.host, others)
    ]


def closed(wanted: Wanted, host: Host, objects: Sequence[Any]) -> List[str]:
    """Return what rules shut out of what is wanted, a sentence each.

    :param objects: rules as nft lists them.
    """
    filters, found = ruleset.Filters(objects), []
    fabric = wanted.fabric_interfaces[0] if wanted.fabric_interfaces else ""
    for flow in wanted.flows:
        verdict = ruleset.judge(filters, flow, host.addresses, fabric if flow.scope == FABRIC else "")
        if verdict.state == ruleset.CLOSED and (flow.needed != SOFT_ROCE or host.soft_roce):
            found.append(f"{flow.protocol} {flow.port} ({flow.purpose}) is dropped by {verdict.where}")
    return list(dict.fromkeys(found))


def unheard(found: Mapping[str, Zone], host: Host) -> Optional[Tuple[List[str], List[str]]]:
    """Return the ports at which something listens that no zone lets in, and the interfaces of the zones; None where there are none."""
    held = {name for zone in found.values() for name in zone.interfaces}
    reached = {"0.0.0.0", "::", *(zones.plain(address) for address, name in host.addresses.items() if name in held)}
    rules = [rule for zone in found.values() for rule in zone.rules if rule.protocol == "tcp"]
    ranges = [Flow("", "", rule.protocol, rule.port, "", None).ports for rule in rules]
    heard = {port for address, port in host.listening if zones.plain(address) in reached}
    ports = sorted(port for port in heard if not any(low <= port <= high for low, high in ranges))
    return (list(map(str, ports)), sorted(held)) if ports else None
