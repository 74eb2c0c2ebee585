# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network devices by netlink: what there is, and another name, state or MTU for one of them."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.netlink import Netlink, attributes, pack, text

RTM_GETLINK, RTM_SETLINK, RTM_NEWLINKPROP, RTM_DELLINKPROP = 18, 19, 108, 109
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
IFLA_EXT_MASK, IFLA_PROP_LIST, IFLA_ALT_IFNAME, IFLA_PERM_ADDRESS = 29, 52, 53, 54
INFO_KIND = 1
SKIP_STATISTICS = 1 << 3
NESTED = 0x8000
ACKNOWLEDGE, EXCLUSIVE, CREATE = 0x4, 0x200, 0x400
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
SIOCETHTOOL, ETHTOOL_GPERMADDR = 0x8946, 0x20
NLDEV_SET = netlink.NLDEV | 2
HEADER = "=BxHiII"


@dataclass(frozen=True)
class Link:
    """A network device of the kernel.

    :ivar below: index of the device that it lies on, 0 where there is none.
    :ivar master: index of its bond or bridge, 0 where there is none.
    :ivar kind: kind of a virtual device, empty for a card's port.
    """

    index: int
    name: str
    flags: int = 0
    mac: str = ""
    permanent_mac: str = ""
    mtu: int = 0
    master: int = 0
    below: int = 0
    kind: str = ""
    altnames: Tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        """Whether it is switched on, with or without a carrier."""
        return bool(self.flags & IFF_UP)


def hexadecimal(address: bytes) -> str:
    """Return a hardware address as text, empty for none and for one of zeros only."""
    return ":".join(f"{byte:02x}" for byte in address) if any(address) else ""


def parse(body: bytes) -> Link:
    """Return the device of one answer to RTM_GETLINK."""
    _family, _type, index, flags, _change = struct.unpack_from(HEADER, body)
    rows = list(attributes(body[struct.calcsize(HEADER) :]))
    values: Dict[int, bytes] = dict(rows)
    number = {kind: struct.unpack("=I", values[kind])[0] for kind in (IFLA_MTU, IFLA_MASTER, IFLA_LINK) if len(values.get(kind, b"")) == 4}
    about = dict(attributes(values.get(IFLA_LINKINFO, b"")))
    other = [value for kind, value in attributes(values.get(IFLA_PROP_LIST, b"")) if kind == IFLA_ALT_IFNAME]
    return Link(
        index=index,
        name=text(values.get(IFLA_IFNAME)) or "",
        flags=flags,
        mac=hexadecimal(values.get(IFLA_ADDRESS, b"")),
        permanent_mac=hexadecimal(values.get(IFLA_PERM_ADDRESS, b"")),
        mtu=number.get(IFLA_MTU, 0),
        master=number.get(IFLA_MASTER, 0),
        below=number.get(IFLA_LINK, 0),
        kind=text(about.get(INFO_KIND)) or "",
        altnames=tuple(sorted(text(value) or "" for value in other)),
    )


def asked_permanent(name: str) -> str:
    """Return the permanent address as the driver says it: kernels before 5.6 do not tell it by netlink.

    :returns: empty where there is none.
    """
    room = array.array("B", struct.pack("II", ETHTOOL_GPERMADDR, 32) + bytes(32))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            fcntl.ioctl(handle, SIOCETHTOOL, struct.pack("16sP", name.encode(), room.buffer_info()[0]))
        except OSError:
            return ""
    length = struct.unpack_from("=I", room, 4)[0]
    return hexadecimal(room[8 : 8 + min(length, 32)].tobytes())


def links() -> List[Link]:
    """Return the network devices of this network namespace by index.

    :raises OSError: the kernel does not answer.
    """
    question = struct.pack(HEADER, 0, 0, 0, 0, 0) + pack(IFLA_EXT_MASK, struct.pack("=I", SKIP_STATISTICS))
    with Netlink(netlink.NETLINK_ROUTE) as connection:
        found = [parse(body) for body in connection.ask(RTM_GETLINK, question)]
    if any(link.permanent_mac for link in found):
        return sorted(found, key=lambda link: link.index)
    known = [
        link if link.kind or link.flags & IFF_LOOPBACK else Link(**{**vars(link), "permanent_mac": asked_permanent(link.name)})
        for link in found
    ]
    return sorted(known, key=lambda link: link.index)


class Change(Netlink):
    """Tells the kernel something and waits until it has done it."""

    def __enter__(self) -> Change:
        return self

    def tell(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one message.

        :param flags: besides those of every message.
        :raises OSError: the kernel refused.
        """
        number = time.monotonic_ns() & 0x7FFFFFFF
        marks = netlink.REQUEST | ACKNOWLEDGE | flags
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, marks, number, os.getpid()) + body)
        for _turn in range(netlink.MESSAGES):
            answer = self._socket.recv(1 << 16)
            length, what, _flags, which, _pid = struct.unpack_from("=IHHII", answer)
            if what == netlink.ERROR and which == number:
                (code,) = struct.unpack_from("=i", answer[:length], 16)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
        raise OSError(errno.ETIMEDOUT, "no answer from the kernel")


def _set(index: int, flags: int = 0, change: int = 0, more: bytes = b"") -> None:
    with Change(netlink.NETLINK_ROUTE) as connection:
        connection.tell(RTM_SETLINK, struct.pack(HEADER, 0, 0, index, flags, change) + more)


def rename(index: int, name: str) -> None:
    """Give a device another name.

    :raises OSError: EBUSY where the kernel renames only devices that are down, EEXIST where something has that name or altname.
    """
    _set(index, more=pack(IFLA_IFNAME, name.encode() + b"\0"))


def switch(index: int, up: bool) -> None:
    """Switch a device on or off."""
    _set(index, IFF_UP if up else 0, IFF_UP)


def set_mtu(index: int, mtu: int) -> None:
    """Set the MTU of a device."""
    _set(index, more=pack(IFLA_MTU, struct.pack("=I", mtu)))


def _altname(index: int, name: str, kind: int) -> None:
    one = pack(IFLA_ALT_IFNAME, name.encode() + b"\0")
    with Change(netlink.NETLINK_ROUTE) as connection:
        body = struct.pack(HEADER, 0, 0, index, 0, 0) + pack(IFLA_PROP_LIST | NESTED, one)
        connection.tell(kind, body, (CREATE | EXCLUSIVE) if kind == RTM_NEWLINKPROP else 0)


def delete_altname(index: int, name: str) -> None:
    """Take an alternative name from a device."""
    _altname(index, name, RTM_DELLINKPROP)


def add_altname(index: int, name: str) -> None:
    """Give a device an alternative name."""
    _altname(index, name, RTM_NEWLINKPROP)


def rename_rdma(device: str, name: str) -> None:
    """Give an RDMA device another name, as C(rdma dev set) does.

    :raises OSError: there is no such device, something has that name, or this kernel has no RDMA netlink.
    """
    with Change(netlink.NETLINK_RDMA) as connection:
        for body in connection.ask(netlink.NLDEV | netlink.NLDEV_GET, b""):
            row = dict(attributes(body))
            if text(row.get(netlink.DEV_NAME)) == device:
                index = pack(netlink.DEV_INDEX, row[netlink.DEV_INDEX])
                connection.tell(NLDEV_SET, index + pack(netlink.DEV_NAME, name.encode() + b"\0"))
                return
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
