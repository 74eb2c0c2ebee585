# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Iterator, Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import identify
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_run import machine_of, monitor_of, prepare_machine, stop_machines
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import has_process, is_running

P0 = HostRecord("p0", "prefill", "198.51.100.10", "198.18.8.10", 768)
RECORD = Record("lab", "0011aabb", "boot", "image", 0, "198.51.100.0/24", "198.18.8.0/21", (P0,), backend="qemu")


class Machine:
    """Notes the commands."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []

    def __call__(self, argv: Sequence[str], stdin: Optional[str] = None) -> Completed:
        self.done.append(list(argv))
        return Completed(0, "", "")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lab(machine: Machine, tmp_path: Path) -> Lab:
    lab = Lab(Paths(tmp_path / "cache", "lab", tmp_path / "register"), machine)
    lab.paths.host("p0").mkdir(parents=True)
    lab.paths.registered.mkdir(parents=True)
    return lab


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record_process(lab: Lab, pid: int, later: int = 0) -> None:
    known = identify(pid)
    assert known
    (lab.paths.host("p0") / "qemu.pid").write_text(f"{pid} {known.start + later}\n")


def test_recorded_process_is_ended_and_forgotten(lab: Lab, sleeper: subprocess.Popen[bytes]) -> None:
    record_process(lab, sleeper.pid)
    monitor_of(lab.paths, "p0").touch()
    assert has_process(lab, "p0")
    assert is_running(lab, "p0")
    stop_machines(lab, ["p0"])
    assert sleeper.wait(5) == -15
    assert not is_running(lab, "p0")
    assert list(lab.paths.registered.iterdir()) == []
    assert list(lab.paths.host("p0").iterdir()) == []
    stop_machines(lab, ["p0", "d0"])


def test_process_that_took_over_the_number_is_left_alone(lab: Lab, sleeper: subprocess.Popen[bytes]) -> None:
    record_process(lab, sleeper.pid, later=1)
    assert not is_running(lab, "p0")
    stop_machines(lab, ["p0"])
    assert sleeper.poll() is None


def test_disk_and_ram_disk_are_made_once(lab: Lab, machine: Machine) -> None:
    image = lab.paths.images / "image"
    image.mkdir(parents=True)
    (image / "initrd.img").write_bytes(b"shared")
    (lab.paths.state / "key.pub").write_text("ssh-ed25519 public\n")
    (lab.paths.host("p0") / "ssh_host_ed25519_key").write_text("private\n")
    prepare_machine(lab, RECORD, P0)
    ram_disk = lab.paths.host("p0") / "initrd.img"
    assert ram_disk.read_bytes().startswith(b"shared070701")
    assert stat.S_IMODE(ram_disk.stat().st_mode) == 0o600, "it has the host's private key"
    (make,) = machine.done
    assert make[make.index("-b") + 1] == f"{image}/root.raw"
    (lab.paths.host("p0") / "disk.qcow2").touch()
    ram_disk.write_bytes(b"as it was")
    prepare_machine(lab, RECORD, P0)
    assert machine.done == [make]
    assert ram_disk.read_bytes() == b"as it was"


def test_monitor_fits_into_the_name_of_a_socket() -> None:
    assert len(str(monitor_of(Paths(Path("/very" * 40), "abcdefghijklmnop"), "a" * 12))) < 108


def test_description_of_a_host(lab: Lab) -> None:
    found = machine_of(lab.paths, RECORD, P0, 2, "numa=off")
    assert (found.group, found.cpus, found.memory_mb, len(found.cards)) == ("prefill", 2, 768, 8)
    assert found.kernel == f"{lab.paths.images}/image/vmlinuz"
    assert found.kernel_arguments.endswith(" numa=off")
    assert found.monitor == str(monitor_of(lab.paths, "p0"))
