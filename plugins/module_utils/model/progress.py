# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a transfer is: bytes, rate and remaining time, in a file that anybody may read while it runs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional, Tuple

NAME = ".progress.json"
WINDOW = 30.0


# Seconds after which what is written down no longer shows that somebody is at work.
STALE = 120


def at_work(job: str, proc: str = "/proc") -> bool:
    """Return whether a process of an asynchronous job of Ansible is there.

    :param job: its name, C(NAME.NUMBER): NAME is an argument of the program that watches over it.
    """
    wanted = job.partition(".")[0].encode()
    for number in filter(str.isdigit, os.listdir(proc)):
        try:
            with open(os.path.join(proc, number, "cmdline"), "rb") as stream:
                if wanted in stream.read().split(b"\0"):
                    return True
        except OSError:
            continue
    return False


def is_fresh(found: Dict[str, Any]) -> bool:
    """Return whether what was written down is of a moment ago."""
    return abs(time.time() - float(found.get("at", 0))) < STALE


class Meter:
    """Counts bytes and writes them down once a second.

    :param folder: where the file is; None writes none.
    :param total: bytes to come.
    :param said: what else is written down each time.
    """

    def __init__(
        self, folder: Optional[str], total: int, clock: Callable[[], float] = time.monotonic, said: Optional[Dict[str, Any]] = None,
    ) -> None:
        self.total, self.done = total, 0
        self._said = dict(said or {})
        self._folder, self._clock = folder, clock
        self._seen: Deque[Tuple[float, int]] = deque([(clock(), 0)])
        self._written = 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that have come, from any thread."""
        with self._lock:
            self._note(self.done + count, {})

    def set(self, done: int, **more: Any) -> None:
        """Note how many bytes have come in all."""
        with self._lock:
            self._note(done, more)

    def _note(self, done: int, more: Dict[str, Any]) -> None:
        self.done = done
        now = self._clock()
        if now - self._written >= 1 or self._written == 0:
            self._seen.append((now, done))
            while now - self._seen[0][0] > WINDOW and len(self._seen) > 2:
                self._seen.popleft()
            self._written = now
            self._write({**self.state(), **self._said, **more})

    def state(self) -> Dict[str, Any]:
        """Return bytes, bytes per second of the last half minute, and the seconds that are left at this rate (None: unknown)."""
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        rate = (after - before) / (last - first) if last > first else 0.0
        left = round((self.total - self.done) / rate) if rate > 0 else None
        return {"total_bytes": self.total, "done_bytes": self.done, "bytes_per_second": round(rate), "seconds_left": left}

    def _write(self, state: Dict[str, Any]) -> None:
        if self._folder is None:
            return
        path = os.path.join(self._folder, NAME)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump({**state, "at": round(time.time())}, stream)
        os.replace(path + ".new", path)

    def close(self) -> None:
        """Remove the file: nothing is under way any more."""
        if self._folder is not None and os.path.exists(os.path.join(self._folder, NAME)):
            os.remove(os.path.join(self._folder, NAME))
