# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Flow
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Plan
from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table


def spans(numbers: Sequence[int]) -> str:
    """Return whole numbers as ranges: 0-3, 6."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def sizes(instance: Mapping[str, Any]) -> str:
    """Return the parallel sizes of an instance in words."""
    words = [f"tp {instance['tp']}"] + [f"{key} {instance[key]}" for key in ("dp", "pp", "ep") if instance[key] > 1]
    return ", ".join(words) + (", DP attention" if instance["dp_attention"] else "")


def listening(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return ports with what they are for; a process that meets its peers on loopback only says so."""
    return ", ".join(f"{row['port']} {row['purpose']}{' (local)' if row['address'] in porttable.LOOPBACK else ''}" for row in rows)


def _clusters(plan: Plan) -> list[str]:
    rows = []
    for cluster in plan["clusters"]:
        own = [row for row in plan["instances"] if row["cluster"] == cluster["name"]]
        pools = ", ".join(f"{name} {len(members)}" for name, members in cluster["pools"].items())
        hosts = sum(row["cluster"] == cluster["name"] for row in plan["hosts"].values())
        gpus = sum(len(reading.gpus(rank)) for row in own for rank in row["ranks"])
        stacks = cluster["stacks"]
        rows.append((cluster["name"], cluster["model"]["name"], stacks["engine"], stacks["router"], pools, hosts, gpus))
    lines = table(("cluster", "model", "engine", "router", "instances by pool", "hosts", "GPUs"), rows)
    return lines + [f"{cluster['name']}: {cluster['unverified']}" for cluster in plan["clusters"] if cluster["unverified"]]


def _instances(plan: Plan) -> list[str]:
    rows = [
        (row["cluster"], row["name"], row["mode"], sizes(row), row["nodes"], row["url"], row["digest"]) for row in plan["instances"]
    ]
    return table(("cluster", "instance", "mode", "sizes", "ranks", "reached at", "digest"), rows)


def _ranks(plan: Plan) -> list[str]:
    rows = [
        (rank["instance"], rank["rank"], rank["host"], spans(reading.gpus(rank)) or "none", rank["address"], listening(rank["ports"]))
        for rank in reading.ranks(plan)
    ]
    return table(("instance", "rank", "host", "GPUs", "address", "ports"), rows)


def _routers(plan: Plan) -> list[str]:
    lines = []
    for router in plan["routers"]:
        lines.append(f"on {router['host']}, {router['url']}, ports {listening(router['ports'])}")
        rows = [
            (worker["instance"] or "outside of the plan", worker["role"], worker["url"], worker["bootstrap_port"] or "none")
            for worker in router["workers"]
        ]
        lines += [*("  " + line for line in table(("worker", "role", "URL", "bootstrap port"), rows)), ""]
    return lines[:-1] or ["none"]


def unknown(plan: Plan) -> list[tuple[str, str, str]]:
    """Return name, reason and ranks of the values that only a look at the host can give."""
    found: dict[tuple[str, str], list[str]] = {}
    for rank in reading.ranks(plan):
        for row in rank["unknown"]:
            found.setdefault((row["name"], row["why"]), []).append(f"{rank['instance']} rank {rank['rank']}")
    return [(name, why, reading.some(places)) for (name, why), places in found.items()]


def findings(rows: Iterable[Mapping[str, Any]], *, several: bool = False) -> list[str]:
    """Return findings, the worst first, each with its fix.

    :param several: whether there are several clusters, so that each has to be named.
    """
    lines = []
    for entry in reading.entries(rows):
        where = ", ".join(entry.where(several))
        variable = entry.first["variable"] + (f" ({where})" if where else "")
        lines.append(f"{entry.number}. {entry.severity}: {variable}: {entry.text} [rule {entry.first['rule']}]")
        lines.append(f"   fix: {entry.first['fix']}")
    return lines or ["none"]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, "=" * len(title), *lines]


def view(plan: Plan, flows: list[Flow]) -> str:
    """Return the tables of a plan."""
    lines = [f"Plan of {reading.count(len(plan['clusters']), 'cluster')}: {reading.tally(plan['findings'])}"]
    lines += _section("Clusters", _clusters(plan))
    lines += _section("Findings", findings(plan["findings"], several=len(plan["clusters"]) > 1))
    lines += _section("Instances", _instances(plan))
    lines += _section("Ranks", _ranks(plan))
    lines += _section("Routers", _routers(plan))
    missing = unknown(plan)
    if missing:
        lines += _section("Not known before the hosts are looked at", table(("value", "why", "where"), missing))
    rows = porttable.summary(flows)
    lines += _section("Who must reach whom", table(("from", "to", "protocol", "port", "purpose", "needed"), rows))
    return "\n".join(lines) + "\n"


def refusal(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what stands in the way of a plan."""
    lines = [f"No plan: {reading.tally(rows)}. Nothing else can be said of this inventory before its errors are gone."]
    several = len({row["cluster"] for row in rows}) > 1
    return "\n".join([*lines, *_section("Findings", findings(rows, several=several))]) + "\n"
