# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA devices and their ports, as C(/sys/class/infiniband) shows them."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gids, net, pci, traffic
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, number

CLASS = "/sys/class/infiniband"
VERBS = "/sys/class/infiniband_verbs"
RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) Gb/sec(?: \(([0-9]{1,3})X(?: ([A-Z0-9]{1,8}))?\))?")
# The management devices of cards with several planes: name and number say so where the kernel cannot be asked.
SMI = re.compile(r"smi[0-9]*")

Facts = Dict[str, Any]


def named(text: Optional[str]) -> Optional[str]:
    """Return the word of a numbered value, for example ACTIVE of C(4: ACTIVE)."""
    return text.rpartition(":")[2].strip() or None if text else None


def rate(text: Optional[str]) -> Tuple[Optional[float], Optional[int], Optional[str]]:
    """Return Gb/s, lanes and speed name of a rate; width and name may be missing."""
    match = RATE.match(text or "")
    if not match:
        return None, None, None
    value, width, speed = match.groups()
    return float(value), number(width), speed


def _uverbs(root: Root) -> Dict[str, Dict[str, Any]]:
    """Return device to its user-space node, and whether that is in C(/dev/infiniband)."""
    found = {}
    for name in root.list(VERBS):
        device = root.read(f"{VERBS}/{name}/ibdev") if name.startswith("uverbs") else None
        if device:
            found[device] = {"name": name, "node": root.exists(f"/dev/infiniband/{name}")}
    return found


def _netdev_of_function(root: Root, directory: Optional[str], port: int, several: bool) -> Optional[str]:
    """Return the network device of a PCI function that belongs to a port; representors do not."""
    for name in root.list(directory + "/net") if directory else []:
        base = f"{directory}/net/{name}"
        if net.REPRESENTOR.fullmatch(root.read(base + "/phys_port_name") or ""):
            continue
        if not several or root.number(base + "/dev_port") in (None, port - 1):
            return name
    return None


def _netdevs(port: Facts, sure: Sequence[Optional[str]], guess: Callable[[], Optional[str]]) -> List[str]:
    """Return a port's network device, then the others that its GIDs belong to.

    :param sure: what better sources than the GIDs say, best first.
    :param guess: asked when neither they nor the GIDs say anything.
    """
    listed = [row["ndev"] for row in port["gids"] if row["ndev"]]
    first = next(filter(None, [*sure, *listed]), None) or guess()
    return list(dict.fromkeys([*([first] if first else []), *listed]))


def _port(root: Root, device: Facts, base: str, index: int) -> Facts:
    """Return what a port's own directory says."""
    directory = f"{base}/ports/{index}"
    layer = (root.read(directory + "/link_layer") or "").split()
    gbps, width, speed = rate(root.read(directory + "/rate"))
    state = named(root.read(directory + "/state"))
    rows, slots = gids.table(root, directory, layer[:1] == ["InfiniBand"])
    return {
        "port": index,
        "state": state,
        "phys_state": named(root.read(directory + "/phys_state")),
        "rate_gbps": gbps,
        "width": width,
        "speed": speed,
        # A port that is down shows some rate, a soft one always the same.
        "rate_true": state == "ACTIVE" and not device["virtual"] if gbps is not None else None,
        "link_layer": layer[0] if layer else None,
        "lid": root.number(directory + "/lid"),
        "sm_lid": root.number(directory + "/sm_lid"),
        "gids": rows,
        "gid_slots": slots,
    }


def _connect(port: Facts, netdevs: List[str], interfaces: Mapping[str, Facts]) -> None:
    """Add what follows from a port's network device."""
    ethernet = port["link_layer"] == "Ethernet"
    name = netdevs[0] if netdevs else None
    interface = interfaces.get(name or "", {})
    bond = net.lag(name, interfaces)
    wearer = bond["bond"] if bond else name
    mtu = interface.get("mtu")
    choice = gids.own(port["gids"], [name, wearer]) if ethernet else None
    # The slaves of a bond have no addresses of their own, and the port below a VLAN may have none or one for other purposes.
    carriers = dict.fromkeys([choice["ndev"] if choice else None, wearer, *netdevs])
    addresses = [row for carrier in carriers if carrier and carrier in interfaces for row in interfaces[carrier]["addresses"]]
    port.update(
        netdev=name,
        netdevs=netdevs,
        netdev_mtu=mtu,
        active_mtu=net.roce_mtu(mtu) if ethernet else None,
        bond=bond,
        addresses=list(dict.fromkeys(addresses)),
        # GID 0 of an InfiniBand port ends with the port's GUID.
        guid=port["gids"][0]["gid"][20:] if port["link_layer"] == "InfiniBand" and port["gids"] else None,
        rocev2_gid=choice,
        rocev2_gid_index=choice["index"] if choice and choice["kind"] != "ipv6-link-local" else None,
        nccl_auto_gid_index=gids.nccl_choice(port["gids"]) if ethernet else None,
    )


