# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with eight GPUs as their owners describe them in public: the layout is theirs, the tree is made of it.

Where a source does not give the rate of the cards that carry no data, both are tried: slower, and as fast as the data ports.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.tests.unit.support.layout import Layout
from ansible_collections.railyard.sglang.tests.unit.support.machines import names
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X

BLUEFIELD3 = {"attributes": {"hca_type": "MT41692", "board_id": "MT_0000000884"}}
CONNECTX6LX = {"attributes": {"hca_type": "MT4127", "board_id": "MT_0000000575"}}
IB = {"layer": "InfiniBand"}


def eight(machine: Layout, where: dict[int, int], each: int = 1, **card: Any) -> None:
    """Write eight GPUs, so many on a switch, and cards on switches; four GPUs on a socket.

    :param where: number of a device to the GPU whose switch it is on.
    """
    for gpu in range(8):
        machine.accelerator(f"{gpu // 4}/h{gpu // each}/s")
    for number, gpu in where.items():
        machine.card(f"mlx5_{number}", f"{gpu // 4}/h{gpu // each}/s", **{"gbps": 400, **card})


def pair(machine: Layout, number: int, place: str, **card: Any) -> None:
    """Write a card with two ports, which are two devices."""
    machine.card(f"mlx5_{number}", place, **card)
    machine.card(f"mlx5_{number + 1}", place, beside=f"mlx5_{number}", **card)


def oci_h100(machine: Layout, other: float) -> None:
    # BM.GPU.H100.8: https://github.com/oracle-quickstart/oci-hpc, lists of HCAs by shape; https://github.com/NVIDIA/nccl/issues/1453
    eight(machine, {})
    for gpu, first in enumerate((0, 3, 5, 7, 9, 12, 14, 16)):
        pair(machine, first, f"{gpu // 4}/h{gpu}/s", gbps=200)
    machine.card("mlx5_2", "0/front", gbps=other)
    machine.card("mlx5_11", "1/front1", gbps=other)


def four_of_nine(machine: Layout, other: float) -> None:
    # https://github.com/NVIDIA/nccl/issues/1277: 4 cards of 400G for 8 GPUs, one of 200G, four of 25G
    eight(machine, {0: 0, 3: 2, 5: 4, 8: 6})
    machine.card("mlx5_4", "0/storage", gbps=other)
    for number in (1, 2, 6, 7):
        machine.card(f"mlx5_{number}", f"{number // 4}/lan{number}", gbps=25, **CONNECTX6LX)


def h20_with_five(machine: Layout, other: float) -> None:
    # https://github.com/deepseek-ai/DeepEP/issues/137: NIC0, 1, 2, 4 beside GPU 0, 2, 4, 6, NIC3 beside none
    eight(machine, {0: 0, 1: 2, 2: 4, 4: 6})
    machine.card("mlx5_3", "1/storage", gbps=other)


def h100_with_18(machine: Layout, other: float) -> None:
    # https://github.com/deepseek-ai/DeepEP/issues/145: two GPUs and two cards of two ports on a switch, NIC4 and 5 beside no GPU
    eight(machine, {}, each=2)
    for switch, first in enumerate((0, 6, 10, 14)):
        for number in (first, first + 2):
            pair(machine, number, f"{switch // 2}/h{switch}/s", gbps=200)
    pair(machine, 4, "0/storage", gbps=other)


def b200_with_twelve(machine: Layout, other: float) -> None:
    # https://github.com/vllm-project/vllm/issues/16336: NIC0 to 7 PXB, NIC8 to 11 NODE
    eight(machine, {number: number for number in range(8)})
    for number in range(8, 12):
        machine.card(f"mlx5_{number}", f"{number // 10}/storage{number}", gbps=other)


def roce_beside_ib(machine: Layout, other: float) -> None:
    # https://github.com/NVIDIA/nccl/issues/707: A100, 8 InfiniBand devices of which one is down, 2 RoCE devices
    eight(machine, {}, each=2)
    for number in range(8, 16):
        place = f"{(number - 8) // 4}/h{(number - 8) // 2}/s"
        machine.card(f"mlx5_{number}", place, gbps=200, state="DOWN" if number == 13 else "ACTIVE", **IB)
    pair(machine, 16, "0/storage", gbps=other)


