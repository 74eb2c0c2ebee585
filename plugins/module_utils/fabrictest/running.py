# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process with an end: its output as it comes, two deadlines, and nothing left behind."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, List, Optional

OUTPUT_LIMIT = 1 << 20
TICK = 0.2
SYSTEMCTL_SECONDS = 20
STARTER_SECONDS = 5


@dataclass
class Ended:
    """How a process ended.

    :ivar rc: exit status; None where it had to be ended.
    :ivar why: V(exit); V(no-peer): nobody came in time; V(overran): it met its peer and did not end in time.
    """

    rc: Optional[int]
    text: str
    seconds: float
    why: str


class Process:
    """A transient unit and the program that waits for it."""

    def __init__(self, command: List[str], unit: str, stdin: bytes = b"") -> None:
        self.unit = unit
        self.output = b""
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        if stdin and self.child.stdin is not None:
            try:
                self.child.stdin.write(stdin)
                self.child.stdin.close()
            except BrokenPipeError:
                self.child.stdin = None

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.output.decode("utf-8", "replace")

    def follow(self, meet_until: float, run_seconds: float, met: Callable[[str], bool]) -> Ended:
        """Read what it prints until it ends.

        :param meet_until: monotonic time until which it may wait for its peer.
        :param run_seconds: how long it may take once it has met it.
        """
        stream = self.child.stdout
        if stream is None:
            raise ValueError("the process has no output to follow")
        os.set_blocking(stream.fileno(), False)
        end: Optional[float] = None
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                limit = meet_until if end is None else end
                if selector.select(max(0.0, min(TICK, limit - time.monotonic()))):
                    data = stream.read(65536)
                    if data == b"":
                        break
                    self.output = (self.output + (data or b""))[:OUTPUT_LIMIT]
                    if end is None and met(self.text):
                        end = time.monotonic() + run_seconds
                        continue
                if time.monotonic() >= limit:
                    self.stop()
                    return Ended(None, self.text, time.monotonic() - self.started, "no-peer" if end is None else "overran")
        return Ended(self._wait(), self.text, time.monotonic() - self.started, "exit")

    def _wait(self) -> Optional[int]:
        try:
            return self.child.wait(SYSTEMCTL_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return None

    def stop(self) -> None:
        """End the unit with all its processes, and its starter, which ends by itself with it."""
        command = ["systemctl", "kill", "--signal=SIGKILL", self.unit]
        try:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SYSTEMCTL_SECONDS, check=False)
            self.child.wait(STARTER_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # RuntimeMaxSec ends the unit
        for end in (self.child.terminate, self.child.kill):
            if self.child.poll() is None:
                end()
                try:
                    self.child.wait(2)
                except subprocess.TimeoutExpired:
                    continue
