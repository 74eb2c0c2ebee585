# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of the addresses and routes that procfs shows, disguised."""

from __future__ import annotations

import ipaddress
import struct
import sys
from typing import List

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.disguise import Disguise


def lines(rows: List[str]) -> str:
    """Return lines as a text."""
    return "".join(f"{row}\n" for row in rows)


def routes(disguise: Disguise, text: str) -> str:
    """The networks that are reached without a gateway."""
    order = "<I" if sys.byteorder == "little" else ">I"

    def swapped(value: int) -> int:
        return int.from_bytes(struct.pack(order, value), "big")

    kept = ["Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask"]
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            target, gateway, mask = (int(words[place], 16) for place in (1, 2, 7))
            network = ipaddress.IPv4Network((swapped(target), bin(mask).count("1")))
        except (IndexError, ValueError, struct.error):
            continue
        if gateway or not network.prefixlen:
            continue
        base, length = disguise.network(int(network.network_address), network.prefixlen)
        new = swapped(int(ipaddress.IPv4Network((base, length)).netmask))
        kept.append(f"{disguise.name(words[0])}\t{swapped(base):08X}\t00000000\t0001\t0\t0\t0\t{new:08X}")
    return lines(kept)


def local_addresses(disguise: Disguise, text: str) -> str:
    """The host's own addresses."""
    rows: List[str] = []
    last = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"]:
            rows += [f"|-- {disguise.address(last)}", "/32 host LOCAL"]
    return lines(rows)


def ipv6_addresses(disguise: Disguise, text: str) -> str:
    """The addresses with prefix length and network device."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        try:
            new = disguise.gid(":".join(words[0][place : place + 4] for place in range(0, 32, 4))) if len(words[0]) == 32 else ""
            rows.append(f"{new.replace(':', '')} 00 {int(words[2], 16):02x} 00 00 {disguise.name(words[5])}")
        except (IndexError, ValueError):
            continue
    return lines(rows)
