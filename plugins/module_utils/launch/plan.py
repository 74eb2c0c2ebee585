# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: one versioned, JSON-serialisable structure computed from the inventory, checked before a host changes."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import (
    addresses,
    arguments,
    environment,
    files,
    flags,
    inputs,
    ports,
    stacks,
    topology,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.topology import Instance

SCHEMA = 1
# ProtectHome= and PrivateTmp= of the units hide these.
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")


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
    """Holds what every rank needs while the plan is being built."""

    def __init__(self, cluster: Cluster, read: Callable[[str], bytes], findings: Findings) -> None:
        self.cluster = cluster
        self.root = cluster.variables["sglang_root"]
        self.read = read
        self.findings = findings
        self.engine = _stack(stacks.ENGINES, cluster.variables["sglang_stack"], "sglang_stack", findings)
        self.router_stack = _stack(stacks.ROUTERS, cluster.variables["sglang_router_stack"], "sglang_router_stack", findings)
        findings.stop()
        self.table = flags.load(self.engine.flags)
        self.instances = topology.instances(cluster, findings)
        self.routers = topology.routers(cluster, findings)
        self._check_model()
        findings.stop()

    def _check_model(self) -> None:
        path = self.cluster.model["path"]
        if path.startswith(HIDDEN):
            self.findings.add(
                "model.path",
                "sglang_model.path",
                f"{path} is not visible to the units, which see no home directories and a /tmp of their own",
                "put the model elsewhere, for example below /opt/models",
            )

    def _layers(self, kind: str, instance: Instance, host: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        pool, own = instance.launch[kind]
        layers = [
            (f"sglang_{kind}", self.cluster.variables[f"sglang_{kind}"]),
            (f"sglang_pools.{instance.pool}.{kind}", pool),
            (f"{instance.variable}.{kind}", own),
        ]
        if host is not None:
            layers.append((f"sglang_host_{kind}", self.cluster.hosts[host][f"sglang_host_{kind}"]))
        return [(variable, given) for variable, given in layers if given]

    def _files(self, instance: Instance) -> files.Folder:
        return files.merge(self._layers("files", instance), instance.name, self.read, self.findings)

    def _rank(self, instance: Instance, rank: int, folder: files.Folder) -> dict[str, Any]:
        host = instance.hosts[rank]
        cluster, findings = self.cluster, self.findings
        derived = arguments.derived(instance, rank, cluster) | arguments.decode_tp(instance, self.instances)
        given = arguments.operator(self.table, self._layers("args", instance, host), findings)
        values = {**self.engine.arguments, **{dest: value for dest, (value, _why) in derived.items()}, **given}
        values = {
            dest: folder.resolve(value, f"argument {dest.replace('_', '-')} of {instance.name}", findings)
            for dest, value in values.items()
        }
        line, in_file = arguments.split(self.table, values)
        why = {"--" + self.table.options[dest].name: reason for dest, (_value, reason) in derived.items() if dest not in given}
        why |= {"--" + self.table.options[dest].name: f"stack {self.engine.name}" for dest in self.engine.arguments if dest not in given}
        why |= {"--" + self.table.options[dest].name: "written in the inventory" for dest in given}

        env: dict[str, tuple[str | None, str]] = {**environment.engine(instance, host, self.engine, cluster)}
        for name, value in environment.operator(self._layers("env", instance, host), findings).items():
            resolved = folder.resolve(value, f"environment {name} of {instance.name}", findings)
            env[name] = (None if resolved is None else str(resolved), "written in the inventory")
        directory = files.directory(instance.name)
        return {
            "instance": instance.name,
            "pool": instance.pool,
            "rank": rank,
            "nodes": instance.nodes,
            "host": host,
            "address": cluster.hosts[host]["sglang_fabric_address"],
            "unit": f"sglang-{instance.name}.service",
            "stack": self.engine.name,
            "device": self.engine.device,
            "python": f"{self.root}/{self.engine.name}/bin/python",
            "stack_link": f"{self.root}/{self.engine.name}",
            "directory": directory,
            "argument_file": f"{directory}/arguments.yaml",
            "environment_file": f"{directory}/environment",
            "argv": ["-m", "sglang.launch_server", "--config", f"{directory}/arguments.yaml", *line],
            "arguments": in_file,
            "environment": {name: value for name, (value, _why) in sorted(env.items()) if value is not None},
            "files": folder.rows,
            "reasons": why | {name: reason for name, (value, reason) in env.items() if value is not None},
            "ports": self._rank_ports(instance, rank),
            "health_url": addresses.url(cluster.hosts[host]["sglang_fabric_address"], instance.port) + "/health",
            "registration": self._registration(instance, rank),
        }

    def _rank_ports(self, instance: Instance, rank: int) -> list[dict[str, Any]]:
        own = self.cluster.hosts[instance.hosts[rank]]["sglang_fabric_address"]
        pool = f"sglang_pools.{instance.pool}"
        rows = [ports.port(instance.port, own, "API" if rank == 0 else "rank health", instance.port_variable)]
        if rank == 0:
            if instance.pool == "prefill":
                rows.append(ports.port(instance.bootstrap_port, own, "KV bootstrap", pool + ".bootstrap_port"))
            where = own if instance.nodes > 1 else "127.0.0.1"
            rows.append(ports.port(instance.dist_init_port, where, "rendezvous", pool + ".dist_init_port"))
        return rows

    def _registration(self, instance: Instance, rank: int) -> dict[str, Any] | None:
        """Where this host's prefill ranks must be registered, and as which engine ranks (attention TP, DP 0, PP 0)."""
        if instance.pool != "prefill":
            return None
        head = self.cluster.hosts[instance.head]["sglang_fabric_address"]
        per_host = instance.tp // instance.nodes
        return {
            "url": addresses.url(head, instance.bootstrap_port),
            "engine_ranks": list(range(rank * per_host, (rank + 1) * per_host)),
        }

    def _instance(self, instance: Instance) -> dict[str, Any]:
        folder = self._files(instance)
        ranks = [self._rank(instance, rank, folder) for rank in range(instance.nodes)]
        identity = digest([self.engine.name, [[rank["host"], rank["argv"], rank["arguments"], rank["environment"],
                                               [[row["path"], row["sha256"]] for row in rank["files"]]] for rank in ranks]])
        for rank in ranks:
            rank["instance_digest"] = identity
        return {
            "name": instance.name,
            "pool": instance.pool,
            "tp": instance.tp,
            "nodes": instance.nodes,
            "unit": f"sglang-{instance.name}.service",
            "url": addresses.url(self.cluster.hosts[instance.head]["sglang_fabric_address"], instance.port),
            "digest": identity,
            "ranks": ranks,
        }

    def _router(self, host: str) -> dict[str, Any]:
        cluster = self.cluster
        address = topology.management_address(cluster, host)
        table = flags.load(self.router_stack.flags)
        folder = files.merge([("sglang_router.files", cluster.router["files"])], "router", self.read, self.findings)
        given = arguments.router_operator(table, cluster.router["args"], folder, self.findings)
        line, reasons = arguments.router(cluster, host, given, self.instances, table)
        common = {name: value for name, (value, _why) in environment.common(self.router_stack.name, self.root).items()}
        written = environment.operator([("sglang_router.env", cluster.router["env"])], self.findings)
        resolved = {name: folder.resolve(value, f"sglang_router.env.{name}", self.findings) for name, value in written.items()}
        env = {name: str(value) for name, value in {**common, **resolved}.items() if value is not None}
        return {
            "host": host,
            "address": address,
            "unit": "sglang-router.service",
            "stack": self.router_stack.name,
            "python": f"{self.root}/{self.router_stack.name}/bin/python",
            "stack_link": f"{self.root}/{self.router_stack.name}",
            "argv": ["-m", self.router_stack.module, *line],
            "environment": env,
            "directory": files.directory("router"),
            "environment_file": files.directory("router") + "/environment",
            "files": folder.rows,
            "reasons": reasons,
            "url": addresses.url(address, cluster.router["port"]),
            "model": cluster.model["name"],
            "workers": arguments.workers(cluster, self.instances),
            "ports": [
                ports.port(cluster.router["port"], address, "router API", "sglang_router.port"),
                ports.port(cluster.router["metrics_port"], address, "router metrics", "sglang_router.metrics_port"),
            ],
            "digest": digest([self.router_stack.name, line, env, [[row["path"], row["sha256"]] for row in folder.rows]]),
        }

    def _host(self, host: str, instances: list[dict[str, Any]], routers: list[dict[str, Any]]) -> dict[str, Any]:
        ranks = [rank for instance in instances for rank in instance["ranks"] if rank["host"] == host]
        router = next((router for router in routers if router["host"] == host), None)
        rows = [row for part in [*ranks, *([router] if router else [])] for row in part["ports"]]
        ports.check(host, rows, self.findings)
        return {
            "name": host,
            "cluster": self.cluster.variables["sglang_cluster"],
            "fabric_address": self.cluster.hosts[host]["sglang_fabric_address"],
            "fabric_interface": self.cluster.hosts[host]["sglang_fabric_interface"],
            "stacks": sorted({part["stack"] for part in [*ranks, *([router] if router else [])]}),
            "root": self.root,
            "store_stacks": sorted({self.engine.name, self.router_stack.name}),
            "model": dict(self.cluster.model) if ranks else None,
            "ranks": ranks,
            "router": router,
            "units": sorted(part["unit"] for part in [*ranks, *([router] if router else [])]),
            "ports": rows,
        }

    def plan(self) -> dict[str, Any]:
        """Return the whole plan, or raise PlanError with everything that is wrong."""
        built = [self._instance(instance) for instance in self.instances]
        routers = [self._router(host) for host in self.routers]
        names = [host for instance in self.instances for host in instance.hosts] + self.routers
        hosts = {host: self._host(host, built, routers) for host in dict.fromkeys(names)}
        self.findings.stop()
        return {
            "schema": SCHEMA,
            "cluster": self.cluster.variables["sglang_cluster"],
            "stacks": {"engine": self.engine.name, "router": self.router_stack.name},
            "model": dict(self.cluster.model),
            "pools": {name: [row["name"] for row in built if row["pool"] == name] for name in self.cluster.pools},
            "instances": built,
            "routers": routers,
            "hosts": hosts,
        }


def build(
    groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, Any]], read: Callable[[str], bytes] = _read,
) -> dict[str, Any]:
    """Compute the plan of an inventory.

    :param groups: group name to host names, in inventory order.
    :param hostvars: host name to its variables.
    :param read: returns the text of a file on the controller.
    :raises PlanError: with every rule that the inventory violates.
    """
    findings = Findings()
    return _Planner(inputs.read(groups, hostvars), read, findings).plan()
