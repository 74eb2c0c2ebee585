# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab's host, ahead of everything else there: sees each step of a transaction of nic_names as it happens, and cuts one off.

journal_watch.py DIRECTORY ACTION STEP writes each step to DIRECTORY/steps. ACTION is "list", or what is done as soon as that step is
seen for the first time: "kill" ends the process that renames by SIGKILL, "reset" starts the machine anew as after a power cut, with nothing
written that was not on the disk already. It ends at "kill", when DIRECTORY/stop is made, or after ten minutes.

A step is a file that appears in, or goes from, a directory of the journal or of those files that a renaming writes; and a line of the
journal's log.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path

STATE = "/var/lib/railyard.sglang"
JOURNAL = STATE + "/nic-names"
PENDING = JOURNAL + "/pending"
DIRECTORIES = (
    "/var/lib",
    STATE,
    JOURNAL,
    PENDING,
    "/etc/systemd/network",
    "/etc/systemd/system",
    "/etc/NetworkManager/system-connections",
)
HOLDER = "/run/railyard-nic-names.lock"
MODIFY, MOVED_TO, CREATE, DELETE, ONLY_DIRECTORY = 0x2, 0x80, 0x100, 0x200, 0x01000000
ENTRY = struct.Struct("iIII")
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Sees the steps."""

    def __init__(self, directory: Path, action: str, last: str) -> None:
        self.directory, self.action, self.last = directory, action, last
        self.lines = 0
        self.watched: dict[int, str] = {}
        self.handle: int = LIBC.inotify_init1(os.O_NONBLOCK)

    def add(self, path: str) -> None:
        """Look at a directory, where it is there."""
        number = LIBC.inotify_add_watch(self.handle, path.encode(), MODIFY | MOVED_TO | CREATE | DELETE | ONLY_DIRECTORY)
        if number >= 0:
            self.watched[number] = path
            if path == PENDING:
                self.lines = 0

    def write(self, text: str) -> None:
        """Tell what was seen."""
        with (self.directory / "steps").open("a") as stream:
            stream.write(text + "\n")

    def step(self, text: str) -> None:
        """Tell of a step, and cut off at it where that was asked for."""
        if text == self.last and self.action == "reset":
            Path("/proc/sysrq-trigger").write_text("b")
        if text == self.last and self.action == "kill":
            os.kill(int(Path(HOLDER).read_text()), signal.SIGKILL)
            self.write(text + "\nkilled")
            sys.exit(0)
        self.write(text)

    def log(self) -> None:
        """Tell of the new lines of the journal's log."""
        try:
            lines = Path(PENDING, "log").read_text().splitlines()
        except OSError:
            return
        for line in lines[self.lines :]:
            self.step("log " + line.partition(" ")[2])
        self.lines = len(lines)

    def event(self, path: str, mask: int, name: str) -> None:
        """Take what the kernel tells of a directory."""
        if path == PENDING and name == "log":
            self.log()
        elif mask & MODIFY or name.endswith("railyard-unfinished") or (path == "/var/lib" and not STATE.endswith("/" + name)):
            return
        else:
            # What was made in a directory before it is watched is seen by nobody: directories are watched first.
            if mask & (CREATE | MOVED_TO) and path + "/" + name in DIRECTORIES:
                self.add(path + "/" + name)
            self.step(f"{'removed' if mask & DELETE else 'made'} {path}/{name}")

    def run(self) -> None:
        """Look until the end."""
        for path in DIRECTORIES:
            self.add(path)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        self.directory.joinpath("ready").touch()
        until = time.monotonic() + 600
        while time.monotonic() < until and not self.directory.joinpath("stop").exists():
            if not select.select([self.handle], [], [], 0.3)[0]:
                continue
            data = os.read(self.handle, 65536)
            while data:
                number, mask, _cookie, length = ENTRY.unpack_from(data)
                name = data[ENTRY.size : ENTRY.size + length].rstrip(b"\0").decode()
                data = data[ENTRY.size + length :]
                if number in self.watched:
                    self.event(self.watched[number], mask, name)


Watch(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).run()
