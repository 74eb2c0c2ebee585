# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of one cluster must be reachable by those that are told to use them."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# Set apart from the fabric address by an operator.
APART = ("sglang_bind_address", "sglang_kv_address", "sglang_dist_init_address")
# What is taken for one network while sglang_fabric_network is not set.
USUAL_PREFIX = {4: 24, 6: 64}


def check(contract: Contract, findings: Findings) -> None:
    """Report addresses that others cannot reach, or that belong to somebody else."""
    engines = list(dict.fromkeys(rank.host for rank in contract.ranks))
    for head in contract.heads:
        _bound(contract.cluster, head, findings)
        _dist_init(contract.cluster, head, findings)
    for rank in contract.ranks:
        _kv(contract, rank, findings)
        _interfaces(contract, rank, findings)
    for host in engines:
        _usable(contract, host, findings)
    _one_network(contract, engines, findings)
    _shared(contract, engines, findings)


def _blamed(cluster: Cluster, host: str, *variables: str) -> str:
    """Return the first of the variables that the host has set, else the fabric address."""
    return next((name for name in variables if cluster.hosts[host][name]), "sglang_fabric_address")


def usual(text: str) -> str:
    """Return the network that an address is taken to be in, in one spelling; the text itself for what is no address."""
    address = addresses.parse(text)
    network = addresses.network(f"{address}/{USUAL_PREFIX[address.version]}") if address is not None else None
    return text if network is None else str(network.cidr)


def _together(one: str, other: str) -> str:
    """Say how far two addresses are apart."""
    return "two addresses of one network" if usual(one) == usual(other) else "two networks"


def _bound(cluster: Cluster, head: Rank, findings: Findings) -> None:
    """Prefill ranks register at the host of --dist-init-addr; the bootstrap server listens on --host."""
    instance, host = head.instance, head.host
    own, meeting = hosts.bind(cluster, host), hosts.dist_init(cluster, host)
    if own in hosts.WILDCARDS:
        return
    if instance.mode == "prefill" and instance.meets and own != meeting:
        findings.add(
            "networks.bootstrap-unreachable", _blamed(cluster, host, "sglang_bind_address", "sglang_dist_init_address"),
            f"--host {own} and --dist-init-addr {meeting} are {_together(own, meeting)}: the ranks of {instance.name} register at "
            f"{addresses.host_port(meeting, instance.bootstrap_port)}, where its bootstrap server, bound to {own}, does not listen; "
            "the servers turn healthy and every request ends in a 500",
            f"leave sglang_bind_address and sglang_dist_init_address out, or set both to {hosts.fabric(cluster, host)}",
            host, place=instance.name,
        )
    elif own != hosts.fabric(cluster, host):
        what = "the API with the KV bootstrap of" if instance.mode == "prefill" else "the API of"
        findings.add(
            "networks.bind-apart", "sglang_bind_address",
            f"{what} {instance.name} answers on {own} only, and its KV cache is at {hosts.kv(cluster, host)}: "
            f"{_together(own, hosts.kv(cluster, host))}, "
            f"and the router{' and every decode host' if instance.mode == 'prefill' else ''} must reach the first",
            f"leave sglang_bind_address out: the fabric address {hosts.fabric(cluster, host)} is then bound", host, place=instance.name,
        )


def _dist_init(cluster: Cluster, head: Rank, findings: Findings) -> None:
    """Rank 0 binds the rendezvous."""
    row = cluster.hosts[head.host]
    given = row["sglang_dist_init_address"]
    own = {hosts.fabric(cluster, head.host), hosts.bind(cluster, head.host), hosts.kv(cluster, head.host)}
    own |= {row["sglang_management_address"], row["ansible_host"]}
    if head.instance.meets and given and given not in own:
        owner = next((host for host in cluster.hosts if given in (hosts.fabric(cluster, host), hosts.management(cluster, host))), "")
        findings.add(
            "networks.dist-init-not-own", "sglang_dist_init_address",
            f"{given} is " + (f"an address of {owner}" if owner else "no address that the inventory gives this host")
            + f", and rank 0 of {head.instance.name} has to bind it",
            f"leave it out: {hosts.reached(cluster, head.host)} is then used; or name {given} in sglang_management_address of this host",
            head.host, place=head.instance.name,
        )


def _kv(contract: Contract, rank: Rank, findings: Findings) -> None:
    """The address that peers are told for the KV cache and the handshake."""
    cluster, host, instance = contract.cluster, rank.host, rank.instance
    address, fabric = hosts.kv(cluster, host), hosts.fabric(cluster, host)
    if not rank.environment.get("SGLANG_HOST_IP"):
        if instance.mode != "plain" or instance.nodes > 1:
            findings.add(
                "networks.kv-address-unset", rank.written.get("SGLANG_HOST_IP", "sglang_env.SGLANG_HOST_IP"),
                f"SGLANG_HOST_IP is taken back: rank {rank.number} of {instance.name} then tells its peers the source address of its "
                "default route, which is another network on a host with several, and not --host",
                f"remove SGLANG_HOST_IP from the variable: the plan sets it to {address}", host, place=instance.name,
            )
    elif address != fabric:
        findings.add(
            "networks.kv-apart", "sglang_kv_address",
            f"peers of {instance.name} are told {address}, while everything else of this host is at the fabric address {fabric}",
            f"leave it out, or check that every prefill and decode host reaches {address}", host, place=instance.name,
        )
    parsed = addresses.parse(address)
    backend = str(contract.value(rank, "disaggregation-transfer-backend"))
    mooncake = instance.mode != "plain" and backend.startswith("mooncake")
    if mooncake and parsed is not None and parsed.version == 6 and "MC_USE_IPV6" not in rank.environment:
        findings.add(
            "networks.mooncake-ipv6", rank.written.get("MC_USE_IPV6", "sglang_env.MC_USE_IPV6"),
            f"the KV address {address} is IPv6, and without MC_USE_IPV6 Mooncake listens and looks names up on IPv4 only",
            'set sglang_env: {MC_USE_IPV6: "1"}', place=instance.name,
        )


