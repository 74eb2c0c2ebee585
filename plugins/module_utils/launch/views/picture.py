# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a cluster: routers above, prefill on the left, decode on the right, and who talks to whom.

It stays of bounded size: of a pool at most MOST_INSTANCES are drawn, those with findings before others, and one box stands for the rest;
likewise MOST_RANKS of an instance and MOST_ROUTERS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import instancebox, reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.drawing import Badge, Box, Drawing, Line
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Entry, Plan

MOST_INSTANCES, MOST_ROUTERS, MOST_BADGES = 8, 8, 10
WIDTH = 1200.0
# The request lines run outside of the columns, KV cache and bootstrap between them.
REQUESTS = {"left": 18.0, "right": WIDTH - 18}
COLUMN = {"left": 44.0, "right": 660.0}
COLUMN_WIDTH = 496.0
KV, BOOTSTRAP = 588.0, 618.0
ROUTER = (264.0, 66.0)
GAP = 18.0


@dataclass
class _Drawn:
    """An instance, or the box that stands for several, with what lines end at."""

    side: str
    mode: str
    box: Box
    rank0: Box | None
    listed: bool


def badges(drawing: Drawing, right: float, y: float, rows: list[Entry]) -> float:
    """Draw the numbers of findings, from right to left, and return the width that they took."""
    shown = rows[:MOST_BADGES]
    width = 22.0 * len(shown)
    for index, entry in enumerate(shown):
        drawing.badges.append(Badge(right - width + 22 * index + 11, y, entry.number, entry.severity))
    if len(rows) > len(shown):
        drawing.label(right - width - 4, y + 4, f"+{len(rows) - len(shown)}", "mono", anchor="end")
        width += 34
    return width


