# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings an address in a VLAN until SIGINT, as echo_losses.py does without one, and prints the same.

tagged_echo.py SECONDS INTERFACE VLAN OWN ADDRESS: frames with the VLAN's tag are sent and taken by INTERFACE itself, with OWN as this end's
address, so that the kernel of this machine needs to know nothing of VLANs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import time

ALL, TAG, ARP, IP = 0x0003, 0x8100, 0x0806, 0x0800
ASK, TELL, REQUEST, REPLY, ICMP = 1, 2, 8, 0, 1
# Of linux/if_packet.h; the kernel takes the tag out of a frame and tells it beside it.
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 1 << 4
EVERYBODY = b"\xff" * 6
WAIT_SECONDS, MOST_SECONDS, RESOLVE_SECONDS = 3.0, 600.0, 60.0


def checksum(data: bytes) -> int:
    """Return the sum that headers of IP and ICMP messages bear."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Vlan:
    """One end in a VLAN.

    :ivar mac: of the other end, once it is known.
    """

    def __init__(self, interface: str, number: int, own: str, address: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((interface, ALL))
        self.own_mac: bytes = self.socket.getsockname()[4]
        self.number, self.own, self.address = number, socket.inet_aton(own), socket.inet_aton(address)
        self.mac = b""
        self.identity = os.getpid() & 0xFFFF

    def _send(self, target: bytes, kind: int, body: bytes) -> None:
        self.socket.send(target + self.own_mac + struct.pack("!HHH", TAG, self.number, kind) + body.ljust(46, b"\0"))

    def arp(self, operation: int, target: bytes, address: bytes) -> None:
        """Ask who has an address, or tell that this end has its own."""
        body = struct.pack("!HHBBH", 1, IP, 6, 4, operation) + self.own_mac + self.own + target + address
        self._send(EVERYBODY if operation == ASK else target, ARP, body)

    def ping(self, number: int) -> None:
        """Send an echo request."""
        message = struct.pack("!BBHHHI", REQUEST, 0, 0, self.identity, number & 0xFFFF, number) + bytes(52)
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), number & 0xFFFF, 0, 64, ICMP, 0) + self.own + self.address
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        self._send(self.mac, IP, head + message)

    def take(self) -> int | None:
        """Take a frame, answer it where that is asked for, and return the number of the request that it answers."""
        data, told, _flags, _source = self.socket.recvmsg(2048, 64)
        kind = struct.unpack_from("!H", data, 12)[0]
        tag = None
        for level, what, beside in told:
            if (level, what) == (SOL_PACKET, PACKET_AUXDATA):
                status, tci = struct.unpack_from("I", beside)[0], struct.unpack_from("H", beside, 16)[0]
                tag = tci & 0xFFF if status & VLAN_VALID else None
        if tag is None and kind == TAG:
            tag, kind = struct.unpack_from("!H", data, 14)[0] & 0xFFF, struct.unpack_from("!H", data, 16)[0]
            data = data[:12] + data[16:]
        body = data[14:]
        if tag != self.number or data[6:12] == self.own_mac:
            return None
        if kind == ARP and len(body) >= 28:
            operation, sender, source, wanted = struct.unpack_from("!H", body, 6)[0], body[8:14], body[14:18], body[24:28]
            if source == self.address:
                self.mac = sender
            if operation == ASK and wanted == self.own:
                self.arp(TELL, sender, source)
        if kind == IP and body[9:10] == bytes([ICMP]) and body[12:16] == self.address and body[16:20] == self.own:
            message = body[(body[0] & 0xF) * 4 :]
            if len(message) >= 12 and message[0] == REPLY and struct.unpack_from("!H", message, 4)[0] == self.identity:
                return int(struct.unpack_from("!I", message, 8)[0])
        return None


def main(interval: float, vlan: Vlan, address: str) -> None:
    """Ping."""
    stopped: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    sent: list[float] = []
    answered: dict[int, float] = {}
    begun = following = time.monotonic()
    until = 0.0
    while not until or time.monotonic() < until:
        now = time.monotonic()
        if (stopped or now > begun + MOST_SECONDS) and not until:
            until = now + WAIT_SECONDS
        if not until and now >= following:
            if vlan.mac:
                sent.append(now)
                vlan.ping(len(sent) - 1)
            elif now > begun + RESOLVE_SECONDS:
                sys.exit(f"nobody has {address} in the VLAN")
            else:
                vlan.arp(ASK, bytes(6), vlan.address)
            following = max(following + interval, now)
        if select.select([vlan.socket], [], [], 0.01 if until else max(0.0, following - time.monotonic()))[0]:
            number = vlan.take()
            if number is not None and number < len(sent):
                answered.setdefault(number, time.monotonic() - sent[number])
    lost = sorted(set(range(len(sent))) - set(answered))
    print(json.dumps({address: {"sent": len(sent), "lost": lost, "slowest": max(answered.values(), default=0.0)}}))


main(float(sys.argv[1]), Vlan(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]), sys.argv[5])
