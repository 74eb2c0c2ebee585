# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host is which rank of which instance."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import parallel, placement
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance

NAME = re.compile(r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?\Z")
# Its unit and its directory are the router's.
RESERVED = ("router",)


def _rows(name: str, pool: dict[str, Any], members: list[str], findings: Findings) -> list[dict[str, Any]]:
    """Return the instances of a pool as rows of name and hosts: as written, or in chunks of the group."""
    if pool["instances"]:
        return list(pool["instances"])
    size = pool["nodes_per_instance"]
    if len(members) % size:
        findings.add(
            "topology.odd-hosts", f"sglang_pools.{name}.nodes_per_instance",
            f"group {pool['group']} has {len(members)} hosts ({listed(members)}), which is not a multiple of {size}",
            f"add {size - len(members) % size} host(s) to the group, take {len(members) % size} out, or change nodes_per_instance",
        )
    count = len(members) // size
    return [{"name": f"{name}-{i}", "hosts": members[i * size:(i + 1) * size]} for i in range(count)]


def _check_row(row: dict[str, Any], where: str, group: str, members: set[str], findings: Findings) -> bool:
    if not NAME.match(row["name"]) or row["name"] in RESERVED:
        findings.add(
            "topology.name", where + ".name", f"{row['name']!r} is not an instance name",
            f"use a-z, 0-9 and dashes, at most 40, and not {', '.join(RESERVED)}",
        )
    if not row["hosts"]:
        findings.add("topology.no-hosts", where + ".hosts", "the list is empty", "name the hosts, rank 0 first")
        return False
    for host in row["hosts"]:
        if host not in members:
            findings.add(
                "topology.wrong-group", where + ".hosts", f"{host} is not in group {group}",
                f"put it into the group or take it out of instance {row['name']}", host,
            )
    if len(set(row["hosts"])) < len(row["hosts"]):
        twice = next(host for host in row["hosts"] if row["hosts"].count(host) > 1)
        findings.add(
            "topology.host-twice", where + ".hosts", f"{twice} is two ranks of {row['name']}",
            "a host is one rank of an instance: name each host once", twice,
        )
        return False
    return True


def _instances(name: str, cluster: Cluster, findings: Findings) -> list[Instance]:
    pool = cluster.pools[name]
    variable = f"sglang_pools.{name}"
    members = [host for host in cluster.groups.get(pool["group"], []) if host in cluster.hosts]
    if not members:
        findings.add(
            "topology.group-empty", f"{variable}.group", f"group {pool['group']} has no host in this inventory",
            f"put the {name} hosts into group {pool['group']}, or name the group that holds them",
        )
        return []
    inside = set(members)
    instances = []
    for index, row in enumerate(_rows(name, pool, members, findings)):
        where = f"{variable}.instances[{index}]"
        if not _check_row(row, where, pool["group"], inside, findings):
            continue
        instance = Instance(
            name=row["name"], pool=name, mode=pool["mode"], hosts=tuple(row["hosts"]), sizes=parallel.sizes(pool, row),
            port=row.get("port") or pool["port"],
            bootstrap_port=row.get("bootstrap_port") or pool["bootstrap_port"],
            dist_init_port=row.get("dist_init_port") or pool["dist_init_port"],
            own_ports=frozenset(key for key in placement.PORTS if row.get(key)),
            first_gpu=row.get("first_gpu", -1),
            launch={kind: [pool[kind], row.get(kind, {})] for kind in ("args", "env", "files")},
            variable=where if pool["instances"] else variable,
        )
        if parallel.check(instance, findings):
            instances.append(instance)
    return instances


def _check_unique(instances: list[Instance], cluster: Cluster, findings: Findings) -> None:
    names: dict[str, Instance] = {}
    used: set[str] = set()
    for instance in instances:
        if instance.name in names:
            findings.add(
                "topology.name-twice", instance.variable + ".name", f"two instances are called {instance.name}",
                "give each instance a name of its own: units, directories and ports are named after it",
            )
        names.setdefault(instance.name, instance)
        used |= set(instance.hosts)
    for name, pool in cluster.pools.items():
        for host in cluster.groups.get(pool["group"], []):
            if host in cluster.hosts and host not in used:
                findings.add(
                    "topology.idle-host", f"sglang_pools.{name}.instances", f"{host} of group {pool['group']} is in no instance",
                    "list it in an instance or take it out of the group", host,
                )


def check_foreign(cluster: Cluster, known: set[str], findings: Findings) -> None:
    """Report hosts of the cluster's groups that belong to no cluster of the inventory.

    :param known: the hosts of all clusters.
    """
    groups = {f"sglang_pools.{name}.group": pool["group"] for name, pool in cluster.pools.items()}
    groups["sglang_router.group"] = cluster.router["group"]
    for variable, group in groups.items():
        for host in cluster.groups.get(group, []):
            if host not in known:
                findings.add("topology.foreign-host", variable, f"{host} has no sglang_pools", "set the cluster variables on it", host)


def routers(cluster: Cluster, findings: Findings) -> list[str]:
    """Return the router hosts."""
    group = cluster.router["group"]
    hosts = [host for host in cluster.groups.get(group, []) if host in cluster.hosts]
    if not hosts:
        findings.add(
            "topology.group-empty", "sglang_router.group", f"group {group} has no host in this inventory",
            f"put the router host into group {group}, or name the group that holds it",
        )
    return hosts


def instances(cluster: Cluster, findings: Findings) -> list[Instance]:
    """Return all instances of the cluster, in the order of its pools, with their GPUs and ports on hosts that they share."""
    found = [instance for name in cluster.pools for instance in _instances(name, cluster, findings)]
    findings.stop()
    _check_unique(found, cluster, findings)
    return placement.place(found, cluster, findings)
