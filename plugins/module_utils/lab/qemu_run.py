# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and ending virtual machines."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import qemu_args, qemu_files, qemu_image, qmp
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.hostfiles import interface_mac
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import all_gone, identify, is_alive, send, wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import cards
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand, environment
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record, write_atomically
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import qemu_of

CPUINFO = Path("/proc/cpuinfo")


def monitor_of(paths: Paths, host: str) -> Path:
    """Return the socket of a host's monitor: the name of a socket is limited to 108 bytes, the cache's is not."""
    return paths.registered / f"{host}.qmp"


def machine_of(paths: Paths, record: Record, host: HostRecord, cpus: int, arguments: str) -> qemu_args.Machine:
    """Return the description of a host as a virtual machine.

    Args:
        paths: the lab's places.
        record: the lab.
        host: the host.
        cpus: number of its processors.
        arguments: further words of its kernel's command line.
    """
    image, directory = paths.images / record.image, paths.host(host.name)
    return qemu_args.Machine(
        name=host.name,
        lab=record.name,
        group=host.group,
        memory_mb=host.memory_mb,
        cpus=cpus,
        kernel=str(image / qemu_image.KERNEL),
        ram_disk=str(directory / "initrd.img"),
        disk=str(directory / "disk.qcow2"),
        console=str(directory / "console.log"),
        monitor=str(monitor_of(paths, host.name)),
        management_mac=interface_mac(host.management_address),
        cards=cards(host, record.fabric_network),
        shares=host.binds,
        kernel_arguments=qemu_args.kernel_arguments(qemu_args.clock_khz(CPUINFO.read_text(encoding="utf-8")), arguments),
    )


def prepare_machine(lab: Lab, record: Record, host: HostRecord) -> None:
    """Make a host's disk and ram disk unless they are there."""
    directory, image = lab.paths.host(host.name), lab.paths.images / record.image
    ram_disk, disk = directory / "initrd.img", directory / "disk.qcow2"
    if not ram_disk.exists():
        public_key = (lab.paths.state / "key.pub").read_text(encoding="ascii")
        host_key = (directory / "ssh_host_ed25519_key").read_text(encoding="ascii")
        content = (image / qemu_image.RAM_DISK).read_bytes() + qemu_files.own_archive(record, host, public_key, host_key)
        descriptor = os.open(ram_disk, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    if not disk.exists():
        make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image / qemu_image.DISK), str(disk)]
        demand(lab.run, make, f"make the disk of {host.name}")


def start_machine(lab: Lab, host: HostRecord, machine: qemu_args.Machine, more: Sequence[str] = ()) -> None:
    """Start a host's QEMU in the lab's network namespace, and record it. Raises LabError where it ends at once."""
    directory = lab.paths.host(host.name)
    errors, monitor = directory / "qemu.log", monitor_of(lab.paths, host.name)
    monitor.unlink(missing_ok=True)
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [*lab.inside(), *qemu_args.command(machine), *more],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(),
            cwd="/",
        )
    known = identify(process.pid)
    if known:
        write_atomically(directory / "qemu.pid", f"{known.pid} {known.start}\n")
    if not wait_until(lambda: monitor.exists() or not is_alive(known), 10, 0.05) or not is_alive(known):
        words = errors.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise LabError(f"QEMU of host {host.name} does not run: {words or 'it has said nothing'}")
    for card in machine.cards:
        if card.slot.function:
            # Nothing is plugged into the other port of such a card.
            qmp.execute(monitor, "set_link", {"name": f"spare{card.rail}", "up": False})


def stop_machines(lab: Lab, names: Sequence[str]) -> None:
    """End the recorded QEMU processes of hosts, as if their power was cut. Raises LabError where one does not end."""
    processes = [qemu_of(lab, name) for name in names]
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        for process in processes:
            send(process, number)
        if wait_until(partial(all_gone, processes), seconds):
            break
    else:
        raise LabError(f"Virtual machines of the lab '{lab.paths.name}' have not ended: {[each for each in processes if is_alive(each)]}")
    for name in names:
        monitor_of(lab.paths, name).unlink(missing_ok=True)
        (lab.paths.host(name) / "qemu.pid").unlink(missing_ok=True)
