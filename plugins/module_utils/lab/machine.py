# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine must have before hosts are started, measured."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import image, requirements
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import BASE_MEMORY_MB, ENGINE_HOST_MEMORY_MB
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import environment
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import Settings
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord


def check_machine(lab: Lab, settings: Settings, dead: Sequence[HostRecord], build: bool) -> None:
    """Raise LabError with everything that this machine lacks for the hosts that are to be started."""
    place = lab.paths.cache
    while not place.exists():
        place = place.parent
    path = environment()["PATH"]
    filesystems = Path("/proc/filesystems").read_text(encoding="ascii").split()
    is_root = os.geteuid() == 0
    machine = requirements.Machine(
        is_root=is_root,
        programs=frozenset(name for name in requirements.PROGRAMS if shutil.which(name, path=path)),
        memory_available_mb=requirements.parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii")),
        disk_free_mb=shutil.disk_usage(place).free // (1 << 20),
        has_overlayfs="overlay" in filesystems or (is_root and lab.run(["modprobe", "overlay"], None).rc == 0),
        has_cgroups=bool(lab.hierarchies),
    )
    needs = requirements.Needs(
        hosts=len(dead),
        memory_mb=sum(host.memory_mb for host in dead) + BASE_MEMORY_MB,
        smallest_memory_mb=2 * ENGINE_HOST_MEMORY_MB + BASE_MEMORY_MB,
        disk_mb=requirements.HOST_DISK_MB * len(dead) + settings.extra_disk_mb + (image.BUILD_DISK_MB if build else 0),
        disk_place=str(lab.paths.cache),
    )
    lacks = requirements.missing(machine, needs)
    if lacks:
        raise LabError(requirements.message(lab.paths.name, lacks))


def check_binds(lab: Lab, hosts: Sequence[HostRecord]) -> None:
    """Raise LabError for a directory to be mounted that is neither there nor in the cache, where it is made."""
    for bind in {bind.src: bind for host in hosts for bind in host.binds}.values():
        source = Path(bind.src)
        if not source.is_dir() and lab.paths.cache not in source.parents:
            raise LabError(f"bind {bind.src} -> {bind.dst}: {bind.src} is not a directory; make it, or leave the bind out")
