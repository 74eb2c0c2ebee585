# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv4 networks of a host moved into the ranges that are kept for documentation and tests.

Networks that hold one another still do, different ones stay different, and an address keeps its place in its network. Networks that
are too wide for those ranges become narrower ones, only as far as it takes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

# Documentation, documentation, benchmarks; the last one is reserved, and no host has addresses there.
POOLS = tuple(
    (int(network.network_address), int(network.broadcast_address) + 1)
    for network in map(ipaddress.IPv4Network, ("203.0.113.0/24", "198.51.100.0/24", "198.18.0.0/15", "240.0.0.0/4"))
)
BITS = 32
# An address of an unknown network counts as one of such a network.
USUAL = 24
WIDEST = 16

Network = Tuple[int, int]
Range = Tuple[int, int]


def size(length: int) -> int:
    """Return the number of addresses that a prefix length leaves."""
    return 1 << BITS - length


def start(address: int, length: int) -> int:
    """Return the first address of the network that an address is in."""
    return address & ~(size(length) - 1)


@dataclass
class Node:
    """A network with the networks and addresses that are in it and in no smaller one.

    :ivar length: prefix length that it shall have.
    :ivar base: first address that it shall have.
    """

    network: Network
    children: List[Node] = field(default_factory=list)
    addresses: List[int] = field(default_factory=list)
    length: int = BITS
    base: int = 0

    def holds(self, address: int) -> bool:
        """Return whether an address is in the network."""
        return start(address, self.network[1]) == self.network[0]

    def fit(self, limit: int) -> None:
        """Set the prefix lengths: as they are, and for networks wider than a limit long ones that still hold what is in them."""
        for child in self.children:
            child.fit(limit)
        self.length = self.network[1]
        if self.length < limit:
            needed = max(size(USUAL), sum(size(child.length) for child in self.children) + len(self.addresses) + 2)
            self.length = max(self.length, BITS - (needed - 1).bit_length())

    def settle(self, base: int, placed: Dict[int, int]) -> None:
        """Set the first addresses, and put the new address of every old one into a table."""
        self.base = base
        if self.length == self.network[1]:
            for child in self.children:
                child.length = child.network[1]
                child.settle(base + child.network[0] - self.network[0], placed)
            placed.update({address: base + address - self.network[0] for address in self.addresses})
            return
        # Powers of two in falling order leave no gaps.
        for child in sorted(self.children, key=lambda row: (row.length, row.network)):
            child.settle(base, placed)
            base += size(child.length)
        placed.update({address: base + place for place, address in enumerate(sorted(self.addresses), 1)})


def forest(networks: Iterable[Network], addresses: Iterable[int]) -> List[Node]:
    """Return the networks that are in no other one, with all that is in them."""
    roots: List[Node] = []

    def innermost(address: int, length: int) -> Optional[Node]:
        found, level = None, roots
        while True:
            inside = [node for node in level if node.network[1] < length and node.holds(address)]
            if not inside:
                return found
            found, level = inside[0], inside[0].children

    for length, base in sorted({(length, base) for base, length in networks}):
        parent = innermost(base, length)
        (parent.children if parent else roots).append(Node((base, length)))
    lone: Set[int] = set()
    for address in sorted(set(addresses)):
        node = innermost(address, BITS + 1)
        if node:
            node.addresses.append(address)
        else:
            lone.add(address)
    if lone:
        # These networks hold no known one that holds a lone address, but perhaps others.
        return forest([*networks, *((start(address, USUAL), USUAL) for address in lone)], addresses)
    return sorted(roots, key=lambda node: node.network)


def _slot(length: int, taken: Sequence[Range], pools: Sequence[Range]) -> Optional[int]:
    """Return the first address of the first free place of a size, or None."""
    step = size(length)
    for first, end in pools:
        base = -(-first // step) * step
        while base + step <= end:
            hit = next((row for row in taken if row[0] < base + step and base < row[1]), None)
            if hit is None:
                return base
            base = -(-hit[1] // step) * step
    return None


def _lay_out(roots: Sequence[Node], taken: Sequence[Range], pools: Sequence[Range]) -> Optional[Dict[int, int]]:
    placed: Dict[int, int] = {}
    used = list(taken)
    for root in roots:
        base = _slot(root.length, used, pools)
        if base is None:
            return None
        used.append((base, base + size(root.length)))
        root.settle(base, placed)
    return placed


class Moved:
    """The new networks and addresses.

    :param networks: first address and prefix length of every network that is known; lengths from 1 to 31.
    :param addresses: all addresses.
    """

    def __init__(self, networks: Iterable[Network], addresses: Iterable[int]):
        self._addresses: Dict[int, int] = {}
        self._networks: Dict[Network, Network] = {}
        known = sorted(set(networks))
        roots = forest(known, addresses)
        # Nothing new may be something old.
        old = [(node.network[0], node.network[0] + size(node.network[1])) for node in roots]
        for pools, taken in ((POOLS[:-1], old), (POOLS[:-1], []), (POOLS, [])):
            for limit in range(WIDEST, USUAL + 1):
                for root in roots:
                    root.fit(limit)
                placed = _lay_out(roots, taken, pools)
                if placed is not None:
                    self._addresses = placed
                    self._note(roots)
                    return

    def _note(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._networks[node.network] = (node.base, node.length)
            self._note(node.children)

    def address(self, address: int) -> int:
        """Return an address's new one."""
        return self._addresses[address]

    def network(self, base: int, length: int) -> Network:
        """Return a network's new first address and prefix length."""
        return self._networks[base, length]
