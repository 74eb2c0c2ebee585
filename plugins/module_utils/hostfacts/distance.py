# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How near two PCI functions are, in the words of C(nvidia-smi topo -m).

PIX: through one switch. PXB: through several bridges, without the CPU. PHB: through the CPU's host bridge. NODE: through another host
bridge of the same NUMA node. SYS: from one NUMA node to another. UNKNOWN: neither PCI nor the firmware tells.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import natural

# Nearest first. UNKNOWN is better than a way that is known to cross sockets.
CLASSES = ("PIX", "PXB", "PHB", "NODE", "UNKNOWN", "SYS")
HOPS_COUNT = ("PIX", "PXB")

Way = Tuple[str, int]


def _bus(address: str) -> str:
    return address.rpartition(":")[0]


def _by_node(one: Optional[int], other: Optional[int]) -> str:
    if one is None or other is None or one < 0 or other < 0:
        return "UNKNOWN"
    return "NODE" if one == other else "SYS"


def relation(
    one: Sequence[str], other: Sequence[str], node: Optional[int] = None, other_node: Optional[int] = None, guest: bool = False
) -> Way:
    """Return the path class between two functions and the number of hops.

    :param one: way from the host bridge to a function, as C(pci.pci_path) returns it; empty when unknown.
    :param node: that function's NUMA node, None when unknown.
    :param guest: whether this is a virtual machine: there a shared root bus says nothing, unless NUMA nodes confirm it.
    """
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    hops = len(one) + len(other) - 2 * shared
    by_node = _by_node(node, other_node)
    if shared == 0:
        return by_node, hops
    if shared == 1 and one[0].startswith("pci"):
        if by_node == "SYS" or (guest and by_node == "UNKNOWN"):
            return by_node, hops
        return "PHB", hops
    between = [max(0, len(way) - shared - 1) for way in (one, other)]
    if between == [0, 0]:
        return "PIX", hops
    if shared == min(len(one), len(other)):
        # One is above the other, so it is a bridge itself.
        return "PXB", hops
    # Below one switch each function has a downstream port of its own, and those ports are on one bus. Topology files of NCCL leave
    # the downstream ports out: there the next ones below the common bridge are on different buses, and any further bridge is a switch.
    if max(between) <= 1 and _bus(one[shared]) == _bus(other[shared]):
        return "PIX", hops
    return "PXB", hops


def rank(way: Way) -> Tuple[int, int]:
    """Return a key that sorts nearest first; hops count only where no CPU is on the way."""
    return CLASSES.index(way[0]), way[1] if way[0] in HOPS_COUNT else 0


def candidates(devices: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return the devices that can be a GPU's neighbour: with ports, no sub-devices, soft ones and VFs only where nothing better is."""
    usable = [device for device in devices if device["ports"] and not device["smi"]]
    usable = [device for device in usable if not device["virtual"]] or usable
    present = {device["pci"] for device in usable}
    return [device for device in usable if not (device["is_vf"] and device["pf_pci"] in present)]


def nearest(gpu: Dict[str, Any], devices: Sequence[Dict[str, Any]], guest: bool = False) -> Dict[str, Any]:
    """Return a GPU's path class to its nearest NICs, those NICs, the ties among them, and the classes to all."""
    ways = {
        device["name"]: relation(gpu["pci_path"], device["pci_path"], gpu["numa_node"], device["numa_node"], guest)
        for device in devices
        if device["ports"]
    }
    names = [device["name"] for device in candidates(devices)]
    best = min((rank(ways[name]) for name in names), default=None)
    nics = sorted((name for name in names if rank(ways[name]) == best), key=natural)
    return {
        "path": CLASSES[best[0]] if best else None,
        "nics": nics,
        "tied": nics if len(nics) > 1 else [],
        "paths": {name: ways[name][0] for name in sorted(ways, key=natural)},
    }
