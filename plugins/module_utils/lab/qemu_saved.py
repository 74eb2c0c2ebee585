# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of booted virtual machines, kept in the cache, from which the same lab runs again without booting.

A state is good for exactly the emulator, command lines, disks and own files that it was saved with. These, but for the keys,
give it its name; the keys are kept with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import time
from pathlib import Path
from typing import Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import qemu_args, qemu_files, qmp
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import identify, is_alive, wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_run import monitor_of
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import qemu_of

#: States of more labs than this are removed, those that were not used for longest first.
KEPT = 4

HOST_KEYS = ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub")
KEYS = ("key", "key.pub")
DISK = "disk.qcow2"

Machines = Mapping[str, qemu_args.Machine]


def saved_states(paths: Paths) -> Path:
    """Return the directory of all saved states of a cache."""
    return paths.images / "saved"


def state_name(record: Record, machines: Machines, version: str) -> str:
    """Return the name of the state of a lab: a hash of all that it depends on but the keys.

    Args:
        record: the lab.
        machines: its hosts as virtual machines.
        version: what the emulator says of its version.
    """
    content = {
        "image": record.image,
        "commands": [qemu_args.command(machine) for machine in machines.values()],
        "files": [qemu_files.own_files(record, host, "", "") for host in record.hosts],
        "version": version,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def find_state(lab: Lab, record: Record, machines: Machines) -> tuple[Path, bool]:
    """Return where the state of a lab is or would be, and whether it is there."""
    version = demand(lab.run, [qemu_args.PROGRAM, "--version"], "ask QEMU for its version")
    path = saved_states(lab.paths) / state_name(record, machines, version)
    return path, path.is_dir()


def take_files(paths: Paths, record: Record, saved: Path, owner: int) -> None:
    """Copy the keys of a saved state to where the lab has its own, and its hosts' disks: states may be removed while labs run."""
    for host in record.hosts:
        paths.host(host.name).mkdir(parents=True, exist_ok=True)
        for name in (*HOST_KEYS, DISK):
            shutil.copy2(saved / host.name / name, paths.host(host.name) / name)
    for name in KEYS:
        shutil.copy2(saved / name, paths.state / name)
    os.chown(paths.state / "key", owner, -1)
    os.utime(saved)


def incoming(saved: Path, host: str) -> list[str]:
    """Return QEMU's options to go on from a host's saved state."""
    return ["-incoming", f"exec:zstd -dc {shlex.quote(str(saved / host / 'state.zst'))}"]


def _status(lab: Lab, host: str) -> str:
    answer = qmp.execute(monitor_of(lab.paths, host), "query-status")
    return str(answer["status"])


def is_halted(lab: Lab, host: str) -> bool:
    """Tell whether a host's processors stand still, while its QEMU runs."""
    return _status(lab, host) in {"inmigrate", "paused", "postmigrate"}


def go_on(lab: Lab, hosts: Sequence[HostRecord], seconds: int) -> None:
    """Wait until the saved states of hosts are loaded, and let them run. Raises LabError where one does not fit or takes too long."""
    for host in hosts:
        deadline = time.monotonic() + seconds
        while _status(lab, host.name) == "inmigrate":
            if not is_alive(qemu_of(lab, host.name)) or time.monotonic() > deadline:
                raise LabError(f"The saved state of {host.name} was not loaded within {seconds} s")
            time.sleep(0.05)
        qmp.execute(monitor_of(lab.paths, host.name), "cont")


def set_clocks(lab: Lab, hosts: Sequence[HostRecord]) -> None:
    """Set the hosts' clocks, which have stood still. Raises LabError where a host cannot be reached."""
    for host in hosts:
        command = ["ssh", "-F", str(lab.paths.ssh_config), host.name, f"date --set=@{time.time():.3f}"]
        demand(lab.run, [*lab.inside(), *command], f"set the clock of {host.name}")


def save_state(lab: Lab, record: Record, saved: Path, outcome: Outcome) -> None:
    """Save the state of all hosts of a lab; they stand still for that. Where it fails, that is noted, and nothing is saved.

    Args:
        lab: the lab.
        record: what it runs.
        saved: where the state is to be.
        outcome: takes the note and the duration.
    """
    saved_states(lab.paths).mkdir(parents=True, exist_ok=True)
    remove_old(saved_states(lab.paths))
    build = saved.with_name(f".saving-{saved.name}-{os.getpid()}")
    build.mkdir(mode=0o700)
    with outcome.timed("save"):
        try:
            for host in record.hosts:
                _save_host(lab, host.name, build / host.name)
            for name in KEYS:
                shutil.copy2(lab.paths.state / name, build / name)
            build.rename(saved)
        except (LabError, OSError) as error:
            outcome.notes.append(f"The state of the lab was not saved, so that its next start boots again: {error}")
            shutil.rmtree(build)


def _save_host(lab: Lab, host: str, target: Path) -> None:
    target.mkdir()
    directory, monitor = lab.paths.host(host), monitor_of(lab.paths, host)
    demand(lab.run, [*lab.inside(), "ssh", "-F", str(lab.paths.ssh_config), host, "sync"], f"write the files of {host}")
    qmp.execute(monitor, "stop")
    try:
        qmp.execute(monitor, "migrate-set-parameters", {"max-bandwidth": 8 << 30})
        qmp.execute(monitor, "migrate", {"uri": f"exec:zstd -1 -q > {shlex.quote(str(target / 'state.zst'))}"})
        ends = ("completed", "failed", "cancelled")
        if not wait_until(lambda: _migration(monitor)["status"] in ends, 120, 0.1) or _migration(monitor)["status"] != "completed":
            raise LabError(f"QEMU did not save the state of {host}: {_migration(monitor)}")
        for name in (*HOST_KEYS, DISK):
            shutil.copy2(directory / name, target / name)
    finally:
        qmp.execute(monitor, "cont")


def _migration(monitor: Path) -> dict[str, str]:
    answer: dict[str, str] = qmp.execute(monitor, "query-migrate")
    return answer


def remove_old(states: Path) -> None:
    """Remove what a killed run has left, and the states that were not used for longest: there is room for one more then."""
    for stale in states.glob(".saving-*"):
        if identify(int(stale.name.rpartition("-")[2])) is None:
            shutil.rmtree(stale)
    found = sorted((path for path in states.iterdir() if not path.name.startswith(".")), key=lambda path: path.stat().st_mtime)
    for path in found[: max(0, len(found) - KEPT + 1)]:
        shutil.rmtree(path)
