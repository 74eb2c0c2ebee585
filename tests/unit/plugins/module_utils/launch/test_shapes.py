# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any number of hosts, instances and GPUs."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, options

PLACE = ("--host", "--node-rank")


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, int]:
    """Pools of instances of 1 to 4 hosts with 1 to 4 GPUs each."""
    nodes = draw(st.integers(1, 4))
    return {
        "prefill": nodes * draw(st.integers(1, 5)),
        "decode": nodes * draw(st.integers(1, 5)),
        "nodes": nodes,
        "tp": nodes * draw(st.integers(1, 4)),
    }


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(shape=shapes(), shared=st.booleans())
def test_any_shape(shape: dict[str, int], shared: bool) -> None:
    inventory = cluster(**shape).change({"@router": ["d0"] if shared else ["r0"]})
    plan = inventory.plan()
    ranks = [rank for instance in plan["instances"] for rank in instance["ranks"]]

    assert sorted(rank["host"] for rank in ranks) == sorted(inventory.groups["prefill"] + inventory.groups["decode"])
    for host in plan["hosts"].values():
        numbers = [row["port"] for row in host["ports"]]
        assert len(numbers) == len(set(numbers))

    listed = [word for word in plan["routers"][0]["argv"] if word.startswith("http://")]
    heads = [instance["ranks"][0] for instance in plan["instances"]]
    assert listed == [rank["health_url"].removesuffix("/health") for rank in heads]

    for instance in plan["instances"]:
        lines = [options(rank["argv"][2:]) for rank in instance["ranks"]]
        assert [line.get("--node-rank") for line in lines] == [[str(n)] if shape["nodes"] > 1 else None for n in range(shape["nodes"])]
        same = [{name: words for name, words in line.items() if name not in PLACE} for line in lines]
        assert all(line == same[0] for line in same)
        assert all(rank["arguments"] == instance["ranks"][0]["arguments"] for rank in instance["ranks"])
        covered = [number for rank in instance["ranks"] for number in (rank["registration"] or {}).get("engine_ranks", [])]
        covered = [row["engine_rank"] for row in covered]
        assert covered == (list(range(shape["tp"])) if instance["pool"] == "prefill" else [])
