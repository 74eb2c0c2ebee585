# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.boot import await_greetings, await_systemd
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import identify
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths

HOSTS = [
    HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10"),
    HostRecord("r0", "router", "198.51.100.210", "203.0.113.210"),
]


def lab_with(tmp_path: Path, *answers: Completed) -> Lab:
    """Return a lab whose commands answer these, the last one again and again."""
    left = list(answers)

    def run(_argv: Sequence[str], _stdin: Optional[str] = None) -> Completed:
        return left.pop(0) if len(left) > 1 else left[0]

    return Lab(Paths(tmp_path, "lab"), run)


def keep_running(lab: Lab, *hosts: str) -> None:
    """Record this process as the hosts' systemd-nspawn."""
    process = identify(int(Path("/proc/self").readlink().name))
    assert process
    for host in hosts:
        lab.paths.host(host).mkdir(parents=True)
        (lab.paths.host(host) / "nspawn.pid").write_text(f"{process.pid} {process.start}\n")


def test_hosts_may_answer_one_after_the_other(tmp_path: Path) -> None:
    lab, outcome = lab_with(tmp_path, Completed(0, "198.51.100.210\n", ""), Completed(0, "198.51.100.10\n", "")), Outcome()
    keep_running(lab, "p0", "r0")
    await_greetings(lab, HOSTS, 10, outcome)
    assert "ssh" in outcome.seconds


def test_host_that_ends_is_named_with_its_console(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, Completed(0, "198.51.100.210\n", ""))
    lab.paths.host("p0").mkdir(parents=True)
    (lab.paths.host("p0") / "console.log").write_text("booting\r\n\x1b[31mNo space left on device\x1b[0m\r\n")
    with pytest.raises(LabError, match=r"Host p0 of the lab 'lab' has ended while it was starting[\s\S]*\nNo space left on device$"):
        await_greetings(lab, HOSTS, 10, Outcome())


def test_host_that_does_not_answer_is_named(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, Completed(0, "", ""))
    keep_running(lab, "p0", "r0")
    with pytest.raises(LabError, match=r"Host p0 .* did not answer within 0 s \(and so do r0\)"):
        await_greetings(lab, HOSTS, 0, Outcome())


def test_units_that_failed_are_noted(tmp_path: Path) -> None:
    failed = "degraded\nchrony.service loaded failed failed NTP\nx.mount loaded failed failed x\n"
    lab, outcome = lab_with(tmp_path, Completed(0, failed, "")), Outcome()
    await_systemd(lab, HOSTS[:1], 10, outcome)
    assert outcome.notes == ["p0: failed units: chrony.service x.mount"]


@pytest.mark.parametrize("answer", [Completed(124, "starting\n", ""), Completed(255, "", "Connection refused")])
def test_host_that_does_not_finish_booting(answer: Completed, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Host p0 .* did not finish booting within 10 s \(state '(starting)?', (Connection refused)?\)"):
        await_systemd(lab_with(tmp_path, answer), HOSTS, 10, Outcome())
