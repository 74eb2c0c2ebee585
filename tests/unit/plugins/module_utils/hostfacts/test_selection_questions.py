# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the facts allow several answers: the question, and how an operator answers it or anything else."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.machines import (
    BLUEFIELD3,
    EIGHT,
    ONE_EACH,
    OTHER_BOARD,
    PAIRS,
    RAILS,
    ROCE,
    blind,
    machine,
    names,
    nic,
    several,
)

INCLUDE = "sglang_rdma_devices"

# Machines that can be read in several ways: facts, text of the question, its variable.
Open = tuple[dict[str, Any], str, str]
OPEN: dict[str, Open] = {
    "storage as fast and no nearer": (machine(several(12), blind(8)), "12 equal ports (", INCLUDE),
    "the same in a guest": (machine(several(10), blind(8), "UNKNOWN"), "10 equal ports", INCLUDE),
    "storage of the same kind on a GPU's switch": (
        machine([*RAILS, nic("mlx5_8")], {**ONE_EACH, 4: {"mlx5_4": "PIX", "mlx5_8": "PIX"}}), "9 equal ports", INCLUDE,
    ),
    "halves of both link layers": (
        machine([nic(name, layer="InfiniBand" if number < 4 else "Ethernet") for number, name in enumerate(EIGHT)], ONE_EACH),
        "4 Ethernet port(s) (mlx5_4, mlx5_5, mlx5_6, mlx5_7) and 4 InfiniBand port(s)", "sglang_rdma_link_layer",
    ),
    "the majority does not fit, the minority does": (
        machine([nic(name, layer="InfiniBand" if number < 4 else "Ethernet") for number, name in enumerate(names(*range(10)))],
                blind(8), "UNKNOWN"), "which link layer carries data?", "sglang_rdma_link_layer",
    ),
    "two boards of equal count, two of each on every switch": (
        machine([nic(name, card=OTHER_BOARD if number % 2 else None) for number, name in enumerate(EIGHT)], PAIRS),
        "4 port(s) of MT4129 MT_0000000838", INCLUDE,
    ),
    "two boards of equal count, one of each per GPU": (
        machine([nic(name, card=OTHER_BOARD if number % 2 else None) for number, name in enumerate(names(*range(16)))],
                {gpu: {f"mlx5_{2 * gpu}": "PIX", f"mlx5_{2 * gpu + 1}": "PIX"} for gpu in range(8)}),
        "8 port(s) of MT4129 MT_0000000838", INCLUDE,
    ),
    "no model has the majority": (
        machine([*RAILS[:4], *(nic(name, card=BLUEFIELD3) for name in names(4, 5, 6)), *(nic(name, card={}) for name in names(7, 8, 9))],
                blind(8), "UNKNOWN"), "10 equal ports", INCLUDE,
    ),
    "two of the usual card and one of another for every GPU": (
        machine([*several(16), *(nic(name, card=BLUEFIELD3) for name in names(*range(16, 24)))],
                {gpu: dict.fromkeys(names(2 * gpu, 2 * gpu + 1, 16 + gpu), "PIX") for gpu in range(8)}),
        "16 port(s) of MT4129 MT_0000000838", INCLUDE,
    ),
    "known to be near one GPU, not known of the other": (
        machine(several(3), {0: {"mlx5_0": "PIX"}, 1: {"mlx5_1": "UNKNOWN"}}, "SYS"), "3 equal ports", INCLUDE,
    ),
    "what is nearest does not fit either": (
        machine(several(9), {gpu: dict.fromkeys(names(0, 1, 2) if gpu < 4 else names(3, 4), "PHB") for gpu in range(8)}),
        "9 equal ports", INCLUDE,
    ),
    "two models without GPUs to compare with": (machine([*RAILS[:2], nic("mlx5_2", card=BLUEFIELD3)]), "which carry data?", INCLUDE),
    "two beside one GPU, two more of the same kind beside none": (
        machine(several(4), {**blind(8), 0: {"mlx5_0": "PIX", "mlx5_1": "PIX"}}),
        "mlx5_2, mlx5_3 of the same rate are not", INCLUDE,
    ),
    "faster ones elsewhere, slower ones beside all GPUs": (
        machine([*(nic(name, rate=200) for name in EIGHT), nic("mlx5_8", card=BLUEFIELD3), nic("mlx5_9", card=BLUEFIELD3)], ONE_EACH),
        "2 port(s) of 400 Gb/s (mlx5_8, mlx5_9) are faster, but 8 of 200 Gb/s share a PCIe switch with every GPU", INCLUDE,
    ),
    "the same in a guest with one slower port per GPU": (
        machine([*(nic(name, rate=200) for name in EIGHT), nic("mlx5_8"), nic("mlx5_9")], blind(8), "UNKNOWN"),
        "are faster, but 8 of 200 Gb/s fit 8 GPUs", INCLUDE,
    ),
    "bonds whose rate is of one leg": (
        machine([*(nic(f"mlx5_bond_{number}", rate=200, lag={"slaves": ["a", "b"]}) for number in range(8)), nic("mlx5_0"), nic("mlx5_1")]),
        "8 bonds of the same rate over all legs", INCLUDE,
    ),
    "several virtual functions of each card": (
        machine([nic(f"mlx5_{vf}", f"0000:1{vf}:00.1", is_vf=True, pf_pci=f"0000:1{vf // 2}:00.0") for vf in range(4)]),
        "mlx5_0, mlx5_1 are functions of one port; mlx5_2, mlx5_3", INCLUDE,
    ),
    "several devices on one function": (
        machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0000:1a:00.0")]), "mlx5_0, mlx5_1 are functions of one port", INCLUDE,
    ),
    "a second NIC of every GPU is farther": (
        machine([nic(name) for name in names(*range(16))],
                {gpu: {f"mlx5_{2 * gpu}": "PIX", f"mlx5_{2 * gpu + 1}": "PXB"} for gpu in range(8)}),
        "but nearest to no GPU: do they carry data, too?", INCLUDE,
    ),
    "seven of eight in a guest": (machine(RAILS[:7], blind(8), "UNKNOWN"), "7 equal ports", INCLUDE),
}


