# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every library is told of the data devices, and what is said of the operator's own NCCL settings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import Context, chosen, derive, own_subnets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.judgement import judge
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.machines import beside, blind, machine, names, nic, roce

EIGHT = names(*range(8))
# Each NIC in a subnet of its own; all in one; InfiniBand; a guest; bonds; EFA; names that are not mlx5.
RAILS = machine([roce(name, 3, f"192.0.2.{32 * number + 1}/27") for number, name in enumerate(EIGHT)], beside(*EIGHT))
FLAT = machine([roce(name, 3, f"192.0.2.{number + 1}/24") for number, name in enumerate(EIGHT)], beside(*EIGHT))
FABRIC = machine([nic(name) for name in EIGHT], beside(*EIGHT))
GUEST = machine(RAILS["devices"], blind(8), "UNKNOWN")
UNADDRESSED = machine([roce(name, 3) for name in EIGHT], beside(*EIGHT))
MIXED_GIDS = machine([roce("mlx5_0", 3, "192.0.2.1/25"), roce("mlx5_1", 5, "192.0.2.129/25")], beside("mlx5_0", "mlx5_1"))
IPV6 = machine([roce("mlx5_0", 3, "2001:db8::1/64"), roce("mlx5_1", 5, "2001:db8:0:1::1/64")], beside("mlx5_0", "mlx5_1"))
IPV6_FLAT = machine([roce("mlx5_0", 3, "2001:db8::1/64"), roce("mlx5_1", 5, "2001:db8::2/64")], beside("mlx5_0", "mlx5_1"))
NO_GID = machine([roce("mlx5_0", 3), roce("mlx5_1", None)], beside("mlx5_0", "mlx5_1"))
BONDS = machine(
    [roce(f"mlx5_bond_{number}", 3, lag={"slaves": ["a", "b"]}) for number in range(4)],
    {gpu: {f"mlx5_bond_{gpu // 2}": "PXB"} for gpu in range(8)},
)
RENAMED = machine([roce(name, 3) for name in ("rocep26s0f0", "rocep28s0f0")], beside("rocep26s0f0", "rocep28s0f0"))
UNLIKE = machine([roce("mlx5_0", 3), roce("ibp60s0", 3)], beside("mlx5_0", "ibp60s0"))
EFA = machine([nic(f"rdmap{number}s0", layer="Unspecified") for number in range(4)], {gpu: {} for gpu in range(4)})
ONE = machine([roce("mlx5_0", 1, "192.0.2.1/24")], {gpu: {} for gpu in range(8)})
STORAGE = machine([nic(name) for name in names(*range(12))], blind(8))
NONE = machine([])
CLASSED = machine([roce(name, 3, traffic_class=106) for name in EIGHT], beside(*EIGHT))

MOONCAKE = Context(engine_version="0.5.8", nodes=2, socket_interface="fab0", traffic_class=106)
PER_GPU = json.dumps({str(gpu): f"mlx5_{gpu}" for gpu in range(8)}, separators=(",", ":"))
PORTS = ",".join(f"{name}:1" for name in EIGHT)


def rows(facts: dict[str, Any], context: Context, **options: Any) -> dict[str, dict[str, Any]]:
    """Return what is derived, by name."""
    found = derive(facts, select(facts, Options(**options)), context)
    assert len({row["name"] for row in found}) == len(found)
    for row in found:
        assert row["why"]
        assert set(row) in ({"name", "value", "why"}, {"name", "unknown", "why"})
        assert isinstance(row.get("value", row.get("unknown")), str)
    return {row["name"]: row for row in found}


