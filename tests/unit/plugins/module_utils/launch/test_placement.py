# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several instances on one host, pools of several kinds, several clusters in one inventory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, gpu_cluster, options

PREFILL, DECODE = "sglang_pools.prefill", "sglang_pools.decode"


def one_host(changes: dict[str, Any] | None = None) -> Inventory:
    """Prefill and decode on the same host of eight GPUs, one GPU each."""
    shared = {
        "@prefill": ["p0"], "@decode": ["p0"], "@all": ["p0", "r0"],
        "sglang_gpu": {"count": 8, "memory_gib": 80, "arch": "sm90"},
        f"{PREFILL}.tp": 1, f"{DECODE}.tp": 1, f"{PREFILL}.nodes_per_instance": 1, f"{DECODE}.nodes_per_instance": 1,
        "sglang_model": {"path": "/opt/models/llama", "name": "llama", "config": "llama-3.1-8b"},
    }  # fmt: skip
    return gpu_cluster().change(shared).change(changes or {})


def instances(*rows: tuple[str, int | None]) -> list[dict[str, Any]]:
    return [{"name": name, "hosts": ["p0"], **({} if first is None else {"first_gpu": first})} for name, first in rows]


def placed(inventory: Inventory) -> dict[str, tuple[list[int], dict[str, int]]]:
    """Return GPUs and ports of the instances on p0."""
    return {
        rank["instance"]: (rank["gpus"], {row["purpose"]: row["port"] for row in rank["ports"]})
        for rank in inventory.plan()["hosts"]["p0"]["ranks"]
    }


def test_prefill_and_decode_on_one_host() -> None:
    found = placed(one_host())
    assert found == {
        "prefill-0": ([0], {"API": 30000, "KV bootstrap": 8998, "rendezvous": 5000}),
        "decode-0": ([1], {"API": 30001, "rendezvous": 5020}),
    }
    ranks = one_host().plan()["hosts"]["p0"]["ranks"]
    assert [options(rank["argv"][2:]).get("--base-gpu-id") for rank in ranks] == [None, ["1"]]
    assert [rank["unit"] for rank in ranks] == ["sglang-prefill-0.service", "sglang-decode-0.service"]


@pytest.mark.parametrize(
    ("changes", "gpus", "ports"),
    [
        (
            {f"{PREFILL}.instances": instances(("a", None), ("b", None)), f"{PREFILL}.tp": 2},
            {"a": [0, 1], "b": [2, 3], "decode-0": [4]},
            {"a": (30000, 8998, 5000), "b": (30010, 8999, 5020), "decode-0": (30001, 5040)},
        ),
        (
            {f"{PREFILL}.instances": instances(("a", 4), ("b", None))},
            {"a": [4], "b": [5], "decode-0": [6]},
            {"a": (30000, 8998, 5000), "b": (30010, 8999, 5020), "decode-0": (30001, 5040)},
        ),
        (
            {f"{DECODE}.instances": [{**instances(("d", 3))[0], "port": 30500, "dist_init_port": 5500, "tp": 4}]},
            {"prefill-0": [0], "d": [3, 4, 5, 6]},
            {"prefill-0": (30000, 8998, 5000), "d": (30500, 5500)},
        ),
        (
            {f"{PREFILL}.instances": [{**instances(("a", None))[0], "bootstrap_port": 9100}, *instances(("b", None))]},
            {"a": [0], "b": [1], "decode-0": [2]},
            {"a": (30000, 9100, 5000), "b": (30010, 8998, 5020), "decode-0": (30001, 5040)},
        ),
    ],
    ids=["two prefill instances", "from GPU 4 on", "an instance with its own settings", "a bootstrap port of its own"],
)
def test_gpus_and_ports(changes: dict[str, Any], gpus: dict[str, list[int]], ports: dict[str, tuple[int, ...]]) -> None:
    found = placed(one_host(changes))
    assert {name: row[0] for name, row in found.items()} == gpus
    assert {name: tuple(row[1].values()) for name, row in found.items()} == ports


def test_an_instance_that_is_added_moves_no_other() -> None:
    few = one_host({f"{DECODE}.instances": instances(("d0", None))}).plan()
    more = one_host({f"{DECODE}.instances": instances(("d0", None), ("d1", None), ("d2", None))}).plan()
    for before, after in zip(few["instances"], more["instances"]):
        assert after["digest"] == before["digest"]
    assert [row["name"] for row in more["instances"]] == ["prefill-0", "d0", "d1", "d2"]


def test_the_router_names_each_bootstrap_port() -> None:
    plan = one_host({f"{PREFILL}.instances": instances(("a", None), ("b", None))}).plan()
    text = " ".join(plan["routers"][0]["argv"])
    assert "--prefill http://203.0.113.10:30000 8998 --prefill http://203.0.113.10:30010 8999 --decode" in text


def plain(changes: dict[str, Any] | None = None) -> Inventory:
    """A pool of two whole engines."""
    pool = {"mode": "plain", "group": "prefill", "tp": 8, "port": 30000}
    shared = {"sglang_pools": {"serve": pool}, "@decode": GONE, "sglang_model.config": GONE}
    return gpu_cluster(2, 0, 1).change({key: value for key, value in shared.items() if key != "@decode"}).change(changes or {})


