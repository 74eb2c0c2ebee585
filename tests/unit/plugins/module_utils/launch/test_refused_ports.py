# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that clash."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster

PREFILL = "sglang_pools.prefill"
SHARED = {"@router": ["p0"]}


def moved(low: int, high: int, word: str = "PRC") -> dict[str, str]:
    """Return Mooncake's range, in one of its spellings."""
    return {f"MC_MIN_{word}_PORT": str(low), f"MC_MAX_{word}_PORT": str(high)}


def counted(**pool: Any) -> dict[str, Any]:
    """Return three prefill instances on one host."""
    rows = [{"name": name, "hosts": ["p0"]} for name in ("a", "b", "c")]
    own = {f"{PREFILL}.{key}": value for key, value in pool.items()}
    return {"@prefill": ["p0"], f"{PREFILL}.instances": rows, f"{PREFILL}.tp": 1, "p0:sglang_gpu.count": 8, **own}


REFUSALS = {
    "counted on beyond the last port": Refusal(
        "port.number", counted(port=65530), f"{PREFILL}.port", "port 65540 (API) is not from 1 to 65535", "start lower", "p0"
    ),
    "DP attention's beyond the last port": Refusal(
        "port.number",
        counted(dist_init_port=65486, dp=2, tp=2, dp_attention=True),
        f"{PREFILL}.dist_init_port",
        "port 65539 (DP handshake) is not from 1",
        host="p0",
    ),
    "an optional port beyond the last one": Refusal(
        "port.number",
        {"sglang_stack": "sglang-0.5.23-cu13", "sglang_args.engine-info-bootstrap-port": 70000},
        "sglang_args.engine-info-bootstrap-port",
        "70000 is not from 1 to 65535",
        host="p0",
    ),
    "Mooncake's range beyond the last port": Refusal(
        "port.number", {"sglang_env": moved(61000, 70000)}, "sglang_env.MC_MIN_PRC_PORT", "61000-70000 goes beyond 65535", host="p0"
    ),
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
    "the router on a host with Mooncake": Refusal(
        "port.range", {**SHARED, "sglang_router.port": 16000}, "sglang_router.port", "(router API) lies in the Mooncake range", host="p0"
    ),
    "Mooncake moved": Refusal(
        "port.range", {"sglang_env": moved(29900, 30100)}, f"{PREFILL}.port", "lies in the Mooncake range 29900-30100", host="p0"
    ),
    "Mooncake moved in the other spelling": Refusal(
        "port.range", {"sglang_env": moved(29900, 30100, "RPC")}, f"{PREFILL}.port", "lies in the Mooncake range 29900-30100", host="p0"
    ),
    "Mooncake's range is not moved by the other spelling before 0.3.11": Refusal(
        "port.range",
        {"sglang_env": moved(20000, 21000, "RPC"), f"{PREFILL}.port": 15500},
        f"{PREFILL}.port",
        "range 15000-17000",
        host="p0",
    ),
    "a range that ends before it begins": Refusal(
        "port.mooncake-range",
        {"sglang_env": moved(17000, 15000)},
        "sglang_env.MC_MIN_PRC_PORT",
        "range 17000-15000 has 0 ports",
        "15000",
        "p0",
    ),
    "a range that begins after its default end": Refusal(
        "port.mooncake-range",
        {"sglang_env": {"MC_MIN_PRC_PORT": "20000"}},
        "sglang_env.MC_MIN_PRC_PORT",
        "range 20000-17000 has 0",
        host="d1",
    ),
    "a range for too few ranks": Refusal(
        "port.mooncake-range",
        {"sglang_env": moved(15000, 15000)},
        "sglang_env.MC_MIN_PRC_PORT",
        "has 1 ports, and the ranks of this host take 2",
        host="p1",
    ),
    "a range that is ephemeral": Refusal(
        "port.mooncake-range",
        {"sglang_env": moved(32000, 33000)},
        "sglang_env.MC_MIN_PRC_PORT",
        "meets ports for root or",
        host="p1",
        severity="warning",
    ),
    **{
        f"a range that touches the ephemeral one: {low}-{high}": Refusal(
            "port.mooncake-range",
            {"sglang_env": moved(low, high)},
            "sglang_env.MC_MIN_PRC_PORT",
            f"Mooncake's range {low}-{high} meets",
            host="d0",
            severity="warning",
        )
        for low, high in ((31000, 32768), (60999, 61999), (31000, 62000))
    },
    "a range for root": Refusal(
        "port.mooncake-range",
        {"sglang_env": moved(1000, 1100)},
        "sglang_env.MC_MIN_PRC_PORT",
        "0.3.12 ignores it",
        "32767",
        "p1",
        "warning",
    ),
    "a port for root": Refusal(
        "port.privileged", {"sglang_router.port": 80}, "sglang_router.port", "port 80 (router API) is for root", "1024", "r0"
    ),
    "the last port for root": Refusal(
        "port.privileged", {f"{PREFILL}.bootstrap_port": 1023}, f"{PREFILL}.bootstrap_port", "1023 (KV bootstrap)", host="p0"
    ),
    "sglang's own ports": Refusal(
        "port.sglang-port",
        {"sglang_env.SGLANG_PORT": "29950"},
        "sglang_env.SGLANG_PORT",
        "first free ports from 29950 on, and 30001 (API) may be among them",
        "20000",
        "d0",
    ),
    "sglang's own ports from a fixed one on": Refusal(
        "port.sglang-port", {"sglang_env.SGLANG_PORT": "30001"}, "sglang_env.SGLANG_PORT", "30001 (rank health)", host="d1"
    ),
    "an optional port": Refusal(
        "port.twice",
        {"sglang_stack": "sglang-0.5.23-cpu", "sglang_args": {"gated-launch-port": 8998}},
        "sglang_args.gated-launch-port",
        "port 8998 is both KV bootstrap and --gated-launch-port",
        f"change gated-launch-port or {PREFILL}.bootstrap_port",
        "p0",
    ),
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
        {f"{PREFILL}.port": 1024},
        {f"{PREFILL}.port": 15500, "sglang_env": moved(20000, 21000)},
        {f"{PREFILL}.port": 15500, "sglang_transfer_backend": "nixl"},
        {"sglang_router.port": 16000},  # no rank on that host
        {"sglang_env": moved(15000, 15001)},
        {"sglang_env": moved(31000, 32767)},
        {"sglang_env": moved(61000, 62000)},
        {"sglang_env": moved(1024, 1100)},
        {"sglang_env": {**moved(15000, 17000), **moved(15000, 17000, "RPC")}},
        {"sglang_env.SGLANG_PORT": "29900"},
        {"sglang_env.SGLANG_PORT": "30002"},
        {"sglang_stack": "sglang-0.5.23-cpu", "sglang_args": {"gated-launch-port": 7000}},
    ],
)
def test_accepted(changes: dict[str, object]) -> None:
    assert [found for found in cluster().change(changes).findings() if found.rule.startswith("port.")] == []
