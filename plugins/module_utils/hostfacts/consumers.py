# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each library has to be told so that it uses the data devices, every value with its reason.

Rows are {name, value, why}, or {name, unknown, why} where C(unknown) says what has to be answered first. Hosts differ, and so
may their rows: they belong to one rank.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import mooncake, nvshmem
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import VARIABLES
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.nvshmem import Row, row, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import (
    ETHERNET,
    INFINIBAND,
    UNSPECIFIED,
    Port,
    flatten,
    subnets,
)

IB_DEVICE = "--disaggregation-ib-device"
TRAFFIC_CLASS = "sglang_rdma_traffic_class"
# SGLang versions whose JSON form of the flag has been run. Those between are reported to take the list only.
JSON_AT, JSON_FROM = (0, 5, 8), (0, 5, 23)


@dataclass(frozen=True)
class Context:
    """What the plan knows and the host does not.

    :ivar engine_version: of SGLang.
    :ivar backend: transfer backend: mooncake, mooncake_tcp, nixl.
    :ivar device: cuda, rocm or cpu.
    :ivar mooncake_version: of the transfer engine.
    :ivar nodes: hosts of the instance.
    :ivar deepep: whether experts are exchanged by DeepEP, that is by NVSHMEM.
    :ivar socket_interface: network interface of the fabric network, for handshakes.
    :ivar own_subnets: whether every NIC has its own subnet; None takes it from the addresses.
    :ivar cross_rail: whether NICs of different rails reach each other; None where nobody has tried.
    :ivar traffic_class: of the switches' lossless class, as the operator gives it.
    :ivar address_range: network of all data addresses, as the operator gives it.
    """

    engine_version: str = ""
    backend: str = "mooncake"
    device: str = "cuda"
    mooncake_version: str = ""
    nodes: int = 1
    deepep: bool = False
    socket_interface: str = ""
    own_subnets: Optional[bool] = None
    cross_rail: Optional[bool] = None
    traffic_class: Optional[int] = None
    address_range: Optional[str] = None


def chosen(facts: Dict[str, Any], selection: Dict[str, Any]) -> List[Port]:
    """Return the data ports of a selection, in its order."""
    ports = {port.key: port for port in flatten(facts)}
    return [ports[key] for key in selection["data_ports"] if key in ports]


def own_subnets(ports: List[Port], context: Context) -> Optional[bool]:
    """Return whether every data port is in a subnet of its own; None where the addresses do not tell."""
    if context.own_subnets is not None:
        return context.own_subnets
    if ports and all(port.layer == INFINIBAND for port in ports):
        # A subnet manager makes one network of them, whatever addresses IPoIB has.
        return False
    networks = [subnets(port, context.address_range) for port in ports]
    if not ports or not all(networks):
        return None
    flat = [network for rows in networks for network in set(rows)]
    return len(flat) == len(set(flat))


