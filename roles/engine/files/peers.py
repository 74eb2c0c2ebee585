# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a rank whose instance has lost another one, so that systemd starts all of them again.

With NCCL the ranks that are left hang until the engine's watchdog ends them (300 s by default, sglang 0.5.8 utils/watchdog.py). But every
process of a rank keeps a TCP connection to torch's store, which rank 0 serves at the port of --dist-init-addr, for as long as it lives, and
the kernel ends it with the process, however that dies. Nothing is sent to anybody: only the kernel's table of connections is read.

    MAINPID=PID peers.py serve|join PORT ADDRESS=NAME [ADDRESS=NAME ...]

PID is the unit's main process, as systemd tells it. C(serve) is rank 0, at whose PORT the store is; its ADDRESSes are those from which
other ranks may come, and its own processes count, too. The others C(join) it; their ADDRESSes are those of rank 0. It goes to the
background and stays in the unit's control group, so that it ends with the unit. A connection counts when it has lasted SETTLED seconds.

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
# Seconds between two looks, and how long a connection lasts that counts: whoever probes a port is gone at the next look.
PAUSE = SETTLED = 2.0
# The table changes while it is read: what one look misses may be there.
MISSES = 2
OWN = "another process of this rank"


def address(text: str) -> str:
    """Return an address of the kernel's table as people write it: IPv4 also where a socket of IPv6 carries it."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(raw) == 4:
        return str(ipaddress.IPv4Address(raw))
    wide = ipaddress.IPv6Address(raw)
    return str(wide.ipv4_mapped or wide)


def connections(table: str, port: int, serves: bool) -> Iterator[Connection]:
    """Yield the established connections of a kernel's table (proc_net_tcp.rst) with the store.

    :param serves: whether the store is here; the port of one side alone says nothing, others may use it, too.
    """
    wanted, side = f":{port:04X}", 1 if serves else 2
    for line in table.splitlines()[1:]:
        words = line.split() if wanted in line else ()
        if len(words) > 3 and words[3] == ESTABLISHED and words[side].endswith(wanted):
            (here, own), (there, other) = (word.rsplit(":", 1) for word in words[1:3])
            yield address(here), int(own, 16), address(there), int(other, 16)


class Watch:
    """What was seen of the connections with the store.

    :param names: names of the other ranks, by address.
    :param serves: whether the store is here: then a connection of this host with itself is one of this rank's own processes.
    """

    def __init__(self, names: Dict[str, str], serves: bool) -> None:
        self._names, self._serves = names, serves
        self._first: Dict[Connection, float] = {}
        self._last: Dict[Connection, float] = {}
        self._missed: Dict[Connection, int] = {}
        self._told: Set[str] = set()

    def _name(self, row: Connection) -> str:
        """Return whose a connection is, empty where that is not known."""
        return OWN if self._serves and row[0] == row[2] else self._names.get(row[2], "")

    def _settled(self, row: Connection) -> bool:
        return self._last[row] - self._first[row] >= SETTLED

    def look(self, found: Iterable[Connection], now: float) -> str:
        """Take in what there is, and return the name of a rank that is gone, empty where none is.

        :param now: seconds of a clock that is never set.
        """
        here = set(found)
        for row in here:
            self._first.setdefault(row, now)
            self._last[row] = now
            self._missed[row] = 0
        for row in [row for row in self._first if row not in here]:
            self._missed[row] += 1
            if not self._settled(row) or not self._name(row):
                for rows in (self._first, self._last, self._missed):
                    del rows[row]
            elif self._missed[row] >= MISSES:
                return self._name(row)
        return ""

    def news(self) -> List[str]:
        """Return what is to be said of settled connections: of each rank, and of each address that is no rank's, once."""
        rows = [row for row in self._first if self._settled(row)]
        said = {
            f"watches {self._name(row)}" if self._name(row) else f"does not watch {row[2]}, which is no known address of a rank": None
            for row in rows
        }
        new = [text for text in said if text not in self._told]
        self._told.update(new)
        return new


def read(port: int, serves: bool) -> List[Connection]:
    """Return the connections of this host with the store; IPv6 may be switched off."""
    texts = [Path(path).read_text(encoding="ascii") for path in TABLES if os.path.exists(path)]
    return [row for text in texts for row in connections(text, port, serves)]


def say(text: str) -> None:
    """Write a line to the unit's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(words: List[str]) -> None:
    """Watch until a rank is gone."""
    pid, serves, port = int(os.environ["MAINPID"]), words[0] == "serve", int(words[1])
    watch = Watch(dict(word.split("=", 1) for word in words[2:]), serves)
    if os.fork():
        return
    while True:
        time.sleep(PAUSE)
        try:
            found = read(port, serves)
        except OSError:
            # No look: neither is anybody missed.
            continue
        gone = watch.look(found, time.monotonic())
        for text in watch.news():
            say(f"peers.py {text}")
        if gone:
            say(f"{gone} is gone: its connection to torch's store at port {port} has ended; this rank ends and starts again")
            os.kill(pid, signal.SIGKILL)
            return


if __name__ == "__main__":
    main(sys.argv[1:])
