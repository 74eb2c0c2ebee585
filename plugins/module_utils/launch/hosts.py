# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of each host: one on the fabric for everything, unless the operator sets them apart."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import WARNING, Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance

WILDCARDS = ("0.0.0.0", "::")


def fabric(cluster: Cluster, host: str) -> str:
    """Return the address on the network that carries the KV cache."""
    return str(cluster.hosts[host]["sglang_fabric_address"])


def bind(cluster: Cluster, host: str) -> str:
    """Return the address that a rank binds (--host)."""
    return str(cluster.hosts[host]["sglang_bind_address"] or fabric(cluster, host))


def reached(cluster: Cluster, host: str) -> str:
    """Return the address that the router and decode hosts reach a rank by."""
    own = bind(cluster, host)
    return fabric(cluster, host) if own in WILDCARDS else own


def dist_init(cluster: Cluster, host: str) -> str:
    """Return the address by which the ranks of an instance find rank 0, which is this host, and where prefill ranks register."""
    return str(cluster.hosts[host]["sglang_dist_init_address"] or reached(cluster, host))


def kv(cluster: Cluster, host: str) -> str:
    """Return the address of the KV cache transfer (SGLANG_HOST_IP)."""
    return str(cluster.hosts[host]["sglang_kv_address"] or fabric(cluster, host))


def own(cluster: Cluster, instances: list[Instance], host: str) -> dict[str, str]:
    """Return the addresses that an engine host must have, each with the variable that names it."""
    row = cluster.hosts[host]
    found = {fabric(cluster, host): "sglang_fabric_address"}
    for variable in ("sglang_bind_address", "sglang_kv_address"):
        if row[variable] and row[variable] not in WILDCARDS:
            found.setdefault(row[variable], variable)
    meeting = dist_init(cluster, host)
    # Asked last: most hosts meet at an address that is there already, and a search of all instances for each host is quadratic.
    if meeting not in found and any(instance.head == host and instance.meets for instance in instances):
        found[meeting] = "sglang_dist_init_address"
    return found


def management(cluster: Cluster, host: str) -> str:
    """Return the address that clients and monitoring reach a host by."""
    return str(cluster.hosts[host]["sglang_management_address"] or cluster.hosts[host]["ansible_host"])


def check(instances: list[Instance], routers: list[str], cluster: Cluster, findings: Findings, *, rdma: bool = False) -> None:
    """Report addresses that are missing, wrong, in another network or used twice.

    :param rdma: whether the cluster uses RDMA. A run then looks at the hosts, and finds their interfaces.
    """
    text = cluster.variables["sglang_fabric_network"]
    network = addresses.network(text) if text else None
    if text and network is None:
        findings.add("address.network", "sglang_fabric_network", f"{text!r} is not a network", "write it as ADDRESS/PREFIX")
    seen: dict[str, str] = {}
    for host in dict.fromkeys(host for instance in instances for host in instance.hosts):
        _check_fabric(host, cluster, findings)
        _check_apart(host, cluster, findings)
        given = fabric(cluster, host)
        if given and seen.setdefault(given, host) != host:
            findings.add(
                "address.twice", "sglang_fabric_address", f"{given} is also the address of {seen[given]}",
                "each host has an address of its own", host,
            )
    for host in routers:
        given = addresses.canonical(fabric(cluster, host))
        if addresses.parse(given) is not None and seen.setdefault(given, host) != host:
            findings.add(
                "address.twice", "sglang_fabric_address", f"{given} is also the address of {seen[given]}",
                "each host has an address of its own", host,
            )
    for instance in instances:
        for host in instance.hosts if instance.nodes > 1 else ():
            if not cluster.hosts[host]["sglang_fabric_interface"]:
                _no_interface(instance, host, cluster, findings, rdma)
    for host in routers:
        given = management(cluster, host)
        if addresses.parse(given) is None:
            findings.add(
                "address.management", "sglang_management_address", f"is not set, and ansible_host {given!r} is not an address",
                "set it to the address that clients reach the router by", host,
            )


def _no_interface(instance: Instance, host: str, cluster: Cluster, findings: Findings, rdma: bool) -> None:
    seen = host in cluster.looks
    nowhere = f", and no interface of the host has {fabric(cluster, host)}" if seen else ""
    later = "a run finds it on the host, for a plan without one " if rdma and not seen else ""
    findings.add(
        "address.interface", "sglang_fabric_interface",
        f"is not set, and instance {instance.name} spans {instance.nodes} hosts{nowhere}",
        f"{later}name the interface that carries sglang_fabric_address: without it Gloo takes the one that the host name resolves to",
        host, severity=WARNING if later else "",
    )


def _check_fabric(host: str, cluster: Cluster, findings: Findings) -> None:
    given, variable = fabric(cluster, host), "sglang_fabric_address"
    address = addresses.parse(given) if given else None
    if not given:
        fix = "set it to the host's address on the network that carries the KV cache"
        findings.add("address.missing", variable, "is not set", fix, host)
    elif address is None:
        findings.add("address.not-an-address", variable, f"{given!r} is not an IP address", "write the address itself, not a name", host)
    elif given in WILDCARDS or address.is_loopback():
        findings.add(
            "address.wildcard", variable, f"{given} cannot be reached from another host",
            "one address per rank is bound, registered and dialled: use the host's own fabric address", host,
        )
    else:
        _check_network(host, variable, given, cluster, findings)


def _check_network(host: str, variable: str, given: str, cluster: Cluster, findings: Findings) -> None:
    text = cluster.variables["sglang_fabric_network"]
    network, address = addresses.network(text), addresses.parse(given)
    if network is not None and address is not None and address not in network:
        findings.add(
            "address.not-in-fabric", variable, f"{given} is not in sglang_fabric_network {text}",
            "use the fabric address, not the management one", host,
        )


def _check_apart(host: str, cluster: Cluster, findings: Findings) -> None:
    """Addresses that the operator sets apart from the fabric address."""
    row = cluster.hosts[host]
    for variable in ("sglang_bind_address", "sglang_kv_address", "sglang_dist_init_address"):
        given = row[variable]
        if not given:
            continue
        if addresses.parse(given) is None:
            fix = "write the address itself, not a name"
            findings.add("address.not-an-address", variable, f"{given!r} is not an IP address", fix, host)
        elif given in WILDCARDS:
            only_bound = variable == "sglang_bind_address"
            findings.add(
                "address.wildcard-bind" if only_bound else "address.wildcard", variable,
                "binds every network of the host, the bootstrap server and an API without a key among them"
                if only_bound else f"{given} cannot be reached from another host",
                "leave it out: the fabric address is then bound" if only_bound else "use the host's own fabric address",
                host,
            )
        elif variable == "sglang_kv_address":
            _check_network(host, variable, given, cluster, findings)