# Machine, what differs from Mooncake on two hosts, name, value (None: no row) or the question it waits for.
VALUES: list[tuple[dict[str, Any], dict[str, Any], str, str | None]] = [
    (RAILS, {}, "--disaggregation-ib-device", PER_GPU),
    (RAILS, {}, "MC_FORCE_HCA", "1"),
    (RAILS, {"backend": "nixl"}, "MC_FORCE_HCA", None),
    (EFA, {}, "MC_FORCE_HCA", None),
    (RAILS, {}, "MC_ENABLE_DEST_DEVICE_AFFINITY", None),
    (RAILS, {"device": "cpu"}, "MC_ENABLE_DEST_DEVICE_AFFINITY", "1"),
    (RAILS, {"device": "cpu", "cross_rail": True}, "MC_ENABLE_DEST_DEVICE_AFFINITY", None),
    (FLAT, {"device": "cpu"}, "MC_ENABLE_DEST_DEVICE_AFFINITY", None),
    (RAILS, {"engine_version": "0.5.23"}, "--disaggregation-ib-device", PER_GPU),
    (RAILS, {"engine_version": "0.6.0"}, "--disaggregation-ib-device", PER_GPU),
    (UNADDRESSED, {}, "--disaggregation-ib-device", PER_GPU),
    (RAILS, {"own_subnets": False}, "--disaggregation-ib-device", ",".join(EIGHT)),
    (FLAT, {}, "--disaggregation-ib-device", ",".join(EIGHT)),
    (FLAT, {"own_subnets": True}, "--disaggregation-ib-device", PER_GPU),
    (FLAT, {"engine_version": "0.5.15"}, "--disaggregation-ib-device", ",".join(EIGHT)),
    (FABRIC, {}, "--disaggregation-ib-device", ",".join(EIGHT)),
    (RAILS, {"device": "cpu"}, "--disaggregation-ib-device", ",".join(EIGHT)),
    (ONE, {}, "--disaggregation-ib-device", "mlx5_0"),
    (RAILS, {"backend": "nixl"}, "--disaggregation-ib-device", None),
    (RAILS, {"backend": "mooncake_tcp"}, "--disaggregation-ib-device", None),
    (NONE, {}, "--disaggregation-ib-device", None),
    (EFA, {}, "MOONCAKE_PROTOCOL", "efa"),
    (EFA, {}, "NCCL_IB_HCA", None),
    (EFA, {"backend": "nixl"}, "NCCL_IB_HCA", None),
    (EFA, {"backend": "nixl"}, "UCX_NET_DEVICES", None),
    (EFA, {"backend": "nixl"}, "MOONCAKE_PROTOCOL", None),
    (EFA, {"backend": "nixl"}, "NCCL_SOCKET_IFNAME", "=fab0"),
    (EFA, {"deepep": True}, "NVSHMEM_HCA_LIST", None),
    (RAILS, {}, "NCCL_IB_HCA", f"={PORTS}"),
    (RAILS, {"device": "rocm"}, "NCCL_IB_HCA", f"={PORTS}"),
    (RAILS, {"device": "cpu"}, "NCCL_IB_HCA", None),
    (RAILS, {"backend": "mooncake_tcp"}, "NCCL_IB_HCA", f"={PORTS}"),
    (RAILS, {"backend": "mooncake_tcp"}, "MC_GID_INDEX", None),
    (RAILS, {}, "NCCL_IB_GID_INDEX", "3"),
    (RAILS, {}, "MC_GID_INDEX", "3"),
    (ONE, {"device": "cpu"}, "MC_GID_INDEX", "1"),
    (ONE, {"device": "cpu"}, "NCCL_IB_GID_INDEX", None),
    (RAILS, {"backend": "nixl"}, "MC_GID_INDEX", None),
    (RAILS, {"backend": "nixl"}, "UCX_IB_GID_INDEX", "3"),
    (RAILS, {"deepep": True}, "NVSHMEM_IB_GID_INDEX", "3"),
    (MIXED_GIDS, {"address_range": "192.0.2.0/24"}, "NCCL_IB_ADDR_RANGE", "192.0.2.0/24"),
    (MIXED_GIDS, {"address_range": "192.0.2.0/24"}, "NCCL_IB_ADDR_FAMILY", None),
    (IPV6, {"address_range": "2001:db8::/32"}, "NCCL_IB_ADDR_RANGE", "2001:db8::/32"),
    (IPV6, {"address_range": "2001:db8::/32"}, "NCCL_IB_ADDR_FAMILY", "AF_INET6"),
    (IPV6, {"address_range": "2001:db8::/32"}, "--disaggregation-ib-device", '{"0":"mlx5_0","1":"mlx5_1"}'),
    (IPV6_FLAT, {"address_range": "2001:db8::/32"}, "--disaggregation-ib-device", "mlx5_0,mlx5_1"),
    (MIXED_GIDS, {}, "NCCL_IB_GID_INDEX", None),
    (MIXED_GIDS, {}, "MC_GID_INDEX", None),
    (MIXED_GIDS, {"device": "cpu"}, "NCCL_IB_ADDR_RANGE", None),
    (FABRIC, {}, "NCCL_IB_GID_INDEX", None),
    (FABRIC, {}, "MC_IB_TC", None),
    (RAILS, {}, "MC_IB_TC", "106"),
    (RAILS, {}, "NCCL_IB_TC", "106"),
    (RAILS, {"deepep": True}, "NVSHMEM_IB_TRAFFIC_CLASS", "106"),
    (RAILS, {"backend": "nixl"}, "UCX_IB_TRAFFIC_CLASS", "106"),
    (RAILS, {"backend": "nixl"}, "MC_IB_TC", None),
    (RAILS, {"deepep": True}, "NVSHMEM_HCA_LIST", PORTS),
    (RAILS, {"deepep": True}, "NVSHMEM_HCA_PREFIX", None),
    (RAILS, {"deepep": True}, "NVSHMEM_HCA_PE_MAPPING", None),
    (RAILS, {}, "NVSHMEM_HCA_LIST", None),
    (RAILS, {"deepep": True, "device": "rocm"}, "NVSHMEM_HCA_LIST", None),
    (RENAMED, {"deepep": True}, "NVSHMEM_HCA_PREFIX", "rocep"),
    (BONDS, {"deepep": True}, "NVSHMEM_HCA_LIST", None),
    (BONDS, {"deepep": True}, "NVSHMEM_ENABLE_NIC_PE_MAPPING", "1"),
    (BONDS, {"deepep": True}, "NVSHMEM_HCA_PE_MAPPING", ",".join(f"mlx5_bond_{number}:1:2" for number in range(4))),
    (GUEST, {"deepep": True}, "NVSHMEM_HCA_PE_MAPPING", ",".join(f"{name}:1:1" for name in EIGHT)),
    (RAILS, {"backend": "nixl"}, "UCX_NET_DEVICES", f"{PORTS},fab0"),
    (RAILS, {}, "UCX_NET_DEVICES", None),
    (RAILS, {}, "NCCL_SOCKET_IFNAME", "=fab0"),
    (RAILS, {}, "GLOO_SOCKET_IFNAME", "fab0"),
    (NONE, {}, "NCCL_SOCKET_IFNAME", "=fab0"),
    (RAILS, {"device": "cpu"}, "NCCL_SOCKET_IFNAME", None),
    (RAILS, {"device": "cpu"}, "GLOO_SOCKET_IFNAME", "fab0"),
    (RAILS, {"cross_rail": False}, "NCCL_CROSS_NIC", "0"),
    (RAILS, {"cross_rail": True}, "NCCL_CROSS_NIC", None),
    (RAILS, {"cross_rail": False, "nodes": 1}, "NCCL_CROSS_NIC", None),
    (ONE, {"cross_rail": False}, "NCCL_CROSS_NIC", None),
]