def north_south_on_switch(machine: Layout, other: float) -> None:
    # Lenovo SR675 V3: https://github.com/NVIDIA/k8s-launch-kit, presets/ThinkSystem-SR675-V3-RTX-PRO-6000. Half of the data cards are on no
    # GPU's switch, and a BlueField-3 that carries none is.
    card = {"gbps": 200, **IB}
    for node, switch, number in ((0, "g0", None), (0, "g1", 6), (1, "g2", None), (1, "g3", 4)):
        for _gpu in range(2):
            machine.accelerator(f"{node}/{switch}/s")
        if number is not None:
            pair(machine, number, f"{node}/{switch}/s", **card)
    pair(machine, 10, "1/g2/s", **{**card, "gbps": other}, **BLUEFIELD3)
    pair(machine, 2, "0/c0", **card)
    pair(machine, 8, "1/c1", **card)
    pair(machine, 0, "0/lan", gbps=25, **CONNECTX6LX)


def functions_beside_bonds(machine: Layout, other: float) -> None:
    # https://github.com/sgl-project/sglang/issues/3685: mlx5_0 to 33 are one card with its virtual functions, mlx5_bond_1 to 8 the rails
    eight(machine, {})
    pair(machine, 0, "1/vpc", gbps=other)
    for number in range(2, 34):
        machine.function(f"mlx5_{number}", "mlx5_0", gbps=other)
    for rail in range(8):
        machine.card(f"mlx5_bond_{rail + 1}", f"{rail // 4}/h{rail}/s", gbps=200, netdev=f"eth{rail}a")
        machine.netdev(f"eth{rail}b")
        machine.bond(f"bond{rail}", [f"eth{rail}a", f"eth{rail}b"])


Maker = Callable[[Layout, float], None]
Machine = tuple[Maker, float, float, list[str], list[str], list[str]]
# Machine, rate of the data ports, slower rate of the others, data devices, devices of GPU 0 and GPU 7.
EIGHT_GPUS: list[Machine] = [
    (oci_h100, 200, 100, names(0, 1, *range(3, 11), *range(12, 18)), names(0, 1), names(16, 17)),
    (four_of_nine, 400, 200, names(0, 3, 5, 8), names(0), names(8)),
    (h20_with_five, 400, 200, names(0, 1, 2, 4), names(0), names(4)),
    (h100_with_18, 200, 25, names(0, 1, 2, 3, *range(6, 18)), names(0, 1), names(16, 17)),
    (b200_with_twelve, 400, 200, names(*range(8)), names(0), names(7)),
    (roce_beside_ib, 200, 100, names(8, 9, 10, 11, 12, 14, 15), names(8), names(15)),
    (north_south_on_switch, 200, 100, names(2, 3, 6, 7, 8, 9, 4, 5), names(2), names(5)),
    (functions_beside_bonds, 200, 100, names(*range(1, 9), stem="mlx5_bond_"), ["mlx5_bond_1"], ["mlx5_bond_8"]),
]


@pytest.mark.parametrize("fast", [False, True], ids=["others slower", "others as fast"])
@pytest.mark.parametrize("row", EIGHT_GPUS, ids=[row[0].__name__ for row in EIGHT_GPUS])
def test_eight_gpus(tmp_path: Path, row: Machine, fast: bool) -> None:
    make, rate, slow, devices, first, last = row
    machine = Layout(tmp_path)
    make(machine, rate if fast else slow)
    found = machine.choice()
    assert (found["ambiguous"], found["gpu_map_ambiguous"], found["problems"]) == (None, None, [])
    assert sorted(found["data_devices"]) == sorted(devices)
    assert (found["gpu_map"]["0"], found["gpu_map"]["7"]) == (first, last)
    assert found["rate"] == rate
    # Every other port has a reason, and the sentence that sums up stays readable.
    assert len(found["left_out"]) + len(devices) == len(machine.facts(["rdma"])["devices"])
    assert len(found["reasons"][0]) < 500


def test_a_port_that_is_down_is_missing(tmp_path: Path) -> None:
    machine = Layout(tmp_path)
    roce_beside_ib(machine, 200)
    assert machine.choice()["missing"] == ["mlx5_13:1"]


