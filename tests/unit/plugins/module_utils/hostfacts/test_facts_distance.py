# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Path classes between GPUs and NICs, ties, and PCI functions with their bridges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import distance, pci
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host, config_space, hgx

RP = "pci0000:17 0000:17:01.0"
SWITCH = f"{RP} 0000:18:00.0"


# Two ways, NUMA nodes, whether in a virtual machine, and the path class.
RELATIONS: dict[str, tuple[str, str, int | None, int | None, bool, str]] = {
    "one switch": (f"{SWITCH} 0000:19:00.0 0000:1a:00.0", f"{SWITCH} 0000:19:01.0 0000:1b:00.0", 0, 0, False, "PIX"),
    "one switch, in a virtual machine": (
        f"{SWITCH} 0000:19:00.0 0000:1a:00.0", f"{SWITCH} 0000:19:01.0 0000:1b:00.0", None, None, True, "PIX",
    ),
    "two functions of one card": (f"{RP} 0000:18:00.0", f"{RP} 0000:18:00.1", 0, 0, False, "PIX"),
    "two switches in a row": (
        f"{SWITCH} 0000:19:00.0 0000:1a:00.0 0000:1b:00.0 0000:1c:00.0", f"{SWITCH} 0000:19:01.0 0000:1d:00.0", 0, 0, False, "PXB",
    ),
    "a bridge inside the accelerator": (
        f"{SWITCH} 0000:19:00.0 0000:1a:00.0 0000:1b:00.0 0000:1c:00.0 0000:1d:00.0 0000:1e:00.0", f"{SWITCH} 0000:19:02.0 0000:1f:00.0",
        0, 0, False, "PXB",
    ),
    "topology file without downstream ports": (f"{RP} 0000:1a:00.0", f"{RP} 0000:1b:00.0", 0, 0, False, "PIX"),
    "the same with a bridge on one side": (f"{RP} 0000:1a:00.0 0000:1c:00.0", f"{RP} 0000:1b:00.0", 0, 0, False, "PXB"),
    "the same with a bridge on both sides": (f"{RP} 0000:1a:00.0 0000:1c:00.0", f"{RP} 0000:1b:00.0 0000:1d:00.0", 0, 0, False, "PXB"),
    "two root ports of one host bridge": (f"{RP} 0000:18:00.0", "pci0000:17 0000:17:03.0 0000:1c:00.0", 0, 0, False, "PHB"),
    "the same without NUMA nodes": (f"{RP} 0000:18:00.0", "pci0000:17 0000:17:03.0 0000:1c:00.0", None, None, False, "PHB"),
    "flat root of a virtual machine": ("pci0000:00 0000:00:05.0", "pci0000:00 0000:00:06.0", None, None, True, "UNKNOWN"),
    "flat root of a virtual machine with NUMA nodes": ("pci0000:00 0000:00:05.0", "pci0000:00 0000:00:06.0", 0, 0, True, "PHB"),
    "flat root, other NUMA node": ("pci0000:00 0000:00:05.0", "pci0000:00 0000:00:06.0", 0, 1, True, "SYS"),
    "other host bridge, same node": (f"{RP} 0000:18:00.0", "pci0000:37 0000:37:01.0 0000:38:00.0", 0, 0, False, "NODE"),
    "other node": (f"{RP} 0000:18:00.0", "pci0000:97 0000:97:01.0 0000:98:00.0", 0, 1, False, "SYS"),
    "nodes unknown": (f"{RP} 0000:18:00.0", "pci0000:97 0000:97:01.0 0000:98:00.0", None, 1, False, "UNKNOWN"),
    "nodes unknown, as the firmware says it": (f"{RP} 0000:18:00.0", "pci0000:97 0000:97:01.0 0000:98:00.0", -1, -1, False, "UNKNOWN"),
    "domains of a cloud": ("pci0001:00 0001:00:00.0", "pci0101:00 0101:00:00.0", None, None, True, "UNKNOWN"),
    "domains of a cloud with NUMA nodes": ("pci0001:00 0001:00:00.0", "pci0101:00 0101:00:00.0", 0, 0, True, "NODE"),
    "a bridge behind the downstream port": (
        f"{SWITCH} 0000:19:00.0 0000:1a:00.0 0000:1b:00.0", f"{SWITCH} 0000:19:01.0 0000:1c:00.0", 0, 0, False, "PXB",
    ),
    "one is a bridge above the other": (SWITCH, f"{SWITCH} 0000:19:01.0 0000:1b:00.0", None, 0, False, "PXB"),
    "no way known": ("", f"{RP} 0000:18:00.0", None, 0, False, "UNKNOWN"),
    "no ways, nodes known": ("", "", 1, 1, False, "NODE"),
}


