# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of hosts that were looked at: every rank is told of the devices of its own host, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import (
    DEVICES,
    GONE,
    Inventory,
    cluster,
    gpu_cluster,
    looked,
    options,
    rails,
)
from ansible_collections.railyard.sglang.tests.unit.support.machines import beside, machine, roce

MAP = {str(gpu): name for gpu, name in enumerate(DEVICES)}
OPTION = "--disaggregation-ib-device"
HOSTS = ("p0", "p1", "d0", "d1")
PEERMEM = {"peermem": {"loaded": True}}
BESIDE = beside(*DEVICES)


def soft(number: int) -> dict[str, Any]:
    """Return the facts of a host with two soft devices."""
    rows = enumerate(("mlx5_0", "mlx5_1"))
    return machine([roce(name, 1, f"203.0.113.{64 * rail + number}/26", virtual=True, rate=2.5) for rail, name in rows])


def rank(inventory: Inventory, host: str) -> dict[str, Any]:
    """Return the only rank of a host, which is planned without an error."""
    (found,) = inventory.plan()["hosts"][host]["ranks"]
    return found


def device(row: dict[str, Any]) -> str:
    """Return the data devices that SGLang is told of."""
    return str(row["arguments"].get(OPTION[2:]) or options(row["argv"])[OPTION][0])


def test_a_rank_is_told_of_its_host() -> None:
    found = rank(looked(), "p0")
    assert json.loads(device(found)) == {str(gpu): name for gpu, name in enumerate(DEVICES)}
    assert found["environment"]["NCCL_IB_HCA"] == "=" + ",".join(f"{name}:1" for name in DEVICES)
    assert found["environment"]["NCCL_IB_GID_INDEX"] == found["environment"]["MC_GID_INDEX"] == "3"
    assert found["unknown"] == []
    assert found["reasons"]["NCCL_IB_HCA"].startswith("8 ACTIVE 400 Gb/s ports; left out mlx5_1 100 Gb/s, mlx5_2 100 Gb/s")
    assert "nearest NIC of every GPU" in found["reasons"][OPTION]


def test_hosts_with_other_devices_have_other_values() -> None:
    other = machine([roce(f"mlx5_{rail}", 5, f"203.0.113.{32 * rail + 9}/27") for rail in range(8)],
                    {gpu: {f"mlx5_{7 - gpu}": "PIX"} for gpu in range(8)}, system=PEERMEM)
    inventory = looked().change({"!d1": other})
    assert rank(inventory, "p0")["environment"]["MC_GID_INDEX"] == "3"
    found = rank(inventory, "d1")
    assert found["environment"]["MC_GID_INDEX"] == "5"
    assert json.loads(device(found))["0"] == "mlx5_7"
    assert [row["device"] for row in inventory.plan()["hosts"]["d1"]["rdma"]["rails"]] == [f"mlx5_{7 - gpu}" for gpu in range(8)]


def test_one_network_needs_no_map() -> None:
    flat = {
        f"!{host}": machine([roce(name, 3, f"203.0.113.{16 * index + rail + 128}/24") for rail, name in enumerate(DEVICES)], BESIDE,
                            system=PEERMEM)
        for index, host in enumerate(HOSTS)
    }
    assert device(rank(looked().change(flat), "p0")) == ",".join(DEVICES)


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"sglang_gid_index": 3}, "MC_GID_INDEX", "3"),
        ({"sglang_env.NCCL_IB_HCA": "=mlx5_3"}, "NCCL_IB_HCA", "=mlx5_3"),
        ({"sglang_env.NCCL_IB_HCA": None}, "NCCL_IB_HCA", None),
        ({"sglang_rdma_traffic_class": 106}, "MC_IB_TC", "106"),
        ({"sglang_rdma_cross_rail": False}, "NCCL_CROSS_NIC", "0"),
        ({"sglang_rdma_devices": ["mlx5_4", "mlx5_3"]}, "NCCL_IB_HCA", "=mlx5_4:1,mlx5_3:1"),
        ({}, "WITH_NVIDIA_PEERMEM", None),
        ({"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}, "WITH_NVIDIA_PEERMEM", "1"),
        ({"sglang_transfer_backend": "nixl"}, "UCX_NET_DEVICES", ",".join(f"{name}:1" for name in DEVICES) + ",fab0"),
        ({}, "MC_FORCE_HCA", "1"),
        ({"sglang_env.MC_FORCE_HCA": None}, "MC_FORCE_HCA", None),
        ({"sglang_env.MC_FORCE_TCP": "1"}, "MC_FORCE_HCA", None),
        ({}, "MC_ENABLE_DEST_DEVICE_AFFINITY", None),
        ({"sglang_rdma": False}, "MC_FORCE_TCP", "1"),
        ({"sglang_rdma": False}, "NCCL_IB_DISABLE", "1"),
        ({"sglang_rdma": False}, "NCCL_IB_HCA", None),
    ],
)
def test_the_operators_word(changes: dict[str, Any], name: str, value: str | None) -> None:
    assert rank(looked().change(changes), "p0")["environment"].get(name) == value


