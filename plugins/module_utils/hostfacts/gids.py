# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GID tables: what the slots hold, and which index is a port's own.

Empty slots are nearly all there is to read, so a slot's type and network device are read only when its GID is not zero: for an empty
slot those files exist and their read fails.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

GID = re.compile(r"(?:[0-9a-f]{4}:){7}[0-9a-f]{4}")
ZERO = ":".join(["0000"] * 8)
MAPPED = "0000:0000:0000:0000:0000:ffff:"
TYPES = {"IB/RoCE v1": "v1", "RoCE v1": "v1", "RoCE v2": "v2"}
# Soft-RoCE has 1024 slots. The kernel fills the lowest free one, so a long empty stretch of such a table is its end.
LARGE_TABLE = 256
EMPTY_STRETCH = 64
KINDS = ("ipv4", "ipv6", "ipv4-link-local", "ipv6-link-local")


def ipv4(gid: str) -> Optional[str]:
    """Return the IPv4 address that a GID stands for, or None."""
    if not gid.startswith(MAPPED):
        return None
    value = int(gid[len(MAPPED) :].replace(":", ""), 16)
    return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


def kind(row: Dict[str, Any]) -> str:
    """Return how far a GID's address reaches: one of C(KINDS), most useful first."""
    if row["ipv4"]:
        return "ipv4-link-local" if row["ipv4"].startswith(("169.254.", "127.", "0.")) else "ipv4"
    return "ipv6-link-local" if re.match(r"fe[89ab]", row["gid"]) else "ipv6"


def table(root: Root, port: str, infiniband: bool) -> Tuple[List[Dict[str, Any]], int]:
    """Return the used slots of a port's GID table, and the number of slots.

    :param port: the port's directory.
    :param infiniband: whether the port's link is InfiniBand, where slots have neither types nor network devices.
    """
    slots = [int(name) for name in root.list(port + "/gids") if name.isascii() and name.isdigit() and len(name) <= 5]
    found: List[Dict[str, Any]] = []
    empty = 0
    for index in slots:
        gid = root.read(f"{port}/gids/{index}")
        if gid is None or gid == ZERO:
            empty += 1
            if empty >= EMPTY_STRETCH and len(slots) > LARGE_TABLE:
                break
            continue
        empty = 0
        gid = gid.lower()
        if not GID.fullmatch(gid):
            root.complain(f"{port}/gids/{index}", errno.EBADMSG)
            continue
        row = {"index": index, "gid": gid, "type": "IB", "ndev": None, "ipv4": None}
        if not infiniband:
            # Neither can be read of a GID that belongs to another network namespace.
            text = root.read(f"{port}/gid_attrs/types/{index}")
            row.update(type=TYPES.get(text or "", text or None), ndev=root.read(f"{port}/gid_attrs/ndevs/{index}") or None, ipv4=ipv4(gid))
        found.append(row)
    return found, len(slots)


def own(rows: Sequence[Dict[str, Any]], netdevs: Sequence[Optional[str]]) -> Optional[Dict[str, Any]]:
    """Return index, kind, address and network device of the RoCE v2 GID to use, or None.

    A global IPv4 address is better than a global IPv6 one, that is better than link-local ones; among equals the one of the port's own
    network device, and then the lowest index.

    :param netdevs: the port's own network device, then the bond that it is a slave of.
    """

    def order(row: Dict[str, Any]) -> Tuple[int, int, int]:
        near = netdevs.index(row["ndev"]) if row["ndev"] in netdevs else len(netdevs)
        return KINDS.index(kind(row)), near, row["index"]

    best = min((row for row in rows if row["type"] == "v2"), key=order, default=None)
    if best is None:
        return None
    return {"index": best["index"], "kind": kind(best), "address": best["ipv4"] or best["gid"], "ndev": best["ndev"]}


def nccl_choice(rows: Sequence[Dict[str, Any]]) -> Optional[int]:
    """Return the index that NCCL takes when it is told none (IPv4, RoCE v2), or None for an empty table.

    It walks the table once and knows neither network devices nor link-local IPv4 addresses, so its choice may differ from C(own).
    """
    slots = {row["index"]: row for row in rows}
    if not slots:
        return None

    def usable(index: int) -> bool:
        return index in slots and kind(slots[index]) != "ipv6-link-local"

    def is_ipv4(index: int) -> bool:
        return index in slots and slots[index]["ipv4"] is not None

    def version(index: int) -> Optional[str]:
        return slots[index]["type"] if index in slots else None

    choice = 0
    for index in sorted(slots):
        if index == 0 or not is_ipv4(index):
            continue
        if not is_ipv4(choice) or (version(index) == "v2" and (version(choice) != "v2" or not usable(choice))):
            choice = index
    return choice
