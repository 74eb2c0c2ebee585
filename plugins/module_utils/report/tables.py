# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that end a run: what serves where, and how long each stage took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return rows as aligned lines under a header; numbers are aligned to the right."""
    text = [[str(cell) for cell in row] for row in rows]
    numeric = [all(row[i].replace(".", "", 1).isdigit() for row in text) and bool(text) for i in range(len(header))]
    width = [max(len(row[i]) for row in [list(header), *text]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        parts = [cell.rjust(size) if right else cell.ljust(size) for cell, size, right in zip(cells, width, numeric)]
        return "  ".join(parts).rstrip()

    return [line(header), line(["-" * size for size in width]), *map(line, text)]


def processes(plan: dict[str, Any], states: dict[tuple[str, str], str]) -> list[str]:
    """Return one line per planned process.

    :param states: state of each rank by host and instance, of a router by host and C(router), as far as they are known.
    """
    rows = []
    for instance in plan["instances"]:
        for rank in instance["ranks"]:
            ports = ", ".join(f"{row['port']} {row['purpose']}" for row in rank["ports"])
            state = states.get((rank["host"], instance["name"]), "not looked at")
            rows.append((rank["host"], instance["name"], rank["rank"], rank["address"], ports, state))
    for router in plan["routers"]:
        ports = ", ".join(f"{row['port']} {row['purpose']}" for row in router["ports"])
        rows.append((router["host"], "router", "", router["address"], ports, states.get((router["host"], "router"), "not looked at")))
    return table(("host", "instance", "rank", "address", "ports", "state"), rows)


def stages(seconds: dict[str, float]) -> list[str]:
    """Return one line per stage with its seconds, and their sum."""
    rows = [(name, f"{value:.1f}") for name, value in seconds.items()]
    return table(("stage", "seconds"), [*rows, ("all", f"{sum(seconds.values()):.1f}")])
