# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RDMA ports that the plan uses on a host, each with what it is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.context import Context


@dataclass(frozen=True)
class Rail:
    """One planned port.

    :ivar gid_index: the index that the engines are told, None where they look for it themselves.
    :ivar addresses: the addresses that the port had when it was planned, without their prefixes.
    """

    device: str
    port: int = 1
    gid_index: Optional[int] = None
    addresses: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return device:port."""
        return f"{self.device}:{self.port}"


def _number(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def planned(context: Context) -> List[Rail]:
    """Return the planned ports in order; where the plan has no rails, they follow from its list of ports or devices."""
    rdma = context.rdma
    index = _number(rdma.get("gid_index"))
    rows = rdma.get("rails") or []
    if rows:
        return [
            Rail(
                str(row["device"]), _number(row.get("port")) or 1, _number(row.get("gid_index")),
                tuple(str(address).partition("/")[0] for address in row.get("addresses") or []),
            )
            for row in rows
        ]
    names = rdma.get("ports") or rdma.get("devices") or []
    parts = [str(name).partition(":") for name in names]
    return [Rail(device, int(port) if port.isdigit() else 1, index) for device, _colon, port in parts]


def port(context: Context, rail: Rail) -> Optional[Dict[str, Any]]:
    """Return the facts of a planned port, or None where it is not there."""
    device = context.device(rail.device)
    return next((row for row in device["ports"] if row["port"] == rail.port), None) if device else None
