# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts described by what decides about stacks, written as trees of files: operating system, libraries, GPUs, driver, nvcc, Pythons.

The libraries are real ELF files of the least size, with the versions that the releases of those systems define (packages of glibc, gcc and
rdma-core there); the rest stands in the files as kernels and drivers write them.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host


@dataclass(frozen=True)
class System:
    """A release: its os-release, where its libraries are, the newest versions that they define, its Pythons."""

    release: str
    libraries: str
    glibc: int
    glibcxx: int
    ibverbs: int
    pythons: tuple[str, ...]


DEB, RPM = "/usr/lib/x86_64-linux-gnu", "/usr/lib64"
SYSTEMS = {
    "rhel-8": System('ID="rhel"\nVERSION_ID="8.10"\nPRETTY_NAME="RHEL 8.10"\n', RPM, 28, 25, 14, ("3.6",)),
    "rhel-9": System('ID="rhel"\nVERSION_ID="9.4"\nPRETTY_NAME="RHEL 9.4"\n', RPM, 34, 29, 14, ("3.9",)),
    "rocky-9": System(
        'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\nPRETTY_NAME="Rocky 9.6"\n', RPM, 34, 29, 14, ("3.9", "3.11")
    ),
    "rhel-10": System('ID="rhel"\nVERSION_ID="10.0"\nPRETTY_NAME="RHEL 10.0"\n', RPM, 39, 33, 14, ("3.12",)),
    "ubuntu-20.04": System('ID=ubuntu\nVERSION_ID="20.04"\nPRETTY_NAME="Ubuntu 20.04"\n', DEB, 31, 28, 8, ("3.8",)),
    "ubuntu-22.04": System('ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04"\n', DEB, 35, 30, 14, ("3.10",)),
    "ubuntu-24.04": System('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n', DEB, 39, 33, 14, ("3.12",)),
    "debian-12": System('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n', DEB, 36, 30, 14, ("3.11",)),
    "debian-13": System('ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n', DEB, 41, 33, 14, ("3.13",)),
    "sles-15": System('ID="sles"\nID_LIKE="suse"\nVERSION_ID="15.6"\nPRETTY_NAME="SLES 15 SP6"\n', RPM, 38, 33, 14, ("3.6", "3.11")),
}
DEVICES = {
    "V100": "0x1db5",
    "T4": "0x1eb8",
    "A100": "0x20b2",
    "A40": "0x2235",
    "L40S": "0x26b9",
    "H100": "0x2330",
    "H20": "0x2329",
    "H200": "0x2335",
    "B200": "0x2901",
    "B300": "0x3182",
    "RTX PRO 6000": "0x2bb5",
    "unknown": "0x7f01",
}
TARGETS = {"MI210": ("0x740f", 90010), "MI300X": ("0x74a1", 90402), "MI355X": ("0x75a3", 90500)}


def elf(versions: list[str], order: str = "<", wide: bool = True) -> bytes:
    """Return a shared library that defines these versions, and nothing else.

    :param order: byte order as struct writes it.
    :param wide: 64 bits.
    """
    names = b"\0libx.so.1\0"
    places = []
    for version in versions:
        places.append(len(names))
        names += version.encode() + b"\0"
    rows = b""
    entries = [(1, 1), *((0, place) for place in places)]
    for number, (flags, place) in enumerate(entries):
        following = 28 if number + 1 < len(entries) else 0
        rows += struct.pack(order + "HHHHIIIII", 1, flags, number + 1, 1, 0, 20, following, place, 0)
    head, row = (64, 64) if wide else (52, 40)
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    table = head + len(names) + len(rows)
    sections = [
        struct.pack(layout, *[0] * 10),
        struct.pack(layout, 0, 3, 0, 0, head, len(names), 0, 0, 1, 0),
        struct.pack(layout, 0, 0x6FFFFFFD, 0, 0, head + len(names), len(rows), 1, len(entries), 4, 0),
    ]
    magic = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    words = struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), 3, 62, 1, 0, 0, table, 0, head, 0, 0, row, len(sections), 0)
    return magic + words + names + rows + b"".join(sections)