def test_four_of_eight_cards_cabled(tmp_path: Path) -> None:
    # https://github.com/deepseek-ai/DeepEP/issues/38 and 60: NCCL and NVSHMEM are given mlx5_1, 7, 9, 13; the other four have no cable
    machine = Layout(tmp_path)
    where = {0: 0, 1: 1, 2: 2, 7: 3, 8: 4, 9: 5, 12: 6, 13: 7}
    eight(machine, {})
    for number in range(14):
        if number in where:
            place, state = f"{where[number] // 4}/h{where[number]}/s", "ACTIVE" if number in (1, 7, 9, 13) else "DOWN"
            machine.card(f"mlx5_{number}", place, gbps=400, state=state, **IB)
        else:
            machine.card(f"mlx5_{number}", f"{number // 7}/lan{number}", gbps=25, **CONNECTX6LX)
    found = machine.choice()
    assert found["data_devices"] == names(1, 7, 9, 13)
    assert [found["gpu_map"][str(gpu)] for gpu in (1, 3, 5, 7)] == [[name] for name in names(1, 7, 9, 13)]
    assert found["missing"] == ["mlx5_0:1", "mlx5_2:1", "mlx5_8:1", "mlx5_12:1"]


def test_second_ports_without_cable_are_not_missing(tmp_path: Path) -> None:
    # https://github.com/kvcache-ai/Mooncake/issues/955: mlx5_0, 2, 4, 6 down, 8 and 9 of 25G, the others of 200G
    machine = Layout(tmp_path)
    eight(machine, {}, each=2)
    for card in range(4):
        machine.card(f"mlx5_{2 * card}", f"{card // 2}/h{card}/s", state="DOWN")
        machine.card(f"mlx5_{2 * card + 1}", f"{card // 2}/h{card}/s", beside=f"mlx5_{2 * card}", gbps=200)
    pair(machine, 8, "0/lan", gbps=25, **CONNECTX6LX)
    found = machine.choice()
    assert (found["data_devices"], found["missing"], found["ambiguous"]) == (names(1, 3, 5, 7), [], None)


@pytest.mark.parametrize(("other", "asked"), [(25, False), (200, True)])
def test_one_gpu_without_a_card_on_its_switch(tmp_path: Path, other: float, asked: bool) -> None:
    # https://github.com/uccl-project/uccl/issues/172: GPU 1 to 7 have NIC2 to 8 on their switches, GPU 0 has none, NIC0 and 1 are one card
    machine = Layout(tmp_path)
    eight(machine, {number: number - 1 for number in range(2, 9)}, gbps=200)
    pair(machine, 0, "0/lan", gbps=other)
    found = machine.choice()
    assert bool(found["ambiguous"]) is asked
    if asked:
        assert (found["data_devices"], found["ambiguous"]["variable"]) == ([], "sglang_rdma_devices")
    else:
        assert found["data_devices"] == names(*range(2, 9))
        assert set(found["gpu_map"]["0"]) <= set(names(2, 3, 4))
        assert "one may be broken" in found["reasons"][1]


def test_gpus_that_no_process_sees(tmp_path: Path) -> None:
    # A guest has the first GPU, and the CPU's own display counts for KFD.
    machine = Layout(tmp_path)
    for rail in range(4):
        machine.accelerator(f"{rail // 2}/h{rail}/s", driver="nvidia" if rail else "vfio-pci")
        machine.card(f"mlx5_{rail}", f"{rail // 2}/h{rail}/s", gbps=400)
    machine.accelerator("1/display", driver="amdgpu", **MI300X)
    facts = machine.facts()
    found = select(facts)
    assert [row["index"] for row in facts["gpus"]] == [None, 0, 1, 2, 0]
    assert found["gpu_map"] == {str(gpu): [f"mlx5_{gpu + 1}"] for gpu in range(3)}
    assert [(row["rail"], row["gpus"], row["device"]) for row in found["rails"]] == [(gpu, [gpu], f"mlx5_{gpu + 1}") for gpu in range(3)]
    assert [row["shared_with"] for row in facts["gpus"]] == [[], [], [], [], []]
    assert found["left_out"] == {"mlx5_0:1": "on no GPU's PCIe switch, and every GPU has another port there"}
