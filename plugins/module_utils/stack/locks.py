# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock files: requirement lines which pin one version and name the sha256 of every file that may be it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

PIN = re.compile(r"^(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+!_-]*)$")
HASH = re.compile(r"^--hash=sha256:(?P<digest>[0-9a-f]{64})$")


@dataclass(frozen=True)
class Pin:
    """One line of a lock: the normalised name, the version, and the digests (hexadecimal sha256) allowed for it."""

    name: str
    version: str
    hashes: frozenset[str]

    def line(self) -> str:
        """Return the pin as a line which pip and uv read."""
        hashes = (f"--hash=sha256:{digest}" for digest in sorted(self.hashes))
        return " ".join([f"{self.name}=={self.version}", *hashes])


def normalise(name: str) -> str:
    """Return the name of a distribution as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines with their numbers (from 1), continuations joined and comments and empty lines left out."""
    found: list[tuple[int, str]] = []
    pending = ""
    start = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        start = start or number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line = (pending + line).strip()
        if line:
            found.append((start, line))
        pending, start = "", 0
    if pending.strip():
        found.append((start, pending.strip() + " \\"))
    return found


def parse_lock(text: str, label: str, expected: int | None = None) -> dict[str, Pin]:
    """Return the pins of a lock by name.

    label names the lock in errors. expected is the number of packages that the lock must hold: a lock cut at the end of
    a line is seen by it and by nothing else. Raises StackError for anything but pinned and hashed requirements.
    """
    fix = "restore the lock file from the collection, or write it anew with tools/lock_stack.py"
    pins: dict[str, Pin] = {}
    for number, line in logical_lines(text):
        where = f"line {number} of the lock is not usable"
        words = line.split()
        match = PIN.match(words[0])
        if not match:
            raise StackError(label, f"{where}: '{words[0]}' does not pin one version (name==version)", fix)
        hashes = []
        for word in words[1:]:
            digest = HASH.match(word)
            if not digest:
                raise StackError(label, f"{where}: '{word[:80]}' is not --hash=sha256:<64 hexadecimal digits>", fix)
            hashes.append(digest["digest"])
        name = normalise(match["name"])
        if not hashes:
            raise StackError(label, f"{where}: {name} has no --hash", fix)
        if name in pins:
            raise StackError(label, f"{where}: {name} is pinned twice", fix)
        pins[name] = Pin(name, match["version"], frozenset(hashes))
    if expected is not None and len(pins) != expected:
        problem = f"the lock holds {len(pins)} packages where the definition says {expected}: it is cut off or mixed up"
        raise StackError(label, problem, fix)
    return pins
