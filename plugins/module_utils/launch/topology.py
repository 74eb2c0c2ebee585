# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host is which rank of which instance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster

NAME = re.compile(r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?\Z")
# Its unit and its directory are the router's.
RESERVED = ("router",)


@dataclass(frozen=True)
class Instance:
    """One engine process group: its hosts in rank order, and its part of the pool's settings."""

    name: str
    pool: str
    hosts: tuple[str, ...]
    tp: int
    port: int
    port_variable: str
    bootstrap_port: int
    dist_init_port: int
    launch: dict[str, Any]
    variable: str

    @property
    def head(self) -> str:
        """The host of rank 0."""
        return self.hosts[0]

    @property
    def nodes(self) -> int:
        """The number of hosts, one rank each."""
        return len(self.hosts)


def _rows(name: str, pool: dict[str, Any], members: list[str], findings: Findings) -> list[dict[str, Any]]:
    """Return the instances of a pool as rows of name and hosts: as written, or in chunks of the group."""
    if pool["instances"]:
        return list(pool["instances"])
    size = pool["nodes_per_instance"]
    if len(members) % size:
        findings.add(
            "topology.odd-hosts", f"sglang_pools.{name}.nodes_per_instance",
            f"group {pool['group']} has {len(members)} hosts ({', '.join(members)}), which is not a multiple of {size}",
            f"add {size - len(members) % size} host(s) to the group, take {len(members) % size} out, or change nodes_per_instance",
        )
    count = len(members) // size
    return [{"name": f"{name}-{i}", "hosts": members[i * size:(i + 1) * size]} for i in range(count)]


def _instances(name: str, cluster: Cluster, findings: Findings) -> list[Instance]:
    pool = cluster.pools[name]
    members = list(cluster.groups.get(pool["group"], []))
    variable = f"sglang_pools.{name}"
    if not members:
        findings.add(
            "topology.group-empty", f"{variable}.group", f"group {pool['group']} has no host in this inventory",
            f"put the {name} hosts into group {pool['group']}, or name the group that holds them",
        )
        return []
    instances = []
    for index, row in enumerate(_rows(name, pool, members, findings)):
        where = f"{variable}.instances[{index}]"
        if not NAME.match(row["name"]) or row["name"] in RESERVED:
            findings.add(
                "topology.name", where + ".name", f"{row['name']!r} is not an instance name",
                f"use a-z, 0-9 and dashes, at most 40, and not {', '.join(RESERVED)}",
            )
        if not row["hosts"]:
            findings.add("topology.no-hosts", where + ".hosts", "the list is empty", "name the hosts, rank 0 first")
            continue
        for host in row["hosts"]:
            if host not in members:
                findings.add(
                    "topology.wrong-group", where + ".hosts", f"{host} is not in group {pool['group']}",
                    f"put it into the group or take it out of instance {row['name']}", host,
                )
        if pool["tp"] % len(row["hosts"]):
            findings.add(
                "topology.tp-nodes", f"{variable}.tp",
                f"tensor parallel size {pool['tp']} cannot be split over {len(row['hosts'])} hosts of {row['name']}",
                "the number of hosts must divide tp",
            )
        instances.append(
            Instance(
                name=row["name"], pool=name, hosts=tuple(row["hosts"]), tp=pool["tp"], port=row.get("port") or pool["port"],
                port_variable=f"{where if row.get('port') else variable}.port",
                bootstrap_port=pool["bootstrap_port"], dist_init_port=pool["dist_init_port"],
                launch={kind: [pool[kind], row.get(kind, {})] for kind in ("args", "env", "files")},
                variable=where if pool["instances"] else variable,
            )
        )
    return instances


def _check_unique(instances: list[Instance], cluster: Cluster, findings: Findings) -> None:
    names: dict[str, Instance] = {}
    owner: dict[str, Instance] = {}
    for instance in instances:
        if instance.name in names:
            findings.add(
                "topology.name-twice", instance.variable + ".name", f"two instances are called {instance.name}",
                "give each instance a name of its own: units, directories and ports are named after it",
            )
        names.setdefault(instance.name, instance)
        for host in instance.hosts:
            if host in owner:
                other = owner[host]
                findings.add(
                    "topology.host-twice", instance.variable + ".hosts",
                    f"{host} is a rank of {other.name} and of {instance.name}",
                    f"a host serves one instance: take it out of group {cluster.pools[instance.pool]['group']} or out of one instance",
                    host,
                )
            owner.setdefault(host, instance)
    for name, pool in cluster.pools.items():
        for host in cluster.groups.get(pool["group"], []):
            if host not in owner:
                findings.add(
                    "topology.idle-host", f"sglang_pools.{name}.instances", f"{host} of group {pool['group']} is in no instance",
                    "list it in an instance or take it out of the group", host,
                )


def _check_addresses(instances: list[Instance], cluster: Cluster, findings: Findings) -> None:
    text = cluster.variables["sglang_fabric_network"]
    fabric = addresses.network(text) if text else None
    if text and fabric is None:
        findings.add("address.network", "sglang_fabric_network", f"{text!r} is not a network", "write it as ADDRESS/PREFIX")
    seen: dict[str, str] = {}
    for instance in instances:
        for host in instance.hosts:
            given = cluster.hosts[host]["sglang_fabric_address"]
            address = addresses.parse(given) if given else None
            variable = "sglang_fabric_address"
            if not given:
                findings.add(
                    "address.missing", variable, "is not set",
                    "set it to the host's address on the network that carries the KV cache", host,
                )
            elif address is None:
                findings.add(
                    "address.not-an-address", variable, f"{given!r} is not an IP address", "write the address itself, not a name", host,
                )
            elif address in (addresses.parse("0.0.0.0"), addresses.parse("::")) or address.is_loopback():
                findings.add(
                    "address.wildcard", variable, f"{given} cannot be reached from another host",
                    "one address per rank is bound, registered and dialled: use the host's own fabric address", host,
                )
            elif fabric is not None and address not in fabric:
                findings.add(
                    "address.not-in-fabric", variable, f"{given} is not in sglang_fabric_network {text}",
                    "use the fabric address, not the management one", host,
                )
            elif given in seen and seen[given] != host:
                findings.add(
                    "address.twice", variable, f"{given} is also the address of {seen[given]}", "each host has an address of its own", host,
                )
            seen.setdefault(given, host)
            if instance.nodes > 1 and not cluster.hosts[host]["sglang_fabric_interface"]:
                findings.add(
                    "address.interface", "sglang_fabric_interface",
                    f"is not set, and instance {instance.name} spans {instance.nodes} hosts",
                    "name the interface that carries sglang_fabric_address: without it Gloo takes the one that the host name resolves to",
                    host,
                )


def routers(cluster: Cluster, findings: Findings) -> list[str]:
    """Return the router hosts, each with a management address that it can bind."""
    group = cluster.router["group"]
    hosts = list(cluster.groups.get(group, []))
    if not hosts:
        findings.add(
            "topology.group-empty", "sglang_router.group", f"group {group} has no host in this inventory",
            f"put the router host into group {group}, or name the group that holds it",
        )
    for host in hosts:
        if host not in cluster.hosts:
            findings.add(
                "topology.foreign-host", "sglang_router.group", f"{host} has no sglang_pools", "set the cluster variables on it", host,
            )
            continue
        given = management_address(cluster, host)
        if addresses.parse(given) is None:
            findings.add(
                "address.management", "sglang_management_address", f"is not set, and ansible_host {given!r} is not an address",
                "set it to the address that clients reach the router by", host,
            )
    return hosts


def management_address(cluster: Cluster, host: str) -> str:
    """Return the address that clients and monitoring reach a host by."""
    return cluster.hosts[host]["sglang_management_address"] or cluster.hosts[host]["ansible_host"]


def instances(cluster: Cluster, findings: Findings) -> list[Instance]:
    """Return all instances of the cluster, prefill first, after checking that they can exist beside each other."""
    known = set(cluster.hosts)
    for name, pool in cluster.pools.items():
        for host in cluster.groups.get(pool["group"], []):
            if host not in known:
                findings.add(
                    "topology.foreign-host", f"sglang_pools.{name}.group", f"{host} has no sglang_pools",
                    "set the cluster variables on it", host,
                )
    found = [instance for name in cluster.pools for instance in _instances(name, cluster, findings)]
    findings.stop()
    _check_unique(found, cluster, findings)
    _check_addresses(found, cluster, findings)
    return found
