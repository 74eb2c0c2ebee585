# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the files of a machine that has what a test needs: PCI bridges, GPUs, RDMA devices, network devices, bonds.

    host = Host(tmp_path)
    host.gpu("17:01.0 18:00.0 19:00.0 1a:00.0", numa=0)
    host.nic("mlx5_0", "17:01.0 18:00.0 19:01.0 1b:00.0", numa=0, netdev="ens1", gids={3: "v2 192.0.2.1 ens1"})
    facts = host.facts()

A way lists the bridges from the root port down to the function; the host bridge follows from the first of them unless it is
written out (C(pci0000:16)), and the domain is 0000 unless it is.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import SUBSETS, gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

ZERO = ":".join(["0000"] * 8)
TYPES = {"v1": "IB/RoCE v1", "v2": "RoCE v2", "IB": "IB/RoCE v1"}
STATES = {"DOWN": "1: DOWN", "INIT": "2: INIT", "ARMED": "3: ARMED", "ACTIVE": "4: ACTIVE"}
PHYSICAL = {"DOWN": "3: Disabled", "INIT": "5: LinkUp", "ARMED": "5: LinkUp", "ACTIVE": "5: LinkUp"}
RATES = {800: "4X XDR", 400: "4X NDR", 200: "4X HDR", 100: "4X EDR", 56: "4X FDR", 50: "1X HDR", 40: "4X QDR", 25: "1X EDR", 10: "1X QDR"}
H100 = {"vendor": "0x10de", "device": "0x2330", "class": "0x030200"}
MI300X = {"vendor": "0x1002", "device": "0x74a1", "class": "0x120000"}
CARD = {"node_type": "1: CA", "node_guid": "a088:c203:00e3:142a", "fw_ver": "28.39.1002", "hca_type": "MT4129", "board_id": "MT_0838"}
CONNECTX7 = {"vendor": "0x15b3", "device": "0x1021", "class": "0x020000"}


def gid(address: str) -> str:
    """Return an address as GID tables show it."""
    found = ipaddress.ip_address(address)
    if found.version == 4:
        found = ipaddress.ip_address(f"::ffff:{found}")
    return found.exploded


def rate(gbps: float) -> str:
    """Return a rate as the kernel writes it."""
    name = RATES.get(int(gbps))
    return f"{gbps:g} Gb/sec" + (f" ({name})" if name else "")


def config_space(port: str = "downstream", acs: int | None = None, size: int = 4096) -> bytes:
    """Return the configuration space of a bridge.

    :param acs: ACS control word, None for a bridge without ACS.
    """
    space = bytearray(4096)
    space[0x34] = 0x40
    struct.pack_into("<BBH", space, 0x40, 0x01, 0x60, 0)
    struct.pack_into("<BBH", space, 0x60, 0x10, 0x00, {"root": 4, "upstream": 5, "downstream": 6}[port] << 4)
    struct.pack_into("<I", space, 0x100, 0x0001 | 1 << 16 | 0x148 << 20)
    if acs is not None:
        struct.pack_into("<IHH", space, 0x148, 0x000D | 1 << 16, 0, acs)
    return bytes(space[:size])


