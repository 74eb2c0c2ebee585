# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric test between virtual machines: real perftest over soft-RoCE, under the engine's hardening."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from labkit import ROOT, Run
from qemukit import HOSTS, QemuLab

pytestmark = [pytest.mark.lab, pytest.mark.full]

PLAYBOOK = "playbooks/fabric.yml"
# Emulated processors: small messages, few at a time, and patience.
VARIABLES: dict[str, Any] = {
    "fabric_allreduce": False, "fabric_bandwidth_size": 16384, "fabric_bandwidth_iterations": 10, "fabric_latency_iterations": 10,
    "fabric_queue_pairs": 1, "fabric_both_directions": False, "fabric_ports_at_once": 2, "fabric_test_seconds": 30,
    "fabric_cross_seconds": 8, "fabric_connect_seconds": 60, "fabric_poll_seconds": 15,
}
ONE_TEST: dict[str, Any] = {"fabric_tests": ["write_bw"], "fabric_cross_rails": "none"}
RAILS = 8


def measure(lab: QemuLab, directory: Path, **change: Any) -> tuple[Run, dict[str, Any]]:
    """Run the fabric test and return the run and what it wrote."""
    variables = {**VARIABLES, "fabric_directory": str(directory), **change}
    run = lab.play("-f", "1", playbook=PLAYBOOK, variables=variables, seconds=900)
    return run, json.loads((directory / "fabric.json").read_text(encoding="utf-8"))


def states(result: dict[str, Any], kind: str) -> Counter[tuple[str, str]]:
    return Counter((row["test"], row["state"]) for row in result["measurements"] if row["kind"] == kind)


def test_all_rails_carry_rdma_and_none_reaches_another(machines: QemuLab, tmp_path: Path) -> None:
    run, result = measure(machines, tmp_path)
    run.succeeded()
    assert states(result, "same") == {("write_bw", "ok"): RAILS, ("write_lat", "ok"): RAILS}
    for row in result["measurements"]:
        if row["kind"] == "same":
            assert row["client"]["rail"] == row["server"]["rail"]
            assert (row["gbps"] or row["latency_us"]) > 0
            assert row["mtu"] == 4096
            assert row["carried"]["counter"] == "hw_counters/sent_pkts"
            assert row["carried"]["enough"] is True, "RDMA carried it, by the port's own counter"
    # In this lab each rail is a network of its own, and no router connects them.
    assert states(result, "cross") == {("write_bw", "failed"): RAILS - 1}
    assert result["cross_rail_reachable"] is False
    assert "sglang_rdma_cross_rail: false" in run.output
    machines.record("fabric test", {"seconds": result["seconds"], "run": round(run.seconds, 1)})
    for host in HOSTS:
        assert result["hosts"][host]["user"] == "a dynamic user, since sglang does not exist yet"
        assert "LimitMEMLOCK=infinity" in result["hosts"][host]["properties"]
        assert machines.answer(host, "systemctl list-units --all --plain --no-legend 'railyard-fabric-*'") == ""
        assert machines.answer(host, "find /root/.ansible_async -type f") == ""
    assert "rail 7" in (tmp_path / "fabric.html").read_text(encoding="utf-8")


def test_cut_link_is_the_failure_of_exactly_that_rail(machines: QemuLab, tmp_path: Path) -> None:
    machines.set_link("p0", 3, up=False)
    try:
        assert machines.becomes("p0", "cat /sys/class/infiniband/mlx5_3/ports/1/state", "1: DOWN", 20)
        run, result = measure(machines, tmp_path, **ONE_TEST)
    finally:
        machines.set_link("p0", 3, up=True)
        assert machines.becomes("p0", "grep -c ffff: /sys/class/infiniband/mlx5_3/ports/1/gids/1", "1", 60)
    run.refused()
    bad = [row for row in result["measurements"] if row["state"] != "ok"]
    assert [(row["kind"], row["host"], row["rail"]) for row in bad] == [("port", "p0", 3)]
    assert bad[0]["reason"] == "p0 has no data port on rail 3: mlx5_3:1 is DOWN, not ACTIVE"
    same = [row for row in result["measurements"] if row["kind"] == "same"]
    good = {row["client"]["rail"]: (row["client"]["device"], row["server"]["device"]) for row in same}
    assert good == {rail: (f"mlx5_{rail}",) * 2 for rail in range(RAILS) if rail != 3}, "the rails behind it did not shift"


def test_memlock_of_the_unit_decides(machines: QemuLab, tmp_path: Path) -> None:
    written = (ROOT / "roles/engine/templates/unit.service.j2").read_text(encoding="utf-8")
    template = tmp_path / "unit.service.j2"
    template.write_text(written.replace("LimitMEMLOCK=infinity", "LimitMEMLOCK=8K"), encoding="utf-8")
    assert "LimitMEMLOCK=8K" in template.read_text(encoding="utf-8")
    one_rail = {"sglang_rdma_devices": ["mlx5_0"], "engine_unit_template": str(template)}
    run, result = measure(machines, tmp_path, **ONE_TEST, **one_rail)
    text = run.refused()
    (row,) = [row for row in result["measurements"] if row["kind"] == "same"]
    assert (row["state"], row["code"], row["signature"]) == ("failed", "memory", "D30")
    assert "memlock is too small for RDMA" in text
    assert "LimitMEMLOCK=8K" in row["reason"]
