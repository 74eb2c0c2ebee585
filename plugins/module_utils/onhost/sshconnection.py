# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's connection over SSH, by the processes that this one descends from."""

from __future__ import annotations

import os
from typing import Iterator, List

VARIABLE = b"SSH_CONNECTION="
#: Longer chains of parents than this are circles of a process table that changes while it is read.
GENERATIONS = 64


def _environment(process: str, pid: int) -> bytes:
    """Return the environment of a process, an empty one where it is not known."""
    try:
        with open(f"{process}/{pid}/environ", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _parent(process: str, pid: int) -> int:
    """Return the parent of a process, 0 where it is not known."""
    try:
        with open(f"{process}/{pid}/stat", "rb") as stream:
            # The name in parentheses may hold anything, parentheses too.
            return int(stream.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def connections(process: str = "/proc", pid: int = 0) -> Iterator[List[str]]:
    """Yield what each process knows of its connection, the process itself first: client, its port, this host's address, its port.

    sudo takes the variable from its child, and the processes above it still have it. Values of another form are passed over.

    :param process: where the process table is.
    :param pid: where to begin, by default this process.
    """
    pid = pid or os.getpid()
    for _generation in range(GENERATIONS):
        if pid <= 0:
            break
        for row in _environment(process, pid).split(b"\0"):
            words = row[len(VARIABLE) :].decode("utf-8", "replace").split() if row.startswith(VARIABLE) else []
            if len(words) == 4:
                yield words
        pid = _parent(process, pid)
