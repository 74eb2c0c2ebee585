# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that the lab started: recorded with their start time, so that a process id used again is not mistaken."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Optional

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process id and the start time of that process in clock ticks since the machine's boot."""

    pid: int
    start: int


def parse_stat(text: str) -> tuple[str, int]:
    """Return state and start time from the text of /proc/<pid>/stat; a command name may hold brackets."""
    after_name = text.rpartition(")")[2].split()
    return after_name[0], int(after_name[19])


def read_recorded(path: Path) -> Optional[Process]:
    """Read a file with '<pid> <start time>'; None where there is none or it is not whole."""
    try:
        pid, start = path.read_text(encoding="ascii").split()
        return Process(int(pid), int(start))
    except (OSError, ValueError):
        return None


def identify(pid: int, proc: Path = PROC) -> Optional[Process]:
    """Return the process that has an id now; None where none has."""
    try:
        return Process(pid, parse_stat((proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))[1])
    except (OSError, IndexError, ValueError):
        return None


def is_alive(process: Optional[Process], proc: Path = PROC) -> bool:
    """Tell whether exactly this process runs; a zombie does not."""
    if process is None:
        return False
    try:
        state, start = parse_stat((proc / str(process.pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, IndexError, ValueError):
        return False
    return start == process.start and state not in "ZX"


def send(process: Optional[Process], number: signal.Signals) -> None:
    """Send a signal, to exactly this process or to none."""
    if process is not None and is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.01) -> bool:
    """Wait until a condition holds; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def all_gone(processes: Iterable[Optional[Process]]) -> bool:
    """Tell whether none of these processes runs."""
    return not any(is_alive(each) for each in processes)
