# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network devices as files and the kernel show them."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import net, netlink, pci
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import rtnl
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.rtnl import Link
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

RDMA = "/sys/class/infiniband"
#: Devices of sub-functions share their parent's PCI function.
SUBFUNCTION = re.compile(r"[a-z0-9_]+\.sf\.[0-9]+")
#: Length of an Ethernet address. The one of IPoIB is longer and begins with a number that changes from boot to boot.
ETHERNET = len("00:00:00:00:00:00")
PERMANENT = re.compile(r"^Slave Interface: (\S+)$(?:\n(?!Slave Interface).*)*?\nPermanent HW addr: (\S+)$", re.MULTILINE)


def _udev(root: Root, index: int) -> Dict[str, str]:
    """Return the properties of a network device in udev's database."""
    lines = (root.read(f"/run/udev/data/n{index}") or "").splitlines()
    return {key: value for key, _sign, value in (line[2:].partition("=") for line in lines if line.startswith("E:"))}


def _file_links(root: Root) -> List[Link]:
    """Return the devices of a tree of files. A card's address there stands for its permanent one."""
    ports: Dict[str, str] = {}
    for name in root.list("/proc/net/bonding"):
        ports.update(PERMANENT.findall(root.read(f"/proc/net/bonding/{name}") or ""))
    names = [name for name in root.list(net.CLASS) if name != "bonding_masters"]
    indices = {name: root.number(f"{net.CLASS}/{name}/ifindex") or 0 for name in names}
    found = []
    for name in names:
        base = f"{net.CLASS}/{name}"
        uevent = dict(line.partition("=")[::2] for line in (root.read(base + "/uevent") or "").splitlines())
        address = (root.read(base + "/address") or "").lower()
        address = address if address.strip("0:") else ""
        found.append(
            Link(
                index=indices[name],
                name=name,
                flags=rtnl.IFF_UP if root.read(base + "/operstate") == "up" else 0,
                mac=address,
                permanent_mac=ports.get(name, address).lower(),
                mtu=root.number(base + "/mtu") or 0,
                kind=uevent.get("DEVTYPE", ""),
            )
        )
    return found


def rdma_devices(root: Root) -> Tuple[Dict[str, List[str]], Tuple[str, ...]]:
    """Return PCI address or network device to its RDMA devices, and which of these are made of software."""
    found: Dict[str, List[str]] = {}
    soft = []
    for name in root.list(RDMA):
        parent = root.read(f"{RDMA}/{name}/parent")
        function = None if parent else pci.place(root.real(f"{RDMA}/{name}/device"))
        if parent:
            soft.append(name)
        key = parent or (function or "").rpartition("/")[2]
        if key:
            found.setdefault(key, []).append(name)
    return found, tuple(soft)


def _nic(root: Root, link: Link, masters: Dict[int, str], rdma: Dict[str, List[str]], addresses: List[str]) -> Nic:
    """Return a device: what the kernel said, and what files tell beyond that."""
    base = f"{net.CLASS}/{link.name}"
    entries = root.list(base)
    device = root.real(base + "/device") if "device" in entries else None
    function = (pci.place(device or root.real(base)) or "").rpartition("/")[2]
    udev = _udev(root, link.index) if link.index and device else {}
    port_name = (root.read(base + "/phys_port_name") or "") if device else ""
    part = bool(device and SUBFUNCTION.fullmatch(device.rpartition("/")[2]))
    own = list(rdma.get(link.name, []))
    if function and not part and not net.REPRESENTOR.fullmatch(port_name):
        own += rdma.get(function, [])
    return Nic(
        name=link.name,
        index=link.index,
        mac=link.mac,
        permanent_mac=link.permanent_mac if device and len(link.permanent_mac) == ETHERNET else "",
        driver=(root.link(base + "/device/driver") or "") if device else "",
        pci=function,
        id_path=udev.get("ID_PATH") or (f"pci-{function}" if function else ""),
        port_name=port_name,
        virtual_function=part or bool(device and root.exists(base + "/device/physfn")),
        kind="" if device else link.kind or "virtual",
        altnames=link.altnames,
        up=link.up,
        mtu=link.mtu,
        master=masters.get(link.master, "") if link.master else (root.link(base + "/master") or "") if "master" in entries else "",
        lower=tuple(entry[6:] for entry in entries if entry.startswith("lower_")),
        addresses=tuple(sorted(addresses, key=lambda row: (":" in row, row))),
        link_file=udev.get("ID_NET_LINK_FILE", ""),
        rdma=tuple(own),
    )


def nics(root: Root) -> Tuple[Tuple[Nic, ...], Tuple[str, ...]]:
    """Return the network devices in the order of their indices, and the RDMA devices that are made of software."""
    found: Optional[List[Link]] = root.ask("links", rtnl.links) if root.live else None
    links = found if found is not None else _file_links(root)
    addresses = root.ask("addresses", netlink.addresses) if root.answers else None
    if addresses is None:
        addresses = net.file_addresses(root)
    rdma, soft = rdma_devices(root)
    masters = {link.index: link.name for link in links}
    rows = [_nic(root, link, masters, rdma, addresses.get(link.name, [])) for link in links]
    return tuple(sorted(rows, key=lambda nic: nic.index)), soft