@pytest.mark.parametrize(("facts", "differs", "name", "value"), VALUES, ids=[f"{row[2]}-{index}" for index, row in enumerate(VALUES)])
def test_value(facts: dict[str, Any], differs: dict[str, Any], name: str, value: str | None) -> None:
    found = rows(facts, replace(MOONCAKE, **differs))
    assert found.get(name, {}).get("value") == value
    assert value is not None or name not in found


@pytest.mark.parametrize(
    ("facts", "differs", "name", "question", "why"),
    [
        (RAILS, {"engine_version": "0.5.15"}, "--disaggregation-ib-device", "whether SGLang 0.5.15 takes a JSON object", "device per GPU"),
        (RAILS, {"engine_version": ""}, "--disaggregation-ib-device", "SGLang of unknown version", "device per GPU"),
        (GUEST, {}, "--disaggregation-ib-device", "neither PCI nor NUMA tells which of mlx5_0", "sglang_rdma_device_map gives it"),
        (machine(RAILS["devices"]), {}, "--disaggregation-ib-device", "the facts show no GPU", "sglang_rdma_device_map"),
        (STORAGE, {}, "--disaggregation-ib-device", "12 equal ports", "sglang_rdma_devices answers it"),
        (STORAGE, {}, "NCCL_IB_HCA", "12 equal ports", "sglang_rdma_devices answers it"),
        (NO_GID, {}, "NCCL_IB_GID_INDEX", "RoCE v2 GID of mlx5_1", "need addresses"),
        (MIXED_GIDS, {}, "NCCL_IB_ADDR_RANGE", "sglang_rdma_address_range", "mlx5_0 3, mlx5_1 5"),
        (RAILS, {"traffic_class": None}, "MC_IB_TC", "sglang_rdma_traffic_class", "lossless class of the switches"),
        (CLASSED, {"traffic_class": None}, "MC_IB_TC", "sglang_rdma_traffic_class", "the host has set 106 for all data ports"),
        (UNLIKE, {"deepep": True}, "NVSHMEM_HCA_PREFIX", "a text common to all names", "skips devices"),
        (RAILS, {"backend": "nixl", "socket_interface": ""}, "UCX_NET_DEVICES", "sglang_fabric_interface", f"{PORTS} and one interface"),
        (RAILS, {"socket_interface": ""}, "GLOO_SOCKET_IFNAME", "sglang_fabric_interface", "any interface"),
    ],
)
def test_unknown(facts: dict[str, Any], differs: dict[str, Any], name: str, question: str, why: str) -> None:
    row = rows(facts, replace(MOONCAKE, **differs))[name]
    assert question in row["unknown"]
    assert why in row["why"]