def release(text: str) -> Tuple[int, ...]:
    """Return the numbers at the start of a version."""
    found = re.match(r"^(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()


def _ib_device(ports: List[Port], selection: Dict[str, Any], context: Context) -> Row:
    names = ",".join(selection["data_devices"])
    apart, found = own_subnets(ports, context), selection["gpu_map"]
    if len(selection["data_devices"]) == 1:
        return row(IB_DEVICE, names, "the only data device")
    if context.device == "cpu":
        return row(IB_DEVICE, names, "all data devices; without GPUs there is none to prefer")
    if apart is False:
        return row(IB_DEVICE, names, "all data devices are in one network: Mooncake takes the nearest ones by itself")
    if not found:
        open_question = selection["gpu_map_ambiguous"] or {}
        text = open_question.get("question") or "the facts show no GPU"
        return unknown(IB_DEVICE, text, f"NICs in subnets of their own need a device per GPU; {VARIABLES['gpu_map']} gives it")
    version = release(context.engine_version)
    if version != JSON_AT and version < JSON_FROM:
        text = f"whether SGLang {context.engine_version or 'of unknown version'} takes a JSON object"
        why = "NICs in subnets of their own need a device per GPU, which is known to work in 0.5.8 and from 0.5.23 on"
        return unknown(IB_DEVICE, text, why)
    value = json.dumps({gpu: ",".join(devices) for gpu, devices in found.items()}, separators=(",", ":"))
    why = "every NIC has its own subnet" if apart else "whether the NICs share a subnet is not known, and this is right in both cases"
    return row(IB_DEVICE, value, f"the nearest NIC of every GPU: {why}; keys are the GPUs that the process sees")


def _per_process(selection: Dict[str, Any], context: Context) -> int:
    """Return how many data devices a process uses at most: those of its GPU, or all where there is no GPU to tell."""
    shares = [len(names) for names in selection["gpu_map"].values()] if context.device != "cpu" else []
    return max(shares, default=len(selection["data_devices"]))


def _gid(ports: List[Port], selection: Dict[str, Any], context: Context) -> List[Row]:
    """Return one index for all devices where they agree, else the range to look in."""
    indexes = {port.label: selection["gid_indexes"][port.key] for port in ports}
    text = ", ".join(f"{label} {index}" for label, index in indexes.items())
    without = [label for label, index in indexes.items() if index is None]
    if without:
        why = "the interfaces of these ports need addresses; a guessed index ends in connection timeouts"
        return [unknown("NCCL_IB_GID_INDEX" if context.device != "cpu" else "MC_GID_INDEX", f"RoCE v2 GID of {', '.join(without)}", why)]
    index = selection["uniform_gid_index"]
    if index is not None:
        why = f"RoCE v2 GID of the port's own address on all {len(ports)} data ports"
        names = ["NCCL_IB_GID_INDEX"] if context.device != "cpu" else []
        if context.backend == "mooncake":
            names.append("MC_GID_INDEX")
        if context.deepep:
            names.append("NVSHMEM_IB_GID_INDEX")
        if context.backend == "nixl":
            names.append("UCX_IB_GID_INDEX")
        return [row(name, str(index), why) for name in names]
    if context.device == "cpu" or (context.nodes < 2 and not context.deepep):
        return []
    why = f"the ports have different RoCE v2 GID indexes ({text}), so that none is set; Mooncake, too, then looks by itself"
    if context.address_range:
        family = row("NCCL_IB_ADDR_FAMILY", "AF_INET6", "NCCL takes NCCL_IB_ADDR_RANGE for a network of IPv4 unless it is told")
        return [row("NCCL_IB_ADDR_RANGE", context.address_range, why), *([family] if ":" in context.address_range else [])]
    return [unknown("NCCL_IB_ADDR_RANGE", f"{VARIABLES['address_range']}: the network of the data addresses", why)]


def _traffic_class(facts: Dict[str, Any], ports: List[Port], context: Context) -> List[Row]:
    names = ["MC_IB_TC"] if context.backend == "mooncake" else []
    names += ["NCCL_IB_TC"] if context.device != "cpu" else []
    names += ["NVSHMEM_IB_TRAFFIC_CLASS"] if context.deepep else []
    names += ["UCX_IB_TRAFFIC_CLASS"] if context.backend == "nixl" else []
    if context.traffic_class is not None:
        return [row(name, str(context.traffic_class), f"{TRAFFIC_CLASS}; none of the libraries takes it from another") for name in names]
    keys = {port.key for port in ports}
    told = {
        port.get("traffic_class") for device in facts.get("devices") or [] for port in device.get("ports") or []
        if f"{device['name']}:{port.get('port', 1)}" in keys
    }
    if len(told) == 1 and None not in told:
        # Not taken from there: a value that is set in between would change what runs.
        why = f"the host has set {told.pop()} for all data ports, and the libraries follow {TRAFFIC_CLASS} only"
        return [unknown(name, TRAFFIC_CLASS, why) for name in names]
    why = "it must match the lossless class of the switches, which no host knows; unset, traffic travels in the default class"
    return [unknown(name, TRAFFIC_CLASS, why) for name in names]


def _sockets(context: Context) -> List[Row]:
    interface = context.socket_interface
    names = (["NCCL_SOCKET_IFNAME"] if context.device != "cpu" else []) + ["GLOO_SOCKET_IFNAME"]
    if not interface:
        return [unknown(name, "sglang_fabric_interface", "unset, it may be any interface of the host") for name in names]
    whys = {
        "NCCL_SOCKET_IFNAME": ("=" + interface, "matched exactly; unset, NCCL tries interfaces whose names start with ib first"),
        "GLOO_SOCKET_IFNAME": (interface, "unset, Gloo follows the host name"),
    }
    return [row(name, *whys[name]) for name in names]


def _ucx(ports: List[Port], context: Context) -> Row:
    value = ",".join(port.key for port in ports)
    if not context.socket_interface:
        why = "UCX needs a device that can TCP beside the data ports, or its backend is not created"
        return unknown("UCX_NET_DEVICES", "sglang_fabric_interface", f"{value} and one interface: {why}")
    why = "the data ports, and one interface for TCP, without which UCX gives up"
    return row("UCX_NET_DEVICES", f"{value},{context.socket_interface}", why)


def derive(facts: Dict[str, Any], selection: Dict[str, Any], context: Context) -> List[Row]:
    """Return the flag and the environment variables by which the libraries of one rank use its host's data devices.

    :param facts: as C(rdma_facts) returns them.
    :param selection: what C(selection.select) returns for the same facts.
    """
    sockets = _sockets(context)
    if selection["ambiguous"]:
        question = selection["ambiguous"]
        text, why = question["question"], f"{question['variable']} answers it"
        return [unknown(name, text, why) for name in (IB_DEVICE, "NCCL_IB_HCA")] + sockets
    ports = chosen(facts, selection)
    if not ports:
        return sockets
    rows: List[Row] = []
    # NIXL ignores the flag in 0.5.8, and later UCX_NET_DEVICES wins over it.
    if context.backend == "mooncake":
        rows.append(_ib_device(ports, selection, context))
    if all(port.layer == UNSPECIFIED for port in ports):
        # EFA: verbs, and what asks for their devices by name, do not get at it. NCCL and NIXL take it by plugins of libfabric.
        why = "EFA has no queue pairs that Mooncake's RDMA transport can use; NCCL reaches it by a plugin, without NCCL_IB_HCA"
        return [*rows, *([row("MOONCAKE_PROTOCOL", "efa", why)] if context.backend == "mooncake" else []), *sockets]
    if context.backend == "mooncake":
        rows += mooncake.port_number(ports)
        rows += mooncake.transport(_per_process(selection, context), own_subnets(ports, context), context.cross_rail)
    if context.device != "cpu":
        value = "=" + ",".join(port.key for port in ports)
        rows.append(row("NCCL_IB_HCA", value, f"{selection['reasons'][0]}; without = a name is a prefix, mlx5_1 also mlx5_10"))
    if all(port.layer == ETHERNET for port in ports):
        rows += [*_gid(ports, selection, context), *_traffic_class(facts, ports, context)]
    if context.deepep and context.device == "cuda":
        rows += nvshmem.rows(facts, ports)
    if context.backend == "nixl":
        rows.append(_ucx(ports, context))
    if context.cross_rail is False and context.nodes > 1 and context.device != "cpu" and len(ports) > 1:
        rows.append(row("NCCL_CROSS_NIC", "0", "NICs of different rails do not reach each other"))
    return rows + sockets
