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


def instance_turns(registered: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the units to restart, those to start, and what a restart would interrupt.

    An instance is one process group: when one of its ranks has to be restarted, or has to be started while others run, all of them are
    restarted. On NCCL the others would wait for the lost one forever.

    :param registered: what M(railyard.sglang.service_unit) said, by host.
    """
    needs: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host, result in registered.items():
        for row in _rows(result):
            needs.setdefault(str(row["unit"]), {})[host] = row
    restart, start, interrupts = [], [], []
    for unit, rows in sorted(needs.items()):
        actions = {row["action"] for row in rows.values()}
        if "restart" in actions or actions >= {"start", "none"}:
            restart.append(unit)
            running = [host for host, row in rows.items() if row["up"]]
            reasons = [f"on {host} {row['reason']}" for host, row in rows.items() if row["reason"]]
            if running:
                interrupts.append(f"{unit} runs on {', '.join(running)}: {'; '.join(reasons)}")
        elif actions == {"start"}:
            start.append(unit)
    return {"restart": restart, "start": start, "interrupts": interrupts}