def test_an_operators_map_answers_for_a_guest() -> None:
    found = rows(GUEST, MOONCAKE, gpu_map={gpu: f"mlx5_{7 - gpu}" for gpu in range(8)})
    assert json.loads(found["--disaggregation-ib-device"]["value"])["0"] == "mlx5_7"


def test_nothing_is_told_of_devices_while_the_choice_is_open() -> None:
    assert set(rows(STORAGE, MOONCAKE)) == {"--disaggregation-ib-device", "NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"}


def test_the_reason_names_what_was_left_out() -> None:
    facts = machine([*RAILS["devices"], roce("mlx5_8", 3, rate=100)], beside(*EIGHT))
    assert "8 ACTIVE 400 Gb/s ports; left out mlx5_8 100 Gb/s" in rows(facts, MOONCAKE)["NCCL_IB_HCA"]["why"]


@pytest.mark.parametrize(
    ("facts", "told", "expected"),
    [
        (RAILS, None, True), (FLAT, None, False), (FABRIC, None, False), (UNADDRESSED, None, None),
        (FLAT, True, True), (RAILS, False, False),
        (machine([roce("a", 3, "192.0.2.0/31"), roce("b", 3, "192.0.2.2/31")]), None, True),
        (machine([roce("a", 3, "192.0.2.1/24"), roce("b", 3, "169.254.1.1/16")]), None, None),
        (machine([roce("a", 3, "192.0.2.1/24"), roce("b", 3, "2001:db8::1/64")]), None, None),
        (NONE, None, None),
    ],
)
def test_own_subnets(facts: dict[str, Any], told: bool | None, expected: bool | None) -> None:
    assert own_subnets(chosen(facts, select(facts)), Context(own_subnets=told)) is expected