def _takes(text: str, interface: str) -> bool:
    """Whether a list such as NCCL_SOCKET_IFNAME's takes an interface: prefixes, exact names after =, all others after ^."""
    names = [name.strip() for name in text.lstrip("^=").split(",")]
    exact = "=" in text[:2]
    named = any(interface == name if exact else bool(name) and interface.startswith(name) for name in names)
    return named != text.startswith("^")


def _interfaces(contract: Contract, rank: Rank, findings: Findings) -> None:
    """Interfaces that an operator wrote, beside the one that carries the fabric address."""
    interface = contract.cluster.hosts[rank.host]["sglang_fabric_interface"]
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        text = rank.environment.get(name, "")
        listed = [item.strip() for item in text.split(",")]
        taken = _takes(text, interface) if name.startswith("NCCL") else interface in listed
        if interface and text and name in rank.written and not taken:
            findings.add(
                "networks.socket-interface", rank.written[name],
                f"{name}={text} does not take {interface}, the fabric interface of this host: ranks then meet on another network than "
                "the KV cache's",
                f"leave it out: the plan derives it from sglang_fabric_interface {interface}", rank.host, place=rank.instance.name,
            )


def _given(cluster: Cluster, host: str) -> Iterator[tuple[str, str]]:
    """Yield the variables and addresses of an engine host."""
    for variable in ("sglang_fabric_address", *APART):
        if cluster.hosts[host][variable]:
            yield variable, cluster.hosts[host][variable]


def _usable(contract: Contract, host: str, findings: Findings) -> None:
    cluster = contract.cluster
    network = addresses.network(cluster.variables["sglang_fabric_network"])
    several = {rank.host for rank in contract.ranks} | {router["host"] for router in contract.routers}
    for variable, given in _given(cluster, host):
        address = addresses.parse(given)
        if address is None:
            continue
        if address.is_loopback() and len(several) > 1:
            findings.add(
                "networks.loopback", variable, f"{given} is reached from this host only, and the cluster has {len(several)} hosts",
                "leave it out, or write the host's fabric address", host,
            )
        ends = (network.network, network.broadcast) if network is not None and network.size > 2 else ()
        if address.is_multicast() or address.is_link_local() or address in ends:
            what = "a multicast address" if address.is_multicast() else "a link-local address, which no other network reaches"
            findings.add(
                "networks.unusable", variable, f"{given} is " + (f"the first or last address of {network}" if address in ends else what),
                "write the host's own unicast address on the fabric", host,
            )


def _one_network(contract: Contract, engines: list[str], findings: Findings) -> None:
    """Addresses that carry the KV cache: of one family, and of one network as far as that can be told."""
    cluster = contract.cluster
    found = {host: address for host in engines if (address := addresses.parse(hosts.kv(cluster, host))) is not None}
    if not found:
        return
    first = next(iter(found))
    for host, address in found.items():
        if address.version != found[first].version:
            findings.add(
                "networks.family", _blamed(cluster, host, "sglang_kv_address"),
                f"{address} is IPv{address.version}, and {found[first]} of {first} is IPv{found[first].version}: one cannot dial the other",
                "give all hosts addresses of one family", host,
            )
            return
    lying = {usual(str(address)): host for host, address in found.items()}
    if len(lying) > 1 and not cluster.variables["sglang_fabric_network"]:
        findings.add(
            "networks.several", "sglang_fabric_network",
            f"is not set, and the KV addresses lie in {len(lying)} networks: "
            + ", ".join(f"{network} ({host})" for network, host in lying.items()),
            "set it to the network that holds all of them, so that a management address among them is found",
        )


def _shared(contract: Contract, engines: list[str], findings: Findings) -> None:
    """An address belongs to one host. Fabric addresses among themselves: address.twice."""
    cluster = contract.cluster
    owners = {hosts.fabric(cluster, host): host for host in engines}
    rows = [(host, variable, cluster.hosts[host][variable]) for host in engines for variable in APART[:2]]
    for host, variable, given in rows:
        if given and given not in hosts.WILDCARDS and owners.setdefault(given, host) != host:
            findings.add(
                "networks.address-shared", variable, f"{given} is also an address of {owners[given]}", "each host has addresses of its own",
                host,
            )
    routers: dict[str, str] = {}
    for router in contract.routers:
        if router["address"] not in hosts.WILDCARDS and routers.setdefault(router["address"], router["host"]) != router["host"]:
            findings.add(
                "networks.address-shared", "sglang_management_address",
                f"{router['address']} is also an address of {routers[router['address']]}", "each host has addresses of its own",
                router["host"],
                place="router",
            )