@pytest.mark.parametrize("case", RELATIONS.values(), ids=RELATIONS)
def test_relation(case: tuple[str, str, int | None, int | None, bool, str]) -> None:
    one, other, node, other_node, guest, path = case
    for ways in ((one.split(), other.split(), node, other_node), (other.split(), one.split(), other_node, node)):
        assert distance.relation(*ways, guest)[0] == path


@pytest.mark.parametrize(
    ("real", "path", "place"),
    [
        ("/sys/devices/pci0000:17/0000:17:01.0/0000:18:00.0/infiniband/mlx5_0", "pci0000:17 0000:17:01.0 0000:18:00.0", "0000:18:00.0"),
        ("/sys/devices/pci0000:00/0000:00:04.0/virtio1/net/ens4", "pci0000:00 0000:00:04.0", "0000:00:04.0"),
        ("/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0", "pci10000:e0 10000:e0:06.0", "10000:e0:06.0"),
        ("/sys/devices/LNXSYSTM:00/LNXSYBUS:00/VMBUS:00/a-b-c/pci0001:00/0001:00:00.0", "pci0001:00 0001:00:00.0", "0001:00:00.0"),
        ("/sys/devices/pciffff:ff/ffff:ff:01.0/0001:00:00.0", "0001:00:00.0", "0001:00:00.0"),
        ("/sys/bus/pci/devices/0000:18:00.0", "0000:18:00.0", "0000:18:00.0"),
        ("/sys/devices/virtual/infiniband/mlx5_0", "", None),
        ("", "", None),
    ],
)
def test_way_of_a_real_path(real: str, path: str, place: str | None) -> None:
    assert pci.pci_path(real) == path.split()
    assert (pci.place(real) or "").rpartition("/")[2] == (place or "")


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def gpus(host: Host) -> list[tuple[str | None, list[str], list[str], list[int]]]:
    return [(row["path"], row["nics"], row["tied"], row["shared_with"]) for row in host.facts(["rdma", "gpu"])["gpus"]]


def test_one_nic_on_each_switch(host: Host) -> None:
    hgx(host, 8, management=(1, 2, 7, 8), slots=4)
    assert gpus(host) == [("PIX", [f"mlx5_{index}"], [], []) for index in (0, 3, 4, 5, 6, 9, 10, 11)]


def test_two_gpus_and_two_nics_on_a_switch(host: Host) -> None:
    inner = "17:01.0 18:00.0"
    for place, bus in enumerate((0x1A, 0x1C)):
        host.gpu(f"{inner} 19:0{place}.0 {bus:x}:00.0 {bus + 1:x}:00.0 {bus + 0x10:x}:00.0", 0)
        host.nic(f"mlx5_{place}", f"{inner} 19:0{place + 4}.0 {bus + 0x20:x}:00.0", 0)
    host.nic("mlx5_4", "37:01.0 38:00.0", 0)
    both = ["mlx5_0", "mlx5_1"]
    assert gpus(host) == [("PXB", both, both, [1]), ("PXB", both, both, [0])]
    assert host.facts(["rdma", "gpu"])["gpus"][0]["paths"] == {"mlx5_0": "PXB", "mlx5_1": "PXB", "mlx5_4": "NODE"}


def test_fewer_hops_win_below_the_cpu_only(host: Host) -> None:
    inner = "17:01.0 18:00.0 19:00.0 1a:00.0"
    host.gpu(f"{inner} 1b:00.0 1c:00.0 1d:00.0 1e:00.0", 0)
    host.nic("mlx5_far", "17:01.0 18:00.0 19:01.0 2a:00.0", 0)
    host.nic("mlx5_near", f"{inner} 1b:01.0 2b:00.0", 0)
    assert gpus(host) == [("PXB", ["mlx5_near"], [], [])]


