# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_tuning on a machine in a directory; the lab's tests run it for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import files
from ansible_collections.railyard.sglang.plugins.modules import host_tuning
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hosttuning.tuned_machine import FULL, Machine
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

ASKED: dict[str, Any] = dict(FULL)


@pytest.fixture(name="machine")
def make_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine in the place of this one."""
    machine = Machine(tmp_path / "root")
    monkeypatch.setattr(host_tuning, "Tree", lambda _root, _label: machine)
    monkeypatch.setattr(host_tuning, "runner", lambda _module, _directories: machine.run)
    monkeypatch.setattr(host_tuning.os, "geteuid", lambda: 0)
    return machine


def test_predicted_done_and_done_already(machine: Machine) -> None:
    before = machine.state()
    predicted = run(host_tuning.main, ASKED, check=True)
    assert predicted["changed"]
    assert machine.state() == before
    done = run(host_tuning.main, ASKED)
    assert (done["actions"], done["diff"]) == (predicted["actions"], predicted["diff"])
    headers = [entry["after_header"] for entry in done["diff"]]
    assert headers[-1] == "live"
    assert files.SYSCTL in headers
    assert "flow control of ens1: [3]\n" in done["diff"][-1]["after"]
    again = run(host_tuning.main, ASKED)
    assert (again["changed"], again["actions"], again["diff"]) == (False, [], [])
    assert run(host_tuning.main, {"state": "absent"})["changed"]
    assert machine.state() == before


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pfc": [5], "priority": None}, "rdma_pfc: traffic class 106 is DSCP 26 and priority 3"),
        ({"modules": ["nvidia_peermem"]}, "nvidia_peermem: no such module for kernel"),
        ({"rails": [{"device": "mlx5_0", "netdev": "ens9"}]}, "ens9: dcb says: Attribute read: Operation not supported"),
    ],
)
def test_refusals_change_nothing(check: bool, more: dict[str, Any], message: str, machine: Machine) -> None:
    before = machine.state()
    refused = run(host_tuning.main, {**ASKED, **more}, check)
    assert refused["failed"]
    assert message in refused["msg"]
    assert refused["msg"].endswith("Nothing was changed on this host.")
    assert machine.state() == before


def warned(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the warnings of a result; in a process that has loaded the controller's display, ansible-core shows them itself."""
    return str(result.get("warnings")) + capsys.readouterr().err


def test_consent(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.serving = ["sglang-prefill-0.service", "sglang-router.service"]
    before = machine.state()
    refused = run(host_tuning.main, ASKED)
    assert "flow control of ens1 would change from [] to [3] while sglang-prefill-0.service runs" in refused["msg"]
    assert "set rdma_allow_disruption: true" in refused["msg"]
    assert machine.state() == before
    shown = run(host_tuning.main, ASKED, check=True)
    assert shown["changed"]
    assert "The run would be refused" in warned(shown, capsys)
    assert run(host_tuning.main, {**ASKED, "allow_disruption": True})["changed"]


def test_without_root_it_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_tuning.os, "geteuid", lambda: 1000)
    before = machine.state()
    assert "host_tuning needs root. Fix: become: true" in run(host_tuning.main, ASKED)["msg"]
    assert machine.state() == before


def test_what_does_not_hold_is_a_failure(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    put = machine.put

    def stubborn(path: str, content: bytes) -> None:
        put(path, b"2304" if path.endswith("rmem_max") else content)

    monkeypatch.setattr(machine, "put", stubborn)
    failed = run(host_tuning.main, {"sysctl": {"net.core.rmem_max": 1}})
    assert "After everything was applied, this remains: set net.core.rmem_max to 1" in failed["msg"]


def test_an_override_at_the_next_boot_is_a_warning(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    Path(machine.base, "etc/sysctl.d/99-theirs.conf").write_text("vm.max_map_count = 65530\n", encoding="utf-8")
    first = run(host_tuning.main, ASKED)
    assert "99-theirs.conf sets vm.max_map_count = 65530 after" in warned(first, capsys)
    # The controller's display shows the same warning once.
    assert run(host_tuning.main, ASKED)["notes"] == [note for note in first["notes"] if "99-theirs.conf" in note]
