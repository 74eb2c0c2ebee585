# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_check on this machine, and on trees of our own."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import host_check
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.cases_host import filtered
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import World, cpu_world, gpu_world
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

REASON = "measured, and fast enough for us"


def slice_of(address: str, port: int) -> dict[str, Any]:
    """Return a router's slice of the plan; it is the one that runs on a host of any kind."""
    found = cluster().change({"r0:sglang_management_address": address, "sglang_router.port": 8000}).plan()["hosts"]["r0"]
    for row in [found["ports"][0], found["router"]["ports"][0]]:
        row["port"] = port
    return found


@pytest.mark.parametrize("check", [False, True])
def test_a_port_that_this_process_holds(check: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run(host_check.main, {"plan": slice_of("127.0.0.1", port)}, check)
    assert result["failed"]
    assert not result["changed"]
    (taken,) = [row for row in result["problems"] if row["rule"] == "preflight.port-taken"]
    assert f"(pid {os.getpid()}" in taken["text"]
    assert result["msg"].startswith("r0 cannot run its part of the plan; nothing was changed:\n- ")
    assert "[rule preflight.port-taken] Fix: stop that process, or choose another port in sglang_router.port" in result["msg"]
    assert "preflight.address" not in result["msg"]


def test_some_rules_only() -> None:
    result = run(host_check.main, {"plan": slice_of("192.0.2.77", 1), "only": ["preflight.systemd", "preflight.shm"]})
    assert {row["rule"] for row in result["checks"]} == {"preflight.systemd", "preflight.shm"}
    assert "preflight.address" not in str(result.get("msg", ""))


def test_an_address_that_this_machine_does_not_have() -> None:
    result = run(host_check.main, {"plan": slice_of("192.0.2.77", 1)})
    (wrong,) = [row for row in result["problems"] if row["rule"] == "preflight.address"]
    assert "192.0.2.77; the host has lo 127.0.0.1" in wrong["text"] or "lo 127.0.0.1" in wrong["text"]
    assert wrong["failures"] == ["D04", "D08"]
    assert result["addresses"]["127.0.0.1"] == "lo"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a good host of GPUs whose programs answer to the module."""
    world = gpu_world(tmp_path)
    monkeypatch.setattr(host_check, "run", world.run)
    return world


def test_a_good_host(given: World) -> None:
    result = run(host_check.main, {"plan": given.plan, "root": str(given.host.root)})
    assert not result.get("failed"), result["msg"]
    assert (result["problems"], result["findings"]) == ([], [])
    assert result["summary"] == "41 ok, 2 n/a"
    assert len(result["table"]) == len(result["checks"]) + 2
    assert "warnings" not in result


def test_all_errors_at_once_and_warnings_beside_them(given: World, capsys: pytest.CaptureFixture[str]) -> None:
    given.host.file("/sys/class/infiniband/mlx5_2/ports/1/state", "1: DOWN")
    given.host.file("/etc/systemd/system/service.d/l.conf", "[Service]\nLimitMEMLOCK=8M\n")
    given.host.file("/sys/class/net/ens4np0/mtu", "1500")
    given.gpus[3]["mig"] = "Enabled"
    result = run(host_check.main, {"plan": given.plan, "root": str(given.host.root)})
    assert result["failed"]
    assert [row["rule"] for row in result["problems"]] == ["preflight.gpu-mig", "preflight.rdma-device", "preflight.memlock"]
    assert len(result["msg"].splitlines()) == 4
    assert "[rule preflight.rdma-device, D14 D17 D18] Fix: look at cable" in result["msg"]
    # In a process that has loaded the controller's display, ansible-core shows warnings itself.
    shown = str(result.get("warnings")) + capsys.readouterr().err
    assert shown.count("p0: mlx5_4:1 sends packets of 1024 bytes") == 1
    assert {row["severity"] for row in result["findings"]} == {"error", "warning"}


def test_closed_ports_are_a_note_where_a_later_stage_opens_them(given: World) -> None:
    filtered("firewalld_public")(given)
    arguments = {"plan": given.plan, "root": str(given.host.root)}
    result = run(host_check.main, arguments)
    assert result["failed"]
    assert {row["rule"] for row in result["problems"]} == {"preflight.firewall"}
    assert "set network_firewall: true, or firewall-cmd --permanent --zone=public --add-port=30000/tcp" in result["msg"]
    result = run(host_check.main, {**arguments, "firewall_managed": True})
    assert not result.get("failed"), result["msg"]
    assert {row["severity"] for row in result["findings"]} == {"note"}


def test_waived(given: World) -> None:
    given.host.file("/sys/class/infiniband/mlx5_2/ports/1/state", "1: DOWN")
    waive = {"preflight.rdma-device": REASON, "port.range": "a rule of the plan"}
    result = run(host_check.main, {"plan": given.plan, "root": str(given.host.root), "waive": waive})
    assert not result.get("failed"), result["msg"]
    (row,) = result["findings"]
    assert (row["severity"], row["text"]) == ("waived", f"mlx5_2:1 (ens2np0) is DOWN, not ACTIVE (waived: {REASON})")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"waive": {"preflight.rdma": REASON}}, "preflight_waive: preflight.rdma is not a rule of the host checks. Fix: name a rule"),
        ({"waive": {"preflight.rdma-gid": "no"}}, "preflight_waive: preflight.rdma-gid has no reason"),
        ({"root": "/no/such/directory"}, "root: there is no directory /no/such/directory"),
        ({"show": "some"}, "value of show must be one of: findings, all, none"),
    ],
)
def test_wrong_parameters(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    result = run(host_check.main, {"plan": cpu_world(tmp_path).plan, "root": str(tmp_path), **arguments})
    assert result["failed"]
    assert message in result["msg"]
