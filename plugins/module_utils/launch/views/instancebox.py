# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance in the picture: its ranks, each a box with host, GPUs, rails and ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.drawing import WIDE, Box, Drawing, Line, fit
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.text import sizes, spans

MOST_RANKS, MOST_CELLS = 8, 16
HEAD, PAD, LANE = 50.0, 12.0, 26.0
CELL, CHIP = 20.0, 18.0


def anchor(cluster: str, instance: str) -> str:
    """Return the name by which the page links to an instance."""
    return re.sub(r"[^\w.-]", "_", f"instance-{cluster}-{instance}")


def chips(rank: Mapping[str, Any]) -> list[str]:
    """Return the ports of a rank in few words; those of DP attention are one."""
    rows = [row for row in rank["ports"] if row["address"] not in porttable.LOOPBACK]
    first = ("API", "rank health", "KV bootstrap", "rendezvous")
    texts = [f"{row['port']} {row['purpose']}" for row in rows if row["purpose"] in first]
    others = [row["port"] for row in rows if row["purpose"] not in first]
    return texts + ([f"{spans(others)} DP attention"] if others else [])


def _cells(drawing: Drawing, names: list[tuple[str, str, str]], box: Box, y: float, least: float) -> None:
    """Draw a row of cells of one width: text, what is shown when pointed at, and kind."""
    width, kind = min(least, (box.width - 16 - 4 * (len(names) - 1)) / len(names)), names[0][2]
    for index, (text, title, own) in enumerate(names):
        x = box.x + 8 + index * (width + 4)
        drawing.box(Box(f"{box.name} {kind} {index}", x, y, width, CELL, own, title, box.name))
        drawing.label(x + width / 2, y + 14, fit(text, "small", width - 2), "small", anchor="middle")


def _capped(names: list[str]) -> list[str]:
    if len(names) <= MOST_CELLS:
        return names
    return [*names[: MOST_CELLS - 1], f"+{len(names) - MOST_CELLS + 1}"]


def _hardware(drawing: Drawing, rank: Mapping[str, Any], box: Box, y: float) -> float:
    """Draw GPUs and the rails below them, and return where they end."""
    gpus, rails = reading.gpus(rank), reading.devices(rank)
    if not gpus:
        return y
    names, word = _capped([str(gpu) for gpu in gpus]), "NPU" if rank["device"] == "npu" else "GPU"
    together = "" in rails
    shown = _capped(list(rails[""])) if together else [" ".join(rails.get(name, ("?",))) for name in names] if rails else []
    least = max(50.0, *(len(name) * WIDE["small"] + 8 for name in ("", *shown)))
    cells = [(f"{word} {name}" if len(names) <= 8 else name, f"{word} {name} of {rank['host']}", "gpu") for name in names]
    _cells(drawing, cells, box, y, least)
    y += CELL + 3
    unknown = [row["name"] for row in rank["unknown"]]
    if together:
        _cells(drawing, [(name, f"RDMA device {name}, for all GPUs of the rank", "rail") for name in shown], box, y, least)
    elif rails:
        _cells(drawing, [(name, f"RDMA device {name} of {word} {gpu}", "rail") for gpu, name in zip(names, shown)], box, y, least)
    elif "--disaggregation-ib-device" in unknown or "NCCL_IB_HCA" in unknown:
        drawing.box(Box(f"{box.name} rails", box.x + 8, y, box.width - 16, CELL, "unknown", "set sglang_rdma_devices", box.name))
        text, middle = "rails: not known before the host is looked at", box.x + box.width / 2
        drawing.label(middle, y + 14, text, "chip", anchor="middle", room=box.width - 20)
    else:
        return y + 2
    return y + CELL + 5


def _ports(drawing: Drawing, rank: Mapping[str, Any], box: Box, y: float) -> float:
    texts = [(text, "port", "") for text in chips(rank)]
    if rank["unknown"]:
        names = ", ".join(row["name"] for row in rank["unknown"])
        texts.append((f"? {reading.count(len(rank['unknown']), 'value')} not known yet", "unknown", names))
    x = box.x + 8
    for index, (text, kind, title) in enumerate(texts):
        width = min(len(text) * WIDE["chip"] + 10, box.width - 16)
        if x + width > box.x + box.width - 8 and x > box.x + 8:
            x, y = box.x + 8, y + CHIP + 4
        drawing.box(Box(f"{box.name} port {index}", x, y, width, CHIP, kind, title, box.name))
        drawing.label(x + 5, y + 13, fit(text, "chip", width - 8), "chip")
        x += width + 4
    return y + CHIP + 7


def _rank(drawing: Drawing, rank: Mapping[str, Any], place: Box) -> Box:
    """Draw one rank and return its box, whose height follows from what it holds."""
    index = len(drawing.boxes)
    drawing.boxes.append(place)
    device = "" if reading.gpus(rank) else f", {rank['device']}"
    text = f"rank {rank['rank']} on {rank['host']}, {rank['address']}{device}"
    drawing.label(place.x + 8, place.y + 16, text, "mono", room=place.width - 16)
    end = _ports(drawing, rank, place, _hardware(drawing, rank, place, place.y + 24))
    box = Box(place.name, place.x, place.y, place.width, end - place.y, place.kind, place.title, place.inside)
    drawing.boxes[index] = box
    return box


def draw(drawing: Drawing, instance: Mapping[str, Any], x: float, y: float, width: float, *, side: str) -> tuple[Box, Box]:
    """Draw an instance and return its box and that of rank 0. Its name and findings are the caller's.

    :param side: of the picture; lines between ranks run on the other side.
    """
    name, index = f"{instance['cluster']} {instance['name']}", len(drawing.boxes)
    box = Box(name, x, y, width, 0, instance["mode"], link=anchor(instance["cluster"], instance["name"]))
    drawing.boxes.append(box)
    drawing.label(x + PAD, y + 40, f"{sizes(instance)}, {instance['url']}", "mono", room=width - 2 * PAD)
    top, ranks = y + HEAD, instance["ranks"]
    shown = ranks if len(ranks) <= MOST_RANKS else ranks[: MOST_RANKS - 1]
    left = x + PAD if side == "left" else x + LANE
    made = []
    for rank in shown:
        made.append(_rank(drawing, rank, Box(f"{name} {rank['rank']}", left, top, width - PAD - LANE, 0, "rank", inside=name)))
        top += made[-1].height + 8
    if len(shown) < len(ranks):
        text = f"{len(ranks) - len(shown)} more ranks: {ranks[len(shown)]['host']} to {ranks[-1]['host']}"
        made.append(drawing.box(Box(f"{name} rest", left, top, width - PAD - LANE, 26, "rank rest", inside=name)))
        drawing.label(left + 8, top + 17, text, "mono", room=width - PAD - LANE - 16)
        top += 34
    whole = Box(name, x, y, width, top - y + 4, box.kind, inside="", link=box.link)
    drawing.boxes[index] = whole
    lane = x + width - LANE / 2 if side == "left" else x + LANE / 2
    head, inner = made[0], left + (width - PAD - LANE if side == "left" else 0)
    for other in made[1:]:
        start, end = other.y + other.height / 2, head.y + head.height * 0.75
        drawing.lines.append(Line(((inner, start), (lane, start), (lane, end), (inner, end)), "rendezvous"))
    return whole, head
