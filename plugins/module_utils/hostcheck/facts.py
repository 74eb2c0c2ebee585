# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, as far as a plan can clash with it: addresses, listening sockets, port ranges, proxies, kernel options.

Everything is read below a root path, so that a captured tree can be replayed; what is not a file comes by an injected runner.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.services.units import DIRECTORY, marked

Runner = Callable[[List[str]], Tuple[int, str, str]]
UNIT = re.compile(r"([\w.@\\-]+\.service)")
LISTEN = "0A"


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
class Host:
    """Facts of one host that preflight compares with the plan.

    :ivar own_units: units that an earlier run installed for this cluster.
    """

    addresses: Dict[str, str] = field(default_factory=dict)
    listeners: List[Listener] = field(default_factory=list)
    ephemeral: Tuple[int, int] = (32768, 60999)
    reserved: str = ""
    ipv6_disabled: bool = False
    systemd: bool = False
    shm_bytes: int = 0
    proxies: Dict[str, str] = field(default_factory=dict)
    own_units: List[str] = field(default_factory=list)


def _read(root: str, path: str) -> str:
    try:
        with open(root.rstrip("/") + path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def parse_addresses(text: str) -> Dict[str, str]:
    """Return address to interface name, from the output of C(ip -json address)."""
    found = {}
    for link in json.loads(text or "[]"):
        for row in link.get("addr_info", []):
            found[row["local"]] = link.get("ifname", "")
    return found


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
            found[words[9]] = (_address(address), int(port, 16))
    return found


def unit_of(cgroup: str) -> str:
    """Return the service that a C(/proc/PID/cgroup) text places a process in, or an empty text."""
    for line in reversed(cgroup.splitlines()):
        found = UNIT.findall(line)
        if found:
            return found[-1]
    return ""


def _links(directory: str) -> List[str]:
    """Return the targets of the links in a directory; one that goes away meanwhile is left out, not the others."""
    found = []
    try:
        for name in os.listdir(directory):
            try:
                found.append(os.readlink(os.path.join(directory, name)))
            except FileNotFoundError:
                continue
    except OSError:
        pass
    return found


def _listeners(root: str) -> List[Listener]:
    inodes: Dict[str, Tuple[str, int]] = {}
    for table in ("tcp", "tcp6"):
        inodes.update(listening_sockets(_read(root, "/proc/net/" + table)))
    owners: Dict[str, int] = {}
    for entry in os.listdir(root.rstrip("/") + "/proc"):
        directory = f"{root.rstrip('/')}/proc/{entry}/fd"
        if not entry.isdigit():
            continue
        for link in _links(directory):
            inode = link[8:-1] if link.startswith("socket:[") else ""
            if inode in inodes:
                owners[inode] = int(entry)
    found = []
    for inode, (address, port) in inodes.items():
        pid = owners.get(inode, 0)
        command = _read(root, f"/proc/{pid}/comm").strip() if pid else ""
        unit = unit_of(_read(root, f"/proc/{pid}/cgroup")) if pid else ""
        found.append(Listener(port, pid, command, unit, address))
    return found


def _ephemeral(root: str) -> Tuple[int, int]:
    words = _read(root, "/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (32768, 60999)


def _proxies(environment: str) -> Dict[str, str]:
    pairs = (line.split("=", 1) for line in environment.splitlines() if "=" in line)
    return {name: value for name, value in pairs if name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value}


def _shm_bytes(root: str) -> int:
    try:
        status = os.statvfs(root.rstrip("/") + "/dev/shm")
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize


def read(run: Runner, root: str = "/", cluster: str = "") -> Host:
    """Read the facts of a host; what cannot be read keeps its default.

    :param run: runs a command and returns its exit status, output and errors.
    :param cluster: name of the cluster whose units are the host's own.
    """
    rc, out, _err = run(["ip", "-json", "address", "show"])
    addresses = parse_addresses(out) if rc == 0 else {}
    rc, manager, _err = run(["systemctl", "show-environment"])
    return Host(
        addresses=addresses,
        listeners=_listeners(root),
        ephemeral=_ephemeral(root),
        reserved=_read(root, "/proc/sys/net/ipv4/ip_local_reserved_ports").strip(),
        ipv6_disabled="ipv6.disable=1" in _read(root, "/proc/cmdline").split(),
        systemd=os.path.isdir(root.rstrip("/") + "/run/systemd/system"),
        shm_bytes=_shm_bytes(root),
        proxies=_proxies(manager) if rc == 0 else {},
        own_units=sorted(marked(cluster, root.rstrip("/") + DIRECTORY)),
    )


def reserved_ports(text: str) -> List[Tuple[int, int]]:
    """Return the ranges of C(ip_local_reserved_ports), for example C(5000,30000-30010)."""
    ranges = []
    for part in filter(None, text.split(",")):
        low, _dash, high = part.partition("-")
        ranges.append((int(low), int(high or low)))
    return ranges


def holders(host: Host, port: int, address: str) -> List[Listener]:
    """Return who keeps a process from binding a port of an address; an empty address stands for all of them."""
    return [row for row in host.listeners if row.port == port and (not address or row.address in (address, "0.0.0.0", "::"))]
