# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host against its slice of the plan, each rule broken and kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import rules
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.facts import Host, Listener
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

PLAN = cluster().plan()["hosts"]
GOOD = Host(
    addresses={"127.0.0.1": "lo", "203.0.113.10": "fab0", "198.51.100.10": "mgmt0", "198.51.100.210": "mgmt0"},
    listeners=[Listener(22, 1, "sshd", "ssh.service")],
    systemd=True,
    shm_bytes=1 << 30,
)
MINE = Listener(30000, 7, "sglang", "sglang-prefill-0.service")
LOCAL = Listener(30000, 9, "nginx", address="127.0.0.1")

# Each rule: the host that breaks it, what the finding says, the host that keeps it.
Case = tuple[dict[str, Any], str, dict[str, Any]]
REFUSALS: dict[str, list[Case]] = {
    "preflight.address": [({"addresses": {"198.51.100.10": "mgmt0"}}, "203.0.113.10; the host has mgmt0 198.51.100.10", {})],
    "preflight.interface": [({"addresses": {"203.0.113.10": "eth9"}}, "203.0.113.10 is on eth9, not on fab0", {})],
    "preflight.port-taken": [
        ({"listeners": [Listener(30000, 7, "nginx", "nginx.service")]}, "is held by nginx (pid 7, nginx.service)", {"listeners": [MINE]}),
        ({"listeners": [replace(MINE, port=8998, unit="sglang-old-0.service")]}, "port 8998, planned for KV bootstrap", {"listeners": []}),
        (
            {"listeners": [replace(MINE, unit="sglang-old-0.service")], "own_units": ["sglang-older-0.service"]},
            "sglang-old-0.service",
            {"listeners": [replace(MINE, unit="sglang-old-0.service")], "own_units": ["sglang-old-0.service"]},
        ),
        ({"listeners": [Listener(5000)]}, "a process (pid 0)", {"listeners": [Listener(5001)]}),
        ({"listeners": [MINE, Listener(30000, 9, "nginx")]}, "nginx (pid 9)", {"listeners": [MINE, LOCAL]}),
        ({"listeners": [Listener(5000, 9, "nginx", address="127.0.0.1")]}, "nginx (pid 9)", {"listeners": []}),
    ],
    "preflight.port-ephemeral": [
        ({"ephemeral": (20000, 60999)}, "port 30000 (API) lies in this host's ephemeral range", {"ephemeral": (30001, 60999)}),
        ({"ephemeral": (5000, 5000)}, "port 5000 (rendezvous)", {"ephemeral": (5000, 5000), "reserved": "4000-4999,5000"}),
    ],
    "preflight.ipv6": [({"ipv6_disabled": True}, "ipv6.disable=1", {"ipv6_disabled": False})],
    "preflight.systemd": [({"systemd": False}, "systemd does not run this host", {})],
    "preflight.shm": [({"shm_bytes": (64 << 20) - 1}, "/dev/shm has 63 MiB free", {"shm_bytes": 64 << 20})],
    "preflight.proxy": [({"proxies": {"http_proxy": "http://192.0.2.1:3128"}}, "http_proxy", {"proxies": {}})],
}
CASES = [(rule, *case) for rule, cases in REFUSALS.items() for case in cases]


@pytest.mark.parametrize(("rule", "broken", "text", "kept"), CASES, ids=[f"{rule}-{index}" for index, (rule, *_rest) in enumerate(CASES)])
def test_rule(rule: str, broken: dict[str, Any], text: str, kept: dict[str, Any]) -> None:
    rows = rules.check(PLAN["p0"], replace(GOOD, **broken))
    assert {row["rule"] for row in rows} == {rule}
    assert any(text in row["text"] for row in rows), rows
    assert all(row["fix"] for row in rows)
    assert rules.check(PLAN["p0"], replace(GOOD, **kept)) == []


@pytest.mark.parametrize("rule", ["preflight.ipv6", "preflight.shm"])
def test_what_a_router_s_host_does_not_need(rule: str) -> None:
    assert rules.check(PLAN["r0"], replace(GOOD, **REFUSALS[rule][0][0])) == []


def test_a_router_s_host() -> None:
    rows = rules.check(PLAN["r0"], replace(GOOD, addresses={}, listeners=[Listener(8000, 9, "haproxy", "haproxy.service")]))
    assert [row["rule"] for row in rows] == ["preflight.address", "preflight.port-taken"]
    assert "the planned address 198.51.100.210; the host has none" in rows[0]["text"]
    assert rows[1]["variable"] == "sglang_router.port"


def test_without_tcp_transport_ipv6_may_be_off() -> None:
    plan = cluster().change({"sglang_env": {"MC_FORCE_TCP": None}}).plan()["hosts"]["p0"]
    assert rules.check(plan, replace(GOOD, ipv6_disabled=True)) == []


def test_everything_is_reported_at_once() -> None:
    rows = rules.check(PLAN["p0"], Host())
    assert {row["rule"] for row in rows} == {"preflight.systemd", "preflight.address", "preflight.shm"}
