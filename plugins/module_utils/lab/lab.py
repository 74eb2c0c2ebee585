# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab on this machine: its places, how commands reach it, and the lock that its changes hold."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ansible_collections.railyard.sglang.plugins.module_utils.lab import mounts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import NAMESPACES, Paths, make_directories

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SYSTEMD_RUN = Path("/run/systemd/system")


class Lab:
    """One lab on this machine."""

    def __init__(self, paths: Paths, runner: Runner) -> None:
        self.paths = paths
        self.run = runner
        self.hierarchies = mounts.cgroup_hierarchies(mounts.read_mounts())
        self.has_systemd = SYSTEMD_RUN.is_dir()
        self.boot_id = BOOT_ID.read_text(encoding="ascii").strip()

    def inside(self) -> list[str]:
        """Return the beginning of a command that runs in the switch's namespace."""
        return ["nsenter", f"--net={NAMESPACES / self.paths.switch_namespace}", "--"]

    def group(self, host: str) -> Path:
        """Return a host's control group below the hierarchies' mount points, on machines without systemd."""
        return Path("railyard-lab") / self.paths.name / host

    def scope(self, host: str) -> str:
        """Return the name of a host's scope, on machines with systemd."""
        return f"{self.paths.host_namespace(host)}.scope"

    @contextmanager
    def locked(self, owner: int) -> Iterator[None]:
        """Keep other runs for labs of this cache away; the lock is a directory, made for the owner where it is missing."""
        while True:
            make_directories(self.paths.labs, owner)
            descriptor = os.open(self.paths.labs, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had the lock before may have removed the directory.
            if self.paths.labs.exists() and os.path.samestat(os.fstat(descriptor), self.paths.labs.stat()):
                break
            os.close(descriptor)
        try:
            yield
        finally:
            if not any(self.paths.labs.iterdir()):
                self.paths.labs.rmdir()
            os.close(descriptor)
