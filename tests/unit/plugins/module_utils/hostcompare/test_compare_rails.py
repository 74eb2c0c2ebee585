# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rail keeps its place whatever is missing beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import hosts, rails
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support import addressed, fleets
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

EIGHT = [f"mlx5_{index}" for index in range(8)]


def labels(facts: dict[str, Any], more: tuple[str, ...] = ()) -> list[str]:
    return [rail.label if rail.active else f"({rail.label})" for rail in rails.read(facts, more)]


@pytest.mark.parametrize("down", [0, 3, 7])
def test_a_port_that_is_down_keeps_its_place(down: int, tmp_path: Path) -> None:
    expected = [f"({name})" if index == down else name for index, name in enumerate(EIGHT)]
    assert labels(fleets.machine(tmp_path, 1, state={down: "DOWN"})) == expected


def test_rails_follow_the_gpus_also_where_one_is_down(tmp_path: Path) -> None:
    """GPU i is beside NIC 3 - i here: PCI addresses of the NICs run the other way."""
    def facts(down: int | None) -> dict[str, Any]:
        host = Host(tmp_path / str(down))
        for place in range(4):
            switch = f"{0x10 * (place + 1):02x}:01.0 {0x10 * (place + 1) + 1:02x}:00.0 {0x10 * (place + 1) + 2:02x}:00.0"
            host.gpu(f"{switch} {0xF0 - place:02x}:00.0", 0)
            state = "DOWN" if place == down else "ACTIVE"
            host.nic(f"mlx5_{place}", f"{switch.rpartition(' ')[0]} {0x10 * (place + 1) + 2:02x}:01.0 {0x10 * (place + 1) + 4:02x}:00.0",
                     0, f"ens{place}", state=state, gids={3: f"v2 203.0.113.{place + 1} ens{place}"})
        found = host.facts()
        return {**found, "selection": select(found)}

    assert labels(facts(None)) == ["mlx5_3", "mlx5_2", "mlx5_1", "mlx5_0"]
    assert labels(facts(2)) == ["mlx5_3", "(mlx5_2)", "mlx5_1", "mlx5_0"]


def test_a_list_of_the_operator_keeps_its_order(tmp_path: Path) -> None:
    listed = ["mlx5_4", "mlx5_0", "mlx5_2"]
    assert labels(fleets.machine(tmp_path, 1, gpus=0, options=Options(include=listed))) == listed
    assert sorted(labels(fleets.machine(tmp_path, 1, gpus=0, state={2: "DOWN"}, options=Options(include=listed)))) == [
        "(mlx5_2)", "mlx5_0", "mlx5_4",
    ]


def soft(tmp_path: Path, name: str, down: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return a host with four soft devices and no GPU, as virtual machines have them."""
    host = Host(tmp_path / name)
    for index in range(4):
        host.netdev(f"enp{index}", f"0{index + 1}:00.0", mtu=4200)
        host.soft(f"mlx5_{index}", f"enp{index}", state="DOWN" if index in down else "ACTIVE", gids={1: f"v2 203.0.113.{index} enp{index}"})
    facts = host.facts()
    return json.loads(json.dumps({**facts, "selection": select(facts)}))


def read(name: str, facts: dict[str, Any]) -> tuple[hosts.Host, dict[str, Any]]:
    return hosts.read(hosts.Member(name, "east", (f"prefill-{name}",), ("prefill",), ({},)), facts), facts


@pytest.mark.parametrize(("down", "expected"), [
    ((2,), ["mlx5_0", "mlx5_1", "(mlx5_2)", "mlx5_3"]),
    ((0, 3), ["(mlx5_0)", "mlx5_1", "mlx5_2", "(mlx5_3)"]),
])
def test_soft_devices_that_others_have_keep_their_places(down: tuple[int, ...], expected: list[str], tmp_path: Path) -> None:
    whole, cut = read("a", soft(tmp_path, "a")), read("b", soft(tmp_path, "b", down))
    assert len(cut[0].rails) == 4 - len(down)
    hosts.complete([whole, cut])
    assert [rail.label if rail.active else f"({rail.label})" for rail in cut[0].rails] == expected
    assert [rail.label for rail in whole[0].rails] == EIGHT[:4]
    assert cut[0].digest == whole[0].digest


def test_what_nobody_uses_is_not_missing(tmp_path: Path) -> None:
    one, other = read("a", soft(tmp_path, "a", (3,))), read("b", soft(tmp_path, "b", (3,)))
    hosts.complete([one, other])
    assert [rail.label for rail in one[0].rails] == EIGHT[:3]


def test_subnets_and_addresses(tmp_path: Path) -> None:
    (first, *_rest) = rails.read(fleets.machine(tmp_path, 1))
    assert (first.addresses, first.subnets()) == (("203.0.113.1/27",), ("203.0.113.0/27",))
    assert (first.rate, first.mtu, first.active_mtu, first.gid_index, first.board) == (400.0, 9000, 4096, 3, "MT4129/MT_0838")


def test_gpus_that_no_process_sees_are_not_compared(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for place, driver in enumerate(("vfio-pci", "nvidia", "nvidia")):
        host.gpu(f"1{place}:01.0 2{place}:00.0", 0, driver=driver)
        host.nic(f"mlx5_{place}", f"3{place}:01.0 4{place}:00.0", 0)
    facts = host.facts()
    found, _facts = read("a", {**facts, "selection": select(facts)})
    assert found.gpus == "2 x 0x2330"
    assert [name for name in found.topology if name.startswith("NUMA node of GPU")] == ["NUMA node of GPU 0", "NUMA node of GPU 1"]


def test_addresses_of_a_vlan_that_carries_no_data_are_not_compared(tmp_path: Path) -> None:
    facts = addressed.storage_vlan(Host(tmp_path)).facts()
    found, _facts = read("a", {**facts, "selection": select(facts)})
    assert [rail.subnets() for rail in found.rails] == [("198.51.100.0/26",), ("198.51.100.64/26",)]
