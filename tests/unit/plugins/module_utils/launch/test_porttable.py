# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must reach whom, for plans of several shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, cluster, gpu_cluster

Row = tuple[str, str, str, str, str]
# Source, host, address, protocol and port, purpose.
LAB: list[Row] = [
    ("lab routers", "p0", "203.0.113.10", "tcp 30000", "API"),
    ("monitoring", "p0", "203.0.113.10", "tcp 30000", "metrics and health"),
    ("lab prefill and decode", "p0", "203.0.113.10", "tcp 8998", "KV bootstrap"),
    ("lab/prefill-0", "p0", "203.0.113.10", "tcp 5000", "rendezvous"),
    ("lab decode", "p0", "203.0.113.10", "tcp 15000-17000", "Mooncake handshake"),
    ("lab engines", "p0", "", "tcp 32768-60999", "ephemeral ports between engines"),
    ("controllers", "p0", "", "tcp 22", "SSH"),
    ("monitoring", "p1", "203.0.113.11", "tcp 30000", "rank health"),
    ("lab decode", "p1", "203.0.113.11", "tcp 15000-17000", "Mooncake handshake"),
    ("lab engines", "p1", "", "tcp 32768-60999", "ephemeral ports between engines"),
    ("controllers", "p1", "", "tcp 22", "SSH"),
    ("lab routers", "d0", "203.0.113.110", "tcp 30001", "API"),
    ("monitoring", "d0", "203.0.113.110", "tcp 30001", "metrics and health"),
    ("lab/decode-0", "d0", "203.0.113.110", "tcp 5000", "rendezvous"),
    ("lab prefill", "d0", "203.0.113.110", "tcp 15000-17000", "Mooncake handshake"),
    ("lab engines", "d0", "", "tcp 32768-60999", "ephemeral ports between engines"),
    ("controllers", "d0", "", "tcp 22", "SSH"),
    ("monitoring", "d1", "203.0.113.111", "tcp 30001", "rank health"),
    ("lab prefill", "d1", "203.0.113.111", "tcp 15000-17000", "Mooncake handshake"),
    ("lab engines", "d1", "", "tcp 32768-60999", "ephemeral ports between engines"),
    ("controllers", "d1", "", "tcp 22", "SSH"),
    ("clients", "r0", "198.51.100.210", "tcp 8000", "router API"),
    ("monitoring", "r0", "198.51.100.210", "tcp 29000", "router metrics"),
    ("controllers", "r0", "", "tcp 22", "SSH"),
]


def rows(inventory: Inventory) -> set[Row]:
    return {
        (flow.source, flow.host, flow.address, f"{flow.protocol} {flow.port}", flow.purpose) for flow in porttable.flows(inventory.plan())
    }


def test_every_flow_of_the_lab() -> None:
    found = rows(cluster())
    assert found == set(LAB)
    assert len(porttable.flows(cluster().plan())) == len(LAB)


