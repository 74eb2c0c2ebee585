# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines other than boards with eight GPUs and mlx5 cards, as they are described in public, as trees of the same layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import Context, derive
from ansible_collections.railyard.sglang.tests.unit.support.layout import Layout
from ansible_collections.railyard.sglang.tests.unit.support.machines import names
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X

BLUEFIELD3 = {"attributes": {"hca_type": "MT41692", "board_id": "MT_0000000884"}}
NO_BOARD = {"hca_type": None, "board_id": None}
IB = {"layer": "InfiniBand"}
GB200 = {"device": "0x2941"}
GB10 = {"device": "0x2e12", "class": "0x030000"}


def told(machine: Layout, **context: Any) -> dict[str, str]:
    """Return the values that libraries are given on a machine."""
    facts = machine.facts(["rdma", "gpu"])
    rows = derive(facts, machine.choice(), Context(engine_version="0.5.23", nodes=2, **context))
    return {row["name"]: row["value"] for row in rows if "value" in row}


@pytest.mark.parametrize("layer", ["InfiniBand", "Ethernet"])
@pytest.mark.parametrize("other", [200, 400])
def test_gb200_tray(tmp_path: Path, layer: str, other: float) -> None:
    # https://github.com/NVIDIA/nvidia-resiliency-ext/pull/152: {0: mlx5_0, 1: mlx5_1, 2: mlx5_3, 3: mlx5_4}; BlueField-3 as mlx5_2 and 5.
    # Every GPU and card has a host bridge of its own, so that NUMA nodes alone tell.
    machine = Layout(tmp_path)
    for gpu, number in enumerate((0, 1, 3, 4)):
        machine.accelerator(f"{gpu // 2}/gpu{gpu}", **GB200)
        machine.card(f"mlx5_{number}", f"{gpu // 2}/card{gpu}", gbps=400, layer=layer)
    for number in (2, 5):
        machine.card(f"mlx5_{number}", f"{number // 3}/dpu{number}", gbps=other, **BLUEFIELD3)
    found = machine.choice()
    assert found["gpu_map"] == {"0": ["mlx5_0"], "1": ["mlx5_1"], "2": ["mlx5_3"], "3": ["mlx5_4"]}
    assert (set(found["gpu_paths"].values()), found["ambiguous"]) == ({"NODE"}, None)


def test_gb300_tray_with_two_ports_per_gpu(tmp_path: Path) -> None:
    # BM.GPU.GB300.4: https://github.com/oracle-quickstart/oci-hpc, lists of HCAs by shape: mlx5_0 to 3 and 5 to 8 for four GPUs
    machine = Layout(tmp_path)
    for gpu, first in enumerate((0, 2, 5, 7)):
        machine.accelerator(f"{gpu // 2}/gpu{gpu}", **GB200)
        machine.card(f"mlx5_{first}", f"{gpu // 2}/card{gpu}", gbps=400)
        machine.card(f"mlx5_{first + 1}", f"{gpu // 2}/card{gpu}", beside=f"mlx5_{first}", gbps=400)
    machine.card("mlx5_4", "0/dpu", gbps=400, **BLUEFIELD3)
    found = machine.choice()
    assert found["gpu_map"] == {"0": names(0, 1), "1": names(2, 3), "2": names(5, 6), "3": names(7, 8)}
    assert list(found["left_out"]) == ["mlx5_4:1"]


def spark(machine: Layout, addresses: dict[str, str]) -> None:
    """Write a GB10: each of its two ports is two devices in two PCI domains; those with an address are ACTIVE."""
    machine.gpu("pci000f:00 000f:00:00.0 000f:01:00.0", None, **GB10)
    for domain, part in ((0, "p1"), (2, "P2p1")):
        for port in range(2):
            name, netdev = f"roce{part}s0f{port}", f"en{part}s0f{port}"
            address = addresses.get(name)
            gids = {0: f"v1 fe80::{domain}{port} {netdev}", 1: f"v2 fe80::{domain}{port} {netdev}", 3: f"v2 {address} {netdev}"}
            up = {"gbps": 200, "gids": gids} if address else {"gbps": 40, "state": "DOWN"}
            machine.nic(name, f"pci{domain:04x}:00 {domain:04x}:00:00.0 {domain:04x}:01:00.{port}", None, netdev, **up)


