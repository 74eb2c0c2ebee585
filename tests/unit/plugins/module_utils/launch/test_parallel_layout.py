# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a model cannot be divided among the GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import layout, modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.layout import Layout

KNOWN = modelshape.known()
R1 = KNOWN["deepseek-ai/deepseek-r1"]
R1_BF16 = replace(R1, weight_bits=16, block=(0, 0))
LLAMA = KNOWN["meta-llama/llama-3.1-8b-instruct"]
QWEN25 = KNOWN["qwen/qwen2.5-7b-instruct"]
QWEN3 = KNOWN["qwen/qwen3-32b"]


def dp(size: int, **others: Any) -> Layout:
    return Layout(size, dp=size, enable_dp_attention=True, **others)


WIDE: dict[str, Any] = {"moe_a2a_backend": "deepep", "moe_dense_tp": 1, "enable_dp_lm_head": True}


@pytest.mark.parametrize(
    ("shape", "at"),
    [
        (R1, Layout(8)),
        (R1, Layout(16)),
        (R1, Layout(16, dp=16, enable_dp_attention=True, ep=16)),
        (R1, Layout(8, pp=2)),
        (R1, dp(32, redundant_experts=32, **WIDE)),
        (R1, dp(72, redundant_experts=32, **WIDE)),
        (R1, Layout(16, dp=8, enable_dp_attention=True, moe_a2a_backend="deepep")),
        # 24,576 / 128 cuts a block of q_b_proj, but the quantised layer looks at that only where the cut is tp.
        (R1, Layout(256, dp=2, enable_dp_attention=True, **WIDE)),
        (LLAMA, Layout(8)),
        (LLAMA, Layout(32)),
        (LLAMA, Layout(4, dp=3)),
        (QWEN25, Layout(4)),
        (QWEN3, Layout(16)),
        (QWEN3, Layout(8, dp=2, enable_dp_attention=True)),
    ],
)
def test_divides(shape: modelshape.Shape, at: Layout) -> None:
    assert layout.divisible(shape, at) == []


@pytest.mark.parametrize(
    ("shape", "at", "wanted"),
    [
        # A table that goes about calls tp 7 and 14 right for Qwen2.5-7B because 28 heads divide.
        (
            QWEN25, Layout(7),
            [
                "tp 7 is not divisible by num_key_value_heads 4, which it would replicate",
                "vocab_size (padded to a multiple of 64) 152,064 is not divisible by the GPUs of the embedding: 7",
                "intermediate_size 18,944 is not divisible by tp 7",
            ],
        ),
        (QWEN25, Layout(8), ["num_attention_heads 28 is not divisible by tp 8"]),
        (LLAMA, Layout(64), ["num_attention_heads 32 is not divisible by tp 64"]),
        (
            LLAMA, dp(2),
            ["LlamaForCausalLM has no attention data parallelism: it cuts its heads by tp, not by attention tp"],
        ),
        (QWEN3, Layout(8, dp=3, enable_dp_attention=True), ["tp 8 is not divisible by dp 3"]),
        # 8 KV heads among 3 GPUs, each of the groups.
        (
            replace(QWEN3, heads=60, intermediate=25632, vocabulary=151936), Layout(6, dp=2, enable_dp_attention=True),
            [
                "num_key_value_heads 8 is not divisible by attention tp 3",
                "vocab_size (padded to a multiple of 64) 151,936 is not divisible by the GPUs of the output head "
                "(enable-dp-lm-head lowers it): 6",
            ],
        ),
        # Fourteen GPUs: sgl-project/sglang#2591 asks for that.
        (
            R1, Layout(14),
            [
                "num_attention_heads 128 is not divisible by tp 14",
                "vocab_size (padded to a multiple of 64) 129,280 is not divisible by the GPUs of the embedding: 14",
                "intermediate_size 18,432 is not divisible by tp 14",
                "moe_intermediate_size 2,048 is not divisible by moe tp (tp / ep) 14",
                "shared experts' intermediate size 2,048 is not divisible by tp 14",
            ],
        ),
        (
            R1, Layout(32),
            [
                "intermediate_size 18,432 / tp 32 = 576 is not divisible by the FP8 block of 128",
                "moe_intermediate_size 2,048 / moe tp (tp / ep) 32 = 64 is not divisible by the FP8 block of 128",
                "shared experts' intermediate size 2,048 / tp 32 = 64 is not divisible by the FP8 block of 128",
            ],
        ),
        (R1_BF16, Layout(32), []),
        (R1, dp(32, moe_a2a_backend="deepep"), ["intermediate_size 18,432 / tp 32 = 576 is not divisible by the FP8 block of 128"]),
        (R1, Layout(16, ep=3), ["tp 16 is not divisible by ep 3"]),
        (R1, dp(16, redundant_experts=10, **WIDE), ["routed experts (256 + 10 redundant) 266 is not divisible by ep 16"]),
        (
            R1, dp(72, redundant_experts=32, moe_a2a_backend="deepep", moe_dense_tp=1),
            ["vocab_size (padded to a multiple of 64) 129,280 is not divisible by the GPUs of the output head "
             "(enable-dp-lm-head lowers it): 72"],
        ),
        (R1, Layout(8, moe_dense_tp=2), ["moe-dense-tp-size 2 is neither 1 nor left out"]),
        (LLAMA, Layout(1, pp=33), ["num_hidden_layers 32 is less than pp 33"]),
        (
            replace(QWEN3, weight_bits=8, block=(128, 128)), Layout(16),
            ["intermediate_size 25,600 / tp 16 = 1,600 is not divisible by the FP8 block of 128"],
        ),
        (
            replace(QWEN3, weight_bits=8, block=(128, 128), head_dim=64), Layout(8),
            ["key width 512 / tp (replicated) 8 = 64 is not divisible by the FP8 block of 128"],
        ),
    ],
)
def test_does_not_divide(shape: modelshape.Shape, at: Layout, wanted: list[str]) -> None:
    assert layout.divisible(shape, at) == wanted


