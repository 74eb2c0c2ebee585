# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepEP: modes, dispatch buffers and experts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, Refusal, cluster, gpu_cluster

PREFILL, DECODE = "sglang_pools.prefill", "sglang_pools.decode"
ARGS = f"{DECODE}.args"
LIMIT = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
NEW = {"sglang_stack": "sglang-0.5.23-cu13"}
WIDE = {f"{DECODE}.dp": 16, f"{DECODE}.dp_attention": True, "sglang_gpu.memory_gib": 140}


def wide() -> Inventory:
    """Return hosts with memory for DeepEP's buffers; decode has an attention group per GPU and a batch that fits the default."""
    args = {"moe-a2a-backend": "deepep", "cuda-graph-max-bs": 128, "max-running-requests": 2048}
    return gpu_cluster().change({**WIDE, ARGS: args, f"{PREFILL}.args": {"moe-a2a-backend": "deepep", "deepep-mode": "normal"}})


REFUSALS = {
    "a PYTHONPATH that hides DeepEP": Refusal(
        "deepep.path",
        {"sglang_env.PYTHONPATH": "/opt/mine"},
        "sglang_env.PYTHONPATH",
        "'/opt/mine' does not lead to /opt/sglang/deepep/sglang-0.5.8-cu12",
        "add /opt/sglang/deepep/sglang-0.5.8-cu12 to it",
    ),
    "libgdrapi that NVSHMEM does not find": Refusal(
        "deepep.path",
        {"sglang_deepep_gdrcopy": True, f"{DECODE}.env.LD_LIBRARY_PATH": "/opt/mine"},
        f"{DECODE}.env.LD_LIBRARY_PATH",
        "does not lead to /opt/sglang/deepep/sglang-0.5.8-cu12/lib",
    ),
    "devices that NVSHMEM does not look for": Refusal(
        "deepep.hca-prefix",
        {"sglang_rdma_devices": ["rdma0", "rdma1", "mlx5_2"]},
        "sglang_env.NVSHMEM_HCA_PREFIX",
        "is not set, and rdma0, rdma1 of p0 do not contain mlx5",
        "for example rdma",
    ),
    "a list of devices that its prefix leaves out": Refusal(
        "deepep.hca-prefix",
        {"sglang_rdma_devices": ["rdma0", "rdma1"], "sglang_env": {"NVSHMEM_HCA_LIST": "rdma0:1,rdma1:1"}},
        "sglang_env.NVSHMEM_HCA_PREFIX",
        "does not find them, listed or not",
    ),
    "a prefix of other devices": Refusal(
        "deepep.hca-prefix",
        {"sglang_rdma_devices": ["rdma0", "mlx5_1"], "sglang_env": {"NVSHMEM_HCA_PREFIX": "rdma"}},
        "sglang_env.NVSHMEM_HCA_PREFIX",
        "is rdma, and mlx5_1 of p0 do not contain rdma",
    ),
    "doorbells of the CPU without libgdrapi": Refusal(
        "deepep.gdrcopy",
        {"sglang_env": {"NVSHMEM_IBGDA_NIC_HANDLER": "cpu"}},
        "sglang_env.NVSHMEM_IBGDA_NIC_HANDLER",
        "is cpu for prefill-0, which needs libgdrapi",
        "set sglang_deepep_gdrcopy: true, or cpu_host_memory",
    ),
    "decode in mode normal": Refusal(
        "deepep.decode-normal",
        {f"{ARGS}.deepep-mode": "normal"},
        f"{ARGS}.deepep-mode",
        "switches CUDA graphs off",
        "low_latency for decode",
    ),
    "prefill in mode low_latency": Refusal(
        "deepep.prefill-low-latency",
        {f"{PREFILL}.args.deepep-mode": "low_latency"},
        f"{PREFILL}.args.deepep-mode",
        "no more than 128 tokens per rank",
        "normal for prefill",
    ),
    "graphs above the limit": Refusal(
        "deepep.dispatch-tokens",
        {f"{ARGS}.cuda-graph-max-bs": 256},
        f"{ARGS}.cuda-graph-max-bs",
        "256 requests = 256 tokens per rank exceed the 128 dispatch tokens per rank (cuda-graph-max-bs, written)",
        f"raise {LIMIT} (now 128, at most 1024)",
    ),
    "a list of graphs above the limit": Refusal(
        "deepep.dispatch-tokens", {f"{ARGS}.cuda-graph-bs": [1, 8, 192]}, f"{ARGS}.cuda-graph-bs", "192 requests", f"raise {LIMIT}"
    ),
    "graphs of the default": Refusal(
        "deepep.dispatch-tokens",
        {f"{ARGS}.cuda-graph-max-bs": GONE},
        f"{ARGS}.cuda-graph-max-bs",
        "512 tokens per rank",
        "lower cuda-graph-max-bs",
    ),
    "requests above the limit": Refusal(
        "deepep.dispatch-tokens",
        {f"{ARGS}.max-running-requests": 4096},
        f"{ARGS}.max-running-requests",
        "256 requests = 256 tokens per rank exceed the 128 dispatch tokens per rank (max-running-requests 4096 / 16 attention group(s))",
    ),
    "drafts above the limit": Refusal(
        "deepep.dispatch-tokens",
        {"sglang_args": {"speculative-algorithm": "EAGLE", "speculative-num-draft-tokens": 2, "mem-fraction-static": 0.6}},
        f"{ARGS}.cuda-graph-max-bs",
        "128 requests x 2 draft tokens = 256 tokens per rank",
    ),
    "a limit that is too low": Refusal(
        "deepep.dispatch-tokens", {"sglang_env": {LIMIT: "64"}}, f"sglang_env.{LIMIT}", "exceed the 64 dispatch tokens", "now 64"
    ),
    "a limit above DeepEP's": Refusal(
        "deepep.dispatch-tokens",
        {f"{DECODE}.env": {LIMIT: "2048"}},
        f"{DECODE}.env.{LIMIT}",
        "2048 dispatch tokens per rank are more than DeepEP's limit of 1024",
        "at most 1024",
    ),
    "graphs above the limit, 0.5.23": Refusal(
        "deepep.dispatch-tokens",
        {**NEW, ARGS: {"moe-a2a-backend": "deepep", "cuda-graph-max-bs-decode": 160}, "sglang_args.mem-fraction-static": 0.7},
        f"{ARGS}.cuda-graph-max-bs-decode",
        "160 requests",
    ),
    "redundant experts": Refusal(
        "deepep.redundant-experts",
        {f"{ARGS}.ep-num-redundant-experts": 24},
        f"{ARGS}.ep-num-redundant-experts",
        "routed experts (256 + 24 redundant) 280 is not divisible by ep 16",
        "a multiple of 16",
    ),
    "balance of one": Refusal(
        "deepep.eplb", {ARGS: {"enable-eplb": True}}, f"{ARGS}.enable-eplb", "balances experts over GPUs, and ep is 1", "set ep of decode"
    ),
    "dense TP": Refusal(
        "deepep.moe-dense-tp", {f"{ARGS}.moe-dense-tp-size": 16}, f"{ARGS}.moe-dense-tp-size", "16 is not taken", "write 1, or"
    ),
    "dense TP, 0.5.23": Refusal(
        "deepep.moe-dense-tp", {**NEW, ARGS: {"moe-dense-tp-size": 2}}, f"{ARGS}.moe-dense-tp-size", "2 is not taken", "write 1 or 16"
    ),
    "overlap of nothing": Refusal(
        "deepep.two-batch-overlap",
        {f"{PREFILL}.args": {"enable-two-batch-overlap": True}},
        f"{PREFILL}.args.enable-two-batch-overlap",
        "moe-a2a-backend is none",
    ),
    "several hosts": Refusal(
        "deepep.hosts",
        {"sglang_env": {"NVSHMEM_IB_GID_INDEX": "3"}},
        f"{ARGS}.moe-a2a-backend",
        "; not set: NVSHMEM_IB_TRAFFIC_CLASS",
        "stage deepep",
    ),
}
ON_CPU = Refusal(
    "deepep.device", {"sglang_args.moe-a2a-backend": "deepep"}, "sglang_args.moe-a2a-backend", "no kernels for sglang-0.5.8-cpu"
)
REFUSALS_ON_GPUS, REFUSALS = REFUSALS, {**REFUSALS, "on a CPU": ON_CPU}


