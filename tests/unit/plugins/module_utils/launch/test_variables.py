# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of environment variables, and what is said of one variable and of several.

After a change of the data, RAILYARD_GOLDEN=write tools/unit.sh -n 0 THIS FILE writes docs/environment.md anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import variable_tables as tables
from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables import Context, judge
from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables_together import together
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

ROOT = Path(__file__).resolve().parents[5]
DOCUMENT = ROOT / "docs/environment.md"
# The source documents are not in the repository.
SHARED = Path(os.environ.get("RAILYARD_SHARED") or ROOT.parent / "shared")
SHELL = {"DEEPSEEK_PATH", "IBDEVICES", "MASTER_ADDR", "MASTER_ADDR_DECODE", "MODEL_PATH", "NVIDIA_LIB_PATHS"}
ASSIGNED = re.compile(r"(?:^|[\s`(\"])(?:export )?([A-Z][A-Z0-9_]{2,})=|name:\s+([A-Z][A-Z0-9_]+)\s*$|`([A-Z]+(?:_[A-Z0-9]+)+)`", re.M)
WORD = re.compile(r"(?<![-\w])[A-Z]+(?:_[A-Z0-9]+)+\b(?!\*)")
# Parts of names, and values.
PARTS = {
    "ENABLE_NIC_PE_MAPPING", "HCA_LIST", "HCA_PE_MAPPING", "IB_GID_INDEX", "IB_TRAFFIC_CLASS", "INTRA_NODE_NVLINK", "PE_MAPPING",
    "QUEUE_SIZE",
}

OLD, NEW = Context(), Context(engine="0.5.23")
CPU, NIXL = Context(device="cpu"), Context(backend="nixl")
RDMA = Context(multi_host=True, uses=frozenset({"rdma"}))
DEEPEP = Context(uses=frozenset({"deepep", "rdma"}), backend="fake")
NPU = Context(device="npu", backend="ascend")
EXPANDABLE = "expandable_segments:True"


def rules(found: list[Any]) -> set[str]:
    return {f"{verdict.severity} {verdict.rule.removeprefix('environment.')}" for verdict in found}