def near(path: str) -> dict[str, Any]:
    """Return a machine whose NICs are all at one distance of their GPUs."""
    return machine([roce(name, 3, f"192.0.2.{32 * number + 1}/27") for number, name in enumerate(EIGHT)], beside(*EIGHT, path=path), "SYS")


@pytest.mark.parametrize(
    ("path", "level", "ok", "why"),
    [
        ("PIX", "PIX", True, "reaches PIX"),
        ("PXB", "PIX", False, "PIX switches GPUDirect off for GPU 0 PXB"),
        ("PXB", None, True, "reaches PXB"),
        ("PXB", "PXB", True, "reaches PXB"),
        ("PXB", "2", True, "reaches PXB"),
        ("PXB", "1", False, "PIX switches GPUDirect off"),
        ("PIX", "LOC", False, "LOC switches GPUDirect off"),
        ("PIX", "SYS", True, "makes no difference"),
        ("PHB", None, None, "the default PXB switches GPUDirect off for GPU 0 PHB"),
        ("PHB", "PXB", False, "PXB switches GPUDirect off"),
        ("PHB", "phb", True, "reaches PHB"),
        ("NODE", "PHB", False, "PHB switches GPUDirect off for GPU 0 NODE"),
        ("NODE", "SYS", True, "reaches NODE"),
        ("PIX", "NEAR", False, "NEAR is none of LOC"),
        ("UNKNOWN", "PIX", None, "not known"),
    ],
)
def test_gdr_level(path: str, level: str | None, ok: bool | None, why: str) -> None:
    facts = near(path)
    # A guest's operator says who is near whom, and still nothing tells how near.
    selection = select(facts, Options(gpu_map={gpu: f"mlx5_{gpu}" for gpu in range(8)}))
    row = judge({"NCCL_NET_GDR_LEVEL": level} if level else {}, facts, selection, MOONCAKE)[0]
    assert (row["name"], row["value"], row["ok"]) == ("NCCL_NET_GDR_LEVEL", level, ok)
    assert why in row["why"]
    assert bool(row["fix"]) == (ok is not True and path != "UNKNOWN")


@pytest.mark.parametrize(
    ("facts", "value", "reach", "ok", "why"),
    [
        (RAILS, None, None, None, "is not known"),
        (RAILS, "1", None, None, "is not known"),
        (RAILS, "0", None, True, "stay on their rails"),
        (RAILS, "0", False, True, "stay on their rails"),
        (RAILS, "1", False, False, "do not reach each other"),
        (RAILS, None, False, False, "unset (2: cross"),
        (RAILS, "1", True, True, "reach each other"),
        (FLAT, "1", None, True, "in one network"),
        (FLAT, "1", False, False, "do not reach each other"),
        (FABRIC, None, None, True, "in one network"),
        (ONE, "1", False, True, "nothing to cross"),
        (RAILS, "yes", True, False, "yes is none of 0, 1, 2"),
    ],
)
def test_cross_nic(facts: dict[str, Any], value: str | None, reach: bool | None, ok: bool | None, why: str) -> None:
    environment = {"NCCL_CROSS_NIC": value} if value else {}
    row = judge(environment, facts, select(facts), replace(MOONCAKE, cross_rail=reach))[1]
    assert (row["name"], row["value"], row["ok"]) == ("NCCL_CROSS_NIC", value, ok)
    assert why in row["why"]
    assert bool(row["fix"]) == (ok is not True)


@pytest.mark.parametrize(("facts", "differs"), [(RAILS, {"nodes": 1}), (RAILS, {"device": "cpu"}), (NONE, {}), (STORAGE, {})])
def test_nothing_to_judge(facts: dict[str, Any], differs: dict[str, Any]) -> None:
    assert judge({"NCCL_NET_GDR_LEVEL": "LOC"}, facts, select(facts), replace(MOONCAKE, **differs)) == []
