# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel, drivers, huge pages, and what units may lock into memory."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import system, units
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build  (dvs-builder@U16)\nGCC version:  gcc 12\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc 12\n"
KERNEL = "6.8.0-31-generic"
SIZE = {"default_hugepagesz": "1G"}
CONFIG = f"/boot/config-{KERNEL}"
MODULES = f"/lib/modules/{KERNEL}"


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.file("/proc/sys/kernel/osrelease", KERNEL)
    return host


def root(host: Host) -> Root:
    return Root(str(host.root))


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"/proc/driver/nvidia/version": OPEN}, {"version": "570.124.06", "open": True, "kind": "open"}),
        ({"/proc/driver/nvidia/version": CLOSED}, {"version": "535.183.01", "open": False, "kind": "proprietary"}),
        (
            {"/proc/driver/nvidia/version": CLOSED, "/sys/module/nvidia/version": "535.1"},
            {"version": "535.1", "open": False, "kind": "proprietary"},
        ),
        ({"/sys/module/nvidia/version": "570.1"}, {"version": "570.1", "open": None, "kind": None}),
        ({}, {"version": None, "open": None, "kind": None}),
    ],
    ids=["open", "proprietary", "module's version wins", "no procfs", "none"],
)
def test_nvidia_driver(host: Host, files: dict[str, str], wanted: dict[str, Any]) -> None:
    host.files("", files)
    assert system.nvidia(root(host)) == wanted


DEP = f"{MODULES}/modules.dep"
SYMBOLS = "ffffffff81000000 T _text\nffffffffc0a01230 T ib_register_peer_memory_client\t[ib_core]\n"
PEERMEM: dict[str, tuple[dict[str, str], tuple[bool | None, ...]]] = {
    "loaded": ({"/sys/module/nvidia_peermem/version": "570"}, (True, None, True, True)),
    "the older module is loaded": ({"/sys/kernel/mm/memory_peers/nv_mem/version": "1.3"}, (True, None, True, True)),
    "loadable": (
        {DEP: "updates/dkms/nvidia-peermem.ko.zst: updates/dkms/nvidia.ko.zst", "/proc/kallsyms": SYMBOLS}, (False, True, True, True),
    ),
    "inbox ib_core": ({DEP: "kernel/drivers/video/nvidia-peermem.ko: x", "/proc/kallsyms": "ffff T _text\n"}, (False, True, False, False)),
    "symbols unreadable": ({DEP: "updates/nv_peer_mem.ko:"}, (False, True, None, None)),
    "no such module": ({DEP: "kernel/a.ko: kernel/nvidia-peermem.ko\n", "/proc/kallsyms": SYMBOLS}, (False, False, None, False)),
    "no list of modules": ({}, (False, None, None, None)),
}


@pytest.mark.parametrize(("files", "wanted"), PEERMEM.values(), ids=PEERMEM)
def test_peermem(host: Host, files: dict[str, str], wanted: tuple[bool | None, ...]) -> None:
    host.files("", files)
    found = system.peermem(root(host), KERNEL)
    assert tuple(found[name] for name in ("loaded", "file_present", "api_in_kernel", "loadable")) == wanted


@pytest.mark.parametrize(
    ("files", "amd", "api"),
    [
        ({"/sys/kernel/mm/memory_peers/amdkfd/version": "1.0"}, True, True),
        ({"/sys/memory_peers/amdkfd/version": "1.0"}, True, True),
        ({"/proc/kallsyms": SYMBOLS}, True, True),
        ({"/proc/kallsyms": "ffff T _text\n"}, True, False),
        ({}, True, None),
        ({"/proc/kallsyms": SYMBOLS}, False, None),
    ],
    ids=["peer", "peer elsewhere", "symbol", "no symbol", "unknown", "no AMD driver"],
)
def test_peer_memory_of_amds_driver(host: Host, files: dict[str, str], amd: bool, api: bool | None) -> None:
    host.files("", files)
    if amd:
        host.file("/sys/module/amdgpu/version", "6.8.5")
    found = host.facts(["system"])["system"]["peermem"]
    assert (found["api_in_kernel"], found["loaded"]) == (api, False)
    assert found["clients"] == (["amdkfd"] if any("amdkfd" in path for path in files) else [])


