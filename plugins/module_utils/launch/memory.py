# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model fits a layout: weights and KV cache per GPU, with the arithmetic shown. Every figure is an estimate.

Evidence, sglang 0.5.8 (paths below sglang/srt). Static pool: server_args.py (_handle_gpu_memory_settings) and
model_executor/model_runner_kv_cache_mixin.py: the KV pool gets (memory free before the weights) x mem-fraction-static - weights.
Bytes per token: get_cell_size_per_token there, and mem_cache/memory_pool.py. The logs that the figures were held against are in the
tests. SGLang logs memory as GB and means GiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.railyard.sglang.plugins.module_utils.launch import matrices
from ansible_collections.railyard.sglang.plugins.module_utils.launch.layout import Layout, cuts, stages
from ansible_collections.railyard.sglang.plugins.module_utils.launch.matrices import Matrix
from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape

GIB = 1 << 30
# CUDA context and NCCL: eight H200 with tp 8 had 137.3 of 140.4 GiB free before the weights (log in sgl-project/sglang#11716).
OVERHEAD_GIB = 3.0
# GiB below which a row holds, then chunked-prefill-size, and cuda-graph-max-bs with tp below 4 and from 4 on.
TIERS = ((20, 2048, 8, 8), (35, 2048, 24, 80), (60, 4096, 32, 160), (160, 8192, 256, 512), (float("inf"), 16384, 512, 512))