@pytest.mark.parametrize(
    ("arguments", "tp", "wanted"),
    [
        ({}, 0, Layout()),
        ({"tensor_parallel_size": 16, "page_size": 64}, 0, Layout(16, page_size=64)),
        ({"tensor_parallel_size": None}, 8, Layout(8)),
        ({"kv_cache_dtype": "fp8_e4m3", "speculative_algorithm": "NEXTN"}, 8, Layout(8, kv_bits=8, draft=True)),
        ({"kv_cache_dtype": "bf16", "speculative_algorithm": "NGRAM"}, 8, Layout(8)),
        (
            {
                "data_parallel_size": 72, "enable_dp_attention": True, "enable_dp_lm_head": True, "moe_a2a_backend": "deepep",
                "moe_dense_tp_size": 1, "ep_num_redundant_experts": 32, "pipeline_parallel_size": 1, "expert_parallel_size": 8,
            },
            72,
            dp(72, redundant_experts=32, ep=8, **WIDE),
        ),
    ],
)
def test_the_layout_of_arguments(arguments: dict[str, Any], tp: int, wanted: Layout) -> None:
    assert layout.of(arguments, tp) == wanted


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (Layout(16), (16, 1, 1, 16)),
        (Layout(16, dp=4), (16, 1, 1, 16)),
        (Layout(16, dp=4, enable_dp_attention=True), (4, 4, 1, 16)),
        (Layout(16, ep=4), (16, 1, 4, 4)),
        (Layout(16, ep=4, moe_a2a_backend="deepep"), (16, 1, 16, 1)),
    ],
)
def test_groups(at: Layout, wanted: tuple[int, int, int, int]) -> None:
    assert (at.attention_tp, at.attention_dp, at.moe_ep, at.moe_tp) == wanted


@pytest.mark.parametrize(
    ("shape", "at", "wanted"),
    [
        # attention, kv, embedding, head, dense, experts, shared
        (LLAMA, Layout(16), (16, 8, 16, 16, 16, 16, 16)),
        (R1, Layout(16, moe_dense_tp=1), (16, 16, 16, 16, 1, 16, 16)),
        (R1, dp(16, **WIDE), (1, 1, 1, 1, 1, 16, 1)),
        (R1, Layout(16, dp=8, enable_dp_attention=True), (2, 2, 2, 16, 16, 16, 16)),
        (QWEN3, Layout(16, dp=8, enable_dp_attention=True, moe_dense_tp=1), (2, 2, 1, 16, 16, 16, 16)),
    ],
)
def test_cuts(shape: modelshape.Shape, at: Layout, wanted: tuple[int, ...]) -> None:
    found = layout.cuts(shape, at)
    assert tuple(found[name] for name in ("attention", "kv", "embedding", "head", "dense", "experts", "shared")) == wanted


@pytest.mark.parametrize(("layers", "pp", "wanted"), [(61, 1, [61]), (61, 2, [30, 31]), (61, 4, [15, 15, 15, 16]), (8, 3, [2, 3, 3])])
def test_pipeline_stages(layers: int, pp: int, wanted: list[int]) -> None:
    found = layout.stages(layers, pp)
    assert [len(stage) for stage in found] == wanted
    assert [layer for stage in found for layer in stage] == list(range(layers))


@pytest.mark.parametrize(
    ("at", "tokens", "batch", "drafts", "wanted"),
    [
        (dp(16), 128, 128, 1, []),
        (dp(16), 128, 129, 1, ["129 requests = 129 tokens per rank exceed the 128 dispatch tokens per rank"]),
        (dp(16), 128, 64, 4, ["64 requests x 4 draft tokens = 256 tokens per rank exceed the 128 dispatch tokens per rank"]),
        (Layout(16, dp=8, enable_dp_attention=True), 128, 256, 1, []),
        (
            Layout(16, dp=8, enable_dp_attention=True), 128, 257, 1,
            ["257 requests / attention tp 2 = 129 tokens per rank exceed the 128 dispatch tokens per rank"],
        ),
        (dp(16), 1024, 1024, 1, []),
        (dp(16), 2048, 512, 1, ["2048 dispatch tokens per rank are more than DeepEP's limit of 1024"]),
    ],
)
def test_dispatch_tokens(at: Layout, tokens: int, batch: int, drafts: int, wanted: list[str]) -> None:
    assert layout.dispatch(at, tokens, batch, drafts) == wanted


@pytest.mark.parametrize(
    ("shape", "capability", "warned"),
    [
        (R1, 90, False),
        (R1, 100, True),
        (R1, 103, True),
        (R1, 120, True),
        (replace(R1, scales_ue8m0=True), 100, False),
        (R1_BF16, 100, False),
        (LLAMA, 100, False),
    ],
)
def test_scales_on_blackwell(shape: modelshape.Shape, capability: int, warned: bool) -> None:
    text = layout.scale_warning(shape, capability)
    assert bool(text) is warned
    assert (f"SM{capability}" in text) is warned
