# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each instance needs, decided for all its ranks."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.render.turns import instance_turns

A, B = "sglang-a.service", "sglang-b.service"


def row(unit: str, action: str, up: bool = False, reason: str = "") -> dict[str, Any]:
    return {"unit": unit, "action": action, "up": up, "reason": reason}


@pytest.mark.parametrize(
    ("hosts", "restart", "start", "interrupts"),
    [
        ({"p0": [row(A, "none", True)], "p1": [row(A, "none", True)]}, {}, {}, []),
        ({"p0": [row(A, "start")], "p1": [row(A, "start")]}, {}, {"p0": [A], "p1": [A]}, []),
        (
            {"p0": [row(A, "restart", True, "it runs x")], "p1": [row(A, "none", True)]},
            {"p0": [A], "p1": [A]}, {}, [f"{A} runs on p0, p1: on p0 it runs x"],
        ),
        # One rank is gone while the others run: they wait for it forever, so all are restarted.
        (
            {"p0": [row(A, "none", True)], "p1": [row(A, "start", reason="it is failed")]},
            {"p0": [A], "p1": [A]}, {}, [f"{A} runs on p0: on p1 it is failed"],
        ),
        ({"p0": [row(A, "restart")], "p1": [row(A, "start")]}, {"p0": [A], "p1": [A]}, {}, []),
        (
            {"p0": [row(A, "restart", True, "x"), row(B, "start")], "p1": [row(B, "start")]},
            {"p0": [A]}, {"p0": [B], "p1": [B]}, [f"{A} runs on p0: on p0 x"],
        ),
        ({}, {}, {}, []),
        ({"r0": []}, {}, {}, []),
    ],
)  # fmt: skip
def test_turns(
    hosts: dict[str, list[dict[str, Any]]], restart: dict[str, list[str]], start: dict[str, list[str]], interrupts: list[str]
) -> None:
    registered = {host: {"results": rows} for host, rows in hosts.items()}
    none: dict[str, list[str]] = {host: [] for host in hosts}
    assert instance_turns(registered) == {"restart": none | restart, "start": none | start, "interrupts": interrupts}


def test_a_result_without_a_loop_and_a_skipped_one() -> None:
    found = instance_turns({"r0": row(A, "start"), "r1": {"skipped": True}})
    assert found == {"restart": {"r0": [], "r1": []}, "start": {"r0": [A], "r1": []}, "interrupts": []}


@pytest.mark.parametrize(
    ("first", "second", "restart", "start"),
    [
        (row(A, "restart", True, "x"), row(A, "none", True), ["a0"], []),
        (row(A, "none", True), row(A, "start"), [], ["b0"]),
        (row(A, "restart", True), row(A, "restart", True), ["a0", "b0"], []),
    ],
)
def test_instances_of_two_clusters_have_the_same_name(first: Any, second: Any, restart: list[str], start: list[str]) -> None:
    found = instance_turns({"a0": first, "b0": second}, {"a0": "one", "b0": "two"})
    assert [host for host, units in found["restart"].items() if units] == restart
    assert [host for host, units in found["start"].items() if units] == start
