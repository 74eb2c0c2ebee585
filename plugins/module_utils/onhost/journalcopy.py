# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded copy of a host's journal, packed as it comes: C(module.run_command) would hold all of it in memory.

Nothing is written to a disk here: that one is full may be what is to be found out.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
import os
import re
import subprocess
import threading
from dataclasses import dataclass, field
from typing import IO, Deque, Dict, Iterator, List, Optional, Tuple

FIELDS = "MESSAGE,_HOSTNAME,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,_COMM,_PID,_TRANSPORT,PRIORITY"
ENTRY = b"__CURSOR="
# Between two entries.
BETWEEN = b"\n\n" + ENTRY
TIME = re.compile(rb"^__REALTIME_TIMESTAMP=(\d+)$", re.M)
PIECE, PART = 1 << 16, 1 << 20
# Of the beginning of each unit: arguments, addresses and versions stand there.
HEAD_ENTRIES, HEAD_BYTES = 3000, 4 << 20
PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus", "InvocationID", "ControlGroup")


def shares(lines: int) -> Tuple[int, int]:
    """Return how many messages of the units are kept, and of the kernel."""
    return lines, max(1, lines // 10)


def commands(units: List[str], since: str, lines: int) -> List[List[str]]:
    """Return the calls of journalctl: of the units, and of the kernel; each asks for one message more than are kept, to know of it."""
    common = ["journalctl", "--quiet", "--no-pager", "--output=export", "--output-fields=" + FIELDS, "--since=" + since]
    own, kernel = shares(lines)
    return [
        [*common, f"--lines={own + 1}", *["--unit=" + unit for unit in units]],
        # --dmesg would leave out what was before a reboot: it implies --boot (journalctl(1)).
        [*common, f"--lines={kernel + 1}", "_TRANSPORT=kernel"],
    ]


def head_command(invocation: str) -> List[str]:
    """Return the call of journalctl for all that one start of a unit has said, the oldest first."""
    return ["journalctl", "--quiet", "--no-pager", "--output=export", "--output-fields=" + FIELDS, "_SYSTEMD_INVOCATION_ID=" + invocation]


def show_command(units: List[str]) -> List[str]:
    """Return the call of systemctl for the states of units."""
    return ["systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", *units]


def parse_states(text: str) -> List[Dict[str, str]]:
    """Return the states of units from what systemctl show wrote: of each unit its properties, by their names."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        row = {name: value for name, sign, value in (line.partition("=") for line in block.splitlines()) if sign and name in PROPERTIES}
        if row.get("Id"):
            found.append(row)
    return found


@dataclass
class Copied:
    """What of a call was kept, packed: the newest entries where there is no room for all.

    :ivar parts: members of a gzip file, with the bytes and entries that each holds.
    :ivar cut: whether there was more.
    :ivar told: what the program said where it failed.
    """

    parts: Deque[Tuple[int, int, bytes]] = field(default_factory=collections.deque)
    size: int = 0
    entries: int = 0
    cut: bool = False
    told: str = ""

    def add(self, data: bytes, room: int) -> None:
        """Keep some entries, and forget the oldest for which there is no room any more."""
        count = data.count(BETWEEN) + data.startswith(ENTRY)
        self.parts.append((len(data), count, gzip.compress(data, 1, mtime=0)))
        self.size += len(data)
        self.entries += count
        while self.size > room:
            size, gone, _packed = self.parts.popleft()
            self.size -= size
            self.entries -= gone
            self.cut = True

    def first(self) -> Optional[int]:
        """Return the time of the oldest entry, in microseconds since 1970; None where there is none."""
        found = TIME.search(gzip.decompress(self.parts[0][2])) if self.parts else None
        return int(found[1]) if found is not None else None

    def write(self, out: IO[bytes]) -> None:
        """Write it."""
        for _size, _count, packed in self.parts:
            out.write(packed)


@contextlib.contextmanager
def _running(command: List[str], timeout: int) -> Iterator[Tuple[IO[bytes], IO[bytes], subprocess.Popen[bytes]]]:
    """Run a program for at most so many seconds; what it says of errors is kept in memory."""
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(os.fdopen(os.memfd_create("errors"), "w+b"))
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL))
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            if process.stdout is not None:
                yield process.stdout, errors, process
        finally:
            timer.cancel()


def copy(command: List[str], room: int, timeout: int, lines: int = 0) -> Copied:
    """Run one call and keep the newest of what it writes.

    :param room: bytes that are kept, before they are packed.
    :param lines: messages that were to be kept: where there are more, older ones are missing; 0 where there is no such limit.
    """
    kept = Copied()
    with _running(command, timeout) as (output, errors, process):
        held = b""
        while True:
            data = output.read(PIECE)
            held += data
            if not data or len(held) >= PART:
                at = held.rfind(BETWEEN) + 2 if data else len(held)
                if at < 2 and len(held) >= 8 * PART:
                    at = len(held)
                if at >= 2:
                    kept.add(held[:at], room)
                    held = held[at:]
            if not data:
                break
        code = process.wait()
        errors.seek(0)
        told = errors.read(2000).decode("utf-8", "replace").strip()
    kept.cut |= 0 < lines < kept.entries
    if code < 0:
        kept.cut = True
    elif code > 0:
        kept.told = told or f"exit status {code}"
    return kept


def head(command: List[str], before: Optional[int], timeout: int) -> Copied:
    """Run one call and keep the first entries of what it writes.

    :param before: microseconds since 1970 from which on the entries are kept already; None where none are.
    """
    kept = Copied()
    with _running(command, timeout) as (output, _errors, process):
        held, full = b"", False
        while not full and kept.size + len(held) < HEAD_BYTES:
            data = output.read(PIECE)
            held += data
            entries = held.split(BETWEEN)
            whole, held = (entries[:-1], entries[-1]) if data else (entries, b"")
            if held and not held.startswith(ENTRY):
                held = ENTRY + held
            chosen: List[bytes] = []
            for entry in whole:
                text = entry if entry.startswith(ENTRY) else ENTRY + entry
                time = TIME.search(text)
                full = kept.entries + len(chosen) >= HEAD_ENTRIES or (before is not None and time is not None and int(time[1]) >= before)
                if full:
                    break
                if text.strip() != ENTRY:
                    chosen.append(text.rstrip(b"\n") + b"\n\n")
            if chosen:
                kept.add(b"".join(chosen), HEAD_BYTES * 2)
            if not data:
                break
        process.kill()
    return kept
