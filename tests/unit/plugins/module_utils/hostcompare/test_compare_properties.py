# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of every comparison: the order of hosts does not matter, two runs say the same, many hosts cost as much each as few."""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.compare import compare
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views import page, summary, text
from ansible_collections.railyard.sglang.tests.unit.support import fleets
from ansible_collections.railyard.sglang.tests.unit.support.clusters import gpu_cluster

Facts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def differing(twelve: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Twelve hosts of which nearly each has a fault of its own, some of them undecided."""
    place = tmp_path_factory.mktemp("differing")
    changes: dict[str, dict[str, Any]] = {
        "p0": {"mtu": {3: 1500}}, "p1": {"state": {5: "DOWN"}}, "p2": {"order": [1, 0, 2, 3, 4, 5, 6, 7]},
        "p4": {"gid": 5, "kernel": "6.1.0"},
        "p5": {"gid": 5, "kernel": "6.2.0"}, "d0": {"firmware": {1: "28.33.0800"}}, "d1": {"address": {4: "203.0.113.130"}},
        "d2": {"numa": False}, "d3": {"rails": 7}, "d4": {"model": "NVIDIA H200", "is_open": False}, "d5": {"gbps": {2: 200}},
    }
    own = {name: fleets.machine(place, fleets.NAMES.index(name) + 1, **change) for name, change in changes.items()}
    return {**twelve, **own}


CLOCKS = {name: Clock(0.1 * index, 0.1 * index + (3 if index == 4 else 0.05)) for index, name in enumerate(fleets.NAMES)}


def shuffled(plan: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the plan with instances, and hosts within them, in another order."""
    def place(row: dict[str, Any]) -> str:
        return hashlib.sha256(f"{seed} {row.get('name') or row['host']}".encode()).hexdigest()

    plan = copy.deepcopy(plan)
    for instance in plan["instances"]:
        instance["ranks"].sort(key=place)
    return {**plan, "instances": sorted(plan["instances"], key=place)}


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_hosts_does_not_matter(seed: int, differing: Facts) -> None:
    plan = fleets.plan()
    seen, report = compare(plan, differing, CLOCKS)
    other_seen, other = compare(shuffled(plan, seed), differing, CLOCKS)
    assert len(report.findings()) >= len(differing)
    assert other.findings() == report.findings()
    assert {*other.marks} == {*report.marks}
    rows, others = summary.data(seen, report)["hosts"], summary.data(other_seen, other)["hosts"]
    assert [row["name"] for row in rows] != [row["name"] for row in others]
    plain = {row["name"]: {**row, "differs": sorted(row["differs"], key=str)} for row in rows}
    assert {row["name"]: {**row, "differs": sorted(row["differs"], key=str)} for row in others} == plain


def test_two_runs_give_the_same_bytes_and_leave_their_input_alone(differing: Facts) -> None:
    before, results = copy.deepcopy(differing), []
    for _run in range(2):
        seen, report = compare(fleets.plan(), differing, CLOCKS)
        results.append((text.view(seen, report), page.view(seen, report), summary.data(seen, report)))
    assert results[0] == results[1]
    assert differing == before


def test_a_real_plan_has_what_is_read_of_it(tmp_path: Path) -> None:
    plan = gpu_cluster(2, 2).plan()
    indexes = {"p0": 3, "p1": 3, "d0": 3, "d1": 5}
    facts = {name: fleets.machine(tmp_path, number, gid=index) for number, (name, index) in enumerate(indexes.items(), 1)}
    seen, report = compare(plan, facts)
    assert [(host.name, host.member.places, host.member.pools) for host in seen.hosts] == [
        ("p0", ("prefill-0",), ("prefill",)), ("p1", ("prefill-0",), ("prefill",)), ("d0", ("decode-0",), ("decode",)),
        ("d1", ("decode-0",), ("decode",)), ("r0", ("router",), ()),
    ]
    # The inventory says index 3, and the plan hands it to Mooncake and NCCL of every rank.
    assert {(found.rule, found.host) for found in report.findings()} == {("compare.gid-index", "d1")}


def many(facts: Facts, count: int) -> tuple[dict[str, Any], Facts]:
    """Return a plan of so many hosts in instances of four, and their facts; one in a hundred has another kernel."""
    names = [f"h{number:04d}" for number in range(count)]
    kinds = list(facts.values())
    odd = copy.deepcopy(kinds[0])
    odd["system"]["kernel"] = "6.1.0"
    rows = {name: odd if number % 100 == 7 else kinds[number % len(kinds)] for number, name in enumerate(names)}
    instances = {f"{'prefill' if start % 8 else 'decode'}-{start}": names[start : start + 4] for start in range(0, count, 4)}
    return fleets.plan(instances, router=""), rows


def steps(facts: Facts, count: int) -> int:
    """Return how many lines of Python a comparison with its views runs through, each turn of a comprehension for one."""
    plan, rows = many(facts, count)
    clocks = {name: Clock(0.0, 0.01) if number % 50 else Clock(9.0, 9.1) for number, name in enumerate(rows)}
    seen_lines = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal seen_lines
        seen_lines += event == "line"
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        seen, report = compare(plan, rows, clocks)
        views = text.view(seen, report), page.view(seen, report)
    finally:
        sys.settrace(former)
    assert all(views)
    return seen_lines


def test_a_host_of_many_costs_as_much_as_one_of_few(twelve: Facts) -> None:
    small, large = steps(twelve, 40), steps(twelve, 320)
    assert large < 8 * small * 1.2, (small, large)