def test_ties_through_the_cpu(host: Host) -> None:
    host.gpu("17:01.0 18:00.0", 0)
    host.nic("mlx5_0", "37:01.0 38:00.0", 0)
    host.nic("mlx5_1", "47:01.0 48:00.0 49:00.0 4a:00.0", 0)
    host.nic("mlx5_2", "97:01.0 98:00.0", 1)
    assert gpus(host) == [("NODE", ["mlx5_0", "mlx5_1"], ["mlx5_0", "mlx5_1"], [])]


def test_virtual_machine(host: Host) -> None:
    host.file("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme hypervisor lm\n")
    for index in range(2):
        host.gpu(f"000{index + 1}:00:00.0")
        host.nic(f"mlx5_{index}", f"010{index + 1}:00:00.0")
    both = ["mlx5_0", "mlx5_1"]
    assert gpus(host) == [("UNKNOWN", both, both, [1]), ("UNKNOWN", both, both, [0])]


@pytest.mark.parametrize(("flags", "path"), [("fpu hypervisor", "UNKNOWN"), ("fpu vme", "PHB")])
def test_flat_root_bus(host: Host, flags: str, path: str) -> None:
    host.file("/proc/cpuinfo", f"processor\t: 0\nflags\t\t: {flags}\n")
    host.gpu("00:05.0")
    host.nic("mlx5_0", "00:06.0")
    assert gpus(host) == [(path, ["mlx5_0"], [], [])]


def test_neighbours_are_hardware_with_ports_and_no_sub_devices(host: Host) -> None:
    host.gpu("17:01.0 18:00.0 19:00.0 1a:00.0", 0)
    way = "17:01.0 18:00.0 19:01.0 1b:00.0"
    host.nic("mlx5_0", way, 0)
    host.nic("smi1", way, 0)
    host.nic("mlx5_2", "17:01.0 18:00.0 19:01.0 1b:00.2", 0, virtual_of=way)
    host.files("/sys/class/infiniband/scif0", {"node_type": "1: CA"})
    host.soft("rxe0", "lo")
    assert gpus(host) == [("PIX", ["mlx5_0"], [], [])]


def test_virtual_functions_alone_are_neighbours(host: Host) -> None:
    host.gpu("17:01.0 18:00.0 19:00.0 1a:00.0", 0)
    host.nic("mlx5_2", "17:01.0 18:00.0 19:01.0 1b:00.2", 0, virtual_of="17:01.0 18:00.0 19:01.0 1b:00.0")
    assert gpus(host) == [("PIX", ["mlx5_2"], [], [])]


def test_gpu_without_nics(host: Host) -> None:
    host.gpu("17:01.0 18:00.0", 0)
    assert gpus(host) == [(None, [], [], [])]


def test_amds_inner_bridge(host: Host) -> None:
    outer = "05:01.0 06:00.0"
    host.gpu(f"{outer} 07:00.0 08:00.0 09:00.0 0a:00.0 0b:00.0 0c:00.0", 0, driver="amdgpu", **MI300X)
    host.nic("mlx5_0", f"{outer} 07:01.0 0e:00.0", 0)
    assert gpus(host) == [("PXB", ["mlx5_0"], [], [])]


# PCI

