# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes that one version, or prefill and decode together, cannot have. Sizes that do not divide: parallel.py one level up."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import layout, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Sizes
from ansible_collections.railyard.sglang.plugins.module_utils.launch.model import Model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# 0.5.23 arg_groups/overrides.py _A2A_EP_SPANNING_BACKENDS; 0.5.8 has the first ones of them.
EP_IS_TP = (*layout.ALL_TO_ALL, "deepep_v2", "flashinfer", "flashinfer_megamoe", "megamoe", "mori", "nixl", "pplx")
# What hides GPUs from a process.
VISIBLE = {
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "rocm": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    "npu": ("ASCEND_RT_VISIBLE_DEVICES",),
}
HINT = "disaggregation-decode-tp"
GRAPH_SIZES = ("cuda-graph-max-bs", "cuda-graph-bs", "cuda-graph-max-bs-decode", "cuda-graph-bs-decode")


def check(contract: Contract, findings: Findings) -> None:
    """Report sizes and modes that do not go together."""
    served = model.load(contract)
    # One pair for each two shapes: the number of instances squared is too many.
    first: dict[str, dict[tuple[str, Sizes, Any], Rank]] = {"prefill": {}, "decode": {}, "plain": {}}
    for rank in contract.heads:
        shape = (rank.instance.pool, rank.instance.sizes, contract.value(rank, HINT))
        first[rank.instance.mode].setdefault(shape, rank)
    for prefill in first["prefill"].values():
        for decode in first["decode"].values():
            _check_pair(contract, prefill, decode, served, findings)
    for rank in contract.heads:
        _check_instance(contract, rank, findings)
        _check_graphs(contract, rank, findings)
    for rank in contract.ranks:
        _check_visible(contract, rank, findings)


def _check_pair(contract: Contract, prefill: Rank, decode: Rank, served: Model, findings: Findings) -> None:
    left, right, place = prefill.instance.sizes, decode.instance.sizes, decode.instance.name
    variable = f"sglang_pools.{decode.instance.pool}"
    names = f"{prefill.instance.name} and {place}"
    hint = contract.value(prefill, HINT)
    small, large = sorted((left.attention_tp, right.attention_tp))
    if large % small:
        findings.add(
            "parallel.attention-tp", f"{variable}.tp",
            f"attention TP sizes {left.attention_tp} and {right.attention_tp} of {names} are not multiples of each other",
            "choose tp (with dp_attention: tp / dp) so that one divides the other", place=place,
        )
    elif hint and max(left.tp, hint) % min(left.tp, hint):
        findings.add(
            "parallel.decode-tp-hint", contract.variable(prefill, HINT),
            f"{prefill.instance.name} has tp {left.tp} and is given --{HINT} {hint}: 0.5.8 stops where neither is a multiple of the other",
            f"set {HINT} of the prefill pool to null: nothing but this check reads it", place=prefill.instance.name,
        )
    elif large != small and served.has_state and contract.engine.version == "0.5.8" and not (served.shape and served.shape.mla):
        findings.add(
            "parallel.state-tp", f"{variable}.tp",
            f"attention TP sizes {left.attention_tp} and {right.attention_tp} of {names} differ, and the model's layers carry state "
            "that 0.5.8 does not divide anew",
            "give both sides the same tp / dp", place=place,
        )
    elif large != small and served.shape is not None and not served.shape.mla:
        findings.add(
            "parallel.unequal-tp", f"{variable}.tp",
            f"attention TP sizes {left.attention_tp} and {right.attention_tp} of {names} differ: without MLA each KV head is cut out and "
            "sent by itself, which is slower",
            "give both sides the same tp / dp where the KV transfer matters", place=place,
        )
    if right.pp not in (1, left.pp):
        findings.add(
            "parallel.decode-pp", f"{variable}.pp", f"{place} has {right.pp} pipeline stages, {prefill.instance.name} {left.pp}",
            "decode has one stage, or as many as prefill", place=place,
        )