def test_both_halves_of_the_one_cable_of_a_gb10(tmp_path: Path) -> None:
    # https://github.com/NVIDIA/dgx-spark-playbooks/pull/103 names both; states: https://github.com/geerlingguy/sbc-reviews/issues/92
    machine = Layout(tmp_path)
    spark(machine, {"rocep1s0f0": "169.254.1.1", "roceP2p1s0f0": "169.254.3.1"})
    found = machine.choice()
    assert found["gpu_map"] == {"0": ["rocep1s0f0", "roceP2p1s0f0"]}
    assert (found["missing"], found["warnings"], found["uniform_gid_index"]) == ([], [], 3)
    values = told(machine, deepep=True)
    assert values["NCCL_IB_HCA"] == "=rocep1s0f0:1,roceP2p1s0f0:1"
    assert values["NVSHMEM_HCA_PREFIX"] == "roce"


def test_a_gb10_with_two_networks(tmp_path: Path) -> None:
    # https://github.com/getainode/ainode/pull/89: rocep1s0f0 leads elsewhere, roceP2p1s0f0 gave itself an address, roceP2p1s0f1 is the one
    machine = Layout(tmp_path)
    spark(machine, {"rocep1s0f0": "192.0.2.2", "roceP2p1s0f0": "169.254.7.7", "roceP2p1s0f1": "198.51.100.13"})
    assert machine.choice(address_range="198.51.100.0/24")["data_devices"] == ["roceP2p1s0f1"]
    (warning,) = machine.choice()["warnings"]
    assert warning.startswith("roceP2p1s0f0: only an address that the host gave itself")


@pytest.mark.parametrize(("node_type", "count"), [("1: CA", 2), ("4: RNIC", 0)], ids=["compat_mode", "iWARP"])
def test_erdma(tmp_path: Path, node_type: str, count: int) -> None:
    # https://github.com/deepseek-ai/DeepEP/issues/759: two devices for eight GPUs, NCCL works; its driver says CA only in compat_mode
    machine = Layout(tmp_path)
    machine.guest()
    for gpu in range(8):
        machine.accelerator(f"{gpu // 4}/gpus{gpu // 4}")
    for number in range(2):
        machine.card(f"erdma_{number}", f"{number}/eni{number}", gbps=200, driver="erdma", attributes={"node_type": node_type, **NO_BOARD})
    found = machine.choice()
    assert found["data_devices"] == names(*range(count), stem="erdma_")
    assert set(map(tuple, found["gpu_map"].values())) == {(name,) for name in found["data_devices"]}
    assert all("RNIC" in why for why in found["left_out"].values())


# Stem of the names, driver, HCA type. Thor 2, named by its driver and by a rule of udev: https://github.com/ROCm/cvs/pull/387; Pollara:
# https://github.com/meta-pytorch/torchcomms/pull/3116
OTHER_CARDS = [("bnxt_re", "bnxt_en", "BCM57608"), ("rdma", "bnxt_en", "BCM57608"), ("ionic_", "ionic", "POLLARA-1Q400P")]


@pytest.mark.parametrize("card", OTHER_CARDS, ids=[row[0] for row in OTHER_CARDS])
@pytest.mark.parametrize("other", [100, 400])
def test_instinct_with_other_cards(tmp_path: Path, card: tuple[str, str, str], other: float) -> None:
    stem, driver, kind = card
    machine = Layout(tmp_path)
    for gpu in range(8):
        machine.accelerator(f"{gpu // 4}/h{gpu}/s", driver="amdgpu", **MI300X)
        attributes = {"hca_type": kind, "board_id": None}
        machine.card(f"{stem}{gpu}", f"{gpu // 4}/h{gpu}/s", gbps=400, driver=driver, attributes=attributes)
    machine.card("mlx5_0", "0/front", gbps=other)
    found = machine.choice()
    assert found["gpu_map"] == {str(gpu): [f"{stem}{gpu}"] for gpu in range(8)}
    assert list(found["left_out"]) == ["mlx5_0:1"]
    assert told(machine, deepep=True)["NVSHMEM_HCA_PREFIX"] == stem


