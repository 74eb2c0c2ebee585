# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack runs on: operating system, drivers, CUDA toolkits, firmware, read from files of the host."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gpu, system
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, natural

LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
LIBCUDA = re.compile(r"^libcuda\.so\.(\d+\.\d+(?:\.\d+)?)$")
TOOLKITS = ("/usr/local", "/opt")
TOOLKIT = re.compile(r"^cuda(?:-\d+(?:\.\d+)?)?$")
ROCM = "/opt/rocm/.info/version"
INFINIBAND = "/sys/class/infiniband"


def release(root: Root) -> dict[str, str]:
    """Return id, version and full name of the operating system, empty texts where it does not say."""
    text = root.read("/etc/os-release") or root.read("/usr/lib/os-release") or ""
    rows = dict(re.findall(r"""^(\w+)=["']?([^"'\n]*)["']?$""", text, re.MULTILINE))
    return {"id": rows.get("ID", ""), "version": rows.get("VERSION_ID", ""), "name": rows.get("PRETTY_NAME", "")}


def driver_libraries(root: Root) -> list[str]:
    """Return the versions of NVIDIA's libcuda that are installed: more than one, or another than the kernel's, does not work."""
    names = {name for directory in LIBRARIES for name in root.list(directory)}
    return sorted({match[1] for match in map(LIBCUDA.match, names) if match}, key=natural)


def _toolkit_versions(root: Root, path: str) -> dict[str, str]:
    """Return the versions of a toolkit and of its nvcc as its version.json says them."""
    try:
        known = json.loads(root.read(path + "/version.json") or "{}")
    except ValueError:
        known = {}
    rows = known if isinstance(known, dict) else {}
    return {
        key: str(rows[name].get("version", ""))
        for key, name in (("version", "cuda"), ("nvcc", "cuda_nvcc"))
        if isinstance(rows.get(name), dict)
    }


def toolkits(root: Root) -> list[dict[str, Any]]:
    """Return the CUDA toolkits in the usual places: path, version, nvcc (version; empty: no compiler there, None: unknown)."""
    found: dict[str, dict[str, Any]] = {}
    for directory in TOOLKITS:
        for name in root.list(directory):
            path = f"{directory}/{name}"
            if not TOOLKIT.match(name) or not (root.exists(path + "/bin/nvcc") or root.exists(path + "/version.json")):
                continue
            versions = _toolkit_versions(root, path)
            nvcc = versions.get("nvcc") or None if root.exists(path + "/bin/nvcc") else ""
            real = root.real(path) or path
            found.setdefault(real, {"path": real, "version": versions.get("version") or None, "nvcc": nvcc})
    return sorted(found.values(), key=lambda row: natural(row["path"]))


def gpus(root: Root) -> list[dict[str, Any]]:
    """Return the GPUs with model and firmware as their drivers name them, None where they do not."""
    told = gpu.nvidia_information(root)
    rows = []
    for row in gpu.gpus(root):
        own = told.get(row["pci"], {})
        bios = own.get("Video BIOS") or root.read(f"/sys/bus/pci/devices/{row['pci']}/vbios_version")
        rows.append({"index": row["index"], "model": row["model"], "firmware": own.get("GPU Firmware") or None, "bios": bios or None})
    return rows


def nics(root: Root) -> list[dict[str, Any]]:
    """Return the RDMA devices with driver, firmware and board."""
    found = []
    for name in sorted(root.list(INFINIBAND), key=natural):
        base = f"{INFINIBAND}/{name}"
        driver = root.link(base + "/device/driver")
        found.append(
            {
                "name": name,
                "driver": driver,
                "driver_version": root.read(f"/sys/module/{driver}/version") if driver else None,
                "firmware": root.read(base + "/fw_ver") or None,
                "board": root.read(base + "/board_id") or None,
            }
        )
    return found


def look(root: Root, glibc: Callable[[], tuple[int, int]]) -> dict[str, Any]:
    """Return everything.

    :param glibc: what tells the version of glibc; it is not asked for the files of another machine.
    """
    nvidia = system.nvidia(root)
    libc = glibc() if root.live else (0, 0)
    return {
        "os": release(root),
        "kernel": system.release(root),
        "glibc": ".".join(map(str, libc)) if any(libc) else None,
        "bios": root.read("/sys/class/dmi/id/bios_version") or None,
        "nvidia": {"driver": nvidia["version"], "kind": nvidia["kind"], "libraries": driver_libraries(root)},
        "amd": {"driver": root.read("/sys/module/amdgpu/version") or None, "rocm": root.read(ROCM) or None},
        "cuda": toolkits(root),
        "gpus": gpus(root),
        "nics": nics(root),
    }