class Host:
    """A machine's files below a directory.

    :ivar root: that directory.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def file(self, path: str, content: str | bytes) -> None:
        """Write a file; a text gets its line end."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")

    def files(self, directory: str, contents: Mapping[str, Any]) -> None:
        """Write several files of a directory; a value None leaves one out."""
        for name, content in contents.items():
            if content is not None:
                self.file(f"{directory}/{name}", content if isinstance(content, bytes) else str(content))

    def link(self, path: str, target: str) -> None:
        """Make a relative link to another path of this machine, as sysfs does."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            place.unlink()
        place.symlink_to(os.path.relpath(self.root / target.lstrip("/"), place.parent))

    def remove(self, path: str) -> None:
        """Remove one file."""
        (self.root / path.lstrip("/")).unlink()

    def facts(self, subsets: Sequence[str] = SUBSETS, units: Sequence[str] = ()) -> dict[str, Any]:
        """Return the facts of this machine."""
        return gather(Root(str(self.root)), subsets, units=units)

    def device(self, name: str) -> dict[str, Any]:
        """Return the facts of one RDMA device."""
        (found,) = [row for row in self.facts(["rdma"])["devices"] if row["name"] == name]
        return found

    def port(self, name: str, number: int = 1) -> dict[str, Any]:
        """Return the facts of one port."""
        (found,) = [row for row in self.device(name)["ports"] if row["port"] == number]
        return found

    # PCI

    def pci(self, way: str, numa: int | None = None, **attributes: Any) -> str:
        """Write a PCI function with the bridges above it; return its directory."""
        parts = [part if part.count(":") == 2 or part.startswith("pci") else f"0000:{part}" for part in way.split()]
        if not parts[0].startswith("pci"):
            parts.insert(0, "pci" + parts[0].rpartition(":")[0])
        for end in range(2, len(parts) + 1):
            path = "/sys/devices/" + "/".join(parts[:end])
            if end < len(parts) and not (self.root / path.lstrip("/") / "class").exists():
                self.files(path, {"class": "0x060400", "vendor": "0x1000", "device": "0xc030"})
            if not parts[end - 1].startswith("pci"):
                self.link(f"/sys/bus/pci/devices/{parts[end - 1]}", path)
        self.files(path, {"numa_node": -1 if numa is None else numa, **attributes})
        return path

    def driver(self, function: str, name: str) -> None:
        """Bind a function to a driver."""
        (self.root / "sys/bus/pci/drivers" / name).mkdir(parents=True, exist_ok=True)
        self.link(function + "/driver", f"/sys/bus/pci/drivers/{name}")

    def gpu(self, way: str, numa: int | None = None, driver: str | None = "nvidia", **attributes: Any) -> str:
        """Write a GPU; an H100 unless the attributes say otherwise."""
        path = self.pci(way, numa, **{**H100, **attributes})
        if driver:
            self.driver(path, driver)
        return path

    # RDMA

    def nic(
        self,
        name: str,
        way: str | None = None,
        numa: int | None = None,
        netdev: str | None = None,
        *,
        mtu: int = 9000,
        virtual_of: str | None = None,
        driver: str = "mlx5_core",
        attributes: Mapping[str, Any] | None = None,
        pci: Mapping[str, Any] | None = None,
        **port: Any,
    ) -> str:
        """Write an RDMA device with port 1; return its directory.

        :param way: None for a capture that shows no place in PCI.
        :param netdev: network device of the same function.
        :param virtual_of: way of the physical function that this is a virtual one of.
        :param attributes: files of the device.
        :param pci: files of its function.
        :param port: what C(port_files) takes.
        """
        if way is None:
            path = f"/sys/class/infiniband/{name}"
        else:
            function = self.pci(way, numa, **{**CONNECTX7, **(pci or {})})
            self.driver(function, driver)
            path = f"{function}/infiniband/{name}"
            self.link(path + "/device", function)
            self.link(f"/sys/class/infiniband/{name}", path)
            if netdev:
                self.netdev(netdev, way, mtu=mtu)
            if virtual_of:
                self.link(function + "/physfn", f"/sys/bus/pci/devices/0000:{virtual_of.split()[-1]}")
        self.files(path, {**CARD, **(attributes or {})})
        self.port_files(path, **port)
        return path

    def soft(self, name: str, parent: str, below: str | None = None, **port: Any) -> str:
        """Write a soft-RoCE device on a network device; return its directory.

        :param below: way of the function that kernels up to 5.10 put it below.
        """
        path = f"{self._function(below) or '/sys/devices/virtual'}/infiniband/{name}"
        if below:
            self.link(path + "/device", path.partition("/infiniband/")[0])
        self.link(f"/sys/class/infiniband/{name}", path)
        self.files(path, {"node_type": "1: CA", "node_guid": "5054:00ff:fe00:0001", "fw_ver": "", "parent": parent})
        self.port_files(path, **{"gbps": 2.5, "speed": "2.5 Gb/sec (1X SDR)", **port})
        return path

    def port_files(
        self,
        device: str,
        number: int = 1,
        *,
        state: str = "ACTIVE",
        gbps: float = 400,
        layer: str = "Ethernet",
        gids: Mapping[int, str] | None = None,
        slots: int = 0,
        speed: str | None = None,
        physical: str | None = None,
    ) -> None:
        """Write a port.

        :param gids: slot to type, address and network device, for example C(v2 192.0.2.1 ens1).
        :param slots: size of the GID table; empty slots hold zeros and have no types.
        :param speed: text of the file C(rate).
        """
        path = f"{device}/ports/{number}"
        rows = {"state": STATES.get(state, state), "phys_state": physical or PHYSICAL.get(state), "rate": speed or rate(gbps)}
        self.files(path, {**rows, "link_layer": layer, "lid": "0x0", "sm_lid": "0x0"})
        used = gids or {}
        for index in range(max([slots, *(index + 1 for index in used)])):
            kind, address, netdev = [*used.get(index, "").split(), "", "", ""][:3]
            self.file(f"{path}/gids/{index}", gid(address) if address else ZERO)
            if kind and layer != "InfiniBand":
                self.files(f"{path}/gid_attrs", {f"types/{index}": TYPES.get(kind, kind), f"ndevs/{index}": netdev or None})

    # Network

    def netdev(self, name: str, way: str | None = None, mtu: int = 1500, state: str = "up", **attributes: Any) -> str:
        """Write a network device, on a PCI function or virtual; return its directory."""
        function = self.pci(way) if way and not self._function(way) else self._function(way)
        path = f"{function}/net/{name}" if function else f"/sys/devices/virtual/net/{name}"
        self.files(path, {"mtu": mtu, "operstate": state, "dev_port": 0, "address": "02:00:00:00:00:01", **attributes})
        if function:
            self.link(path + "/device", function)
        self.link(f"/sys/class/net/{name}", path)
        return path

    def bond(self, name: str, slaves: Sequence[str], mode: str = "802.3ad 4", mtu: int = 9000) -> None:
        """Put existing network devices into a bond."""
        path = self.netdev(name, mtu=mtu)
        self.files(path + "/bonding", {"mode": mode, "slaves": " ".join(slaves), "active_slave": ""})
        self.file("/sys/class/net/bonding_masters", name)
        for slave in slaves:
            self.link(f"/sys/class/net/{slave}/master", path)
            self.link(f"{path}/lower_{slave}", f"/sys/class/net/{slave}")

    def _function(self, way: str | None) -> str | None:
        if way is None:
            return None
        address = way.split()[-1]
        link = self.root / "sys/bus/pci/devices" / (address if address.count(":") == 2 else f"0000:{address}")
        return "/" + str(link.resolve().relative_to(self.root.resolve())) if link.is_symlink() else None


def hgx(host: Host, gpus: int = 8, *, management: Sequence[int] = (), gbps: float = 400, slow: float = 100, slots: int = 256) -> Host:
    """Write a machine with one GPU and one NIC on each PCIe switch, two NUMA nodes and RoCE on every rail.

    :param management: positions (mlx5_N) of further NICs that share no switch with a GPU.
    """
    names = iter(position for position in range(gpus + len(management)) if position not in management)
    for rail, position in enumerate(names):
        numa, bus = int(rail >= gpus / 2), 0x10 + 0x10 * rail
        switch = f"{bus:02x}:01.0 {bus + 1:02x}:00.0"
        host.gpu(f"{switch} {bus + 2:02x}:00.0 {bus + 3:02x}:00.0", numa)
        netdev = f"ens{rail}np0"
        address = f"192.0.2.{rail + 1}"
        host.nic(
            f"mlx5_{position}",
            f"{switch} {bus + 2:02x}:01.0 {bus + 4:02x}:00.0",
            numa,
            netdev,
            gbps=gbps,
            slots=slots,
            gids={
                0: f"v1 fe80::{rail + 1} {netdev}",
                1: f"v2 fe80::{rail + 1} {netdev}",
                2: f"v1 {address} {netdev}",
                3: f"v2 {address} {netdev}",
            },
        )
    for place, position in enumerate(management):
        host.nic(f"mlx5_{position}", f"f{place}:01.0 f{place + 8:x}:00.0", 0, f"eno{place}", gbps=slow, slots=slots)
    return host
