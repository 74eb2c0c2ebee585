# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rank of an instance: its command line, environment, files and ports, each value with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import (
    addresses,
    arguments,
    derived,
    environment,
    files,
    flags,
    hosts,
    kernels,
    looked,
    parallel,
    ports,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.arguments import Given
from ansible_collections.railyard.sglang.plugins.module_utils.launch.environment import TRANSPORTS
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack


@dataclass(frozen=True)
class Rank:
    """What a rank will run, for the contract.

    :ivar arguments: effective values by dest, without the parser's defaults.
    :ivar written: the variable that holds an argument (by dest) or an environment variable (by name) that the operator wrote.
    :ivar told: what a look at the host has shown; None where nobody has looked.
    """

    instance: Instance
    number: int
    host: str
    arguments: dict[str, Any]
    environment: dict[str, str]
    written: dict[str, str]
    told: looked.Told | None = None


class Ranks:
    """Makes the ranks of a cluster."""

    def __init__(
        self, cluster: Cluster, stack: EngineStack, instances: list[Instance], read: Callable[[str], bytes], findings: Findings,
    ) -> None:
        self.cluster = cluster
        self.stack = stack
        self.instances = instances
        self.read = read
        self.findings = findings
        self.table = flags.load(stack.flags)
        self.root = cluster.variables["sglang_root"]

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

    def folder(self, instance: Instance) -> files.Folder:
        """Return the files of an instance."""
        return files.merge(self._layers("files", instance), instance.name, self.read, self.findings)

    def _told(self, instance: Instance, host: str, env: dict[str, Given]) -> looked.Told | None:
        """Return what the rank is told of the data devices of its host."""
        if host not in self.cluster.looks:
            return None
        given = arguments.operator(self.table, self._layers("args", instance, host), Findings())
        exchange = given["moe_a2a_backend"].value if "moe_a2a_backend" in given else self.stack.arguments.get("moe_a2a_backend")
        written = {name: None if row.value is None else str(row.value) for name, row in env.items()}
        return looked.tell(self.cluster, self.stack, instance, host, deepep=str(exchange).startswith("deepep"), written=written)

    def _arguments(
        self, instance: Instance, rank: int, folder: files.Folder, told: looked.Told | None,
    ) -> tuple[dict[str, Any], dict[str, str], dict[str, Given]]:
        """Return values and reasons by dest, and what the operator wrote."""
        found = derived.engine(instance, rank, self.cluster)
        if self.stack.version == "0.5.8":
            found |= derived.decode_tp(instance, self.instances)
        found |= derived.fabric(instance, rank, self.cluster, self.stack, told)
        plan = arguments.by_dest(self.table, derived.version(self.table, found))
        given = arguments.operator(self.table, self._layers("args", instance, instance.hosts[rank]), self.findings)
        stack = arguments.by_dest(self.table, {dest.replace("_", "-"): value for dest, value in self.stack.arguments.items()})
        values = {**stack, **{dest: value for dest, (value, _why) in plan.items()}, **{dest: row.value for dest, row in given.items()}}
        resolved = {
            dest: folder.resolve(value, f"argument {dest.replace('_', '-')} of {instance.name}", self.findings)
            for dest, value in values.items()
        }
        reasons = dict.fromkeys(stack, f"stack {self.stack.name}") | {dest: why for dest, (_value, why) in plan.items()}
        return resolved, reasons | {dest: f"written in {row.variable}" for dest, row in given.items()}, given

    def _environment(
        self, instance: Instance, rank: int, folder: files.Folder, given: dict[str, Given], told: looked.Told | None, *, deepep: bool,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return values and reasons by name."""
        values: dict[str, tuple[str | None, str]] = {
            **environment.engine(instance, rank, self.stack, self.cluster, told),
            **kernels.environment(self.cluster, instance.hosts[rank], self.stack, deepep),
        }
        for name, row in given.items():
            resolved = folder.resolve(row.value, f"environment {name} of {instance.name}", self.findings)
            values[name] = (None if resolved is None else str(resolved), f"written in {row.variable}")
        if "MC_FORCE_HCA" not in given and any(name in given and given[name].value is not None for name in TRANSPORTS):
            # It would win over the operator's choice of a transport.
            values.pop("MC_FORCE_HCA", None)
        kept = {name: (value, why) for name, (value, why) in sorted(values.items()) if value is not None}
        return {name: value for name, (value, _why) in kept.items()}, {name: why for name, (_value, why) in kept.items()}

    def make(self, instance: Instance, rank: int, folder: files.Folder) -> tuple[Rank, dict[str, Any]]:
        """Return a rank for the contract and for the plan."""
        host, directory = instance.hosts[rank], files.directory(instance.name)
        env_given = environment.operator(self._layers("env", instance, host), self.findings)
        told = self._told(instance, host, env_given)
        values, reasons, given = self._arguments(instance, rank, folder, told)
        deepep = kernels.exchanged(self.stack, values)
        env, env_reasons = self._environment(instance, rank, folder, env_given, told, deepep=deepep)
        line, in_file = arguments.split(self.table, values, self.stack.argument_file)
        options = {dest: "--" + self.table.options[dest].name for dest in values}
        named = {options[dest] for dest in given} | set(env_given)
        built = kernels.path(self.cluster, self.stack) if deepep else ""
        config = ["--config", f"{directory}/arguments.yaml"] if self.stack.argument_file else []
        row = {
            "instance": instance.name,
            "pool": instance.pool,
            "mode": instance.mode,
            "rank": rank,
            "nodes": instance.nodes,
            "host": host,
            "address": hosts.bind(self.cluster, host),
            "unit": f"sglang-{instance.name}.service",
            "stack": self.stack.name,
            "device": self.stack.device,
            "python": f"{self.root}/{self.stack.name}/bin/python",
            "stack_link": f"{self.root}/{self.stack.name}",
            "deepep": deepep,
            "links": [f"{self.root}/{self.stack.name}", *([built] if built else [])],
            "directory": directory,
            "argument_file": f"{directory}/arguments.yaml",
            "environment_file": f"{directory}/environment",
            "argv": ["-m", "sglang.launch_server", *config, *line],
            "arguments": in_file,
            "environment": env,
            "files": folder.rows,
            "gpus": list(range(instance.gpu[rank], instance.gpu[rank] + instance.gpus_per_host)),
            "reasons": {options[dest]: why for dest, why in reasons.items()} | env_reasons,
            "unknown": self._unknown(host, named | set(env), told),
            "ports": ports.rank(instance, rank, self.cluster, self.stack),
            "health_url": addresses.url(hosts.reached(self.cluster, host), instance.port) + "/health",
            "registration": self._registration(instance, rank),
            "meeting": self._meeting(instance, rank),
        }
        written = {dest: given_row.variable for dest, given_row in {**given, **env_given}.items()}
        return Rank(instance, rank, host, values, env, written, told), row

    def _unknown(self, host: str, named: set[str], told: looked.Told | None) -> list[dict[str, str]]:
        uses = looked.wanted(self.cluster.variables, self.stack)
        return environment.unknown(self.cluster.hosts[host], self.stack, named, told) if uses else []

    def _registration(self, instance: Instance, rank: int) -> dict[str, Any] | None:
        """Where this host's prefill ranks must be registered, as what, and with which address."""
        if instance.mode != "prefill":
            return None
        return {
            "url": addresses.url(hosts.reached(self.cluster, instance.head), instance.bootstrap_port),
            "address": hosts.kv(self.cluster, instance.hosts[rank]),
            "engine_ranks": parallel.engine_ranks(instance, rank),
        }

    def _meeting(self, instance: Instance, rank: int) -> dict[str, Any] | None:
        """Where the ranks of an instance of several hosts meet, and by which addresses this one is connected with others there."""
        if instance.nodes == 1:
            return None
        peers = []
        for other in range(1, instance.nodes) if rank == 0 else [0]:
            host = instance.hosts[other]
            known = [kind(self.cluster, host) for kind in (hosts.dist_init, hosts.reached, hosts.fabric, hosts.kv, hosts.management)]
            own = dict.fromkeys(addresses.canonical(row) for row in known if addresses.parse(row))
            peers += [{"rank": other, "host": host, "address": address} for address in own]
        return {"port": instance.dist_init_port, "peers": peers}
