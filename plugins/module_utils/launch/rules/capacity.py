# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the model can be divided among the GPUs and fits them. Every figure is an estimate, shown with its arithmetic."""

from __future__ import annotations

import re

from ansible_collections.railyard.sglang.plugins.module_utils.launch import attention, layout, memory, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules.deepep import OF_EXPERTS
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# Reported by deepep, with the option to blame.
ELSEWHERE = (OF_EXPERTS, "moe-dense-tp-size")
MODEL = "sglang_model.config"
# Devices that the arithmetic was held against logs of; on others only what is far off counts.
MEASURED = ("cuda", "rocm")
SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
# In what memory.fits says where raising the fraction does not help.
HOPELESS = "no fraction is enough"


def check(contract: Contract, findings: Findings) -> None:
    """Report a model that cannot be divided, or does not fit."""
    served = model.load(contract)
    gpus = contract.engine.device in MEASURED
    if served.problem:
        fix = "name a model that comes with the collection, or the path of its config.json"
        findings.add("capacity.config", MODEL, served.problem, fix)
    elif gpus and served.unknown:
        findings.add(
            "capacity.unknown", MODEL, f"whether the model fits is not checked: {served.unknown}",
            "set it to the path of the model's config.json on the controller",
        )
    seen: set[tuple[object, ...]] = set()
    for rank in contract.heads:
        _check_chunk(contract, rank, served.shape, findings)
        if served.shape is None:
            continue
        _check_divisible(contract, rank, served.shape, findings)
        if gpus and not model.gpu_gib(contract, rank):
            host = next(host for host in rank.instance.hosts if not contract.cluster.hosts[host]["sglang_gpu"]["memory_gib"])
            findings.add(
                "capacity.unknown", "sglang_gpu.memory_gib", f"whether the model fits {rank.instance.name} is not checked: it is not set",
                "set it to the memory of one GPU in GiB, as nvidia-smi or rocm-smi tells it", host, place=rank.instance.name,
            )
        elif model.gpu_gib(contract, rank) and contract.engine.device != "cpu":
            _check_memory(contract, rank, served.shape, findings)
        for host in rank.instance.hosts:
            warning = layout.scale_warning(served.shape, attention.compute_capability(contract, host))
            if warning and (rank.instance.pool, warning) not in seen:
                seen.add((rank.instance.pool, warning))
                findings.add(
                    "capacity.fp8-scales", "sglang_gpu.arch", warning + " (from the sources; not verified on such GPUs by us)",
                    "use a checkpoint with ue8m0 scales, or compare answers with those of other GPUs first", host, place=rank.instance.name,
                )


def _check_divisible(contract: Contract, rank: Rank, shape: Shape, findings: Findings) -> None:
    for problem in layout.divisible(shape, model.spread(contract, rank, shape)):
        if not problem.startswith(ELSEWHERE):
            findings.add(
                "capacity.divisible", f"sglang_pools.{rank.instance.pool}.tp",
                f"{problem}: {rank.instance.name} cannot load {shape.architecture}", "choose sizes that divide it",
                place=rank.instance.name,
            )


def _estimate(contract: Contract, rank: Rank, shape: Shape) -> memory.Fit:
    value = contract.value
    spread, gib = model.spread(contract, rank, shape), float(model.gpu_gib(contract, rank))
    graphs, _spelling = model.graph_batch(contract, rank)
    fraction = value(rank, "mem-fraction-static")
    return memory.fits(
        shape, spread, gib,
        float(fraction or memory.default_mem_fraction(spread, gib, max(value(rank, "chunked-prefill-size") or 0, 0), graphs)),
        _number(value(rank, "context-length")),
        max_total_tokens=_number(value(rank, "max-total-tokens")),
        dispatch_tokens=model.dispatch_tokens(rank) if model.low_latency(contract, rank) else 0,
        attention_backend=attention.backend(contract, rank, shape),
    )


def _number(given: object) -> int:
    """Return a size as a number, also one such as 64k (0.5.23 utils/common.py human_readable_int); 0 where it is not written."""
    match = SIZE.fullmatch(str(given))
    return int(float(match[1]) * UNITS[match[2]]) if match else 0


def _check_memory(contract: Contract, rank: Rank, shape: Shape, findings: Findings) -> None:
    quantization = contract.value(rank, "quantization")
    if quantization and not shape.block[0] and shape.weight_bits == shape.bits:
        findings.add(
            "capacity.unknown", contract.variable(rank, "quantization"),
            f"whether the model fits {rank.instance.name} is not checked: {quantization} makes other weights than config.json tells of",
            "count them yourself", place=rank.instance.name,
        )
        return
    fit, instance = _estimate(contract, rank, shape), rank.instance
    where = contract.variable(rank, "mem-fraction-static")
    arithmetic = "; ".join(fit.lines)
    for problem in fit.problems:
        if fit.tokens:
            findings.add(
                "capacity.buffers", where, f"{instance.name}: {problem}. Estimate: {arithmetic}",
                "lower mem-fraction-static, or the buffers", place=instance.name,
            )
        else:
            findings.add(
                "capacity.weights", f"sglang_pools.{instance.pool}.tp", f"{instance.name}: {problem}. Estimate: {arithmetic}",
                f"spread it over more than {instance.sizes.gpus} GPUs" + ("" if HOPELESS in problem else ", or raise mem-fraction-static"),
                place=instance.name,
            )
    context = contract.value(rank, "context-length")
    length = _number(context) or shape.context_length
    if 0 < fit.tokens < length:
        findings.add(
            "capacity.kv", contract.variable(rank, "context-length"),
            f"{instance.name}: the KV cache holds {fit.tokens:,} tokens, less than one request of the context length {length:,}. "
            f"Estimate: {arithmetic}",
            f"set context-length to at most {fit.tokens}, raise mem-fraction-static or max-total-tokens, or use more GPUs",
            place=instance.name, severity="error" if context else "" if contract.engine.device in MEASURED else "note",
        )
    if model.spread(contract, rank, shape).draft and not shape.mtp_layers:
        findings.add(
            "capacity.unknown", contract.variable(rank, "speculative-algorithm"),
            "the memory of the draft model is not counted: the model has no layers for multi-token prediction",
            "leave room for it in mem-fraction-static", place=instance.name,
        )


def _check_chunk(contract: Contract, rank: Rank, shape: Shape | None, findings: Findings) -> None:
    """Chunks of a prompt against pages and against the tokens of one prefill step."""
    sizes, place = rank.instance.sizes, rank.instance.name
    given = contract.value(rank, "chunked-prefill-size")
    if rank.instance.mode == "decode" or not isinstance(given, int) or given <= 0:
        return
    chunk = given // sizes.dp if sizes.dp_attention else given
    page, why = attention.page_size(contract, rank, shape)
    variable = contract.variable(rank, "chunked-prefill-size")
    shown = f"{given} / {sizes.dp} attention groups = {chunk}" if chunk != given else str(chunk)
    if page and (chunk % page or not chunk):
        findings.add(
            "capacity.chunk-page", variable, f"{shown} is not a multiple of page size {page} ({why})",
            f"choose a multiple of {page * (sizes.dp if sizes.dp_attention else 1)}", place=place,
        )
    most = _number(contract.value(rank, "max-prefill-tokens"))
    if most and chunk > most:
        findings.add(
            "capacity.chunk", variable, f"{shown} is more than max-prefill-tokens {most}: only a single prompt makes a chunk that long",
            "raise max-prefill-tokens to it, or lower the chunk", place=place,
        )
