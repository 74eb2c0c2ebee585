# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the tests of host checks: a tree of files, the answers of its programs, and the slice of a plan that fits it.

Answers of nvidia-smi are written after its documented CSV form, not captured.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import Row
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.sockets import Open
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host, config_space, hgx

GPUS = 8
DRIVER = "570.124.06"
KERNEL = "6.8.0-60-generic"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TRIE = "  |-- 203.0.113.10\n     /32 host LOCAL\n  |-- 198.51.100.210\n     /32 host LOCAL\n"
ROUTES = "Iface Dest\nfab0 007100CB 00000000 1 0 0 0 00FFFFFF\nmgmt0 006433C6 00000000 1 0 0 0 00FFFFFF\n"
STATUS = "Package: {name}\nStatus: install ok installed\nVersion: {version}-1\nArchitecture: amd64\n\nPackage: other\nVersion: 1.0\n"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
GOOD_SMI = {"total": 81559, "used": 4, "mig": "Disabled", "ecc": "0", "retired": "[N/A]", "state": "Completed", "status": "Success"}


def gpu_address(index: int) -> str:
    """Return the PCI address of a GPU of the machine that C(hgx) writes."""
    return f"0000:{0x13 + 0x10 * index:02x}:00.0"


def nic_address(index: int) -> str:
    """Return the PCI address of its NIC."""
    return f"0000:{0x14 + 0x10 * index:02x}:00.0"


@dataclass
class World:
    """A host and its slice of the plan.

    :ivar answers: beginning of a command to exit status, output and errors; the longest beginning counts.
    :ivar gpus: what nvidia-smi says of each GPU.
    :ivar apps: lines of its list of processes: GPU, process, MiB, name.
    :ivar unnamed: GPUs that it does not name.
    :ivar opened: what is seen of open files, where that is not all.
    """

    host: Host
    plan: dict[str, Any]
    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    gpus: list[dict[str, Any]] = field(default_factory=lambda: [dict(GOOD_SMI) for _index in range(GPUS)])
    apps: list[tuple[int, int, str, str]] = field(default_factory=list)
    remapped: dict[int, str] = field(default_factory=dict)
    unnamed: set[int] = field(default_factory=set)
    opened: Open | None = None

    def run(self, words: list[str]) -> tuple[int, str, str]:
        """Answer for a program of the host."""
        command = " ".join(words)
        given = sorted((key for key in self.answers if command.startswith(key)), key=len)
        if given:
            return self.answers[given[-1]]
        if words[0] == "nvidia-smi" and self.gpus:
            return 0, self._smi(words[1]), ""
        return 127, "", f"{words[0]}: No such file or directory"

    def _smi(self, query: str) -> str:
        name, _sign, fields = query.partition("=")
        addresses = [f"0000{gpu_address(index).upper()}" for index in range(GPUS)]
        if name == "--query-compute-apps":
            return "".join(f"{addresses[gpu]}, {pid}, {mib}, {command}\n" for gpu, pid, mib, command in self.apps)
        if name == "--query-remapped-rows":
            return "".join(f"{address}, {self.remapped.get(index, '0, 0')}\n" for index, address in enumerate(addresses))
        keys = dict(zip(("memory.total", "memory.used", "mig.mode.current", "ecc.errors.uncorrected.volatile.total",
                         "retired_pages.pending", "fabric.state", "fabric.status"), GOOD_SMI, strict=True))
        lines = []
        for index, (address, row) in enumerate(zip(addresses, self.gpus, strict=True)):
            if index in self.unnamed:
                continue
            lines.append(", ".join(address if key == "pci.bus_id" else str(row[keys[key]]) for key in fields.split(",")))
        return "\n".join(lines) + "\n"

    def process(self, pid: int, command: str, unit: str = "", opened: str = "", number: int = 3) -> None:
        """Write a process of a unit that has one file open."""
        cgroup = f"0::/system.slice/{unit}" if unit else "0::/user.slice/user-1000.slice/session-3.scope"
        self.host.files(f"/proc/{pid}", {"comm": command, "cgroup": cgroup})
        directory = self.host.root / f"proc/{pid}/fd"
        directory.mkdir(exist_ok=True)
        if opened:
            (directory / str(number)).symlink_to(opened)

    def context(self) -> Context:
        """Return what the checks look at."""
        context = Context(self.plan, Root(str(self.host.root)), self.run)
        if self.opened:
            context.open = self.opened
        return context

    def rows(self) -> list[Row]:
        """Return the lines of this host."""
        return look.rows(self.context())

    def rank(self, **changes: Any) -> None:
        """Change keys of all ranks; of a map its keys."""
        for rank in self.plan["ranks"]:
            for key, value in changes.items():
                if isinstance(value, Mapping):
                    rank[key] = {**(rank.get(key) or {}), **value}
                else:
                    rank[key] = value


