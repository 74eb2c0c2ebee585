# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network devices: MTU, state, PCI function, bonds and their slaves, what is stacked on what, and addresses."""

from __future__ import annotations

import ipaddress
import re
import struct
import sys
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

CLASS = "/sys/class/net"
MTUS = (4096, 2048, 1024, 512, 256)
# GRH 40, UDP 8, BTH 12, XRC 4, atomic 28, ICRC 4: what the kernel takes off a network device's MTU for RoCE.
ROCE_HEADERS = 96
# Representors of virtual and sub-functions lie beside the port's own network device.
REPRESENTOR = re.compile(r"(?:c[0-9]+)?pf[0-9]+(?:vf|sf)[0-9]+")


def roce_mtu(mtu: Optional[int]) -> Optional[int]:
    """Return the RDMA MTU that the kernel derives from a network device's, or None when that is too small or unknown."""
    return next((size for size in MTUS if mtu is not None and size <= mtu - ROCE_HEADERS), None)


def _uevent(text: Optional[str]) -> Dict[str, str]:
    rows = (line.partition("=") for line in (text or "").splitlines())
    return {name: value for name, _sign, value in rows}


def bond(root: Root, name: str) -> Optional[Dict[str, Any]]:
    """Return mode, slaves and active slave of a bond; None when a network device is no bond."""
    directory = f"{CLASS}/{name}/bonding"
    mode = root.read(directory + "/mode")
    if mode is None:
        return None
    slaves = (root.read(directory + "/slaves") or "").split()
    return {"mode": mode.split()[0] if mode else None, "slaves": slaves, "active_slave": root.read(directory + "/active_slave") or None}


def interface(root: Root, name: str) -> Dict[str, Any]:
    """Return the facts of one network device."""
    base = f"{CLASS}/{name}"
    entries = set(root.list(base))
    own = root.real(base) or ""
    device = root.real(base + "/device") if "device" in entries else None
    function = pci.place(device or own)
    state = root.read(base + "/operstate")
    return {
        "name": name,
        "mtu": root.number(base + "/mtu"),
        "state": state,
        # The kernel refuses to tell the speed of a link that is not up.
        "speed_mbps": _positive(root.number(base + "/speed")) if state == "up" and "speed" in entries else None,
        "mac": root.read(base + "/address") or None,
        "kind": _uevent(root.read(base + "/uevent")).get("DEVTYPE"),
        "pci": function.rpartition("/")[2] if function else None,
        "numa_node": pci.numa_node(root, function) if function else None,
        "driver": root.link(base + "/device/driver") if device else None,
        "virtual": "/virtual/" in own,
        "port": root.number(base + "/dev_port"),
        "representor": bool(REPRESENTOR.fullmatch(root.read(base + "/phys_port_name") or "")) if function else False,
        "master": root.link(base + "/master") if "master" in entries else None,
        "lower": sorted(entry[6:] for entry in entries if entry.startswith("lower_")),
        "bond": bond(root, name) if "bonding" in entries else None,
        "device_path": device,
        "addresses": [],
    }


def _positive(value: Optional[int]) -> Optional[int]:
    return value if value is not None and value > 0 else None


class Interfaces(Mapping[str, Dict[str, Any]]):
    """Network devices by name, each read when it is asked for: of dozens of virtual ones RDMA needs a few.

    :param addresses: name to addresses, where the kernel was asked; otherwise they are taken from procfs.
    """

    def __init__(self, root: Root, addresses: Optional[Dict[str, List[str]]] = None):
        self._root = root
        self._names = dict.fromkeys(name for name in root.list(CLASS) if name != "bonding_masters")
        self._addresses = addresses
        self._found: Dict[str, Dict[str, Any]] = {}

    def __getitem__(self, name: str) -> Dict[str, Any]:
        if name not in self._found:
            if name not in self._names:
                raise KeyError(name)
            if self._addresses is None:
                self._addresses = file_addresses(self._root)
            rows = sorted(self._addresses.get(name, ()), key=lambda row: (":" in row, row))
            self._found[name] = {**interface(self._root, name), "addresses": rows}
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def lag(name: Optional[str], known: Mapping[str, Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """Return the bond that a network device is or is a slave of, or None."""
    for candidate in (name, known[name]["master"] if name and name in known else None):
        if candidate and candidate in known and known[candidate]["bond"]:
            return {"bond": candidate, **known[candidate]["bond"]}
    return None


def _local_addresses(trie: str) -> List[str]:
    """Return the host's own IPv4 addresses from C(/proc/net/fib_trie)."""
    found: Dict[str, None] = {}
    last = ""
    for line in trie.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"]:
            found[last] = None
    return list(found)


def _routes(text: str) -> Dict[int, Dict[int, str]]:
    """Return the network devices of the networks that are reached without a gateway, from C(/proc/net/route).

    :returns: prefix length to first address to device, longest prefix first.
    """
    found: Dict[int, Dict[int, str]] = {}
    order = "<I" if sys.byteorder == "little" else ">I"
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            target, gateway, mask = (struct.unpack(order, struct.pack(">I", int(words[place], 16)))[0] for place in (1, 2, 7))
            network = ipaddress.IPv4Network((target, bin(mask).count("1")))
        except (IndexError, ValueError, struct.error):
            continue
        if not gateway and network.prefixlen:
            found.setdefault(network.prefixlen, {}).setdefault(target, words[0])
    return {length: found[length] for length in sorted(found, reverse=True)}


def file_addresses(root: Root) -> Dict[str, List[str]]:
    """Return network device to addresses with prefix length, as far as procfs tells.

    Which device has an IPv4 address follows from the main table's routes; an address without a route of its own is left out.
    """
    found: Dict[str, List[str]] = {}
    routes = _routes(root.read("/proc/net/route", 1 << 22) or "")
    for text in _local_addresses(root.read("/proc/net/fib_trie", 1 << 22) or ""):
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            continue
        for length, networks in routes.items():
            name = networks.get(int(address) >> 32 - length << 32 - length)
            if name is not None:
                found.setdefault(name, []).append(f"{address}/{length}")
                break
    for line in (root.read("/proc/net/if_inet6", 1 << 20) or "").splitlines():
        words = line.split()
        try:
            found.setdefault(words[5], []).append(f"{ipaddress.IPv6Address(bytes.fromhex(words[0]))}/{int(words[2], 16)}")
        except (IndexError, ValueError):
            continue
    return found
