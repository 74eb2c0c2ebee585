# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host is which rank."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster

Ranks = dict[str, list[str]]


def ranks(inventory: Inventory) -> Ranks:
    return {row["name"]: [rank["host"] for rank in row["ranks"]] for row in inventory.plan()["instances"]}


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((2, 2, 2, 2), {"prefill-0": ["p0", "p1"], "decode-0": ["d0", "d1"]}),
        ((1, 1, 1, 1), {"prefill-0": ["p0"], "decode-0": ["d0"]}),
        (
            (4, 2, 2, 4),
            {"prefill-0": ["p0", "p1"], "prefill-1": ["p2", "p3"], "decode-0": ["d0", "d1"]},
        ),
        ((2, 1, 1, 2), {"prefill-0": ["p0"], "prefill-1": ["p1"], "decode-0": ["d0"]}),
    ],
)
def test_groups_are_cut_into_instances(shape: tuple[int, int, int, int], wanted: Ranks) -> None:
    assert ranks(cluster(*shape)) == wanted


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([("prefill-0", ["p1", "p0"])], {"prefill-0": ["p1", "p0"]}),
        ([("red", ["p1"]), ("blue-2", ["p0"])], {"red": ["p1"], "blue-2": ["p0"]}),
        ([("a" * 40, ["p0", "p1"])], {"a" * 40: ["p0", "p1"]}),
    ],
)
def test_instances_as_written(rows: list[tuple[str, list[str]]], wanted: Ranks) -> None:
    instances = [{"name": name, "hosts": hosts} for name, hosts in rows]
    found = ranks(cluster().change({"sglang_pools.prefill.instances": instances}))
    assert found == {**wanted, "decode-0": ["d0", "d1"]}


def test_the_order_of_hosts_is_the_inventory_s() -> None:
    assert ranks(cluster().change({"@prefill": ["p1", "p0"]}))["prefill-0"] == ["p1", "p0"]


def test_pools_may_have_groups_of_other_names() -> None:
    inventory = cluster().change({"@prefill": [], "@gpu": ["p0", "p1"], "sglang_pools.prefill.group": "gpu"})
    assert ranks(inventory)["prefill-0"] == ["p0", "p1"]


def test_an_instance_may_have_its_own_port_arguments_environment_and_files() -> None:
    row = {
        "name": "a",
        "hosts": ["p0", "p1"],
        "port": 31000,
        "args": {"decode-log-interval": 16, "deepep-config": {"file": "x.json"}},
        "env": {"A": "1"},
        "files": {"x.json": {"content": {"a": 1}}},
    }
    plan = cluster().change({"sglang_pools.prefill.instances": [row]}).plan()
    mine, other = (row["ranks"] for row in plan["instances"])
    for rank in mine:
        assert rank["arguments"]["decode-log-interval"] == 16
        assert rank["arguments"]["deepep-config"] == "/etc/sglang/a/x.json"
        assert rank["environment"]["A"] == "1"
        assert rank["health_url"].endswith(":31000/health")
        assert [file["path"] for file in rank["files"]] == ["/etc/sglang/a/x.json"]
    for rank in other:
        assert "decode-log-interval" not in rank["arguments"]
        assert "A" not in rank["environment"]
        assert rank["files"] == []
    assert "http://203.0.113.10:31000" in plan["routers"][0]["argv"]


def test_a_host_may_carry_an_engine_and_the_router() -> None:
    slice_ = cluster().change({"@router": ["p0"]}).plan()["hosts"]["p0"]
    assert [rank["unit"] for rank in slice_["ranks"]] == ["sglang-prefill-0.service"]
    assert slice_["router"]["unit"] == "sglang-router.service"
    assert slice_["stacks"] == ["sglang-0.5.8-cpu", "sglang-router-0.3.2"]
    assert sorted(row["port"] for row in slice_["ports"]) == [5000, 8000, 8998, 29000, 30000]


def test_two_routers_list_the_same_workers() -> None:
    inventory = cluster()
    inventory.groups["router"] = ["r0", "d1"]
    first, second = inventory.plan()["routers"]
    assert first["workers"] == second["workers"]
    assert (first["address"], second["address"]) == ("198.51.100.210", "198.51.100.111")
