# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices with more than one port: planes, representors, and cards whose first port has no cable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import topoxml
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import Context, derive
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.tests.unit.support.layout import Layout
from ansible_collections.railyard.sglang.tests.unit.support.machines import machine as facts_of
from ansible_collections.railyard.sglang.tests.unit.support.machines import names, nic, port


def mooncake(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Mooncake is told of port numbers."""
    return [row for row in derive(facts, select(facts), Context(engine_version="0.5.23")) if row["name"] == "MC_IB_PORT"]


@pytest.mark.parametrize("with_netdevs", [False, True])
def test_representors_of_a_card_in_switchdev_mode(tmp_path: Path, with_netdevs: bool) -> None:
    # Eight cards that show 54 ACTIVE ports: https://github.com/NVIDIA/nccl/issues/2282. mlx5 adds a port per representor to the card's
    # own device: Linux drivers/infiniband/hw/mlx5/ib_rep.c
    machine = Layout(tmp_path)
    for rail in range(2):
        machine.accelerator(f"{rail}/h{rail}/s")
        machine.card(f"mlx5_{rail}", f"{rail}/h{rail}/s", netdev=f"eth{rail}", gids={3: f"v2 192.0.2.{rail + 1} eth{rail}"})
        way = machine.way_of(f"mlx5_{rail}")
        machine.file(f"/sys/class/net/eth{rail}/phys_port_name", "p0")
        for number in range(2, 8):
            gids = {}
            if with_netdevs:
                machine.netdev(f"eth{rail}_{number}", way, phys_port_name=f"pf0vf{number}")
                gids = {0: f"v2 fe80::{number} eth{rail}_{number}"}
            machine.port_files(machine.ports(f"mlx5_{rail}"), number, gids=gids)
    facts = machine.facts()
    found = select(facts)
    assert found["data_ports"] == ["mlx5_0:1", "mlx5_1:1"]
    assert set(found["left_out"].values()) == {"representor of a virtual function or subfunction"}
    assert found["reasons"][0] == "2 ACTIVE 400 Gb/s ports; left out mlx5_0:2 and 11 more representor of a virtual function or subfunction"
    assert (facts["warnings"], mooncake(facts)) == ([], [])


def test_planes_of_one_card(tmp_path: Path) -> None:
    # B300 with ConnectX-8 in four planes: 12 ports a device, data on 3, 6, 9, 12, port 1 down: https://github.com/scitix/sichek/pull/98
    machine = Layout(tmp_path)
    for rail in range(8):
        machine.accelerator(f"{rail // 4}/h{rail}/s")
        machine.card(f"mlx5_{rail}", f"{rail // 4}/h{rail}/s", state="DOWN")
        for number in range(2, 13):
            netdev = f"eth_r{rail}_p{number // 3 - 1}"
            if number % 3:
                machine.port_files(machine.ports(f"mlx5_{rail}"), number, state="DOWN", gbps=40)
            else:
                machine.netdev(netdev, machine.way_of(f"mlx5_{rail}"))
                gids = {3: f"v2 198.51.100.{rail * 16 + number} {netdev}"}
                machine.port_files(machine.ports(f"mlx5_{rail}"), number, gbps=200, gids=gids)
    facts = machine.facts()
    found = select(facts)
    assert found["data_ports"] == [f"mlx5_{rail}:{number}" for rail in range(8) for number in (3, 6, 9, 12)]
    assert found["gpu_map"] == {str(gpu): names(gpu) for gpu in range(8)}
    assert (found["missing"], found["ambiguous"]) == ([], None)
    (row,) = mooncake(facts)
    assert row["value"] == "3"
    assert "6, 9, 12" in row["why"]


@pytest.mark.parametrize(
    ("active", "value"), [(((1,), (1,)), None), (((1, 2), (1,)), None), (((2,), (2,)), "2"), (((1,), (2,)), "")],
    ids=["first ports", "both and first", "second ports", "not one in common"],
)
def test_port_that_mooncake_opens(active: tuple[tuple[int, ...], ...], value: str | None) -> None:
    # Dual-port devices, for example https://github.com/ROCm/rccl tools/topo_expl/models/topo_8p_rome_n2_2.xml: data on port 2
    rows = [
        nic(f"mlx4_{number}", ports=[port(which, 56, "ACTIVE" if which in up else "DOWN") for which in (1, 2)])
        for number, up in enumerate(active)
    ]
    found = mooncake(facts_of(rows, {0: {"mlx4_0": "PIX"}, 1: {"mlx4_1": "PIX"}}))
    if value is None:
        assert found == []
    elif value:
        assert [row["value"] for row in found] == [value]
    else:
        (row,) = found
        assert "mlx4_0:1, mlx4_1:2" in row["unknown"]
        assert "sglang_rdma_devices" in row["why"]


def test_topology_file_with_a_network_device_for_sockets() -> None:
    # https://github.com/ROCm/rccl tools/topo_expl/models/topo_8p_rome_n2_1.xml has such a device beside mlx5_0; port 0 tells it
    def function(bus: str, name: str, number: int, speed: int) -> str:
        net = f'<nic><net name="{name}" port="{number}" speed="{speed}"/></nic>'
        return f'<pci busid="0000:{bus}:00.0" class="0x020000">{net}</pci>'

    card = function("62", "enp98s0f0", 0, 400000) + function("63", "mlx5_0", 1, 200000)
    facts = topoxml.parse(f'<system><cpu numaid="0">{card}<pci busid="0000:64:00.0" class="0x120000"/></cpu></system>')
    assert [device["name"] for device in facts["devices"]] == ["mlx5_0"]
    assert select(facts)["gpu_map"] == {"0": ["mlx5_0"]}


def test_words_of_a_damaged_file_do_not_fill_the_reasons(tmp_path: Path) -> None:
    machine = Layout(tmp_path)
    machine.card("mlx5_0", "0/h", state="9" * 60000, gbps=400)
    found = machine.choice()
    assert max(map(len, [*found["reasons"], *found["left_out"].values()])) < 200