ROCE = ("rails of engines", "p0", "", "udp 4791", "RoCE v2")
# Inventory, changes, flows that must be there, and flows that must not.
SHAPES: dict[str, tuple[Inventory, Mapping[str, Any], list[Row], list[Row]]] = {
    "RDMA": (gpu_cluster(), {}, [ROCE, LAB[4]], []),
    "NIXL has no handshake range": (
        gpu_cluster(), {"sglang_transfer_backend": "nixl"}, [ROCE, LAB[5]], [LAB[4]],
    ),
    "range moved": (
        cluster(), {"p0:sglang_host_env": {"MC_MIN_PRC_PORT": "15100", "MC_MAX_PRC_PORT": "15200"}},
        [("lab decode", "p0", "203.0.113.10", "tcp 15100-15200", "Mooncake handshake"), LAB[8]], [LAB[4]],
    ),
    "one host per instance meets on loopback": (
        cluster(1, 1, 1, 1), {}, [LAB[0], LAB[2], LAB[4]], [LAB[3], ("lab/prefill-0", "p0", "127.0.0.1", "tcp 5000", "rendezvous")],
    ),
    "ranks that meet on another network": (
        cluster(), {"p0:sglang_bind_address": "0.0.0.0", "p0:sglang_dist_init_address": "198.51.100.10"},
        [
            LAB[0],
            LAB[2],
            ("lab/prefill-0", "p0", "198.51.100.10", "tcp 8998", "KV bootstrap"),
            ("lab/prefill-0", "p0", "198.51.100.10", "tcp 5000", "rendezvous"),
        ],
        [LAB[3]],
    ),
    "all addresses bound, one dialled": (cluster(), {"p0:sglang_bind_address": "0.0.0.0"}, [LAB[0], LAB[2]], []),
    "DP attention over TCP": (
        gpu_cluster(), {"sglang_pools.prefill.dp": 4, "sglang_pools.prefill.dp_attention": True},
        [
            ("lab/prefill-0", "p0", "203.0.113.10", "tcp 5001", "tokenizer"),
            ("lab/prefill-0", "p0", "203.0.113.10", "tcp 5013", "DP handshake"),
        ],
        [("lab/decode-0", "d0", "203.0.113.110", "tcp 5001", "tokenizer")],
    ),
    "no monitoring port is everybody's": (cluster(), {"sglang_router.port": 8080}, [
        ("clients", "r0", "198.51.100.210", "tcp 8080", "router API"),
    ], [("clients", "r0", "198.51.100.210", "tcp 29000", "router metrics")]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name: str) -> None:
    inventory, changes, there, absent = SHAPES[name]
    found = rows(inventory.change(changes))
    assert [row for row in there if row not in found] == []
    assert [row for row in absent if row in found] == []


# Environment and backend of a GPU rank in an instance of so many hosts: whether it speaks RDMA.
RDMA = [
    ({}, 2, "decode", True),
    ({"MC_FORCE_TCP": "1"}, 2, "decode", True),
    ({"MC_FORCE_TCP": "1", "NCCL_IB_DISABLE": "1"}, 2, "decode", False),
    ({"MC_FORCE_TCP": "true"}, 1, "decode", False),
    ({"NCCL_IB_DISABLE": "1"}, 2, "decode", True),
    ({}, 1, "plain", False),
    ({}, 2, "plain", True),
]


@pytest.mark.parametrize(("environment", "nodes", "mode", "wanted"), RDMA)
def test_rdma(environment: dict[str, str], nodes: int, mode: str, wanted: bool) -> None:
    rank = {"device": "cuda", "environment": environment, "nodes": nodes, "mode": mode, "argv": [], "arguments": {}}
    assert porttable.rdma(rank) is wanted
    assert porttable.rdma({**rank, "device": "cpu"}) is False


@pytest.mark.parametrize(
    ("transports", "wanted"), [("tcp", False), ("tcp,cuda_copy,cuda_ipc", False), ("rc,tcp", True), ("all", True), (None, True)]
)
def test_rdma_of_nixl(transports: str | None, wanted: bool) -> None:
    environment = {} if transports is None else {"UCX_TLS": transports}
    arguments = {"disaggregation-transfer-backend": "nixl"}
    rank = {"device": "cuda", "environment": environment, "nodes": 1, "mode": "decode", "argv": [], "arguments": arguments}
    assert porttable.rdma(rank) is wanted


def test_groups() -> None:
    groups = porttable.groups(cluster().plan())
    assert {name: group.hosts for name, group in groups.items()} == {
        "lab engines": ["p0", "p1", "d0", "d1"],
        "lab prefill and decode": ["p0", "p1", "d0", "d1"],
        "lab prefill": ["p0", "p1"],
        "lab decode": ["d0", "d1"],
        "lab/prefill-0": ["p0", "p1"],
        "lab/decode-0": ["d0", "d1"],
        "lab routers": ["r0"],
    }
    assert groups["lab routers"].addresses == ["198.51.100.210", "203.0.113.210"]


def test_a_router_without_a_fabric_address_comes_from_the_workers_network() -> None:
    groups = porttable.groups(cluster().change({"r0:sglang_fabric_address": GONE}).plan())
    assert groups["lab routers"].addresses == ["198.51.100.210", "203.0.113.0/24"]
    six = {f"{host}:sglang_fabric_address": f"2001:db8::d{host[1]}" for host in ("d0", "d1")}
    six |= {"p0:sglang_fabric_address": "2001:db8::a0", "p1:sglang_fabric_address": "2001:db8::a1", "r0:sglang_fabric_address": GONE}
    plan = cluster().change({**six, "sglang_fabric_network": "2001:db8::/64"}).plan()
    assert porttable.groups(plan)["lab routers"].addresses == ["198.51.100.210", "2001:db8::/64"]


def test_the_store_of_npus_must_be_reached() -> None:
    changes = {"sglang_stack": "sglang-0.5.8-ascend", "sglang_transfer_backend": "ascend"}
    found = rows(cluster().change({**changes, "sglang_env.ASCEND_MF_STORE_URL": "tcp://203.0.113.10:24667"}))
    assert ("lab prefill and decode", "p0", "203.0.113.10", "tcp 24667", "memfabric store") in found
    elsewhere = {**changes, "sglang_env.ASCEND_MF_STORE_URL": "tcp://store.example.org:24667"}
    assert not [row for row in rows(cluster().change(elsewhere)) if row[4] == "memfabric store"]


def test_group_has_every_address_that_a_host_dials_from() -> None:
    changes = {"p0:sglang_bind_address": "0.0.0.0", "p0:sglang_dist_init_address": "198.51.100.10", "p1:sglang_bind_address": "0.0.0.0"}
    groups = porttable.groups(cluster().change(changes).plan())
    assert groups["lab/prefill-0"].addresses == ["203.0.113.10", "198.51.100.10", "203.0.113.11"]


def test_summary_does_not_grow_with_the_cluster() -> None:
    small, large = (porttable.summary(porttable.flows(gpu_cluster(size, size).plan())) for size in (4, 40))
    assert len(small) == len(large)
    assert ("lab engines", "p0, p1, ... d39 (80)", "tcp", "32768-60999", "ephemeral ports between engines", "always") in large


def test_a_host_that_reaches_only_itself_needs_nothing() -> None:
    one_host = gpu_cluster(1, 1, 1).change({
        **{f"@{group}": ["p0"] for group in ("prefill", "decode", "router", "all")},
        **{f"sglang_pools.{pool}.tp": 1 for pool in ("prefill", "decode")},
        "sglang_model": {"path": "/opt/models/tiny", "name": "tiny"},
    })
    assert {(source, purpose) for source, _host, _address, _port, purpose in rows(one_host)} == {
        ("clients", "router API"), ("monitoring", "router metrics"), ("monitoring", "metrics and health"), ("controllers", "SSH"),
    }


def test_worker_outside_of_the_plan_is_nobody_s_host() -> None:
    plan = cluster().plan()
    plan["routers"][0]["workers"].append({"instance": "", "role": "decode", "url": "http://[2001:db8::5]:31000", "bootstrap_port": None})
    (flow,) = porttable.by_host(porttable.flows(plan))[""]
    assert (flow.source, flow.address, flow.port) == ("lab routers", "2001:db8::5", "31000")
