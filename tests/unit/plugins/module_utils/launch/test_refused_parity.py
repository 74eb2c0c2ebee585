# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks, and prefill and decode instances, that differ where they must not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, Refusal, cluster, gpu_cluster

PREFILL, DECODE = "sglang_pools.prefill.args", "sglang_pools.decode.args"
NEW = {"sglang_stack": "sglang-0.5.23-cu13"}
SM100 = {f"{host}:sglang_gpu.arch": "sm100" for host in ("p0", "p1")}
POLICY = "disaggregation-decode-allocation-policy"
PAGE = "parity.page-size"

REFUSALS = {
    "TCP on one side": Refusal(
        "parity.transport",
        {"sglang_stack": "sglang-0.5.8-cu12", "sglang_pools.decode.env": {"MC_FORCE_TCP": "1"}},
        "sglang_pools.decode.env.MC_FORCE_TCP",
        "MC_FORCE_TCP is not set on prefill-0 and set on decode-0: one side cannot talk to the other",
        "sglang_env",
    ),
    "TCP taken back on one side": Refusal(
        "parity.transport",
        {"sglang_env.MC_FORCE_TCP": "1", "sglang_pools.prefill.env": {"MC_FORCE_TCP": None}},
        "sglang_pools.prefill.env.MC_FORCE_TCP",
        "is not set on prefill-0 and set on decode-0",
    ),
    "NVLink on one side": Refusal(
        "parity.transport",
        {"sglang_pools.prefill.env": {"SGLANG_MOONCAKE_CUSTOM_MEM_POOL": "true"}},
        "sglang_pools.prefill.env.SGLANG_MOONCAKE_CUSTOM_MEM_POOL",
        "is NVLINK on prefill-0 and FALSE on decode-0",
    ),
    "two plugins of NIXL": Refusal(
        "parity.transport",
        {"sglang_transfer_backend": "nixl", "sglang_pools.decode.env": {"SGLANG_DISAGGREGATION_NIXL_BACKEND": "LIBFABRIC"}},
        "sglang_pools.decode.env.SGLANG_DISAGGREGATION_NIXL_BACKEND",
        "is UCX on prefill-0 and LIBFABRIC on decode-0",
    ),
    "two traffic classes": Refusal(
        "parity.traffic-class",
        {"sglang_env.NCCL_IB_TC": "106", "sglang_pools.decode.env": {"NCCL_IB_TC": "96"}},
        "sglang_pools.decode.env.NCCL_IB_TC",
        "NCCL_IB_TC is 106 on prefill-0 and 96 on decode-0",
        "one lossless class",
    ),
    "a traffic class on one side": Refusal(
        "parity.traffic-class",
        {"sglang_pools.prefill.env": {"MC_IB_TC": "106"}},
        "sglang_pools.prefill.env.MC_IB_TC",
        "is 106 on prefill-0 and not set on decode-0",
    ),
    "an argument of one rank": Refusal(
        "parity.ranks",
        {"d1:sglang_host_args": {"chunked-prefill-size": 4096}},
        "sglang_host_args.chunked-prefill-size",
        "--chunked-prefill-size is 4096 on d1 and None on d0, ranks of decode-0",
        "write it for the pool or the instance",
        "d1",
    ),
    "an argument of rank 0": Refusal(
        "parity.ranks",
        {"sglang_args.mem-fraction-static": 0.8, "p0:sglang_host_args": {"mem-fraction-static": 0.7}},
        "sglang_host_args.mem-fraction-static",
        "is 0.8 on p1 and 0.7 on p0",
        host="p0",
    ),
    "an argument taken back on one rank": Refusal(
        "parity.ranks",
        {"p1:sglang_host_args": {"trust-remote-code": False}},
        "sglang_host_args.trust-remote-code",
        "is False on p1",
        host="p1",
    ),
    "a variable of one rank": Refusal(
        "parity.environment",
        {"p1:sglang_host_env": {"NCCL_CROSS_NIC": "0"}},
        "sglang_host_env.NCCL_CROSS_NIC",
        "NCCL_CROSS_NIC is '0' on p1 and not set on p0, ranks of prefill-0",
        "write it for the pool or the instance",
        "p1",
    ),
    "a variable of rank 0": Refusal(
        "parity.environment", {"d0:sglang_host_env": {"NCCL_IB_TC": "106"}}, "sglang_host_env.NCCL_IB_TC", "is not set on d1", host="d0"
    ),
    "a variable in two values": Refusal(
        "parity.environment",
        {"sglang_env": {"NCCL_DEBUG": "WARN"}, "d1:sglang_host_env": {"NCCL_DEBUG": "INFO"}},
        "sglang_host_env.NCCL_DEBUG",
        "is 'INFO' on d1 and 'WARN' on d0",
        host="d1",
    ),
    "page size written": Refusal(
        PAGE, {f"{DECODE}.page-size": 64}, f"{DECODE}.page-size", "decode-0 64 (page-size)", "set page-size to 64"
    ),
    "page size of flashmla": Refusal(
        PAGE,
        {f"{PREFILL}.attention-backend": "flashmla"},
        f"{PREFILL}.attention-backend",
        "prefill-0 has page size 64 (the attention backend flashmla forces it), decode-0 1 (the default, with attention backend fa3)",
    ),
    "page size of flashmla, for decode steps only": Refusal(
        PAGE, {f"{DECODE}.decode-attention-backend": "flashmla"}, f"{DECODE}.decode-attention-backend", "flashmla forces it"
    ),
    "forced on one side, written on the other": Refusal(
        PAGE,
        {f"{PREFILL}.attention-backend": "flashmla", f"{DECODE}.page-size": 32},
        f"{DECODE}.page-size",
        "prefill-0 has page size 64 (the attention backend flashmla forces it), decode-0 32 (page-size)",
    ),
    "forced over what is written": Refusal(
        PAGE,
        {"sglang_args.page-size": 32, f"{PREFILL}.attention-backend": "cutlass_mla"},
        f"{PREFILL}.attention-backend",
        "128 (the attention backend cutlass_mla forces it), decode-0 32 (page-size)",
        "set page-size to 128",
    ),
    "Hopper decodes for Blackwell": Refusal(
        PAGE,
        SM100,
        f"{DECODE}.page-size",
        "prefill-0 has page size 64 (the attention backend trtllm_mla forces it), decode-0 1",
        "page-size to 64",
    ),
    "Hopper and Blackwell, without MLA": Refusal(
        PAGE, {**SM100, "sglang_model.config": "llama-3.1-8b"}, f"{DECODE}.page-size", "trtllm_mha forces it", "page-size to 64"
    ),
    "Hopper and Blackwell, 0.5.23": Refusal(PAGE, {**SM100, **NEW}, f"{DECODE}.page-size", "trtllm_mla forces it"),
    "one side's GPUs not known": Refusal(
        PAGE,
        {f"{PREFILL}.page-size": 64, "d0:sglang_gpu.arch": ""},
        f"{PREFILL}.page-size",
        "decode-0 unknown (the attention backend depends on the GPU and the model)",
        severity="warning",
    ),
    "fa4 without MLA": Refusal(
        PAGE,
        {"sglang_model.config": "llama-3.1-8b", f"{PREFILL}.prefill-attention-backend": "fa4"},
        f"{PREFILL}.prefill-attention-backend",
        "prefill-0 has page size 128 (the attention backend fa4 forces it)",
    ),
    "KV dtype": Refusal(
        "parity.kv-cache-dtype",
        {f"{DECODE}.kv-cache-dtype": "fp8_e4m3"},
        f"{DECODE}.kv-cache-dtype",
        "the KV cache of prefill-0 is auto, that of decode-0 fp8_e4m3: decode would read other numbers",
        "sglang_args",
    ),
    "KV dtype by dtype": Refusal(
        "parity.kv-cache-dtype",
        {f"{PREFILL}.dtype": "half", f"{DECODE}.dtype": "bfloat16"},
        f"{DECODE}.dtype",
        "is float16, that of decode-0 bfloat16",
    ),
    "KV dtype of the checkpoint": Refusal(
        "parity.kv-cache-dtype",
        {f"{PREFILL}.kv-cache-dtype": "bf16"},
        f"{PREFILL}.kv-cache-dtype",
        "the same only if the checkpoint says so",
        severity="warning",
    ),
    "quantization": Refusal(
        "parity.model", {f"{DECODE}.quantization": "fp8"}, f"{DECODE}.quantization", "None on prefill-0 and 'fp8' on decode-0"
    ),
    "revision": Refusal("parity.model", {f"{PREFILL}.revision": "v2"}, f"{PREFILL}.revision", "'v2' on prefill-0"),
    "context length": Refusal(
        "parity.context-length", {f"{DECODE}.context-length": 4096}, f"{DECODE}.context-length", "8192 on prefill-0 and 4096 on decode-0"
    ),
    "chat template": Refusal(
        "parity.tokenizer",
        {f"{DECODE}.chat-template": {"file": "b.jinja"}, "sglang_files": {"b.jinja": {"content": "x"}}},
        f"{DECODE}.chat-template",
        "None on prefill-0 and 'file b.jinja' on decode-0",
    ),
    "tokenizer mode": Refusal(
        "parity.tokenizer", {f"{PREFILL}.tokenizer-mode": "slow"}, f"{PREFILL}.tokenizer-mode", "'slow' on prefill-0"
    ),
    "decode alone drafts": Refusal(
        "parity.speculative",
        {f"{DECODE}.speculative-algorithm": "EAGLE"},
        f"{DECODE}.speculative-algorithm",
        "prefill-0 drafts with nothing, decode-0 with EAGLE",
    ),
    "numbers of drafts": Refusal(
        "parity.speculative",
        {"sglang_args.speculative-algorithm": "NEXTN", f"{DECODE}.speculative-num-steps": 3},
        f"{DECODE}.speculative-num-steps",
        "None on prefill-0 and 3 on decode-0",
        severity="warning",
    ),
    "allocation policy": Refusal(
        "parity.allocation-policy",
        {**NEW, f"{DECODE}.{POLICY}": "prefill_complete"},
        f"{DECODE}.{POLICY}",
        "early on prefill-0",
        "sglang_args",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


def parity(inventory: Inventory) -> list[str]:
    return [str(finding) for finding in inventory.findings() if finding.rule.startswith("parity.")]


@pytest.mark.parametrize(
    "changes",
    [
        {"sglang_env.MC_FORCE_TCP": "1"},
        {"sglang_pools.prefill.env": {"SGLANG_MOONCAKE_CUSTOM_MEM_POOL": "false"}},
        {"sglang_transfer_backend": "nixl", "sglang_pools.prefill.env": {"SGLANG_DISAGGREGATION_NIXL_BACKEND": "UCX"}},
        {"sglang_transfer_backend": "nixl", "sglang_pools.prefill.env": {"MC_FORCE_TCP": "1", "MC_IB_TC": "106"}},
        {"sglang_env": {"NCCL_IB_TC": "106", "MC_IB_TC": "106"}},
        {"sglang_pools.decode.env": {"NVSHMEM_IB_TRAFFIC_CLASS": "106"}},
        {},
        NEW,
        {"sglang_args.page-size": 64},
        {"sglang_args.attention-backend": "flashmla", f"{DECODE}.page-size": 64},
        {**SM100, "sglang_args.page-size": 64},
        {**SM100, "sglang_args.attention-backend": "flashinfer"},
        {**{f"{host}:sglang_gpu.arch": "sm100" for host in ("d0", "d1")}, **SM100},
        {f"{PREFILL}.page-size": 1, "d0:sglang_gpu.arch": ""},
        {"sglang_gpu.arch": "", "sglang_model.config": ""},
        {f"{PREFILL}.prefill-attention-backend": "fa4"},  # MLA
        {"sglang_args.kv-cache-dtype": "fp8_e4m3"},
        {f"{PREFILL}.kv-cache-dtype": "bf16", f"{DECODE}.kv-cache-dtype": "bfloat16"},
        {"sglang_args.chat-template": {"file": "a.jinja"}, "sglang_files": {"a.jinja": {"content": "x"}}},
        {f"{PREFILL}.speculative-algorithm": "NEXTN", f"{DECODE}.speculative-algorithm": "EAGLE"},
        {f"{DECODE}.speculative-algorithm": "NGRAM"},
        {f"{DECODE}.max-running-requests": 128, f"{PREFILL}.chunked-prefill-size": 4096, f"{DECODE}.mem-fraction-static": 0.85},
        {**NEW, f"sglang_args.{POLICY}": "prefill_complete"},
        {"p1:sglang_host_env": {"CUDA_VISIBLE_DEVICES": "7,6,5,4,3,2,1,0", "NVSHMEM_HCA_LIST": "mlx5_0"}},
        {"p1:sglang_host_env": {"NCCL_IB_ADDR_RANGE": "2001:db8::/32", "NCCL_IB_ADDR_FAMILY": "AF_INET6"}},
        {"p1:sglang_host_args": {"disaggregation-ib-device": "mlx5_0", "numa-node": [0, 0, 0, 0, 1, 1, 1, 1]}},
        {"p0:sglang_rdma_devices": ["mlx5_0"], "p1:sglang_gid_index": 5},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert parity(gpu_cluster().change(changes)) == []


def test_every_instance_of_a_pool_is_compared() -> None:
    rows: list[dict[str, Any]] = [{"name": name, "hosts": [host, other]} for name, host, other in (("a", "p0", "p1"), ("b", "p2", "p3"))]
    rows[1]["args"] = {"kv-cache-dtype": "fp8_e5m2"}
    (found,) = parity(gpu_cluster(4, 2).change({"sglang_pools.prefill.instances": rows}))
    assert "the KV cache of b is fp8_e5m2, that of decode-0 auto" in found
    assert "sglang_pools.prefill.instances[1].args.kv-cache-dtype" in found


def test_a_plain_cluster_compares_ranks_only() -> None:
    plain = {"port": 30000, "tp": 2, "nodes_per_instance": 2, "mode": "plain", "group": "prefill"}
    inventory = cluster().change({"sglang_pools": {"plain": plain}})
    assert parity(inventory) == []
    assert "[rule parity.ranks]" in parity(inventory.change({"p1:sglang_host_args": {"page-size": 16}}))[0]