def _device(root: Root, name: str, uverbs: Dict[str, Facts]) -> Tuple[Facts, str, Optional[str]]:
    """Return what a device's own directory says, that directory, and the directory of its PCI function."""
    base = root.real(f"{CLASS}/{name}") or f"{CLASS}/{name}"
    directory = root.real(base + "/device")
    place = pci.place(directory or base)
    # Only soft devices name a network device so. Kernels up to 5.10 put them below its function, as if they were that hardware.
    parent = root.read(base + "/parent") or None
    function = None if parent else place
    soft = pci.place(root.real(f"{net.CLASS}/{parent}")) or place if parent else None
    where = function or soft
    device = {
        "name": name,
        "pci": function.rpartition("/")[2] if function else None,
        "pci_path": pci.pci_path(where),
        "numa_node": pci.numa_node(root, where) if where else None,
        "driver": root.link(function + "/driver") if function else None,
        "vendor": root.read(function + "/vendor") if function else None,
        "device": root.read(function + "/device") if function else None,
        "pci_class": root.read(function + "/class") if function else None,
        "pci_link": pci.link(root, function) if function else None,
        "node_type": named(root.read(base + "/node_type")),
        "node_guid": root.read(base + "/node_guid") or None,
        "sys_image_guid": root.read(base + "/sys_image_guid") or None,
        "fw_ver": root.read(base + "/fw_ver") or None,
        "hw_rev": root.read(base + "/hw_rev") or None,
        "hca_type": root.read(base + "/hca_type") or None,
        "board_id": root.read(base + "/board_id") or None,
        "is_vf": bool(function and root.link(function + "/physfn")),
        "is_sf": not parent and "/mlx5_core.sf." in (directory or base),
        "pf_pci": root.link(function + "/physfn") if function else None,
        "num_vfs": pci.virtual_functions(root, function) if function else None,
        "virtual": "/virtual/" in base or parent is not None,
        "smi": bool(SMI.fullmatch(name)),
        "parent": parent,
        "parent_pci": soft.rpartition("/")[2] if soft else None,
        "protocol": None,
        "uverbs": uverbs.get(name),
        "lag": None,
    }
    return device, base, directory


def _mark_representors(device: Facts, interfaces: Mapping[str, Facts]) -> None:
    """Say of every port whether it is a representor: mlx5 in switchdev mode adds one port to the card's device for each.

    Representors have no GIDs. Several planes of one card are ports of one device, too, and those have.
    """
    known = any(port["netdev"] for port in device["ports"])
    for port in device["ports"]:
        named_so = interfaces.get(port["netdev"] or "", {}).get("representor", False)
        nameless = known and port["port"] > 1 and not port["netdev"] and not port["gids"]
        alive = port["state"] == "ACTIVE" and port["link_layer"] == "Ethernet"
        port["representor"] = named_so or (nameless and alive and device["driver"] == "mlx5_core")


def _elsewhere(interface: Facts, card: str) -> bool:
    """Return whether a network device is on no function of a card."""
    place = interface["pci"]
    return interface["virtual"] or (place is not None and place.rpartition(".")[0] != card)


def _is_lag(device: Facts, port: Facts, taken: Dict[str, str], interfaces: Mapping[str, Facts]) -> bool:
    """Return whether a device stands for a whole bond: it is on the bond itself, or no other slave has a device of its own.

    A card bonds its own ports and only them: Linux drivers/net/ethernet/mellanox/mlx5/core/lag/lag.c. Any other bond is the kernel's.
    """
    bond = port["bond"]
    if not bond or device["is_vf"] or device["is_sf"]:
        return False
    card = (device["pci"] or "").rpartition(".")[0]
    if card and any(_elsewhere(interfaces[slave], card) for slave in bond["slaves"] if slave in interfaces):
        return False
    return port["netdev"] == bond["bond"] or not any(taken.get(slave, device["name"]) != device["name"] for slave in bond["slaves"])


def devices(
    root: Root,
    interfaces: Mapping[str, Facts],
    kernel: Optional[Dict[str, Facts]] = None,
    dcb: Optional[Callable[[List[str]], Optional[Dict[str, Optional[Facts]]]]] = None,
) -> List[Facts]:
    """Return the RDMA devices in natural order of their names.

    :param interfaces: network devices, as C(net.interfaces) returns them.
    :param kernel: what the kernel says of the devices by netlink.
    :param dcb: asks the kernel for the data center bridging of network devices, and returns what it says of each.
    """
    found: List[Facts] = []
    uverbs = _uverbs(root)
    for name in root.list(CLASS):
        device, base, directory = _device(root, name, uverbs)
        told = (kernel or {}).get(name, {})
        device["smi"] = device["smi"] or bool(told.get("smi"))
        device["protocol"] = told.get("protocol")
        numbers = [int(entry) for entry in root.list(base + "/ports") if re.fullmatch("[0-9]{1,3}", entry)]
        device["ports"] = ports = [_port(root, device, base, index) for index in numbers]
        for port in ports:
            index = port["port"]
            sure = (told.get("ports", {}).get(index), device["parent"])
            guess = partial(_netdev_of_function, root, directory, index, len(ports) > 1)
            _connect(port, _netdevs(port, sure, guess), interfaces)
            port["traffic_class"] = traffic.traffic_class(root, base, index)
        _mark_representors(device, interfaces)
        found.append(device)
    taken = {port["netdev"]: device["name"] for device in found for port in device["ports"] if port["netdev"]}
    names = [name for name in taken if name in interfaces and not interfaces[name]["virtual"]]
    answers = (dcb(names) if dcb and names else None) or {}
    for port in (port for device in found for port in device["ports"]):
        port["dcb"] = answers.get(port["netdev"])
        port["traffic"] = traffic.settings(root, port["netdev"], port["dcb"])
    for device in found:
        device["lag"] = next((port["bond"] for port in device["ports"] if _is_lag(device, port, taken, interfaces)), None)
    return found
