# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepEP and what comes with it: modes, dispatch buffers, redundant experts, settings that need experts spread over GPUs."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch import environment, kernels, layout, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# Beginning of what layout.divisible says of experts; reported here, the rest by capacity.
OF_EXPERTS = "routed experts"
# NVSHMEM's own.
HCA_PREFIX = "mlx5"
PREFIX = "NVSHMEM_HCA_PREFIX"


def check(contract: Contract, findings: Findings) -> None:
    """Report what DeepEP will refuse or make slow."""
    shape = model.load(contract).shape
    for rank in contract.heads:
        _check_experts(contract, rank, shape, findings)
        if contract.value(rank, "moe-a2a-backend") == "deepep":
            _check_mode(contract, rank, findings)
            _check_dispatch(contract, rank, shape, findings)
            _check_where(contract, rank, findings)
            _check_path(contract, rank, findings)


def _check_path(contract: Contract, rank: Rank, findings: Findings) -> None:
    """What the stage deepep builds is found by variables that an operator may have written over."""
    for name, (value, _why) in kernels.environment(contract.cluster, rank.host, contract.engine, deepep=True).items():
        given = rank.environment.get(name, "")
        if name != "CUDA_HOME" and value not in given.split(":"):
            findings.add(
                "deepep.path", rank.written.get(name, f"sglang_env.{name}"),
                f"{given or 'nothing'!r} does not lead to {value}, where the stage deepep puts what it builds for {contract.engine.name}",
                f"add {value} to it, or name a DeepEP of your own there and waive this rule", place=rank.instance.name,
            )


def _check_mode(contract: Contract, rank: Rank, findings: Findings) -> None:
    mode, instance = contract.value(rank, "deepep-mode"), rank.instance
    variable = contract.variable(rank, "deepep-mode")
    if mode == "normal" and instance.mode != "prefill":
        findings.add(
            "deepep.decode-normal", variable, f"{instance.name} decodes in mode normal, which switches CUDA graphs off",
            "write deepep-mode: low_latency for decode, auto where an instance does both", place=instance.name,
        )
    if mode == "low_latency" and instance.mode != "decode":
        findings.add(
            "deepep.prefill-low-latency", variable,
            f"{instance.name} prefills in mode low_latency, which sends no more than "
            f"{model.dispatch_tokens(rank)} tokens per rank at once",
            "write deepep-mode: normal for prefill, auto where an instance does both", place=instance.name,
        )


def _check_dispatch(contract: Contract, rank: Rank, shape: Shape | None, findings: Findings) -> None:
    """Tokens per rank of the low-latency kernels against what decode sends at once."""
    tokens, name = model.dispatch_tokens(rank), model.DISPATCH_VARIABLE
    spread = model.spread(contract, rank, shape)
    batch, spelling, how = model.decode_batch(contract, rank) if model.low_latency(contract, rank) else (0, "", "")
    speculative = contract.value(rank, "speculative-algorithm") is not None
    drafts = (contract.value(rank, "speculative-num-draft-tokens") or 1) if speculative else 1
    for problem in layout.dispatch(spread, tokens, batch, drafts):
        over = tokens > layout.DISPATCH_LIMIT and "DeepEP's limit" in problem
        blamed = contract.variable(rank, spelling) if spelling else f"sglang_pools.{rank.instance.pool}.env.{name}"
        fix = f"set it to at most {layout.DISPATCH_LIMIT}"
        if not over:
            fix = f"raise {name} (now {tokens}, at most {layout.DISPATCH_LIMIT}), or lower cuda-graph-max-bs and max-running-requests"
        findings.add(
            "deepep.dispatch-tokens", rank.written.get(name, blamed), problem + (f" ({how})" if how and not over else ""), fix,
            place=rank.instance.name,
        )


