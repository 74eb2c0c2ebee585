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
NEW = {"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}
HCA = "=" + ",".join(f"{name}:1" for name in DEVICES)
WAIVED = {"facts.gid-index": "a fabric that nobody has seen yet"}
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
        (NEW, "WITH_NVIDIA_PEERMEM", "1"),
        ({"sglang_transfer_backend": "nixl"}, "UCX_NET_DEVICES", ",".join(f"{name}:1" for name in DEVICES) + ",fab0"),
        ({}, "CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ({}, "MC_FORCE_HCA", "1"),
        ({"sglang_env.MC_FORCE_HCA": None}, "MC_FORCE_HCA", None),
        ({"sglang_env.MC_FORCE_TCP": "1"}, "MC_FORCE_HCA", None),
        ({"sglang_env.MC_FORCE_MNNVL": "1"}, "MC_FORCE_HCA", None),
        ({**NEW, "sglang_transfer_backend": "mooncake_tcp"}, "NCCL_IB_HCA", HCA),
        ({**NEW, "sglang_transfer_backend": "mooncake_tcp"}, "MC_FORCE_HCA", None),
        ({**NEW, "sglang_env.WITH_NVIDIA_PEERMEM": None}, "WITH_NVIDIA_PEERMEM", None),
        ({"sglang_transfer_backend": "nixl", "sglang_gid_index": 5, "sglang_waive": WAIVED}, "UCX_IB_GID_INDEX", "5"),
        ({"sglang_env.NCCL_NET_GDR_LEVEL": "PXN"}, "NCCL_NET_GDR_LEVEL", "PXN"),
        ({"sglang_env.NCCL_IB_HCA": "=mlx5_1:1"}, "NCCL_IB_HCA", "=mlx5_1:1"),
        ({**NEW, "sglang_transfer_backend": "nixl", "sglang_rdma_device_map": MAP}, "UCX_NET_DEVICES", None),
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


def single(**changes: Any) -> Inventory:
    """Return instances of four GPUs of one host each, on hosts of eight."""
    four = {"sglang_pools.prefill.tp": 4, "sglang_pools.decode.tp": 4, "sglang_model": {"path": "/opt/models/m", "name": "m"}}
    return looked(1, 1, 1).change({**four, **changes})


def test_gpus_that_a_process_does_not_see() -> None:
    found = rank(single(sglang_host_env={"CUDA_VISIBLE_DEVICES": "4,5,6,7"}), "p0")
    assert json.loads(device(found)) == dict(zip("0123", DEVICES[4:]))


def test_a_map_of_the_gpus_that_are_used() -> None:
    part = {str(gpu): DEVICES[gpu] for gpu in range(4)}
    assert json.loads(device(rank(single(sglang_rdma_device_map=part), "p0"))) == part


def test_ranks_of_cpus_have_a_map() -> None:
    inventory = cluster().change({"sglang_rdma": True, "sglang_rdma_device_map": {"0": "mlx5_0", "1": "mlx5_1"}})
    inventory.facts = {host: soft(index + 1) for index, host in enumerate(HOSTS)}
    assert json.loads(device(rank(inventory, "p0"))) == {"0": "mlx5_0", "1": "mlx5_1"}


def test_an_engine_of_one_host_needs_no_rdma() -> None:
    plain = {"sglang_pools": {"all": {"mode": "plain", "group": "prefill", "tp": 8, "port": 30000}}}
    inventory = looked(2, 0, 1).change({**plain, "!p0": machine([], BESIDE), "!p1": machine([], BESIDE)})
    assert not [row for row in inventory.findings() if row.rule.startswith("facts.")]


def test_two_ports_of_one_device() -> None:
    inventory = looked().change({"sglang_rdma_devices": ["mlx5_0:1", "mlx5_0:2"]})
    inventory.facts = {}
    assert "rdma.twice" not in {row.rule for row in inventory.findings()}


def test_what_nixl_is_told_of() -> None:
    changes = {**NEW, "sglang_transfer_backend": "nixl", "sglang_fabric_interface": GONE, "sglang_rdma_devices": DEVICES}
    found = rank(single(**changes), "p0")
    assert device(found) == ",".join(DEVICES)
    assert "UCX_NET_DEVICES" not in found["environment"]


def test_a_written_choice_of_nvshmem_stands_alone() -> None:
    written = {"NVSHMEM_ENABLE_NIC_PE_MAPPING": "1", "NVSHMEM_HCA_PE_MAPPING": "mlx5_0:1:1"}
    found = looked().change({"sglang_args.moe-a2a-backend": "deepep", "sglang_env": written}).findings()
    assert "environment.exclusive" not in {row.rule for row in found}


@pytest.mark.parametrize("written", [{}, {"NVSHMEM_ENABLE_NIC_PE_MAPPING": "1"}])
def test_nvshmem_is_told_of_the_data_devices_alone(written: dict[str, str]) -> None:
    inventory = looked().change({"sglang_args.moe-a2a-backend": "deepep", "sglang_env": written})
    assert "environment.incomplete" not in {row.rule for row in inventory.findings()}
    assert rank(inventory, "p0")["environment"]["NVSHMEM_HCA_LIST"] == ",".join(f"{name}:1" for name in DEVICES)


def test_addresses_in_the_range_count() -> None:
    def two(number: int) -> dict[str, Any]:
        rows = [roce(name, 3, f"203.0.113.{32 * rail + number}/27") for rail, name in enumerate(DEVICES)]
        for row in rows:
            row["ports"][0]["addresses"].insert(0, f"198.51.100.{number}/24" if number % 2 else f"192.0.2.{number}/24")
        return machine(rows, BESIDE, system=PEERMEM)

    inventory = looked().change({"sglang_rdma_address_range": "203.0.113.0/24"})
    inventory.facts = {host: two(index + 1) for index, host in enumerate(HOSTS)}
    assert "rails.differ" not in {row.rule for row in inventory.findings()}
    assert json.loads(device(rank(inventory, "p0"))) == MAP


def test_a_run_that_leaves_hosts_out_says_nothing_of_them() -> None:
    inventory = looked().change({"!d0": GONE, "!d1": GONE, "sglang_rdma_traffic_class": 106})
    assert not [row for row in inventory.findings() if row.severity in ("error", "warning")]
    assert [rank(inventory, host)["environment"]["MC_IB_TC"] for host in ("p0", "d0")] == ["106", "106"]


@pytest.mark.parametrize("broken", [{"system": ["x"]}, {"system": {"peermem": True}}, {"system": {"dmabuf": 1}}])
def test_facts_that_break_late(broken: dict[str, Any]) -> None:
    found = looked().change({"!p0": {**rails(1), **broken}}).findings()
    assert [(row.rule, row.host) for row in found if row.severity == "error"] == [("facts.form", "p0")]
