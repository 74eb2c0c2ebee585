# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a lab is there, without changing anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import mounts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import Process, is_alive, read_recorded, wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import NAMESPACES, Paths, Record


@dataclass(frozen=True)
class Survey:
    """What of a lab is there."""

    namespaces: frozenset[str]
    links: frozenset[str]
    mounted: frozenset[str]
    running: frozenset[str]

    def whole(self, paths: Paths, host: str) -> bool:
        """Tell whether a host runs and has its namespace, links and root."""
        return (
            host in self.running
            and paths.host_namespace(host) in self.namespaces
            and {f"m-{host}", f"f-{host}"} <= self.links
            and str(paths.host(host) / "root") in self.mounted
        )


def keeper_of(lab: Lab, host: str) -> Optional[Process]:
    """Return the recorded process that keeps a host running."""
    return read_recorded(lab.paths.host(host) / "keeper.pid")


def nspawn_of(lab: Lab, host: str) -> Optional[Process]:
    """Return the recorded systemd-nspawn of a host."""
    return read_recorded(lab.paths.host(host) / "nspawn.pid")


def qemu_of(lab: Lab, host: str) -> Optional[Process]:
    """Return the recorded QEMU of a host."""
    return read_recorded(lab.paths.host(host) / "qemu.pid")


def has_process(lab: Lab, host: str) -> bool:
    """Tell whether a host's systemd-nspawn or QEMU runs."""
    return is_alive(nspawn_of(lab, host)) or is_alive(qemu_of(lab, host))


def is_running(lab: Lab, host: str) -> bool:
    """Tell whether a host runs; for a moment of its reboot it has no systemd-nspawn, but always its QEMU."""
    if is_alive(qemu_of(lab, host)):
        return True
    keeper = keeper_of(lab, host)
    return is_alive(keeper) and wait_until(partial(has_process, lab, host), 1) and is_alive(keeper)


def take_survey(lab: Lab, record: Optional[Record]) -> Survey:
    """Look at what is there, without changing anything."""
    now = mounts.read_mounts()
    prefix = lab.paths.switch_namespace
    namespaces = {Path(mount.point).name for mount in now if mount.kind == "nsfs" and Path(mount.point).parent == NAMESPACES}
    ours = frozenset(name for name in namespaces if name == prefix or name.startswith(f"{prefix}-"))
    links: set[str] = set()
    if prefix in ours:
        listed = demand(lab.run, [*lab.inside(), "ip", "-j", "link", "show"], "read the lab's links")
        links = {link["ifname"] for link in json.loads(listed)}
    running = set()
    if record and record.boot_id == lab.boot_id:
        running = {host.name for host in record.hosts if is_running(lab, host.name)}
    mounted = frozenset(mounts.mounts_below(lab.paths.state, now))
    return Survey(ours, frozenset(links), mounted, frozenset(running))


def describe(lab: Lab, record: Optional[Record], running: Sequence[str]) -> dict[str, Any]:
    """Return what a diff shows of a lab."""
    if record is None:
        return {"lab": lab.paths.name, "state": "absent"}
    return {
        "lab": lab.paths.name,
        "state": "present",
        "image": record.image,
        "management_network": record.management_network,
        "fabric_network": record.fabric_network,
        "hosts": {
            host.name: " ".join([host.management_address, host.fabric_address, "running" if host.name in running else "dead"])
            for host in record.hosts
        },
    }
