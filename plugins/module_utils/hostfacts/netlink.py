# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells by netlink only: RDMA devices (nldev), data center bridging (DCB), addresses with their prefixes.

The sockets need no privileges. An answer that does not come, or that the kernel cannot give, is None.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Dict, Iterator, List, Optional, Tuple

NETLINK_ROUTE = 0
NETLINK_RDMA = 20
SECONDS = 2.0
MESSAGES = 10000

REQUEST, DUMP = 0x1, 0x300
MULTIPART = 0x2
ERROR, DONE = 2, 3
TYPE_MASK = 0x3FFF

NLDEV = 5 << 10
NLDEV_GET, NLDEV_PORT_GET, NLDEV_SYS_GET = 1, 5, 6
DEV_INDEX, DEV_NAME, PORT_INDEX, NDEV_NAME = 1, 2, 3, 51
NETNS_MODE, DEV_PROTOCOL, DEV_TYPE = 66, 67, 99
TYPE_SMI = 1

RTM_GETADDR, RTM_GETDCB = 22, 78
IFA_ADDRESS, IFA_LOCAL = 1, 2
DCB_IEEE_GET, DCB_IFNAME, DCB_IEEE = 21, 1, 13
IEEE_ETS, IEEE_PFC, IEEE_APP_TABLE = 1, 2, 3
SELECTOR_DSCP = 5

Attributes = Dict[int, bytes]


def pack(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """Give the attributes of a message in turn, up to where it is cut."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & TYPE_MASK, data[offset + 4 : offset + length]
        offset += length + 3 & ~3


def messages(data: bytes) -> Iterator[Tuple[int, int, bytes]]:
    """Give type, flags and body of the messages in a datagram.

    :raises OSError: one of them says that the request failed.
    """
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags = struct.unpack_from("=IHH", data, offset)
        body = data[offset + 16 : offset + length]
        if length < 16:
            return
        if kind == ERROR and len(body) >= 4:
            (code,) = struct.unpack_from("=i", body)
            if code:
                raise OSError(-code, errno.errorcode.get(-code, str(-code)))
        yield kind, flags, body
        offset += length + 3 & ~3


def text(value: Optional[bytes]) -> Optional[str]:
    """Return a string attribute."""
    return value.split(b"\0")[0].decode("utf-8", "replace") if value else None


def _number(value: Optional[bytes]) -> Optional[int]:
    return int.from_bytes(value, "little" if struct.pack("=H", 1)[0] else "big") if value else None


class Netlink:
    """One kind of netlink, asked one question at a time."""

    def __init__(self, protocol: int):
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._socket.settimeout(SECONDS)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def ask(self, kind: int, body: bytes, dump: bool = True) -> List[bytes]:
        """Return the bodies of the answers.

        :raises OSError: the kernel refused, or did not answer in time.
        """
        flags = REQUEST | (DUMP if dump else 0)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        found: List[bytes] = []
        for _turn in range(MESSAGES):
            more = False
            for answer, marks, data in messages(self._socket.recv(1 << 17)):
                if answer in (DONE, ERROR):
                    return found
                found.append(data)
                more = bool(marks & MULTIPART)
            if not more:
                break
        return found


def rdma_devices() -> Dict[str, Dict[str, Any]]:
    """Return what nldev says of each RDMA device: protocol, whether it is an SMI sub-device, and port number to network device.

    :raises OSError: this kernel has no RDMA netlink.
    """
    found = {}
    with Netlink(NETLINK_RDMA) as link:
        for body in link.ask(NLDEV | NLDEV_GET, b""):
            device: Attributes = dict(attributes(body))
            name, index = text(device.get(DEV_NAME)), device.get(DEV_INDEX)
            if not name or index is None:
                continue
            ports = {}
            for answer in link.ask(NLDEV | NLDEV_PORT_GET, pack(DEV_INDEX, index)):
                port: Attributes = dict(attributes(answer))
                ports[_number(port.get(PORT_INDEX))] = text(port.get(NDEV_NAME))
            smi = _number(device.get(DEV_TYPE)) == TYPE_SMI
            found[name] = {"protocol": text(device.get(DEV_PROTOCOL)), "smi": smi, "ports": ports}
    return found


def rdma_netns_mode() -> Optional[str]:
    """Return whether network namespaces share the RDMA devices (V(shared)) or not (V(exclusive)).

    :raises OSError: this kernel has no RDMA netlink.
    """
    with Netlink(NETLINK_RDMA) as link:
        for body in link.ask(NLDEV | NLDEV_SYS_GET, b"", dump=False):
            mode = _number(dict(attributes(body)).get(NETNS_MODE))
            if mode is not None:
                return "shared" if mode else "exclusive"
    return None


def parse_addresses(bodies: List[bytes], names: Dict[int, str]) -> Dict[str, List[str]]:
    """Return network device to addresses with prefix length, from the answers to RTM_GETADDR.

    :param names: index of a network device to its name.
    """
    found: Dict[str, List[str]] = {}
    for body in bodies:
        if len(body) < 8:
            continue
        family, prefix, _flags, _scope, index = struct.unpack_from("=BBBBI", body)
        values: Attributes = dict(attributes(body[8:]))
        # Of a point-to-point address IFA_ADDRESS is the other end.
        address = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS) or b""
        if (family, len(address)) in ((socket.AF_INET, 4), (socket.AF_INET6, 16)) and index in names:
            found.setdefault(names[index], []).append(f"{socket.inet_ntop(family, address)}/{prefix}")
    return found


def addresses() -> Dict[str, List[str]]:
    """Return network device to addresses with prefix length.

    :raises OSError: no answer.
    """
    with Netlink(NETLINK_ROUTE) as link:
        return parse_addresses(link.ask(RTM_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)), dict(socket.if_nameindex()))


def parse_dcb(body: bytes) -> Optional[Dict[str, Any]]:
    """Return PFC, ETS and the DSCP map of a DCB_CMD_IEEE_GET answer; None when it holds none of them."""
    ieee: Attributes = dict(attributes(dict(attributes(body[4:])).get(DCB_IEEE, b"")))
    found: Dict[str, Any] = {}
    pfc = ieee.get(IEEE_PFC, b"")
    if len(pfc) >= 2:
        found["pfc"] = [priority for priority in range(8) if pfc[1] >> priority & 1]
    ets = ieee.get(IEEE_ETS, b"")
    if len(ets) >= 35:
        found["ets_percent"] = list(ets[3:11])
        found["priority_to_class"] = list(ets[27:35])
    if IEEE_APP_TABLE in ieee:
        rows = [struct.unpack_from("=BBH", row) for _kind, row in attributes(ieee[IEEE_APP_TABLE]) if len(row) >= 4]
        found["dscp_to_priority"] = {str(code): priority for selector, priority, code in sorted(rows) if selector == SELECTOR_DSCP}
    return found or None


def dcb(names: List[str]) -> Dict[str, Optional[Dict[str, Any]]]:
    """Return the data center bridging settings of network devices, None for one whose driver has none.

    :raises OSError: no answer.
    """
    found: Dict[str, Optional[Dict[str, Any]]] = {}
    with Netlink(NETLINK_ROUTE) as link:
        for name in names:
            body = struct.pack("=BBH", 0, DCB_IEEE_GET, 0) + pack(DCB_IFNAME, name.encode() + b"\0")
            try:
                answers = link.ask(RTM_GETDCB, body, dump=False)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL):
                    raise
                answers = []
            found[name] = parse_dcb(answers[0]) if answers else None
    return found
