# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel and the drivers of a host allow RDMA and GPUs to do with each other."""

from __future__ import annotations

import re
import shlex
import zlib
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import pci, units
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, number

# Any of these loaded lets a NIC read and write NVIDIA memory by the old interface.
PEERMEM_LOADED = (
    ("nvidia_peermem", "/sys/module/nvidia_peermem/version"),
    ("nv_peer_mem", "/sys/kernel/mm/memory_peers/nv_mem/version"),
    ("nv_peer_mem_nc", "/sys/kernel/mm/memory_peers/nv_mem_nc/version"),
)
# Who registered as a peer of the RDMA drivers; where that shows depends on the drivers' version.
MEMORY_PEERS = ("/sys/kernel/mm/memory_peers", "/sys/kernel/memory_peers", "/sys/memory_peers")
PEERMEM_MODULE = re.compile(r"/(nvidia[_-]peermem|nv_peer_mem)\.ko[.a-z]*$")
PEERMEM_SYMBOL = "ib_register_peer_memory_client"
DMABUF_KERNEL = (5, 12)
# What breaks RDMA clusters when it stands on the kernel command line.
TRAPS = {
    "numa": ("off", "all memory and devices appear on one NUMA node"),
    "ipv6.disable": ("1", "programs that open IPv6 sockets fail"),
    "pci": ("nommconf", "the extended PCI configuration space, with ACS, cannot be read"),
    "iommu.strict": ("1", "every DMA mapping waits for the IOMMU"),
}
CONFIG = ("CONFIG_PCI_P2PDMA", "CONFIG_DMABUF_MOVE_NOTIFY")
VERSION = re.compile(r"\b([0-9]{3,4}\.[0-9]{1,3}(?:\.[0-9]{1,3})?)\b")

Facts = Dict[str, Any]


def release(root: Root) -> Optional[str]:
    """Return the running kernel's release, or None."""
    text = root.read("/proc/sys/kernel/osrelease")
    return text if text and re.fullmatch(r"[\w.+~-]{1,128}", text) else None


def _kernel(version: Optional[str]) -> Optional[Tuple[int, int]]:
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", version or "")
    return (int(match.group(1)), int(match.group(2))) if match else None


def nvidia(root: Root) -> Facts:
    """Return version and kind (open, proprietary) of NVIDIA's kernel driver, None where it is not loaded."""
    first = (root.read("/proc/driver/nvidia/version") or "").partition("\n")[0]
    match = VERSION.search(first)
    version = root.read("/sys/module/nvidia/version") or (match.group(1) if match else None)
    is_open = "Open Kernel Module" in first if first else None
    return {"version": version or None, "open": is_open, "kind": None if is_open is None else "open" if is_open else "proprietary"}


def peermem(root: Root, kernel: Optional[str], amd: bool = False) -> Facts:
    """Return whether the module for NVIDIA peer memory is loaded, is there, and whether the kernel has the interface that it needs.

    :param amd: whether AMD's driver is loaded: it uses the interface itself, without a module.
    """
    loaded = next((name for name, path in PEERMEM_LOADED if root.exists(path)), None)
    clients = sorted({name for directory in MEMORY_PEERS for name in root.list(directory)})
    listed = root.read(f"/lib/modules/{kernel}/modules.dep", 1 << 24) if kernel else None
    file = next((line.partition(":")[0] for line in (listed or "").splitlines() if PEERMEM_MODULE.search(line.partition(":")[0])), None)
    present = None if listed is None else file is not None
    api = True if loaded or clients else None
    if api is None and (file or amd):
        # Hundreds of thousands of lines: read only where the answer matters.
        symbols = root.contains("/proc/kallsyms", [PEERMEM_SYMBOL])
        api = None if symbols is None else PEERMEM_SYMBOL in symbols
    return {
        "loaded": loaded is not None,
        "module": loaded,
        "clients": clients,
        "file_present": present,
        "file": file,
        "api_in_kernel": api,
        "loadable": True if loaded else api if present else present,
    }


def config(root: Root, kernel: Optional[str]) -> Dict[str, Optional[bool]]:
    """Return whether the kernel was built with each of C(CONFIG), None where its configuration cannot be found."""
    text = None
    for path in (f"/boot/config-{kernel}", f"/lib/modules/{kernel}/config", f"/usr/lib/modules/{kernel}/config") if kernel else ():
        if root.exists(path):
            text = root.read(path, 1 << 22)
        if text:
            break
    if not text and root.exists("/proc/config.gz"):
        try:
            text = zlib.decompressobj(31).decompress(root.data("/proc/config.gz", 1 << 22) or b"", 1 << 22).decode("utf-8", "replace")
        except zlib.error:
            text = None
    lines = f"\n{text}\n"
    return {name: f"\n{name}=y\n" in lines if text else None for name in CONFIG}


