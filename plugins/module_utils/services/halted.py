# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a unit that are there and do nothing because somebody halted them; systemd calls such a unit active."""

from __future__ import annotations

import os
import time
from typing import Dict, Iterator, List

# Of all controllers together (cgroup v2), and systemd's own where each has a tree of its own (v1 and hybrid).
TREES = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd")
# proc(5): stopped by a signal, and by a debugger.
STATES = "Tt"
#: What this is called among the properties of a unit.
HALTED = "Halted"
# Seconds between two looks: a debugger that samples halts a process for a moment.
APART = 0.5


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _members(group: str, root: str) -> Iterator[str]:
    for tree in TREES:
        for directory, _folders, _files in os.walk(root + tree + group):
            yield from _read(directory + "/cgroup.procs").split()


def halted(group: str, root: str = "") -> List[str]:
    """Return the processes of a control group that are stopped, each with its name and number.

    :param group: as systemd's property ControlGroup names it; empty where the unit does not run.
    :param root: directory below which C(/proc) and C(/sys) are.
    """
    found = _look(group, root) if group.strip("/") else {}
    if found:
        time.sleep(APART)
        found = {pid: name for pid, name in _look(group, root).items() if pid in found}
    return [f"{name} (pid {pid})" for pid, name in sorted(found.items())]


def _look(group: str, root: str) -> Dict[int, str]:
    found = {}
    for pid in _members(group, root):
        # The name of a program may hold anything, brackets too.
        head, _bracket, rest = _read(f"{root}/proc/{pid}/stat").rpartition(")")
        if rest.split()[:1] and rest.split()[0] in STATES:
            found[int(pid)] = head.partition("(")[2]
    return found
