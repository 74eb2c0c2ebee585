# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices carry data, on machines of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.tests.unit.support.machines import (
    BLUEFIELD3,
    EIGHT,
    ONE_CABLE_PER_CARD,
    ONE_EACH,
    OTHER_BOARD,
    PAIRS,
    RAILS,
    STORAGE_AND_ONE_DOWN,
    beside,
    blind,
    machine,
    names,
    nic,
    port,
    roce,
)

NOTHING: dict[str, Any] = {}

# Machines with one right answer: facts, data devices, and what has been left out for which reason.
Certain = tuple[dict[str, Any], list[str], dict[str, str]]
CERTAIN: dict[str, Certain] = {
    "one NIC per GPU": (machine(RAILS, ONE_EACH), EIGHT, {}),
    "management slower": (
        machine([*RAILS, nic("mlx5_8", rate=100, card=BLUEFIELD3)], ONE_EACH), EIGHT, {"mlx5_8:1": "100 Gb/s, slower than 400 Gb/s"},
    ),
    "storage as fast, on no GPU's switch": (
        machine([*RAILS, *map(nic, names(8, 9, 10, 11))], PAIRS), EIGHT,
        {f"mlx5_{number}:1": "on no GPU's PCIe switch, and every GPU has another port there" for number in range(8, 12)},
    ),
    "storage as fast, and one data port is down": (
        STORAGE_AND_ONE_DOWN, EIGHT[:7],
        {"mlx5_7:1": "DOWN, not ACTIVE", "mlx5_8:1": "on no GPU's PCIe switch"},
    ),
    "other card on a GPU's own switch": (
        machine([*RAILS, nic("mlx5_8", card=BLUEFIELD3)], {**ONE_EACH, 4: {"mlx5_4": "PIX", "mlx5_8": "PIX"}}), EIGHT,
        {"mlx5_8:1": "other card model than the 8 of MT4129 MT_0000000838"},
    ),
    "other board of the same chip on a GPU's own switch": (
        machine([*RAILS, nic("mlx5_8", card=OTHER_BOARD)], {**ONE_EACH, 4: {"mlx5_4": "PIX", "mlx5_8": "PIX"}}), EIGHT,
        {"mlx5_8:1": "other card model"},
    ),
    "that, and a data port is down": (
        machine([*RAILS[:7], nic("mlx5_7", state="DOWN"), nic("mlx5_8", card=BLUEFIELD3)],
                {**ONE_EACH, 4: {"mlx5_4": "PIX", "mlx5_8": "PIX"}}), EIGHT[:7], {"mlx5_8:1": "other card model"},
    ),
    "dual-port cards for all, half of them on no GPU's switch; other cards on some": (
        machine([*RAILS, nic("mlx5_8", card=BLUEFIELD3), nic("mlx5_9", card=BLUEFIELD3)],
                {0: {}, 1: {}, 2: {"mlx5_2": "PIX"}, 3: {"mlx5_3": "PIX"}, 4: {"mlx5_8": "PIX"}, 5: {"mlx5_9": "PIX"},
                 6: {"mlx5_6": "PIX"}, 7: {"mlx5_7": "PIX"}}), EIGHT, {"mlx5_8:1": "other card model"},
    ),
    "one NIC per two GPUs, each beside one of them; a fifth beside none": (
        machine([nic(name) for name in names(*range(5))], {gpu: {f"mlx5_{gpu // 2}": "PIX"} if gpu % 2 == 0 else {} for gpu in range(8)}),
        names(0, 1, 2, 3), {"mlx5_4:1": "on no GPU's PCIe switch, nearer to no GPU than another, and 5 do not fit 8 GPUs"},
    ),
    "a NIC without a switch is the only one on its socket": (
        machine([nic("mlx5_0"), nic("mlx5_1")],
                {gpu: {"mlx5_0": "PIX", "mlx5_1": "SYS"} if gpu < 4 else {"mlx5_0": "SYS", "mlx5_1": "NODE"} for gpu in range(8)}),
        names(0, 1), {},
    ),
    "no switches: nine ports, one on another host bridge than all GPUs": (
        machine([nic(name) for name in names(*range(9))],
                {gpu: dict.fromkeys(names(*range(1 + gpu // 4 * 4, 5 + gpu // 4 * 4)), "PHB") for gpu in range(8)}),
        names(*range(1, 9)), {"mlx5_0:1": "nearest to no GPU, and 9 do not fit 8 GPUs"},
    ),
    "one data port and one storage port of nine, the first down": (
        machine([*RAILS[:7], nic("mlx5_7", state="DOWN"), nic("mlx5_8")], ONE_EACH), EIGHT[:7],
        {"mlx5_7:1": "DOWN, not ACTIVE", "mlx5_8:1": "on no GPU's PCIe switch"},
    ),
    "half of the rails on no GPU's switch, as many as GPUs": (
        machine(RAILS, {gpu: {f"mlx5_{gpu}": "PIX"} if gpu % 4 > 1 else {} for gpu in range(8)}), EIGHT, {},
    ),
    "half of the rails on another host bridge than all GPUs, as many as GPUs": (
        machine(RAILS, {gpu: dict.fromkeys(EIGHT[:4], "PHB") for gpu in range(8)}), EIGHT, {},
    ),
    "two NICs of every GPU with different numbers of bridges between": (
        {"devices": [{**nic(f"mlx5_{row}"), "pci_path": [f"pci0000:{row // 2}", "a", *["b"] * (row % 2), "n"]} for row in range(4)],
         "gpus": [{"index": gpu, "pci_path": [f"pci0000:{gpu}", "a", "g"], "paths": {
             name: "PXB" if name in names(2 * gpu, 2 * gpu + 1) else "SYS" for name in names(*range(4))}} for gpu in range(2)]},
        names(0, 1, 2, 3), {},
    ),
    "one NIC for eight GPUs": (machine([nic("mlx5_0")], {gpu: {} for gpu in range(8)}), ["mlx5_0"], {}),
    "sixteen ports on eight cards": (
        machine([nic(f"mlx5_{number}", f"0000:{number // 2 + 16:02x}:00.{number % 2}") for number in range(16)],
                {gpu: {f"mlx5_{2 * gpu}": "PIX", f"mlx5_{2 * gpu + 1}": "PIX"} for gpu in range(8)}),
        names(*range(16)), {},
    ),
    "dual-port cards with one cable each": (
        ONE_CABLE_PER_CARD,
        names(*range(0, 16, 2)), {"mlx5_1:1": "DOWN, not ACTIVE"},
    ),
    "one device with two ports": (
        machine([nic("mlx4_0", ports=[port(1, 56), port(2, 10, layer="Ethernet")])], {0: {}}), ["mlx4_0"],
        {"mlx4_0:2": "10 Gb/s, slower than 56 Gb/s"},
    ),
    "a spare part of another board": (machine([*RAILS[:7], nic("mlx5_7", card=OTHER_BOARD)], ONE_EACH), EIGHT, {}),
    "one of the spare parts is down": (
        machine([*RAILS[:4], *(nic(name, card=OTHER_BOARD) for name in names(4, 5, 6)), nic("mlx5_7", state="DOWN", card=OTHER_BOARD)],
                ONE_EACH), EIGHT[:7], {"mlx5_7:1": "DOWN, not ACTIVE"},
    ),
    "another board on each socket, without switches": (
        machine([nic(name, card=OTHER_BOARD if row > 3 else None) for row, name in enumerate(EIGHT)],
                {gpu: dict.fromkeys(names(*range(gpu // 4 * 4, gpu // 4 * 4 + 4)), "NODE") for gpu in range(8)}, "SYS"), EIGHT, {},
    ),
    "one card has fallen off the bus": (machine(RAILS[:7], ONE_EACH), EIGHT[:7], {}),
    "most are InfiniBand": (
        machine([*RAILS, nic("mlx5_8", layer="Ethernet")], blind(8), "UNKNOWN"), EIGHT,
        {"mlx5_8:1": "Ethernet at the same rate, but most ports of that rate are InfiniBand"},
    ),
    "few InfiniBand ports on the switches, more Ethernet ports elsewhere": (
        machine([*RAILS[:4], *(nic(name, layer="Ethernet") for name in names(*range(4, 10)))],
                {gpu: {f"mlx5_{gpu // 2}": "PIX"} for gpu in range(8)}), names(0, 1, 2, 3),
        {"mlx5_4:1": "Ethernet at the same rate, but InfiniBand ports share a PCIe switch with every GPU"},
    ),
    "few InfiniBand ports on the switches, and one of them is down": (
        machine([*RAILS[:3], nic("mlx5_3", state="DOWN"), *(nic(name, layer="Ethernet") for name in names(*range(4, 10)))],
                {gpu: {f"mlx5_{gpu // 2}": "PIX"} for gpu in range(8)}), names(0, 1, 2),
        {"mlx5_4:1": "Ethernet at the same rate, but InfiniBand ports share a PCIe switch with every GPU"},
    ),
    "both link layers on all switches, more of one": (
        machine([*RAILS[:4], *(nic(name, layer="Ethernet") for name in names(*range(4, 12)))],
                {gpu: {f"mlx5_{gpu // 2}": "PIX", f"mlx5_{gpu + 4}": "PIX"} for gpu in range(8)}), names(*range(4, 12)),
        {"mlx5_0:1": "InfiniBand at the same rate, but most ports of that rate are Ethernet"},
    ),
    "many slower ports beside GPUs that have faster ones there": (
        machine([*RAILS[:4], *(nic(f"slow{row}", rate=100) for row in range(16))],
                {gpu: {f"mlx5_{gpu // 2}": "PIX", f"slow{2 * gpu}": "PIX", f"slow{2 * gpu + 1}": "PIX"} for gpu in range(8)}),
        names(0, 1, 2, 3), {"slow0:1": "100 Gb/s, slower than 400 Gb/s"},
    ),
    "slower ports elsewhere, one per GPU": (
        machine([*RAILS[:4], *(nic(f"slow{row}", rate=200) for row in range(8))], {gpu: {f"mlx5_{gpu // 2}": "PIX"} for gpu in range(8)}),
        names(0, 1, 2, 3), {"slow0:1": "200 Gb/s, slower than 400 Gb/s"},
    ),
    "slow ports beside all GPUs, fast ones elsewhere": (
        machine([*RAILS[:2], *(nic(f"slow{row}", rate=25) for row in range(8))], beside(*(f"slow{row}" for row in range(8)))), names(0, 1),
        {"slow0:1": "25 Gb/s, slower than 400 Gb/s"},
    ),
    "a few slower ports of a guest": (
        machine([nic("mlx5_0"), *(nic(f"slow{row}", rate=100) for row in range(5))], blind(8), "UNKNOWN"), ["mlx5_0"],
        {"slow0:1": "100 Gb/s, slower than 400 Gb/s"},
    ),
    "a bond of two slower legs beside the rails": (
        machine([*RAILS, nic("mlx5_bond_0", rate=200, layer="Ethernet", lag={"slaves": ["a", "b"]})], ONE_EACH), EIGHT,
        {"mlx5_bond_0:1": "200 Gb/s, slower than 400 Gb/s"},
    ),
    "a virtual function that claims to be faster than its card": (
        machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0000:1a:00.1", rate=800, is_vf=True, pf_pci="0000:1a:00.0")]),
        ["mlx5_0"], {"mlx5_1:1": "virtual function or subfunction of mlx5_0"},
    ),
    "virtual functions beside their cards": (
        machine([nic("mlx5_0", "0000:1a:00.0"),
                 *(nic(f"mlx5_{vf}", f"0000:1a:00.{vf}", is_vf=True, pf_pci="0000:1a:00.0") for vf in (1, 2))]),
        ["mlx5_0"], {"mlx5_1:1": "virtual function or subfunction of mlx5_0"},
    ),
    "virtual functions whose own card is down, beside others": (
        machine([nic("mlx5_0", "0000:1a:00.0"), nic("mlx5_1", "0000:2a:00.0", state="DOWN"),
                 nic("mlx5_2", "0000:2a:00.1", is_vf=True, pf_pci="0000:2a:00.0")]),
        ["mlx5_0"], {"mlx5_2:1": "virtual function or subfunction, and the host has physical ones of 400 Gb/s"},
    ),
    "virtual functions of a guest": (
        machine([*(nic(name, f"{number:04x}:00:00.0", is_vf=True) for number, name in enumerate(EIGHT)), nic("mlx5_8", rate=40)],
                blind(8), "UNKNOWN"), EIGHT, {"mlx5_8:1": "40 Gb/s, slower than 400 Gb/s"},
    ),
    "a subfunction beside its card": (
        machine([nic("rocep26s0f0", "0000:1a:00.0"), nic("rocep26s0f0S88", "0000:1a:00.0")]), ["rocep26s0f0"],
        {"rocep26s0f0S88:1": "virtual function or subfunction of rocep26s0f0"},
    ),
    "management device of a multi-plane card": (
        machine([nic("mlx5_0", "0000:1a:00.0", rate=800), nic("smi1", "0000:1a:00.0", ports=[port(n, 800) for n in (1, 2, 3, 4)])]),
        ["mlx5_0"], {"smi1:1": "management device of a multi-plane card", "smi1:4": "management device of a multi-plane card"},
    ),
    "class entry without ports": (machine([nic("mlx4_0", rate=56), nic("scif0", ports=[])]), ["mlx4_0"], {"scif0": "device has no port"}),
    "soft devices alone": (
        machine([nic(name, rate=2.5, layer="Ethernet", virtual=True, card={}) for name in names(0, 1)]), names(0, 1), {},
    ),
    "soft devices beside hardware": (
        machine([nic("mlx5_0"), nic("rxe0", rate=800, virtual=True)]), ["mlx5_0"], {"rxe0:1": "soft device, and the host has hardware"},
    ),
    "soft devices do not stand in for hardware that is down": (
        machine([nic("mlx5_0", state="DOWN"), nic("rxe0", virtual=True)]), [], {"rxe0:1": "soft device"},
    ),
    "iWARP, usNIC and switches": (
        machine([nic("mlx5_0", rate=100), nic("irdma0", node_type="RNIC"), nic("usnic_0", node_type="usNIC UDP"),
                 nic("sw", node_type="switch")]), ["mlx5_0"], {"irdma0:1": "node type RNIC: has no reliable connections"},
    ),
    "EFA": (
        machine([nic(f"rdmap{number}s0", layer="Unspecified", rate=100, node_type="unspecified", card={}) for number in range(32)],
                {gpu: {f"rdmap{number}s0": "PXB" for number in range(4 * gpu, 4 * gpu + 4)} for gpu in range(8)}),
        [f"rdmap{number}s0" for number in range(32)], {},
    ),
    "a rate that is down is no rate": (
        machine([nic("mlx5_0", rate=100), nic("mlx5_1", rate=400, state="DOWN"), nic("mlx5_2", rate=800, state="INIT")]), ["mlx5_0"],
        {"mlx5_1:1": "DOWN, not ACTIVE", "mlx5_2:1": "INIT, not ACTIVE"},
    ),
    "unreadable rate": (machine([nic("mlx5_0"), nic("mlx5_1", rate=None)]), ["mlx5_0"], {"mlx5_1:1": "unknown rate, slower than"}),
    "all rates unreadable": (machine([nic("mlx5_0", rate=None), nic("mlx5_1", rate=None)]), names(0, 1), {}),
    "unreadable link layer": (machine([nic("mlx5_0"), nic("mlx5_1", layer="")]), ["mlx5_0"], {"mlx5_1:1": "link layer unreadable"}),
    "bonds": (
        machine([nic(f"mlx5_bond_{number}", rate=200, layer="Ethernet", lag={"slaves": ["a", "b"]}) for number in range(8)],
                beside(*names(*range(8), stem="mlx5_bond_"), path="PXB")), names(*range(8), stem="mlx5_bond_"), {},
    ),
    "a bond is another kind of card": (
        machine([*RAILS, nic("mlx5_bond_0", lag={"slaves": ["a", "b"]})], {**ONE_EACH, 0: {"mlx5_0": "PIX", "mlx5_bond_0": "PIX"}}), EIGHT,
        {"mlx5_bond_0:1": "other card model"},
    ),
    "nothing is readable": (
        machine([{"name": "mlx5_0", "pci": None, "hca_type": None, "lag": None, "ports": [
            {"port": 1, "state": None, "rate_gbps": None, "link_layer": None, "gids": [], "addresses": ["?"], "netdev": None, "bond": None},
        ]}], {0: {}}), [], {"mlx5_0:1": "link layer unreadable"},
    ),
    "the state is not readable": (
        machine([nic("mlx5_0"), {"name": "mlx5_1", "ports": [{"port": 1, "state": None, "rate_gbps": 800, "link_layer": "Ethernet"}]}]),
        ["mlx5_0"], {"mlx5_1:1": "UNKNOWN, not ACTIVE"},
    ),
    "no RDMA": (machine([], {0: {}}), [], {}),
    "empty facts": (NOTHING, [], {}),
}


@pytest.mark.parametrize(("facts", "devices", "left_out"), CERTAIN.values(), ids=CERTAIN)
def test_certain(facts: dict[str, Any], devices: list[str], left_out: dict[str, str]) -> None:
    found = select(facts)
    assert found["data_devices"] == devices
    assert found["ambiguous"] is None
    assert {key: found["left_out"][key][: len(text)] for key, text in left_out.items()} == left_out
    named = {row["name"] for row in facts.get("devices", [])}
    assert {key.partition(":")[0] for key in [*found["data_ports"], *found["left_out"]]} == named
    json.dumps(found)


def test_summary_of_the_choice() -> None:
    facts = machine([*RAILS, nic("mlx5_8", rate=100), nic("mlx5_9", state="DOWN")], ONE_EACH)
    assert select(facts)["reasons"] == ["8 ACTIVE 400 Gb/s ports; left out mlx5_8 100 Gb/s, mlx5_9 DOWN"]
    assert select(machine([nic("mlx5_0", state="DOWN")]))["reasons"] == ["no ACTIVE port to carry data; left out mlx5_0 DOWN"]


def test_order_is_that_of_pci_then_of_names() -> None:
    shuffled = [("mlx5_9", ""), ("mlx5_10", ""), ("a", "0001:01:00.0"), ("b", "0000:ff:00.0"), ("c", "0000:0a:00.1"), ("d", "0000:0a:00.0")]
    found = select(machine([nic(name, pci) for name, pci in reversed(shuffled)]))
    assert found["data_devices"] == ["d", "c", "b", "a", "mlx5_9", "mlx5_10"]


def test_ten_devices_of_an_mi300x_host() -> None:
    facts = machine([roce(f"mlx5_{number}", 3, rate=100 if number in (1, 6) else 400) for number in range(10)])
    found = select(facts)
    assert found["data_devices"] == names(0, 2, 3, 4, 5, 7, 8, 9)
    assert found["reasons"] == ["8 ACTIVE 400 Gb/s ports; left out mlx5_1 100 Gb/s, mlx5_6 100 Gb/s"]
