# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures of real machines whose right answers are known."""

from __future__ import annotations

import bz2
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import ibtext, topoxml
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.machines import names, port
from ansible_collections.railyard.sglang.tests.unit.support.shared import capture
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

Facts = dict[str, Any]
HGX = names(0, 3, 4, 5, 6, 9, 10, 11)


def text(path: str, parse: Callable[..., Facts], **more: Any) -> Facts:
    """Return the facts of a capture that is one text."""
    return parse(capture(path).read_text(encoding="utf-8"), **more)


def tree(path: str) -> Facts:
    """Return the facts of a captured tree that holds a machine's sys directory."""
    return gather(Root(str(capture(path))), use_netlink=False)


def with_rate(facts: Facts, rate: float, layer: str) -> Facts:
    """Return a matrix with ports of one rate, which it does not tell itself."""
    return {**facts, "devices": [{**device, "ports": [port(rate=rate, layer=layer)]} for device in facts["devices"]]}


@pytest.mark.parametrize(
    ("path", "parse", "devices", "left_out"),
    [
        ("gpud-ibstat/ibstat.47.0.h100.all.active.0", ibtext.ibstat, HGX, names(1, 2, 7, 8)),
        ("gpud-ibstat/ibstat.47.0.h100.all.active.2", ibtext.ibstat, names(0, 1, 4, 5, 6, 7, 8, 9), ["mlx5_bond_0"]),
        ("gpud-ibstat/ibstat.47.0.h100.some.down.0", ibtext.ibstat, HGX, names(1, 2, 7, 8)),
        ("gpud-ibstat/ibstatus.39.0.a100.all.active.0", ibtext.ibstatus, names(*range(8)), ["mlx5_8"]),
        ("rccl/topo_8p_940.xml", topoxml.parse, names(*range(8)), []),
    ],
)
def test_devices(path: str, parse: Callable[..., Facts], devices: list[str], left_out: list[str]) -> None:
    found = select(text(path, parse))
    assert found["data_devices"] == devices
    assert [key.partition(":")[0] for key in found["left_out"]] == left_out
    assert (found["ambiguous"], found["missing"]) == (None, [])


def test_tree_and_text_of_one_machine_agree() -> None:
    found = select(tree("gpud-h100-ib"))
    assert found["data_devices"] == names(0, 1, 4, 5, 6, 7, 8, 9)
    assert found["left_out"] == {"mlx5_bond_0:1": "200 Gb/s, slower than 400 Gb/s"}
    assert (found["link_layer"], found["rate"], found["missing"]) == ("InfiniBand", 400, [])
    told = select(text("gpud-ibstat/ibstat.47.0.h100.all.active.2", ibtext.ibstat))
    assert told["data_ports"] == found["data_ports"]


def test_an_inner_bridge_makes_pxb_of_mi300x() -> None:
    found = select(text("rccl/topo_8p_940.xml", topoxml.parse))
    assert found["gpu_map"] == {str(gpu): [f"mlx5_{gpu}"] for gpu in range(8)}
    assert set(found["gpu_paths"].values()) == {"PXB"}


def test_a_file_made_for_a_guest_tells_no_place() -> None:
    facts = text("azhpc/ndv5-topo.xml", topoxml.parse)
    assert [gpu["path"] for gpu in facts["gpus"]] == ["UNKNOWN"] * 8
    assert len(facts["devices"]) == 8
    facts = {**facts, "devices": [{**device, "ports": [port()]} for device in facts["devices"]]}
    found = select(facts)
    assert len(found["data_devices"]) == 8
    assert (found["ambiguous"], found["gpu_map"]) == (None, {})
    assert found["gpu_map_ambiguous"]["variable"] == "sglang_rdma_device_map"


