# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of machines of which only the layout is known: which GPU and which card share a switch, a host bridge, a socket.

    machine = Layout(tmp_path)
    machine.gpu("0/a/s0")
    machine.nic("mlx5_0", "0/a/s0", gbps=400)
    machine.nic("mlx5_1", "0/a/s0", card="mlx5_0")

A place is NUMA node, host bridge and, if any, PCIe switch; without a switch the function has a root port of its own. NUMA node C(-) is
one that the firmware does not name. The order of the calls is the order of the PCI addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host


class Layout(Host):
    """A machine whose PCI addresses follow from places."""

    def __init__(self, root: Path):
        super().__init__(root)
        self._bridges: dict[str, int] = {}
        self._switches: dict[str, tuple[str, int]] = {}
        self._buses: dict[int, int] = {}
        self._slots: dict[str, int] = {}
        self._cards: dict[str, tuple[str, int]] = {}

    def _bus(self, domain: int) -> str:
        self._buses[domain] = self._buses.get(domain, 0) + 1
        return f"{domain:04x}:{self._buses[domain]:02x}"

    def _slot(self, where: str) -> int:
        self._slots[where] = self._slots.get(where, 0) + 1
        return self._slots[where]

    def way(self, place: str) -> tuple[str, int | None]:
        """Return the bridges to a new function and its NUMA node."""
        node, bridge, *switch = place.split("/")
        numa = None if node == "-" else int(node)
        domain = self._bridges.setdefault(bridge, len(self._bridges))
        host = f"pci{domain:04x}:00"
        if not switch:
            return f"{host} {domain:04x}:00:{self._slot(bridge):02x}.0 {self._bus(domain)}:00.0", numa
        key = f"{bridge}/{switch[0]}"
        if key not in self._switches:
            self._switches[key] = (f"{host} {domain:04x}:00:{self._slot(bridge):02x}.0 {self._bus(domain)}:00.0", domain)
            self._slots[key + "/bus"] = int(self._bus(domain).partition(":")[2], 16)
        above, _domain = self._switches[key]
        down = f"{domain:04x}:{self._slots[key + '/bus']:02x}:{self._slot(key) - 1:02x}.0"
        return f"{above} {down} {self._bus(domain)}:00.0", numa

    def accelerator(self, place: str, **attributes: Any) -> None:
        """Write a GPU at a place."""
        way, numa = self.way(place)
        self.gpu(way, numa, **attributes)

    def card(self, name: str, place: str, beside: str | None = None, **more: Any) -> None:
        """Write an RDMA device at a place.

        :param beside: device whose card has this port, too.
        :param more: what C(nic) takes; C(state) DOWN shows the rate that such ports show.
        """
        if beside:
            way, function = self._cards[beside]
            self._cards[beside] = (way, function + 1)
            way, numa = way[:-1] + str(function + 1), self.way_node(place)
        else:
            way, numa = self.way(place)
            self._cards[name] = (way, 0)
        layer = more.setdefault("layer", "Ethernet")
        if more.get("state", "ACTIVE") == "DOWN":
            more["gbps"] = 40 if layer == "Ethernet" else 10
        self.nic(name, way, numa, **more)

    def function(self, name: str, physical: str, **more: Any) -> None:
        """Write a virtual function of a device's card."""
        way, used = self._cards[physical]
        self._cards[physical] = (way, used + 1)
        number = used + 8
        self.nic(name, f"{way[:-4]}{number // 8:02x}.{number % 8}", virtual_of=way, **more)

    def way_of(self, name: str) -> str:
        """Return the way to a device."""
        return self._cards[name][0]

    def ports(self, name: str) -> str:
        """Return the directory of a device, for further ports."""
        function = self._function(self._cards[name][0])
        assert function
        return f"{function}/infiniband/{name}"

    @staticmethod
    def way_node(place: str) -> int | None:
        """Return the NUMA node of a place."""
        node = place.partition("/")[0]
        return None if node == "-" else int(node)

    def guest(self) -> None:
        """Make it a virtual machine."""
        self.file("/proc/cpuinfo", "flags : fpu hypervisor")

    def choice(self, **options: Any) -> dict[str, Any]:
        """Return what is selected of its facts."""
        return select(self.facts(["rdma", "gpu"]), Options(**options))