BOTH = "CONFIG_PCI_P2PDMA=y\nCONFIG_DMABUF_MOVE_NOTIFY=y\n"


@pytest.mark.parametrize(
    ("kernel", "files", "wanted"),
    [
        (KERNEL, {CONFIG: BOTH, "/proc/driver/nvidia/version": OPEN}, (True, True, True, True)),
        (KERNEL, {CONFIG: "# CONFIG_PCI_P2PDMA is not set\n", "/proc/driver/nvidia/version": CLOSED}, (True, False, False, False)),
        (KERNEL, {f"{MODULES}/config": "CONFIG_PCI_P2PDMA=y\n"}, (True, None, True, False)),
        (KERNEL, {"/proc/config.gz": gzip.compress(BOTH.encode())}, (True, None, True, True)),
        (KERNEL, {"/proc/config.gz": b"\x1f\x8bno gzip"}, (True, None, None, None)),
        (KERNEL, {}, (True, None, None, None)),
        ("5.12.0", {}, (True, None, None, None)),
        ("5.11.22", {}, (False, None, None, None)),
        ("4.18.0-553.el8", {}, (False, None, None, None)),
        (None, {}, (None, None, None, None)),
    ],
)
def test_dmabuf(host: Host, kernel: str | None, files: dict[str, Any], wanted: tuple[bool | None, ...]) -> None:
    host.files("", files)
    found = system.dmabuf(root(host), kernel, system.nvidia(root(host)))
    assert tuple(found[name] for name in ("kernel_ok", "open", "p2pdma", "move_notify")) == wanted


@pytest.mark.parametrize("text", ["../../../../etc", "a b", "6.1/../x", "\0", "", "x" * 1000])
def test_a_kernel_release_that_is_none(host: Host, text: str) -> None:
    host.file("/proc/sys/kernel/osrelease", text)
    assert system.release(root(host)) is None
    assert system.facts(root(host), [], [])["kernel"] is None


@pytest.mark.parametrize(
    ("line", "traps"),
    [
        ("ro quiet", []),
        ("ro numa=off quiet", ["numa=off"]),
        ("ipv6.disable=1 numa=off", ["numa=off", "ipv6.disable=1"]),
        ("ipv6.disable=1 ipv6.disable=0", []),
        ("ipv6.disable_ipv6=1", []),
        ("numa=fake=4 pci=realloc,nommconf", ["pci=nommconf"]),
        ('dyndbg="file a numa=off" ro', []),
        ("ro 'unclosed numa=off", ["numa=off"]),
        ("intel_iommu=on iommu=pt", []),
        ("iommu.strict=1", ["iommu.strict=1"]),
        ("", []),
    ],
)
def test_command_line(host: Host, line: str, traps: list[str]) -> None:
    host.file("/proc/cmdline", line)
    found = system.command_line(root(host))
    assert [row["option"] for row in found["traps"]] == traps
    assert found["known"]
    assert all(row["effect"] for row in found["traps"])


def test_command_line_options(host: Host) -> None:
    host.file("/proc/cmdline", "root=/dev/sda1 password=secret intel_iommu=on iommu=pt default_hugepagesz=1G hugepages=16 numa=off")
    assert system.command_line(root(host))["options"] == {"intel_iommu": "on", "iommu": "pt", "hugepages": "16", "numa": "off", **SIZE}
    host.remove("/proc/cmdline")
    assert system.command_line(root(host)) == {"known": False, "options": {}, "traps": []}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            {"0/type": "DMA-FQ", "1/type": "identity", "2/type": "DMA-FQ"},
            {"enabled": True, "groups": 3, "types": {"DMA-FQ": 2, "identity": 1}},
        ),
        ({"0/reserved_regions": ""}, {"enabled": True, "groups": 1, "types": {"unknown": 1}}),
        ({".keep": ""}, {"enabled": False, "groups": 0, "types": {}}),
        (None, {"enabled": None, "groups": None, "types": {}}),
    ],
)
def test_iommu(host: Host, files: dict[str, str] | None, wanted: dict[str, Any]) -> None:
    host.files("/sys/kernel/iommu_groups", files or {})
    assert system.iommu(root(host)) == wanted


