# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host must reach which on which port, as far as the plan tells.

What listens where: sglang 0.5.8 and 0.5.23 (server_args PortArgs, disaggregation/common/conn.py), Mooncake's handshake range, and the
routers' parsers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, environment, ports
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Plan

ALWAYS, FEATURE = "always", "feature"
CLIENTS, MONITORING, CONTROLLERS, RAILS = "clients", "monitoring", "controllers", "rails of engines"
# Whose addresses the plan does not know.
OUTSIDE = (CLIENTS, MONITORING, CONTROLLERS, RAILS)
EPHEMERAL = "{}-{}".format(*ports.EPHEMERAL)
ROCE = "4791"
LOOPBACK = ("127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::")
# What is taken for the fabric network around a worker where a router host has no address in it that is known.
USUAL_PREFIX = {4: 24, 6: 64}
# Mooncake's own spelling first, the later one second.
RANGE = (("MC_MIN_PRC_PORT", "MC_MIN_RPC_PORT", ports.MOONCAKE[0]), ("MC_MAX_PRC_PORT", "MC_MAX_RPC_PORT", ports.MOONCAKE[1]))


@dataclass(frozen=True)
class Flow:
    """One connection that must be possible.

    :ivar source: name of the group of hosts that connect, a key of groups() or one of OUTSIDE.
    :ivar host: host that is connected to.
    :ivar address: its address; empty where any of its addresses may be dialled.
    :ivar port: a port, or two with a dash.
    :ivar needed: C(always), or C(feature) for what nothing but a feature outside of serving needs.
    """

    cluster: str
    source: str
    host: str
    address: str
    protocol: str
    port: str
    purpose: str
    why: str
    needed: str = ALWAYS


@dataclass
class Group:
    """Hosts that connect as one role, and every address of the plan that they may connect from."""

    hosts: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    _held: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def add(self, host: str, given: list[str]) -> None:
        """Take a host in."""
        self._put(self.hosts, "host", host)
        for text in given:
            if text and text not in WILDCARDS:
                self._put(self.addresses, "address", text)

    def _put(self, rows: list[str], kind: str, text: str) -> None:
        # A list alone would be searched for each host of a large cluster.
        if (kind, text) not in self._held:
            self._held.add((kind, text))
            rows.append(text)


def inside(instance: Mapping[str, Any]) -> str:
    """Return the name of the group of an instance's own hosts."""
    return f"{instance['cluster']}/{instance['name']}"


def rendezvous(rank: Mapping[str, Any]) -> str:
    """Return the address on which rank 0 meets the others, empty where that is loopback or another rank's."""
    found = [row["address"] for row in rank["ports"] if row["purpose"] == "rendezvous" and row["address"] not in LOOPBACK]
    return found[0] if found else ""


def own(rank: Mapping[str, Any], plan: Plan) -> list[str]:
    """Return the addresses that a rank's host may connect from."""
    fabric = plan["hosts"][rank["host"]]["fabric_address"]
    return [fabric, reading.host_of(rank["health_url"]), kv(rank), rendezvous(rank)]


def kv(rank: Mapping[str, Any]) -> str:
    """Return the address of the KV cache transfer."""
    return str(rank["environment"].get("SGLANG_HOST_IP") or reading.host_of(rank["health_url"]))


def groups(plan: Plan) -> dict[str, Group]:
    """Return who connects: the roles of each cluster, and each instance that spans hosts."""
    found: dict[str, Group] = {}
    for instance in plan["instances"]:
        cluster, mode = instance["cluster"], instance["mode"]
        for rank in instance["ranks"]:
            names = [f"{cluster} engines", *([f"{cluster} prefill and decode"] if mode != "plain" else []), f"{cluster} {mode}"]
            for name in [*names, inside(instance)]:
                found.setdefault(name, Group()).add(rank["host"], own(rank, plan))
    for router in plan["routers"]:
        fabric = plan["hosts"][router["host"]]["fabric_address"]
        sources = [fabric] if fabric else dialled(router)
        found.setdefault(f"{router['cluster']} routers", Group()).add(router["host"], [router["address"], *sources])
    return found