def dmabuf(root: Root, kernel: Optional[str], driver: Facts) -> Facts:
    """Return what registering GPU memory by DMA-BUF needs: kernel, open NVIDIA driver, and for AMD two build options."""
    options = config(root, kernel)
    number_of = _kernel(kernel)
    return {
        "kernel_ok": None if number_of is None else number_of >= DMABUF_KERNEL,
        "open": driver["open"],
        "p2pdma": options["CONFIG_PCI_P2PDMA"],
        "move_notify": options["CONFIG_DMABUF_MOVE_NOTIFY"],
    }


def command_line(root: Root) -> Facts:
    """Return the kernel options that matter here, and those among them that are traps with what they do."""
    text = root.read("/proc/cmdline")
    try:
        words = shlex.split(text or "")
    except ValueError:
        words = (text or "").split()
    values: Dict[str, str] = {}
    for word in words:
        name, _sign, value = word.partition("=")
        values[name] = value
    found = {name: value for name, value in values.items() if name in TRAPS or name.endswith("iommu") or "hugepages" in name}
    traps = [
        {"option": f"{name}={value}", "effect": effect}
        for name, (value, effect) in TRAPS.items()
        if value in values.get(name, "").split(",")
    ]
    return {"known": text is not None, "options": found, "traps": traps}


def iommu(root: Root) -> Facts:
    """Return the number of IOMMU groups by type; none at all means that the IOMMU is off or absent."""
    if not root.exists("/sys/kernel/iommu_groups"):
        return {"enabled": None, "groups": None, "types": {}}
    groups = [name for name in root.list("/sys/kernel/iommu_groups") if name.isdigit()]
    types: Dict[str, int] = {}
    for name in groups:
        kind = root.read(f"/sys/kernel/iommu_groups/{name}/type") or "unknown"
        types[kind] = types.get(kind, 0) + 1
    return {"enabled": bool(groups), "groups": len(groups), "types": types}


def _pages(root: Root, directory: str) -> Dict[str, Facts]:
    found = {}
    for name in root.list(directory):
        match = re.fullmatch(r"hugepages-([0-9]{1,9})kB", name)
        if match:
            count = {key: root.number(f"{directory}/{name}/{key}_hugepages") for key in ("nr", "free")}
            found[match.group(1)] = {"total": count["nr"], "free": count["free"]}
    return found


def hugepages(root: Root) -> Facts:
    """Return total and free huge pages by size in KiB, for the host and for each NUMA node, and the policy of transparent ones."""
    base = "/sys/devices/system/node"
    nodes = [name for name in root.list(base) if re.fullmatch("node[0-9]{1,4}", name)]
    mode = re.search(r"\[(\w+)\]", root.read("/sys/kernel/mm/transparent_hugepage/enabled") or "")
    return {
        "sizes": _pages(root, "/sys/kernel/mm/hugepages"),
        "nodes": {name[4:]: _pages(root, f"{base}/{name}/hugepages") for name in nodes},
        "transparent": mode.group(1) if mode else None,
    }


def guest(root: Root) -> Optional[bool]:
    """Return whether this is a virtual machine, as its CPU says; None where it does not."""
    head = (root.data("/proc/cpuinfo", 16384, cut=True) or b"").decode("utf-8", "replace")
    flags = re.search(r"^flags\s*:(.*)$", head, re.MULTILINE)
    return "hypervisor" in flags.group(1).split() if flags else None


def facts(root: Root, paths: Iterable[List[str]], names: Sequence[str]) -> Facts:
    """Return the facts about the system as a whole.

    :param paths: the ways through PCI to the GPUs and RDMA devices.
    :param names: units whose memlock limit is wanted.
    """
    kernel = release(root)
    driver = nvidia(root)
    amdgpu = root.exists("/sys/module/amdgpu")
    nodes = [name for name in root.list("/sys/devices/system/node") if re.fullmatch("node[0-9]{1,4}", name)]
    return {
        "kernel": kernel,
        "guest": guest(root),
        "numa_nodes": [number(name[4:]) for name in nodes],
        "command_line": command_line(root),
        "nvidia": driver,
        "amdgpu": {"version": root.read("/sys/module/amdgpu/version"), "loaded": amdgpu},
        "peermem": peermem(root, kernel, amdgpu),
        "dmabuf": dmabuf(root, kernel, driver),
        "acs": pci.acs(root, paths),
        "iommu": iommu(root),
        "hugepages": hugepages(root),
        "memlock": {
            "units": {unit: units.memlock(root, unit) for unit in names},
            "logins": units.login_limits(root),
            "session": units.session(root),
        },
    }
