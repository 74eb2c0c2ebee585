# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From flows and a host's interfaces to zones: which interface belongs where, and what each zone lets in. Pure of any effect."""

from __future__ import annotations

import ipaddress
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import (
    FABRIC,
    MANAGEMENT,
    SOFT_ROCE,
    Flow,
    Host,
    Rule,
    Wanted,
    Zone,
)


def plain(address: str) -> str:
    """Return an address in its one spelling, without its zone and prefix; an IPv4 one that IPv6 carries as what it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("/")[0].partition("%")[0])
    except ValueError:
        return address
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def family(text: str) -> int:
    """Return 4 or 6 for an address or a network, 0 for an empty text."""
    return (6 if ":" in text else 4) if text else 0


class Places:
    """Which interface belongs to which of the two networks.

    :ivar faults: why it cannot be told.
    """

    def __init__(self, wanted: Wanted, host: Host) -> None:
        self.held = {plain(address): name for address, name in host.addresses.items()}
        self.faults: List[str] = []
        self.fabric = self._fabric(wanted, host)
        reached = [wanted.management_address, *(flow.address for flow in wanted.flows if flow.scope == MANAGEMENT and flow.address)]
        self.connection = self._connection(host)
        others = [self.held.get(plain(address), "") for address in reached if address] + [self.connection]
        found = dict.fromkeys(name for name in others if name and name != "lo")
        self.management = [name for name in found if name not in self.fabric]
        # One network for everything, or the controller comes by the fabric: its zone lets in what management needs, too.
        self.shared = any(name in self.fabric for name in found)
        self.fabric_beside = any(self.held.get(plain(address)) in self.management for address in wanted.addresses)

    def _fabric(self, wanted: Wanted, host: Host) -> List[str]:
        for name in wanted.fabric_interfaces:
            if name not in host.interfaces:
                self.faults.append(
                    f"sglang_fabric_interface, rails of the plan: {name} is not on this host. "
                    "Fix: correct the variable, or let the facts be gathered anew"
                )
        holders = [self.held.get(plain(address), "") for address in wanted.addresses[:1]]
        return [name for name in dict.fromkeys([*wanted.fabric_interfaces, *holders]) if name and name != "lo"]

    def _connection(self, host: Host) -> str:
        if host.connection is None:
            return ""
        _address, _sign, device = host.connection.local.partition("%")
        return device or self.held.get(plain(host.connection.local), "")

    def of(self, flow: Flow) -> List[str]:
        """Return the scopes in whose zones a flow is let in."""
        holder = self.held.get(plain(flow.address)) if flow.address else None
        if holder is not None:
            return [FABRIC] if holder in self.fabric else [MANAGEMENT] if holder in self.management else []
        scopes = [flow.scope]
        if flow.scope == MANAGEMENT and self.shared:
            scopes.append(FABRIC)
        if flow.scope == FABRIC and self.fabric_beside and not flow.address:
            scopes.append(MANAGEMENT)
        return scopes


def _rules(flow: Flow) -> Iterator[Rule]:
    """Yield the rules of a flow, one for each family of addresses."""
    given = family(flow.address)
    if flow.sources is None:
        yield Rule(given, None, flow.address, flow.protocol, flow.port, flow.purpose)
        return
    for kind in (4, 6):
        own = tuple(text for text in flow.sources if family(text) == kind)
        if own and given in (0, kind):
            yield Rule(kind, own, flow.address, flow.protocol, flow.port, flow.purpose)


def _allowed(address: str, networks: Iterable[str]) -> bool:
    parsed = ipaddress.ip_address(plain(address))
    return any(parsed in ipaddress.ip_network(text) for text in networks)


def ssh(wanted: Wanted, host: Host, places: Places, faults: List[str]) -> Optional[Flow]:
    """Return the flow of the controller's own connection, by which this host must stay reachable."""
    if host.connection is None:
        return None
    if wanted.controllers and not _allowed(host.connection.client, wanted.controllers):
        faults.append(
            f"network_firewall_controllers: the controller comes from {host.connection.client}, which none of these networks holds: "
            "this host would be lost. Fix: add it"
        )
    scope = FABRIC if places.connection in places.fabric else MANAGEMENT
    return Flow(scope, "", "tcp", str(host.connection.port), "SSH", wanted.controllers or None, "controllers")


def zones(wanted: Wanted, host: Host) -> Tuple[Dict[str, Zone], List[str], List[str]]:
    """Return the zones by scope, why nothing must be changed, and what the operator should know."""
    places = Places(wanted, host)
    faults, notes = list(places.faults), []
    flows = [flow for flow in wanted.flows if flow.needed != SOFT_ROCE or host.soft_roce]
    own = ssh(wanted, host, places, faults)
    rules: Dict[str, Dict[Rule, None]] = {FABRIC: {}, MANAGEMENT: {}}
    for flow in [*flows, *([own] if own else [])]:
        for scope in places.of(flow):
            rules[scope].update(dict.fromkeys(_rules(flow)))
    interfaces = {FABRIC: places.fabric, MANAGEMENT: places.management}
    found = {scope: Zone(scope, tuple(sorted(names)), _once(rules[scope])) for scope, names in interfaces.items() if names}
    if not found:
        faults.append("network_firewall: no interface of this host holds an address of the plan. Fix: see preflight.address")
    elif MANAGEMENT not in found and not places.shared:
        notes.append("No interface holds the management address, and the controller is not connected by SSH: only the fabric is filtered")
    return found, faults, notes


def _once(rules: Iterable[Rule]) -> Tuple[Rule, ...]:
    """Return rules without those that differ from an earlier one in their purpose only, or that one without sources holds."""
    rows = list(rules)
    seen: Set[Tuple[object, ...]] = set()
    wide = {(row.destination, row.protocol, row.port) for row in rows if row.sources is None}
    kept = []
    for row in rows:
        key = (row.family, row.sources, row.destination, row.protocol, row.port)
        if key in seen or (row.sources is not None and (row.destination, row.protocol, row.port) in wide):
            continue
        seen.add(key)
        kept.append(row)
    return tuple(kept)
