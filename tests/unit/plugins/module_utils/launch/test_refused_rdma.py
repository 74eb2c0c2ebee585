# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA devices that the host does not have, that SGLang does not read, or that are too few."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules import ib_device
from ansible_collections.railyard.sglang.tests.unit.support.clusters import DEVICES, GONE, Inventory, Refusal, gpu_cluster

OPTION, MAP, LEVEL = "sglang_args.disaggregation-ib-device", "sglang_rdma_device_map", "sglang_env.NCCL_NET_GDR_LEVEL"
UNKNOWN = {"sglang_rdma_devices": GONE}
FULL = {str(gpu): name for gpu, name in enumerate(DEVICES)}
HALF = {str(gpu): name for gpu, name in enumerate(DEVICES[:4])}
NEW = {"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}


def form(value: Any, text: str, **more: Any) -> Refusal:
    return Refusal("rdma.form", {OPTION: value, **more}, OPTION, text, "write mlx5_0,mlx5_3", "p0")


REFUSALS = {
    "a device twice": Refusal(
        "rdma.twice", {"p1:sglang_rdma_devices": ["mlx5_0", "mlx5_3", "mlx5_0"]}, "sglang_rdma_devices", "mlx5_0 is named", "once", "p1"
    ),
    "a map that NCCL may leave": Refusal(
        "rdma.cross-nic", {MAP: FULL, "sglang_env.NCCL_CROSS_NIC": "1"}, "sglang_env.NCCL_CROSS_NIC", "leave the NIC that the map", "set 0"
    ),
    "an argument that NIXL does not read": Refusal(
        "rdma.nixl-devices", {"sglang_transfer_backend": "nixl", OPTION: "mlx5_0"}, OPTION, "NIXL of 0.5.8 does not read", "UCX_NET_DEVICES"
    ),
    "NIXL with every device": Refusal(
        "rdma.nixl-devices",
        {"sglang_transfer_backend": "nixl", **UNKNOWN},
        "sglang_env.UCX_NET_DEVICES",
        "UCX takes every device",
        "sglang_fabric_interface",
        severity="note",
    ),
    "a blank after a comma": form("mlx5_0, mlx5_3", "holds blanks"),
    "a port": form("mlx5_0:1,mlx5_3:1", "'mlx5_0:1' has a port"),
    "a port at one of them": form("mlx5_0,mlx5_3:1", "'mlx5_3:1' has a port"),
    "a port in 0.5.23": form("mlx5_0:1", "has a port", **NEW),
    "an empty name": form("mlx5_0,,mlx5_3", "holds an empty name"),
    "a list in JSON": form('["mlx5_0", "mlx5_3"]', "is JSON, but no map of GPUs"),
    "a number": form("0", "'0' is JSON, but no map"),
    "a map of Python": form("{0: 'mlx5_0'}", "is not JSON, and is taken for the name of a device"),
    "a map of names": form('{"gpu0": "mlx5_0"}', "'gpu0': 'mlx5_0' is not the number of a GPU"),
    "a map of lists": form({str(gpu): [name] for gpu, name in enumerate(DEVICES)}, "'0': ['mlx5_0'] is not the number"),
    "an empty map": form("{}", "the map is empty"),
    "a port in a map": form({**FULL, "3": "mlx5_4:1"}, "GPU 3: 'mlx5_4:1' has a port"),
    "a file that is no map": form({"file": "map.json"}, "is JSON, but no map", sglang_files={"map.json": {"content": "[1]"}}),
    "a map of half the GPUs": Refusal(
        "rdma.map-incomplete", {OPTION: HALF}, OPTION, "GPU 4, 5, 6, 7 of decode-0 is not in the map", "GPU 0 to 7", "d0"
    ),
    "a file of half the GPUs": Refusal(
        "rdma.map-incomplete",
        {
            OPTION: {"file": "map.json"},
            "sglang_pools.prefill.files": {"map.json": {"content": HALF}},
            "sglang_files": {"map.json": {"content": FULL}},
        },
        OPTION,
        "GPU 4, 5, 6, 7 of prefill-0",
        host="p1",
    ),
    "a host's map of half the GPUs": Refusal("rdma.map-incomplete", {f"p1:{MAP}": HALF}, MAP, "GPU 4, 5, 6, 7 of prefill-0", host="p1"),
    "the other half of a shared host": Refusal(
        "rdma.map-incomplete",
        {
            OPTION: HALF,
            "sglang_pools.prefill.tp": 8,
            "sglang_pools.prefill.instances": [{"name": "a", "hosts": ["p0", "p1"], "first_gpu": 4}],
        },
        OPTION,
        "GPU 4, 5, 6, 7 of a",
        "GPU 4 to 7",
        "p0",
    ),
    "a device that is not there": Refusal(
        "rdma.device-unknown", {OPTION: "mlx5_0,mlx5_2"}, OPTION, "mlx5_2 is not among the data devices of the host (mlx5_0,", host="d1"
    ),
    "a device of another host": Refusal(
        "rdma.device-unknown",
        {OPTION: ",".join(DEVICES), "p1:sglang_rdma_devices": ["rail0", "rail1"]},
        OPTION,
        "mlx5_0, mlx5_3",
        host="p1",
    ),
    "a device in the map that is not there": Refusal(
        "rdma.device-unknown", {MAP: {**FULL, "7": "mlx5_7"}}, MAP, "mlx5_7 is not among", host="p0"
    ),
    "NCCL told of a device that is not there": Refusal(
        "rdma.device-unknown",
        {"sglang_env.NCCL_IB_HCA": "=mlx5_0,mlx5_1:1"},
        "sglang_env.NCCL_IB_HCA",
        "mlx5_1 is not among",
        "sglang_rdma_devices",
        "p0",
    ),
    "UCX told of a device that is not there": Refusal(
        "rdma.device-unknown",
        {"sglang_transfer_backend": "nixl", "sglang_env.UCX_NET_DEVICES": "mlx5_0:1,mlx5_8:1,fab0"},
        "sglang_env.UCX_NET_DEVICES",
        "mlx5_8 is not among",
        host="d0",
    ),
    "one NIC for all ranks": Refusal(
        "rdma.one-nic", {OPTION: "mlx5_0"}, OPTION, "8 GPUs of prefill-0 share mlx5_0, and mlx5_3, mlx5_4", "sglang_rdma_device_map", "p0"
    ),
    "one NIC in a map": Refusal("rdma.one-nic", {MAP: dict.fromkeys(FULL, "mlx5_0")}, MAP, "8 GPUs of prefill-0 share mlx5_0", host="p1"),
    "one NIC, and nothing known of the others": Refusal(
        "rdma.one-nic", {**UNKNOWN, OPTION: "mlx5_0"}, OPTION, "8 GPUs of decode-0 share mlx5_0", host="d1"
    ),
    "one NIC for the KV cache, eight for NCCL": Refusal(
        "rdma.one-nic",
        {**UNKNOWN, OPTION: "mlx5_0", "sglang_env.NCCL_IB_HCA": "=mlx5_0,mlx5_3,mlx5_4"},
        OPTION,
        "share mlx5_0, and mlx5_3, mlx5_4 move no KV cache",
        host="d1",
    ),
    "PIX on hosts whose NICs are PXB": Refusal(
        "rdma.gdr-level",
        {LEVEL: "PIX", "d1:sglang_gpu_nic_path": "PXB"},
        LEVEL,
        "are PXB away from its GPUs, and NCCL_NET_GDR_LEVEL=PIX is nearer: GPUDirect RDMA is off",
        "NCCL_NET_GDR_LEVEL: PXB",
        "d1",
    ),
    "the level as a number": Refusal("rdma.gdr-level", {LEVEL: "2", "d1:sglang_gpu_nic_path": "NODE"}, LEVEL, "NODE away", ": PHB", "d1"),
    "NCCL's own level": Refusal(
        "rdma.gdr-level", {"p1:sglang_gpu_nic_path": "SYS"}, LEVEL, "NCCL's own level PXB is nearer", ": SYS", "p1", "note"
    ),
    "a host with fewer NICs": Refusal(
        "rdma.devices-differ", {"p1:sglang_rdma_devices": DEVICES[:4]}, "sglang_rdma_devices", "(p0 8, p1 4): the slowest host", host="p1"
    ),
    "a host whose NICs are not named": Refusal(
        "rdma.devices-differ", {"d1:sglang_rdma_devices": GONE}, "sglang_rdma_devices", "(d0 8, d1 none)", host="d1"
    ),
    "a device with no port's number": Refusal(
        "input.type", {"p1:sglang_rdma_devices": ["mlx5_0:a"]}, "sglang_rdma_devices[0]", "'mlx5_0:a'", "mlx5_0:1", "p1"
    ),
    "a device that is no text": Refusal(
        "input.type", {"p1:sglang_rdma_devices": [0]}, "sglang_rdma_devices[0]", "0 is neither the name of a device", host="p1"
    ),
    "a map of names by a host": Refusal(
        "input.type", {f"p1:{MAP}": {"gpu0": "mlx5_0"}}, f"{MAP}.gpu0", "is not the number of a GPU", host="p1"
    ),
    "a map of lists by a host": Refusal("input.type", {f"p1:{MAP}": {0: ["mlx5_0"]}}, f"{MAP}.0", "devices as one text", host="p1"),
    "a path that nobody measures": Refusal(
        "input.type", {"p1:sglang_gpu_nic_path": "NEAR"}, "sglang_gpu_nic_path", "is not one of", host="p1"
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


def found(inventory: Inventory) -> list[str]:
    rows = inventory.findings()
    assert "input.type" not in {row.rule for row in rows}
    return [row.rule for row in rows if row.rule.startswith("rdma.")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sglang_transfer_backend": "nixl"},
        {**NEW, "sglang_transfer_backend": "nixl", OPTION: "mlx5_0,mlx5_3"},
        {"sglang_env.NCCL_CROSS_NIC": "1"},
        {MAP: FULL, "sglang_env.NCCL_CROSS_NIC": "0"},
        UNKNOWN,
        {OPTION: None},
        {OPTION: ",".join(DEVICES)},
        {OPTION: FULL},
        {OPTION: {gpu: f"{name},{DEVICES[0]}" for gpu, name in FULL.items()}},
        {OPTION: {"file": "map.json"}, "sglang_files": {"map.json": {"content": FULL}}},
        {
            OPTION: {"file": "map.json"},
            "sglang_files": {"map.json": {"content": HALF}},
            "sglang_pools.prefill.tp": 8,
            "sglang_pools.decode.tp": 8,
        },
        {MAP: FULL},
        {MAP: {0: "mlx5_0,mlx5_3", **{gpu: DEVICES[gpu] for gpu in range(1, 8)}}},
        {OPTION: "mlx5_0, mlx5_3", **NEW},  # 0.5.23 takes the blanks away
        {"sglang_rdma_devices": ["mlx5_0"]},  # a host with one NIC
        {OPTION: "mlx5_0", "sglang_pools.prefill.tp": 2, "sglang_pools.decode.tp": 2},  # one GPU per host
        {"sglang_env.NCCL_IB_HCA": "mlx5_1"},  # a prefix of mlx5_10 and mlx5_11: environment.hca-prefix
        {"sglang_env.NCCL_IB_HCA": "^=mlx5_1,mlx5_2"},
        {LEVEL: "PIX"},
        {LEVEL: "PIX", "sglang_gpu_nic_path": "PIX"},
        {LEVEL: "PHB", "sglang_gpu_nic_path": "NODE"},
        {LEVEL: "5", "sglang_gpu_nic_path": "SYS"},
        {"sglang_gpu_nic_path": "PXB"},
        {"p0:sglang_rdma_devices": DEVICES[:4], "p1:sglang_rdma_devices": DEVICES[4:]},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert found(gpu_cluster().change(changes)) == []


def test_a_file_of_the_controller_is_read() -> None:
    changes = {OPTION: {"file": "map.json"}, "sglang_files": {"map.json": {"src": "/controller/deepep.json"}}}
    assert set(found(gpu_cluster().change(changes))) == {"rdma.form"}


@pytest.mark.parametrize(
    ("text", "gpu", "devices"),
    [
        ("mlx5_0", 3, ("mlx5_0",)),
        ("mlx5_0,mlx5_1", 0, ("mlx5_0", "mlx5_1")),
        ('{"0": "mlx5_0,mlx5_1", "1": "mlx5_2"}', 0, ("mlx5_0", "mlx5_1")),
        ('{"0": "mlx5_0,mlx5_1", "1": "mlx5_2"}', 1, ("mlx5_2",)),
        ('{"0": "mlx5_0"}', 1, ()),
    ],
)
def test_devices_of_a_gpu(text: str, gpu: int, devices: tuple[str, ...]) -> None:
    parsed = ib_device.parse(text, "0.5.8")
    assert (parsed.of(gpu), parsed.problem) == (devices, "")