def numbered(prefix: str, last: int) -> list[str]:
    """Return the versions of a library up to the last one."""
    return [f"{prefix}{number}" for number in range(1, last + 1)]


@dataclass(frozen=True)
class Described:
    """A host.

    :ivar gpus: names of C(DEVICES) or C(TARGETS), separated by spaces or repeated.
    :ivar driver: NVIDIA's loaded driver; empty: not loaded.
    :ivar nvcc: versions of toolkits in /usr/local, separated by spaces; the last one is the default, as the newest one is after an
        install; "?" for one that does not say.
    :ivar pythons: more Pythons than those of the system.
    :ivar libstdcxx: a newer C++ library in /opt/gcc/lib64, by the number of its version.
    """

    system: str
    gpus: tuple[str, ...] = ()
    driver: str = ""
    nvcc: str = ""
    pythons: tuple[str, ...] = ()
    amdgpu: bool = True
    libstdcxx: int = 0
    mlx5: bool = True

    def write(self, root: Path) -> Host:
        """Write it below a directory."""
        host, system = Host(root), SYSTEMS[self.system]
        host.file("/etc/os-release", system.release)
        host.file(f"{system.libraries}/libc.so.6", elf(["GLIBC_2.2.5", *numbered("GLIBC_2.", system.glibc), "GLIBC_PRIVATE"]))
        host.file(f"{system.libraries}/libstdc++.so.6", elf([*numbered("GLIBCXX_3.4.", system.glibcxx), "CXXABI_1.3"]))
        host.file(f"{system.libraries}/libibverbs.so.1", elf(numbered("IBVERBS_1.", system.ibverbs)))
        if self.mlx5:
            host.file(f"{system.libraries}/libmlx5.so.1", elf(numbered("MLX5_1.", 24 if system.ibverbs > 8 else 12)))
        if self.libstdcxx:
            host.file("/opt/gcc/lib64/libstdc++.so.6", elf(numbered("GLIBCXX_3.4.", self.libstdcxx)))
        for version in (*system.pythons, *self.pythons):
            host.file(f"/usr/bin/python{version}", "")
        for version in self.nvcc.split():
            self._toolkit(host, version)
        if self.nvcc.strip("?"):
            host.link("/usr/local/cuda", f"/usr/local/cuda-{self.nvcc.split()[-1]}")
        self._gpus(host)
        if self.driver:
            host.file("/sys/module/nvidia/version", self.driver)
        return host

    @staticmethod
    def _toolkit(host: Host, version: str) -> None:
        path = f"/usr/local/cuda-{version}" if version != "?" else "/usr/local/cuda"
        host.file(f"{path}/bin/nvcc", "")
        if version != "?":
            host.file(f"{path}/version.json", json.dumps({"cuda": {"version": version}, "cuda_nvcc": {"version": f"{version}.88"}}))

    def _gpus(self, host: Host) -> None:
        for number, name in enumerate(self.gpus):
            bus = 0x10 + number
            device, target = TARGETS.get(name, (DEVICES.get(name, ""), 0))
            if name == "Ascend":
                place = {"vendor": "0x19e5", "device": "0xd802", "class": "0x120000"}
            elif target:
                place = {"vendor": "0x1002", "device": device, "class": "0x120000"}
                rows = f"simd_count 304\ngfx_target_version {target}\nlocation_id {bus << 8}\ndomain 0\n"
                host.file(f"/sys/class/kfd/kfd/topology/nodes/{number + 1}/properties", rows)
            else:
                place = {"vendor": "0x10de", "device": device, "class": "0x030200"}
            host.files(f"/sys/bus/pci/devices/0000:{bus:02x}:00.0", place)
        if set(self.gpus) & set(TARGETS) and self.amdgpu:
            host.file("/sys/module/amdgpu/version", "6.12.12")
