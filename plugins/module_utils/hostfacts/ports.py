# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port of every RDMA device of a host as one row, in the one order that everything else keeps."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import natural

ACTIVE = "ACTIVE"
INFINIBAND = "InfiniBand"
ETHERNET = "Ethernet"
# EFA has neither of the two link layers, and no queue pairs that InfiniBand programs know.
UNSPECIFIED = "Unspecified"
# No kernel has a longer word for a state, a layer or a type; reasons quote them.
LONGEST = 40
LAYERS = (INFINIBAND, ETHERNET, UNSPECIFIED)

PCI = re.compile(r"^(?:([0-9a-fA-F]{4,}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-9a-fA-F])$")
# rdma-core's names of subfunctions end so: rocep193s0f0S88.
SUBFUNCTION = re.compile(r"S\d+$")
PLANE_MANAGEMENT = re.compile(r"^smi\d*$")

Gid = Tuple[int, str, str]


@dataclass(frozen=True)
class Port:
    """One port.

    :ivar rate: Gb/s as the kernel says it, of one leg where the device is a bond; None when unreadable.
    :ivar model: what tells one kind of card from another: HCA type (or PCI id), board and whether it is a bond.
    :ivar card: what the ports of one card share: PCI address without function, else system image GUID, else the device.
    :ivar parent: PCI address of the physical function when this is a virtual function or a subfunction.
    :ivar representor: the port stands for a virtual function or a subfunction behind the card's own port.
    :ivar gid_index: of the RoCE v2 GID for the port's own address.
    :ivar gids: index, address and network device of its RoCE v2 GIDs.
    :ivar addresses: of all network devices that its GIDs belong to, those of its own GID first.
    :ivar several: the device has more than one port.
    """

    device: str
    number: int
    state: str
    rate: Optional[float]
    layer: str
    pci: str
    card: str
    model: Tuple[str, str, bool]
    virtual_function: bool
    parent: str
    soft: bool
    node_type: str
    plane_management: bool
    representor: bool
    legs: int
    several: bool
    netdev: str
    bond: str
    gid_index: Optional[int]
    gids_read: bool
    gids: Tuple[Gid, ...]
    addresses: Tuple[str, ...]

    @property
    def key(self) -> str:
        """Return device:port, as NCCL and UCX write it."""
        return f"{self.device}:{self.number}"

    @property
    def label(self) -> str:
        """Return the shortest text that names the port."""
        return self.key if self.several else self.device

    @property
    def zeroconf(self) -> bool:
        """Return whether the port's own IPv4 address is one that hosts give themselves when nobody gives them one."""
        return any(index == self.gid_index and address.startswith("169.254.") for index, address, _ndev in self.gids)

    @property
    def bandwidth(self) -> float:
        """Return Gb/s of all legs of a bond together."""
        return (self.rate or 0.0) * self.legs


def pci_order(address: str) -> Tuple[int, ...]:
    """Return a key that sorts PCI addresses; what is none comes last."""
    found = PCI.match(address)
    if not found:
        return (1,)
    return (0, *(int(part or "0", 16) for part in found.groups()))


def order(port: Port) -> Tuple[Any, ...]:
    """Return the sort key of a port: PCI address, then name, then port number."""
    return (pci_order(port.pci), natural(port.device), port.number)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _gids(port: Dict[str, Any]) -> Tuple[Gid, ...]:
    """Return the RoCE v2 GIDs of a port."""
    rows = [row for row in port.get("gids") or [] if row.get("type") == "v2"]
    found = [(row["index"], str(row.get("ipv4") or row.get("gid") or ""), str(row.get("ndev") or "")) for row in rows]
    return tuple(entry for entry in found if _is_address(entry[1]))


def _addresses(port: Dict[str, Any]) -> Tuple[str, ...]:
    """Return the port's own addresses: what is on its network interfaces, else what its GID table shows."""
    near = (None, "", port.get("netdev"), *(port.get("netdevs") or []))
    found: List[str] = [str(row) for row in port.get("addresses") or []]
    found += [str(row["ipv4"]) for row in port.get("gids") or [] if row.get("ipv4") and row.get("ndev") in near]
    # Every port has link-local ones, made of its hardware address.
    found += [address for _index, address, ndev in _gids(port) if ndev in near and not ipaddress.ip_address(address).is_link_local]
    own: Dict[Any, str] = {}
    for text in filter(_is_address, found):
        own.setdefault(ipaddress.ip_interface(text).ip, text)
    return tuple(own.values())


