# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kernel limit that hosts share with this machine and soon reach: inotify instances of a user, here root.

A host takes about a dozen, and 128 is the kernel's default for all together. Beyond it, service managers fail in hosts
that boot, or on the machine. The limit is raised while labs run, and what it was is restored with the last one's removal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")

#: Seen: 12 with a login; the rest is for what is installed later.
PER_HOST = 16
STEP = 128


def count_instances(proc: Path = Path("/proc")) -> int:
    """Return how many inotify instances processes of this machine have."""
    count = 0
    for directory in proc.glob("[0-9]*/fd"):
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    try:
                        count += os.readlink(entry.path) == "anon_inode:inotify"
                    except OSError:
                        continue
        except OSError:
            continue
    return count


def wanted_limit(limit: int, used: int, hosts: int) -> Optional[int]:
    """Return what the limit must be raised to for so many more hosts, or None where it suffices."""
    needed = used + hosts * PER_HOST + STEP // 2
    return None if needed <= limit else -(-needed // STEP) * STEP


def raise_limit(value: int, note: Path, limit: Path = LIMIT) -> None:
    """Set the limit, and note what it was and what it is. Raises OSError where it cannot be set."""
    original = note.read_text(encoding="ascii").split()[0] if note.exists() else limit.read_text(encoding="ascii").strip()
    limit.write_text(f"{value}\n", encoding="ascii")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{original} {value}\n", encoding="ascii")


def restore_limit(note: Path, limit: Path = LIMIT) -> None:
    """Restore the limit as noted, unless somebody else has changed it since."""
    if note.exists():
        original, value = note.read_text(encoding="ascii").split()
        if limit.read_text(encoding="ascii").strip() == value:
            limit.write_text(f"{original}\n", encoding="ascii")
        note.unlink()
