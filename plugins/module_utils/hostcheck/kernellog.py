# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel reported since it was booted: from its journal, else from its ring buffer, which may have lost the beginning."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import List, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

LINES = 2000
RING = 1 << 24
RING_FILE = "/dev/kmsg"
PATTERN = "SXid|NVRM: Xid|NVRM: loading NVIDIA|uncorrectable hardware errors"
WANTED = re.compile(PATTERN)
JOURNAL = ["journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=short-iso"]
# Of a GPU in MIG mode the instance stands behind the address.
XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)(?: GPU-I:[0-9a-fA-F]{1,4})?\): ([0-9]{1,4}),? ?(.*)")
SXID = re.compile(r"SXid \((?:PCI:)?([0-9a-fA-F:.]+)\): ([0-9]{1,6}),? ?(.*)")
# What a kernel says first.
FIRST = "Linux version "
LOADED = "NVRM: loading NVIDIA"
DRIVER = "/sys/module/nvidia"


@dataclass
class Log:
    """Lines that matter, oldest first, and where they are from.

    :ivar why: why they are not known.
    :ivar partial: whether earlier lines of this boot may be lost.
    """

    lines: List[str] = field(default_factory=list)
    source: str = ""
    why: str = ""
    partial: bool = False

    @property
    def known(self) -> bool:
        """Return whether the log could be read."""
        return not self.why


@dataclass(frozen=True)
class Event:
    """One report of a GPU or NVSwitch: its PCI address as sysfs writes it, its number, and the line."""

    pci: str
    number: int
    text: str
    line: str


def _ring(root: Root) -> Optional[str]:
    """Return the ring buffer: a device that gives one record per read and then refuses, in a captured tree a file."""
    place = root.outside(RING_FILE)
    if place is None:
        return None
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    pieces: List[bytes] = []
    size = 0
    try:
        while size < RING:
            try:
                data = os.read(descriptor, 65536)
            except BrokenPipeError:
                # A record was overwritten while this was reading; the next read goes on behind it.
                size += 1
                continue
            except OSError:
                break
            if not data:
                break
            pieces.append(data)
            size += len(data)
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode("utf-8", "replace")


def _of_journal(lines: List[str], root: Root) -> Log:
    """Return the journal's last lines. It has lost some where it does not know when the driver was loaded that is there."""
    kept = lines[-LINES:]
    lost = root.exists(DRIVER) and not any(LOADED in line for line in kept)
    return Log(kept, "the journal", partial=lost or len(lines) >= LINES)


def read(root: Root, run: Runner) -> Log:
    """Return the lines of this boot that matter, at most the last 2000 of them."""
    # With a number of lines it would answer newest first: systemd 252 and later imply --reverse where --grep and --lines come together.
    rc, out, err = run([*JOURNAL, f"--grep={PATTERN}"])
    if rc == 0 and out.strip():
        return _of_journal([line for line in out.splitlines() if WANTED.search(line)], root)
    if rc != 127 and "pattern" not in err.lower():
        # It answers alike where nothing matches and where there is no journal: whether it has any line tells.
        rc, out, _err = run([*JOURNAL, "--lines=1"])
        if rc == 0 and out.strip():
            return _of_journal([], root)
    text = _ring(root)
    if text:
        lines = [line for line in text.splitlines() if WANTED.search(line)]
        return Log(lines[-LINES:], "the ring buffer", partial=FIRST not in text or len(lines) >= LINES)
    return Log(why="neither the kernel's journal nor its ring buffer can be read")


def function(text: str) -> str:
    """Return a PCI address as sysfs writes it; reports leave the function out, old drivers the domain."""
    found = text.lower().partition(".")[0].split(":")
    found = found if len(found) == 3 else ["0000", *found]
    return f"{found[0][-4:]:0>4}:{':'.join(found[1:])}.0"


def events(log: Log, pattern: re.Pattern) -> List[Event]:
    """Return the reports since the NVIDIA driver was loaded last: what was before it is over."""
    last = max((place for place, line in enumerate(log.lines) if LOADED in line), default=-1)
    found = []
    for line in log.lines[last + 1 :]:
        match = pattern.search(line)
        if match:
            found.append(Event(function(match.group(1)), int(match.group(2)), match.group(3).strip(), line.strip()[:300]))
    return found
