# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Features that a stack's version lacks, ignores, or has only with others."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster, gpu_cluster

PREFILL, DECODE = "sglang_pools.prefill.args", "sglang_pools.decode.args"
NEW = {"sglang_stack": "sglang-0.5.23-cu13"}
CACHE, STORE, OFFLOAD = "enable-hierarchical-cache", "hicache-storage-backend", "disaggregation-decode-enable-offload-kvcache"
RADIX, SWITCH, POLICY = "disaggregation-decode-enable-radix-cache", "enable-pd-role-switch", "disaggregation-decode-allocation-policy"
MOONCAKE = {CACHE: True, STORE: "mooncake"}
DP = {"sglang_pools.decode.dp_attention": True, "sglang_pools.decode.dp": 16}

ONE_HOST = {
    "@prefill": ["p0"], "@decode": ["p0"], "@all": ["p0", "r0"],
    "sglang_pools.prefill": {"nodes_per_instance": 1, "tp": 4, "port": 30000},
    "sglang_pools.decode": {"nodes_per_instance": 1, "tp": 4, "port": 30001},
}
REFUSALS = {
    "two toolkits of one host": Refusal(
        "stack.cuda-home",
        {**ONE_HOST, "sglang_pools.decode.env": {"CUDA_HOME": "/x"}},
        "sglang_pools.decode.env.CUDA_HOME",
        "ranks of p0 are told different toolkits (none, /x); one of a host is checked",
        "set sglang_cuda_home of the host instead",
    ),
    "KV cache of GPUs over TCP": Refusal(
        "stack.tcp-transfer", {**NEW, "sglang_transfer_backend": "mooncake_tcp"}, "sglang_transfer_backend", "over TCP", "use mooncake"
    ),
    "no metrics": Refusal(
        "stack.metrics",
        {f"{DECODE}.enable-metrics": True},
        "sglang_args.enable-metrics",
        "/metrics of prefill-0 answers 404",
        "set it to true",
    ),
    "kernels below HOME": Refusal(
        "stack.kernel-cache",
        {"sglang_pools.decode.env": {"SGLANG_DG_CACHE_DIR": None}},
        "sglang_env.SGLANG_DG_CACHE_DIR",
        "below HOME",
    ),
    "kernels below HOME, quantized at load": Refusal(
        "stack.kernel-cache",
        {"sglang_model.config": "", "sglang_args.quantization": "fp8", "sglang_env": {"SGLANG_DG_CACHE_DIR": None}},
        "sglang_env.SGLANG_DG_CACHE_DIR",
        "below HOME",
    ),
    "HiCache of decode": Refusal(
        "stack.hicache-radix",
        {f"sglang_args.{CACHE}": True},
        f"sglang_args.{CACHE}",
        "decode-0 is decode, which has no radix cache",
        "prefill pool",
    ),
    "HiCache without a radix cache": Refusal(
        "stack.hicache-radix",
        {PREFILL: {CACHE: True, "disable-radix-cache": True}},
        f"{PREFILL}.{CACHE}",
        "does not go with disable-radix-cache",
    ),
    "decode's radix cache with DP attention": Refusal(
        "stack.decode-radix",
        {**NEW, **DP, f"{DECODE}.{RADIX}": True},
        f"{DECODE}.{RADIX}",
        "is experimental with DP attention",
        "leave it out",
    ),
    "offload of prefill": Refusal(
        "stack.offload",
        {f"sglang_args.{OFFLOAD}": True},
        f"sglang_args.{OFFLOAD}",
        "prefill-0 is prefill: the engine does not start",
        "decode pool",
    ),
    "storage without HiCache": Refusal(
        "stack.hicache-storage",
        {f"{PREFILL}.{STORE}": "file"},
        f"{PREFILL}.{STORE}",
        f"has no effect without {CACHE}",
        f"set {CACHE}: true",
    ),
    "storage without a master": Refusal(
        "stack.hicache-master", {PREFILL: MOONCAKE}, f"{PREFILL}.{STORE}", "the store's master is not named", "MOONCAKE_MASTER"
    ),
    "storage over TCP": Refusal(
        "stack.hicache-protocol",
        {PREFILL: MOONCAKE, "sglang_env": {"MOONCAKE_MASTER": "203.0.113.210:50051"}},
        "sglang_pools.prefill.env.MOONCAKE_PROTOCOL",
        "moves the cache over TCP",
        "set it to rdma",
    ),
    "role switch": Refusal(
        "stack.role-switch",
        {**NEW, f"sglang_args.{SWITCH}": True, "sglang_args.moe-a2a-backend": "deepep"},
        f"sglang_args.{SWITCH}",
        "does not go with moe-a2a-backend deepep",
        "leave it out",
    ),
    "role switch with ep": Refusal(
        "stack.role-switch",
        {**NEW, f"{DECODE}.{SWITCH}": True, "sglang_pools.decode.ep": 16, "sglang_args.speculative-algorithm": "EAGLE"},
        f"{DECODE}.{SWITCH}",
        "does not go with ep 16, speculative-algorithm",
    ),
    "allocation after prefill": Refusal(
        "stack.allocation-policy",
        {**NEW, f"sglang_args.{POLICY}": "prefill_complete", "sglang_transfer_backend": "nixl"},
        f"sglang_args.{POLICY}",
        "does not go with another transfer backend than mooncake, attention groups of several GPUs",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        NEW,
        {f"{PREFILL}.{CACHE}": True},
        {**NEW, f"sglang_args.{CACHE}": True, f"{DECODE}.{RADIX}": True},
        {**NEW, f"{DECODE}.{RADIX}": True},
        {f"{DECODE}.{OFFLOAD}": True},
        {f"{DECODE}.{OFFLOAD}": True, f"{DECODE}.{STORE}": "file"},
        {PREFILL: MOONCAKE, "sglang_pools.prefill.env": {"MOONCAKE_MASTER": "203.0.113.210:50051", "MOONCAKE_PROTOCOL": "rdma"}},
        {PREFILL: {**MOONCAKE, "hicache-storage-backend-extra-config": '{"master_server_address": "203.0.113.210:50051"}'}},
        {**NEW, f"sglang_args.{SWITCH}": True},
        {
            **NEW,
            **DP,
            f"sglang_args.{POLICY}": "prefill_complete",
            "sglang_pools.prefill.dp_attention": True,
            "sglang_pools.prefill.dp": 16,
        },
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    found = [row for row in gpu_cluster().change(changes).findings() if row.rule.startswith("stack.")]
    assert [str(row) for row in found if row.severity != "note"] == []


def test_a_lab_on_cpus_and_a_cluster_with_metrics_have_nothing_to_say() -> None:
    changes = {"sglang_args.enable-metrics": True}
    for inventory in (cluster(), gpu_cluster().change(changes)):
        assert [str(row) for row in inventory.findings() if row.rule.startswith("stack.")] == []
