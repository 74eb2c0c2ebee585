# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_check on this machine."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import host_check
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


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


def test_an_address_that_this_machine_does_not_have() -> None:
    result = run(host_check.main, {"plan": slice_of("192.0.2.77", 1)})
    (wrong,) = [row for row in result["problems"] if row["rule"] == "preflight.address"]
    assert "192.0.2.77; the host has lo 127.0.0.1" in wrong["text"] or "lo 127.0.0.1" in wrong["text"]
    assert result["addresses"]["127.0.0.1"] == "lo"