def _check_instance(contract: Contract, rank: Rank, findings: Findings) -> None:
    instance, sizes = rank.instance, rank.instance.sizes
    context = contract.value(rank, "attn-cp-size")
    if instance.mode == "decode" and isinstance(context, int) and context > 1:
        findings.add(
            "parallel.decode-cp", contract.variable(rank, "attn-cp-size"),
            f"{instance.name} divides the context over {context} GPUs, which decode cannot",
            "write it for the prefill pool only", place=instance.name,
        )
    variable = f"sglang_pools.{instance.pool}"
    exchange = contract.value(rank, "moe-a2a-backend")
    if exchange in EP_IS_TP and sizes.ep not in (1, sizes.tp):
        findings.add(
            "parallel.ep-forced", f"{variable}.ep", f"moe-a2a-backend {exchange} makes ep equal to tp {sizes.tp}, whatever {sizes.ep} says",
            f"write ep: {sizes.tp}, or leave it out", place=instance.name,
        )
    if sizes.dp_attention and sizes.dp == 1:
        findings.add(
            "parallel.dp-one", f"{variable}.dp", "dp_attention with one attention group: SGLang switches it off",
            "set dp to the number of groups, or leave dp_attention out", place=instance.name,
        )
    if contract.value(rank, "enable-dp-lm-head") and not (sizes.dp_attention and sizes.dp > 1):
        stops = sizes.dp > 1
        findings.add(
            "parallel.dp-lm-head", contract.variable(rank, "enable-dp-lm-head"),
            "needs DP attention: the engine " + ("does not start" if stops else "ignores it with dp 1"),
            "set dp_attention: true and dp, or leave it out", place=instance.name, severity="" if stops else "warning",
        )
    if contract.engine.version == "0.5.8" and sizes.pp > 1:
        for spelling in ("speculative-algorithm", "enable-mixed-chunk"):
            if contract.value(rank, spelling):
                findings.add(
                    "parallel.pp-excludes", contract.variable(rank, spelling), f"does not go with {sizes.pp} pipeline stages in 0.5.8",
                    f"leave it out, or set pp: 1 for {instance.pool}", place=instance.name,
                )
    if contract.value(rank, "speculative-algorithm") == "STANDALONE" and sizes.dp_attention and sizes.dp > 1:
        findings.add(
            "parallel.standalone-dp", contract.variable(rank, "speculative-algorithm"), "STANDALONE does not go with DP attention",
            "use EAGLE or NEXTN, or leave dp_attention out", place=instance.name,
        )


def _check_graphs(contract: Contract, rank: Rank, findings: Findings) -> None:
    instance = rank.instance
    if contract.engine.device not in ("cuda", "rocm"):
        return
    if instance.mode != "prefill":
        for spelling, off in (("disable-cuda-graph", True), ("cuda-graph-backend-decode", "disabled")):
            if contract.value(rank, spelling) == off:
                findings.add(
                    "parallel.decode-graph", contract.variable(rank, spelling),
                    f"{instance.name} decodes without CUDA graphs: every step waits for launches", "leave it out", place=instance.name,
                )
    elif contract.engine.version == "0.5.8" and not contract.value(rank, "enable-piecewise-cuda-graph"):
        for spelling in GRAPH_SIZES:
            option = contract.table.find(spelling)
            variable = rank.written.get(option.dest, "") if option is not None else ""
            # Written for the cluster, they are meant for decode.
            if variable.startswith("sglang_pools.") and contract.value(rank, spelling):
                findings.add(
                    "parallel.prefill-graph", variable, f"has no effect on {instance.name}: 0.5.8 runs prefill without CUDA graphs",
                    "leave it out", place=instance.name,
                )


def _check_visible(contract: Contract, rank: Rank, findings: Findings) -> None:
    first, count = rank.instance.gpu[rank.number], rank.instance.gpus_per_host
    for name in VISIBLE.get(contract.engine.device, ()):
        if name not in rank.environment:
            continue
        seen: list[str] = []
        for item in rank.environment[name].split(","):
            # CUDA ends the list at the first number that is none.
            if not item.strip() or item.strip().startswith("-"):
                break
            seen.append(item.strip())
        if len(set(seen)) < first + count:
            findings.add(
                "parallel.visible-devices", rank.written.get(name, f"sglang_env.{name}"),
                f"{name}={rank.environment[name]} shows {len(set(seen))} GPU(s) to {rank.instance.name}, "
                f"which takes {count} from number {first} on",
                f"leave {name} out: --base-gpu-id places the instance", rank.host, place=rank.instance.name,
            )
