# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap servers that prefill and decode do not reach in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster, gpu_cluster

PROXY = {"http_proxy": "http://192.0.2.1:3128"}
SIX = {"p0": "2001:db8::10", "p1": "2001:db8::11", "d0": "2001:db8::12", "d1": "2001:db8::13"}
IPV6: dict[str, Any] = {"sglang_fabric_network": "2001:db8::/64", **{f"{host}:sglang_fabric_address": text for host, text in SIX.items()}}
RUST = {"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0", "sglang_env.SGLANG_RUST_SERVER": "1"}
STORE = "sglang_env.ASCEND_MF_STORE_URL"
NPU: dict[str, Any] = {"sglang_stack": "sglang-0.5.8-ascend", "sglang_transfer_backend": "ascend", STORE: "tcp://203.0.113.10:24667"}
REFUSALS = {
    "no store": Refusal("bootstrap.ascend-store", {**NPU, STORE: GONE}, STORE, "prefill-0 is not told the store", "address of rank 0"),
    "no store for decode": Refusal(
        "bootstrap.ascend-store",
        {**NPU, "sglang_pools.decode.env": {"ASCEND_MF_STORE_URL": None}},
        "sglang_pools.decode.env.ASCEND_MF_STORE_URL",
        "decode-0 is not told the store",
    ),
    "no store, and a variable of another backend": Refusal(
        "bootstrap.ascend-store",
        {**NPU, STORE: GONE, "sglang_env.ENABLE_ASCEND_TRANSFER_WITH_MOONCAKE": "true"},
        STORE,
        "ENABLE_ASCEND_TRANSFER_WITH_MOONCAKE is not read by the backend ascend",
        severity="warning",
    ),
    "a store on a decode host": Refusal(
        "bootstrap.ascend-store", {**NPU, STORE: "tcp://203.0.113.110:24667"}, STORE, "203.0.113.110 is no address of rank 0 of prefill"
    ),
    "a store on the API port": Refusal(
        "port.twice",
        {**NPU, STORE: "tcp://203.0.113.10:30000"},
        STORE,
        "port 30000 is both the store of memfabric_hybrid and API",
        "sglang_pools.prefill.port",
        "p0",
    ),
    "a store in the ephemeral range": Refusal("port.range", {**NPU, STORE: "tcp://203.0.113.10:40000"}, STORE, "port 40000 (store of"),
    "decode with another port": Refusal(
        "bootstrap.ports-differ",
        {"sglang_pools.decode.bootstrap_port": 8999},
        "sglang_pools.decode.bootstrap_port",
        "is given 8999, and prefill listens on 8998",
        "bootstrap_port: 8998",
    ),
    "prefill with another port": Refusal(
        "bootstrap.ports-differ",
        {"sglang_pools.prefill.bootstrap_port": 9000},
        "sglang_pools.decode.bootstrap_port",
        "prefill listens on 9000",
    ),
    "a proxy whose exceptions leave the fabric out": Refusal(
        "bootstrap.proxy",
        {"sglang_env": {**PROXY, "NO_PROXY": "localhost,127.0.0.1,198.51.100.0/24"}},
        "sglang_env.http_proxy",
        "leaves out 203.0.113.10: bootstrap requests of prefill-0, decode-0 go to the proxy of http_proxy",
        "127.0.0.1,198.51.100.0/24,203.0.113.0/24",
    ),
    "the spelling in small letters wins": Refusal(
        "bootstrap.proxy",
        {"sglang_env": {**PROXY, "NO_PROXY": "*", "no_proxy": "localhost"}},
        "sglang_env.http_proxy",
        "NO_PROXY=localhost",
    ),
    "networks of IPv6 are not read": Refusal(
        "bootstrap.proxy",
        {**IPV6, "sglang_env": {**PROXY, "NO_PROXY": "2001:db8::/64"}},
        "sglang_env.http_proxy",
        "2001:db8::10",
        ",2001:db8::10",
    ),
    "the bootstrap server on the API port": Refusal(
        "bootstrap.rust-server",
        RUST,
        "sglang_env.SGLANG_RUST_SERVER",
        "listens on its API port 30000, and the router and decode are told 8998",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster() if refusal.rule == "bootstrap.rust-server" else None)


@pytest.mark.parametrize(
    "changes",
    [
        {"sglang_env": {**PROXY, "NO_PROXY": "203.0.113.0/24"}},
        {"sglang_env": {**PROXY, "no_proxy": "localhost, 203.0.113.10"}},
        {"sglang_env": {**PROXY, "NO_PROXY": "*"}},
        {"sglang_env": {"https_proxy": "http://192.0.2.1:3128", "NO_PROXY": "localhost"}},
        {**IPV6, "sglang_env": {**PROXY, "NO_PROXY": "2001:DB8::10"}},
        NPU,
        {"sglang_env": PROXY},  # environment.proxy
        {"sglang_pools.prefill.bootstrap_port": 9000, "sglang_pools.decode.bootstrap_port": 9000},
        {"sglang_env": {"SGLANG_RUST_SERVER": "1"}},  # 0.5.8 has none
        {**RUST, "sglang_env.SGLANG_RUST_SERVER": "false"},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert [found for found in cluster().change(changes).findings() if found.rule.startswith("bootstrap.")] == []


def test_two_bootstrap_ports_leave_decode_s_own_alone() -> None:
    rows = [{"name": "a", "hosts": ["p0", "p1"]}, {"name": "b", "hosts": ["p2", "p3"], "bootstrap_port": 9000}]
    assert cluster(4).change({"sglang_pools.prefill.instances": rows, "sglang_pools.decode.bootstrap_port": 9001}).findings() == []
