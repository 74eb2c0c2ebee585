# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to spoil a host."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import sockets
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import (
    HEADER,
    LOADED,
    Change,
    World,
    gpu_address,
    gpu_world,
)

SOCKET = "   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 {inode} 1 ffff 100 0 0 10 0\n"
EVERYWHERE, FABRIC, LOOPBACK = "00000000", "0A7100CB", "0100007F"
OWN = "sglang-prefill-0.service"
XID = "2026-01-01T00:00:00+00:00 h kernel: NVRM: Xid (PCI:{pci}): {rest}\n"
SXID = "2026-01-01T00:00:00+00:00 h kernel: nvidia-nvswitch0: SXid (PCI:0000:f1:00.0): {rest}\n"
JOURNAL = "journalctl --dmesg --boot --no-pager --quiet --output=short-iso"
GREP = JOURNAL + " --grep="
PEER = "updates/dkms/nvidia-peermem.ko: {needs}"


class Case(NamedTuple):
    """One spoiled host.

    :ivar state: that some line of the rule must have, and no line a worse one.
    :ivar text: words of that line.
    """

    state: str
    change: Change
    text: str
    make: Callable[[Path], World] = gpu_world


def file(path: str, content: str | bytes) -> Change:
    """Return a change that writes a file."""
    return lambda world: world.host.file(path, content)


def gone(path: str) -> Change:
    """Return a change that removes a file or directory."""

    def change(world: World) -> None:
        place = world.host.root / path.lstrip("/")
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()

    return change


def both(*changes: Change) -> Change:
    """Return several changes as one."""
    return lambda world: [change(world) for change in changes]


def answer(command: str, rc: int, out: str = "", err: str = "") -> Change:
    """Return a change of what a program answers."""
    return lambda world: world.answers.update({command: (rc, out, err)})


def log(text: str) -> Change:
    """Return a change of the journal of the kernel."""
    return answer(GREP, 0, LOADED + text)


NO_LOG = both(answer("journalctl", 127), answer(GREP, 127), answer(JOURNAL + " --lines=1", 127))


def xid(rest: str, index: int = 0) -> Change:
    """Return a report of a GPU in the journal."""
    return log(XID.format(pci=gpu_address(index)[:-2], rest=rest))


def rank(**changes: Any) -> Change:
    """Return a change of the ranks."""
    return lambda world: world.rank(**changes)


def plan(**changes: Any) -> Change:
    """Return a change of the slice."""
    return lambda world: world.plan.update(changes)


def rdma(**changes: Any) -> Change:
    """Return a change of its part about RDMA."""
    return lambda world: world.plan["rdma"].update(changes)


def listener(port: int, pid: int, command: str, unit: str = "", address: str = EVERYWHERE) -> Change:
    """Return a process that listens."""

    def change(world: World) -> None:
        world.process(pid, command, unit, f"socket:[{pid}]")
        world.host.file("/proc/net/tcp", HEADER + SOCKET.format(address=address, port=port, inode=pid))

    return change


def tcp6(address: str, port: int) -> Change:
    """Return a listening socket of IPv6."""
    return file("/proc/net/tcp6", HEADER + SOCKET.format(address=address, port=port, inode=1))


def process(pid: int, command: str, unit: str = "", opened: str = "", number: int = 3) -> Change:
    """Return a process with an open file."""
    return lambda world: world.process(pid, command, unit, opened, number)


def smi(index: int = 0, **values: Any) -> Change:
    """Return a change of what nvidia-smi says of a GPU."""
    return lambda world: world.gpus[index].update(values)


def all_smi(**values: Any) -> Change:
    """Return a change of what it says of all."""
    return lambda world: [row.update(values) for row in world.gpus]


def address(port: int, text: str) -> Change:
    """Return a change of the address that a port is planned on."""
    return lambda world: [row.update(address=text) for row in world.plan["ports"] if row["port"] == port]


def plain_user(world: World) -> None:
    """Look at the host as a plain user does, to whom the open files of others are hidden."""
    world.opened = sockets.Open(True, True)


def app(gpu: int, pid: int, mib: str, command: str) -> Change:
    """Return a process in nvidia-smi's list."""
    return lambda world: world.apps.append((gpu, pid, mib, command))


def pci(address: str, name: str, value: str | bytes) -> Change:
    """Return a change of a file of a PCI function."""
    return file(f"/sys/bus/pci/devices/{address}/{name}", value)


def grouped(address: str, group: int) -> Change:
    """Return a change of the IOMMU group of a PCI function."""

    def change(world: World) -> None:
        place = world.host.root / f"sys/bus/pci/devices/{address}/iommu_group"
        place.symlink_to(f"/sys/kernel/iommu_groups/{group}")

    return change


def gid(index: int, slot: int, value: str) -> Change:
    """Return a change of a slot of a GID table."""
    return file(f"/sys/class/infiniband/mlx5_{index}/ports/1/gids/{slot}", value)


def gid_type(index: int, slot: int, value: str) -> Change:
    """Return a change of the type of a slot."""
    return file(f"/sys/class/infiniband/mlx5_{index}/ports/1/gid_attrs/types/{slot}", value)


def unaddressed(index: int) -> Change:
    """Return a change of a planned rail that knows no address."""
    return lambda world: world.plan["rdma"]["rails"][index].update(addresses=[])


def smi_gone(world: World) -> None:
    """Take nvidia-smi away."""
    world.gpus.clear()


def nothing(world: World) -> None:
    """Leave a host as it is."""
    assert world.plan


def remapped(index: int, flags: str) -> Change:
    """Return a change of what nvidia-smi says of the memory rows of a GPU: pending, failed."""
    return lambda world: world.remapped.update({index: flags})


def told(index: int, gid_index: int | None) -> Change:
    """Return a change of the GID index that is planned for a rail."""
    return lambda world: world.plan["rdma"]["rails"][index].update(gid_index=gid_index)


def mode(path: str, bits: int) -> Change:
    """Return a change of a file's mode."""
    return lambda world: (world.host.root / path).chmod(bits)


SMI_HANGS = answer("nvidia-smi", 124, "", "nvidia-smi gave no answer in 20 s")
LINK_LOCAL = "0000:0000:0000:0000:0000:ffff:a9fe:0101"
ZERO = ":".join(["0000"] * 8)
DEEPEP = rank(arguments={"moe-a2a-backend": "deepep"})
INFINIBAND = both(*(file(f"/sys/class/infiniband/mlx5_{index}/ports/1/link_layer", "InfiniBand") for index in range(8)))
NO_SWITCH = both(pci("0000:f1:00.0", "class", "0x068099"), pci("0000:f1:00.0", "vendor", "0x1000"))
MEMORY = "MemTotal:       2113388160 kB\nMemFree:        1013388160 kB\n"
VERDICT = {"ok": True, "way": "peermem", "why": "through nvidia_peermem", "environment": {}, "needs": [], "alternative": None}
MANAGER = "systemctl show-environment"
VENV = "/opt/sglang/sglang-0.5.8-cu12/pyvenv.cfg"
TORCH = "/usr/local/lib/python3.12/dist-packages/torch/__init__.py"
