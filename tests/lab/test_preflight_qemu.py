# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host checks on virtual machines with real RoCE: as they boot, then with one fault after the other on one of them, each undone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from labkit import INVENTORY, override
from qemukit import INTERFACES, QemuLab

pytestmark = [pytest.mark.lab, pytest.mark.full]

# The lab's CPU stack with RDMA; there is no third host for the router.
CLUSTER = {"sglang_rdma": True, "stack_builder": "p0", **override(sglang_router={"group": "prefill"})}
HOST, RAIL = "d0", 5
LINK = INTERFACES[HOST][RAIL]
STATE = f"cat /sys/class/infiniband/mlx5_{RAIL}/ports/1/state"
GID = f"cut -c 26-29 /sys/class/infiniband/mlx5_{RAIL}/ports/1/gids/1"
DROP_IN = "/etc/systemd/system/service.d/test.conf"


@pytest.fixture(scope="module")
def plan(machines: QemuLab) -> dict[str, Any]:
    """Return the host's slice of the plan, as site.yml completes it from facts and as its own preflight accepts it."""
    run = machines.play("--tags", "preflight", variables=CLUSTER).succeeded()
    checked = {row["host"]: row["data"] for row in run.results if row["action"] == "railyard.sglang.host_check"}
    assert {host: data["problems"] for host, data in checked.items()} == {"p0": [], "d0": []}
    found: dict[str, Any] = run.plan["hosts"][HOST]
    assert len(found["rdma"]["rails"]) == 8
    return found


def look(lab: QemuLab, plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of the host by rule, without the part of the name that all have."""
    arguments = json.dumps({"plan": plan, "show": "none"})
    done = lab.command("ansible", "-i", INVENTORY, HOST, "-b", "-m", "railyard.sglang.host_check", "-a", arguments)
    found = re.search(r"=> (\{.*\})\s*$", done.stdout, re.DOTALL)
    assert found, done.stdout + done.stderr
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(found.group(1))["checks"]:
        rows.setdefault(row["rule"].partition(".")[2], []).append(row)
    return rows


def states(rows: dict[str, list[dict[str, Any]]], *names: str) -> set[str]:
    """Return the states of some rules."""
    return {row["state"] for name in names for row in rows[name]}


def test_as_they_boot(machines: QemuLab, plan: dict[str, Any]) -> None:
    rows = look(machines, plan)
    assert states(rows, "rdma-device", "rdma-node", "rdma-gid", "rdma-mtu", "address", "interface", "port-taken") == {"ok"}
    assert states(rows, "systemd", "proxy", "command-line", "memlock", "python-path", "preload", "shm", "internal") == {"ok"}
    assert states(rows, "nic-link", "gpu-count", "gpu-memory", "xid", "fabricmanager", "acs", "ipv6") == {"n/a"}
    assert not states(rows, *rows) & {"error", "warning"}


@contextmanager
def link_down(lab: QemuLab) -> Iterator[None]:
    """Cut the cable of a rail."""
    lab.set_link(HOST, RAIL, up=False)
    try:
        assert lab.becomes(HOST, STATE, "1: DOWN", 30)
        yield
    finally:
        lab.set_link(HOST, RAIL, up=True)
    assert lab.becomes(HOST, STATE, "4: ACTIVE", 30)
    assert lab.becomes(HOST, GID, "ffff", 30)


@contextmanager
def commands(lab: QemuLab, do: str, undo: str) -> Iterator[None]:
    """Do something on the host, and undo it."""
    lab.answer(HOST, do)
    try:
        yield
    finally:
        lab.answer(HOST, undo)


def test_a_link_that_is_down(machines: QemuLab, plan: dict[str, Any]) -> None:
    with link_down(machines):
        (row,) = look(machines, plan)["rdma-device"]
    assert row["state"] == "error"
    assert row["text"] == f"mlx5_{RAIL}:1 ({LINK}) is DOWN, not ACTIVE"


def test_an_address_that_is_lost(machines: QemuLab, plan: dict[str, Any]) -> None:
    address = next(row for row in plan["rdma"]["rails"][RAIL]["addresses"] if ":" not in row)
    with commands(machines, f"ip address del {address} dev {LINK}", f"ip address add {address} dev {LINK}"):
        rows = look(machines, plan)
    assert machines.becomes(HOST, GID, "ffff", 30)
    (row,) = rows["rdma-gid"]
    assert row["state"] == "error"
    assert f"mlx5_{RAIL}:1 GID index 1 is " in row["text"]
    assert states(rows, "rdma-device") == {"ok"}


def test_a_small_mtu(machines: QemuLab, plan: dict[str, Any]) -> None:
    with commands(machines, f"ip link set {LINK} mtu 1500", f"ip link set {LINK} mtu 4200"):
        (row,) = look(machines, plan)["rdma-mtu"]
    assert row["state"] == "warning"
    assert row["text"] == f"mlx5_{RAIL}:1 sends packets of 1024 bytes: {LINK} has MTU 1500"


def test_a_device_that_is_gone(machines: QemuLab, plan: dict[str, Any]) -> None:
    back = f"rdma link add mlx5_{RAIL} type rxe netdev {LINK}"
    with commands(machines, f"rdma link delete mlx5_{RAIL}", back):
        rows = look(machines, plan)
    assert machines.becomes(HOST, GID, "ffff", 30)
    (row,) = rows["rdma-device"]
    assert (row["state"], f"the plan uses mlx5_{RAIL}, and the host's RDMA devices are mlx5_0" in row["text"]) == ("error", True)
    assert states(rows, "rdma-gid") == {"unknown"} or len(rows["rdma-gid"]) == 1


def test_what_the_host_adds_to_the_units(machines: QemuLab, plan: dict[str, Any]) -> None:
    text = r"[Service]\nLimitMEMLOCK=8M\nEnvironment=PYTHONPATH=/opt/other LD_PRELOAD=/opt/x.so\n"
    do = f"mkdir -p $(dirname {DROP_IN}) && printf '{text}' >{DROP_IN} && systemctl set-environment http_proxy=http://192.0.2.1:3128"
    with commands(machines, do, f"rm {DROP_IN} && systemctl unset-environment http_proxy"):
        rows = look(machines, plan)
    assert states(rows, "memlock", "proxy") == {"error"}
    assert states(rows, "python-path", "preload") == {"warning"}
    assert "8388608 bytes" in rows["memlock"][0]["text"]


def test_a_foreign_listener(machines: QemuLab, plan: dict[str, Any]) -> None:
    port = plan["ports"][0]["port"]
    server = f"import socket, time; held = socket.create_server(('', {port})); time.sleep(300)"
    do = f"systemd-run --quiet --unit foreign python3 -c \"{server}\" && sleep 5"
    with commands(machines, do, "systemctl stop foreign"):
        (row,) = look(machines, plan)["port-taken"]
    assert row["state"] == "error"
    assert re.search(r"is held by python3 \(pid [0-9]+, foreign\.service\)", row["text"]), row["text"]


def test_nothing_is_left_of_it(machines: QemuLab, plan: dict[str, Any]) -> None:
    assert not states(found := look(machines, plan), *found) & {"error", "warning"}
