# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs the host, and what its kernel was told: systemd, shared memory, command line, NUMA, memory errors."""

from __future__ import annotations

import os
import re
from typing import Iterator, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import BACKEND, Context, arguments
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import Row, bad, good, needless, unknown

MIB = 1 << 20
# CPU ranks: a rank of sglang 0.5.8 and its schedulers share messages there. GPU ranks: NCCL's proxies and sglang's broadcast buffers,
# 24 MiB per group (parallel_state.py), come with it; NCCL's documentation asks for 1 GiB.
SHM_CPU, SHM_GPU = 64 * MIB, 1024 * MIB
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")
DISABLED = "/sys/module/ipv6/parameters/disable"


def check(context: Context) -> Iterator[Row]:
    """Look at the host as a whole."""
    if context.root.exists("/run/systemd/system"):
        yield good("preflight.systemd", "runs")
    else:
        fix = "the engines are systemd units: use a host booted by systemd"
        yield bad("preflight.systemd", "systemd does not run this host", fix, "absent", "runs")
    yield from _shm(context)
    yield from _ipv6(context)
    yield from _command_line(context)
    yield from _numa(context)
    yield from _memory_errors(context)


def _free(context: Context, wanted: int) -> Optional[int]:
    """Return what is free in shared memory; where that is too little, with what the cluster's own units have in it."""
    place = context.root.outside("/dev/shm")
    if place is None:
        return None
    try:
        status = os.statvfs(place)
    except OSError:
        return None
    free = status.f_bavail * status.f_frsize
    return free if free >= wanted else free + min(_own_shm(context), (status.f_blocks - status.f_bfree) * status.f_frsize)


def _own_shm(context: Context) -> int:
    """Return the bytes of shared memory that the kernel counts for the cluster's own units."""
    own = 0
    for unit in context.own_units:
        texts = [context.root.read(f"{place}/system.slice/{unit}/memory.stat") for place in CGROUPS]
        counts = [re.search(r"^shmem ([0-9]{1,18})$", text, re.MULTILINE) for text in texts if text]
        own += next((int(count.group(1)) for count in counts if count), 0)
    return own


def _shm(context: Context) -> Iterator[Row]:
    if not context.ranks:
        yield needless("preflight.shm", "no rank runs here")
        return
    wanted = SHM_GPU if context.gpu_ranks else SHM_CPU
    free = _free(context, wanted)
    if free is None:
        yield unknown("preflight.shm", "/dev/shm cannot be read", f"{wanted // MIB} MiB free")
    elif free < wanted:
        yield bad(
            "preflight.shm", f"/dev/shm has {free // MIB} MiB free, the ranks need {wanted // MIB}",
            "free it, or mount it larger (tmpfs size=)",
            f"{free // MIB} MiB free", f"{wanted // MIB} MiB free",
        )
    else:
        # Not the figure: it differs from run to run.
        yield good("preflight.shm", "enough free", f"{wanted // MIB} MiB free")


def _ipv6(context: Context) -> Iterator[Row]:
    # Mooncake asks whether the variable is there, not for its value (v0.3.8.post1).
    ways = [arguments(rank).get(BACKEND) == "mooncake_tcp" or "MC_FORCE_TCP" in context.environment(rank) for rank in context.ranks]
    if not any(ways):
        yield needless("preflight.ipv6", "no rank moves its KV cache by Mooncake's TCP transport")
        return
    options = context.root.read("/proc/cmdline")
    if options is None:
        yield unknown("preflight.ipv6", "/proc/cmdline cannot be read", "IPv6 in the kernel")
    elif "ipv6.disable=1" in options.split() or context.root.read(DISABLED) == "1":
        yield bad(
            "preflight.ipv6", "the kernel runs with ipv6.disable=1, and Mooncake's TCP transport opens an IPv6 socket",
            "remove it from the kernel command line; net.ipv6.conf.all.disable_ipv6=1 is harmless", "ipv6.disable=1", "IPv6 in the kernel",
        )
    else:
        yield good("preflight.ipv6", "in the kernel", "IPv6 in the kernel")


def _command_line(context: Context) -> Iterator[Row]:
    if not context.gpu_ranks and not context.rdma:
        yield needless("preflight.command-line", "neither GPUs nor RDMA are planned here")
        return
    line = context.facts["system"]["command_line"]
    if not line["known"]:
        yield unknown("preflight.command-line", "/proc/cmdline cannot be read", "no trap")
        return
    # IPv6 has a rule of its own.
    traps = [row for row in line["traps"] if not row["option"].startswith("ipv6")]
    for row in traps:
        yield bad(
            "preflight.command-line", f"the kernel command line has {row['option']}: {row['effect']}",
            f"remove {row['option']} from the boot loader's configuration and reboot", row["option"], "no trap",
        )
    if not traps:
        yield good("preflight.command-line", "no trap", "no trap")


def _numa(context: Context) -> Iterator[Row]:
    if not context.gpu_ranks:
        yield needless("preflight.numa", "no GPU rank runs here")
        return
    if context.root.contains("/proc/cpuinfo", [" hypervisor"], 1 << 24):
        yield needless("preflight.numa", "the host is a virtual machine: what it shows as sockets is none of the hardware's")
        return
    base = "/sys/devices/system/cpu"
    names = [name for name in context.root.list(base) if re.fullmatch("cpu[0-9]{1,5}", name)]
    sockets = {context.root.read(f"{base}/{name}/topology/physical_package_id") for name in names} - {None, "-1"}
    nodes = context.facts["system"]["numa_nodes"]
    if not sockets or not nodes:
        yield unknown("preflight.numa", "the kernel shows neither sockets nor NUMA nodes", "a node per socket")
    elif len(nodes) < len(sockets):
        yield bad(
            "preflight.numa", f"{len(sockets)} sockets and {len(nodes)} NUMA node: programs cannot tell near NICs from far ones",
            "remove numa=off from the kernel command line, and switch node interleaving off in the firmware",
            f"{len(nodes)} for {len(sockets)} sockets", "a node per socket",
        )
    else:
        yield good("preflight.numa", f"{len(nodes)} for {len(sockets)} sockets", "a node per socket")


def _memory_errors(context: Context) -> Iterator[Row]:
    base = "/sys/devices/system/edac/mc"
    if not context.gpu_ranks:
        yield needless("preflight.memory-errors", "no GPU rank runs here")
        return
    names = [name for name in context.root.list(base) if re.fullmatch("mc[0-9]{1,3}", name)]
    counts = [context.root.number(f"{base}/{name}/ue_count") for name in names]
    known = [count for count in counts if count is not None]
    if not known:
        yield unknown("preflight.memory-errors", "no memory controller reports errors (EDAC)", "no uncorrected error")
    elif sum(known):
        yield bad(
            "preflight.memory-errors", f"{sum(known)} uncorrected memory errors since the host was booted",
            "have the memory module replaced: ras-mc-ctl --errors names it", str(sum(known)), "no uncorrected error",
        )
    else:
        yield good("preflight.memory-errors", "0", "no uncorrected error")
