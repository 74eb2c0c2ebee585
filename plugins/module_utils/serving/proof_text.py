# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as a table for the screen. On the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.report import tables


def _pairs(row: Mapping[str, Any]) -> list[str]:
    """Return the times of the pairs as a matrix, prefill down and decode across; nothing where there is one pair only."""
    timed = {(pair["prefill"], pair["decode"]): pair for pair in row["pairs"] if pair.get("first_seconds") is not None}
    down, across = (list(dict.fromkeys(key[at] for key in timed)) for at in (0, 1))
    if len(timed) < 2:
        return []
    lines = ["", "Seconds to the first token / milliseconds between tokens:"]
    body = []
    for a in down:
        cells = [timed.get((a, b)) for b in across]
        body.append([a or "-", *(f"{cell['first_seconds']:.2f} / {1000 * cell['between_seconds']:.1f}" if cell else "-" for cell in cells)])
    return [*lines, *tables.table(("prefill", *across), body)]


def view(result: Mapping[str, Any]) -> list[str]:
    """Return the lines: per cluster its steps, what stands against them, and the pairs."""
    lines: list[str] = []
    for row in result["clusters"]:
        lines += ["", f"Proof of {row['name']}: {row['verdict']}"]
        lines += tables.table(("step", "state", "seconds", "evidence"), [
            (step["step"], step["state"], f"{step['seconds']:.1f}" if step["seconds"] else "", _said(step)) for step in row["steps"]
        ])  # fmt: skip
        lines += [f"- {step['step']}: {text}" for step in row["steps"] for text in step["problems"]]
        lines += [f"  note, {step['step']}: {text}" for step in row["steps"] for text in step["notes"]]
        lines += _pairs(row)
    return lines


def _said(step: Mapping[str, Any]) -> str:
    count = len(step["problems"])
    return f"{count} problem{'s' * (count > 1)}, below" if count else step["evidence"]
