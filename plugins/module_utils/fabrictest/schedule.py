# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole test as data: measurements, rounds, each host's part, what it takes and what is left out. On the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import groups, rounds
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.measure import offsets
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.perftest import BANDWIDTH
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rails import Rails, match
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rounds import Link

# Rounds take turns with their TCP ports, so that a late server of one is not met by a client of the next.
TURNS = 8
KINDS = {"same": "within rails", "cross": "across rails", "loopback": "loopback", "allreduce": "all-reduce"}


@dataclass
class Options:
    """What is measured and how; times in seconds, sizes in bytes."""

    tests: Sequence[str] = ("write_bw", "write_lat")
    both_directions: bool = True
    cross_rails: str = "sample"
    ports_at_once: int = 0
    bandwidth_size: int = 1 << 20
    bandwidth_seconds: int = 2
    bandwidth_iterations: int = 0
    latency_size: int = 8
    latency_iterations: int = 1000
    queue_pairs: int = 4
    traffic_class: int | None = None
    tcp_port: int = 18515
    test_seconds: int = 15
    cross_seconds: int = 10
    connect_seconds: int = 10
    overhead_seconds: float = 2
    max_seconds: int = 900
    trim: bool = False
    pairs: bool = True
    allreduce: groups.Options = field(default_factory=groups.Options)


@dataclass
class Schedule:
    """What will be measured.

    :ivar rounds: kind, test, seconds, connect and the identifiers of their measurements.
    :ivar measurements: by identifier.
    :ivar parts: the tests of each host, for the module.
    :ivar left_out: measurements that were wanted and are not made, each with the reason.
    """

    rails: Rails
    rounds: list[dict[str, Any]] = field(default_factory=list)
    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bound(self) -> int:
        """Seconds that it can take at most, where peers die in the middle."""
        return offsets(self.rounds)[-1]

    @property
    def estimate(self) -> float:
        """Seconds that it takes where all is well."""
        return sum(row["typical"] for row in self.rounds)


def _end(link: Link, first: bool, rails: Rails) -> dict[str, Any]:
    host, rail = (link.a, link.rail_a) if first else (link.b, link.rail_b)
    row = rails.rails[rail][host]
    return {"host": host, "rail": rail, **{key: row[key] for key in ("device", "port", "netdev", "gid_index", "rate", "rate_true")}}


def _directions(kind: str, test: str, options: Options) -> list[bool]:
    """Return the directions of a test, the first of the two hosts being the client or not."""
    both = kind == "same" and test in BANDWIDTH and options.both_directions
    return [True, False] if both else [True]


def _tests(kind: str, options: Options) -> Sequence[str]:
    """Return the tests of a way: across rails one tells whether there is a way, and how wide it is."""
    wide = [test for test in options.tests if test in BANDWIDTH] or list(options.tests)
    return wide[:1] if kind == "cross" else options.tests


def _pair_rounds(rails: Rails, hosts: Sequence[str], options: Options) -> list[tuple[str, str, bool, list[Link]]]:
    members = [list(row) for row in rails.rails]
    own = {"same": rounds.same_rail(members, hosts), "cross": rounds.cross_rail(members, hosts, options.cross_rails)}
    if len(hosts) == 1:
        own = {"loopback": rounds.loopback(members, hosts)}
    return [
        (kind, test, forth, links)
        for kind, found in own.items()
        for links in rounds.at_once(found, options.ports_at_once)
        for test in _tests(kind, options)
        for forth in _directions(kind, test, options)
    ]


def _typical(test: str, options: Options) -> float:
    timed = test in BANDWIDTH and not options.bandwidth_iterations
    return (options.bandwidth_seconds if timed else 1) + options.overhead_seconds


def _entry(test: str, options: Options, tcp_port: int) -> dict[str, Any]:
    """Return what both ends of a measurement are told alike."""
    wide = test in BANDWIDTH
    return {
        "kind": test,
        "size": options.bandwidth_size if wide else options.latency_size,
        "iterations": options.bandwidth_iterations if wide else options.latency_iterations,
        "seconds": options.bandwidth_seconds,
        "queue_pairs": options.queue_pairs,
        "traffic_class": options.traffic_class,
        "tcp_port": tcp_port,
    }


def _add_pairs(found: Schedule, hosts: Sequence[str], addresses: Mapping[str, str], options: Options) -> None:
    width = max(1, len(found.rails.rails))
    for kind, test, forth, links in _pair_rounds(found.rails, hosts, options):
        number = len(found.rounds)
        names = []
        for link in links:
            name = f"m{len(found.measurements)}"
            ends = {"client": _end(link, forth, found.rails), "server": _end(link, not forth, found.rails)}
            found.measurements[name] = {"id": name, "kind": kind, "test": test, "round": number, **ends}
            names.append(name)
            common = _entry(test, options, options.tcp_port + number % TURNS * width + ends["server"]["rail"])
            for role, end in ends.items():
                peer = addresses[ends["server"]["host"]]
                own = {key: end[key] for key in ("device", "port", "netdev", "gid_index")}
                found.parts.setdefault(end["host"], []).append(
                    {"id": name, "round": number, "role": role, "peer": peer, **own, **common}
                )
        found.rounds.append({
            "kind": kind, "test": test, "ids": names, "connect": options.connect_seconds,
            "seconds": options.cross_seconds if kind == "cross" else options.test_seconds, "typical": _typical(test, options),
        })


def _drop(found: Schedule, number: int, why: str) -> None:
    """Take the last round out of the schedule."""
    row = found.rounds.pop(number)
    for name in row["ids"]:
        gone = found.measurements.pop(name)
        found.left_out.append({**gone, "why": why})
    for host, tests in found.parts.items():
        kept = [test for test in tests if test["round"] != number]
        found.parts[host] = [{**test, "round": test["round"] - (test["round"] > number)} for test in kept]
    for gone in found.measurements.values():
        gone["round"] -= gone["round"] > number


def _trim(found: Schedule, options: Options) -> None:
    """Leave out rounds until the estimate fits: across rails first, then from the end; all-reduces stay."""
    why = f"left out: fabric_max_seconds is {options.max_seconds}"
    while found.estimate > options.max_seconds:
        numbers = [
            [number for number, row in enumerate(found.rounds) if row["kind"] == kind] for kind in ("cross", "same", "loopback")
        ]
        last = next((rows[-1] for rows in numbers if rows), None)
        if last is None:
            return
        _drop(found, last, why)


def make(
    hosts: Mapping[str, Mapping[str, Any]], instances: Sequence[Mapping[str, Any]], options: Options,
) -> Schedule:
    """Return the schedule.

    :param hosts: of each host: C(address) that others reach it by, C(ports), C(left_out).
    :param instances: those of the plan.
    """
    rails = match({host: row["ports"] for host, row in hosts.items()}, {host: row["left_out"] for host, row in hosts.items()})
    found = Schedule(rails, parts={host: [] for host in hosts})
    if options.pairs:
        members = [host for host in hosts if hosts[host]["ports"]]
        _add_pairs(found, members, {host: row["address"] for host, row in hosts.items()}, options)
        found.notes += [f"{host} has no data port: no pair with it is measured" for host in hosts if host not in members and members]
        if not members:
            found.notes.append("no host has a data port: no pair of ports is measured")
    else:
        found.rails.missing = []
    groups.add(found, instances, list(hosts), options.allreduce)
    if options.trim:
        _trim(found, options)
    return found
