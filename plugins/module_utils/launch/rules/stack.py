# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Features that a stack's version has, lacks, or has only together with others: transfer backends, HiCache, role switch, metrics."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch import cacheplaces, kernels, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

HICACHE, STORAGE, OFFLOAD = "enable-hierarchical-cache", "hicache-storage-backend", "disaggregation-decode-enable-offload-kvcache"
# Any of them tells the store where its master is (0.5.8 mem_cache/storage/mooncake_store/mooncake_store.py).
STORE_VARIABLES = ("MOONCAKE_MASTER", "MOONCAKE_CLIENT", "SGLANG_HICACHE_MOONCAKE_CONFIG_PATH")
STORE_ARGUMENT = "hicache-storage-backend-extra-config"


def check(contract: Contract, findings: Findings) -> None:
    """Report what the version will refuse, ignore, or do otherwise than meant."""
    gpus = contract.engine.device in ("cuda", "rocm")
    if gpus:
        _check_backend(contract, findings)
        _check_observed(contract, findings)
        _check_toolkit(contract, findings)
    for rank in contract.heads:
        _check_cache(contract, rank, findings)
        _check_storage(contract, rank, findings)
        _check_role_switch(contract, rank, findings)
        _check_allocation(contract, rank, findings)


def _check_backend(contract: Contract, findings: Findings) -> None:
    if contract.cluster.variables["sglang_transfer_backend"] == "mooncake_tcp" and contract.of("prefill"):
        findings.add(
            "stack.tcp-transfer", "sglang_transfer_backend", "mooncake_tcp moves the KV cache of GPUs over TCP",
            "use mooncake once the first test has passed",
        )


def _check_observed(contract: Contract, findings: Findings) -> None:
    blind = [rank.instance.name for rank in contract.heads if not contract.value(rank, "enable-metrics")]
    if blind:
        findings.add(
            "stack.metrics", "sglang_args.enable-metrics", f"is not set: /metrics of {', '.join(blind)} answers 404",
            "set it to true",
        )
    shape = model.load(contract).shape
    for rank in contract.heads:
        eight_bits = contract.value(rank, "quantization") == "fp8" or (shape is not None and shape.block[0] > 0)
        if contract.engine.device == "cuda" and eight_bits and cacheplaces.KERNELS not in rank.environment:
            findings.add(
                "stack.kernel-cache", f"sglang_env.{cacheplaces.KERNELS}",
                "is taken back: DeepGEMM keeps its compiled kernels below HOME, for all versions and GPUs together",
                "leave it out, or set it to a directory on a local disk, one for each stack and pool",
            )
            break


def _check_toolkit(contract: Contract, findings: Findings) -> None:
    """One toolkit of a host is checked, and DeepEP is built with it."""
    for host in sorted({rank.host for rank in contract.ranks}):
        own = [rank for rank in contract.ranks if rank.host == host]
        told = kernels.homes(rank.environment for rank in own)
        if contract.engine.cuda and len(told) > 1:
            variable = next((rank.written[kernels.HOME] for rank in own if kernels.HOME in rank.written), f"sglang_env.{kernels.HOME}")
            findings.add(
                "stack.cuda-home", variable,
                f"ranks of {host} are told different toolkits ({', '.join(home or 'none' for home in told)}); one of a host is checked",
                "set sglang_cuda_home of the host instead", place=host,
            )


def _check_cache(contract: Contract, rank: Rank, findings: Findings) -> None:
    instance, value = rank.instance, contract.value
    keeps = value(rank, "disaggregation-decode-enable-radix-cache")
    if value(rank, HICACHE):
        if instance.mode == "decode" and not keeps:
            findings.add(
                "stack.hicache-radix", contract.variable(rank, HICACHE),
                f"{instance.name} is decode, which has no radix cache: the engine does not start", "write it for the prefill pool only",
                place=instance.name,
            )
        elif value(rank, "disable-radix-cache"):
            findings.add(
                "stack.hicache-radix", contract.variable(rank, HICACHE), "does not go with disable-radix-cache: the engine does not start",
                "keep one of them", place=instance.name,
            )
    if keeps and instance.mode == "decode" and instance.sizes.dp_attention and instance.sizes.dp > 1:
        findings.add(
            "stack.decode-radix", contract.variable(rank, "disaggregation-decode-enable-radix-cache"),
            "is experimental with DP attention, and hits only where requests return to their group",
            "leave it out, or route by prefix", place=instance.name,
        )
    if value(rank, OFFLOAD) and instance.mode != "decode":
        findings.add(
            "stack.offload", contract.variable(rank, OFFLOAD), f"{instance.name} is {instance.mode}: the engine does not start",
            "write it for the decode pool only", place=instance.name,
        )


def _check_storage(contract: Contract, rank: Rank, findings: Findings) -> None:
    storage, env = contract.value(rank, STORAGE), rank.environment
    if not storage:
        return
    variable, place = contract.variable(rank, STORAGE), rank.instance.name
    if not contract.value(rank, HICACHE) and not contract.value(rank, OFFLOAD):
        text, fix = f"has no effect without {HICACHE}", f"set {HICACHE}: true, or leave it out"
        findings.add("stack.hicache-storage", variable, text, fix, place=place)
    elif storage == "mooncake":
        named = contract.value(rank, STORE_ARGUMENT) or [name for name in STORE_VARIABLES if env.get(name)]
        if not named:
            findings.add(
                "stack.hicache-master", variable, "the store's master is not named: the engine does not start",
                f"set one of {', '.join(STORE_VARIABLES)}, or {STORE_ARGUMENT}", place=place,
            )
        elif contract.engine.version == "0.5.8" and contract.engine.device == "cuda" and "MOONCAKE_PROTOCOL" not in env:
            findings.add(
                "stack.hicache-protocol", f"sglang_pools.{rank.instance.pool}.env.MOONCAKE_PROTOCOL",
                "is not set: the store of 0.5.8 moves the cache over TCP", "set it to rdma, and MOONCAKE_DEVICE", place=place,
            )


def _check_role_switch(contract: Contract, rank: Rank, findings: Findings) -> None:
    if not contract.value(rank, "enable-pd-role-switch"):
        return
    sizes = rank.instance.sizes
    against = {
        f"ep {sizes.ep}": sizes.ep > 1, f"pp {sizes.pp}": sizes.pp > 1,
        f"moe-a2a-backend {contract.value(rank, 'moe-a2a-backend')}": contract.value(rank, "moe-a2a-backend") not in (None, "none"),
        "speculative-algorithm": contract.value(rank, "speculative-algorithm") is not None,
    }
    if any(against.values()):
        findings.add(
            "stack.role-switch", contract.variable(rank, "enable-pd-role-switch"),
            f"does not go with {', '.join(name for name, there in against.items() if there)}", "leave it out, or the others",
            place=rank.instance.name,
        )


def _check_allocation(contract: Contract, rank: Rank, findings: Findings) -> None:
    policy, sizes = "disaggregation-decode-allocation-policy", rank.instance.sizes
    if contract.value(rank, policy) != "prefill_complete":
        return
    against = {
        "aggregated serving": rank.instance.mode == "plain",
        "another transfer backend than mooncake": not contract.cluster.variables["sglang_transfer_backend"].startswith("mooncake"),
        "pipeline stages": sizes.pp > 1,
        "attention groups of several GPUs": sizes.attention_tp > 1,
    }
    if any(against.values()):
        findings.add(
            "stack.allocation-policy", contract.variable(rank, policy),
            f"prefill_complete does not go with {', '.join(name for name, there in against.items() if there)}", "leave it out",
            place=rank.instance.name,
        )
