# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on virtual machines have in common, beside the kit of all labs: what a lab's playbook did, links, files, remains.

A test that only needs two machines that run takes the fixture C(machines), which all such tests share, and leaves them as it
found them. One that starts and stops labs has its own name.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from labkit import INVENTORY, OUTPUT, ROOT, Lab, cache

from ansible_collections.railyard.sglang.plugins.module_utils.lab import qmp
from ansible_collections.railyard.sglang.plugins.module_utils.lab.requirements import QEMU_PROGRAMS

HOSTS = ("p0", "d0")
# A machine that is reset sends no word to those who are connected.
ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6")
INTERFACES = {
    "p0": ["enp12s0", "enp27s0", "enp59s0", "enp76s0", "enp108s0f1", "enp141s0f1", "enp172s0f1", "enp204s0f1"],
    "d0": ["enp27s0", "enp44s0", "enp75s0", "enp93s0", "enp155s0", "enp171s0", "enp188s0", "enp219s0"],
}


def able() -> None:
    """Skip the test where virtual machines cannot be had: without root, or without QEMU."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    lacking = sorted(name for name in QEMU_PROGRAMS if not shutil.which(name))
    if lacking:
        pytest.skip(f"no {', '.join(lacking)}: tools/os_packages.sh qemu installs them")


class QemuLab(Lab):
    """A lab of virtual machines."""

    def __init__(self, name: str, scratch: Path = OUTPUT, shape: str = "1p1d") -> None:
        super().__init__(name, shape, scratch)
        self.state_directory = cache() / "lab" / name
        self.monitors = Path("/run/railyard-lab", name)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command on this lab."""
        return super().environment(**{"RAILYARD_LAB_BACKEND": "qemu", **more})

    def up(self) -> None:
        """Start the hosts; the image may have to be built."""
        self.play(playbook="playbooks/lab_up.yml", seconds=1200).succeeded()

    # --- the lab itself

    def command(self, *argv: str, seconds: float = 1200, **change: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine in the lab's environment, changed as told, for so many seconds at most."""
        plain = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", **change}
        environment = self.environment(**plain)
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=seconds)

    def module(self, playbook: str, *more: str, **change: str) -> dict[str, Any]:
        """Run a playbook of the lab and return its module's result; with a failure, its message."""
        done = self.command("ansible-playbook", "-i", INVENTORY, f"playbooks/{playbook}.yml", "-v", *more, **change)
        results = re.findall(r"^(?:ok|changed|fatal): \[localhost\].*?=> (\{.*\})$", done.stdout, re.MULTILINE)
        assert results, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(results[-1])
        assert (done.returncode == 0) == (not result.get("failed") and "actions" in result), done.stdout + done.stderr
        return result

    def inventory(self, host: str) -> dict[str, Any]:
        """Return a host's variables: lab_rails has rail, interface and address of each of its rails."""
        variables: dict[str, Any] = json.loads(self.command("ansible-inventory", "-i", INVENTORY, "--host", host).stdout)
        return variables

    def pid_of(self, host: str) -> int:
        """Return the process of a host's QEMU."""
        return int((self.state_directory / "hosts" / host / "qemu.pid").read_text().split()[0])

    def set_link(self, host: str, rail: int, up: bool) -> None:
        """Plug in or cut the cable of a rail's card."""
        qmp.set_link(self.monitors / f"{host}.qmp", rail, up=up)

    def remains(self) -> dict[str, list[str]]:
        """Return everything of the lab that is on this machine, but for what the cache keeps."""
        processes = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"railyard-{self.name}" in text or f"{self.state_directory}/" in text:
                processes.append(f"{path.parent.name} {text}")
        return {
            "processes": processes,
            "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if self.name in line],
            "run": [str(path) for path in Path("/run").glob(f"**/*{self.name}*")],
            "cache": [str(path) for path in (*cache().glob(f"lab/{self.name}"), *cache().glob("image/saved/.saving-*"))],
        }

    # --- its hosts

    def question(self, host: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host that may not answer."""
        wrapper = str(ROOT / "roles/lab/files/lab-ssh.sh")
        return self.command(wrapper, "-F", str(self.state_directory / "ssh_config"), "-o", "ConnectTimeout=5", *ALIVE, host, *argv)

    def answer(self, host: str, *argv: str) -> str:
        """Run a command on a host and return its output; fail the test when it fails."""
        done = self.question(host, *argv)
        assert done.returncode == 0, f"{host}: {' '.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def set_clock(self, host: str, ahead: float = 0.0) -> None:
        """Set a host's clock by this machine's, so many seconds ahead of it."""
        self.answer(host, f"date -s @{time.time() + ahead:.3f}")

    def becomes(self, host: str, question: str, wanted: str, seconds: float) -> bool:
        """Ask a host until the answer is the wanted one, and return whether it came in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.question(host, question).stdout.strip() == wanted:
                return True
            time.sleep(0.2)
        return False

    def ssh_command(self, host: str, command: str) -> list[str]:
        """Return the words that run a shell command on a host, for whoever wants its input and output apart."""
        return self._ssh(host, command)

    def put(self, host: str, files: Mapping[str, Path], directory: str) -> None:
        """Copy files and directories into a host's directory, each under the name that it is to have."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, path in files.items():
                archive.add(path, name, filter=lambda member: None if "__pycache__" in member.name else member)
        arguments = self.ssh_command(host, f"mkdir -p {directory} && tar -xf - --no-same-owner -C {directory}")
        done = subprocess.run(
            arguments, input=packed.getvalue(), capture_output=True, check=False, timeout=120, cwd=ROOT, env=self.environment()
        )
        assert done.returncode == 0, done.stderr.decode()
