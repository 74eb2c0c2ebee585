# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: one versioned, JSON-serialisable structure computed from the inventory, checked before a host changes."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import (
    addresses,
    arguments,
    contract,
    environment,
    files,
    flags,
    hostflows,
    hosts,
    inputs,
    kernelcache,
    kernels,
    looked,
    model,
    partners,
    ports,
    router,
    stacks,
    topology,
    uniqueness,
    waivers,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Finding, Findings, PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank, Ranks

# Version of the structure; docs/plan.schema.json describes it.
SCHEMA = 2


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON text, 16 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _read(path: str) -> bytes:
    return pathlib.Path(path).read_bytes()


def _stack(table: Mapping[str, Any], name: str, variable: str, findings: Findings) -> Any:
    if name not in table:
        findings.add("stack.unknown", variable, f"{name!r} is not a stack of this collection", "the stacks are " + ", ".join(sorted(table)))
    return table.get(name)


class _Planner:
    """Holds what every part of one cluster's plan needs."""

    def __init__(self, cluster: Cluster, read: Callable[[str], bytes], facts: Mapping[str, Any], findings: Findings) -> None:
        self.name = cluster.variables["sglang_cluster"]
        self.read = read
        self.findings = findings
        self.engine = _stack(stacks.ENGINES, cluster.variables["sglang_stack"], "sglang_stack", findings)
        router_stack = cluster.variables["sglang_router_stack"] or getattr(self.engine, "router", "")
        self.router_stack: Any = _stack(stacks.ROUTERS, router_stack, "sglang_router_stack", findings) if router_stack else None
        findings.stop()
        cluster = replace(cluster, variables={**cluster.variables, "sglang_router_stack": router_stack})
        self.cluster = cluster = looked.complete(cluster, self.engine, facts, findings)
        self.instances = topology.instances(cluster, findings)
        self.routers = topology.routers(cluster, findings)
        hosts.check(self.instances, self.routers, cluster, findings, rdma=looked.wanted(cluster.variables, self.engine))
        findings.stop()
        self.ranks: list[Rank] = []
        self.told: dict[str, list[looked.Told]] = defaultdict(list)

    def _instance(self, maker: Ranks, instance: Instance) -> dict[str, Any]:
        folder = maker.folder(instance)
        rows = []
        for number in range(instance.nodes):
            rank, row = maker.make(instance, number, folder)
            self.ranks.append(rank)
            if rank.told is not None:
                self.told[rank.host].append(rank.told)
            rows.append(row)
        identity = digest([self.engine.name, [[row["host"], row["argv"], row["arguments"], row["environment"],
                                               [[file["path"], file["sha256"]] for file in row["files"]]] for row in rows]])
        for row in rows:
            row["instance_digest"] = identity
        sizes = instance.sizes
        return {
            "name": instance.name,
            "cluster": self.name,
            "pool": instance.pool,
            "mode": instance.mode,
            **asdict(sizes),
            "nodes": instance.nodes,
            "unit": f"sglang-{instance.name}.service",
            "url": addresses.url(hosts.reached(self.cluster, instance.head), instance.port),
            "digest": identity,
            "ranks": rows,
        }

    def _router(self, host: str) -> dict[str, Any]:
        cluster, stack = self.cluster, self.router_stack
        root, address = cluster.variables["sglang_root"], hosts.management(cluster, host)
        folder = files.merge([("sglang_router.files", cluster.router["files"])], "router", self.read, self.findings)
        table = flags.load(stack.flags)
        given = arguments.router_operator(table, cluster.router["args"], folder, self.findings)
        workers = router.workers(cluster, self.instances)
        line, reasons = router.command(cluster, host, given, workers, table)
        env: dict[str, Any] = {name: value for name, (value, _why) in environment.common(stack.name, root).items()}
        for name, row in environment.operator([("sglang_router.env", cluster.router["env"])], self.findings).items():
            env[name] = folder.resolve(row.value, row.variable, self.findings)
        env = {name: str(value) for name, value in env.items() if value is not None}
        return {
            "host": host,
            "cluster": self.name,
            "address": address,
            "unit": "sglang-router.service",
            "stack": stack.name,
            "python": f"{root}/{stack.name}/bin/python",
            "stack_link": f"{root}/{stack.name}",
            "argv": ["-m", stack.module, *line],
            "environment": env,
            "directory": files.directory("router"),
            "environment_file": files.directory("router") + "/environment",
            "files": folder.rows,
            "reasons": reasons,
            "url": addresses.url(address, cluster.router["port"]),
            "model": cluster.model["name"],
            "workers": workers,
            "ports": [
                ports.port(cluster.router["port"], address, "router API", "sglang_router.port"),
                ports.port(cluster.router["metrics_port"], address, "router metrics", "sglang_router.metrics_port"),
            ],
            "digest": digest([stack.name, line, env, [[row["path"], row["sha256"]] for row in folder.rows]]),
        }

    def _host(self, host: str, ranks: list[dict[str, Any]], routers: list[dict[str, Any]]) -> dict[str, Any]:
        parts = [*ranks, *routers]
        rows = [row for part in parts for row in part["ports"]]
        ports.check(host, rows, self.findings)
        return {
            "name": host,
            "cluster": self.name,
            "fabric_address": hosts.fabric(self.cluster, host),
            "addresses": hosts.own(self.cluster, self.instances, host) if ranks else {},
            "fabric_interface": self.cluster.hosts[host]["sglang_fabric_interface"],
            "stacks": sorted({part["stack"] for part in parts}),
            "rdma": self._rdma(host) if ranks else None,
            "cuda": kernels.cuda_part(self.cluster, host, self.engine, ranks) if ranks else None,
            "deepep": kernels.deepep_part(self.cluster, self.engine, ranks),
            "root": self.cluster.variables["sglang_root"],
            "store_stacks": sorted({self.engine.name, self.router_stack.name}),
            "model": self._model() if ranks else None,
            "ranks": ranks,
            "router": routers[0] if routers else None,
            "units": sorted(part["unit"] for part in parts),
            "ports": rows,
        }

    def _rdma(self, host: str) -> dict[str, Any] | None:
        return looked.part(self.cluster, self.engine, host, self.told[host])

    def _model(self) -> dict[str, Any]:
        return {name: value for name, value in self.cluster.model.items() if name != "config"}

    def plan(self) -> dict[str, Any]:
        """Return the plan of this cluster, or raise PlanError with everything that is wrong."""
        maker = Ranks(self.cluster, self.engine, self.instances, self.read, self.findings)
        built = [self._instance(maker, instance) for instance in self.instances]
        routers = [self._router(host) for host in self.routers]
        on_host: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for instance in built:
            for rank in instance["ranks"]:
                on_host[rank["host"]].append(rank)
        routers_on: dict[str, list[dict[str, Any]]] = {row["host"]: [row] for row in routers}
        names = dict.fromkeys([*on_host, *self.routers])
        rows = {host: self._host(host, on_host.get(host, []), routers_on.get(host, [])) for host in names}
        planned = contract.Contract(self.cluster, self.engine, maker.table, self.instances, self.ranks, routers, self.read)
        contract.check(planned, self.findings)
        known = model.load(planned)
        for rank, row in zip(self.ranks, (row for instance in built for row in instance["ranks"])):
            row["caches"] = kernelcache.caches(planned, rank, known, row["files"])
        part = {
            "cluster": {
                "name": self.name,
                "stacks": {"engine": self.engine.name, "router": self.router_stack.name},
                "device": self.engine.device,
                "unverified": self.engine.unverified,
                "model": self._model(),
                "pools": {name: [row["name"] for row in built if row["pool"] == name] for name in self.cluster.pools},
            },
            "instances": built,
            "routers": routers,
            "hosts": rows,
        }
        if self.findings:
            raise PlanError(self.findings.all(), part)
        partners.add(built, router.workers(self.cluster, self.instances))
        self._firewall(part)
        return part

    def _firewall(self, part: Mapping[str, Any]) -> None:
        """Give each host the flows that must reach it, which take a plan without faults."""
        given = {host: hosts.management(self.cluster, host) for host in part["hosts"]}
        reached = {host: address if addresses.parse(address) is not None else "" for host, address in given.items()}
        ssh = {host: self.cluster.hosts[host]["ansible_port"] for host in part["hosts"]}
        hostflows.add(part, reached, ssh, self.cluster.variables["sglang_fabric_network"])


