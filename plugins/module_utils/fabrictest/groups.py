# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranks reduce together: those of one host, and those of a whole instance. On the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import Schedule

BACKENDS = {"cuda": "nccl", "rocm": "nccl", "cpu": "gloo"}
MIB = 1 << 20


@dataclass
class Options:
    """How all-reduces are measured; times in seconds."""

    wanted: bool = True
    sizes: Sequence[int] = (8, 64, 256, 1024)
    iterations: int = 20
    seconds: int = 120
    connect_seconds: int = 60
    typical_seconds: float = 20
    port: int = 18700


@dataclass(frozen=True)
class Group:
    """Ranks that reduce together: of each host its place in the plan."""

    scope: str
    instance: str
    ranks: tuple[Mapping[str, Any], ...]

    @property
    def hosts(self) -> list[str]:
        """The hosts, that of rank 0 first."""
        return [rank["host"] for rank in self.ranks]


def processes(rank: Mapping[str, Any]) -> list[int]:
    """Return the GPU of each process that the rank starts, its place where there is none."""
    return list(rank["gpus"]) or [0]


def _found(instances: Iterable[Mapping[str, Any]], hosts: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Return groups of the hosts that take part, and what is said of the others."""
    groups, notes = [], []
    for instance in instances:
        name, ranks = instance["name"], tuple(instance["ranks"])
        if ranks[0]["device"] not in BACKENDS:
            notes.append(f"{name}: no all-reduce, since this version knows none for {ranks[0]['device']}")
            continue
        absent = [rank["host"] for rank in ranks if rank["host"] not in hosts]
        groups += [Group("host", name, (rank,)) for rank in ranks if rank["host"] in hosts and len(processes(rank)) > 1]
        if absent:
            notes.append(f"{name}: no all-reduce over its hosts, since {', '.join(absent)} take no part in this run")
        elif len(ranks) > 1:
            groups.append(Group("instance", name, ranks))
        elif len(processes(ranks[0])) < 2:
            notes.append(f"{name}: no all-reduce, since it has one process only")
    return groups, notes


def _apart(groups: Iterable[Group]) -> list[list[Group]]:
    """Return groups in rounds in which no host is twice; those within hosts come first."""
    rounds: list[list[Group]] = []
    for group in groups:
        for row in rounds:
            same = row[0].scope == group.scope
            if same and not {host for other in row for host in other.hosts} & set(group.hosts):
                row.append(group)
                break
        else:
            rounds.append([group])
    return sorted(rounds, key=lambda row: row[0].scope != "host")


def _address(rank: Mapping[str, Any]) -> str:
    return str(rank["environment"].get("SGLANG_HOST_IP") or rank["address"])


def add(found: Schedule, instances: Sequence[Mapping[str, Any]], hosts: Sequence[str], options: Options) -> None:
    """Add all-reduces to a schedule."""
    if not options.wanted:
        return
    groups, notes = _found(instances, hosts)
    found.notes += notes
    for row in _apart(groups):
        number, names = len(found.rounds), []
        for group in row:
            name = f"a{sum(one['kind'] == 'allreduce' for one in found.measurements.values())}"
            counts = [len(processes(rank)) for rank in group.ranks]
            where = [host for host, count in zip(group.hosts, counts) for _process in range(count)]
            found.measurements[name] = {
                "id": name, "kind": "allreduce", "test": BACKENDS[group.ranks[0]["device"]], "round": number, "scope": group.scope,
                "instance": group.instance, "hosts": group.hosts, "where": where, "address": _address(group.ranks[0]),
            }
            names.append(name)
            first = 0
            for rank, count in zip(group.ranks, counts):
                order = {
                    "backend": BACKENDS[rank["device"]], "address": _address(group.ranks[0]), "port": options.port + number % 8,
                    "world": sum(counts), "iterations": options.iterations, "sizes": [int(size * MIB) for size in options.sizes],
                    "ranks": [{"rank": first + place, "gpu": gpu} for place, gpu in enumerate(processes(rank))],
                }
                first += count
                found.parts.setdefault(rank["host"], []).append({
                    "id": name, "round": number, "role": "member", "kind": "allreduce", "order": order, "python": rank["python"],
                    "environment": dict(rank["environment"]),
                })
        found.rounds.append({
            "kind": "allreduce", "test": row[0].scope, "ids": names, "seconds": options.seconds, "connect": options.connect_seconds,
            "typical": options.typical_seconds,
        })
