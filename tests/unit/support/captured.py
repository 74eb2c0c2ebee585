# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with something to hide in every file that is read, and what tests of captures need to compare two hosts."""

from __future__ import annotations

import io
import re
import struct
import tarfile
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.capture import Capture, capture
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import Recorder, open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host, config_space
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

NAMES = ["kea-node7.example.org"]
KERNEL = "6.1.0-kea-node7"
UNIT = "kea-node7.service"
GPU_UUID = "5fd4f087-86f3-7a43-b711-4771313afc50"
DISK = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
SERIAL = 0x1F2E3D4C5B6A7988
DEVICE_SERIAL = bytes.fromhex("0a1b2c3d4e5f6071")
BY_ADDRESS = "enx08c0ebaabb31"
CARD = "b8:3f:d2:aa:bb:0"
# Everything that must not leave the host, in every form that it has in some file.
SECRETS = (
    "kea",
    *(GPU_UUID, DISK, f"{SERIAL:x}", str(SERIAL), "b83fd2aabb", "d2:aa:bb", "aa:bb", "d203:00aa", "d2ff:feaa", "aabb3"),
    *("192.0.2.", "c000:02", "0002c0", "000200c0", "2001:db8:77", "0db8:0077", "0db80077", "dvs-builder", "swordfish"),
    *("0a1b2c3d", "nofile"),
)
# The answers of a kernel that has been asked by netlink.
ANSWERS: dict[str, Any] = {
    "addresses": {
        "ens0": ["192.0.2.1/28", "fe80::ba3f:d2ff:feaa:bb00/64"],
        "ens1": ["192.0.2.17/28", "2001:db8:77:1::5/64"],
        BY_ADDRESS: ["192.0.2.200/32"],
        "lo": ["127.0.0.1/8", "::1/128"],
    },
    "rdma": {
        "mlx5_0": {"protocol": "roce", "smi": False, "ports": {1: "ens0"}},
        "mlx5_1": {"protocol": "roce", "smi": False, "ports": {1: "ens1"}},
    },
    "netns": "shared",
    "dcb": {"ens0": {"pfc": [3], "dscp_to_priority": {"26": 3}}, "ens1": None},
}


def with_serial(space: bytes) -> bytes:
    """Return a configuration space with a device serial number before its ACS capability."""
    found = bytearray(space)
    struct.pack_into("<I", found, 0x100, 0x0003 | 1 << 16 | 0x148 << 20)
    found[0x104:0x10C] = DEVICE_SERIAL
    return bytes(found)


def rail(host: Host, index: int) -> None:
    """Write a GPU and a NIC on one switch."""
    switch = f"{0x17 + index * 0x80:02x}:01.0 {0x18 + index * 0x80:02x}:00.0"
    bus = 0x19 + index * 0x80
    host.gpu(f"{switch} {bus:02x}:00.0 {bus + 1:02x}:00.0", index)
    host.pci(f"{switch} {bus:02x}:00.0", config=with_serial(config_space("downstream", 0x1D)))
    link_local, address = f"fe80::ba3f:d2ff:feaa:bb0{index}", f"192.0.2.{1 + 16 * index}"
    gids = {0: f"v1 {link_local} ens{index}", 1: f"v2 {link_local} ens{index}", 3: f"v2 {address} ens{index}"}
    host.nic(
        f"mlx5_{index}", f"{switch} {bus:02x}:01.0 {bus + 2:02x}:00.0", index, f"ens{index}", gids=gids, slots=8,
        attributes={
            "node_guid": f"b83f:d203:00aa:bb0{index}", "sys_image_guid": "b83f:d203:00aa:bb00",
            "node_desc": "kea-node7 HCA-1", "hw_rev": "0x0",
        },
    )
    host.file(f"/sys/class/net/ens{index}/address", f"{CARD}{index}")


