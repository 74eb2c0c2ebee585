# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that follow from the topology, each with its reason. Keys are spellings that every version has, or that one has."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, flags, hosts, looked
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

# Backends for which the facts give the value, or say why there is none.
FORMED = ("mooncake", "mooncake_tcp")
Derived = dict[str, tuple[Any, str]]


def engine(instance: Instance, rank: int, cluster: Cluster) -> Derived:
    """Return the arguments of one rank."""
    host = instance.hosts[rank]
    arguments: Derived = {
        "model-path": (cluster.model["path"], "sglang_model.path"),
        "served-model-name": (cluster.model["name"], "sglang_model.name"),
        "host": (hosts.bind(cluster, host), f"the fabric address of {host}: the one that peers dial and that ranks register by"),
        "port": (instance.port, instance.port_reason("port", cluster.pools[instance.pool]["port"])),
        "tp-size": (instance.sizes.tp, f"tp of {_owner(instance, 'tp', cluster)}"),
        "uvicorn-access-log-exclude-prefixes": (["/health", "/metrics"], "checks every few seconds would drown the log"),
    }
    if hosts.bind(cluster, host) != hosts.fabric(cluster, host):
        arguments["host"] = (hosts.bind(cluster, host), f"sglang_bind_address of {host}")
    if instance.gpu[rank]:
        taken = f"GPUs {instance.gpu[rank]}-{instance.gpu[rank] + instance.gpus_per_host - 1} of {host} are this instance's"
        arguments["base-gpu-id"] = (instance.gpu[rank], taken)
    return arguments | _parallel(instance) | _disaggregation(instance, cluster) | _meeting(instance, rank, cluster)


def _owner(instance: Instance, key: str, cluster: Cluster) -> str:
    """Return who says how large something is: the pool, or the instance itself."""
    same = getattr(instance.sizes, key) == cluster.pools[instance.pool][key]
    return f"pool {instance.pool}" if same else instance.name


def _registers(instance: Instance, cluster: Cluster) -> str:
    if instance.mode != "prefill":
        return ""
    same = hosts.dist_init(cluster, instance.head) == hosts.bind(cluster, instance.head)
    return "; its ranks register there, " + ("so it equals --host" if same else "while its bootstrap server binds another address, --host")


def _parallel(instance: Instance) -> Derived:
    given, arguments = instance.sizes, {}
    for spelling, value in (("pp-size", given.pp), ("ep-size", given.ep)):
        if value > 1:
            arguments[spelling] = (value, f"{spelling[:2]} of {instance.name}")
    if given.dp > 1 or given.dp_attention:
        arguments["dp-size"] = (given.dp, f"dp of {instance.name}")
    if given.dp_attention:
        arguments["enable-dp-attention"] = (True, f"dp_attention of {instance.name}")
    return arguments


def _disaggregation(instance: Instance, cluster: Cluster) -> Derived:
    if instance.mode == "plain":
        return {}
    return {
        "disaggregation-mode": (instance.mode, f"mode of pool {instance.pool}"),
        "disaggregation-transfer-backend": (cluster.variables["sglang_transfer_backend"], "sglang_transfer_backend"),
        "disaggregation-bootstrap-port": (
            instance.bootstrap_port,
            "where this instance's bootstrap server listens; the router names it in every request"
            if instance.mode == "prefill" else "not used as long as the router names prefill's port in every request, as it does",
        ),
    }


def _meeting(instance: Instance, rank: int, cluster: Cluster) -> Derived:
    """How the ranks of an instance find each other."""
    if not instance.meets and instance.sizes.dp > 1:
        # Each replica meets at a port of its own, and 0.5.8 binds the one that it is given for all of them.
        return {}
    if not instance.meets:
        return {"nccl-port": (instance.dist_init_port, "one host meets on loopback; a fixed port cannot clash by chance")}
    meeting: Derived = {
        "dist-init-addr": (
            addresses.host_port(hosts.dist_init(cluster, instance.head), instance.dist_init_port),
            f"rank 0 of {instance.name} is {instance.head}" + _registers(instance, cluster),
        ),
    }
    if instance.nodes > 1:
        meeting["nnodes"] = (instance.nodes, f"{instance.name} is {', '.join(instance.hosts)}")
        meeting["node-rank"] = (rank, f"place of {instance.hosts[rank]} in {instance.name}")
    return meeting


def decode_tp(instance: Instance, instances: list[Instance]) -> Derived:
    """Return the hint that 0.5.8 wants on prefill when decode's attention tensor parallel size differs."""
    sizes = {other.sizes.tp for other in instances if other.mode == "decode"}
    own = instance.sizes.tp
    if instance.mode == "prefill" and len(sizes) == 1 and sizes != {own}:
        other = sizes.pop()
        # It is an assertion only; with DP attention sizes may differ in ways that it refuses.
        if other % own == 0 or own % other == 0:
            return {"disaggregation-decode-tp": (other, "tp of the decode pool, which prefill checks when it differs")}
    return {}


def fabric(instance: Instance, rank: int, cluster: Cluster, stack: EngineStack, told: looked.Told | None) -> Derived:
    """Return what names RDMA devices, as far as the host's are known.

    :param told: what a look at the host has shown.
    """
    row = cluster.hosts[instance.hosts[rank]]
    if instance.mode == "plain" or not looked.wanted(cluster.variables, stack):
        return {}
    if cluster.variables["sglang_transfer_backend"] == "nixl" and not stack.nixl_devices:
        return {}
    if row["sglang_rdma_device_map"]:
        text = json.dumps({str(gpu): name for gpu, name in sorted(row["sglang_rdma_device_map"].items(), key=lambda pair: int(pair[0]))})
        return {"disaggregation-ib-device": (text, "sglang_rdma_device_map: each GPU has a NIC of its own")}
    if told is not None and told.device:
        return {"disaggregation-ib-device": told.device}
    # Of backends that nobody derives a form for, and of NIXL, where UCX is told nothing that would win over it.
    plainly = told is None or (cluster.variables["sglang_transfer_backend"] not in FORMED and "UCX_NET_DEVICES" not in told.environment)
    if plainly and row["sglang_rdma_devices"]:
        why = "sglang_rdma_devices" if told is None or row["rdma_written"] else "the data devices of the host"
        return {"disaggregation-ib-device": (",".join(row["sglang_rdma_devices"]), why)}
    return {}


def version(table: flags.FlagTable, derived: Derived) -> Derived:
    """Return the arguments in the spelling of this version."""
    if table.find("attn-dp-size") is not None and "enable-dp-attention" in derived:
        derived = {**derived, "attn-dp-size": derived["dp-size"]}
        derived = {name: value for name, value in derived.items() if name not in ("dp-size", "enable-dp-attention")}
    return derived
