# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports of the hosts form a rail. On the controller."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass
class Rails:
    """Rails over all hosts.

    :ivar rails: of each rail the port of every host that has one there.
    :ivar missing: places without a port: rail (None where no host has the port), host and why.
    """

    rails: list[dict[str, Row]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)


def chosen(facts: Mapping[str, Any], planned: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the selection of a host's ports: the plan's, or where it has none, that of the facts."""
    return planned if planned and planned.get("known") else facts.get("selection") or {}


def summary(row: Mapping[str, Any]) -> Row:
    """Return what a schedule must know of a host.

    :param row: C(address), C(cluster), C(traffic_class) (None, or below 0, for the port's default), C(facts) and C(planned).
    """
    facts, planned = row["facts"] or {}, row["planned"]
    source, value = chosen(facts, planned), row.get("traffic_class")
    return {
        "address": row["address"], "cluster": row["cluster"], "rdma": planned is not None,
        "traffic_class": None if value is None or int(value) < 0 else int(value),
        "ports": ports(facts, planned), "left_out": dict(source.get("left_out") or {}), "missing": list(source.get("missing") or []),
    }


def ports(facts: Mapping[str, Any], planned: Mapping[str, Any] | None) -> list[Row]:
    """Return the data ports of a host in order of rails, with rate in Gb/s, link layer and MTU as far as they are known.

    :param facts: what M(railyard.sglang.rdma_facts) returns.
    :param planned: key rdma of the host's slice of the plan.
    """
    known = {
        (device["name"], port.get("port", 1)): (device, port) for device in facts.get("devices") or [] for port in device.get("ports") or []
    }
    rows = []
    for row in chosen(facts, planned).get("rails") or []:
        device, port = known.get((row["device"], row["port"]), ({}, {}))
        rows.append({
            "device": row["device"],
            "port": row["port"],
            "netdev": row.get("netdev"),
            "gid_index": row.get("gid_index"),
            "addresses": [address for address in row.get("addresses") or [] if "/" in address],
            "gpus": row.get("gpus") or [],
            "rate": port.get("rate_gbps"),
            "speed": port.get("speed"),
            "rate_true": bool(port.get("rate_true", not device.get("virtual", False))),
            "link_layer": port.get("link_layer") or "",
            "active_mtu": port.get("active_mtu"),
        })
    return rows


def subnets(row: Mapping[str, Any]) -> set[str]:
    """Return the IPv4 networks of a port that other hosts can be in; a link of two ends is none."""
    found = (ipaddress.ip_interface(address) for address in row["addresses"])
    return {str(item.network) for item in found if item.version == 4 and item.network.prefixlen < 31 and not item.ip.is_link_local}


def _separate(rows: Sequence[Row]) -> bool:
    """Whether every port of a host has networks of its own."""
    every = [network for row in rows for network in subnets(row)]
    return bool(rows) and all(subnets(row) for row in rows) and len(every) == len(set(every))


def _in_step(hosts: Mapping[str, Sequence[Row]]) -> bool:
    """Whether the k-th port means the same rail on every host, as far as networks tell."""
    if len({len(rows) for rows in hosts.values()}) > 1:
        return False
    places: dict[str, int] = {}
    for rows in hosts.values():
        for index, row in enumerate(rows):
            if any(places.setdefault(network, index) != index for network in subnets(row)):
                return False
    # Hosts that share a network on one rail share one on all: else ports are lost on both sides.
    count = len(next(iter(hosts.values()), []))
    together = [{host: min(subnets(rows[index]), default="") for host, rows in hosts.items()} for index in range(count)]
    apart = [{frozenset(host for host in row if row[host] == row[other]) for other in row} for row in together]
    return all(row == apart[0] for row in apart)


def _place(rows: Sequence[Row], rails: list[dict[str, Row]]) -> list[int]:
    """Return the rail of each port of a host: by network, then by the device's name, then the first free one."""
    free = list(range(len(rails)))
    found: dict[int, int] = {}

    def take(same: Callable[[Row, Row], bool]) -> None:
        for index, row in enumerate(rows):
            if index not in found:
                rail = next((rail for rail in free if any(same(row, other) for other in rails[rail].values())), None)
                if rail is not None:
                    found[index] = rail
                    free.remove(rail)

    if _separate(rows):
        take(lambda row, other: bool(subnets(row) & subnets(other)))
    if found:
        # Networks tell rails apart: a port in another one than all others is on a rail of its own.
        free.clear()
    take(lambda row, other: row["device"] == other["device"] and row["port"] == other["port"])
    for index in range(len(rows)):
        if index not in found:
            if not free:
                rails.append({})
                free.append(len(rails) - 1)
            found[index] = free.pop(0)
    return [found[index] for index in range(len(rows))]


def _why(rail: Mapping[str, Row], left_out: Mapping[str, str]) -> str:
    """Return why a host has no port on a rail, from the ports that it leaves out."""
    names = {f"{row['device']}:{row['port']}" for row in rail.values()}
    down = {key: why for key, why in left_out.items() if "not ACTIVE" in why}
    told = {key: why for key, why in left_out.items() if key in names} or down
    return "; ".join(f"{key} is {why}" for key, why in sorted(told.items())) or "the host has fewer data ports than others"


def match(hosts: Mapping[str, Sequence[Row]], left_out: Mapping[str, Mapping[str, str]] | None = None) -> Rails:
    """Return the rails of hosts.

    Ports are in order, so the k-th port is on rail k. A host that lacks a port would shift all behind it: then networks decide, where
    each rail has its own, and after them names of devices.
    """
    found = Rails()
    if _in_step(hosts):
        count = max((len(rows) for rows in hosts.values()), default=0)
        found.rails = [{host: rows[index] for host, rows in hosts.items()} for index in range(count)]
        return found
    for host in sorted(hosts, key=lambda name: -len(hosts[name])):
        rows = hosts[host]
        places = _place(rows, found.rails) if found.rails else list(range(len(rows)))
        found.rails += [{} for _more in range(max(places, default=-1) + 1 - len(found.rails))]
        for row, rail in zip(rows, places):
            found.rails[rail][host] = row
    for rail, members in enumerate(found.rails):
        lacking: Iterable[str] = (host for host in hosts if host not in members)
        found.missing += [{"rail": rail, "host": host, "why": _why(members, (left_out or {}).get(host, {}))} for host in lacking]
    return found


def unreported(hosts: Mapping[str, Mapping[str, Any]], found: Rails) -> list[dict[str, Any]]:
    """Return the ports that ought to carry data and do not, as far as no rail misses them: comparing hosts does not tell what none has."""
    rows = []
    for host, row in hosts.items():
        told = [part for item in found.missing if item["host"] == host for part in item["why"].split("; ")]
        own = [key for key in row["missing"] if not any(part.startswith(f"{key} is ") for part in told)]
        rows += [{"rail": None, "host": host, "port": key, "why": f"{key} is {row['left_out'].get(key, 'not ACTIVE')}"} for key in own]
        if row["rdma"] and not row["ports"] and not own and not told:
            rows.append({"rail": None, "host": host, "port": "", "why": "the plan uses RDMA"})
    return rows


def clusters(hosts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the hosts of each cluster."""
    found: dict[str, list[str]] = {}
    for host, row in hosts.items():
        found.setdefault(row["cluster"], []).append(host)
    return list(found.values())


def of_clusters(hosts: Mapping[str, Mapping[str, Any]]) -> Rails:
    """Return the rails of each cluster by itself, and what is missing anywhere."""
    whole = Rails()
    for members in clusters(hosts):
        found = match({host: hosts[host]["ports"] for host in members}, {host: hosts[host]["left_out"] for host in members})
        whole.rails += [{} for _more in range(len(found.rails) - len(whole.rails))]
        for rail, row in enumerate(found.rails):
            whole.rails[rail].update(row)
        whole.missing += found.missing
    whole.missing += unreported(hosts, whole)
    return whole
