# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a rank whose instance has lost another one, so that systemd starts all of them again.

With NCCL the ranks that are left hang until the engine's watchdog ends them (300 s by default, sglang 0.5.8 utils/watchdog.py). But every
rank keeps a TCP connection to torch's store, which rank 0 serves at the port of --dist-init-addr, for as long as it lives, and the kernel
ends it with the process, however that dies. Nothing is sent to anybody: only the kernel's table of connections is read.

    MAINPID=PID peers.py PORT ADDRESS=NAME [ADDRESS=NAME ...]

PID is the unit's main process, as systemd tells it, PORT that of the store, ADDRESS one from which another rank may connect to it, or the
one of rank 0; several may have one NAME. It goes to the background and stays in the unit's control group, so that it ends with the unit. A
connection counts when it has lasted SETTLED seconds: whoever scans or scrapes the port is no rank.

A host that loses its power ends no connection: for that there are the router's health check and the engine's watchdog.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set, Tuple

#: Address and port of this side, and of the other one.
Connection = Tuple[str, int, str, int]

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ESTABLISHED = "01"
# Seconds between two looks, and from which age on a connection counts.
PAUSE, SETTLED = 2.0, 10.0
# The table changes while it is read: what one look misses may be there.
MISSES = 2


def address(text: str) -> str:
    """Return an address of the kernel's table as people write it: IPv4 also where a socket of IPv6 carries it."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(raw) == 4:
        return str(ipaddress.IPv4Address(raw))
    wide = ipaddress.IPv6Address(raw)
    return str(wide.ipv4_mapped or wide)


def connections(table: str, port: int) -> Iterator[Connection]:
    """Yield the established connections of a kernel's table (proc_net_tcp.rst) with a port on one of their sides."""
    wanted = f":{port:04X}"
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and words[3] == ESTABLISHED and (words[1].endswith(wanted) or words[2].endswith(wanted)):
            (here, own), (there, other) = (word.rsplit(":", 1) for word in words[1:3])
            yield address(here), int(own, 16), address(there), int(other, 16)


class Watch:
    """What was seen of the connections with other ranks.

    :param names: names of the ranks, by address.
    """

    def __init__(self, names: Dict[str, str]) -> None:
        self._names = names
        self._since: Dict[Connection, float] = {}
        self._missed: Dict[Connection, int] = {}

    def look(self, found: Iterable[Connection], now: float) -> str:
        """Take in what there is, and return the name of a rank that is gone, empty where none is.

        :param now: seconds of a clock that is never set.
        """
        # Both sides of a host's connection with itself are in its table.
        here: Set[Connection] = {row for row in found if row[2] in self._names and row[0] != row[2]}
        for row in here:
            self._since.setdefault(row, now)
            self._missed.pop(row, None)
        for row in [row for row in self._since if row not in here]:
            if now - self._since[row] < SETTLED:
                del self._since[row]
                continue
            self._missed[row] = self._missed.get(row, 0) + 1
            if self._missed[row] >= MISSES:
                return self._names[row[2]]
        return ""


def read(port: int) -> List[Connection]:
    """Return the connections of this host; IPv6 may be switched off."""
    return [row for path in TABLES if os.path.exists(path) for row in connections(Path(path).read_text(encoding="ascii"), port)]


def main(words: List[str]) -> None:
    """Watch until a rank is gone."""
    pid, port = int(os.environ["MAINPID"]), int(words[0])
    watch = Watch(dict(word.split("=", 1) for word in words[1:]))
    if os.fork():
        return
    while True:
        time.sleep(PAUSE)
        gone = watch.look(read(port), time.monotonic())
        if gone:
            sys.stdout.write(f"{gone} is gone: its connection to torch's store at port {port} has ended; this rank ends and starts again\n")
            sys.stdout.flush()
            os.kill(pid, signal.SIGKILL)
            return


if __name__ == "__main__":
    main(sys.argv[1:])
