# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Mooncake has to be told of ports, and of the ways between them.

Sources: Mooncake transfer_engine_impl.cpp and config.cpp, v0.3.8.post1 to v0.3.13.post1; both variables are on by being set.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import VARIABLES
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.nvshmem import Row, row, unknown
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import Port


def port_number(ports: List[Port]) -> List[Row]:
    """Return the port number that Mooncake opens on every device: one for all, and 1 unless it is told."""
    numbers: Dict[str, Set[int]] = {}
    for port in ports:
        numbers.setdefault(port.device, set()).add(port.number)
    common = set.intersection(*numbers.values())
    if 1 in common:
        return []
    if common:
        others = "" if len(common) == 1 else f"; it cannot use {', '.join(map(str, sorted(common)[1:]))} beside it"
        why = f"Mooncake opens one port of every device, port 1 by itself, and that carries no data{others}"
        return [row("MC_IB_PORT", str(min(common)), why)]
    text = f"which port number all devices have in common: {', '.join(port.key for port in ports)}"
    why = f"Mooncake opens the same port of every device; {VARIABLES['include']} names those that carry data"
    return [unknown("MC_IB_PORT", text, why)]


def transport(per_process: int, apart: Optional[bool], cross_rail: Optional[bool]) -> List[Row]:
    """Return what keeps Mooncake on RDMA, and on its rail.

    :param per_process: data devices that one process uses.
    :param apart: whether every NIC has a subnet of its own.
    :param cross_rail: whether NICs of different rails reach each other; None where nobody has tried.
    """
    rows = [row("MC_FORCE_HCA", "1", "RDMA or nothing: where none of the devices is usable, Mooncake goes over TCP without a word")]
    if per_process > 1 and apart and cross_rail is not True:
        why = "each NIC has its own subnet, and Mooncake deals several at random to those of the peer, unless it stays with the same name"
        rows.append(row("MC_ENABLE_DEST_DEVICE_AFFINITY", "1", why))
    return rows
