# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrices of a model, with their sizes and the group of GPUs that SGLang cuts each of them by.

Evidence, sglang 0.5.8 (paths below sglang/srt): models/llama.py, models/qwen2.py, models/qwen3.py, models/qwen3_moe.py,
models/deepseek_v2.py, models/deepseek_nextn.py. The counts were checked against the published sizes; see the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape


@dataclass(frozen=True)
class Matrix:
    """One weight, or several equal ones.

    :ivar cut: by which group it is divided; see layout.cuts. V(whole) is on every GPU.
    :ivar linear: it belongs to a linear layer, so the checkpoint's quantisation applies.
    """

    part: str
    rows: int
    columns: int = 1
    cut: str = "whole"
    linear: bool = True
    copies: int = 1

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return self.rows * self.columns * self.copies


def _mlp(part: str, shape: Shape, width: int, cut: str, copies: int = 1) -> Iterator[Matrix]:
    yield Matrix(part, 2 * width, shape.hidden, cut, copies=copies)
    yield Matrix(part, shape.hidden, width, cut, copies=copies)


def _attention_matrices(shape: Shape) -> Iterator[Matrix]:
    part, hidden, queries = "attention", shape.hidden, shape.heads * shape.head_dim
    if shape.mla:
        # The compressions are ReplicatedLinear: whole on every GPU (deepseek_v2.py).
        yield Matrix(part, shape.kv_lora_rank + shape.qk_rope_head_dim, hidden)
        yield Matrix("norms", shape.kv_lora_rank, linear=False)
        if shape.q_lora_rank:
            yield Matrix(part, shape.q_lora_rank, hidden)
            yield Matrix("norms", shape.q_lora_rank, linear=False)
        yield Matrix(part, queries, shape.q_lora_rank or hidden, "attention")
        yield Matrix(part, shape.heads * (shape.qk_nope_head_dim + shape.v_head_dim), shape.kv_lora_rank, "attention")
    else:
        yield Matrix(part, queries, hidden, "attention")
        yield Matrix(part, 2 * shape.kv_heads * shape.head_dim, hidden, "kv")
        if shape.qkv_bias:
            yield Matrix(part, queries, 1, "attention", linear=False)
            yield Matrix(part, 2 * shape.kv_heads * shape.head_dim, 1, "kv", linear=False)
        if shape.qk_norm:
            yield Matrix("norms", 2 * shape.head_dim, linear=False)
    yield Matrix(part, hidden, shape.heads * shape.v_head_dim, "attention")


def layer(shape: Shape, moe: bool) -> Iterator[Matrix]:
    """Yield the matrices of one decoder layer.

    :param moe: the layer has routed experts instead of one dense network.
    """
    yield from _attention_matrices(shape)
    yield Matrix("norms", 2 * shape.hidden, linear=False)
    if not moe:
        yield from _mlp("dense", shape, shape.intermediate, "dense")
        return
    yield Matrix("router", shape.experts, shape.hidden, linear=False)
    if shape.router_bias:
        yield Matrix("router", shape.experts, linear=False)
    yield from _mlp("experts", shape, shape.moe_intermediate, "experts", shape.experts)
    if shape.shared_experts:
        yield from _mlp("shared", shape, shape.shared_experts * shape.moe_intermediate, "shared")


def ends(shape: Shape, stages: int = 1) -> tuple[list[Matrix], list[Matrix]]:
    """Return the matrices before the first and after the last layer.

    :param stages: pipeline stages; with several, a tied head needs a copy of the embedding on the last one.
    """
    embedding = Matrix("embedding", shape.vocabulary, shape.hidden, "embedding", linear=False)
    last = [Matrix("norms", shape.hidden, linear=False)]
    if not shape.tied or stages > 1:
        last.append(Matrix("head", shape.vocabulary, shape.hidden, "head", linear=False))
    return [embedding], last


def draft(shape: Shape) -> list[Matrix]:
    """Return the matrices that multi-token prediction adds on a GPU; it shares embedding and head with the model."""
    one = [Matrix("mtp", 2 * shape.hidden, shape.hidden, linear=False), Matrix("mtp", 3 * shape.hidden, linear=False), *layer(shape, True)]
    return one * shape.mtp_layers


def parameters(shape: Shape) -> dict[str, int]:
    """Return the number of weights by part.

    The parts without C(mtp) sum to what is published as the model's size; C(mtp) is what a checkpoint holds on top: the layers for
    multi-token prediction with their own copy of embedding and head.
    """
    first, last = ends(shape)
    dense = len(shape.dense_layers)
    counts: dict[str, int] = {}
    groups = [(first, 1), (list(layer(shape, False)), dense), (list(layer(shape, True)), shape.moe_layers), (last, 1)]
    for group, times in groups:
        for matrix in group if times else ():
            counts[matrix.part] = counts.get(matrix.part, 0) + matrix.parameters * times
    if shape.mtp_layers:
        own = sum(matrix.parameters for matrix in draft(shape))
        counts["mtp"] = own + shape.mtp_layers * 2 * shape.vocabulary * shape.hidden
    return counts


def matrix_bytes(shape: Shape, matrix: Matrix) -> int:
    """Return the bytes of a matrix with its FP8 block scales (one float32 each)."""
    bits = shape.weight_bits if matrix.linear else shape.bits
    size = matrix.parameters * bits // 8
    if matrix.linear and shape.block[0]:
        size += -(-matrix.rows // shape.block[0]) * -(-matrix.columns // shape.block[1]) * matrix.copies * 4
    return size


def checkpoint_bytes(shape: Shape) -> int:
    """Return the bytes of the checkpoint's tensors, an estimate of its safetensors files together (half of them for a float32 one)."""
    first, last = ends(shape)
    matrices = [*first, *last, *draft(shape), *(first + last[1:]) * shape.mtp_layers]
    size = sum(matrix_bytes(shape, matrix) for matrix in matrices)
    size += len(shape.dense_layers) * sum(matrix_bytes(shape, matrix) for matrix in layer(shape, False))
    if shape.moe_layers:
        size += shape.moe_layers * sum(matrix_bytes(shape, matrix) for matrix in layer(shape, True))
    return size
