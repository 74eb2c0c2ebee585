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


def options(row: Mapping[str, Any]) -> dict[str, Any]:
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
        "gpu_map": mapped or None,
    }


def _look(host: str, row: Mapping[str, Any], facts: Any, findings: Findings) -> Look | None:
    asked = options(row)
    try:
        return Look(facts, select(facts, Options(**asked)), asked)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Facts of the run have the right form; those of a file may have been written by anybody.
        findings.add(
            "facts.form", "plan_facts", f"these are not facts of module rdma_facts: {type(error).__name__} {error}",
            "write them anew with playbooks/facts.yml", host,
        )
        return None


def _address(addresses: Collection[str]) -> str:
    """Return the address of a rail that the plan compares: with its prefix, IPv4 before IPv6, none of the link alone."""
    rows = [ipaddress.ip_interface(text) for text in addresses if "/" in text]
    usable = sorted((row for row in rows if not row.ip.is_link_local), key=lambda row: row.version)
    return str(usable[0]) if usable else ""


def _completed(row: dict[str, Any], look: Look) -> dict[str, Any]:
    """Return the variables of a host with what the facts add to them."""
    rails = look.selection["rails"]
    addresses = {rail["device"]: address for rail in rails if (address := _address(rail["addresses"]))}
    return row | {
        # Rail by rail, which is the order of the GPUs where both are one to one.
        "sglang_rdma_devices": list(dict.fromkeys(rail["device"] for rail in rails)) or row["sglang_rdma_devices"],
        "sglang_rail_addresses": row["sglang_rail_addresses"] or addresses,
    }


def complete(cluster: Cluster, stack: EngineStack, facts: Mapping[str, Any], findings: Findings) -> Cluster:
    """Return a cluster with what was seen on its hosts.

    :param facts: facts of the hosts that were looked at, by host.
    """
    if not wanted(cluster.variables, stack):
        return cluster
    looks = {host: look for host, row in cluster.hosts.items() if host in facts and (look := _look(host, row, facts[host], findings))}
    rows = {host: _completed(row, looks[host]) if host in looks else row for host, row in cluster.hosts.items()}
    return dataclasses.replace(cluster, hosts=rows, looks=looks)


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
    facts, selection = dict(look.facts), dict(look.selection)
    rows = [entry for entry in consumers.derive(facts, selection, context) if entry["name"] not in SOCKETS]
    values = {entry["name"]: (entry["value"], entry["why"]) for entry in rows if "value" in entry}
    device = values.pop(consumers.IB_DEVICE, None)
    verdict: Mapping[str, Any] = {}
    own = {name: value for name, value in written.items() if value is not None}
    if backend != "none":
        verdict = registration.judge(facts, backend, stack.device, stack.mooncake or None, own)
        values |= {name: (value, verdict["why"]) for name, value in verdict["environment"].items()}
    if "MC_FORCE_TCP" in own:
        # It would win over the operator's word.
        values.pop("MC_FORCE_HCA", None)
    unknown = tuple(entry for entry in rows if "value" not in entry)
    merged = {**{name: value for name, (value, _why) in values.items()}, **written}
    effective = {name: value for name, value in merged.items() if value is not None}
    return Told(device, values, unknown, verdict, tuple(judgement.judge(effective, facts, selection, context)))


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
        "selection": options(cluster.hosts[host]),
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