def _add(plan: dict[str, Any], part: Mapping[str, Any]) -> None:
    plan["clusters"].append(part["cluster"])
    plan["instances"] += part["instances"]
    plan["routers"] += part["routers"]
    plan["hosts"] |= part["hosts"]


def build(
    groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, Any]], read: Callable[[str], bytes] = _read,
    facts: Mapping[str, Any] | None = None, lenient: Collection[str] = (),
) -> dict[str, Any]:
    """Compute the plan of an inventory, which may hold several clusters (hosts with different C(sglang_cluster)).

    :param groups: group name to host names, in inventory order.
    :param hostvars: host name to its variables.
    :param read: returns the bytes of a file on the controller.
    :param facts: what C(rdma_facts) found on the hosts that were looked at, by host.
    :param lenient: rules whose violation is a warning in this run.
    :raises PlanError: with every rule that the inventory violates.
    """
    plan: dict[str, Any] = {"schema": SCHEMA, "clusters": [], "instances": [], "routers": [], "hosts": {}, "findings": []}
    wrong: list[Finding] = []
    found: list[Finding] = []
    members = inputs.clusters(groups, hostvars)
    known = {host for own in members.values() for host in own}
    owners = uniqueness.Owners()
    for name, own in members.items():
        findings = Findings(waivers.read(hostvars[own[0]].get("sglang_waive")), lenient)
        try:
            waivers.check(hostvars[own[0]].get("sglang_waive"), findings)
            cluster = inputs.read(own, groups, hostvars, findings)
            topology.check_foreign(cluster, known, findings)
            owners.check(cluster, findings)
            part = _Planner(cluster, read, facts or {}, findings).plan()
        except PlanError as error:
            wrong += [replace(finding, cluster=name) for finding in findings.all()]
            if error.draft is not None:
                _add(plan, error.draft)
            continue
        found += [replace(finding, cluster=name) for finding in findings.all()]
        _add(plan, part)
    if wrong:
        raise PlanError([*wrong, *found], plan if plan["instances"] else None)
    plan["findings"] = [asdict(finding) for finding in found]
    return plan
