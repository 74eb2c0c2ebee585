# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rails of a lab of virtual machines: their networks, and each host's cards, addresses and devices on them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from ansible_collections.railyard.sglang.plugins.module_utils.lab import pci_layouts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.hostfiles import interface_mac
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord

#: Each rail has a network of this prefix length, one after the other in the fabric's network.
RAIL_PREFIX = 24

#: The fabric's network has room for as many.
FABRIC_PREFIX = RAIL_PREFIX - (pci_layouts.RAILS - 1).bit_length()

#: As usual on RoCE fabrics: 4096 bytes and their headers fit in.
RAIL_MTU = 4200


@dataclass(frozen=True)
class Card:
    """A host's card on one rail."""

    rail: int
    slot: pci_layouts.Slot
    address: str
    network: str
    device: str

    @property
    def interface(self) -> str:
        """The interface's name as the host boots."""
        return self.slot.interface

    @property
    def mac(self) -> str:
        """The hardware address."""
        return interface_mac(self.address)


def bridge(rail: int) -> str:
    """Return the name of a rail's bridge."""
    return f"rail{rail}"


def tap(host: str, rail: int) -> str:
    """Return the name of the bridge's port for a host's card."""
    return f"{rail}-{host}"


def management_tap(host: str) -> str:
    """Return the name of the management bridge's port for a host."""
    return f"m-{host}"


def cards(host: HostRecord, fabric_network: str) -> tuple[Card, ...]:
    """Return a host's cards by rail. Its address on the fabric is that on the first rail; the others have the same last byte."""
    rails = list(IPv4Network(fabric_network).subnets(new_prefix=RAIL_PREFIX))
    offset = int(IPv4Address(host.fabric_address)) - int(rails[0][0])
    return tuple(
        Card(rail, slot, str(rails[rail][offset]), str(rails[rail]), f"mlx5_{rail}")
        for rail, slot in enumerate(pci_layouts.slots_of(host.group))
    )


def check_fabric(fabric: IPv4Network, hosts: tuple[HostRecord, ...]) -> None:
    """Raise LabError where the rails do not fit into the fabric's network, or a host is not on its first rail."""
    if fabric.prefixlen > FABRIC_PREFIX:
        raise LabError(
            f"fabric_network {fabric}: virtual machines have {pci_layouts.RAILS} rails of a /{RAIL_PREFIX} each: it must have a "
            f"prefix of /{FABRIC_PREFIX} or shorter, or be auto"
        )
    first = next(fabric.subnets(new_prefix=RAIL_PREFIX))
    for host in hosts:
        if IPv4Address(host.fabric_address) not in first:
            raise LabError(f"host {host.name}: fabric_address {host.fabric_address} must be in the first rail's network {first}")
