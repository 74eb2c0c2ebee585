# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters of a host do with a connection: the rules of nftables, as C(nft -j list ruleset) lists them, followed step by step.

That holds for firewalld, too, whose rules these are, and for iptables-nft as far as nft can show its rules.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import matching
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.matching import Packet
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Flow
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.zones import family, plain

OPEN, CLOSED, UNKNOWN = "open", "closed", "unknown"
ACCEPT, DROP, ON, BACK = "accept", "drop", "continue", "return"
#: More chains within each other than anybody has: a circle.
DEEPEST = 32
#: Sources of a flow that are tried.
MOST_SOURCES = 16
ZONE = re.compile(r"filter_IN_(?!policy_)(.+?)(?:_(?:pre|log|deny|allow|post))?")
#: Statements that let a packet go on as it is.
SILENT = ("counter", "log", "mangle", "notrack", "ct helper", "ct timeout", "quota", "set", "map", "meter", "limit", "comment", "flow")
Key = Tuple[str, str, str]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a flow.

    :ivar where: the chain that drops it, or what cannot be understood.
    :ivar zone: zone of firewalld on its way, empty where there is none.
    """

    state: str
    where: str = ""
    zone: str = ""


@dataclass
class Filters:
    """The chains, rules and sets of a host.

    :ivar base: chains that see what comes in, in the order in which they do, each with its policy.
    """

    objects: Sequence[Any]
    rules: Dict[Key, List[Mapping[str, Any]]] = field(default_factory=dict)
    base: List[Tuple[int, Key, str]] = field(default_factory=list)
    sets: Dict[Tuple[str, str], Dict[str, List[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.objects:
            for kind, given in row.items() if isinstance(row, dict) else ():
                self._take(kind, given)
        self.base.sort(key=lambda one: one[0])

    def _take(self, kind: str, given: Any) -> None:
        if kind == "chain":
            key = (given["family"], given["table"], given["name"])
            self.rules.setdefault(key, [])
            if given.get("hook") == "input" and given.get("type") == "filter":
                self.base.append((int(given.get("prio", 0)), key, str(given.get("policy", ACCEPT))))
        elif kind == "rule":
            self.rules.setdefault((given["family"], given["table"], given["chain"]), []).append(given)
        elif kind in ("set", "map"):
            elements = given.get("elem") or []
            self.sets.setdefault((given["family"], given["table"]), {})[given["name"]] = list(elements)


class _Walk:
    """One packet on its way through the chains.

    :ivar unclear: what was not understood on the way.
    :ivar dropped: the chains that may drop it.
    """

    def __init__(self, filters: Filters, packet: Packet) -> None:
        self.filters, self.packet = filters, packet
        self.unclear: Set[str] = set()
        self.dropped: List[Key] = []
        self.zone = ""

    def chain(self, key: Key, depth: int = 0) -> Set[str]:
        """Return what a chain may do with the packet."""
        if depth > DEEPEST or key not in self.filters.rules:
            self.unclear.add(f"chain {key[2]}")
            return {ACCEPT, DROP}
        match = ZONE.fullmatch(key[2])
        self.zone = match.group(1) if match and key[1] == "firewalld" else self.zone
        found: Set[str] = set()
        for rule in self.filters.rules[key]:
            outcomes, sure = self.rule(rule, key, depth)
            found |= outcomes - {ON}
            if sure and ON not in outcomes:
                return found
        return found | {ON}

    def rule(self, rule: Mapping[str, Any], key: Key, depth: int) -> Tuple[Set[str], bool]:
        """Return what a rule may do, and whether it does it for sure."""
        sure, found = True, {ON}
        sets = self.filters.sets.get(key[:2], {})
        for statement in rule.get("expr", []):
            kind, words = _parts(statement)
            if kind == "match":
                answer = matching.holds(self.packet, words, sets, self.unclear)
                if answer is False:
                    return {ON}, True
                sure = sure and answer is True
            elif kind == "vmap":
                rows, certain = matching.chosen(self.packet, words, sets, self.unclear)
                found = set().union({ON} if not certain else set(), *(self.verdict(row, key, depth) for row in rows))
            elif kind == "limit":
                if words.get("inv"):
                    return {ON}, True
            elif kind in (ACCEPT, DROP, "reject", "jump", "goto", BACK):
                found = self.verdict(statement, key, depth)
            elif kind not in SILENT:
                self.unclear.add(f"{kind or 'a rule'} in chain {key[2]} of table {key[1]}")
                sure = False
        return found, sure

    def verdict(self, statement: Mapping[str, Any], key: Key, depth: int) -> Set[str]:
        """Return what a verdict does."""
        ((kind, words),) = statement.items()
        if kind in (DROP, "reject"):
            self.dropped.append(key)
            return {DROP}
        if kind in ("jump", "goto"):
            outcomes = self.chain((key[0], key[1], words["target"]), depth + 1)
            back = {BACK} if kind == "goto" else {ON}
            return (outcomes - {ON, BACK}) | (back if outcomes & {ON, BACK} else set())
        return {ON} if kind == "continue" else {kind}


def _parts(statement: Any) -> Tuple[str, Any]:
    """Return the kind of a statement and its words."""
    if isinstance(statement, dict):
        for kind, words in statement.items():
            return str(kind), words
    return "", None


def _one_of(network: str) -> str:
    """Return an address of a network."""
    within = ipaddress.ip_network(network, strict=False)
    return str(within.network_address if within.num_addresses == 1 else within.network_address + 1)


def _packets(flow: Flow, addresses: Mapping[str, str], interface: str) -> Iterator[Packet]:
    """Yield the packets that stand for a flow: each source, the first and the last port."""
    held = {plain(address): name for address, name in addresses.items()}
    own = held.get(plain(flow.address), interface) if flow.address else interface
    sources: List[Any] = [None]
    if flow.sources is not None:
        sources = [_one_of(text) for text in flow.sources[:MOST_SOURCES]]
    for source in sources:
        kind = family(source or flow.address) or 4
        if flow.address and kind != family(flow.address):
            continue
        for port in sorted(set(flow.ports)):
            yield Packet(own, source, flow.address or None, kind, flow.protocol, port)


def _place(key: Key) -> str:
    return f"chain {key[2]} of table {key[0]} {key[1]}"


def _one(filters: Filters, packet: Packet) -> Verdict:
    """Return what becomes of a packet: every table must let it in."""
    verdict = Verdict(OPEN)
    for _priority, key, policy in filters.base:
        if key[0] in ("ip", "ip6") and (key[0] == "ip6") != (packet.family == 6):
            continue
        if key[0] not in ("ip", "ip6", "inet"):
            continue
        walk = _Walk(filters, packet)
        outcomes = walk.chain(key)
        if outcomes & {ON, BACK}:
            outcomes = (outcomes - {ON, BACK}) | {policy}
            walk.dropped += [key] if policy == DROP else []
        if outcomes == {DROP}:
            return Verdict(CLOSED, _place(walk.dropped[-1]), walk.zone)
        if DROP not in outcomes:
            continue
        if walk.unclear or packet.interface == "":
            verdict = Verdict(UNKNOWN, "; ".join(sorted(walk.unclear)[:3]) or "the interface is not known", walk.zone)
        # Otherwise a connection from anywhere to any address, which is let in from somewhere: the filter narrows it.
    return verdict


def judge(filters: Filters, flow: Flow, addresses: Mapping[str, str], interface: str) -> Verdict:
    """Return what the filters do with a flow: the worst of what its sources and ports get.

    :param addresses: of the host, to their interfaces.
    :param interface: by which a flow comes that names no address.
    """
    found = [_one(filters, packet) for packet in _packets(flow, addresses, interface)]
    order = (CLOSED, UNKNOWN, OPEN)
    return min(found, key=lambda one: order.index(one.state), default=Verdict(OPEN))
