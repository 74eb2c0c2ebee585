# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving bytes between two ranks with the stack's own Mooncake, as the engine's unit would, and counting who carried them."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from labkit import ROOT, cache
from qemukit import QemuLab

ROLE = ROOT / "roles/engine"
FILES = ROOT / "tests/lab/files"
# On the hosts: where the package and the programs are, and where the unit's environment file is.
PLACE = "/opt/kv-test"
PACKAGE = "mooncake-transfer-engine-non-cuda"
# The MTU of the lab's rails: neither a TCP segment nor an RDMA packet has more bytes than its value here.
SEGMENT, PACKET = 4200, 4096
# Of the unit's settings these belong to the engine's program, or to a service that goes on for ever.
NOT_OURS = (
    "ExecStartPre", "ExecStart", "ExecStartPost", "ExecStopPost", "TimeoutStartSec", "Restart", "RestartSec", "EnvironmentFile",
    "RuntimeDirectory",
)  # fmt: skip


def wheel() -> Path:
    """Return the stack's own wheel of Mooncake; fail the test when it is not there, or not the locked one."""
    (path,) = list(cache().glob(f"wheels/{PACKAGE.replace('-', '_')}-*.whl")) or [None]
    assert path is not None, f"no wheel of {PACKAGE} in {cache()}/wheels: playbooks/wheels.yml puts it there (tools/test.sh wheels)"
    locked = (ROOT / "roles/stack/files/sglang-0.5.8-cpu/requirements.txt").read_text(encoding="utf-8")
    hashes = re.search(rf"^{PACKAGE}==(\S+) ((?:\\?\s+--hash=sha256:[0-9a-f]+ ?)+)", locked, re.MULTILINE)
    assert hashes is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() in hashes[2], f"{path} is not the locked wheel of {hashes[1]}"
    return path


def argument(rank: Mapping[str, Any], name: str) -> Any:
    """Return an argument of a rank, of its command line or its argument file; None where it has none."""
    argv = rank["argv"]
    return argv[argv.index(f"--{name}") + 1] if f"--{name}" in argv else rank["arguments"].get(name)


def planned(lab: QemuLab, **more: Any) -> dict[str, dict[str, Any]]:
    """Return each host's rank of the plan that is completed from the hosts' facts."""
    run = lab.play("--tags", "preflight", variables=more).succeeded()
    return {rank["host"]: rank for instance in run.plan["instances"] for rank in instance["ranks"]}


@dataclass
class Moved:
    """What one transfer did.

    :ivar size: bytes that were to be moved.
    :ivar sent: what the sender said; error where an engine did not start, or the sender ended without a result.
    :ivar received: what the receiver said at last; None where the sender did not get so far.
    :ivar counted: host to what it sent and received meanwhile, as files/kv_counters.py names it.
    :ivar log: what the transfer engines said.
    """

    size: int
    sent: dict[str, Any]
    received: dict[str, Any] | None
    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: str = ""

    @property
    def whole(self) -> bool:
        """Whether the receiver has what the sender sent."""
        return bool(self.sent.get("result") == 0 and self.received and self.received["digests"] == self.sent["digests"])

    def packets(self, host: str, way: str) -> dict[str, int]:
        """Return a host's RDMA packets by device: sent or received."""
        return {name: row[way] for name, row in self.counted[host]["devices"].items()}

    @property
    def carriers(self) -> list[str]:
        """Who carried enough for all the bytes on both sides: rdma, tcp. What carried a part only is not in the list."""
        enough = {
            "rdma": min(sum(self.packets(*end).values()) for end in (("p0", "sent"), ("d0", "received"))) * PACKET,
            # The receiver counts what it has put together of many segments as one; its interfaces count bytes.
            "tcp": min(
                self.counted["p0"]["tcp"]["sent"] * SEGMENT, sum(row["rx_bytes"] for row in self.counted["d0"]["devices"].values())
            ),
        }
        return [name for name, most in enough.items() if most >= self.size]

    @property
    def tcp_at_most(self) -> int:
        """Return the bytes that TCP can have carried at most from the sender, ssh and handshakes included."""
        return int(self.counted["p0"]["tcp"]["sent"]) * SEGMENT