def test_a_plain_pool() -> None:
    plan = plain().plan()
    assert [row["name"] for row in plan["instances"]] == ["serve-0", "serve-1"]
    for instance in plan["instances"]:
        (rank,) = instance["ranks"]
        assert not [word for word in rank["argv"] if word.startswith("--disaggregation")]
        assert not [name for name in rank["arguments"] if name.startswith("disaggregation")]
        assert rank["registration"] is None
        assert [row["purpose"] for row in rank["ports"]] == ["API", "rendezvous"]
    words = plan["routers"][0]["argv"]
    assert words[words.index("--worker-urls") + 1 :] == ["http://203.0.113.10:30000", "http://203.0.113.11:30000"]
    assert "--pd-disaggregation" not in words


def test_several_pools_of_a_mode_and_several_routers() -> None:
    small = {"mode": "decode", "group": "small", "tp": 8, "nodes_per_instance": 1, "port": 30002, "args": {"max-running-requests": 8}}
    changes = {
        "@small": ["d2", "d3"],
        "@decode": ["d0", "d1"],
        "@router": ["r0", "d3"],
        "sglang_pools.small": small,
        "sglang_model.config": GONE,
    }
    plan = gpu_cluster(2, 4).change(changes).plan()
    assert plan["clusters"][0]["pools"] == {"prefill": ["prefill-0"], "decode": ["decode-0"], "small": ["small-0", "small-1"]}
    assert [router["host"] for router in plan["routers"]] == ["r0", "d3"]
    lists = [router["argv"][router["argv"].index("--prefill") :] for router in plan["routers"]]
    assert lists[0] == lists[1]
    assert [word.rsplit(":", 1)[1] for word in lists[0] if word.startswith("http")] == ["30000", "30001", "30002", "30002"]
    assert plan["hosts"]["d3"]["units"] == ["sglang-router.service", "sglang-small-1.service"]
    assert [rank["arguments"].get("max-running-requests") for row in plan["instances"] for rank in row["ranks"]] == [None] * 4 + [8] * 2


def errors(inventory: Inventory) -> list[Any]:
    return [found for found in inventory.findings() if found.severity == "error"]


def two_clusters() -> Inventory:
    inventory = gpu_cluster(4, 4).change({"@router": ["r0", "r1"]})
    inventory.groups["all"].append("r1")
    inventory.hostvars["r1"] = {**inventory.hostvars["r0"], "ansible_host": "198.51.100.211", "sglang_fabric_address": "203.0.113.211"}
    return inventory.change({f"{host}:sglang_cluster": "second" for host in ("p2", "p3", "d2", "d3", "r1")})


def test_two_clusters_in_one_inventory() -> None:
    plan = two_clusters().plan()
    assert [row["name"] for row in plan["clusters"]] == ["lab", "second"]
    assert [(row["cluster"], row["name"], [rank["host"] for rank in row["ranks"]]) for row in plan["instances"]] == [
        ("lab", "prefill-0", ["p0", "p1"]),
        ("lab", "decode-0", ["d0", "d1"]),
        ("second", "prefill-0", ["p2", "p3"]),
        ("second", "decode-0", ["d2", "d3"]),
    ]
    assert [(row["cluster"], row["host"], row["workers"][0]["url"]) for row in plan["routers"]] == [
        ("lab", "r0", "http://203.0.113.10:30000"),
        ("second", "r1", "http://203.0.113.12:30000"),
    ]
    assert {plan["hosts"][host]["cluster"] for host in ("p2", "d3", "r1")} == {"second"}


def test_a_fault_names_its_cluster() -> None:
    (found,) = errors(two_clusters().change({"p3:sglang_fabric_address": "203.0.113.12"}))
    assert (found.rule, found.cluster, found.host) == ("address.twice", "second", "p3")


def test_a_note_can_be_waived() -> None:
    reason = {"sglang_waive": {"stack.metrics": "no monitoring in this lab"}}
    before, after = ([row for row in gpu_cluster().change(change).findings() if row.rule == "stack.metrics"] for change in ({}, reason))
    assert {row.severity for row in before} == {"note"}
    assert {row.severity for row in after} == {"waived"}


def test_addresses_are_unique_across_clusters() -> None:
    (found,) = errors(two_clusters().change({"p2:sglang_fabric_address": "203.0.113.10"}))
    assert (found.rule, found.cluster, found.host) == ("address.twice", "second", "p2")
    assert "p0 in cluster lab" in found.text
    same = [row for row in two_clusters().change({"d2:ansible_host": "198.51.100.10"}).findings() if row.rule == "address.same-host"]
    assert [(row.cluster, row.host, row.severity) for row in same] == [("second", "d2", "warning")]
    assert not [row for row in two_clusters().findings() if row.rule in ("address.twice", "address.same-host")]


def test_a_rule_that_is_waived_stays_visible() -> None:
    reason = "spare host, comes into service next week"
    broken = {"@decode": ["d0", "d1", "d2"], "sglang_pools.decode.instances": [{"name": "d", "hosts": ["d0", "d1"]}]}
    (refused,) = errors(gpu_cluster(2, 3).change(broken))
    assert (refused.rule, refused.severity) == ("topology.idle-host", "error")
    accepted = gpu_cluster(2, 3).change({**broken, "sglang_waive": {"topology.idle-host": reason}})
    assert errors(accepted) == []
    (waived,) = [found for found in accepted.findings() if found.severity == "waived"]
    assert (waived.rule, waived.severity) == ("topology.idle-host", "waived")
    assert reason in waived.text