Change = Callable[[World], object]


@functools.cache
def _plan(of: str) -> dict[str, Any]:
    """Return the slices of a cluster of CPUs or of GPUs of a vendor; C(new) is the stack that writes everything on the command line."""
    if of.startswith("new "):
        backend, deepep = of.split()[1], {"sglang_args.moe-a2a-backend": "deepep"} if of.endswith(" deepep") else {}
        return gpu_cluster().change({"sglang_stack": "sglang-0.5.23-cu13", "sglang_transfer_backend": backend, **deepep}).plan()["hosts"]
    if of == "cpu":
        return cluster().plan()["hosts"]
    return gpu_cluster().change({} if of == "cuda" else {"sglang_stack": f"sglang-0.5.8-{of}"}).plan()["hosts"]


def slice_of(of: str, host: str = "p0") -> dict[str, Any]:
    """Return a copy of a host's slice of such a cluster."""
    return copy.deepcopy(_plan(of)[host])


def _base(root: Path) -> Host:
    host = Host(root)
    host.file("/run/systemd/system/x", "")
    host.file("/proc/net/tcp", HEADER)
    host.file("/proc/net/fib_trie", TRIE)
    host.file("/proc/net/route", ROUTES)
    for name in ("fab0", "mgmt0"):
        host.netdev(name)
    host.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro")
    host.files("/proc/sys", {"net/ipv4/ip_local_port_range": "32768\t60999", "net/ipv4/ip_local_reserved_ports": ""})
    host.files("/proc/sys", {"vm/max_map_count": "16777216", "kernel/osrelease": KERNEL})
    (host.root / "dev/shm").mkdir(parents=True)
    host.file(f"{LIBRARIES}/libstdc++.so.6", b"\x7fELF GLIBCXX_3.4.9\0 GLIBCXX_3.4.30\0 GLIBCXX_TUNABLES\0")
    host.file(f"{LIBRARIES}/libc.so.6", b"\x7fELF GLIBC_2.2.5\0 GLIBC_2.35\0 GLIBC_PRIVATE\0")
    host.file("/etc/ld.so.cache", b"glibc-ld.so.cache1.1/lib/x86_64-linux-gnu/libz.so.1\0")
    return host


LOADED = "2026-01-01T00:00:00+00:00 h kernel: NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64\n"
ANSWERS = {
    "systemctl show-environment": (0, "LANG=C.UTF-8\nPATH=/usr/bin\n", ""),
    "systemctl show --property": (0, "LoadState=loaded\nActiveState=active\n", ""),
    "journalctl": (1, "", ""),
    "journalctl --dmesg --boot --no-pager --quiet --output=short-iso --grep=": (0, LOADED, ""),
    "journalctl --dmesg --boot --no-pager --quiet --output=short-iso --lines=1": (0, "2026-01-01T00:00:00+00:00 h kernel: x\n", ""),
}


def cpu_world(root: Path) -> World:
    """Return a host of CPU ranks."""
    return World(_base(root), slice_of("cpu"), dict(ANSWERS), [])


def router_world(root: Path) -> World:
    """Return a host of a router."""
    return World(_base(root), slice_of("cpu", "r0"), dict(ANSWERS), [])


def rails(count: int = GPUS) -> dict[str, Any]:
    """Return the part of the slice about RDMA."""
    rows = [
        {
            "rail": index, "gpus": [index], "device": f"mlx5_{index}", "port": 1, "pci": nic_address(index), "netdev": f"ens{index}np0",
            "gid_index": 3, "addresses": [f"192.0.2.{index + 1}/28"],
        }
        for index in range(count)
    ]
    return {
        "known": True, "device": "cuda", "backend": "mooncake", "devices": [row["device"] for row in rows],
        "ports": [f"{row['device']}:1" for row in rows], "rails": rows, "gid_index": 3, "link_layer": "Ethernet", "rate": 400.0,
        "gpu_map": {str(index): [row["device"]] for index, row in enumerate(rows)}, "modules": ["nvidia_peermem"],
        "registration": {"ok": True, "way": "peermem", "why": "it works", "environment": {}, "needs": [], "alternative": None},
    }