def dialled(router: Mapping[str, Any]) -> list[str]:
    """Return the networks of a router's workers: it connects from an address in one of them that the plan does not know."""
    found: dict[str, None] = {}
    for worker in router["workers"]:
        address = addresses.parse(reading.host_of(worker["url"]))
        network = addresses.network(f"{address}/{USUAL_PREFIX[address.version]}") if address is not None else None
        if network is not None:
            found[str(network.cidr)] = None
    return list(found)


def mooncake(rank: Mapping[str, Any]) -> str:
    """Return the range from which Mooncake takes the port of its handshake."""
    env = rank["environment"]
    return "-".join(str(env.get(first) or env.get(second) or default) for first, second, default in RANGE)


# Transports of UCX that take no RDMA device.
WITHOUT_RDMA = frozenset(("tcp", "self", "shm", "sm", "posix", "sysv", "cma", "cuda_copy", "cuda_ipc", "rocm_copy", "rocm_ipc"))


def rdma(rank: Mapping[str, Any]) -> bool:
    """Whether a rank may speak RDMA: on GPUs, unless both NCCL and the KV transfer are told to use TCP."""
    if rank["device"] not in ("cuda", "rocm"):
        return False
    env, backend = rank["environment"], reading.arguments(rank).get("--disaggregation-transfer-backend", "mooncake")
    tcp = rank["mode"] == "plain" or backend == "mooncake_tcp" or env.get("MC_FORCE_TCP", "").lower() in ("1", "true")
    tcp = tcp or (backend == "nixl" and set(env.get("UCX_TLS", "all").split(",")) <= WITHOUT_RDMA)
    return not (tcp and (rank["nodes"] == 1 or env.get("NCCL_IB_DISABLE") == "1"))


def _instance(instance: Mapping[str, Any]) -> Iterator[Flow]:
    """What the processes of one instance, its router and its peers dial at fixed ports."""
    cluster, head = instance["cluster"], instance["ranks"][0]
    for rank in instance["ranks"]:
        for row in rank["ports"]:
            if row["address"] in LOOPBACK:
                continue
            where, port, purpose = (rank["host"], reading.host_of(rank["health_url"]), "tcp"), str(row["port"]), row["purpose"]
            if purpose == "API":
                why = "GET /metrics and /health; /metrics needs --enable-metrics"
                yield Flow(cluster, MONITORING, *where, port, "metrics and health", why, FEATURE)
            elif purpose == "rank health":
                why = "ranks from 1 on answer /health (and /metrics with --enable-metrics), and never a request"
                yield Flow(cluster, MONITORING, *where, port, "rank health", why, FEATURE)
            elif purpose == "KV bootstrap":
                why = "prefill ranks register there, decode ranks ask where to fetch KV and if prefill lives"
                yield Flow(cluster, f"{cluster} prefill and decode", *where, port, purpose, why)
                if rendezvous(head) not in ("", where[1]):
                    why = "prefill ranks register at the host of --dist-init-addr"
                    yield Flow(cluster, inside(instance), rank["host"], rendezvous(head), "tcp", port, purpose, why)
            elif instance["nodes"] > 1:
                why = "torch's store: ranks find rank 0" if purpose == "rendezvous" else "processes of DP attention, over TCP"
                yield Flow(cluster, inside(instance), rank["host"], addresses.canonical(row["address"]), "tcp", port, purpose, why)


def _rank(rank: Mapping[str, Any], cluster: str) -> Iterator[Flow]:
    """What peers dial at ports that nobody plans."""
    host, paired = rank["host"], rank["mode"] != "plain"
    backend = reading.arguments(rank).get("--disaggregation-transfer-backend", "mooncake")
    if paired and backend.startswith("mooncake"):
        peer = "decode" if rank["mode"] == "prefill" else "prefill"
        why = "every rank listens on one port of the range, on all addresses; MC_MIN_PRC_PORT and MC_MAX_PRC_PORT move it"
        yield Flow(cluster, f"{cluster} {peer}", host, kv(rank), "tcp", mooncake(rank), "Mooncake handshake", why)
    store = environment.ascend_store(rank["environment"]) if rank["device"] == "npu" and rank["mode"] == "prefill" else None
    if store is not None and rank["rank"] == 0 and store[0] in (reading.host_of(rank["health_url"]), kv(rank), rendezvous(rank)):
        why = "the store of memfabric_hybrid, named by ASCEND_MF_STORE_URL: rank 0 of prefill opens it"
        yield Flow(cluster, f"{cluster} prefill and decode", host, store[0], "tcp", str(store[1]), "memfabric store", why)
    if paired or rank["nodes"] > 1:
        why = "KV endpoints (ZMQ), NCCL and Gloo bootstrap and DP workers take ports that the kernel chooses"
        yield Flow(cluster, f"{cluster} engines", host, "", "tcp", EPHEMERAL, "ephemeral ports between engines", why)
    if rdma(rank):
        why = "RDMA over Ethernet (RoCE v2), between the rails' addresses, past the kernel's own filter: for switches; not on InfiniBand"
        yield Flow(cluster, RAILS, host, "", "udp", ROCE, "RoCE v2", why)