def test_a_map_of_the_operators_wins() -> None:
    mapped = {str(gpu): DEVICES[7 - gpu] for gpu in range(8)}
    found = rank(looked().change({"sglang_rdma_device_map": mapped}), "p0")
    assert json.loads(device(found)) == mapped
    assert found["reasons"][OPTION].startswith("sglang_rdma_device_map")


def test_hosts_that_nobody_has_looked_at() -> None:
    inventory = looked().change({"!d0": GONE, "!d1": GONE})
    assert rank(inventory, "p0")["unknown"] == []
    assert {row["name"] for row in rank(inventory, "d0")["unknown"]} == {OPTION, "NCCL_IB_HCA", "NCCL_IB_GID_INDEX", "MC_GID_INDEX"}
    rdma = {host: row["rdma"] for host, row in inventory.plan()["hosts"].items()}
    assert [rdma["p0"]["known"], rdma["d0"]["known"]] == [True, False]
    assert rdma["r0"] is None


def test_a_slice_tells_the_stages() -> None:
    found = looked().plan()["hosts"]["p0"]["rdma"]
    assert found["devices"] == DEVICES
    assert found["modules"] == ["nvidia_peermem"]
    assert (found["gid_index"], found["rate"], found["link_layer"]) == (3, 400, "Ethernet")
    assert found["left_out"] == {"mlx5_1:1": "100 Gb/s, slower than 400 Gb/s", "mlx5_2:1": "100 Gb/s, slower than 400 Gb/s"}
    assert found["registration"]["ok"] is True
    assert set(found["gpu_paths"].values()) == {"PIX"}


def test_facts_of_the_rails_are_compared() -> None:
    found = looked().change({"!d1": {**rails(4), "devices": rails(4)["devices"][1:] + rails(4)["devices"][:1]}}).findings()
    assert "rails.differ" not in {row.rule for row in found}
    crossed = machine([roce(name, 3, f"203.0.113.{32 * (7 - rail) + 9}/27") for rail, name in enumerate(DEVICES)],
                      BESIDE, system=PEERMEM)
    found = looked().change({"!d1": crossed}).findings()
    assert [row.host for row in found if row.rule == "rails.differ"] == ["d1"]


def test_cpus_with_rdma() -> None:
    inventory = cluster().change({"sglang_rdma": True})
    found = rank(inventory, "p0")
    assert "MC_FORCE_TCP" not in found["environment"]
    assert {row["name"] for row in found["unknown"]} == {OPTION, "MC_GID_INDEX"}
    inventory.facts = {host: soft(index + 1) for index, host in enumerate(HOSTS)}
    found = rank(inventory, "p0")
    assert device(found) == "mlx5_0,mlx5_1"
    assert found["environment"]["MC_GID_INDEX"] == "1"
    assert not [name for name in found["environment"] if name.startswith("NCCL_")]
    assert {"MC_FORCE_HCA", "MC_ENABLE_DEST_DEVICE_AFFINITY"} <= set(found["environment"])
    assert found["unknown"] == []


def test_cpus_without_rdma_are_not_looked_at() -> None:
    inventory = cluster()
    before = inventory.plan()
    inventory.facts = {"p0": soft(1)}
    assert inventory.plan() == before
    assert before["hosts"]["p0"]["rdma"] is None


def test_a_written_list_is_what_the_module_is_asked_for() -> None:
    plan = gpu_cluster().change({"p0:sglang_rdma_devices": ["0000:1a:00.0"], "p1:sglang_rdma_device_map": MAP}).plan()
    asked = {host: row["rdma"]["selection"] for host, row in plan["hosts"].items() if row["rdma"]}
    assert asked["p0"]["include"] == ["0000:1a:00.0"]
    assert (asked["p1"]["include"], asked["p1"]["gpu_map"]) == (DEVICES, MAP)
    assert OPTION in {row["name"] for row in plan["hosts"]["p0"]["ranks"][0]["unknown"]}