@dataclass(frozen=True)
class Estimate:
    """Bytes per GPU (of the fullest one), and how they come about, one line per step."""

    bytes: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """Whether it fits.

    :ivar weights: bytes of the weights per GPU.
    :ivar kv: bytes of the KV pool per GPU.
    :ivar tokens: tokens in the KV pool of one attention group.
    :ivar problems: why the engine cannot start, empty when it fits.
    :ivar warnings: what an operator should know although it starts.
    :ivar lines: the arithmetic, one line per step.
    """

    weights: int
    kv: int
    tokens: int
    mem_fraction: float
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the engine has room for the weights, a KV pool, and the buffers whose size is known."""
        return not self.problems


@dataclass(frozen=True)
class _Part:
    parameters: int
    bytes: int
    cut: str


def _gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB"


def _share(shape: Shape, layout: Layout, matrix: Matrix) -> int:
    size = matrices.matrix_bytes(shape, matrix)
    if matrix.cut == "experts":
        size = size * (matrix.copies + layout.redundant_experts) // matrix.copies
    return -(-size // cuts(shape, layout)[matrix.cut])


def _stage(shape: Shape, layout: Layout, layers: range) -> dict[str, _Part]:
    """Return what one pipeline stage holds, with the bytes per GPU."""
    first, last = matrices.ends(shape, layout.pp)
    dense = sum(1 for layer in layers if layer in shape.dense_layers)
    found: dict[str, _Part] = {}
    groups = [
        (first if 0 in layers else [], 1),
        (list(matrices.layer(shape, False)) if dense else [], dense),
        (list(matrices.layer(shape, True)) if len(layers) > dense else [], len(layers) - dense),
        (last if shape.layers - 1 in layers else [], 1),
    ]
    for group, times in groups:
        for matrix in group:
            before = found.get(matrix.part, _Part(0, 0, matrix.cut))
            cut = "attention" if matrix.part == "attention" else matrix.cut
            size = before.bytes + times * _share(shape, layout, matrix)
            found[matrix.part] = _Part(before.parameters + times * matrix.parameters, size, cut)
    if shape.mla:
        # deepseek_weight_loader.py keeps a second copy of kv_b_proj, in bfloat16 where the blocks are 128 x 128 on CUDA.
        count = len(layers) * shape.heads * (shape.qk_nope_head_dim + shape.v_head_dim) * shape.kv_lora_rank
        found["absorbed kv_b_proj"] = _Part(count, count * shape.bits // 8 // layout.attention_tp, "attention")
    return found


def _size(parts: dict[str, _Part]) -> int:
    return sum(part.bytes for part in parts.values())


def weights_per_gpu(shape: Shape, layout: Layout) -> Estimate:
    """Return the weights on the fullest GPU, without the layers for multi-token prediction (see draft_per_gpu)."""
    divisors = cuts(shape, layout)
    held = [(layers, _stage(shape, layout, layers)) for layers in stages(shape.layers, layout.pp)]
    layers, parts = max(held, key=lambda row: _size(row[1]))
    notes = {
        "experts": f" with {layout.redundant_experts} redundant experts" if layout.redundant_experts else "",
        "absorbed kv_b_proj": f" again, in {shape.bits} bits",
    }
    if shape.mla:
        notes["attention"] = " (the low-rank projections whole on each)"
    elif layout.attention_tp > shape.kv_heads:
        notes["attention"] = f" (the {shape.kv_heads} KV heads replicated)"
    lines = [f"fullest pipeline stage: layers {layers[0]} to {layers[-1]} of {shape.layers}"] if layout.pp > 1 else []
    for name, part in sorted(parts.items(), key=lambda row: -row[1].bytes):
        lines.append(f"{name}: {part.parameters / 1e9:.3f}e9 parameters{notes.get(name, '')} / {divisors[part.cut]} = {_gib(part.bytes)}")
    lines.append(f"weights per GPU (estimate): {_gib(_size(parts))}")
    return Estimate(_size(parts), tuple(lines))


def draft_per_gpu(shape: Shape, layout: Layout) -> int:
    """Return the bytes per GPU of the layers for multi-token prediction; they are loaded after the KV pool is sized."""
    return sum(_share(shape, layout, matrix) for matrix in matrices.draft(shape))


def kv_bytes_per_token(shape: Shape, layout: Layout, layers: int = 0) -> int:
    """Return the bytes of one token in the KV pool of one GPU.

    MLA keeps one compressed vector that every GPU of an attention group holds whole; otherwise the KV heads are divided, and each GPU
    holds at least one.

    :param layers: how many to count; 0 for those of the longest pipeline stage.
    """
    count = layers or -(-shape.layers // layout.pp)
    numbers = shape.kv_lora_rank + shape.qk_rope_head_dim
    if not shape.mla:
        numbers = max(1, shape.kv_heads // layout.attention_tp) * (shape.head_dim + shape.v_head_dim)
    # A 4-bit cache has one byte of scale for sixteen numbers.
    scales = numbers // 16 * count if layout.kv_bits == 4 else 0
    return numbers * count * layout.kv_bits // 8 + scales


def default_mem_fraction(layout: Layout, gpu_gib: float, chunked_prefill: int = 0, cuda_graph_max_bs: int = 0) -> float:
    """Return what 0.5.8 takes for --mem-fraction-static on a GPU; with a large chunk it can be negative.

    :param chunked_prefill: --chunked-prefill-size as given, before attention data parallelism divides it; 0 for the default.
    :param cuda_graph_max_bs: --cuda-graph-max-bs; 0 for the default.
    """
    mib = gpu_gib * 1024
    _limit, chunk, few, many = next(row for row in TIERS if gpu_gib < row[0])
    graphs = cuda_graph_max_bs or (few if layout.tp < 4 else many)
    reserved = 512 + 1.5 * max(chunked_prefill or chunk, 2048) + 2 * graphs + layout.tp * layout.pp / 8 * 1024
    if layout.enable_dp_attention:
        reserved += graphs * layout.dp * (4.5 if graphs > 300 else 3)
    if gpu_gib > 60:
        reserved = max(reserved, 10 * 1024)
    return round((mib - reserved - (2048 if layout.draft else 0)) / mib, 3)


def dispatch_buffer_bytes(shape: Shape, layout: Layout, dispatch_tokens: int) -> int:
    """Return the size of DeepEP's buffer for low-latency mode on each GPU (csrc/config.hpp, LowLatencyLayout).

    :param dispatch_tokens: SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK.
    """
    experts = shape.experts + layout.redundant_experts
    scales = shape.hidden // 128 * 4
    dispatch = 16 + max(2 * shape.hidden, shape.hidden + scales)
    combine = scales + 2 * shape.hidden
    send = dispatch_tokens * max(dispatch, experts * combine)
    receive = dispatch_tokens * experts * max(dispatch, combine)
    return 2 * (send + receive + -(-experts * 4 // 128) * 128)


def _late(shape: Shape, layout: Layout, tokens: int, dispatch_tokens: int) -> dict[str, int]:
    """Return what is allocated after the KV pool, out of what it leaves."""
    found = {}
    if layout.draft and shape.mtp_layers:
        found["weights for multi-token prediction"] = draft_per_gpu(shape, layout)
        found["KV cache for multi-token prediction"] = tokens * kv_bytes_per_token(shape, layout, shape.mtp_layers)
    if dispatch_tokens:
        found[f"DeepEP buffer for {dispatch_tokens} dispatch tokens per rank"] = dispatch_buffer_bytes(shape, layout, dispatch_tokens)
    return found


def fits(
    shape: Shape, layout: Layout, gpu_gib: float, mem_fraction: float = 0.0, context_length: int = 0, *,
    free_gib: float = 0.0, max_total_tokens: int = 0, dispatch_tokens: int = 0, attention_backend: str = "",
) -> Fit:
    """Return whether the weights and a KV pool fit each GPU.

    :param gpu_gib: memory of one GPU as nvidia-smi or rocm-smi tells it (H100 79.6, H200 140.4, MI300X 192.0).
    :param mem_fraction: --mem-fraction-static; 0 for default_mem_fraction.
    :param context_length: --context-length; 0 for the model's own.
    :param free_gib: free memory before the engine starts, less than gpu_gib where something else holds memory; 0 when not known.
    :param max_total_tokens: --max-total-tokens; 0 when not set.
    :param dispatch_tokens: tokens per rank of DeepEP's low-latency mode; 0 where that mode is not used.
    :param attention_backend: the one that the engine takes; with aiter, AMD's default, and a context above 8192 it multiplies the fraction
        by 0.85, a given one too.
    """
    fraction = mem_fraction or default_mem_fraction(layout, gpu_gib)
    context = context_length or shape.context_length
    if attention_backend == "aiter" and context > 8192:
        fraction = round(fraction * 0.85, 3)
    weights = weights_per_gpu(shape, layout)
    usable = int(((free_gib or gpu_gib) - OVERHEAD_GIB) * GIB)
    pool = int(usable * fraction)
    # The pipeline stage with the least room decides for all of them (init_memory_pool).
    spans = stages(shape.layers, layout.pp)
    room = min((pool - _size(_stage(shape, layout, span))) // kv_bytes_per_token(shape, layout, len(span)) for span in spans)
    tokens = max(0, min(room, max_total_tokens or room) // layout.page_size * layout.page_size)
    cell = kv_bytes_per_token(shape, layout)
    headroom = usable - weights.bytes - tokens * cell
    late = _late(shape, layout, tokens, dispatch_tokens)
    source = f"{free_gib:.2f} GiB free" if free_gib else f"{gpu_gib:.2f} GiB per GPU"
    capped = f", at most {max_total_tokens:,} (max-total-tokens)" if max_total_tokens else ""
    groups = f" in each of {layout.attention_dp} attention groups" if layout.attention_dp > 1 else ""
    lines = (
        *weights.lines,
        f"usable: {source} - {OVERHEAD_GIB:.2f} GiB (CUDA context, NCCL) = {_gib(usable)}",
        f"static pool: {_gib(usable)} x mem-fraction-static {fraction} = {_gib(pool)}",
        f"KV pool: {_gib(pool)} - {_gib(weights.bytes)} of weights = {_gib(pool - weights.bytes)}",
        f"KV cache: {cell:,} bytes per token and GPU{capped}: {tokens:,} tokens{groups}",
        f"left for activations, CUDA graphs and buffers: {_gib(usable)} - weights - {_gib(tokens * cell)} of KV cache = {_gib(headroom)}",
        *(f"of that: {name}: {_gib(size)}" for name, size in late.items()),
    )
    problems: list[str] = []
    warnings: list[str] = []
    if not tokens:
        advice = "no fraction is enough: use more GPUs, or GPUs with more memory"
        if weights.bytes < usable:
            advice = f"{weights.bytes / usable:.3f} holds the weights alone"
        problems.append(
            f"{_gib(weights.bytes)} of weights per GPU leave no KV pool in {_gib(pool)} (mem-fraction-static {fraction}; {advice})",
        )
    elif sum(late.values()) > headroom:
        problems.append(
            f"{' and '.join(late)} take {_gib(sum(late.values()))}, but weights and KV pool leave {_gib(headroom)} "
            f"(mem-fraction-static {fraction})",
        )
    if 0 < tokens < context:
        warnings.append(f"the KV pool holds {tokens:,} tokens, less than one request of the context length {context:,}")
    if layout.draft and not shape.mtp_layers:
        warnings.append("the model has no layers for multi-token prediction: the draft model's memory is not counted")
    return Fit(weights.bytes, tokens * cell, tokens, fraction, tuple(problems), tuple(warnings), lines)
