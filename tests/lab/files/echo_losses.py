# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings addresses until SIGINT, and prints what came back: address to number sent, numbers lost and the slowest answer, as one JSON object.

echo_losses.py SECONDS ADDRESS...: an echo request to each of them each so many seconds; after the last one answers are waited for for three
seconds, since an emulated processor is slow and loses nothing by that. After ten minutes it ends by itself.
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

REQUEST, REPLY = 8, 0
WAIT_SECONDS = 3.0
MOST_SECONDS = 600.0


def checksum(data: bytes) -> int:
    """Return the sum that an ICMP message bears."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def request(identity: int, number: int) -> bytes:
    """Return an echo request."""
    body = struct.pack("!I", number) + bytes(52)
    plain = struct.pack("!BBHHH", REQUEST, 0, 0, identity, number & 0xFFFF) + body
    return struct.pack("!BBHHH", REQUEST, 0, checksum(plain), identity, number & 0xFFFF) + body


def answer(data: bytes, identity: int) -> tuple[str, int] | None:
    """Return from where an answer to a request of ours came, and its number."""
    source = socket.inet_ntoa(data[12:16])
    data = data[(data[0] & 0xF) * 4 :]
    if len(data) < 12 or data[0] != REPLY or struct.unpack_from("!H", data, 4)[0] != identity:
        return None
    return source, struct.unpack_from("!I", data, 8)[0]


def main(interval: float, addresses: list[str]) -> None:
    """Ping."""
    stopped: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    identity, sent, answered = os.getpid() & 0xFFFF, [], {address: {} for address in addresses}
    connection = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    following, until, last = time.monotonic(), 0.0, time.monotonic() + MOST_SECONDS
    while not until or time.monotonic() < until:
        now = time.monotonic()
        if (stopped or now > last) and not until:
            until = now + WAIT_SECONDS
        if not until and now >= following:
            sent.append(now)
            for address in addresses:
                try:
                    connection.sendto(request(identity, len(sent) - 1), (address, 0))
                except OSError as error:
                    # The neighbour may have been given up for the moment: it is a loss like others.
                    sys.stderr.write(f"{address} {len(sent) - 1}: {error}\n")
            following = max(following + interval, now)
        if not select.select([connection], [], [], 0.01 if until else max(0.0, following - time.monotonic()))[0]:
            continue
        found = answer(connection.recv(2048), identity)
        if found and found[0] in answered:
            answered[found[0]].setdefault(found[1], time.monotonic() - sent[found[1]])
    print(json.dumps({
        address: {"sent": len(sent), "lost": sorted(set(range(len(sent))) - set(rows)), "slowest": max(rows.values(), default=0.0)}
        for address, rows in answered.items()
    }))


main(float(sys.argv[1]), sys.argv[2:])
