# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far every GPU is from every RDMA device, and what follows from it for a set of ports."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import Port

# Nearest first. Not to know is better than to know that the socket is another one.
CLASSES = ("PIX", "PXB", "PHB", "NODE", "UNKNOWN", "SYS")
RANK = {name: rank for rank, name in enumerate(CLASSES)}
SWITCH = RANK["PXB"]
UNKNOWN = RANK["UNKNOWN"]
Distance = Tuple[int, int]


def _hops(one: Sequence[str], other: Sequence[str]) -> int:
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return len(one) + len(other) - 2 * shared


def counted(facts: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return the GPUs that a process can use, in the order in which it counts them.

    Each vendor's programs count their own from 0: of two vendors it is the one of most GPUs, beside which the other's is a display.
    """
    rows = [row for row in facts.get("gpus") or [] if row["index"] is not None]
    usual = Counter(row.get("vendor") for row in rows).most_common(1)
    own = [row for row in rows if row.get("vendor") == usual[0][0]]
    return sorted(own, key=lambda row: int(row["index"]))


class Locality:
    """Distances between the GPUs and the devices of one host.

    Facts hold the path class of every pair in a GPU's C(paths), and the ways through PCI in C(pci_path). Where they hold
    only the nearest devices (C(nics) and C(tied), with C(path)), the distance of all others is unknown.
    """

    def __init__(self, facts: Dict[str, Any]) -> None:
        ways = {str(row["name"]): row.get("pci_path") or [] for row in facts.get("devices") or []}
        self.gpus: List[int] = []
        self._table: Dict[int, Dict[str, Distance]] = {}
        for gpu in counted(facts):
            paths = gpu.get("paths") or {name: gpu.get("path") for name in [*(gpu.get("nics") or []), *(gpu.get("tied") or [])]}
            rows = {}
            for name, path in paths.items():
                rank = RANK.get(str(path), UNKNOWN)
                # Bridges are worth counting below one switch only; beyond the CPU they say nothing about bandwidth.
                count = rank <= SWITCH and gpu.get("pci_path") and ways.get(name)
                rows[str(name)] = (rank, _hops(gpu["pci_path"], ways[name]) if count else 0)
            self.gpus.append(int(gpu["index"]))
            self._table[int(gpu["index"])] = rows

    def between(self, gpu: int, port: Port) -> Distance:
        """Return rank of the path class and number of bridges."""
        return self._table[gpu].get(port.device, (UNKNOWN, 0))

    def rank(self, gpu: int, ports: Iterable[Port]) -> int:
        """Return the rank of the best path class between a GPU and any of some ports."""
        return min((self.between(gpu, port)[0] for port in ports), default=len(CLASSES))

    def nearest(self, gpu: int, ports: Sequence[Port], bridges: bool = True) -> List[Port]:
        """Return the ports that are equally near to a GPU and nearer than all others.

        :param bridges: count bridges too, not only the path class.
        """
        if not ports:
            return []
        keys = [self.between(gpu, port)[: 2 if bridges else 1] for port in ports]
        best = min(keys)
        return [port for port, key in zip(ports, keys) if key == best]

    def on_switch(self, ports: Iterable[Port]) -> List[Port]:
        """Return the ports that share a PCIe switch with some GPU."""
        return [port for port in ports if any(self.between(gpu, port)[0] <= SWITCH for gpu in self.gpus)]

    def covered(self, ports: Sequence[Port]) -> Set[int]:
        """Return the GPUs that share a PCIe switch with one of some ports."""
        return {gpu for gpu in self.gpus if self.rank(gpu, ports) <= SWITCH}

    def covers(self, ports: Sequence[Port]) -> bool:
        """Return whether every GPU has one of some ports on its PCIe switch."""
        return bool(self.gpus) and len(self.covered(ports)) == len(self.gpus)

    def known(self, ports: Sequence[Port]) -> bool:
        """Return whether the nearest port of every GPU is known to be so."""
        return bool(self.gpus) and bool(ports) and all(self.rank(gpu, ports) != UNKNOWN for gpu in self.gpus)

    def fits(self, count: int) -> bool:
        """Return whether a number of ports can be shared evenly with the GPUs; any number can where there is no GPU."""
        gpus = len(self.gpus)
        return count > 0 and (not gpus or count % gpus == 0 or gpus % count == 0)
