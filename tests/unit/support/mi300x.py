# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ten RDMA devices of AMD's page on MI300X, as a tree of files: eight of 400 Gb/s, and mlx5_1 and mlx5_6 of 100 Gb/s.

The page shows names, node GUIDs, rates and states. That every GPU has a 400 Gb/s NIC on a switch of its own, that the NICs are
ConnectX-7 in one network, and that the kernel takes peer memory is added here.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host

GUIDS = (
    "58a2:e103:00a5:399e", "b83f:d203:00ce:434e", "58a2:e103:00a5:39ae", "58a2:e103:00a5:413e", "58a2:e103:00a5:39de",
    "58a2:e103:00a7:e7c6", "b83f:d203:00ce:4350", "58a2:e103:00a7:e9e6", "58a2:e103:00a7:ea06", "58a2:e103:00a7:ea56",
)
SLOW = (1, 6)
# mlx5_0, 2, 3, 4, 5, 7, 8, 9.
FAST = [f"mlx5_{number}" for number in range(len(GUIDS)) if number not in SLOW]


def write(root: Path, address: int) -> Host:
    """Write the machine.

    :param address: last part of the address of mlx5_0; the others follow.
    """
    host = Host(root)
    host.file("/proc/kallsyms", "0000000000000000 T ib_register_peer_memory_client\t[ib_core]")
    host.file("/sys/module/amdgpu/version", "6.12.12")
    gpu = 0
    for number, guid in enumerate(GUIDS):
        slow, bus = number in SLOW, 0x10 + 8 * number
        way = f"{bus:02x}:01.0 {bus + 1:02x}:00.0"
        if not slow:
            host.gpu(f"{way} {bus + 2:02x}:00.0 {bus + 3:02x}:00.0", gpu // 4, "amdgpu", **MI300X)
            gpu += 1
        name = f"ens{number}np0"
        card = {"node_guid": guid, "sys_image_guid": guid, "hca_type": "MT4125" if slow else "MT4129",
                "board_id": "MT_0000000359" if slow else "MT_0000000838"}
        host.nic(
            f"mlx5_{number}", f"{way} {bus + 2:02x}:01.0 {bus + 4:02x}:00.0", number // 5, name, attributes=card, mtu=4200,
            gbps=100 if slow else 400, gids={3: f"v2 203.0.113.{address + number} {name}"},
        )
    return host


@functools.cache
def facts(address: int) -> dict[str, Any]:
    """Return the facts of the machine, its addresses with the prefix of their network."""
    with tempfile.TemporaryDirectory() as directory:
        found = write(Path(directory), address).facts()
    for device in found["devices"]:
        for port in device["ports"]:
            port["addresses"] = [f"{row['ipv4']}/24" for row in port["gids"] if row["ipv4"]]
    return found