class Transfers:
    """Two hosts that can move bytes as a prefill rank and a decode rank do."""

    def __init__(self, lab: QemuLab) -> None:
        self.lab = lab

    def rendered(self, template: str, rank: Mapping[str, Any]) -> str:
        """Return a template of the engine's role as Ansible renders it with the role's defaults."""
        target, given = self.lab.scratch / template, self.lab.scratch / f"{template}.json"
        defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
        given.write_text(json.dumps({**defaults, "rank": rank, "sglang_host": {"cluster": "lab", "ranks": [rank]}}), encoding="utf-8")
        words = ["-m", "ansible.builtin.template", "-a", f"src={ROLE / 'templates' / template} dest={target}", "-e", f"@{given}"]
        done = self.lab.command("ansible", "localhost", "-c", "local", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return target.read_text(encoding="utf-8")

    def unit_settings(self, rank: Mapping[str, Any]) -> list[str]:
        """Return the settings of the engine's unit that any program of its user has to live with, as options of systemd-run."""
        section = self.rendered("unit.service.j2", rank).split("[Service]")[1].split("[Install]")[0]
        rows = [line for line in section.splitlines() if re.match("[A-Z]", line) and line.partition("=")[0] not in NOT_OURS]
        return [word for row in rows for word in ("-p", row)]

    def install(self, host: str, rank: Mapping[str, Any]) -> None:
        """Put the package, the programs, the engine's user and the rank's environment on a host."""
        package = wheel()
        self.lab.put(host, {path.name: path for path in FILES.glob("kv_*.py")}, PLACE)
        self.lab.ssh(host, f"test -d {PLACE}/mooncake || python3 -m zipfile -e /srv/wheels/{package.name} {PLACE}", seconds=180)
        self.lab.ssh(host, "systemd-sysusers -", self.rendered("sysusers.conf.j2", rank))

    def remove(self, host: str) -> None:
        """Take all of it away."""
        self.lab.ssh(host, f"rm -rf {PLACE} /var/lib/sglang /var/cache/sglang; userdel sglang; ! getent group sglang || groupdel sglang")

    def counters(self, host: str) -> dict[str, Any]:
        """Return what a host has sent and received so far."""
        counted: dict[str, Any] = json.loads(self.lab.ssh(host, f"python3 {PLACE}/kv_counters.py"))
        return counted

    @contextmanager
    def running(
        self, role: str, rank: Mapping[str, Any], devices: str, size: int, more: Mapping[str, str | None]
    ) -> Iterator[subprocess.Popen[str]]:
        """Run one side as the engine's user, under its unit's settings, in the rank's environment and nothing else but what is given."""
        host, file = rank["host"], f"{PLACE}/{role}.environment"
        environment = {name: value for name, value in {**rank["environment"], **more}.items() if value is not None}
        self.lab.ssh(host, f"cat > {file}", self.rendered("environment.j2", {**rank, "environment": environment, "reasons": environment}))
        words = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit=kv-{role}", *self.unit_settings(rank)]
        words += ["-p", f"EnvironmentFile={file}", "-p", "RuntimeMaxSec=150", "/usr/bin/python3", f"{PLACE}/kv_transfer.py"]
        words += [role, environment["SGLANG_HOST_IP"], devices, str(size)]
        with (self.lab.scratch / f"{role}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.lab.ssh_command(host, shlex.join(words)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=self.lab.environment(),
            )
            try:
                yield process
            finally:
                process.kill()
                process.communicate()
                self.lab.run(host, f"systemctl stop kv-{role}.service")

    def move(
        self,
        ranks: Mapping[str, Mapping[str, Any]],
        size: int = 1 << 24,
        before_sending: Any = None,
        **more: str | None,
    ) -> Moved:
        """Move bytes from p0 to d0 with the devices and the environment of their ranks.

        :param before_sending: called when both engines run and have registered their memory; not where one of them does not.
        :param more: environment beside the plan's; None takes a variable of the plan away.
        """
        devices = {host: str(argument(rank, "disaggregation-ib-device") or "") for host, rank in ranks.items()}
        before = {host: self.counters(host) for host in ranks}
        with self.running("receive", ranks["d0"], devices["d0"], size, more) as receiver:
            assert receiver.stdout is not None
            place = receiver.stdout.readline() or '{"error": "nothing was said"}'
            refused = json.loads(place).get("error")
            with self.running("send", ranks["p0"], devices["p0"], size, more) as sender:
                assert sender.stdout is not None
                said = json.loads(sender.stdout.readline() or '{"error": "nothing was said"}')
                if "error" not in said and refused:
                    said = {"error": f"the receiver: {refused}"}
                if "error" not in said:
                    if before_sending:
                        before_sending()
                    said = json.loads(sender.communicate(place, timeout=170)[0] or '{"error": "it ended without a word"}')
            last = None
            if "error" not in said:
                last = json.loads(receiver.communicate(timeout=60)[0])
        after = {host: self.counters(host) for host in ranks}
        log = "".join((self.lab.scratch / f"{role}.log").read_text(encoding="utf-8") for role in ("receive", "send"))
        return Moved(size, said, last, {host: _difference(before[host], after[host]) for host in ranks}, log)


def _difference(before: Any, after: Any) -> Any:
    if isinstance(after, dict):
        return {key: _difference(before[key], after[key]) for key in after}
    return after - before
