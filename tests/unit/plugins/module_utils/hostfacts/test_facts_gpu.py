# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of both makers, by what their drivers show and without drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gpu
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import H100, MI300X, Host

INFORMATION = """\
Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t 345
GPU UUID: \t GPU-00000000-1111-2222-3333-444444444444
Bus Location: \t 0000:1a:00.0
Device Minor: \t 3
GPU Excluded:\t No
"""


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def found(host: Host) -> list[dict[str, Any]]:
    return gpu.gpus(Root(str(host.root)))


def kfd(host: Host, node: int, **values: int) -> None:
    host.file(f"/sys/class/kfd/kfd/topology/nodes/{node}/properties", "\n".join(f"{name} {value}" for name, value in values.items()))


def test_nvidia_with_its_driver(host: Host) -> None:
    host.gpu("17:01.0 1a:00.0", numa=1)
    host.file("/proc/driver/nvidia/gpus/0000:1a:00.0/information", INFORMATION)
    (row,) = found(host)
    assert row == {
        "index": 0, "pci": "0000:1a:00.0", "pci_path": ["pci0000:17", "0000:17:01.0", "0000:1a:00.0"],
        "vendor": "nvidia", "device": "0x2330",
        "model": "NVIDIA H100 80GB HBM3", "uuid": "GPU-00000000-1111-2222-3333-444444444444", "minor": 3, "numa_node": 1,
        "driver": "nvidia", "pci_link": None, "is_vf": False, "partitions": None,
    }


def test_nvidia_without_driver(host: Host) -> None:
    host.gpu("17:01.0 1a:00.0", driver=None)
    (row,) = found(host)
    assert (row["vendor"], row["model"], row["uuid"], row["minor"], row["driver"]) == ("nvidia", None, None, None, None)


def test_nvidia_known_to_the_driver_only(host: Host) -> None:
    host.file("/proc/driver/nvidia/gpus/0000:1A:00.0/information", INFORMATION)
    (row,) = found(host)
    assert (row["pci"], row["pci_path"], row["numa_node"]) == ("0000:1a:00.0", ["0000:1a:00.0"], None)
    assert row["model"] == "NVIDIA H100 80GB HBM3"


def test_amd_with_kfd(host: Host) -> None:
    host.gpu("05:01.0 0c:00.0", numa=0, driver="amdgpu", **MI300X)
    kfd(host, 0, cpu_cores_count=96, simd_count=0)
    kfd(host, 1, simd_count=1216, location_id=0x0C00, domain=0, unique_id=0x1122334455667788, drm_render_minor=128)
    (row,) = found(host)
    assert (row["vendor"], row["pci"], row["model"], row["uuid"], row["minor"], row["partitions"], row["driver"]) == (
        "amd", "0000:0c:00.0", "AMD Instinct MI300X", "1122334455667788", 128, 1, "amdgpu",
    )


def test_amd_in_partitions_and_a_high_domain(host: Host) -> None:
    host.gpu("0002:05:01.0 0002:0c:00.0", driver="amdgpu", **{**MI300X, "product_name": "Its own name", "unique_id": "abcd"})
    for node in range(1, 9):
        kfd(host, node, simd_count=152, location_id=0x0C00, domain=2)
    (row,) = found(host)
    assert (row["pci"], row["model"], row["uuid"], row["partitions"]) == ("0002:0c:00.0", "Its own name", "abcd", 8)


@pytest.mark.parametrize(
    ("attributes", "count"),
    [
        ({"vendor": "0x10de", "class": "0x030200"}, 1),
        ({"vendor": "0x10de", "class": "0x030000"}, 1),
        ({"vendor": "0x10de", "class": "0x040300"}, 0),
        ({"vendor": "0x10de", "class": "0x068000"}, 0),
        ({"vendor": "0x1002", "class": "0x120000"}, 1),
        ({"vendor": "0x1002", "class": "0x038000"}, 1),
        ({"vendor": "0x1002", "class": "0x030000"}, 0),
        ({"vendor": "0x1a03", "class": "0x030000"}, 0),
        ({"vendor": "0x8086", "class": "0x030000"}, 0),
        ({"vendor": "0x15b3", "class": "0x020000"}, 0),
        ({"vendor": "", "class": ""}, 0),
    ],
)
def test_what_is_a_gpu(host: Host, attributes: dict[str, str], count: int) -> None:
    host.pci("17:01.0 1a:00.0", **attributes)
    assert len(found(host)) == count


def test_an_amd_vga_controller_counts_when_kfd_computes_on_it(host: Host) -> None:
    host.pci("17:01.0 1a:00.0", vendor="0x1002", device="0x7448", **{"class": "0x030000"})
    kfd(host, 1, simd_count=384, location_id=0x1A00)
    (row,) = found(host)
    assert (row["model"], row["partitions"]) == (None, 1)


def test_order_is_that_of_the_pci_addresses(host: Host) -> None:
    for way in ("d0:01.0 db:00.0", "10000:01:00.0", "ffff:01:00.0", "0a:01.0 0b:00.0", "90:01.0 9a:00.0"):
        host.gpu(way)
    assert [row["pci"] for row in found(host)] == ["0000:0b:00.0", "0000:9a:00.0", "0000:db:00.0", "ffff:01:00.0", "10000:01:00.0"]
    assert [row["index"] for row in found(host)] == [0, 1, 2, 3, 4]


# Drivers and kinds of the GPUs in the order of their PCI addresses, and the numbers by which processes know them.
COUNTED: dict[str, tuple[list[tuple[str | None, dict[str, str]]], list[int | None]]] = {
    "one is a guest's": ([("vfio-pci", H100), *[("nvidia", H100)] * 3], [None, 0, 1, 2]),
    "one has no driver": ([("nvidia", H100), (None, H100), ("nvidia", H100)], [0, None, 1]),
    "the display has the kernel's own driver": ([("nouveau", H100), ("nvidia", H100)], [None, 0]),
    "no driver is loaded, and one is a guest's": ([(None, H100), ("vfio-pci", H100), (None, H100)], [0, None, 1]),
    "all are guests'": ([("vfio-pci", H100)] * 2, [None, None]),
    "each vendor's programs count their own": (
        [("amdgpu", MI300X), ("nvidia", H100), ("vfio-pci", MI300X), ("nvidia", H100), ("amdgpu", MI300X)], [0, 0, None, 1, 1],
    ),
    "the driver of another vendor": ([("nvidia", MI300X), ("amdgpu", MI300X)], [None, 0]),
}


@pytest.mark.parametrize(("rows", "indexes"), COUNTED.values(), ids=COUNTED)
def test_numbers_are_those_of_processes(host: Host, rows: list[tuple[str | None, dict[str, str]]], indexes: list[int | None]) -> None:
    for place, (driver, kind) in enumerate(rows):
        host.gpu(f"1{place}:01.0 2{place}:00.0", driver=driver, **kind)
    assert [row["index"] for row in found(host)] == indexes


def test_virtual_gpus_belong_to_guests(host: Host) -> None:
    host.gpu("17:01.0 1a:00.0")
    path = host.gpu("17:01.0 1a:00.4")
    host.link(path + "/physfn", "/sys/bus/pci/devices/0000:1a:00.0")
    assert [row["pci"] for row in found(host)] == ["0000:1a:00.0"]
