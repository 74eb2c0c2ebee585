# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must have to carry a lab, and how to get what it lacks, all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

#: Program: its package for apt, and for dnf.
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "ip": ("iproute2", "iproute"),
    "mmdebstrap": ("mmdebstrap", "mmdebstrap"),
    "mount": ("mount", "util-linux"),
    "nsenter": ("util-linux", "util-linux"),
    "ssh": ("openssh-client", "openssh-clients"),
    "ssh-keygen": ("openssh-client", "openssh-clients"),
    "systemd-nspawn": ("systemd-container", "systemd-container"),
}

#: The same for a lab of virtual machines.
QEMU_PROGRAMS: Mapping[str, tuple[str, str]] = {
    **{name: PROGRAMS[name] for name in ("ip", "mmdebstrap", "nsenter", "ssh", "ssh-keygen")},
    "mke2fs": ("e2fsprogs", "e2fsprogs"),
    "qemu-img": ("qemu-utils", "qemu-img"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-system-x86-core"),
    "zstd": ("zstd", "zstd"),
}

#: What a host writes until its services run; the engine's packages are shared by bind mounts.
HOST_DISK_MB = 300

SMALLEST_SHAPE = "1p1d"


@dataclass(frozen=True)
class Machine:
    """What this machine has; sizes in MiB."""

    is_root: bool
    programs: frozenset[str]
    memory_available_mb: int
    disk_free_mb: int
    has_overlayfs: bool
    has_cgroups: bool
    has_taps: bool = True


@dataclass(frozen=True)
class Needs:
    """What a lab needs of a machine; sizes in MiB."""

    hosts: int
    memory_mb: int
    smallest_memory_mb: int
    disk_mb: int
    disk_place: str


def missing(machine: Machine, needs: Needs, packages: Mapping[str, tuple[str, str]] | None = None) -> list[str]:
    """Return everything that a machine lacks, each with the way to get it; empty where it can carry the lab.

    Args:
        machine: what it has.
        needs: what the lab needs.
        packages: the programs that the lab needs, each with its package for apt and for dnf; left out, those of nspawn.
    """
    packages = PROGRAMS if packages is None else packages
    found = []
    if not machine.is_root:
        found.append("it is not run as root, which namespaces and mounts need: use become, or run it as root")
    programs = sorted(set(packages) - machine.programs)
    if programs:
        apt = " ".join(sorted({packages[name][0] for name in programs}))
        dnf = " ".join(sorted({packages[name][1] for name in programs}))
        epel = " (mmdebstrap is in EPEL)" if "mmdebstrap" in programs else ""
        found.append(f"programs are missing: {', '.join(programs)}: apt-get install {apt}, or dnf install {dnf}{epel}")
    if not machine.has_overlayfs:
        found.append("the kernel has no overlayfs: modprobe overlay, or a kernel with CONFIG_OVERLAY_FS")
    if not machine.has_cgroups:
        found.append("neither the unified nor systemd's control group hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup")
    if not machine.has_taps:
        found.append("/dev/net/tun is missing, which connects virtual machines: modprobe tun, or a kernel with CONFIG_TUN")
    if machine.memory_available_mb < needs.memory_mb:
        smaller = (
            f", or take the shape {SMALLEST_SHAPE} (RAILYARD_LAB_SHAPE={SMALLEST_SHAPE}), which needs {needs.smallest_memory_mb} MiB"
            if needs.smallest_memory_mb < needs.memory_mb
            else ""
        )
        found.append(
            f"memory: {needs.hosts} hosts need {needs.memory_mb} MiB, and {machine.memory_available_mb} MiB are "
            f"available: end what uses memory{smaller}"
        )
    if machine.disk_free_mb < needs.disk_mb:
        found.append(
            f"disk: {needs.disk_mb} MiB are needed below {needs.disk_place}, and {machine.disk_free_mb} MiB are free: "
            "make room, or set RAILYARD_CACHE to a directory on another disk"
        )
    return found


def message(lab: str, lacks: Sequence[str]) -> str:
    """Return one text with everything that is missing."""
    return f"This machine cannot carry the lab '{lab}'. Missing:\n" + "\n".join(f"  - {each}" for each in lacks)


def parse_meminfo(text: str) -> int:
    """Return MemAvailable of /proc/meminfo in MiB, 0 where it is not named."""
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0