@pytest.mark.parametrize("refusal", REFUSALS_ON_GPUS.values(), ids=REFUSALS_ON_GPUS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(wide())


def test_refused_on_a_cpu() -> None:
    ON_CPU.check(cluster())


def worse_than_notes(inventory: Inventory) -> list[str]:
    return [str(found) for found in inventory.findings() if found.rule.startswith(("deepep.", "capacity.")) and found.severity != "note"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sglang_rdma_devices": ["rdma0", "rdma1"], "sglang_env.NVSHMEM_HCA_PREFIX": "rdma"},
        {"sglang_rdma_devices": ["my_mlx5_0", "my_mlx5_1"]},  # a part of the name, not its beginning
        {"sglang_env": {"NVSHMEM_IBGDA_NIC_HANDLER": "cpu_host_memory"}},
        {"sglang_env": {"NVSHMEM_IBGDA_NIC_HANDLER": "cpu"}, "sglang_deepep_gdrcopy": True},
        {"sglang_rdma_device_map": {"0": "mlx5_0,mlx5_1"}, "sglang_rdma_devices": []},
        {f"{ARGS}.deepep-mode": "low_latency"},
        {f"{ARGS}.cuda-graph-max-bs": 256, f"{DECODE}.env": {LIMIT: "256"}},
        {f"{ARGS}.cuda-graph-max-bs": 256, f"{ARGS}.max-running-requests": 128},  # graphs are not captured above all requests
        {f"{DECODE}.dp": 1, f"{DECODE}.dp_attention": False, f"{ARGS}.cuda-graph-max-bs": 512},  # 512 / attention TP 16
        {f"{ARGS}.ep-num-redundant-experts": 32},
        {f"{ARGS}.enable-eplb": True},
        {f"{ARGS}.moe-dense-tp-size": 1},
        {"sglang_args.enable-two-batch-overlap": True},
        {f"{PREFILL}.args": {}},
        {ARGS: {"cuda-graph-max-bs": 512}},  # without DeepEP nothing is dispatched
        {f"{ARGS}.enable-eplb": True, f"{ARGS}.moe-a2a-backend": "none", f"{DECODE}.ep": 16},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert worse_than_notes(wide().change(changes)) == []


def test_one_host_needs_no_fabric_for_deepep() -> None:
    rules = [found.rule for found in gpu_cluster(1, 1, 1).change({"sglang_args.moe-a2a-backend": "deepep"}).findings()]
    assert "deepep.hosts" not in rules