@pytest.mark.parametrize("rate", [200, 400])
def test_north_south_card_on_a_gpus_own_switch(rate: float) -> None:
    path = "k8s-launch-kit/PowerEdge-XE9680_H200.json"
    rows = json.loads(capture(path).read_text(encoding="utf-8"))
    found = select(text(path, ibtext.launch_kit, rates={"east-west": 400, "north-south": rate}))
    east_west = [row for row in rows if row["traffic"] == "east-west"]
    assert found["data_devices"] == [row["rdma"] for row in east_west]
    assert found["gpu_map"] == {str(row["rail"]): [row["rdma"]] for row in east_west}
    assert [(row["rail"], row["device"]) for row in found["rails"]] == [(row["rail"], row["rdma"]) for row in east_west]
    assert set(found["left_out"]) == {row["rdma"] + ":1" for row in rows if row["traffic"] != "east-west" and row["rdma"]}
    assert found["ambiguous"] is None


@pytest.mark.parametrize(
    ("path", "rate", "layer", "devices"),
    [
        ("vllm-6746-h100-12nic.txt", 400, "Ethernet", HGX),
        ("ucx-py-749-dgx-a100-12nic.txt", 200, "InfiniBand", names(0, 1, 2, 3, 6, 7, 8, 9)),
        ("deepep-590-b300-8bond.txt", 800, "Ethernet", names(*range(8), stem="mlx5_bond_")),
    ],
)
def test_matrices(path: str, rate: float, layer: str, devices: list[str]) -> None:
    found = select(with_rate(text("matrices/" + path, ibtext.matrix), rate, layer))
    assert found["data_devices"] == devices
    # Where two GPUs and two NICs tie on a switch, they are dealt in order.
    assert found["gpu_map"] == {str(gpu): [device] for gpu, device in enumerate(devices)}
    assert set(found["gpu_paths"].values()) == {"PXB"}
    assert found["ambiguous"] is None


def test_matrix_and_ports_of_two_machines_of_one_shape() -> None:
    places = text("matrices/vllm-6746-h100-12nic.txt", ibtext.matrix)
    found = select(ibtext.merge(places, text("gpud-ibstat/ibstat.47.0.h100.all.active.0", ibtext.ibstat)))
    assert found["data_devices"] == HGX
    assert found["gpu_map"] == {str(gpu): [device] for gpu, device in enumerate(HGX)}


def test_parser_tree_with_odd_wording() -> None:
    found = select(tree("procfs"))
    known = {device["name"] for device in tree("procfs")["devices"]}
    assert {"mlx4_0", "mlx5_0", "hfi1_0"} <= known
    assert {key.partition(":")[0] for key in [*found["data_ports"], *found["left_out"], *found["proposed"]]} == known


def unpacked(path: str, place: Path) -> Root:
    """Return the root of a captured machine that is an archive."""
    source = capture(path)
    if source.suffix == ".bz2":
        plain = place / "plain.tar"
        plain.write_bytes(bz2.decompress(source.read_bytes()))
        source = plain
    with tarfile.open(source) as archive:
        unpack_into(archive, place)
    found = next(entry.parent for entry in [place / "sys", *place.rglob("sys")] if entry.is_dir())
    return Root(str(found))


def test_soft_devices_of_a_virtual_machine(tmp_path: Path) -> None:
    found = select(gather(unpacked("rxe-debian12/rxe-2dev.tar", tmp_path), use_netlink=False))
    assert found["data_devices"] == names(0, 1)
    assert (found["uniform_gid_index"], found["link_layer"], found["rate"]) == (1, "Ethernet", 2.5)


def test_an_old_tree_with_an_entry_without_ports(tmp_path: Path) -> None:
    facts = gather(unpacked("hwloc/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", tmp_path), use_netlink=False)
    found = select(facts)
    assert found["left_out"]["scif0"] == "device has no port"
    place = {device["name"]: (device["pci"], device["numa_node"]) for device in facts["devices"]}
    assert place["mlx4_0"] == ("0000:82:00.0", 1)
    assert found["data_devices"] == ["mlx4_0"]


def test_seed_with_ten_devices_as_a_tree(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for number in range(10):
        host.nic(f"mlx5_{number}", gbps=100 if number in (1, 6) else 400)
    found = select(host.facts())
    assert found["data_devices"] == names(0, 2, 3, 4, 5, 7, 8, 9)
    assert found["reasons"][0] == "8 ACTIVE 400 Gb/s ports; left out mlx5_1 100 Gb/s, mlx5_6 100 Gb/s"
