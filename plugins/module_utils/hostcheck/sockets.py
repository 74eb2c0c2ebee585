# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening TCP sockets of a host with the processes that hold them, and who holds GPUs: one walk over the processes."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

UNIT = re.compile(r"([\w.@\\-]+\.service)")
LISTEN = "0A"
EVERY = ("0.0.0.0", "::")
# What a process that computes on a GPU has open; the control devices are open in monitors, too.
GPU = re.compile(r"/dev/(nvidia[0-9]+|dri/renderD[0-9]+|kfd)")


@dataclass
class Listener:
    """A listening TCP socket.

    :ivar port: its port.
    :ivar pid: the process that holds it, 0 when it could not be found.
    :ivar command: that process's command name.
    :ivar unit: the systemd unit it belongs to, or an empty text.
    :ivar address: the address that it is bound to.
    """

    port: int
    pid: int = 0
    command: str = ""
    unit: str = ""
    address: str = "0.0.0.0"


@dataclass
class Open:
    """What the processes have open.

    :ivar known: whether the processes could be looked at.
    :ivar partial: whether some of them could not: a plain user sees no other's.
    :ivar sockets: inode of a socket to a process that holds it.
    :ivar gpus: process to the names of GPU devices that it holds.
    """

    known: bool = False
    partial: bool = False
    sockets: Dict[str, int] = field(default_factory=dict)
    gpus: Dict[int, Set[str]] = field(default_factory=dict)


def _address(text: str) -> str:
    """Return the address of a hexadecimal field of C(/proc/net/tcp): 32-bit words in the machine's byte order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def listening_sockets(text: str) -> Dict[str, Tuple[str, int]]:
    """Return socket inode to address and port for every listening socket of C(/proc/net/tcp) or C(tcp6)."""
    found = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == LISTEN:
            address, _colon, port = words[1].rpartition(":")
            try:
                found[words[9]] = (_address(address), int(port, 16))
            except (ValueError, OSError):
                continue
    return found


def unit_of(cgroup: str) -> str:
    """Return the service that a C(/proc/PID/cgroup) text places a process in, or an empty text."""
    for line in reversed(cgroup.splitlines()):
        found = UNIT.findall(line)
        if found:
            return found[-1]
    return ""


def _links(directory: str, found: Open) -> Iterator[str]:
    """Give the targets of the links in a directory; one that goes away meanwhile is left out, not the others."""
    try:
        names = os.listdir(directory)
    except PermissionError:
        found.partial = True
        return
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(os.path.join(directory, name))
        except OSError:
            continue


def open_files(root: Root) -> Open:
    """Return what the processes have open of what matters here."""
    found = Open()
    base = root.outside("/proc")
    if base is None:
        return found
    try:
        entries = os.listdir(base)
    except OSError:
        return found
    found.known = True
    for entry in entries:
        # Hundreds of thousands of links on a busy host: read them straight, they are shown and never followed.
        # In a captured tree either may be a link that leads out of it.
        own = entry.isdigit() and not any(os.path.islink(f"{base}/{entry}{part}") for part in ("", "/fd"))
        for target in _links(f"{base}/{entry}/fd", found) if own else ():
            if target.startswith("socket:["):
                found.sockets[target[8:-1]] = int(entry)
            else:
                device = GPU.fullmatch(target)
                if device:
                    found.gpus.setdefault(int(entry), set()).add(device.group(1))
    return found


def who(root: Root, pid: int) -> Tuple[str, str]:
    """Return the command name and the unit of a process, each empty where it cannot be read."""
    if not pid:
        return "", ""
    return root.read(f"/proc/{pid}/comm") or "", unit_of(root.read(f"/proc/{pid}/cgroup") or "")


def plain(address: str) -> str:
    """Return an address in its only spelling, and the IPv4 one of an IPv6 socket (C(::ffff:192.0.2.1)) as what it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def listeners(root: Root, held: Open) -> List[Listener]:
    """Return all listening TCP sockets.

    :param held: what C(open_files) returned.
    """
    inodes: Dict[str, Tuple[str, int]] = {}
    for table in ("tcp", "tcp6"):
        inodes.update(listening_sockets(root.read(f"/proc/net/{table}", 1 << 26) or ""))
    found = []
    for inode, (address, port) in inodes.items():
        pid = held.sockets.get(inode, 0)
        found.append(Listener(port, pid, *who(root, pid), address))
    return found


def holders(rows: List[Listener], port: int, address: str) -> List[Listener]:
    """Return who keeps a process from binding a port of an address; an empty address stands for all of them."""
    wanted = plain(address)
    # An IPv4 socket of all addresses leaves those of IPv6 free; one of IPv6 takes both, unless it was told not to.
    blocking = (wanted, "::") if ":" in wanted else (wanted, EVERY[0], "::")
    return [row for row in rows if row.port == port and (wanted in ("", *EVERY) or plain(row.address) in blocking)]
