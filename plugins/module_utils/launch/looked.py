# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at the hosts adds to their variables: data devices, rails, GIDs, and what each library must be told of them.

An operator's value stays; the facts are then asked whether it is true.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import consumers, judgement, registration
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

GPUS = ("cuda", "rocm")
# The plan derives these itself, from the fabric address.
SOCKETS = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
MODULES = {"cuda": "nvidia_peermem"}
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
# Two ways to name devices to NVSHMEM; the first wins where both are set (NVSHMEM ibgda.cpp). DEALT is none: it says how the devices are
# dealt, and where it is all that is written, no list would mean those of the management, too.
NVSHMEM = frozenset({"NVSHMEM_HCA_LIST", "NVSHMEM_HCA_PE_MAPPING"})
DEALT = "NVSHMEM_ENABLE_NIC_PE_MAPPING"
# Backends of which it is known how they register memory.
JUDGED = ("mooncake", "mooncake_tcp", "nixl")


@dataclass(frozen=True)
class Look:
    """The facts of one host and what follows from them.

    :ivar facts: as the module C(rdma_facts) returns them.
    :ivar selection: of the data devices, by the variables of the host.
    :ivar options: those variables, in the words of the module.
    """

    facts: Mapping[str, Any]
    selection: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """What one rank is told of the data devices of its host.

    :ivar device: value of C(--disaggregation-ib-device) with its reason, or None.
    :ivar environment: variables by name, each with its reason.
    :ivar unknown: rows {name, unknown, why} of what only the operator can answer.
    :ivar verdict: on the registration of GPU memory, as C(registration.judge) returns it.
    :ivar judged: what is to be said of NCCL's own settings, as C(judgement.judge) returns it.
    """

    device: tuple[Any, str] | None = None
    environment: dict[str, tuple[str, str]] = field(default_factory=dict)
    unknown: tuple[dict[str, Any], ...] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)
    judged: tuple[dict[str, Any], ...] = ()


def wanted(variables: Mapping[str, Any], stack: EngineStack) -> bool:
    """Return whether a cluster uses RDMA: as C(sglang_rdma) says, else as its device suggests."""
    given = variables["sglang_rdma"]
    return stack.device in GPUS if given is None else bool(given)


def options(row: Mapping[str, Any], stack: EngineStack) -> dict[str, Any]:
    """Return what is known beforehand of a host's data devices, as option C(selection) of the module C(rdma_facts)."""
    mapped = row["sglang_rdma_device_map"]
    names = (name.strip() for text in mapped.values() for name in text.split(","))
    listed = row["rdma_written"] or list(dict.fromkeys(name for name in names if name))
    return {
        "include": listed or None,
        "exclude": row["sglang_rdma_exclude"],
        "link_layer": row["sglang_rdma_link_layer"],
        "min_rate_gbps": row["sglang_rdma_min_rate_gbps"],
        "expected_devices": row["sglang_rdma_expected_devices"],
        "expected_rate_gbps": row["sglang_rdma_expected_rate_gbps"],
        "address_range": row["sglang_rdma_address_range"] or None,
        # Without GPUs its keys are ranks, of which the host knows nothing.
        "gpu_map": (mapped or None) if stack.device in GPUS else None,
    }


