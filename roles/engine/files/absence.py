# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a prefill instance that has served away until decode has missed it.

Decode knows the ports of prefill's ranks from its first request, and asks anew only after its heartbeat to the bootstrap server has failed
so often in a row (disaggregation/mooncake/conn.py of sglang 0.5.8: twice, 5 s apart). The ports are others after each start. An
instance that is back between two heartbeats therefore never gets another request that ends, although it is healthy. So its start waits
until it has been away for long enough; where it had not served before, decode knows nothing of it, and nothing waits.

    absence.py wait NAME FILE    before the start; the last word of FILE is the number of seconds
    absence.py watch NAME PORT   beside it, in the background: the engine listens on PORT when it serves
    absence.py stopped NAME      after its end

NAME is the path of two empty files, NAME.served and NAME.stopped, the second with the time of the end. One that ends where neither is
may have served: it ran before this program was there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import List, Tuple

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"
PAUSE = 1.0


def listens(table: str, port: int) -> bool:
    """Return whether somebody listens on a port, by a kernel's table (proc_net_tcp.rst)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return any(len(words) > 3 and words[3] == LISTEN and words[1].endswith(f":{port:04X}") for words in rows)


def serves(port: int) -> bool:
    """Return whether somebody on this host listens on a port; where the kernel does not tell, at the next look perhaps."""
    try:
        texts = [Path(path).read_text(encoding="ascii") for path in TABLES if os.path.exists(path)]
    except OSError:
        return False
    return any(listens(text, port) for text in texts)


def say(text: str) -> None:
    """Write a line to the unit's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def marks(name: str) -> Tuple[Path, Path]:
    """Return the files that say that the engine serves, and when the last one that has served ended."""
    return Path(f"{name}.served"), Path(f"{name}.stopped")


def left(name: str, seconds: float, now: float) -> float:
    """Return the seconds that are left to wait.

    :param now: seconds since the epoch. A clock that was set back in between makes it wait no longer than told.
    """
    _served, stopped = marks(name)
    return max(0.0, min(seconds, stopped.stat().st_mtime + seconds - now)) if stopped.exists() else 0.0


def stop(name: str) -> None:
    """Note the end of an engine that has served."""
    served, stopped = marks(name)
    if served.exists() or not stopped.exists():
        # Both may be another user's, of a unit that ran as one.
        if stopped.exists():
            stopped.unlink()
        stopped.touch()
        if served.exists():
            served.unlink()


def wait(name: str, seconds: float) -> None:
    """Wait until decode has missed what ran before."""
    served, _stopped = marks(name)
    try:
        # An end that nobody has noted was just now, for all that is known.
        if served.exists():
            stop(name)
        rest = left(name, seconds, time.time())
    except OSError as error:
        say(f"{error.filename}: {error.strerror}, so that nobody knows when this instance ended")
        rest = seconds
    if rest > 0:
        say(f"waits {rest:.1f} s: back within {seconds:g} s of its end, this instance would not be missed by decode")
        time.sleep(rest)


def watch(name: str, port: int) -> None:
    """Note that the engine serves, once it does."""
    while not serves(port):
        time.sleep(PAUSE)
    marks(name)[0].touch()


def main(words: List[str]) -> None:
    """Do what is told."""
    what, name, *number = words
    if what == "wait":
        wait(name, float(Path(number[0]).read_text(encoding="utf-8").split()[-1]))
    elif what == "stopped":
        stop(name)
    elif not os.fork():
        watch(name, int(number[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
