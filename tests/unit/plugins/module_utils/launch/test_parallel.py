# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance is divided: command lines, ports and registrations."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.launch import parallel
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance, Sizes
from ansible_collections.railyard.sglang.tests.unit.support.clusters import gpu_cluster, options

BOTH = ("sglang_pools.prefill", "sglang_pools.decode")


def instance(nodes: int, **sizes: Any) -> Instance:
    given = Sizes(**{"tp": 1, "dp": 1, "pp": 1, "ep": 1, "dp_attention": False, **sizes})
    hosts = tuple(f"h{number}" for number in range(nodes))
    launch: dict[str, Any] = {}
    return Instance("a", "prefill", "prefill", hosts, given, 1, 2, 3, frozenset(), -1, launch, "v", (0,) * nodes)


@pytest.mark.parametrize(
    ("shape", "rank", "rows"),
    [
        (instance(1, tp=2), 0, [(0, 0, 0), (1, 0, 0)]),
        (instance(2, tp=4), 1, [(2, 0, 0), (3, 0, 0)]),
        (instance(2, tp=4, dp=2, dp_attention=True), 1, [(0, 1, 0), (1, 1, 0)]),
        (instance(2, tp=4, dp=4, dp_attention=True), 0, [(0, 0, 0), (0, 1, 0)]),
        (instance(2, tp=2, pp=2), 1, [(0, 0, 1), (1, 0, 1)]),
        (instance(4, tp=4, pp=2), 3, [(2, 0, 1), (3, 0, 1)]),
        (instance(1, tp=2, pp=2), 0, [(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)]),
    ],
)
def test_engine_ranks(shape: Instance, rank: int, rows: list[tuple[int, int, int]]) -> None:
    assert [tuple(row.values()) for row in parallel.engine_ranks(shape, rank)] == rows


@hypothesis.given(
    nodes=st.sampled_from([1, 2, 4, 8]), per_host=st.sampled_from([1, 2, 4, 8]), pp=st.sampled_from([1, 2, 4]), data=st.data()
)
@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
def test_every_gpu_registers_once(nodes: int, per_host: int, pp: int, data: st.DataObject) -> None:
    hypothesis.assume((nodes * per_host) % pp == 0)
    tp = nodes * per_host // pp
    hypothesis.assume(not (pp > 1 and nodes > 1 and nodes % pp and pp % nodes))
    dp = data.draw(st.sampled_from([size for size in (1, 2, 4, 8) if tp % size == 0]))
    shape = instance(nodes, tp=tp, pp=pp, dp=dp, dp_attention=dp > 1)
    rows = [tuple(row.values()) for rank in range(nodes) for row in parallel.engine_ranks(shape, rank)]
    assert len(rows) == shape.sizes.gpus == nodes * per_host
    assert len(set(rows)) == len(rows)
    assert {len(parallel.engine_ranks(shape, rank)) for rank in range(nodes)} == {per_host}


def test_dp_attention_on_the_command_line_and_in_the_ports() -> None:
    changes = {f"{pool}.{key}": value for pool in BOTH for key, value in {"dp": 16, "dp_attention": True}.items()}
    plan = gpu_cluster().change(changes).plan()
    head, other = plan["instances"][0]["ranks"]
    given = options(head["argv"][2:])
    assert given["--data-parallel-size"] == ["16"]
    assert given["--enable-dp-attention"] == []
    assert [row["port"] for row in head["ports"]] == [30000, 8998, 5000, 5001, 5002, 5003, 5004, 5005, 5013]
    assert [row["port"] for row in other["ports"]] == [30000]
    newer = gpu_cluster().change({**changes, "sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}).plan()
    words = options(newer["instances"][0]["ranks"][0]["argv"][2:])
    assert words["--attn-dp-size"] == ["16"]
    assert "--enable-dp-attention" not in words
    assert 5006 in [row["port"] for row in newer["instances"][0]["ranks"][0]["ports"]]


def test_pipeline_stages() -> None:
    changes = {f"{pool}.{key}": value for pool in BOTH for key, value in {"tp": 8, "pp": 2}.items()}
    ranks = gpu_cluster().change(changes).plan()["instances"][0]["ranks"]
    assert options(ranks[1]["argv"][2:])["--pipeline-parallel-size"] == ["2"]
    assert {row["pp_rank"] for row in ranks[0]["registration"]["engine_ranks"]} == {0}
    assert {row["pp_rank"] for row in ranks[1]["registration"]["engine_ranks"]} == {1}
