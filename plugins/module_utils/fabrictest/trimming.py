# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaving out what does not fit into the time. On the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import Options, Schedule


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


def trim(found: Schedule, options: Options) -> None:
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