def _router(router: Mapping[str, Any], heads: Mapping[tuple[str, str], str]) -> Iterator[Flow]:
    cluster, host = router["cluster"], router["host"]
    address = "" if router["address"] in WILDCARDS else router["address"]
    for row in router["ports"]:
        if row["purpose"] == "router API":
            yield Flow(cluster, CLIENTS, host, address, "tcp", str(row["port"]), "router API", "where clients send their requests")
        else:
            yield Flow(cluster, MONITORING, host, address, "tcp", str(row["port"]), row["purpose"], "Prometheus reads /metrics", FEATURE)
    for worker in router["workers"]:
        target = reading.host_of(worker["url"])
        head = heads.get((cluster, worker["instance"]), "")
        why = "requests, and GET /health" if head else "requests; this worker is outside of the plan"
        yield Flow(cluster, f"{cluster} routers", head, target, "tcp", str(reading.port_of(worker["url"])), "API", why)


def _local(flow: Flow, known: Mapping[str, Group], alone: set[str]) -> bool:
    """Whether a host would only reach itself, which no filter stands in the way of."""
    source = f"{flow.cluster} engines" if flow.source == RAILS else flow.source
    return source in alone and known[source].hosts == [flow.host]


def flows(plan: Plan, ssh_port: int = 22) -> list[Flow]:
    """Return every connection that must be possible, destination by destination, each once.

    :param ssh_port: port by which the controller reaches hosts.
    """
    found: dict[Flow, None] = {}
    heads = {(row["cluster"], row["name"]): row["ranks"][0]["host"] for row in plan["instances"]}
    for router in plan["routers"]:
        found |= dict.fromkeys(_router(router, heads))
    for instance in plan["instances"]:
        found |= dict.fromkeys(_instance(instance))
        for rank in instance["ranks"]:
            found |= dict.fromkeys(_rank(rank, instance["cluster"]))
    for host, row in plan["hosts"].items():
        why = "this collection's roles work over SSH"
        found[Flow(row["cluster"], CONTROLLERS, host, "", "tcp", str(ssh_port), "SSH", why)] = None
    known = groups(plan)
    alone = {name for name, group in known.items() if len(group.hosts) == 1}
    apart = [flow for flow in found if not _local(flow, known, alone)]
    order = {host: index for index, host in enumerate(plan["hosts"])}
    return sorted(apart, key=lambda flow: order.get(flow.host, len(order)))


def by_host(found: list[Flow]) -> dict[str, list[Flow]]:
    """Return what must reach each host; workers outside of the plan have an empty name."""
    rows: dict[str, list[Flow]] = {}
    for flow in found:
        rows.setdefault(flow.host, []).append(flow)
    return rows


def summary(found: list[Flow]) -> list[tuple[str, str, str, str, str, str]]:
    """Return source, destinations, protocol, port, purpose and need, with one row for all destinations that differ in nothing else."""
    rows: dict[tuple[str, str, str, str, str], list[str]] = {}
    for flow in found:
        name = flow.host or flow.address
        # An instance has a group of its own; a table of them all says nothing more.
        source = f"{flow.cluster} ranks of the same instance" if "/" in flow.source else flow.source
        targets = rows.setdefault((source, flow.protocol, flow.port, flow.purpose, flow.needed), [])
        if name not in targets:
            targets.append(name)
    return [(key[0], reading.some(names), *key[1:]) for key, names in rows.items()]