def secretive(root: Path) -> Host:
    """Write a machine whose files name it in every way there is."""
    host = Host(root)
    for index in range(2):
        rail(host, index)
    base = "/sys/class/infiniband/mlx5_1/ports/1"
    host.file(f"{base}/gids/4", "2001:0db8:0077:0001:0000:0000:0000:0005")
    host.files(f"{base}/gid_attrs", {"types/4": "RoCE v2", "ndevs/4": "ens1"})
    amd = host.gpu("c1:01.0 c2:00.0", 1, driver="amdgpu", **MI300X)
    host.file(f"{amd}/unique_id", f"{SERIAL:x}")
    host.files(
        "/sys/class/kfd/kfd/topology/nodes/1", {"properties": f"simd_count 8\nlocation_id {0xC2 << 8}\ndomain 0\nunique_id {SERIAL}"},
    )
    host.netdev(BY_ADDRESS, "d1:00.0", address="08:c0:eb:aa:bb:31", uevent="DEVTYPE=wlan\nINTERFACE=kea", ifalias="kea")
    host.netdev("ib0", "d2:00.0", address="00:00:10:49:fe:80:00:00:00:00:00:00:b8:3f:d2:03:00:aa:bb:09")
    host.soft("rocex08c0ebaabb31", BY_ADDRESS, gids={1: f"v2 192.0.2.200 {BY_ADDRESS}"})
    host.bond("kea-node7-bond", ["ib0"])
    local = ("127.0.0.1", "192.0.2.1", "192.0.2.17", "192.0.2.200")
    host.file("/proc/net/fib_trie", "\n".join(f"|-- {row}\n/32 host LOCAL" for row in local))
    route = "h\nens0 000200C0 0 1 0 0 0 F0FFFFFF\nens1 100200C0 0 1 0 0 0 F0FFFFFF\nens0 00000000 FE0200C0 3 0 0 0 00000000\n"
    host.file("/proc/net/route", f"{route}{BY_ADDRESS} C80200C0 00000000 1 0 0 0 FFFFFFFF")
    six = {"fe80000000000000ba3fd2fffeaabb00": "ens0", "20010db8007700010000000000000005": "ens1"}
    host.file("/proc/net/if_inet6", "\n".join(f"{row} 02 40 00 80 {name}" for row, name in six.items()))
    host.file("/proc/cmdline", f"BOOT_IMAGE=/vmlinuz root=UUID={DISK} ip=192.0.2.1::kea numa=off iommu=pt password=swordfish")
    host.files("/proc", {"cpuinfo": "model name : kea\nflags : fpu hypervisor", "sys/kernel/osrelease": KERNEL})
    host.file("/proc/self/limits", "Max locked memory  65536  65536  bytes\nMax processes kea")
    driver = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  (dvs-builder@kea)\nGCC kea"
    host.file("/proc/driver/nvidia/version", driver)
    for address in ("0000:1a:00.0", "0000:9a:00.0"):
        host.file(f"/proc/driver/nvidia/gpus/{address}/information", f"Model: NVIDIA H100\nGPU UUID: GPU-{GPU_UUID}\nVideo BIOS: kea")
    host.file("/sys/module/amdgpu/version", "6.8.5")
    host.file("/proc/kallsyms", "0 T kea_symbol\n0 T ib_register_peer_memory_client")
    host.file(f"/lib/modules/{KERNEL}/modules.dep", "kernel/kea.ko:\nupdates/nvidia-peermem.ko:")
    host.file(f"/boot/config-{KERNEL}", 'CONFIG_BUILD_SALT="kea"\nCONFIG_PCI_P2PDMA=y')
    host.file(f"/etc/systemd/system/{UNIT}", "[Service]\nEnvironment=PASSWORD=swordfish\nLimitMEMLOCK=8G\nExecStart=/kea")
    host.file(f"/etc/systemd/system/{UNIT}.d/kea-node7.conf", "[Service]\nLimitMEMLOCK=infinity")
    host.file("/etc/systemd/system/other.service", "[Service]\nExecStart=/kea")
    host.file("/etc/security/limits.conf", "# kea\nkea - memlock unlimited\n@kea soft memlock 8\nroot - memlock 1\nkea - nofile 1")
    host.file("/etc/security/limits.d/kea-node7.conf", "* - memlock 1")
    host.file("/etc/hostname", NAMES[0])
    host.file("/sys/kernel/iommu_groups/0/type", "identity")
    host.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1")
    host.link("/sys/class/net/lo", "/sys/devices/virtual/net/lo")
    host.file("/sys/devices/virtual/net/lo/mtu", "65536")
    return host


def unpack(found: Capture, place: Path) -> Root:
    """Return the root of an unpacked capture."""
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(found.archive)) as archive:
        unpack_into(archive, place)
    return open_root(str(place))


def replayed(record: Recorder, place: Path, hosts: list[str] | None = None, units: list[str] | None = None) -> Root:
    """Return the root of a machine's capture, unpacked."""
    return unpack(capture(record, hosts or [], units or []), place)


class Pairs:
    """Every text of one structure with the text in the same place of another; all else must be equal.

    :ivar new: text of the first to text of the second.
    """

    def __init__(self, one: Any, other: Any) -> None:
        self.new: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._walk(one, other, "")

    def _text(self, old: str, new: str, where: str) -> None:
        assert self.new.setdefault(old, new) == new, f"{where}: {old} became {self.new[old]} and {new}"
        assert self._old.setdefault(new, old) == old, f"{where}: {self._old[new]} and {old} became {new}"
        # Forms stay: digits, letters and groups are as many as before.
        assert re.sub("[0-9a-f]+", "x", old) == re.sub("[0-9a-f]+", "x", new) or "::" in old + new or "kea" in old, f"{where}: {old} {new}"

    def _walk(self, one: Any, other: Any, where: str) -> None:
        assert type(one) is type(other), f"{where}: {one!r} {other!r}"
        if isinstance(one, str):
            self._text(one, other, where)
        elif isinstance(one, dict):
            assert len(one) == len(other), f"{where}: {list(one)} {list(other)}"
            # Names that stay are where they are, those that do not are in the same order.
            renamed = iter([key for key in other if key not in one])
            for key in one:
                twin = key if key in other else next(renamed)
                self._text(str(key), str(twin), where)
                self._walk(one[key], other[twin], f"{where}/{key}")
        elif isinstance(one, list):
            assert len(one) == len(other), f"{where}: {one} {other}"
            for place, (left, right) in enumerate(zip(one, other, strict=True)):
                self._walk(left, right, f"{where}/{place}")
        else:
            assert one == other, f"{where}: {one!r} {other!r}"

    def changed(self) -> dict[str, str]:
        """Return the texts that are not the same."""
        return {old: new for old, new in self.new.items() if old != new}
