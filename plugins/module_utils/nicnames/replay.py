# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the routes, IPv6 addresses and permanent neighbours that the kernel drops when an interface is switched off, and tells them again.

NetworkManager puts back its own, but only after it has noticed, and packets are lost until then.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Iterator, List, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.netlink import attributes, pack
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.rtnl import Change, Link

RTM_NEWADDR, RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNEIGH, RTM_GETNEIGH = 20, 24, 26, 28, 30
CREATE, APPEND, REPLACE = 0x400, 0x800, 0x100
RTA_OIF, RTA_CACHEINFO, RTA_EXPIRES, RTA_NEXTHOP = 4, 12, 23, 30
ADDRESS_HEADER, ROUTE_HEADER, NEIGHBOUR_HEADER = "=BBBBI", "=BBBBBBBBI", "=BxxxiHBB"
NDA_TARGET, NDA_LINK_ADDRESS, NEIGHBOUR_PERMANENT = 1, 2, 0x80
TABLE_LOCAL, PROTOCOL_RA = 255, 9
ONLINK, CLONED = 0x4, 0x200
IFA_CACHEINFO, IFA_FLAGS = 6, 8
PERMANENT, NO_DETECTION = 0x80, 0x02


@dataclass
class Kept:
    """Messages that bring things back.

    :ivar addresses: bodies of RTM_NEWADDR.
    :ivar routes: bodies of RTM_NEWROUTE, those of the nearest scope first, by which others go.
    :ivar neighbours: bodies of RTM_NEWNEIGH.
    """

    addresses: List[bytes] = field(default_factory=list)
    routes: List[bytes] = field(default_factory=list)
    neighbours: List[bytes] = field(default_factory=list)


def above(links: Sequence[Link], index: int) -> Set[int]:
    """Return an interface and the VLANs on it, which the kernel switches off with it."""
    found = {index}
    for _level in links:
        found |= {link.index for link in links if link.below in found and link.kind == "vlan"}
    return found


def _without(rows: Iterator[Tuple[int, bytes]], left_out: Tuple[int, ...]) -> bytes:
    return b"".join(pack(kind, value) for kind, value in rows if kind not in left_out)


def routes(bodies: Sequence[bytes], indexes: Set[int]) -> List[bytes]:
    """Return what brings back the routes by some interfaces, from the answers to RTM_GETROUTE.

    Multipath routes come back by themselves. Routes by a nexthop object are those of a daemon, which the object comes back with.
    """
    found = []
    size = struct.calcsize(ROUTE_HEADER)
    for body in bodies:
        if len(body) < size:
            continue
        family, target, source, tos, table, protocol, scope, kind, flags = struct.unpack_from(ROUTE_HEADER, body)
        values = dict(attributes(body[size:]))
        device = values.get(RTA_OIF, b"")
        if len(device) != 4 or struct.unpack("=I", device)[0] not in indexes:
            continue
        if table == TABLE_LOCAL or protocol == PROTOCOL_RA or flags & CLONED or RTA_NEXTHOP in values:
            continue
        head = struct.pack(ROUTE_HEADER, family, target, source, tos, table, protocol, scope, kind, flags & ONLINK)
        found.append((-scope, head + _without(attributes(body[size:]), (RTA_CACHEINFO, RTA_EXPIRES))))
    return [body for _scope, body in sorted(found, key=lambda row: row[0])]


def addresses(bodies: Sequence[bytes], indexes: Set[int]) -> List[bytes]:
    """Return what brings back the permanent IPv6 addresses of some interfaces, from the answers to RTM_GETADDR."""
    found = []
    size = struct.calcsize(ADDRESS_HEADER)
    for body in bodies:
        if len(body) < size:
            continue
        family, prefix, flags, scope, index = struct.unpack_from(ADDRESS_HEADER, body)
        more = dict(attributes(body[size:])).get(IFA_FLAGS, b"")
        marks = struct.unpack("=I", more)[0] if len(more) == 4 else flags
        if family != socket.AF_INET6 or index not in indexes or not marks & PERMANENT:
            continue
        # Nobody else has taken it in the moment for which it was gone.
        marks |= NO_DETECTION
        rest = _without(attributes(body[size:]), (IFA_CACHEINFO, IFA_FLAGS)) + pack(IFA_FLAGS, struct.pack("=I", marks))
        found.append(struct.pack(ADDRESS_HEADER, family, prefix, marks & 0xFF, scope, index) + rest)
    return found


def neighbours(bodies: Sequence[bytes], indexes: Set[int]) -> List[bytes]:
    """Return what brings back the permanent neighbours of some interfaces, from the answers to RTM_GETNEIGH."""
    found = []
    size = struct.calcsize(NEIGHBOUR_HEADER)
    for body in bodies:
        if len(body) < size:
            continue
        family, index, state, flags, kind = struct.unpack_from(NEIGHBOUR_HEADER, body)
        if family not in (socket.AF_INET, socket.AF_INET6) or index not in indexes or not state & NEIGHBOUR_PERMANENT:
            continue
        values = dict(attributes(body[size:]))
        rest = b"".join(pack(key, values[key]) for key in (NDA_TARGET, NDA_LINK_ADDRESS) if key in values)
        found.append(struct.pack(NEIGHBOUR_HEADER, family, index, NEIGHBOUR_PERMANENT, flags, kind) + rest)
    return found


def keep(links: Sequence[Link], index: int) -> Kept:
    """Return what an interface would lose by being switched off.

    :raises OSError: the kernel does not answer.
    """
    indexes = above(links, index)
    with netlink.Netlink(netlink.NETLINK_ROUTE) as connection:
        seen = connection.ask(netlink.RTM_GETADDR, struct.pack(ADDRESS_HEADER, 0, 0, 0, 0, 0))
    with netlink.Netlink(netlink.NETLINK_ROUTE) as connection:
        ways = connection.ask(RTM_GETROUTE, struct.pack(ROUTE_HEADER, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    with netlink.Netlink(netlink.NETLINK_ROUTE) as connection:
        near = connection.ask(RTM_GETNEIGH, struct.pack(NEIGHBOUR_HEADER, 0, 0, 0, 0, 0))
    return Kept(addresses(seen, indexes), routes(ways, indexes), neighbours(near, indexes))


def bring_back(kept: Kept) -> None:
    """Tell the kernel what it has dropped. What it does not take yet, NetworkManager or the healing brings back."""
    # A route that is replaced may be another interface's: the kernel compares destination and metric only.
    rows = ((RTM_NEWADDR, REPLACE, kept.addresses), (RTM_NEWROUTE, APPEND, kept.routes), (RTM_NEWNEIGH, REPLACE, kept.neighbours))
    for kind, flag, bodies in rows:
        for body in bodies:
            with contextlib.suppress(OSError), Change(netlink.NETLINK_ROUTE) as connection:
                connection.tell(kind, body, CREATE | flag)
