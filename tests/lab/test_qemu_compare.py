# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two virtual machines are compared with each other: equal as they boot, then with three faults on one of them, then equal again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labkit import Run
from qemukit import INTERFACES, QemuLab

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select

pytestmark = [pytest.mark.lab, pytest.mark.full]

# Emulated clocks run unevenly while the machine is busy.
SECONDS = 2.0
SHIFT = 5
MTU_RAIL, DOWN_RAIL = 2, 5
ROUTER = {"group": "prefill", "port": 8000}
STATE = f"cat /sys/class/infiniband/mlx5_{DOWN_RAIL}/ports/1/state"


@pytest.fixture(scope="module")
def lab(machines: QemuLab) -> Iterator[QemuLab]:
    """Return the machines with clocks that agree; whatever a test does to them is undone."""
    for host in ("p0", "d0"):
        machines.set_clock(host)
    yield machines
    restore(machines)


def restore(lab: QemuLab) -> None:
    """Undo the faults."""
    lab.set_link("d0", DOWN_RAIL, up=True)
    lab.answer("d0", f"ip link set {INTERFACES['d0'][MTU_RAIL]} mtu 4200")
    lab.set_clock("d0")
    assert lab.becomes("d0", STATE, "4: ACTIVE", 20)
    # Its address is back, too.
    assert lab.becomes("d0", f"cut -c 26-29 /sys/class/infiniband/mlx5_{DOWN_RAIL}/ports/1/gids/1", "ffff", 20)


def facts(lab: QemuLab, directory: Path, *arguments: str) -> tuple[Run, dict[str, Any]]:
    """Run facts.yml and return the run with its summary."""
    variables = {"facts_directory": str(directory), "facts_clock_seconds": SECONDS, "sglang_router": ROUTER}
    run = lab.play(*arguments, playbook="playbooks/facts.yml", variables=variables)
    path = directory / "summary.json"
    return run, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def problems(summary: dict[str, Any]) -> set[tuple[str, str]]:
    """Return rule and host of what is more than a note."""
    return {(row["rule"], row["host"]) for row in summary["findings"] if row["severity"] in ("error", "warning")}


def test_check_mode_writes_nothing(lab: QemuLab, tmp_path: Path) -> None:
    run, _none = facts(lab, tmp_path / "facts", "--check")
    run.succeeded()
    assert list(tmp_path.iterdir()) == []
    assert list(run.changed) == ["p0"], "what would be written on the controller"


def test_equal_hosts(lab: QemuLab, tmp_path: Path) -> None:
    run, summary = facts(lab, tmp_path)
    run.succeeded()
    assert problems(summary) == set()
    assert run.on_hosts()
    assert not [row for row in run.on_hosts() if row["changed"] and row["action"] != "railyard.sglang.host_compare"]
    rows = {row["name"]: row for row in summary["hosts"]}
    for host in ("p0", "d0"):
        assert [rail["netdev"] for rail in rows[host]["rails"]] == INTERFACES[host]
        clock = rows[host]["clock"]
        print(f"{host}: clock {clock['offset']} s within {clock['uncertainty']} s")
        assert clock["uncertainty"] < SECONDS
        written = json.loads((tmp_path / f"{host}.json").read_text(encoding="utf-8"))
        assert select(written)["data_devices"] == written["selection"]["data_devices"] == [f"mlx5_{index}" for index in range(8)]
    assert rows["p0"]["topology"] == rows["d0"]["topology"] != ""
    assert "mlx5_7 2.5 g1" in run.output
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8").splitlines()[3] in run.output
    assert "enp108s0f1" in (tmp_path / "summary.html").read_text(encoding="utf-8")


def test_three_faults_are_found_at_their_host_and_rail(lab: QemuLab, tmp_path: Path) -> None:
    small, cut = INTERFACES["d0"][MTU_RAIL], INTERFACES["d0"][DOWN_RAIL]
    lab.answer("d0", f"ip link set {small} mtu 1500")
    lab.set_link("d0", DOWN_RAIL, up=False)
    assert lab.becomes("d0", STATE, "1: DOWN", 10)
    lab.set_clock("d0", SHIFT)
    run, summary = facts(lab, tmp_path)
    assert run.rc != 0
    assert problems(summary) == {("compare.active-mtu", "d0"), ("compare.missing", "d0"), ("compare.clock", "d0")}
    texts = {row["rule"]: row["text"] for row in summary["findings"]}
    assert texts["compare.active-mtu"] == f"active MTU: rail {MTU_RAIL} (mlx5_{MTU_RAIL}, {small}) 1024, the others 4096"
    assert texts["compare.missing"] == f"rail {DOWN_RAIL} (mlx5_{DOWN_RAIL}, {cut}) is DOWN, not ACTIVE"
    assert "ahead of that of p0" in texts["compare.clock"]
    rows = {row["name"]: row for row in summary["hosts"]}
    assert {row["column"] for row in rows["d0"]["differs"]} == {f"rail {MTU_RAIL}", f"rail {DOWN_RAIL}", "clock"}
    assert rows["p0"]["differs"] == []
    assert SHIFT - SECONDS < rows["d0"]["clock"]["offset"] - rows["p0"]["clock"]["offset"] < SHIFT + SECONDS
    assert f"*mlx5_{DOWN_RAIL} DOWN" in run.output
    assert {path.name for path in tmp_path.iterdir()} == {"p0.json", "d0.json", "summary.txt", "summary.html", "summary.json"}


def test_a_limited_run_says_who_is_not_compared(lab: QemuLab, tmp_path: Path) -> None:
    run, summary = facts(lab, tmp_path, "--limit", "p0,localhost")
    run.succeeded()
    assert problems(summary) == set()
    assert "not in this run, and not compared: d0" in {row["text"] for row in summary["findings"]}
    assert not (tmp_path / "d0.json").exists()


def test_equal_again(lab: QemuLab, tmp_path: Path) -> None:
    restore(lab)
    run, summary = facts(lab, tmp_path)
    run.succeeded()
    assert problems(summary) == set()