@pytest.mark.parametrize(
    ("context", "name", "value", "wanted"),
    [
        # The program sets it itself.
        (OLD, "CUDA_DEVICE_MAX_CONNECTIONS", "1", "warning overwritten"),
        (NEW, "CUDA_DEVICE_MAX_CONNECTIONS", "8", "warning overwritten"),
        (OLD, "DG_JIT_CACHE_DIR", "/x", "warning overwritten"),
        (OLD, "SGLANG_DG_CACHE_DIR", "/x", ""),
        (DEEPEP, "NVSHMEM_IB_ENABLE_IBGDA", "1", "warning overwritten"),
        # Memory that cannot be registered.
        (OLD, "PYTORCH_CUDA_ALLOC_CONF", EXPANDABLE, "error dangerous"),
        (OLD, "PYTORCH_CUDA_ALLOC_CONF", EXPANDABLE + ",max_split_size_mb:256", "error dangerous"),
        (OLD, "PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:256, expandable_segments : true", "error dangerous"),
        (NIXL, "PYTORCH_ALLOC_CONF", EXPANDABLE, "error dangerous"),
        (DEEPEP, "PYTORCH_ALLOC_CONF", EXPANDABLE, "error dangerous"),
        (OLD, "PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False", ""),
        (OLD, "PYTORCH_ALLOC_CONF", "expandable_segments:False,max_split_size_mb:256", ""),
        (OLD, "PYTORCH_ALLOC_CONF", "max_split_size_mb:256", ""),
        (OLD, "PYTORCH_CUDA_ALLOC_CONF", None, ""),
        (CPU, "PYTORCH_CUDA_ALLOC_CONF", EXPANDABLE, ""),
        (Context(backend="fake"), "PYTORCH_CUDA_ALLOC_CONF", EXPANDABLE, ""),
        # Failure detection.
        (OLD, "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "100000", "error dangerous"),
        (OLD, "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "100000", "error dangerous"),
        (OLD, "SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE", "100000", "error dangerous"),
        (OLD, "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "86400", "warning dangerous"),
        (OLD, "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "86401", "error dangerous"),
        (OLD, "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "3600", ""),
        (OLD, "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "600", ""),
        (OLD, "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "600", ""),
        (OLD, "SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE", "10", ""),
        (OLD, "SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE", "0", "error value"),
        (OLD, "SGLANG_DISAGGREGATION_HEARTBEAT_INTERVAL", "5.0", ""),
        (OLD, "SGLANG_DISAGGREGATION_HEARTBEAT_INTERVAL", "1.9", "error value"),
        (OLD, "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "5m", "error value"),
        (OLD, "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "300.0", "error value"),
        (OLD, "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "", "error value"),
        # Read by nothing.
        (OLD, "SGLANG_HACK_DEEPEP_NUM_SMS", "8", "warning never-read"),
        (NEW, "SGLANG_HACK_DEEPEP_NEW_MODE", "0", "warning never-read"),
        (OLD, "SGLANG_MOONCAKE_TRANS_THREAD", "16", "warning never-read"),
        (OLD, "SGLANG_JIT_DEEPGEMM_COMPILE_WORKERS", "4", "warning never-read"),
        (NEW, "SGLANG_JIT_DEEPGEMM_COMPILE_WORKERS", None, "warning never-read"),
        (OLD, "SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1", "warning never-read"),
        (NEW, "SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1", "warning never-read"),
        (OLD, "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK", "0", ""),
        (OLD, "BUILD_TYPE", "blackwell", "warning never-read"),
        (DEEPEP, "NVSHMEM_TRANSPORT", "TCP", "warning never-read"),
        (DEEPEP, "NVSHMEM_REMOTE_TRANSPORT", "ibrc", ""),
        (DEEPEP, "NVSHMEM_REMOTE_TRANSPORT", "TCP", "error value"),
        (OLD, "SGLANG_SYNC_TOKEN_IDS_ACROSS_TP", "1", "warning never-read"),
        (NEW, "SGLANG_ENABLE_CP_V2", "1", "warning never-read"),
        (OLD, "SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2", "1", ""),
        (NEW, "SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2", "1", "warning never-read"),
        (OLD, "LWS_WORKER_INDEX", "0", "note never-read"),
        # Only with something that the process has not.
        (OLD, "NVSHMEM_IB_GID_INDEX", "3", "note never-read"),
        (DEEPEP, "NVSHMEM_IB_GID_INDEX", "3", ""),
        (OLD, "UCX_IB_GID_INDEX", "3", "note never-read"),
        (NIXL, "UCX_IB_GID_INDEX", "auto", ""),
        (NIXL, "MC_GID_INDEX", "3", "note never-read"),
        (Context(backend="mooncake_tcp", engine="0.5.23"), "MC_GID_INDEX", "3", ""),
        (CPU, "NCCL_DEBUG", "WARN", "note never-read"),
        (Context(device="rocm"), "NCCL_DEBUG", "warn", ""),
        # Renamed.
        (OLD, "SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "0", "warning renamed"),
        (NEW, "SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "0", "warning renamed"),
        (OLD, "SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "x", "warning renamed|error value"),
        (OLD, "SGLANG_CHUNKED_PREFIX_CACHE_THRESHOLD", "0", ""),
        (OLD, "SGL_ENABLE_JIT_DEEPGEMM", "0", "warning renamed"),
        (OLD, "SGLANG_GC_LOG", "1", "warning renamed"),
        (OLD, "SGL_FORCE_SHUTDOWN", "0", ""),
        (NEW, "SGL_FORCE_SHUTDOWN", "true", "warning dangerous"),
        (OLD, "SGLANG_FORCE_SHUTDOWN", "1", "warning never-read"),
        (OLD, "SGL_DG_USE_NVRTC", "1", ""),
        (OLD, "SGLANG_DG_USE_NVRTC", "1", "warning never-read"),
        (NEW, "SGL_DG_USE_NVRTC", "1", "warning renamed"),
        (NEW, "SGLANG_DG_USE_NVRTC", "1", ""),
        (OLD, "SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1", "warning dangerous"),
        (NEW, "SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1", "warning never-read"),
        (OLD, "SGLANG_SUPPORT_CUTLASS_BLOCK_FP8", "1", "warning renamed"),
        (OLD, "NCCL_BLOCKING_WAIT", "1", "warning renamed"),
        (OLD, "TORCH_NCCL_BLOCKING_WAIT", "1", ""),
        # Versions.
        (OLD, "SGLANG_DISAGGREGATION_NIXL_BACKEND", "LIBFABRIC", "warning version"),
        (Context(engine="0.5.23", backend="nixl"), "SGLANG_DISAGGREGATION_NIXL_BACKEND", "LIBFABRIC", ""),
        (OLD, "SGLANG_JIT_DEEPGEMM_FAST_WARMUP", "1", "warning version"),
        (NEW, "SGLANG_JIT_DEEPGEMM_FAST_WARMUP", "1", ""),
        (NEW, "SGLANG_NSA_FUSE_TOPK", "1", "warning version"),
        (OLD, "WITH_NVIDIA_PEERMEM", "0", ""),
        (Context(mooncake="0.3.8.post1"), "WITH_NVIDIA_PEERMEM", "0", "warning version"),
        (Context(mooncake="0.3.10.post2"), "WITH_NVIDIA_PEERMEM", "0", "warning version"),
        (Context(mooncake="0.3.11"), "WITH_NVIDIA_PEERMEM", "0", ""),
        (Context(mooncake="0.3.13.post1"), "WITH_NVIDIA_PEERMEM", "OFF", ""),
        (Context(mooncake="0.3.13.post1"), "WITH_NVIDIA_PEERMEM", "2", "error value"),
        (Context(mooncake="0.3.11.post1"), "MC_IB_SL", "3", "warning version"),
        (Context(mooncake="0.3.12"), "MC_IB_SL", "3", ""),
        (Context(mooncake="0.3.10"), "MC_MIN_RPC_PORT", "15000", "warning version"),
        # Names.
        (OLD, "SGLANG_HOST_IPS", "192.0.2.1", "error unknown-sglang"),
        (OLD, "SGL_HOST_IPS", "192.0.2.1", "error unknown-sglang"),
        (OLD, "SGLANG_DISAGREGATION_WAITING_TIMEOUT", "600", "error unknown-sglang"),
        (Context(engine="9"), "SGLANG_HOST_IP", "192.0.2.1", "note unknown"),
        (OLD, "SOMETHING", "1", "note unknown"),
        (OLD, "NCCL_IB_GID_INDX", "1", "note unknown"),
        (OLD, "MOONCAKE_TE_META_DATA_SERVER", "P2PHANDSHAKE", ""),
        (OLD, "SGLANG_HOST_IP", "192.0.2.1", ""),
        (OLD, "SGLANG_HOST_IP", "2001:db8::1", ""),
        (OLD, "SGLANG_HOST_IP", "http://192.0.2.1", "error value"),
        (OLD, "HOST_IP", "192.0.2.1", "warning dangerous"),
        (OLD, "SGLANG_LOCAL_IP_NIC", "eth0", "warning dangerous"),
        # Booleans as their reader has them.
        (OLD, "SGLANG_SET_CPU_AFFINITY", "Yes", ""),
        (OLD, "SGLANG_SET_CPU_AFFINITY", "on", "error value"),
        (OLD, "SGLANG_DEBUG_MEMORY_POOL", "true", ""),
        (OLD, "SGLANG_DEBUG_MEMORY_POOL", "enabled", "error value"),
        (OLD, "SGLANG_NSYS_PROFILING", "anything", ""),
        (OLD, "MC_TE_METRIC", "on", ""),
        (OLD, "MC_TE_METRIC", "y", "error value"),
        (DEEPEP, "NVSHMEM_ENABLE_NIC_PE_MAPPING", "1", ""),
        (DEEPEP, "NVSHMEM_ENABLE_NIC_PE_MAPPING", "off", "error value"),
        (OLD, "NCCL_IB_SPLIT_DATA_ON_QPS", "true", "error value"),
        (CPU, "MC_FORCE_TCP", "1", ""),
        (CPU, "MC_FORCE_TCP", "0", "error value"),
        (RDMA, "MC_FORCE_TCP", "1", "warning dangerous"),
        (OLD, "MC_FORCE_MNNVL", "True", "note never-read"),
        (OLD, "MC_FORCE_MNNVL", "false", "note never-read|error value"),
        # Other values.
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "True", ""),
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "false", ""),
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "NVLINK", ""),
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "nvlink", "error value"),
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "1", "error value"),
        (OLD, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "INTRA_NODE_NVLINK", "error value"),
        (NEW, "SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "INTRA_NODE_NVLINK", ""),
        (DEEPEP, "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "1024", ""),
        (DEEPEP, "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "1025", "error value"),
        (NPU, "ASCEND_MF_STORE_URL", "tcp://192.0.2.1:24667", ""),
        (NPU, "ASCEND_MF_STORE_URL", "tcp://[2001:db8::1]:24667", ""),
        (NPU, "ASCEND_MF_STORE_URL", "192.0.2.1:24667", "error value"),
        (NPU, "ASCEND_MF_STORE_URL", "tcp://192.0.2.1", "error value"),
        (NPU, "ENABLE_ASCEND_TRANSFER_WITH_MOONCAKE", "true", ""),
        (OLD, "ENABLE_ASCEND_TRANSFER_WITH_MOONCAKE", "true", "note never-read"),
        (NPU, "ASCEND_NPU_PHY_ID", "3", ""),
        (NPU, "ASCEND_NPU_PHY_ID", "npu3", "error value"),
        (OLD, "MC_MTU", "4096", ""),
        (OLD, "MC_MTU", "9000", "error value"),
        (OLD, "MC_IB_TC", "106", ""),
        (OLD, "MC_IB_TC", "256", "error value"),
        (NEW, "SGLANG_HUMMING_ONLINE_QUANT_CONFIG", "{}", ""),
        (NEW, "SGLANG_HUMMING_ONLINE_QUANT_CONFIG", "{", "error value"),
        (RDMA, "NCCL_IB_DISABLE", "1", "error dangerous"),
        (Context(multi_host=True), "NCCL_IB_DISABLE", "1", "warning dangerous"),
        (RDMA, "NCCL_IB_DISABLE", "0", ""),
        (OLD, "NCCL_IB_DISABLE", "1", ""),
        (OLD, "NCCL_NET_GDR_LEVEL", "PIX", "note dangerous"),
        (OLD, "NCCL_NET_GDR_LEVEL", "PXB", ""),
        (OLD, "NCCL_NET_GDR_LEVEL", "pxb", "error value"),
        (OLD, "NCCL_SOCKET_IFNAME", "bond0", "note interface-prefix"),
        (OLD, "NCCL_SOCKET_IFNAME", "=bond0", ""),
        (OLD, "NCCL_SOCKET_IFNAME", "^docker", ""),
        (OLD, "NCCL_IB_HCA", "^=mlx5_0,mlx5_5,mlx5_6", ""),
        (OLD, "NCCL_IB_HCA", "=mlx5_0:1,mlx5_5:1", ""),
        (OLD, "NCCL_IB_HCA", "mlx5_0, mlx5_1", "error value"),
        (OLD, "GLOO_SOCKET_IFNAME", "bond0", ""),
        (OLD, "GLOO_SOCKET_IFNAME", "=bond0", "error value"),
        (NIXL, "UCX_NET_DEVICES", "mlx5_0:1,mlx5_1:1", "warning dangerous"),
        (NIXL, "UCX_NET_DEVICES", "mlx5_0:1,bond0", ""),
        (OLD, "CUDA_LAUNCH_BLOCKING", "0", ""),
        (OLD, "CUDA_LAUNCH_BLOCKING", "1", "warning dangerous"),
        (OLD, "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "false", "warning dangerous"),
        (OLD, "TOKENIZERS_PARALLELISM", "false", ""),
    ],
)
def test_one_variable(context: Context, name: str, value: str | None, wanted: str) -> None:
    found = judge(name, value, context)
    assert rules(found) == set(filter(None, wanted.split("|"))), found
    assert all(verdict.text and (verdict.fix or verdict.rule == "environment.unknown") for verdict in found)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK", "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK=0"),
        ("SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK", "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK=0"),
        ("SGLANG_MOONCAKE_TRANS_THREAD", "SGLANG_DISAGGREGATION_THREAD_POOL_SIZE"),
        ("SGLANG_LOCAL_IP_NIC", "SGLANG_HOST_IP"),
        ("SGLANG_DISAGREGATION_WAITING_TIMEOUT", "SGLANG_DISAGGREGATION_WAITING_TIMEOUT"),
        ("SGL_HOST_IPS", "SGLANG_HOST_IP"),
        ("SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "SGLANG_CHUNKED_PREFIX_CACHE_THRESHOLD"),
        ("SGLANG_FORCE_SHUTDOWN", "SGL_FORCE_SHUTDOWN"),
        ("SGLANG_GC_LOG", "SGLANG_LOG_GC"),
        ("SGLANG_SUPPORT_CUTLASS_BLOCK_FP8", "--fp8-gemm-backend"),
        ("DG_JIT_CACHE_DIR", "SGLANG_DG_CACHE_DIR"),
        ("NVSHMEM_TRANSPORT", "NVSHMEM_REMOTE_TRANSPORT"),
        ("NCCL_IB_GID_INDX", "NCCL_IB_GID_INDEX"),
    ],
)
def test_the_fix_names_what_to_write(name: str, named: str) -> None:
    (verdict,) = judge(name, "1", OLD)
    assert re.search(rf"{re.escape(named)}(?!\w)", verdict.fix), verdict


GLOO = {"GLOO_SOCKET_IFNAME": "eth0"}
NO_MOONCAKE = Context(backend="fake")
MANY = Context(backend="nixl", uses=frozenset({"deepep", "rdma"}))


@pytest.mark.parametrize(
    ("context", "env", "devices", "wanted"),
    [
        (OLD, {}, (), ""),
        # Traffic classes and service levels.
        (OLD, {"NCCL_IB_TC": "106"}, (), "warning traffic-class"),
        (OLD, {"NCCL_IB_TC": "106", "MC_IB_TC": "106"}, (), ""),
        (OLD, {"NCCL_IB_TC": "106", "MC_IB_TC": "0x6a"}, (), "warning traffic-class"),
        (OLD, {"NCCL_IB_TC": "136", "MC_IB_TC": "106"}, (), "warning traffic-class"),
        (OLD, {"NCCL_IB_TC": "-1"}, (), ""),
        (OLD, {"NCCL_IB_TC": "106", "MC_FORCE_TCP": "1"}, (), ""),
        (NO_MOONCAKE, {"NCCL_IB_TC": "106"}, (), ""),
        (NO_MOONCAKE, {"NCCL_IB_TC": "136", "NVSHMEM_IB_TRAFFIC_CLASS": "16"}, (), "warning traffic-class"),
        (MANY, {"NCCL_IB_TC": "136", "NVSHMEM_IB_TRAFFIC_CLASS": "136"}, (), "warning traffic-class"),
        (MANY, {"NCCL_IB_TC": "136", "NVSHMEM_IB_TRAFFIC_CLASS": "136", "UCX_IB_TRAFFIC_CLASS": "136"}, (), ""),
        (MANY, {"NCCL_IB_TC": "136", "NVSHMEM_IB_TRAFFIC_CLASS": "136", "UCX_IB_TRAFFIC_CLASS": "auto"}, (), ""),
        (OLD, {"NCCL_IB_SL": "5"}, (), ""),
        (Context(mooncake="0.3.12"), {"NCCL_IB_SL": "5"}, (), "warning traffic-class"),
        (Context(mooncake="0.3.12"), {"NCCL_IB_SL": "5", "MC_IB_SL": "5"}, (), ""),
        (OLD, {"NCCL_IB_SL": "5", "NVSHMEM_IB_SL": "3"}, (), "warning traffic-class"),
        # GID indexes.
        (OLD, {"NCCL_IB_GID_INDEX": "3", "MC_GID_INDEX": "3"}, (), ""),
        (OLD, {"NCCL_IB_GID_INDEX": "3", "MC_GID_INDEX": "5"}, (), "warning gid-index"),
        (OLD, {"MC_GID_INDEX": "3", "NVSHMEM_IB_GID_INDEX": "5"}, (), "warning gid-index"),
        (OLD, {"MC_GID_INDEX": "3", "NVSHMEM_IB_GID_INDEX": "-1"}, (), ""),
        (OLD, {"MC_GID_INDEX": "3", "UCX_IB_GID_INDEX": "5"}, (), "warning gid-index"),
        (OLD, {"NCCL_IB_GID_INDEX": "3"}, (), "note gid-index"),
        (OLD, {"NCCL_IB_GID_INDEX": "-1"}, (), ""),
        (NIXL, {"NCCL_IB_GID_INDEX": "3"}, (), ""),
        # Device names are prefixes.
        (OLD, {"NCCL_IB_HCA": "mlx5_1"}, ("mlx5_1", "mlx5_10", "mlx5_11"), "error hca-prefix"),
        (OLD, {"NCCL_IB_HCA": "mlx5_1:1,mlx5_2"}, ("mlx5_1", "mlx5_2", "mlx5_10"), "error hca-prefix"),
        (OLD, {"NCCL_IB_HCA": "^mlx5_1"}, ("mlx5_1", "mlx5_10"), "error hca-prefix"),
        (OLD, {"NCCL_IB_HCA": "=mlx5_1"}, ("mlx5_1", "mlx5_10"), ""),
        (OLD, {"NCCL_IB_HCA": "^=mlx5_1"}, ("mlx5_1", "mlx5_10"), ""),
        (OLD, {"NCCL_IB_HCA": "mlx5_1,mlx5_10"}, ("mlx5_1", "mlx5_10"), "note hca-prefix"),
        (OLD, {"NCCL_IB_HCA": "mlx5_1,mlx5_10"}, ("mlx5_1", "mlx5_10", "mlx5_11"), "error hca-prefix"),
        (OLD, {"NCCL_IB_HCA": "mlx5_0,mlx5_3"}, ("mlx5_0", "mlx5_1", "mlx5_3", "mlx5_10"), ""),
        (OLD, {"NCCL_IB_HCA": "mlx5_0,mlx5_3"}, (), "note hca-prefix"),
        # Interfaces.
        (RDMA, {}, (), "warning gloo-interface"),
        (RDMA, GLOO, (), ""),
        # NVSHMEM.
        (DEEPEP, {"NVSHMEM_HCA_LIST": "a:1", "NVSHMEM_ENABLE_NIC_PE_MAPPING": "1"}, (), ""),
        (DEEPEP, {"NVSHMEM_HCA_PE_MAPPING": "a:1:2", "NVSHMEM_ENABLE_NIC_PE_MAPPING": "yes"}, (), ""),
        (DEEPEP, {"NVSHMEM_HCA_LIST": "a:1"}, (), ""),
        (DEEPEP, {"NVSHMEM_HCA_PE_MAPPING": "a:1:2"}, (), "warning incomplete"),
        (DEEPEP, {"NVSHMEM_HCA_PE_MAPPING": "a:1:2", "NVSHMEM_ENABLE_NIC_PE_MAPPING": "0"}, (), "warning incomplete"),
        (
            DEEPEP, {"NVSHMEM_HCA_LIST": "a:1", "NVSHMEM_HCA_PE_MAPPING": "a:1:2", "NVSHMEM_ENABLE_NIC_PE_MAPPING": "1"}, (),
            "error exclusive",
        ),
        # Threads.
        (OLD, {"SGLANG_DISAGGREGATION_THREAD_POOL_SIZE": "3"}, (), "error threads"),
        (OLD, {"SGLANG_DISAGGREGATION_THREAD_POOL_SIZE": "4"}, (), ""),
        (OLD, {"SGLANG_DISAGGREGATION_QUEUE_SIZE": "4"}, (), ""),
        (OLD, {"SGLANG_DISAGGREGATION_QUEUE_SIZE": "5"}, (), "warning threads"),
        (OLD, {"SGLANG_DISAGGREGATION_QUEUE_SIZE": "8", "SGLANG_DISAGGREGATION_THREAD_POOL_SIZE": "8"}, (), ""),
        (OLD, {"SGLANG_DISAGGREGATION_QUEUE_SIZE": "8", "SGLANG_DISAGGREGATION_THREAD_POOL_SIZE": "7"}, (), "error threads"),
        (OLD, {"SGLANG_DISAGGREGATION_QUEUE_SIZE": "many"}, (), ""),
        # Proxies.
        (OLD, {"http_proxy": "http://192.0.2.1:3128"}, (), "warning proxy"),
        (OLD, {"HTTPS_PROXY": "http://192.0.2.1:3128", "no_proxy": "203.0.113.0/24"}, (), ""),
        (OLD, {"http_proxy": ""}, (), ""),
    ],
)
def test_several_variables(context: Context, env: dict[str, str], devices: tuple[str, ...], wanted: str) -> None:
    found = together(env, context, devices)
    assert rules(found) == set(filter(None, wanted.split("|"))), found


def test_the_fix_of_a_device_list_is_exact() -> None:
    (verdict,) = together({"NCCL_IB_HCA": "^mlx5_1"}, OLD, ("mlx5_1", "mlx5_10"))
    assert verdict.fix == "NCCL_IB_HCA=^=mlx5_1"
    assert "mlx5_10" in verdict.text


# What the operator of a real cluster had set, and what is to be said of it.
FIELD = {
    "NCCL_SOCKET_IFNAME": "bond0", "NCCL_DEBUG": "WARN", "NCCL_IB_DISABLE": "0", "NCCL_NET_GDR_LEVEL": "PIX", "NCCL_IB_GID_INDEX": "3",
    "NCCL_IB_TC": "106", "NCCL_NVLS_ENABLE": "1", "NCCL_IB_HCA": "mlx5_0,mlx5_1", "NCCL_CROSS_NIC": "1",
    "CUDA_DEVICE_MAX_CONNECTIONS": "1", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:256",
    "TOKENIZERS_PARALLELISM": "false",
}


def test_a_cluster_of_the_field() -> None:
    single = {name: rules(judge(name, value, RDMA)) for name, value in FIELD.items()}
    assert {name: said for name, said in single.items() if said} == {
        "NCCL_SOCKET_IFNAME": {"note interface-prefix"},
        "NCCL_NET_GDR_LEVEL": {"note dangerous"},
        "CUDA_DEVICE_MAX_CONNECTIONS": {"warning overwritten"},
        "PYTORCH_CUDA_ALLOC_CONF": {"error dangerous"},
    }
    devices = [f"mlx5_{number}" for number in range(12)]
    assert rules(together(FIELD, RDMA, devices)) == {
        "warning traffic-class", "note gid-index", "error hca-prefix", "warning gloo-interface",
    }


def test_nothing_is_said_of_what_the_plan_sets_itself() -> None:
    plan = cluster().plan()
    context = Context(device="cpu", multi_host=True)
    seen = 0
    for host in plan["hosts"].values():
        for rank in host["ranks"]:
            seen += len(rank["environment"])
            assert [judge(name, value, context) for name, value in rank["environment"].items()] == [[] for name in rank["environment"]]
            assert together(rank["environment"], context) == []
    assert seen >= 40


@pytest.mark.parametrize(
    ("version", "than", "wanted"),
    [("0.3.11", "0.3.11.post1", True), ("0.3.9", "0.3.11", True), ("0.3.11.post1", "0.3.11", False), ("0.5.8", "0.5.8", False)],
)
def test_order_of_versions(version: str, than: str, wanted: bool) -> None:
    assert tables.older(version, than) is wanted


NAMES = sorted(tables.table())


def test_names_are_in_one_group_only() -> None:
    assert sum(map(len, tables.groups().values())) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_whole(name: str) -> None:
    entry = tables.table()[name]
    assert set(entry) <= {"readers", "state", "value", "what", "rules", "evidence", "only_with", "since", "until"}
    assert all(entry[key] for key in ("readers", "what", "evidence"))
    kinds = {*tables.BOOLEANS, "text", "int", "float", "choice", "pattern", "json"}
    assert entry.get("value", {}).get("kind", "text") in kinds
    for rule in entry.get("rules", ()):
        assert set(rule) <= {"rule", "severity", "when", "text", "fix"}
        assert set(rule.get("when", ())) <= {"value", "above", "below", "with", "all", "without", "engine"}
        assert rule["severity"] in ("error", "warning", "note")
    said = {rule["rule"].removeprefix("environment.") for rule in entry.get("rules", ())}
    if entry["state"] in ("never-read", "overwritten", "dangerous"):
        assert entry["state"] in said
    if name.startswith(("SGLANG_", "SGL_")) and entry["state"] == "ok":
        # The sources of a version have it, or all that is said of it is wrong.
        assert "sgl-kernel" in entry["readers"] or any(name in rows and "unused" not in rows[name] for rows in tables.engines().values())


@pytest.mark.parametrize("version", ["0.5.8", "0.5.23"])
def test_the_sources_agree_with_what_is_written_by_hand(version: str) -> None:
    rows = tables.engines()[version]
    for name, entry in tables.table().items():
        if entry["state"] == "never-read":
            assert "unused" in rows.get(name, {"unused": True}), name
        if name.startswith("SGLANG_") and "sglang" in entry.get("since", {}):
            assert (name in rows) is (version == entry["since"]["sglang"]), name
    assert "written" in rows["CUDA_DEVICE_MAX_CONNECTIONS"]
    assert "written" in rows["DG_JIT_CACHE_DIR"]


@pytest.mark.parametrize(("version", "own"), [("0.5.8", 290), ("0.5.23", 1000)])
def test_the_tables_of_sglang_are_whole(version: str, own: int) -> None:
    rows = tables.engines()[version]
    assert sum(name.startswith("SGLANG_") for name in rows) >= own
    assert rows["SGLANG_DISAGGREGATION_WAITING_TIMEOUT"]["default"] == "300"
    assert rows["SGLANG_DISAGGREGATION_HEARTBEAT_INTERVAL"]["type"] == "float"


def seeds() -> str:
    files = sorted(path for path in (SHARED / "seeds").glob("*") if path.suffix in (".md", ".txt") and path.name != "README.md")
    if not files:
        pytest.skip("the source documents are not here: RAILYARD_SHARED names their directory")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_variable_of_the_source_documents() -> None:
    names = {name for found in ASSIGNED.findall(seeds()) for name in found if name} - SHELL
    assert len(names) >= 55
    assert not names - set(NAMES)


def test_every_variable_of_the_reference() -> None:
    page = SHARED / "reference/sglang.md"
    if not page.exists():
        pytest.skip("the reference is not here: RAILYARD_SHARED names its directory")
    section = page.read_text(encoding="utf-8").split("\n## 7. ")[1].split("\n## ")[0]
    names = set(WORD.findall(section)) - PARTS
    assert len(names) >= 35
    assert not names - set(NAMES)


def test_the_document_is_current() -> None:
    text = tables.document()
    if os.environ.get("RAILYARD_GOLDEN") == "write":
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text
    assert all(f"| `{name}` |" in text for name in NAMES)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 8 for row in rows)


ENVIRON = '''
class Envs:
    SGLANG_A = EnvBool(False)
    SGLANG_B = EnvInt(2 ** 3)
    SGLANG_C = EnvFloat(None)
    SGLANG_D = EnvStr("x")
    SGLANG_E = EnvBool(True)
    OTHER = EnvTuple(tuple())

_print_deprecated_env("SGLANG_A", "SGLANG_OLD_A")
_warn_deprecated_env_to_cli_flag("SGLANG_D", "Please use '--d-flag' instead.")
GONE = {"SGLANG_GONE": _DeprecatedEnv(note="see SGLANG_A"), "SGLANG_MOVED": _DeprecatedEnv(replacement="SGLANG_B")}
'''
USER = '''
import os
x = envs.SGLANG_A.get(), get_bool_env_var("SGLANG_E", "true"), os.environ["PLAIN"], "IN_IT" in os.environ, other.get("NOT_ONE")
os.environ["FORCED"] = "8"
os.environ.setdefault("GENTLE", "1")
y = os.getenv("SGLANG_DIRECT", "7")
names = ["SGLANG_MENTIONED"]
'''


def test_the_tool_reads_sources(tmp_path: Path) -> None:
    for path, text in {
        "sglang/srt/environ.py": ENVIRON, "sglang/srt/user.py": USER, "sglang/test/x.py": 'import os\nos.getenv("SGLANG_TEST")',
        "sglang/native.cu": 'getenv("SGLANG_B"); SGL_MACRO', "sglang-1.2.dist-info/METADATA": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [sys.executable, str(ROOT / "tools/environment_table.py"), str(tmp_path)]
    table = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    environ, user = "sglang/srt/environ.py", "sglang/srt/user.py"
    assert table == {
        "distribution": "sglang",
        "version": "1.2",
        "variables": {
            "FORCED": {"written": user, "type": "text"},
            "GENTLE": {"defaulted": user},
            "IN_IT": {"read": user, "type": "text"},
            "OTHER": {"declared": environ, "type": "text", "default": "tuple()", "unused": True},
            "PLAIN": {"read": user, "type": "text"},
            "SGLANG_A": {"declared": environ, "type": "bool", "default": "False"},
            "SGLANG_B": {"declared": environ, "type": "int", "default": "2 ** 3"},
            "SGLANG_C": {"declared": environ, "type": "float", "default": "None", "unused": True},
            "SGLANG_D": {"declared": environ, "type": "text", "default": "'x'", "deprecated": ["--d-flag"], "unused": True},
            "SGLANG_DIRECT": {"read": user, "type": "text", "default": "'7'"},
            "SGLANG_E": {"declared": environ, "type": "bool-strict", "default": "True", "read": user},
            "SGLANG_GONE": {"deprecated": ["SGLANG_A"]},
            "SGLANG_MENTIONED": {"mentioned": True},
            "SGLANG_MOVED": {"deprecated": [], "renamed": "SGLANG_B"},
            "SGLANG_OLD_A": {"renamed": "SGLANG_A"},
        },
    }