def test_hugepages(host: Host) -> None:
    host.files("/sys/kernel/mm/hugepages/hugepages-2048kB", {"nr_hugepages": 512, "free_hugepages": 500})
    host.files("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB", {"nr_hugepages": 8, "free_hugepages": "x"})
    host.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    assert system.hugepages(root(host)) == {
        "sizes": {"2048": {"total": 512, "free": 500}},
        "nodes": {"1": {"1048576": {"total": 8, "free": None}}},
        "transparent": "madvise",
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        *[("flags\t\t: fpu hypervisor lm", True), ("flags\t\t: fpu lm", False)],
        *[("Features\t: fp asimd", None), ("", None), ("x" * 100000, None)],
    ],
)
def test_guest(host: Host, text: str, wanted: bool | None) -> None:
    host.file("/proc/cpuinfo", f"processor\t: 0\n{text}\nbugs\t\t: hypervisor\n")
    assert system.guest(root(host)) == wanted


# memlock

ETC, LIB = "/etc/systemd/system", "/usr/lib/systemd/system"
UNITS: dict[str, tuple[dict[str, str], str, Any, str | None]] = {
    "in the unit": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=infinity\n"}, "x.service", "infinity", f"{ETC}/x.service"),
    "name without suffix": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=infinity\n"}, "x", "infinity", f"{ETC}/x.service"),
    "bytes": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=65536"}, "x.service", 65536, f"{ETC}/x.service"),
    "suffix": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK = 64M"}, "x.service", 64 << 20, f"{ETC}/x.service"),
    "soft and hard": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=1G:infinity"}, "x.service", 1 << 30, f"{ETC}/x.service"),
    "last one wins": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=1\nLimitMEMLOCK=2\n"}, "x.service", 2, f"{ETC}/x.service"),
    "reset": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=1\nLimitMEMLOCK=\n"}, "x.service", None, None),
    "other section": ({f"{ETC}/x.service": "[Unit]\nLimitMEMLOCK=1\n"}, "x.service", None, None),
    "comment": ({f"{ETC}/x.service": "[Service]\n#LimitMEMLOCK=1\n;LimitMEMLOCK=2\n"}, "x.service", None, None),
    "continued line": ({f"{ETC}/x.service": "[Service]\nExecStart=/bin/a \\\n LimitMEMLOCK=1\n"}, "x.service", None, None),
    "etc before usr": (
        {f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=1\n", f"{LIB}/x.service": "[Service]\nLimitMEMLOCK=2\n"},
        "x.service", 1, f"{ETC}/x.service",
    ),
    "drop-in before unit": (
        {f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=1\n", f"{LIB}/x.service.d/a.conf": "[Service]\nLimitMEMLOCK=2\n"},
        "x.service", 2, f"{LIB}/x.service.d/a.conf",
    ),
    "drop-ins in the order of names": (
        {f"{ETC}/x.service.d/10-a.conf": "[Service]\nLimitMEMLOCK=1\n", f"{LIB}/x.service.d/50-b.conf": "[Service]\nLimitMEMLOCK=2\n"},
        "x.service", 2, f"{LIB}/x.service.d/50-b.conf",
    ),
    "drop-in of the same name in etc": (
        {f"{ETC}/x.service.d/a.conf": "[Service]\nLimitMEMLOCK=1\n", f"{LIB}/x.service.d/a.conf": "[Service]\nLimitMEMLOCK=2\n"},
        "x.service", 1, f"{ETC}/x.service.d/a.conf",
    ),
    "drop-in that is no .conf": ({f"{ETC}/x.service.d/a.txt": "[Service]\nLimitMEMLOCK=1\n"}, "x.service", None, None),
    "drop-in by prefix": (
        {f"{ETC}/sglang-.service.d/a.conf": "[Service]\nLimitMEMLOCK=infinity\n"}, "sglang-prefill-0.service", "infinity",
        f"{ETC}/sglang-.service.d/a.conf",
    ),
    "drop-in of all services": (
        {f"{ETC}/service.d/a.conf": "[Service]\nLimitMEMLOCK=infinity\n"}, "x.service", "infinity", f"{ETC}/service.d/a.conf",
    ),
    "drop-in of the same name for all services": (
        {f"{ETC}/service.d/a.conf": "[Service]\nLimitMEMLOCK=1\n", f"{LIB}/x.service.d/a.conf": "[Service]\nLimitMEMLOCK=2\n"},
        "x.service", 2, f"{LIB}/x.service.d/a.conf",
    ),
    "template": ({f"{ETC}/x@.service": "[Service]\nLimitMEMLOCK=3\n"}, "x@1.service", 3, f"{ETC}/x@.service"),
    "template's drop-in": (
        {f"{ETC}/x@.service": "[Service]\nLimitMEMLOCK=3\n", f"{ETC}/x@.service.d/a.conf": "[Service]\nLimitMEMLOCK=4\n"},
        "x@1.service", 4, f"{ETC}/x@.service.d/a.conf",
    ),
    "manager's default": (
        {f"{ETC}/x.service": "[Service]\n", "/etc/systemd/system.conf": "[Manager]\nDefaultLimitMEMLOCK=5\n"}, "x.service", 5,
        "/etc/systemd/system.conf",
    ),
    "manager's drop-in": (
        {"/etc/systemd/system.conf": "[Manager]\nDefaultLimitMEMLOCK=5\n",
         "/etc/systemd/system.conf.d/a.conf": "[Manager]\nDefaultLimitMEMLOCK=infinity\n"},
        "x.service", "infinity", "/etc/systemd/system.conf.d/a.conf",
    ),
    "nonsense": ({f"{ETC}/x.service": "[Service]\nLimitMEMLOCK=much\n"}, "x.service", None, f"{ETC}/x.service"),
    "not installed": ({}, "x.service", None, None),
    "no unit's name": ({"/etc/passwd": "[Service]\nLimitMEMLOCK=1\n"}, "../../passwd", None, None),
}


@pytest.mark.parametrize(("files", "unit", "value", "source"), UNITS.values(), ids=UNITS)
def test_memlock(host: Host, files: dict[str, str], unit: str, value: Any, source: str | None) -> None:
    host.files("", files)
    found = units.memlock(root(host), unit)
    assert (found["value"], found["source"]) == (value, source)


def test_memlock_in_the_facts(host: Host) -> None:
    host.file(f"{ETC}/x.service", "[Service]\nLimitMEMLOCK=infinity\n")
    host.file("/etc/security/limits.conf", "# root - memlock 1\n* soft memlock unlimited # all\n* soft nofile 1\n")
    host.file("/etc/security/limits.d/50-rdma.conf", "@rdma - memlock unlimited")
    host.file("/etc/security/limits.d/readme", "x - memlock 1")
    host.file("/proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         8388608         8388608         bytes")
    assert host.facts(["system"], units=["x.service", "y.service"])["system"]["memlock"] == {
        "units": {
            "x.service": {"unit": "x.service", "installed": True, "value": "infinity", "source": f"{ETC}/x.service"},
            "y.service": {"unit": "y.service", "installed": False, "value": None, "source": None},
        },
        "logins": [
            {"domain": "*", "type": "soft", "value": "unlimited", "source": "/etc/security/limits.conf"},
            {"domain": "@rdma", "type": "-", "value": "unlimited", "source": "/etc/security/limits.d/50-rdma.conf"},
        ],
        "session": 8388608,
    }


def test_the_limit_of_this_session() -> None:
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert units.session(Root("/")) == ("infinity" if soft == resource.RLIM_INFINITY else soft)
