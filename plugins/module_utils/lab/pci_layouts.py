# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the network cards of virtual machines sit on PCI, which gives their interfaces their names; as data.

Prefill and decode hosts are servers of two makes: their cards have other names, and rails other NUMA nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Slot:
    """One card: the number of the host bridge's bus that its port hangs on, its function, and the bridge's NUMA node."""

    bridge_bus: int
    numa_node: int
    function: int = 0

    @property
    def bus(self) -> int:
        """The card's own bus: the first one behind the bridge's only port."""
        return self.bridge_bus + 1

    @property
    def address(self) -> str:
        """The card's PCI address."""
        return f"0000:{self.bus:02x}:00.{self.function}"

    @property
    def interface(self) -> str:
        """The name that the service manager gives to the card's interface."""
        return f"enp{self.bus}s0" + (f"f{self.function}" if self.function else "")


#: Cards of one rail each, in the order of the rails. A card whose function is 1 has a second, unconnected port at function 0.
LAYOUTS: Mapping[str, tuple[Slot, ...]] = {
    "a": (
        Slot(11, 0),
        Slot(26, 0),
        Slot(58, 0),
        Slot(75, 0),
        Slot(107, 1, 1),
        Slot(140, 1, 1),
        Slot(171, 1, 1),
        Slot(203, 1, 1),
    ),
    "b": (
        Slot(26, 0),
        Slot(43, 0),
        Slot(74, 0),
        Slot(92, 0),
        Slot(154, 1),
        Slot(170, 1),
        Slot(187, 1),
        Slot(218, 1),
    ),
    "c": (Slot(33, 0),),
}

#: The layout of each group's hosts; a router needs the fabric, and no RDMA.
LAYOUT_OF: Mapping[str, str] = {"prefill": "a", "decode": "b", "router": "c"}

RAILS = max(len(slots) for slots in LAYOUTS.values())

#: Slots of the root bus, for what is no rail's card.
DISK_SLOT, MANAGEMENT_SLOT, RANDOM_SLOT, FIRST_SHARE_SLOT, FIRST_BRIDGE_SLOT = 2, 3, 4, 5, 16

MANAGEMENT_INTERFACE = f"enp0s{MANAGEMENT_SLOT}"


def slots_of(group: str) -> tuple[Slot, ...]:
    """Return the cards of a group's hosts; hosts of no known group have those of prefill hosts."""
    return LAYOUTS[LAYOUT_OF.get(group, "a")]
