# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network devices carry the controller's connection."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.netlink import Netlink, attributes, pack
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.sshconnection import connections

REJECT = 0x0200


RTM_GETROUTE = 26
RTA_DST, RTA_SRC, RTA_OIF, RTA_MULTIPATH = 1, 2, 4, 9
ROUTE_HEADER = "=BBBBBBBBI"
UNICAST = 1


def connection(process: str = "/proc", pid: int = 0) -> Tuple[str, str]:
    """Return this host's side and the other side of the ssh connection that a process descends from, empty where there is none.

    :param process: where the process table is.
    :param pid: the process, by default this one.
    """
    return next(((local, client) for client, _client_port, local, _port in connections(process, pid)), ("", ""))


@dataclass(frozen=True)
class Way:
    """A route.

    :ivar target: network, empty for one of no known form.
    :ivar indexes: of the devices that it may take: several where it has several next hops.
    """

    target: str
    indexes: Tuple[int, ...]


def _hops(value: bytes) -> Iterator[int]:
    offset = 0
    while offset + 8 <= len(value):
        length, _flags, _hops_more, index = struct.unpack_from("=HBBi", value, offset)
        if length < 8:
            return
        yield index
        offset += length + 3 & ~3


def ways(bodies: Sequence[bytes]) -> List[Way]:
    """Return the routes by which packets leave, from the answers to RTM_GETROUTE."""
    found = []
    size = struct.calcsize(ROUTE_HEADER)
    for body in bodies:
        if len(body) < size:
            continue
        family, length, _source, _tos, _table, _protocol, _scope, kind, _flags = struct.unpack_from(ROUTE_HEADER, body)
        if family not in (socket.AF_INET, socket.AF_INET6) or kind != UNICAST:
            continue
        values = dict(attributes(body[size:]))
        whole = 4 if family == socket.AF_INET else 16
        target = values.get(RTA_DST, bytes(whole))
        own = struct.unpack("=I", values[RTA_OIF]) if len(values.get(RTA_OIF, b"")) == 4 else ()
        if len(target) == whole:
            found.append(Way(f"{socket.inet_ntop(family, target)}/{length}", (*own, *_hops(values.get(RTA_MULTIPATH, b"")))))
    return found


def _asked(local: str, client: str) -> List[int]:
    """Return the devices that the kernel sends a packet by; it chooses one of several next hops."""
    one = ipaddress.ip_address(client)
    family = socket.AF_INET if one.version == 4 else socket.AF_INET6
    for source in filter(None, dict.fromkeys((local, "none"))):
        mine = b"" if source == "none" else ipaddress.ip_address(source).packed
        head = struct.pack(ROUTE_HEADER, family, len(one.packed) * 8, len(mine) * 8, 0, 0, 0, 0, 0, 0)
        body = head + pack(RTA_DST, one.packed) + (pack(RTA_SRC, mine) if mine else b"")
        try:
            with Netlink(netlink.NETLINK_ROUTE) as asked:
                return [index for way in ways(asked.ask(RTM_GETROUTE, body, dump=False)) for index in way.indexes]
        except OSError:
            # There is no way, or none from that address any more.
            continue
    return []


def _plain(address: str) -> str:
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def route_devices(local: str, client: str) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Return the devices of the route to the controller, all next hops of it, and those of the default routes, likewise.

    :raises OSError: the kernel does not answer.
    """
    names = dict(socket.if_nameindex())
    with Netlink(netlink.NETLINK_ROUTE) as asked:
        known = ways(asked.ask(RTM_GETROUTE, struct.pack(ROUTE_HEADER, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
    defaults = [index for way in known if way.target in ("0.0.0.0/0", "::/0") for index in way.indexes]
    taken: List[int] = []
    plain, _sign, device = _plain(client).partition("%")
    if plain and not device:
        chosen = _asked(_plain(local).partition("%")[0], plain)
        fitting = [way for way in known if set(way.indexes) & set(chosen) and _within(plain, way.target)]
        nearest = max((_length(way) for way in fitting), default=0)
        taken = [*chosen, *(index for way in fitting if _length(way) == nearest for index in way.indexes)]
    found = tuple(dict.fromkeys(names[index] for index in taken if index in names))
    return (device, *found) if device else found, tuple(dict.fromkeys(names[index] for index in defaults if names.get(index, "lo") != "lo"))


def _length(way: Way) -> int:
    return int(way.target.partition("/")[2])


def _within(address: str, network: str) -> bool:
    one, other = ipaddress.ip_address(address), ipaddress.ip_network(network, strict=False)
    return one.version == other.version and one in other


def default_routes(ipv4: str, ipv6: str) -> Tuple[str, ...]:
    """Return the devices of the default routes.

    :param ipv4: text of /proc/net/route.
    :param ipv6: text of /proc/net/ipv6_route.
    """
    found: Dict[str, None] = {}
    for line in ipv4.splitlines()[1:]:
        words = line.split()
        if len(words) >= 8 and words[1] == words[7] == "00000000":
            found[words[0]] = None
    for line in ipv6.splitlines():
        words = line.split()
        if len(words) == 10 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo" and not int(words[8], 16) & REJECT:
            found[words[9]] = None
    return tuple(found)


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def _holder(nics: Sequence[Nic], address: str) -> List[str]:
    """Return the devices of an address; that of a link-local one is written behind it."""
    plain, _sign, device = address.partition("%")
    if device:
        return [device]
    plain = _plain(plain)
    return [nic.name for nic in nics if any(_same(row.partition("/")[0], plain) for row in nic.addresses)]


def beneath(nics: Sequence[Nic], names: Sequence[str]) -> Set[str]:
    """Return some devices and everything that they lie on: of a VLAN its bond, and the bond's ports."""
    lower = {nic.name: set(nic.lower) for nic in nics}
    for nic in nics:
        if nic.master:
            lower.setdefault(nic.master, set()).add(nic.name)
    found: Set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(lower.get(name, ()))
    return found


def above(nics: Sequence[Nic], names: Sequence[str]) -> Set[str]:
    """Return some devices and everything that lies on them."""
    return {nic.name for nic in nics if beneath(nics, [nic.name]) & set(names)} | set(names)


def devices(nics: Sequence[Nic], local: str, defaults: Sequence[str], routed: Sequence[str] = ()) -> Set[str]:
    """Return the devices that carry the controller's connection, those below others, too.

    :param local: the host's side of the connection, empty where it is not known or there is none.
    :param defaults: devices of the default routes, which stand for it then, and where it goes by devices on no card, as a tunnel is.
    :param routed: devices of the route to the controller: the address may be that of a device that carries nothing.
    """
    holders = [name for name in _holder(nics, local) if name != "lo"] if local else []
    found = beneath(nics, [*holders, *(name for name in routed if name != "lo")])
    cards = {nic.name for nic in nics if not nic.kind}
    return found if found & cards else found | beneath(nics, list(defaults))