def _port(device: Dict[str, Any], port: Dict[str, Any]) -> Port:
    name = str(device["name"])
    lag = device.get("lag") or {}
    subfunction = bool(device.get("is_sf")) or bool(SUBFUNCTION.search(name))
    pci = str(device.get("pci") or "")
    kind = device.get("hca_type") or ":".join(str(device[part]) for part in ("vendor", "device") if device.get(part))
    rate = port.get("rate_gbps")
    return Port(
        device=name,
        number=int(port.get("port", 1)),
        state=str(port.get("state") or "unknown").upper()[:LONGEST],
        rate=float(rate) if rate is not None else None,
        layer=str(port.get("link_layer") or "")[:LONGEST],
        pci=pci,
        card=pci.rpartition(".")[0] or str(device.get("sys_image_guid") or name),
        model=(str(kind or ""), str(device.get("board_id") or ""), bool(lag)),
        virtual_function=bool(device.get("is_vf")) or subfunction,
        parent=str(device.get("pf_pci") or (pci if subfunction else "")),
        soft=bool(device.get("virtual")),
        node_type=str(device.get("node_type") or "")[:LONGEST],
        plane_management=bool(device.get("smi")) or bool(PLANE_MANAGEMENT.match(name)),
        representor=bool(port.get("representor")),
        legs=max(1, len(lag.get("slaves") or [])),
        several=len(device.get("ports") or []) > 1,
        netdev=str(port.get("netdev") or ""),
        bond=str((port.get("bond") or {}).get("bond") or ""),
        gid_index=port.get("rocev2_gid_index"),
        gids_read="gids" in port,
        gids=_gids(port),
        addresses=_addresses(port),
    )


def flatten(facts: Dict[str, Any]) -> List[Port]:
    """Return all ports of the facts in order of PCI address, name and number."""
    devices = facts.get("devices") or []
    return sorted((_port(device, port) for device in devices for port in device.get("ports") or []), key=order)


def without_ports(facts: Dict[str, Any]) -> List[str]:
    """Return the names of devices that have no port at all."""
    return sorted((str(row["name"]) for row in facts.get("devices") or [] if not row.get("ports")), key=natural)


def _as_in_sysfs(text: str) -> str:
    """Return a PCI address as sysfs writes it, any other text as it is.

    nvidia-smi writes capitals and eight digits for the domain; lspci leaves the domain out, and then means the first.
    """
    found = PCI.match(text)
    if not found:
        return text
    domain, bus, device, function = found.groups()
    return f"{int(domain or '0', 16):04x}:{bus}:{device}.{function}".lower()


def named(port: Port, names: Set[str]) -> bool:
    """Return whether a list of names, name:port items or PCI addresses means this port."""
    places = {_as_in_sysfs(name) for name in names}
    return bool({port.device, port.key} & names - {""} or {_as_in_sysfs(port.pci)} & places - {""})


def is_network(text: str) -> bool:
    """Return whether a text is a network, for example C(192.0.2.0/24)."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def inside(port: Port, network: str) -> bool:
    """Return whether one of the port's addresses lies in a network, for example C(192.0.2.0/24)."""
    wanted = ipaddress.ip_network(network, strict=False)
    return any(ipaddress.ip_interface(row).ip in wanted for row in port.addresses)


def gid_index(port: Port, network: Optional[str]) -> Optional[int]:
    """Return the index of the RoCE v2 GID to use, of an address in a network where one is given."""
    if network is None or port.layer != ETHERNET or not port.gids:
        return port.gid_index
    wanted = ipaddress.ip_network(network, strict=False)
    fitting = [index for index, address, _ndev in port.gids if ipaddress.ip_address(address) in wanted]
    return port.gid_index if port.gid_index in fitting else min(fitting, default=None)


def beside(port: Port, index: Optional[int]) -> Tuple[str, ...]:
    """Return the addresses on the interface that a GID belongs to; all of the port's where that is not known.

    A port may have addresses of management or storage beside those of a VLAN that carries data, or the other way round.
    """
    ndev = next((ndev for number, _address, ndev in port.gids if number == index), "")
    here = {ipaddress.ip_address(address) for _number, address, other in port.gids if other in ("", ndev)}
    elsewhere = {ipaddress.ip_address(address) for _number, address, _ndev in port.gids} - here if ndev else set()
    return tuple(row for row in port.addresses if ipaddress.ip_interface(row).ip not in elsewhere)


def subnets(port: Port, network: Optional[str] = None) -> List[str]:
    """Return the networks that a port's data is in; empty where no address with its prefix is known.

    :param network: only those of addresses in it; without it those of IPv4.
    """
    wanted = ipaddress.ip_network(network or "0.0.0.0/0", strict=False)
    rows = [ipaddress.ip_interface(row) for row in beside(port, gid_index(port, network)) if "/" in row]
    return [str(row.network) for row in rows if row.ip in wanted and not row.ip.is_link_local]