@pytest.mark.parametrize(("facts", "text", "variable"), OPEN.values(), ids=OPEN)
def test_ambiguous(facts: dict[str, Any], text: str, variable: str) -> None:
    found = select(facts)
    assert found["ambiguous"] is not None, found
    assert text in found["ambiguous"]["question"]
    assert found["ambiguous"]["variable"] == variable
    assert (found["data_devices"], found["data_ports"], found["gpu_map"], found["rails"]) == ([], [], {}, [])
    assert found["proposed"]
    # The operator's answer settles it.
    answer = found["ambiguous"]["candidates"][0]
    settled = select(facts, Options(include=answer))
    assert settled["ambiguous"] is None
    assert settled["data_devices"] == list(dict.fromkeys(name.partition(":")[0] for name in answer))


@pytest.mark.parametrize(
    ("name", "options", "devices"),
    [
        ("storage as fast and no nearer", {"expected_devices": 12}, names(*range(12))),
        ("storage as fast and no nearer", {"exclude": names(4, 5, 10, 11)}, names(0, 1, 2, 3, 6, 7, 8, 9)),
        ("halves of both link layers", {"link_layer": "Ethernet"}, names(4, 5, 6, 7)),
        ("two boards of equal count, two of each on every switch", {"expected_devices": 8}, EIGHT),
        ("faster ones elsewhere, slower ones beside all GPUs", {"expected_devices": 8}, EIGHT),
        ("faster ones elsewhere, slower ones beside all GPUs", {"expected_devices": 2}, names(8, 9)),
        ("bonds whose rate is of one leg", {"expected_devices": 8}, names(*range(8), stem="mlx5_bond_")),
        ("several virtual functions of each card", {"expected_devices": 2}, names(0, 2)),
        ("several devices on one function", {"exclude": ["mlx5_1"]}, ["mlx5_0"]),
    ],
)
def test_options_answer_the_question(name: str, options: dict[str, Any], devices: list[str]) -> None:
    found = select(OPEN[name][0], Options(**options))
    assert found["ambiguous"] is None, found["ambiguous"]
    assert found["data_devices"] == devices
    assert found["problems"] == []


