# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The field cluster as its operator had it: the plan refuses it, and names every fault by its rule."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import inventories

NAME = "field-2p2d-as-found"
FAULTS = {
    # API and bootstrap server on the management network, registration on the fabric.
    "error networks.bootstrap-unreachable",
    "warning networks.bind-apart",
    # SGLANG_HOST_IP and GLOO_SOCKET_IFNAME are not set.
    "error networks.kv-address-unset",
    "warning environment.gloo-interface",
    # NCCL meets on bond0; the router has no named address where the engines are.
    "warning networks.socket-interface",
    "note networks.router-fabric",
    # mlx5_0 for all GPUs.
    "warning rdma.one-nic",
    # The router's line has no bootstrap port, and health checks with 5 s of patience that find a dead worker after 180 s.
    "error router.bootstrap-port",
    "warning routing.health-timeout",
    "note routing.health-detection",
    # The environment.
    "warning environment.overwritten",
    "error environment.dangerous",
    "note environment.dangerous",
    "note environment.hca-prefix",
    "warning environment.traffic-class",
    "note environment.interface-prefix",
    "note environment.gid-index",
    # What a cluster in service should have.
    "note stack.metrics",
}
HOSTS = {"prefill-39", "prefill-41", "decode-49", "decode-33"}
TWELVE = [f"mlx5_{number}" for number in range(12)]
RANK_1 = [
    {"url": "http://198.51.100.39:30000", "role": "prefill"},
    {"url": "http://198.51.100.41:30000", "role": "prefill"},
    {"url": "http://198.51.100.49:30001", "role": "decode"},
    {"url": "http://198.51.100.33:30001", "role": "decode"},
]


def test_every_fault_is_named() -> None:
    assert inventories.said(inventories.findings(NAME)) == FAULTS


@pytest.mark.parametrize(
    ("rule", "variable", "hosts", "words"),
    [
        ("networks.bootstrap-unreachable", "sglang_bind_address", {"prefill-39"}, ("198.51.100.39", "203.0.113.193")),
        ("networks.kv-address-unset", "sglang_env.SGLANG_HOST_IP", HOSTS, ("default route",)),
        ("environment.gloo-interface", "sglang_env.GLOO_SOCKET_IFNAME", {""}, ("Gloo",)),
        ("rdma.one-nic", "sglang_args.disaggregation-ib-device", HOSTS, ("8 GPUs", "mlx5_0")),
        ("router.bootstrap-port", "sglang_router.workers[0].bootstrap_port", {""}, ("8998",)),
        ("routing.health-timeout", "sglang_router.args.health-check-timeout-secs", {""}, ("5 s",)),
        ("environment.overwritten", "sglang_env.CUDA_DEVICE_MAX_CONNECTIONS", {""}, ("8",)),
        ("environment.dangerous", "sglang_env.PYTORCH_CUDA_ALLOC_CONF", {""}, ("segments",)),
        ("environment.hca-prefix", "sglang_env.NCCL_IB_HCA", {""}, ("prefixes",)),
        ("environment.traffic-class", "sglang_env.NCCL_IB_TC", {""}, ("MC_IB_TC",)),
    ],
)
def test_what_is_said_of_a_fault(rule: str, variable: str, hosts: set[str], words: tuple[str, ...]) -> None:
    found = [finding for finding in inventories.findings(NAME) if (finding.rule, finding.variable) == (rule, variable)]
    assert {finding.host for finding in found} == hosts
    assert all(word in found[0].text for word in words), found[0].text
    assert all(finding.fix for finding in found)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        # Facts of the hosts.
        ({"sglang_gpu_nic_path": "PXB"}, {"error rdma.gdr-level"}),
        # What the operator was told to do about the HTTP 500.
        ({"sglang_router.workers": RANK_1}, {"error router.not-rank-0"}),
        ({"sglang_pools.prefill.args": {"disaggregation-decode-url": "http://198.51.100.49:30001"}}, {"error argument.other-engine"}),
        ({"sglang_args.kv-transfer-config": "{}"}, {"error argument.other-engine"}),
    ],
)
def test_more_faults(changes: dict[str, Any], more: set[str]) -> None:
    found = inventories.said(inventories.findings(NAME, changes))
    assert found - FAULTS == more


@pytest.mark.parametrize(
    ("listed", "severities"), [("mlx5_0,mlx5_3,mlx5_10,mlx5_11", set()), ("mlx5_0,mlx5_1", {"error"}), ("=mlx5_0,mlx5_1", set())],
)
def test_device_names_are_prefixes_once_the_devices_are_known(listed: str, severities: set[str]) -> None:
    found = inventories.findings(NAME, {"sglang_rdma_devices": TWELVE, "sglang_env.NCCL_IB_HCA": listed})
    assert {finding.severity for finding in found if finding.rule == "environment.hca-prefix"} == severities


def test_all_advice_at_once() -> None:
    changes = {
        "sglang_router.workers": RANK_1,
        "sglang_pools.prefill.args": {"disaggregation-decode-url": "http://198.51.100.49:30001"},
        "sglang_args.kv-transfer-config": "{}",
    }
    found = [finding for finding in inventories.findings(NAME, changes) if finding.rule in ("router.not-rank-0", "argument.other-engine")]
    assert sorted((finding.rule, finding.host) for finding in found) == [
        ("argument.other-engine", ""),
        ("argument.other-engine", ""),
        ("router.not-rank-0", "decode-33"),
        ("router.not-rank-0", "prefill-41"),
    ]


def test_the_corrected_inventory_has_none_of_them() -> None:
    # Neither of them names an address of the router's host in the fabric.
    assert inventories.said(inventories.findings("field-2p2d")) & FAULTS == {"note networks.router-fabric"}
