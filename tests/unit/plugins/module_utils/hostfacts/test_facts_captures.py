# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the captured trees of real machines."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import topoxml
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, natural
from ansible_collections.railyard.sglang.tests.unit.support.shared import capture
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

Row = tuple[Any, ...]


def ports(facts: dict[str, Any]) -> dict[str, Row]:
    """Return device:port to state, physical state, rate and link layer."""
    return {
        f"{device['name']}:{port['port']}": (port["state"], port["phys_state"], port["rate_gbps"], port["link_layer"])
        for device in facts["devices"]
        for port in device["ports"]
    }


def test_h100_with_infiniband_and_a_bond_of_management_ports() -> None:
    facts = gather(Root(str(capture("gpud-h100-ib"))))
    wanted: dict[str, Row] = {f"mlx5_{index}:1": ("ACTIVE", "LinkUp", 400.0, "InfiniBand") for index in (0, 1, 4, 5, 6, 7, 8, 9)}
    wanted["mlx5_bond_0:1"] = ("ACTIVE", "LinkUp", 200.0, "Ethernet")
    assert ports(facts) == wanted
    assert {device["hca_type"] for device in facts["devices"]} == {"MT4129", "MT41692"}
    assert facts["errors"] == {}


def test_hand_edited_tree() -> None:
    facts = gather(Root(str(capture("procfs"))))
    found = ports(facts)
    assert found["mlx5_0:1"] == ("ACTIVE", "ACTIVE", 25.0, "InfiniBand")
    assert found["mlx4_0:2"] == ("ACTIVE", "LinkUp", 40.0, "InfiniBand")
    assert found["hfi1_0:1"] == ("ACTIVE", "LinkUp", 100.0, "InfiniBand")


def unpack(name: str, place: Path) -> Root:
    """Return a captured archive as a root."""
    with tarfile.open(capture(name)) as archive:
        unpack_into(archive, place)
    inner = [path for path in place.iterdir() if path.is_dir()]
    return Root(str(place if (place / "sys").is_dir() else inner[0]))


def test_a_real_tree_with_an_entry_without_ports(tmp_path: Path) -> None:
    facts = gather(unpack("hwloc/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", tmp_path))
    devices = {device["name"]: device for device in facts["devices"]}
    assert devices["scif0"]["ports"] == []
    card = devices["mlx4_0"]
    assert (card["pci"], card["numa_node"], card["is_vf"]) == ("0000:82:00.0", 1, False)
    assert card["pci_path"] == ["pci0000:80", "0000:80:02.2", "0000:82:00.0"]
    assert (card["ports"][0]["state"], card["ports"][0]["rate_gbps"]) == ("ACTIVE", 56.0)
    assert facts["present"]


def test_soft_devices_of_a_virtual_machine(tmp_path: Path) -> None:
    facts = gather(unpack("rxe-debian12/rxe-2dev.tar", tmp_path))
    assert [device["name"] for device in facts["devices"]] == ["mlx5_0", "mlx5_1"]
    for device, netdev, parent in zip(facts["devices"], ("ens4", "ens5"), ("0000:00:04.0", "0000:00:05.0")):
        (port,) = device["ports"]
        assert (device["virtual"], device["pci"], device["fw_ver"], device["parent_pci"]) == (True, None, None, parent)
        assert (port["state"], port["rate_gbps"], port["rate_true"], port["netdev"]) == ("ACTIVE", 2.5, False, netdev)
        assert (port["rocev2_gid_index"], port["nccl_auto_gid_index"], port["rocev2_gid"]["kind"]) == (1, 1, "ipv4")
        assert port["netdev_mtu"] in (1500, 4200)
        assert port["active_mtu"] == {1500: 1024, 4200: 4096}[port["netdev_mtu"]]


def topology(host: Host, file: Path) -> Host:
    """Write the tree of a topology file of NCCL; such files leave host bridges and downstream ports out."""
    facts = topoxml.parse(file.read_text(encoding="utf-8"))
    for gpu in facts["gpus"]:
        host.gpu(" ".join(gpu["pci_path"] or [gpu["pci"]]), gpu["numa_node"])
    for index, device in enumerate(facts["devices"]):
        host.nic(f"mlx5_{index}", " ".join(device["pci_path"] or [device["pci"]]), device["numa_node"], layer="InfiniBand")
    return host


def test_accelerators_behind_an_inner_bridge(tmp_path: Path) -> None:
    facts = topology(Host(tmp_path), capture("rccl/topo_8p_940.xml")).facts()
    assert len(facts["gpus"]) == len(facts["devices"]) == 8
    by_address = sorted(facts["devices"], key=lambda device: str(device["pci"]))
    assert [(gpu["path"], gpu["nics"]) for gpu in facts["gpus"]] == [("PXB", [device["name"]]) for device in by_address]
    assert [device["name"] for device in by_address] == [f"mlx5_{index}" for index in range(8)]


def test_cloud_guest_with_invented_bridges(tmp_path: Path) -> None:
    facts = topology(Host(tmp_path), capture("azhpc/ndv5-topo.xml")).facts()
    names = sorted((device["name"] for device in facts["devices"]), key=natural)
    assert len(names) == len(facts["gpus"]) == 8
    assert [(gpu["path"], gpu["nics"]) for gpu in facts["gpus"]] == [("UNKNOWN", names)] * 8


@pytest.mark.parametrize("name", ["gpud-h100-ib", "procfs"])
def test_captures_cost_few_reads(name: str) -> None:
    root = Root(str(capture(name)))
    gather(root)
    assert root.reads < 600
