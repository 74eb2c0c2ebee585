# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign protocols on a port: a length that is too large is text of somebody who speaks something else."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# First bytes of protocols, and who speaks them.
OPENINGS = (
    (b"SSH-", "SSH: a port scan or a check by SSH"),
    (b"\x16\x03", "TLS: a client that expects HTTPS, or a port scan"),
    (b"PRI * HT", "HTTP/2: a gRPC client or a probe"),
    (b"HTTP/", "HTTP: an answer of a server"),
    (b"*1\r\n", "Redis"),
    (b"\xffSMB", "SMB: a file server's client or a scan"),
    (b"\x03\x00\x00", "RDP: a scan"),
    (b"\xff\x00\x00\x00\x00\x00\x00\x00", "ZeroMQ: an engine that dials the wrong port"),
    (b"\x80\x00\x00", "RPC: NFS or portmap"),
    (b"EHLO ", "SMTP"),
    (b"\x00\x00\x00", "a length in the other byte order"),
)
VERBS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ", b"PATCH ", b"TRACE ")


@dataclass(frozen=True)
class Foreign:
    """What a number is when it is read as bytes.

    :ivar text: its bytes as text, with dots for what cannot be printed.
    :ivar protocol: whose it is, as a phrase; empty where it is not known.
    """

    text: str
    protocol: str = ""


def _protocol(data: bytes) -> str:
    if any(verb.startswith(data[:4]) or data.startswith(verb) for verb in VERBS) and len(data) >= 4:
        if data.startswith(b"GET /met"):
            return "HTTP: a scraper of metrics"
        return "HTTP: a scraper, a health check or a browser"
    return next((who for opening, who in OPENINGS if data.startswith(opening)), "")


def decode(number: str) -> Foreign:
    """Return what a number, in decimal or 0x form, is as bytes.

    Lengths are 32 or 64 bits in either byte order, signed or not; the order that gives a known protocol wins, else the more readable one.
    """
    try:
        value = int(number, 16 if number.lower().startswith("0x") else 10)
    except ValueError:
        return Foreign("")
    if not -(1 << 63) <= value < 1 << 64:
        return Foreign("")
    value &= (1 << 64) - 1
    orders = [struct.pack("<Q", value), struct.pack(">Q", value)]
    if value < 1 << 32:
        orders = [struct.pack("<I", value), struct.pack(">I", value)]
    elif value >> 32 == 0xFFFFFFFF:
        orders += [struct.pack("<I", value & 0xFFFFFFFF), struct.pack(">I", value & 0xFFFFFFFF)]

    def worth(data: bytes) -> tuple[bool, int]:
        return bool(_protocol(data)) and not data.startswith(b"\0"), sum(32 <= byte < 127 for byte in data)

    best = max(orders, key=worth)
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in best)
    protocol = _protocol(best)
    printable = sum(32 <= byte < 127 for byte in best)
    if not protocol and printable < 3:
        return Foreign(text, "not text")
    return Foreign(text, protocol or "text of an unknown protocol")