class _Picture:
    def __init__(self, plan: Plan, cluster: str, findings: list[Entry]) -> None:
        self.plan = plan
        self.cluster = cluster
        self.drawing = Drawing(WIDTH)
        self.instances = [row for row in plan["instances"] if row["cluster"] == cluster]
        self.routers = [row for row in plan["routers"] if row["cluster"] == cluster]
        self.listed = {worker["instance"] for router in self.routers for worker in router["workers"]}
        self.at: dict[str, list[Entry]] = {}
        for entry in findings:
            if entry.first["cluster"] in (cluster, ""):
                for place in entry.homes(plan) or ("",):
                    self.at.setdefault(place, []).append(entry)
        self.drawn: list[_Drawn] = []

    def _top(self) -> float:
        """Draw clients and routers and return the line from which requests go down."""
        drawing, y = self.drawing, 14.0
        whole = self.at.get("", [])
        if whole:
            drawing.label(COLUMN["left"], y + 16, "whole cluster", "text")
            badges(drawing, COLUMN["left"] + 100 + 22 * min(len(whole), MOST_BADGES) + 34 * (len(whole) > MOST_BADGES), y + 12, whole)
        drawing.box(Box("clients", WIDTH / 2 - 60, y, 120, 24, "outside"))
        drawing.label(WIDTH / 2, y + 16, "clients", "text", anchor="middle")
        y += 24 + 28
        shown = self.routers[: MOST_ROUTERS - 1] if len(self.routers) > MOST_ROUTERS else self.routers
        entries: list[dict[str, Any] | None] = [*shown, *([None] if len(shown) < len(self.routers) else [])]
        width, height = ROUTER
        for start in range(0, len(entries), 4):
            row = entries[start : start + 4]
            x = (WIDTH - len(row) * width - (len(row) - 1) * GAP) / 2
            for router in row:
                self._router(router, Box(f"router {len(drawing.boxes)}", x, y, width, height, "router"), first=start == 0)
                drawing.lines.append(Line(((x + width / 2, y + height), (x + width / 2, y + height + GAP)), "request", "none"))
                x += width + GAP
            y += height + GAP
        return y

    def _router(self, router: Mapping[str, Any] | None, box: Box, *, first: bool) -> None:
        drawing, middle = self.drawing, box.x + box.width / 2
        if first:
            drawing.lines.append(Line(((WIDTH / 2, 38), (WIDTH / 2, 52), (middle, 52), (middle, box.y)), "request"))
        drawing.box(box)
        rows = [row for row in self.at.get("router", []) if router is None or {"", router["host"]} & {one["host"] for one in row.rows}]
        if router is None:
            drawing.label(middle, box.y + 38, f"{len(self.routers) - MOST_ROUTERS + 1} more routers", "text", anchor="middle")
            return
        taken = badges(drawing, box.x + box.width - 8, box.y + 16, rows)
        drawing.label(box.x + 12, box.y + 21, f"router on {router['host']}", "name", room=box.width - 24 - taken)
        drawing.label(box.x + 12, box.y + 38, router["address"], "mono", room=box.width - 24)
        ports = ", ".join(f"{row['port']} {row['purpose'].removeprefix('router ')}" for row in router["ports"])
        drawing.label(box.x + 12, box.y + 54, ports, "mono", room=box.width - 24)

    def _choose(self, members: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the instances of a pool that are drawn: the first ones, and those with findings before others."""
        if len(members) <= MOST_INSTANCES:
            return members
        found = [row for row in members if row["name"] in self.at]
        chosen = [row["name"] for row in [*members[:2], *found, *members]]
        names = list(dict.fromkeys(chosen))[: MOST_INSTANCES - 1]
        return [row for row in members if row["name"] in names]

    def _pool(self, pool: str, members: list[dict[str, Any]], side: str, y: float) -> float:
        drawing, x = self.drawing, COLUMN[side]
        drawing.label(x, y + 14, f"pool {pool}: {reading.count(len(members), 'instance')}", "head", room=COLUMN_WIDTH)
        y += 24
        shown = self._choose(members)
        for instance in shown:
            box, rank0 = instancebox.draw(drawing, instance, x, y, COLUMN_WIDTH, side=side)
            taken = badges(drawing, box.x + box.width - 10, box.y + 18, self.at.get(instance["name"], []))
            drawing.label(box.x + 12, box.y + 23, instance["name"], "name", room=box.width - 30 - taken)
            self.drawn.append(_Drawn(side, instance["mode"], box, rank0, instance["name"] in self.listed))
            y += box.height + GAP
        rest = [row for row in members if row not in shown]
        if rest:
            y += self._rest(pool, rest, Box(f"rest of {pool}", x, y, COLUMN_WIDTH, 56, f"{rest[0]['mode']} rest"), side) + GAP
        return y

    def _rest(self, pool: str, rest: list[dict[str, Any]], box: Box, side: str) -> float:
        drawing = self.drawing
        drawing.box(box)
        rows = {entry.number: entry for instance in rest for entry in self.at.get(instance["name"], [])}
        taken = badges(drawing, box.x + box.width - 10, box.y + 18, [rows[number] for number in sorted(rows)])
        drawing.label(box.x + 12, box.y + 23, f"{len(rest)} more of {pool}", "name", room=box.width - 30 - taken)
        hosts = {rank["host"] for row in rest for rank in row["ranks"]}
        gpus = sum(len(reading.gpus(rank)) for row in rest for rank in row["ranks"])
        names = f"{rest[0]['name']} to {rest[-1]['name']}: {reading.count(len(hosts), 'host')}, {reading.count(gpus, 'GPU')}"
        drawing.label(box.x + 12, box.y + 42, names, "mono", room=box.width - 24)
        self.drawn.append(_Drawn(side, rest[0]["mode"], box, None, any(row["name"] in self.listed for row in rest)))
        return box.height

    def _wires(self, bus: float) -> None:
        """Draw who talks to whom."""
        lines = self.drawing.lines
        for side, trunk in REQUESTS.items():
            ends = [one for one in self.drawn if one.side == side and one.listed]
            for one in ends:
                target = one.rank0 or one.box
                edge = target.x if side == "left" else target.x + target.width
                lines.append(Line(((trunk, _middle(target)), (edge, _middle(target))), "request"))
            if ends and self.routers:
                last = max(_middle(one.rank0 or one.box) for one in ends)
                lines.append(Line(((WIDTH / 2, bus), (trunk, bus), (trunk, last)), "request", "none"))
        pairs = [one for one in self.drawn if one.mode in ("prefill", "decode")]
        if {one.mode for one in pairs} != {"prefill", "decode"}:
            return
        for kind, trunk in (("kv", KV), ("bootstrap", BOOTSTRAP)):
            ys = []
            for one in pairs:
                inner = one.box.x + one.box.width if one.side == "left" else one.box.x
                y = one.box.y + (22 if kind == "kv" else 36)
                if kind == "bootstrap" and one.mode == "prefill" and one.rank0 is not None:
                    inner, y = one.rank0.x + one.rank0.width, _middle(one.rank0)
                ys.append(y)
                heads = "end" if kind == "kv" or one.mode == "prefill" else "none"
                lines.append(Line(((trunk, y), (inner, y)), kind, heads))
            lines.append(Line(((trunk, min(ys)), (trunk, max(ys))), kind, "none"))

    def draw(self) -> Drawing:
        """Draw everything and return the picture."""
        bus = self._top()
        y = {"left": bus + 20, "right": bus + 20}
        pools: dict[str, list[dict[str, Any]]] = {}
        for row in self.instances:
            pools.setdefault(row["pool"], []).append(row)
        for pool, members in sorted(pools.items(), key=lambda pair: pair[1][0]["mode"] == "plain"):
            mode = members[0]["mode"]
            side = {"prefill": "left", "decode": "right"}.get(mode, "left" if y["left"] <= y["right"] else "right")
            y[side] = self._pool(pool, members, side, y[side])
        self._wires(bus)
        self.drawing.height = max(y.values()) + 6
        return self.drawing


def _middle(box: Box) -> float:
    return box.y + box.height / 2


def cluster(plan: Plan, name: str, findings: list[Entry]) -> Drawing:
    """Return the picture of one cluster.

    :param findings: all of the plan, with their numbers.
    """
    return _Picture(plan, name, findings).draw()