def _check_experts(contract: Contract, rank: Rank, shape: Shape | None, findings: Findings) -> None:
    spread, place = model.spread(contract, rank, shape), rank.instance.name
    if shape is not None:
        for problem in layout.divisible(shape, spread):
            if problem.startswith(OF_EXPERTS):
                findings.add(
                    "deepep.redundant-experts", contract.variable(rank, "ep-num-redundant-experts"), problem,
                    f"experts and redundant experts together are a multiple of {spread.moe_ep}", place=place,
                )
    if contract.value(rank, "enable-eplb") and spread.moe_ep == 1:
        findings.add(
            "deepep.eplb", contract.variable(rank, "enable-eplb"), "balances experts over GPUs, and ep is 1",
            f"set ep of {rank.instance.pool}, or moe-a2a-backend: deepep", place=place,
        )
    dense = contract.value(rank, "moe-dense-tp-size")
    allowed = [1] if contract.engine.version == "0.5.8" else [1, rank.instance.sizes.tp]
    if dense is not None and dense not in allowed:
        findings.add(
            "deepep.moe-dense-tp", contract.variable(rank, "moe-dense-tp-size"), f"{dense} is not taken",
            f"write {' or '.join(map(str, allowed))}, or leave it out", place=place,
        )
    overlap = "enable-two-batch-overlap"
    if contract.engine.version == "0.5.8" and contract.value(rank, overlap) and spread.moe_a2a_backend == "none":
        findings.add(
            "deepep.two-batch-overlap", contract.variable(rank, overlap), "hides an all-to-all, and moe-a2a-backend is none",
            "set moe-a2a-backend: deepep, or leave it out", place=place,
        )


def _check_where(contract: Contract, rank: Rank, findings: Findings) -> None:
    instance, variable = rank.instance, contract.variable(rank, "moe-a2a-backend")
    if contract.engine.device == "cpu":
        findings.add(
            "deepep.device", variable, f"DeepEP has no kernels for {contract.engine.name}", "leave moe-a2a-backend out",
            place=instance.name,
        )
    elif contract.engine.device == "cuda" and instance.nodes > 1:
        missing = [name for name in ("NVSHMEM_IB_GID_INDEX", "NVSHMEM_IB_TRAFFIC_CLASS") if name not in rank.environment]
        text = "DeepEP crosses hosts: NVSHMEM needs IBGDA, its driver settings and RDMA devices of its own choice"
        findings.add(
            "deepep.hosts", variable, text + (f"; not set: {', '.join(missing)}" if missing else ""),
            "prepare the hosts with the stage deepep; on RoCE set what is missing as NCCL and Mooncake have it", place=instance.name,
        )
        _check_prefix(contract, rank, findings)
        _check_doorbells(contract, rank, findings)


def _check_doorbells(contract: Contract, rank: Rank, findings: Findings) -> None:
    """The CPU rings doorbells by what libgdrapi maps; with them in host memory it needs nothing."""
    if rank.environment.get(kernels.HANDLER) == "cpu" and not contract.cluster.variables["sglang_deepep_gdrcopy"]:
        findings.add(
            "deepep.gdrcopy", rank.written.get(kernels.HANDLER, f"sglang_env.{kernels.HANDLER}"),
            f"is cpu for {rank.instance.name}, which needs libgdrapi, and sglang_deepep_gdrcopy is false",
            "set sglang_deepep_gdrcopy: true, or cpu_host_memory instead of cpu; or waive it where the hosts have libgdrapi.so.2",
            place=rank.instance.name,
        )


def _check_prefix(contract: Contract, rank: Rank, findings: Findings) -> None:
    """NVSHMEM takes devices whose names contain a text; its lists choose among these."""
    devices, given = environment.known_devices(contract.cluster.hosts[rank.host]), rank.environment.get(PREFIX, "")
    other = [name for name in devices if (given or HCA_PREFIX) not in name]
    if other:
        what, stem = f"is {given}" if given else "is not set", other[0].rstrip("0123456789") or other[0]
        findings.add(
            "deepep.hca-prefix", rank.written.get(PREFIX, f"sglang_env.{PREFIX}"),
            f"{what}, and {listed(other)} of {rank.host} do not contain {given or HCA_PREFIX}: NVSHMEM does not find them, listed or not",
            f"set it to what all names contain, for example {stem}", place=rank.instance.name,
        )
