# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until hosts are up."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import has_process

#: Run inside the switch namespace: prints which of the addresses answered with ssh's greeting within the given seconds.
_GREETING = """
import socket, sys, time
deadline, left = time.monotonic() + float(sys.argv[1]), sys.argv[2:]
while left and time.monotonic() < deadline:
    for address in list(left):
        try:
            with socket.create_connection((address, 22), timeout=0.3) as connection:
                connection.settimeout(2)
                if connection.recv(4) == b"SSH-":
                    # A client that says nothing would leave an error in the host's journal.
                    connection.sendall(b"SSH-2.0-lab\\r\\n")
                    left.remove(address)
                    print(address)
        except OSError:
            pass
    if left:
        time.sleep(0.05)
"""


def await_greetings(lab: Lab, hosts: Sequence[HostRecord], seconds: int, outcome: Outcome) -> None:
    """Wait until each host's ssh server answers.

    Raises:
        LabError: one has died or does not answer in time; the text names it and has the end of its console.
    """
    with outcome.timed("ssh"):
        left = {host.management_address: host.name for host in hosts}
        deadline = time.monotonic() + seconds
        while left:
            slot = max(0.5, min(2.0, deadline - time.monotonic()))
            probe = [*lab.inside(), sys.executable, "-c", _GREETING, f"{slot:.1f}", *left]
            for address in demand(lab.run, probe, "reach the lab's hosts").split():
                del left[address]
            for name in left.values():
                if not wait_until(partial(has_process, lab, name), 1):
                    raise failure(lab, name, "has ended while it was starting")
            if left and time.monotonic() >= deadline:
                name = next(iter(left.values()))
                others = f" (and so do {', '.join(list(left.values())[1:])})" if len(left) > 1 else ""
                raise failure(lab, name, f"runs, and its ssh server did not answer within {seconds} s{others}")


def await_systemd(lab: Lab, hosts: Sequence[HostRecord], seconds: int, outcome: Outcome) -> None:
    """Wait, over ssh, until the service manager of each host has finished booting. Raises LabError as above."""

    def ask(host: HostRecord) -> tuple[str, str]:
        question = "systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend"
        ssh = ["timeout", str(seconds), "ssh", "-F", str(lab.paths.ssh_config), host.name, question]
        done = lab.run([*lab.inside(), *ssh], None)
        return done.out, done.err

    with outcome.timed("systemd"), ThreadPoolExecutor(max_workers=16) as pool:
        for host, (out, err) in zip(hosts, pool.map(ask, hosts)):
            state, *failed = out.splitlines() or [""]
            if state == "degraded":
                units = " ".join(line.split()[0] for line in failed if line.strip())
                outcome.notes.append(f"{host.name}: failed units: {units}")
            elif state != "running":
                raise failure(lab, host.name, f"did not finish booting within {seconds} s (state '{state}', {err.strip()})")


def failure(lab: Lab, host: str, what: str) -> LabError:
    """Return the error for a host that does not come up."""
    log = lab.paths.host(host) / "console.log"
    tail = hostfiles.console_tail(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else "(none)"
    return LabError(
        f"Host {host} of the lab '{lab.paths.name}' {what}. Take the lab down (playbooks/lab_down.yml) and up "
        f"again; the end of its console, {log}:\n{tail}"
    )
