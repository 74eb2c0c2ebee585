# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each instance needs, decided for all its ranks together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _rows(registered: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = registered.get("results", [registered])
    return [row for row in rows if "action" in row]


def instance_turns(
    registered: Mapping[str, Mapping[str, Any]], clusters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the units to restart and those to start, by host, and what a restart would interrupt.

    An instance is one process group: when one of its ranks has to be restarted, or has to be started while others run, all of them are
    restarted. On NCCL the others would wait for the lost one forever.

    :param registered: what M(railyard.sglang.service_unit) said, by host.
    :param clusters: name of each host's cluster: two clusters have instances of the same name.
    """
    needs: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for host, result in registered.items():
        for row in _rows(result):
            needs.setdefault(((clusters or {}).get(host, ""), str(row["unit"])), {})[host] = row
    restart: dict[str, list[str]] = {host: [] for host in registered}
    start: dict[str, list[str]] = {host: [] for host in registered}
    interrupts = []
    for (_cluster, unit), rows in sorted(needs.items()):
        actions = {row["action"] for row in rows.values()}
        if "restart" in actions or actions >= {"start", "none"}:
            for host in rows:
                restart[host].append(unit)
            running = [host for host, row in rows.items() if row["up"]]
            reasons = [f"on {host} {row['reason']}" for host, row in rows.items() if row["reason"]]
            if running:
                interrupts.append(f"{unit} runs on {', '.join(running)}: {'; '.join(reasons)}")
        elif actions == {"start"}:
            for host in rows:
                start[host].append(unit)
    return {"restart": restart, "start": start, "interrupts": interrupts}
