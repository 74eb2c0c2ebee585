# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, and control groups, read from text of the kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo, as far as needed here."""

    point: str
    kind: str
    options: str


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def parse_mountinfo(text: str) -> list[Mount]:
    """Read mountinfo; optional fields end with a lone hyphen."""
    found = []
    for line in text.splitlines():
        before, after = line.split(" - ", 1)
        kind, _source, options = after.split(" ", 2)
        found.append(Mount(_unescape(before.split(" ")[4]), kind, options))
    return found


def read_mounts() -> list[Mount]:
    """Return what is mounted for this process."""
    return parse_mountinfo(MOUNTINFO.read_text(encoding="utf-8", errors="replace"))


def mounts_below(directory: Path, mounts: list[Mount]) -> list[str]:
    """Return the mount points in or at a directory, the deepest first."""
    points = [mount.point for mount in mounts if mount.point == str(directory) or mount.point.startswith(f"{directory}/")]
    return sorted(points, key=len, reverse=True)


def cgroup_hierarchies(mounts: list[Mount]) -> dict[str, Path]:
    """Return where those control group hierarchies are mounted in which systemd keeps its units.

    The key is what /proc/<pid>/cgroup has for it in its second field: empty for the unified hierarchy.
    """
    found: dict[str, Path] = {}
    for mount in mounts:
        key: Optional[str] = None
        if mount.kind == "cgroup2":
            key = ""
        elif mount.kind == "cgroup" and "name=systemd" in mount.options.split(","):
            key = "name=systemd"
        if key is not None:
            found.setdefault(key, Path(mount.point))
    return found
