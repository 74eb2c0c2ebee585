# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole test as data: measurements, rounds, each host's part, what it takes and what is left out. On the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import groups, rounds
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.measure import offsets
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.perftest import BANDWIDTH
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rails import Rails, clusters, of_clusters
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rounds import Link
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.trimming import trim

# Rounds take turns with their TCP ports, so that a late server of one is not met by a client of the next.
TURNS = 8
# What a bandwidth test takes beyond the seconds that it sends.
SPARE_SECONDS = 3
END = ("device", "port", "netdev", "gid_index", "rate", "rate_true", "speed", "link_layer")
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
    return {"host": host, "rail": rail, **{key: row[key] for key in END}}


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


def _sends(kind: str, options: Options) -> int:
    """Return the seconds that a bandwidth test sends: across rails no more than it is allowed to take."""
    return min(options.bandwidth_seconds, options.cross_seconds - SPARE_SECONDS) if kind == "cross" else options.bandwidth_seconds


def _typical(kind: str, test: str, options: Options) -> float:
    timed = test in BANDWIDTH and not options.bandwidth_iterations
    return (_sends(kind, options) if timed else 1) + options.overhead_seconds


def _entry(kind: str, test: str, options: Options, tcp_port: int) -> dict[str, Any]:
    """Return what both ends of a measurement are told alike."""
    wide = test in BANDWIDTH
    return {
        "kind": test,
        "size": options.bandwidth_size if wide else options.latency_size,
        "iterations": options.bandwidth_iterations if wide else options.latency_iterations,
        "seconds": _sends(kind, options),
        "queue_pairs": options.queue_pairs,
        "tcp_port": tcp_port,
    }


def _side_by_side(rails: Rails, members: Iterable[Sequence[str]], options: Options) -> list[tuple[str, str, bool, list[Link]]]:
    """Return rounds of all clusters: they share no host, so that their rounds of one kind, which have the same tests, go together."""
    every = [_pair_rounds(rails, hosts, options) for hosts in members]
    found = []
    for kind in KINDS:
        for together in zip_longest(*([row for row in own if row[0] == kind] for own in every)):
            rows = [row for row in together if row is not None]
            found.append((*rows[0][:3], [link for row in rows for link in row[3]]))
    return found


def _add_pairs(found: Schedule, hosts: Mapping[str, Mapping[str, Any]], options: Options) -> None:
    width = max(1, len(found.rails.rails))
    members = clusters({host: row for host, row in hosts.items() if row["ports"]})
    for kind, test, forth, links in _side_by_side(found.rails, members, options):
        number = len(found.rounds)
        names = []
        for link in links:
            name = f"m{len(found.measurements)}"
            ends = {"client": _end(link, forth, found.rails), "server": _end(link, not forth, found.rails)}
            cluster = hosts[link.a]["cluster"]
            found.measurements[name] = {"id": name, "kind": kind, "test": test, "round": number, "cluster": cluster, **ends}
            names.append(name)
            common = _entry(kind, test, options, options.tcp_port + number % TURNS * width + ends["server"]["rail"])
            for role, end in ends.items():
                peer = hosts[ends["server"]["host"]]["address"]
                own = {key: end[key] for key in ("device", "port", "netdev", "gid_index")}
                own["traffic_class"] = hosts[end["host"]]["traffic_class"]
                found.parts.setdefault(end["host"], []).append(
                    {"id": name, "round": number, "role": role, "peer": peer, **own, **common}
                )
        found.rounds.append({
            "kind": kind, "test": test, "ids": names, "connect": options.connect_seconds,
            "seconds": options.cross_seconds if kind == "cross" else options.test_seconds, "typical": _typical(kind, test, options),
        })


def _unmeasured(found: Schedule, hosts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each host of a cluster with RDMA of which nothing is measured, where no missing port says so already."""
    seen = {row[role]["host"] for row in found.measurements.values() if row["kind"] != "allreduce" for role in ("client", "server")}
    seen |= {row["host"] for row in found.rails.missing}
    why = found.left_out[0]["why"] if found.left_out else "its ports meet no other host's"
    silent = [host for members in clusters(hosts) if not seen & set(members) for host in members]
    return [{"rail": None, "host": host, "port": "", "why": why} for host in silent if hosts[host]["rdma"]]


def make(
    hosts: Mapping[str, Mapping[str, Any]], instances: Sequence[Mapping[str, Any]], options: Options,
) -> Schedule:
    """Return the schedule. Hosts of different clusters are not paired with each other.

    :param hosts: of each host what C(rails.summary) returns.
    :param instances: those of the plan.
    """
    found = Schedule(of_clusters(hosts) if options.pairs else Rails(), parts={host: [] for host in hosts})
    if options.pairs:
        members = [host for host in hosts if hosts[host]["ports"]]
        _add_pairs(found, hosts, options)
        found.notes += [f"{host} has no data port: no pair with it is measured" for host in hosts if host not in members and members]
        if not members:
            found.notes.append("no host has a data port: no pair of ports is measured")
    groups.add(found, instances, list(hosts), options.allreduce)
    if options.trim:
        trim(found, options)
    if options.pairs:
        found.rails.missing += _unmeasured(found, hosts)
    return found
