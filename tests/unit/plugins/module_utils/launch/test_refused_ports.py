# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that clash."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster

PREFILL = "sglang_pools.prefill"
SHARED = {"@router": ["p0"]}
REFUSALS = {
    "bootstrap port is the API port": Refusal(
        "port.twice",
        {f"{PREFILL}.bootstrap_port": 30000},
        f"{PREFILL}.bootstrap_port",
        "both API and KV bootstrap",
        f"change {PREFILL}.bootstrap_port or {PREFILL}.port",
        "p0",
    ),
    "rendezvous port is the API port": Refusal(
        "port.twice",
        {"sglang_pools.decode.dist_init_port": 30001},
        "sglang_pools.decode.dist_init_port",
        "both API and rendezvous",
        host="d0",
    ),
    "the router on an engine's host": Refusal(
        "port.twice", {**SHARED, "sglang_router.port": 30000}, "sglang_router.port", "both API and router API", host="p0"
    ),
    "the router's metrics": Refusal(
        "port.twice", {"sglang_router.metrics_port": 8000}, "sglang_router.metrics_port", "both router API and router metrics", host="r0"
    ),
    "an instance's own port": Refusal(
        "port.twice",
        {f"{PREFILL}.instances": [{"name": "a", "hosts": ["p0", "p1"], "port": 8998}]},
        f"{PREFILL}.bootstrap_port",
        "both API and KV bootstrap",
        f"{PREFILL}.instances[0].port",
        "p0",
    ),
    "ephemeral": Refusal("port.range", {f"{PREFILL}.port": 40000}, f"{PREFILL}.port", "ephemeral range 32768-60999", host="p1"),
    "ephemeral, first": Refusal("port.range", {f"{PREFILL}.port": 32768}, f"{PREFILL}.port", "ephemeral range", host="p0"),
    "ephemeral, last": Refusal("port.range", {"sglang_router.port": 60999}, "sglang_router.port", "ephemeral range", host="r0"),
    "Mooncake": Refusal("port.range", {f"{PREFILL}.port": 15000}, f"{PREFILL}.port", "Mooncake range 15000-17000", host="p0"),
    "Mooncake, last": Refusal("port.range", {f"{PREFILL}.bootstrap_port": 17000}, f"{PREFILL}.bootstrap_port", "Mooncake", host="p0"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize(
    "changes",
    [
        {f"{PREFILL}.port": 32767},
        {f"{PREFILL}.port": 61000},
        {f"{PREFILL}.port": 14999},
        {f"{PREFILL}.port": 17001},
        {f"{PREFILL}.port": 30001},  # decode's port, on other hosts
        SHARED,
        {"sglang_pools.decode.bootstrap_port": 30001},  # decode listens on none
    ],
)
def test_accepted(changes: dict[str, object]) -> None:
    assert not cluster().change(changes).findings()