@pytest.mark.parametrize(
    ("options", "devices", "problem"),
    [
        ({"include": ["mlx5_2", "mlx5_0"]}, ["mlx5_2", "mlx5_0"], None),
        ({"include": ["mlx5_1:1"]}, ["mlx5_1"], None),
        ({"include": ["mlx5_0", "mlx5_9"]}, ["mlx5_0"], f"{INCLUDE}: the host has no RDMA device mlx5_9; it has mlx5_0, mlx5_1, mlx5_2"),
        ({"include": ["mlx5_0", "mlx5_0:1"]}, ["mlx5_0"], "mlx5_0:1 is in the list twice"),
        ({"include": []}, [], None),
        ({"exclude": ["mlx5_0"]}, ["mlx5_1"], None),
        ({"expected_devices": 2}, ["mlx5_0", "mlx5_1"], None),
        ({"expected_devices": 8}, ["mlx5_0", "mlx5_1"], "2 data devices, sglang_rdma_expected_devices is 8"),
        ({"expected_rate_gbps": 400}, ["mlx5_0", "mlx5_1"], None),
        ({"expected_rate_gbps": 800}, ["mlx5_0", "mlx5_1"], "mlx5_1 has 400 Gb/s, sglang_rdma_expected_rate_gbps is 800"),
        ({"min_rate_gbps": 400}, ["mlx5_0", "mlx5_1"], None),
        ({"min_rate_gbps": 800}, [], None),
        ({"address_range": "192.0.2.0/24"}, ["mlx5_0", "mlx5_1"], None),
        ({"address_range": "198.51.100.0/24"}, ["mlx5_2"], None),
        ({"link_layer": "InfiniBand"}, [], None),
        ({"gpu_map": {"0": ["mlx5_1"], 1: "mlx5_0"}}, ["mlx5_0", "mlx5_1"], None),
        ({"gpu_map": {"0": ["mlx5_2"], "1": "mlx5_0"}}, ["mlx5_0", "mlx5_1"], "mlx5_2 of GPU 0 is not a data device (mlx5_0, mlx5_1)"),
        ({"gpu_map": {"0": ["mlx5_0"], "7": ["mlx5_1"]}}, ["mlx5_0", "mlx5_1"], "the host has no GPU 7"),
        ({"gpu_map": {"0": ["mlx5_0"]}}, ["mlx5_0", "mlx5_1"], "GPU 1 is not in it"),
        ({"gpu_map": {"0": [], "1": ["mlx5_1"]}}, ["mlx5_0", "mlx5_1"], "GPU 0 has no device"),
        ({"gpu_map": {"0": None, "1": ["mlx5_1"]}}, ["mlx5_0", "mlx5_1"], "GPU 0 has no device"),
        ({"gpu_map": {"0": 5, "1": "mlx5_1, "}}, ["mlx5_0", "mlx5_1"], "5 of GPU 0 is not a data device"),
        ({"gpu_map": {"first": "mlx5_0", "0": "mlx5_0", "1": "mlx5_1"}}, ["mlx5_0", "mlx5_1"], "the host has no GPU first"),
        ({"address_range": ""}, ["mlx5_0", "mlx5_1"], None),
        ({"address_range": "everywhere"}, ["mlx5_0", "mlx5_1"], "sglang_rdma_address_range: everywhere is not a network"),
    ],
    ids=str,
)
def test_options(options: dict[str, Any], devices: list[str], problem: str | None) -> None:
    found = select(ROCE, Options(**options))
    assert found["data_devices"] == devices
    assert found["ambiguous"] is None
    assert any(problem in text for text in found["problems"]) if problem else found["problems"] == []


def test_a_list_names_pci_addresses_and_devices_that_are_down() -> None:
    facts = machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0001:1a:00.0", state="DOWN"), nic("smi0")])
    found = select(facts, Options(include=["1a:00.0", "0001:1a:00.0", "smi0"]))
    assert found["data_devices"] == ["mlx5_0"]
    assert found["missing"] == ["mlx5_1:1"]
    assert select(machine([nic("a"), nic("b", state="DOWN", card=BLUEFIELD3)]), Options(include=["a", "b"]))["missing"] == ["b:1"]
    assert found["problems"] == [
        "sglang_rdma_devices: 0001:1a:00.0 is DOWN, not ACTIVE", "sglang_rdma_devices: smi0 is the management device of a multi-plane card",
    ]


# As lspci, sysfs, and nvidia-smi write a PCI address.
@pytest.mark.parametrize("item", ["1a:00.0", "1A:00.0", "0000:1a:00.0", "0000:1A:00.0", "00000000:1A:00.0"])
def test_all_forms_of_a_pci_address(item: str) -> None:
    facts = machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0001:1a:00.0"), nic("mlx5_2", "10000:1a:00.0")])
    included, excluded = select(facts, Options(include=[item])), select(facts, Options(exclude=[item]))
    assert (included["data_devices"], included["problems"]) == (["mlx5_0"], [])
    assert (excluded["data_devices"], excluded["warnings"]) == (["mlx5_1", "mlx5_2"], [])


@pytest.mark.parametrize(("item", "device"), [("00000001:1A:00.0", "mlx5_1"), ("00010000:1A:00.0", "mlx5_2"), ("10000:1A:00.0", "mlx5_2")])
def test_domains_of_pci_addresses(item: str, device: str) -> None:
    facts = machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0001:1a:00.0"), nic("mlx5_2", "10000:1a:00.0")])
    assert select(facts, Options(include=[item]))["data_devices"] == [device]


def test_operators_map_wins_over_distance() -> None:
    found = select(ROCE, Options(gpu_map={"0": "mlx5_1", "1": "mlx5_0,mlx5_1"}))
    assert found["gpu_map"] == {"0": ["mlx5_1"], "1": ["mlx5_0", "mlx5_1"]}
    assert found["gpu_paths"] == {"0": "NODE", "1": "NODE"}


def test_a_number_that_two_answers_have_settles_nothing() -> None:
    found = select(OPEN["two boards of equal count, one of each per GPU"][0], Options(expected_devices=8))
    assert found["ambiguous"] is not None
    assert found["data_devices"] == []


def test_a_map_waits_for_the_devices() -> None:
    found = select(OPEN["storage as fast and no nearer"][0], Options(gpu_map={gpu: f"mlx5_{gpu}" for gpu in range(8)}))
    assert (found["gpu_map"], found["problems"], found["ambiguous"] is None) == ({}, [], False)


def test_an_address_range_is_of_no_interest_to_infiniband() -> None:
    assert select(machine(RAILS, ONE_EACH), Options(address_range="192.0.2.0/24"))["data_devices"] == EIGHT