def _links(host: Host) -> None:
    """Give every PCI function a link of full speed, and every bridge a configuration space without redirects."""
    for entry in (host.root / "sys/bus/pci/devices").iterdir():
        path = "/" + str(entry.resolve().relative_to(host.root.resolve()))
        host.files(path, {f"{which}_link_{what}": value for which in ("current", "max") for what, value in
                          (("speed", "32.0 GT/s PCIe"), ("width", "16"))})
        if (entry / "class").read_text(encoding="utf-8").startswith("0x0604"):
            host.file(path + "/config", config_space("downstream", 0))


def gpu_world(root: Path) -> World:
    """Return a host of eight NVIDIA GPUs, eight NICs and an NVSwitch, as good as it can be."""
    host = hgx(_base(root), GPUS, slots=4)
    _links(host)
    host.pci("f0:01.0 f1:00.0", vendor="0x10de", device="0x22a3", **{"class": "0x068000"})
    for index in range(GPUS):
        host.file(
            f"/proc/driver/nvidia/gpus/{gpu_address(index)}/information", f"Model: \t NVIDIA H100 80GB HBM3\nDevice Minor: \t {index}",
        )
        host.file(f"/sys/class/infiniband_verbs/uverbs{index}/ibdev", f"mlx5_{index}")
        host.file(f"/dev/infiniband/uverbs{index}", "")
        (host.root / f"dev/infiniband/uverbs{index}").chmod(0o666)
    host.file("/proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {DRIVER}  Release Build")
    host.file("/proc/driver/nvidia/params", 'EnableMSI: 1\nEnableStreamMemOPs: 1\nRegistryDwords: "PeerMappingOverride=1;"\nRmMsg: ""')
    host.file("/sys/module/nvidia/version", DRIVER)
    host.file("/sys/module/nvidia_peermem/version", DRIVER)
    host.file("/var/lib/dpkg/status", STATUS.format(name="nvidia-fabricmanager-570", version=DRIVER))
    host.file("/sys/kernel/iommu_groups/0/type", "identity")
    host.file("/sys/devices/system/edac/mc/mc0/ue_count", "0")
    for package in range(2):
        host.file(f"/sys/devices/system/cpu/cpu{package}/topology/physical_package_id", str(package))
        host.file(f"/sys/devices/system/node/node{package}/cpulist", str(package))
    plan = slice_of("cuda")
    plan["rdma"] = rails()
    return World(host, plan, dict(ANSWERS))


def new_world(root: Path, backend: str = "mooncake", more: str = "") -> World:
    """Return such a host whose stack has no argument file, as sglang 0.5.23."""
    world = gpu_world(root)
    world.plan = slice_of(f"new {backend} {more}".strip())
    assert [rank["arguments"] for rank in world.plan["ranks"]] == [{}]
    world.plan["rdma"] = rails()
    return world


def amd_world(root: Path) -> World:
    """Return a host of eight AMD GPUs without RDMA."""
    host = _base(root)
    for index in range(GPUS):
        way = f"{0x10 + index:02x}:01.0 {0x20 + index:02x}:00.0"
        path = host.gpu(way, index // 4, driver="amdgpu", **MI300X)
        host.files(path, {"mem_info_vram_total": 192 << 30, "mem_info_vram_used": 300 << 20, "ras/umc_err_count": "ue: 0\nce: 3\nde: 0"})
        place = (0x20 + index) << 8
        rows = f"simd_count 304\nlocation_id {place}\ndomain 0\ndrm_render_minor {128 + index}"
        host.file(f"/sys/class/kfd/kfd/topology/nodes/{index + 1}/properties", rows)
    _links(host)
    host.file("/sys/module/amdgpu/version", "6.10.5")
    plan = slice_of("rocm")
    plan["rdma"] = None
    return World(host, plan, dict(ANSWERS), [])