LINKS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, Any] | None]] = {
    "full": (
        {"current_link_speed": "32.0 GT/s PCIe", "max_link_speed": "32.0 GT/s PCIe", "current_link_width": "16", "max_link_width": "16"},
        {},
        {"speed_gts": 32.0, "width": 16, "max_speed_gts": 32.0, "max_width": 16, "slow": False, "narrow": False},
    ),
    "trained down": (
        {"current_link_speed": "16.0 GT/s PCIe", "max_link_speed": "32.0 GT/s PCIe", "current_link_width": "8", "max_link_width": "16"},
        {},
        {"speed_gts": 16.0, "width": 8, "max_speed_gts": 32.0, "max_width": 16, "slow": True, "narrow": True},
    ),
    "slot is slower than the card": (
        {"current_link_speed": "16.0 GT/s PCIe", "max_link_speed": "32.0 GT/s PCIe", "current_link_width": "8", "max_link_width": "16"},
        {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "8"},
        {"speed_gts": 16.0, "width": 8, "max_speed_gts": 16.0, "max_width": 8, "slow": False, "narrow": False},
    ),
    "unknown": (
        {"current_link_speed": "Unknown", "max_link_speed": "Unknown speed", "current_link_width": "0", "max_link_width": "255"}, {}, None,
    ),
    "old wording": (
        {"current_link_speed": "8 GT/s", "max_link_speed": "8 GT/s", "current_link_width": "x", "max_link_width": "16"}, {},
        {"speed_gts": 8.0, "width": None, "max_speed_gts": 8.0, "max_width": 16, "slow": False, "narrow": None},
    ),
    "absent": ({}, {}, None),
}


@pytest.mark.parametrize(("card", "slot", "wanted"), LINKS.values(), ids=LINKS)
def test_link(host: Host, card: dict[str, str], slot: dict[str, str], wanted: dict[str, Any] | None) -> None:
    path = host.pci("17:01.0 18:00.0", **card)
    host.pci("17:01.0", **slot)
    assert pci.link(Root(str(host.root)), path) == wanted


PORTS = {
    "downstream with ACS": (config_space("downstream", 0x1D), "downstream", 0x1D),
    "downstream with ACS off": (config_space("downstream", 0), "downstream", 0),
    "root port without ACS": (config_space("root"), "root", None),
    "what a plain user sees": (config_space("downstream", 0x1D, 64), None, None),
    "conventional space only": (config_space("downstream", 0x1D, 256), "downstream", None),
    "cut in the extended capability": (config_space("downstream", 0x1D, 0x14A), "downstream", None),
    "empty": (b"", None, None),
    "all ones, as a removed device": (b"\xff" * 4096, None, None),
    "capabilities in a circle": (b"\0" * 0x34 + b"\x40" + b"\0" * 11 + b"\x01\x40" + b"\0" * 200, None, None),
    "extended capabilities in a circle": (config_space("upstream")[:0x148] + b"\x02\x00\x81\x14" + b"\0" * 3000, "upstream", None),
}


@pytest.mark.parametrize(("config", "kind", "control"), PORTS.values(), ids=PORTS)
def test_configuration_space(config: bytes, kind: str | None, control: int | None) -> None:
    assert pci.port_type_and_acs(config) == (kind, control)


def test_acs_of_the_bridges_above(host: Host) -> None:
    host.gpu("17:01.0 18:00.0 19:00.0 1a:00.0", config=config_space("downstream", 0x1F))
    host.nic("mlx5_0", "17:01.0 18:00.0 19:01.0 1b:00.0")
    for way, kind, control in (
        ("17:01.0", "root", 0x1D), ("17:01.0 18:00.0", "upstream", None),
        ("17:01.0 18:00.0 19:00.0", "downstream", 0x1D), ("17:01.0 18:00.0 19:01.0", "downstream", 0x01),
    ):
        host.pci(way, config=config_space(kind, control))
    acs = host.facts()["system"]["acs"]
    assert acs["redirecting"] == ["0000:19:00.0"]
    assert acs["bridges"] == {
        "0000:17:01.0": {"port": "root", "control": 0x1D, "redirects": True},
        "0000:19:00.0": {"port": "downstream", "control": 0x1D, "redirects": True},
        "0000:19:01.0": {"port": "downstream", "control": 0x01, "redirects": False},
    }


@pytest.mark.parametrize(("size", "known"), [(64, False), (4096, True)])
def test_acs_is_unknown_without_privileges(host: Host, size: int, known: bool) -> None:
    host.gpu("17:01.0 18:00.0")
    host.pci("17:01.0", config=config_space("root", size=size))
    assert host.facts(["gpu", "system"])["system"]["acs"] == ({"bridges": {}, "redirecting": []} if known else None)