@pytest.mark.parametrize(("count", "each"), [(4, 2), (32, 8)], ids=["p4d", "p5"])
def test_efa(tmp_path: Path, count: int, each: int) -> None:
    # https://github.com/aws/aws-ofi-nccl, topology/p4d-24xl-topo.xml: a device and two GPUs on a switch; p5 has four devices per GPU
    machine = Layout(tmp_path)
    machine.guest()
    for gpu in range(8):
        machine.accelerator(f"{gpu // 4}/h{gpu * each // 8}/s" if each == 8 else f"{gpu // 4}/h{gpu // 2}/s")
    for number in range(count):
        switch = number * each // count if each == 8 else number
        attributes = {"node_type": "7: unspecified", **NO_BOARD}
        machine.card(f"rdmap{number}s0", f"{switch * 2 // each // 4 if each == 2 else switch // 4}/h{switch}/s",
                     gbps=100, layer="Unspecified", driver="efa", attributes=attributes)
    found = machine.choice()
    assert (len(found["data_devices"]), found["ambiguous"], set(found["gpu_paths"].values())) == (count, None, {"PIX"})
    assert {len(devices) for devices in found["gpu_map"].values()} == {max(1, count // 8)}
    assert told(machine)["MOONCAKE_PROTOCOL"] == "efa"


def test_guest_of_azure_with_accelerated_networking(tmp_path: Path) -> None:
    # https://github.com/vllm-project/vllm/issues/17006: NDv4, two GPUs and two devices per NUMA node, all NODE; NIC8 is the Ethernet one
    machine = Layout(tmp_path)
    machine.guest()
    for number in range(8):
        machine.accelerator(f"{number // 2}/gpu{number}")
        machine.card(f"mlx5_{number}", f"{number // 2}/ib{number}", gbps=200, **IB)
    machine.card("mlx5_8", "1/an", gbps=40)
    found = machine.choice()
    assert found["gpu_map"] == {str(number): [f"mlx5_{number}"] for number in range(8)}
    assert found["left_out"] == {"mlx5_8:1": "40 Gb/s, slower than 200 Gb/s"}


@pytest.mark.parametrize("layer", ["InfiniBand", "Ethernet"])
def test_guest_with_flat_root_buses(tmp_path: Path, layer: str) -> None:
    # https://github.com/deepseek-ai/DeepEP/issues/55: H100, NIC1 to 4 and 5 to 8 PHB to the GPUs of their NUMA node, NIC0 NODE
    machine = Layout(tmp_path)
    machine.guest()
    for gpu in range(8):
        machine.accelerator(f"{gpu // 4}/bus{gpu // 4}")
    machine.card("mlx5_0", "0/front", gbps=400)
    for number in range(1, 9):
        machine.card(f"mlx5_{number}", f"{(number - 1) // 4}/bus{(number - 1) // 4}", gbps=400, layer=layer)
    found = machine.choice()
    assert found["gpu_map"] == {str(gpu): [f"mlx5_{gpu + 1}"] for gpu in range(8)}
    assert list(found["left_out"]) == ["mlx5_0:1"]


def test_four_gpus_on_four_nodes_with_two_cards(tmp_path: Path) -> None:
    # https://github.com/NVIDIA/nccl/issues/595: mlx5_0 PIX to GPU 1, mlx5_1 PIX to GPU 2, all else SYS
    machine = Layout(tmp_path)
    for gpu, node in enumerate((1, 0, 3, 2)):
        machine.accelerator(f"{node}/h{gpu}/s")
    machine.card("mlx5_0", "0/h1/s", gbps=200, **IB)
    machine.card("mlx5_1", "3/h2/s", gbps=200, **IB)
    found = machine.choice()
    assert (found["gpu_map"]["1"], found["gpu_map"]["2"]) == (names(0), names(1))
    assert sorted(found["gpu_map"]["0"] + found["gpu_map"]["3"]) == names(0, 1)


def test_as_many_ib_ports_as_roce_ones_beside_no_switch(tmp_path: Path) -> None:
    # L40S with InfiniBand for compute and BlueField-3 for storage: https://github.com/NVIDIA/NVSentinel/pull/1221. Without a switch only
    # the purpose of the networks would tell.
    machine = Layout(tmp_path)
    for gpu in range(4):
        machine.accelerator(f"{gpu // 2}/gpu{gpu}")
    for number in range(2):
        machine.card(f"mlx5_{number}", f"{number}/ib{number}", gbps=200, **IB)
        machine.card(f"mlx5_{number + 2}", f"{number}/dpu{number}", gbps=200, **BLUEFIELD3)
    found = machine.choice()
    assert (found["data_devices"], found["ambiguous"]["variable"]) == ([], "sglang_rdma_link_layer")
    assert machine.choice(link_layer="InfiniBand")["gpu_map"] == {"0": names(0), "1": names(0), "2": names(1), "3": names(1)}


@pytest.mark.parametrize("gpus", [0, 1])
def test_small_machines(tmp_path: Path, gpus: int) -> None:
    machine = Layout(tmp_path)
    for _gpu in range(gpus):
        machine.accelerator("0/gpu")
    machine.card("mlx5_0", "0/card", gbps=100)
    machine.card("mlx5_1", "0/card", beside="mlx5_0", state="DOWN")
    found = machine.choice()
    assert (found["data_devices"], found["missing"], found["ambiguous"]) == (["mlx5_0"], [], None)
    assert found["gpu_map"] == ({"0": ["mlx5_0"]} if gpus else {})
