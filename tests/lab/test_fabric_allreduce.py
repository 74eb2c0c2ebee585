# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric test's all-reduces on a cluster that serves: real torch, the plan's environment, the engine's unit and user."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from labkit import Lab, Run, python_command, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.full]

PLAYBOOK = "playbooks/fabric.yml"
VARIABLES: dict[str, Any] = {
    "fabric_pairs": False, "fabric_allow_serving": True, "fabric_allreduce_mib": [1, 8], "fabric_allreduce_iterations": 3,
    "fabric_allreduce_connect_seconds": 120, "fabric_allreduce_seconds": 90,
}
UNITS = "systemctl list-units --all --plain --no-legend 'railyard-fabric-*'"


def measure(cluster: Lab, directory: Path, *arguments: str, **change: Any) -> tuple[Run, dict[str, Any]]:
    """Run the fabric test and return the run and what it wrote."""
    variables = {**cluster.variables, **VARIABLES, "fabric_directory": str(directory), **change}
    run = cluster.play(*arguments, playbook=PLAYBOOK, variables=variables, seconds=420)
    file = directory / "fabric.json"
    return run, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def groups(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["instance"]: row for row in result["measurements"] if row["kind"] == "allreduce"}


def test_serving_cluster_is_not_disturbed_without_consent(cluster: Lab, tmp_path: Path) -> None:
    run, result = measure(cluster, tmp_path / "fabric", fabric_allow_serving=False)
    text = run.refused()
    assert "p0: sglang-prefill-0.service would be disturbed. Fix: stop it, or consent by fabric_allow_serving: true" in text
    assert result == {}


def test_check_mode_shows_the_schedule_and_runs_nothing(cluster: Lab, tmp_path: Path) -> None:
    run, result = measure(cluster, tmp_path / "fabric", "--check")
    run.succeeded()
    assert "all-reduce" in run.output
    assert result == {}
    ran = {row["action"] for row in run.results if row["kind"] != "skipped"}
    assert ran.isdisjoint({"railyard.sglang.fabric_measure", "railyard.sglang.fabric_report"})


def test_every_instance_reduces_over_its_hosts_as_the_engine_would(cluster: Lab, tmp_path: Path) -> None:
    before = cluster.processes()
    # One fork: the hosts are started one after the other, and still measure together.
    run, result = measure(cluster, tmp_path / "fabric", "--forks", "1")
    run.succeeded()
    found = groups(result)
    assert set(found) == {"prefill-0", "decode-0"}
    for row in found.values():
        assert (row["state"], row["test"], len(row["where"])) == ("ok", "gloo", 2)
        assert [size["bytes"] for size in row["rows"]] == [1 << 20, 8 << 20]
        assert all(size["right"] and size["busbw_gbps"] > 0 for size in row["rows"])
    cluster.record("all-reduce", {name: round(row["busbw_gbps"], 2) for name, row in found.items()})
    for host, row in result["hosts"].items():
        assert row["user"] == "sglang", host
        assert row["unit"] in ("sglang-prefill-0.service", "sglang-decode-0.service")
        assert "NoNewPrivileges=yes" in row["properties"]
    assert "All-reduce" in (tmp_path / "fabric" / "fabric.html").read_text(encoding="utf-8")
    assert cluster.processes() == before, "the engines went on"
    left = cluster.everywhere(f"{UNITS}; find /root/.ansible_async -type f 2>/dev/null || true")
    assert set(left.values()) == {""}, "nothing is left behind"


# Halts the first unit of the fabric test that appears, with all its processes.
HALT = r"""
import subprocess, time
end = time.monotonic() + 300
while time.monotonic() < end:
    listed = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "railyard-fabric-*"], capture_output=True, text=True).stdout.split()
    if listed:
        subprocess.run(["systemctl", "kill", "--signal=STOP", listed[0]], check=True)
        print("halted", flush=True)
        break
    time.sleep(0.2)
"""


def test_host_whose_rank_hangs_is_named_in_time(cluster: Lab, tmp_path: Path) -> None:
    halting = cluster.background("d1", python_command(base64.b64encode(HALT.encode()).decode()))
    try:
        run, result = measure(cluster, tmp_path / "fabric", fabric_allreduce_connect_seconds=60, fabric_allreduce_seconds=40)
    finally:
        halting.kill()
        halting.wait(20)
    text = run.refused()
    assert run.seconds < 240
    found = groups(result)
    assert found["prefill-0"]["state"] == "ok", "the other instance is not touched"
    row = found["decode-0"]
    assert (row["state"], row["culprits"]) == ("failed", ["d1"])
    assert "d0: ranks did not come to the rendezvous: d1" in text or "silent: d1" in text
    wait_until(lambda: set(cluster.everywhere(UNITS).values()) == {""}, 60, "no unit is left")