def _look(host: str, row: Mapping[str, Any], facts: Any, stack: EngineStack, findings: Findings) -> Look | None:
    asked = options(row, stack)
    try:
        # Which GPUs the ranks use, and whether the map has them, is a rule of its own.
        selection = select(facts, Options(**asked, whole_map=False))
        # Whatever else is read of the facts later must be readable, too.
        context = consumers.Context(device=stack.device, nodes=2, deepep=True)
        consumers.derive(facts, selection, context)
        registration.judge(facts, "mooncake", stack.device)
        _carrier(facts, row["sglang_fabric_address"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Facts of the run have the right form; those of a file or a fact cache may have been written by anybody.
        findings.add(
            "facts.form", "plan_facts", f"these are not facts of module rdma_facts: {type(error).__name__} {error}",
            "write them anew with playbooks/facts.yml, or empty the fact cache", host,
        )
        return None
    return Look(facts, selection, asked)


def _address(addresses: Collection[str], wanted: str) -> str:
    """Return the address of a rail that the plan compares: with its prefix, IPv4 before IPv6, none of the link alone.

    :param wanted: network of the data addresses, empty where none is given.
    """
    rows = [ipaddress.ip_interface(text) for text in addresses if "/" in text]
    usable = sorted((row for row in rows if not row.ip.is_link_local), key=lambda row: row.version)
    inside = [row for row in usable if not wanted or row.ip in ipaddress.ip_network(wanted, strict=False)]
    return str(inside[0]) if inside else ""


def _carrier(facts: Mapping[str, Any], given: str) -> str:
    """Return the interface that has an address, empty where none or more than one has."""
    try:
        wanted = ipaddress.ip_address(given)
    except ValueError:
        return ""
    interfaces = facts.get("interfaces") or {}
    found = [
        name for name, row in interfaces.items()
        if any(ipaddress.ip_interface(text.partition("%")[0]).ip == wanted for text in row["addresses"])
    ]
    return found[0] if len(found) == 1 else ""


def _completed(row: dict[str, Any], look: Look) -> dict[str, Any]:
    """Return the variables of a host with what the facts add to them."""
    rails = look.selection["rails"]
    addresses: dict[str, str] = {}
    for rail in rails if look.selection["link_layer"] != "InfiniBand" else ():
        address = _address(rail["addresses"], row["sglang_rdma_address_range"])
        # The slaves of a bond share one, which is a finding of its own.
        if address and address not in addresses.values():
            addresses.setdefault(rail["device"], address)
    return row | {
        # Rail by rail, which is the order of the GPUs where both are one to one.
        "sglang_rdma_devices": list(dict.fromkeys(rail["device"] for rail in rails)) or row["sglang_rdma_devices"],
        "sglang_rail_addresses": row["sglang_rail_addresses"] or addresses,
        "sglang_fabric_interface": row["sglang_fabric_interface"] or _carrier(look.facts, row["sglang_fabric_address"]),
    }


def complete(cluster: Cluster, stack: EngineStack, facts: Mapping[str, Any], findings: Findings) -> Cluster:
    """Return a cluster with what was seen on its hosts.

    :param facts: facts of the hosts that were looked at, by host.
    """
    if not wanted(cluster.variables, stack):
        return cluster
    engines = {host for pool in cluster.pools.values() for host in cluster.groups.get(pool["group"], [])}
    seen = [host for host in cluster.hosts if host in facts and host in engines]
    looks = {host: look for host in seen if (look := _look(host, cluster.hosts[host], facts[host], stack, findings))}
    rows = {host: _completed(row, looks[host]) if host in looks else row for host, row in cluster.hosts.items()}
    return dataclasses.replace(cluster, hosts=rows, looks=looks, written=cluster.hosts)


def tell(
    cluster: Cluster, stack: EngineStack, instance: Instance, host: str, *, deepep: bool, written: Mapping[str, str | None],
) -> Told | None:
    """Return what a rank is told of its host's data devices; None where nobody has looked at the host.

    :param deepep: whether experts are exchanged by DeepEP.
    :param written: environment that the operator sets for this rank; None takes a derived value back.
    """
    look = cluster.looks.get(host)
    if look is None:
        return None
    row, backend = cluster.hosts[host], cluster.variables["sglang_transfer_backend"] if instance.mode != "plain" else "none"
    traffic_class = cluster.variables["sglang_rdma_traffic_class"]
    context = consumers.Context(
        engine_version=stack.version, backend=backend, device=stack.device, mooncake_version=stack.mooncake, nodes=instance.nodes,
        deepep=deepep, socket_interface=row["sglang_fabric_interface"], cross_rail=cluster.variables["sglang_rdma_cross_rail"],
        traffic_class=traffic_class if traffic_class >= 0 else None, address_range=row["sglang_rdma_address_range"] or None,
    )
    own = {name: value for name, value in written.items() if value is not None}
    facts, selection = dict(look.facts), visible(look.selection, own)
    rows = [entry for entry in consumers.derive(facts, selection, context) if entry["name"] not in SOCKETS]
    values = {entry["name"]: (entry["value"], entry["why"]) for entry in rows if "value" in entry}
    device = values.pop(consumers.IB_DEVICE, None)
    if stack.device == "cuda":
        values["CUDA_DEVICE_ORDER"] = ("PCI_BUS_ID", "GPUs are counted by PCI address, as the facts count them, not the fastest first")
    verdict = _verdict(facts, backend, stack, instance, written)
    values |= {name: (value, verdict["why"]) for name, value in verdict.get("environment", {}).items()}
    for name in _excluded(own) | ({"UCX_NET_DEVICES"} if stack.nixl_devices and row["sglang_rdma_device_map"] else set()):
        values.pop(name, None)
    unknown = tuple(entry for entry in rows if "value" not in entry)
    merged = {**{name: value for name, (value, _why) in values.items()}, **written}
    effective = {name: value for name, value in merged.items() if value is not None}
    return Told(device, values, unknown, verdict, tuple(judgement.judge(effective, facts, dict(look.selection), context)))


def visible(selection: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return a selection with the GPUs numbered as a process sees them.

    :param environment: of the process; CUDA_VISIBLE_DEVICES and its like hide and renumber GPUs.
    """
    text = next((environment[name] for name in VISIBLE if name in environment), None)
    if text is None or not selection["gpu_map"]:
        return dict(selection)
    shown = [part.strip() for part in text.split(",")]
    if all(part in selection["gpu_map"] for part in shown):
        return {**selection, "gpu_map": {str(index): selection["gpu_map"][gpu] for index, gpu in enumerate(shown)}}
    question = {
        "question": f"which GPUs {text!r} means", "variable": "sglang_rdma_device_map", "candidates": [],
    }
    return {**selection, "gpu_map": {}, "gpu_map_ambiguous": question}


def _excluded(own: Mapping[str, str]) -> set[str]:
    """Return what must not be derived beside what the operator writes: it would win over it, or contradict it."""
    return {*NVSHMEM, DEALT} - set(own) if NVSHMEM & set(own) else set()


def _verdict(
    facts: dict[str, Any], backend: str, stack: EngineStack, instance: Instance, written: Mapping[str, str | None],
) -> Mapping[str, Any]:
    """Return the verdict on the registration of GPU memory; NCCL of an instance of several hosts registers it as UCX does."""
    kind = backend if backend in JUDGED else "nixl" if backend == "none" and instance.nodes > 1 else ""
    if not kind:
        return {}
    own = {name: value for name, value in written.items() if value is not None}
    if registration.SWITCH in written and written[registration.SWITCH] is None:
        own[registration.SWITCH] = registration.default_switch(stack.mooncake or None)
    found = registration.judge(facts, kind, stack.device, stack.mooncake or None, own)
    return {**found, "environment": {name: value for name, value in found["environment"].items() if name not in own}}


def part(cluster: Cluster, stack: EngineStack, host: str, told: Collection[Told]) -> dict[str, Any] | None:
    """Return what a host's slice of the plan says of RDMA: the data devices, and what the stages need to know; None without RDMA.

    :param told: what the ranks of the host are told.
    """
    if not wanted(cluster.variables, stack):
        return None
    look = cluster.looks.get(host)
    selection = look.selection if look else {}
    verdicts = [row.verdict for row in told if row.verdict]
    return {
        "known": look is not None,
        "device": stack.device,
        "backend": cluster.variables["sglang_transfer_backend"],
        "selection": options(cluster.hosts[host], stack),
        "devices": selection.get("data_devices", cluster.hosts[host]["sglang_rdma_devices"]),
        "ports": selection.get("data_ports", []),
        "rails": selection.get("rails", []),
        "gid_index": selection.get("uniform_gid_index"),
        "link_layer": selection.get("link_layer"),
        "rate": selection.get("rate"),
        "gpu_map": selection.get("gpu_map", {}),
        "gpu_paths": selection.get("gpu_paths", {}),
        "left_out": selection.get("left_out", {}),
        "missing": selection.get("missing", []),
        "reasons": selection.get("reasons", []),
        "modules": sorted({MODULES[stack.device] for row in verdicts if row["way"] == registration.PEERMEM and stack.device in MODULES}),
        "registration": dict(verdicts[0]) if verdicts else None,
    }
