# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits a GPU, held against logs of real engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import memory, modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.layout import Layout, divisible
from ansible_collections.railyard.sglang.plugins.module_utils.launch.memory import GIB

KNOWN = modelshape.known()
R1 = KNOWN["deepseek-ai/deepseek-r1"]
R1_BF16 = replace(R1, weight_bits=16, block=(0, 0))
LLAMA = KNOWN["meta-llama/llama-3.1-8b-instruct"]
QWEN3 = KNOWN["qwen/qwen3-32b"]
H20, H100, H200, MI300X = 95.6, 79.6, 140.4, 192.0
# The recipe of sgl-project/sglang#6017 on eight GPUs.
EP8 = Layout(
    8, dp=8, enable_dp_attention=True, enable_dp_lm_head=True, moe_dense_tp=1, moe_a2a_backend="deepep", redundant_experts=32,
)


@pytest.mark.parametrize(
    ("shape", "layout", "logged"),
    [
        # "mem usage" of Llama-3.1-8B on one H100 (SGLang's own documentation, 0.5) and "avail mem" before and after (78.81, 63.72).
        (LLAMA, Layout(1), 15.02),
        (LLAMA, Layout(1), 78.81 - 63.72),
        # vLLM on eight HPUs, which has no second copy of kv_b_proj (HabanaAI/vllm-fork#809).
        (R1, Layout(8), 79.41),
        # "mem usage" of rank 0 (sgl-project/sglang#6017); the flags are those of the recipe in that thread.
        (R1, EP8, 105.59),
    ],
)
def test_weights_are_those_of_real_engines(shape: modelshape.Shape, layout: Layout, logged: float) -> None:
    assert memory.weights_per_gpu(shape, layout).bytes / GIB == pytest.approx(logged, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "layout", "logged_tokens", "logged_gib"),
    [
        # KV size and #tokens of the same logs: sgl-project/sglang#6017; Llama-3.1-8B, K and V of 27.13 GiB each.
        (R1, EP8, 161488, 10.57),
        (LLAMA, Layout(1), 444500, 2 * 27.13),
    ],
)
def test_kv_cache_is_that_of_real_engines(shape: modelshape.Shape, layout: Layout, logged_tokens: int, logged_gib: float) -> None:
    assert memory.kv_bytes_per_token(shape, layout) * logged_tokens / GIB == pytest.approx(logged_gib, abs=0.01)


def test_the_static_pool_is_that_of_a_real_engine() -> None:
    # 78.81 GiB were free before the weights, the fraction was 0.88, and max_total_num_tokens came out as 444,500.
    fit = memory.fits(LLAMA, Layout(1), H100, 0.88, free_gib=78.81 + memory.OVERHEAD_GIB)
    assert fit.tokens == pytest.approx(444500, rel=0.003)


@pytest.mark.parametrize(
    ("shape", "layout", "wanted"),
    [
        (R1, Layout(8), 70_272),
        (R1, Layout(16), 70_272),
        (R1, EP8, 70_272),
        (R1, Layout(8, kv_bits=8), 35_136),
        (R1, Layout(8, kv_bits=4), 61 * (288 + 36)),
        (R1, Layout(8, pp=2), 31 * 576 * 2),
        (LLAMA, Layout(1), 131_072),
        (LLAMA, Layout(8), 16_384),
        (LLAMA, Layout(16), 16_384),
        (QWEN3, Layout(4), 65_536),
        (QWEN3, Layout(4, dp=4, enable_dp_attention=True), 262_144),
        (QWEN3, Layout(4, dp=4), 65_536),
    ],
)
def test_kv_bytes_per_token(shape: modelshape.Shape, layout: Layout, wanted: int) -> None:
    assert memory.kv_bytes_per_token(shape, layout) == wanted


@pytest.mark.parametrize(
    ("shape", "layout", "gpu_gib", "fraction", "wanted"),
    [
        (R1, Layout(8), H100, 0.0, False),
        (R1, Layout(8), 80.0, 0.95, False),
        (R1, Layout(8), H20, 0.9, True),
        (R1, Layout(8), H20, 0.8, False),
        (R1, Layout(16), H100, 0.8, True),
        (R1, Layout(16), H100, 0.0, True),
        (R1, Layout(8, pp=2), H100, 0.8, True),
        (R1, Layout(8), H200, 0.0, True),
        (R1, Layout(8), MI300X, 0.0, True),
        (R1_BF16, Layout(16), H100, 0.9, False),
        (R1_BF16, Layout(16), H200, 0.9, True),
        (LLAMA, Layout(1), H100, 0.0, True),
        (LLAMA, Layout(1), 16.0, 0.0, False),
        (QWEN3, Layout(1), H100, 0.0, True),
    ],
)
def test_fits(shape: modelshape.Shape, layout: Layout, gpu_gib: float, fraction: float, wanted: bool) -> None:
    fit = memory.fits(shape, layout, gpu_gib, fraction)
    assert fit.ok is wanted
    assert (fit.tokens > 0) is wanted


WIDE = Layout(enable_dp_attention=True, moe_a2a_backend="deepep", moe_dense_tp=1, enable_dp_lm_head=True, redundant_experts=32)


@pytest.mark.parametrize(
    ("layout", "gpu_gib", "fraction", "arguments"),
    [
        # Published shapes that served R1: the twelve hosts of LMSYS (2025-05), srt-slurm's recipes for H100 and H200, and Ant's for H20,
        # whose fractions are not told: these are ours.
        (replace(WIDE, tp=32, dp=32), H100, 0.85, {"max_total_tokens": 131072}),
        (replace(WIDE, tp=72, dp=72), H100, 0.835, {"dispatch_tokens": 256}),
        (Layout(16), H100, 0.6, {}),
        (Layout(16, dp=16, ep=16, enable_dp_attention=True), H100, 0.9, {}),
        (Layout(8, dp=8, ep=8, enable_dp_attention=True), H200, 0.75, {}),
        (Layout(8), H20, 0.9, {}),
        (Layout(16, dp=16, enable_dp_attention=True, moe_a2a_backend="deepep", draft=True), H20, 0.85, {"dispatch_tokens": 128}),
    ],
)
def test_published_shapes_are_not_refused(layout: Layout, gpu_gib: float, fraction: float, arguments: dict[str, int]) -> None:
    assert memory.fits(R1, layout, gpu_gib, fraction, **arguments).problems == ()
    assert divisible(R1, layout) == []


def test_the_refusal_of_r1_on_one_host_shows_its_arithmetic() -> None:
    fit = memory.fits(R1, Layout(8), 80.0, 0.8)
    assert fit.problems == (
        "79.53 GiB of weights per GPU leave no KV pool in 61.60 GiB (mem-fraction-static 0.8; no fraction is enough: use more GPUs, or "
        "GPUs with more memory)",
    )
    assert fit.lines == (
        "experts: 653.909e9 parameters / 8 = 76.14 GiB",
        "attention: 11.413e9 parameters (the low-rank projections whole on each) / 8 = 2.08 GiB",
        "shared: 2.554e9 parameters / 8 = 0.30 GiB",
        "absorbed kv_b_proj: 1.023e9 parameters again, in 16 bits / 8 = 0.24 GiB",
        "embedding: 0.927e9 parameters / 8 = 0.22 GiB",
        "head: 0.927e9 parameters / 8 = 0.22 GiB",
        "router: 0.106e9 parameters / 1 = 0.20 GiB",
        "dense: 1.189e9 parameters / 8 = 0.14 GiB",
        "norms: 0.001e9 parameters / 1 = 0.00 GiB",
        "weights per GPU (estimate): 79.53 GiB",
        "usable: 80.00 GiB per GPU - 3.00 GiB (CUDA context, NCCL) = 77.00 GiB",
        "static pool: 77.00 GiB x mem-fraction-static 0.8 = 61.60 GiB",
        "KV pool: 61.60 GiB - 79.53 GiB of weights = -17.93 GiB",
        "KV cache: 70,272 bytes per token and GPU: 0 tokens",
        "left for activations, CUDA graphs and buffers: 77.00 GiB - weights - 0.00 GiB of KV cache = -2.53 GiB",
    )


def test_a_refusal_names_the_fraction_that_would_hold_the_weights() -> None:
    fit = memory.fits(R1, Layout(8), H20, 0.8)
    assert "0.859 holds the weights alone" in fit.problems[0]
    assert memory.fits(R1, Layout(8), H20, 0.86).ok


def test_memory_that_another_process_holds_is_not_there() -> None:
    assert memory.fits(R1, Layout(16), H100, 0.8, free_gib=79.0).ok
    fit = memory.fits(R1, Layout(16), H100, 0.8, free_gib=50.0)
    assert not fit.ok
    assert "usable: 50.00 GiB free - 3.00 GiB (CUDA context, NCCL) = 47.00 GiB" in fit.lines


def test_what_comes_after_the_pool_must_fit_beside_it() -> None:
    layout = replace(EP8, tp=16, dp=16)
    assert memory.fits(R1, layout, H100, 0.85, dispatch_tokens=128).ok
    assert memory.fits(R1, layout, H100, 0.85, dispatch_tokens=1024).problems == (
        "DeepEP buffer for 1024 dispatch tokens per rank take 16.00 GiB, but weights and KV pool leave 11.49 GiB "
        "(mem-fraction-static 0.85)",
    )
    assert not memory.fits(R1, layout, H100, 0.93, dispatch_tokens=512).ok
    assert memory.fits(R1, layout, H100, 0.93, dispatch_tokens=512, max_total_tokens=20000).ok


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"context_length": 0}, "the KV pool holds 51,072 tokens, less than one request of the context length 163,840"),
        ({"context_length": 8192}, ""),
    ],
)
def test_a_context_longer_than_the_pool_is_a_warning(arguments: dict[str, int], text: str) -> None:
    fit = memory.fits(R1, Layout(8, page_size=64), H20, 0.895, **arguments)
    assert fit.ok
    assert fit.warnings == ((text,) if text else ())


def test_multi_token_prediction_is_counted_beside_the_pool() -> None:
    plain, draft = (memory.fits(R1, Layout(8, draft=on), H200, 0.9) for on in (False, True))
    assert draft.tokens == plain.tokens
    assert "of that: weights for multi-token prediction: 1.55 GiB" in draft.lines
    assert memory.fits(LLAMA, Layout(1, draft=True), H100, 0.8).warnings[0].startswith("the model has no layers for multi-token")


def test_aiter_takes_its_share_of_the_fraction() -> None:
    assert memory.fits(R1, Layout(8), MI300X, attention_backend="aiter").ok
    assert memory.fits(R1, Layout(8), MI300X, 0.8, attention_backend="aiter").mem_fraction == 0.68
    assert memory.fits(R1, Layout(8), MI300X, 0.8, 8192, attention_backend="aiter").mem_fraction == 0.8


@pytest.mark.parametrize(
    ("layout", "gpu_gib", "chunk", "graphs", "wanted"),
    [
        # What ServerArgs._handle_gpu_memory_settings of the real 0.5.8 answers.
        (Layout(16), 80.0, 0, 0, 0.806),
        (Layout(16), 79.6, 0, 0, 0.805),
        (Layout(1), 80.0, 0, 0, 0.836),
        (Layout(1), 80.0, 2048, 8, 0.875),
        (Layout(1), 16.0, 0, 0, 0.772),
        (Layout(1), 24.0, 0, 0, 0.847),
        (Layout(4), 24.0, 0, 0, 0.827),
        (Layout(1), 48.0, 0, 0, 0.861),
        (Layout(8), 140.4, 0, 0, 0.897),
        (Layout(8, pp=2), 140.4, 0, 0, 0.89),
        (Layout(8), 192.0, 0, 0, 0.862),
        (Layout(8, draft=True), 192.0, 0, 0, 0.852),
        (Layout(8, dp=8, enable_dp_attention=True), 80.0, 0, 256, 0.75),
        (Layout(16, dp=16, enable_dp_attention=True), 140.4, 0, 0, 0.633),
        (Layout(32, dp=32, enable_dp_attention=True), 80.0, 524288, 128, -8.809),
    ],
)
def test_the_default_fraction(layout: Layout, gpu_gib: float, chunk: int, graphs: int, wanted: float) -> None:
    assert memory.default_mem_fraction(layout, gpu_gib, chunk, graphs) == wanted


@pytest.mark.parametrize("pp", [1, 2, 4])
def test_pipeline_stages_hold_the_whole_model_together(pp: int) -> None:
    whole = memory.weights_per_gpu(LLAMA, Layout(1)).bytes
    stage = memory.weights_per_gpu(LLAMA, Layout(1, pp=pp)).bytes
    head = LLAMA.vocabulary * LLAMA.hidden * 2
    layers = (whole - 2 * head - LLAMA.hidden * 2) // LLAMA.layers
    assert stage == (whole if pp == 1 else layers * LLAMA.layers // pp + head + LLAMA.hidden * 2)


def test_the_pipeline_stage_with_the_least_room_decides() -> None:
    fit = memory.fits(LLAMA, Layout(1, pp=2), 16.0, 0.8)
    # Both stages have sixteen layers; the last one has the final norm too.
    room = int(13.0 * GIB * 0.8) - memory.weights_per_gpu(LLAMA, Layout(1, pp=2)).bytes
    assert fit.tokens == room // (131_072 // 2)
    # Thirty layers, three of them dense, leave more room than thirty-one of experts.
    tokens = memory.fits(R1, Layout(8, pp=2), H100, 0.8).tokens
    assert tokens == (int((H100 - 3.0) * GIB) * 0.8 - memory.weights_per_gpu(R1, Layout(8, pp=2)).bytes) // (31 * 576 * 2)


@pytest.mark.parametrize(("tokens", "redundant"), [(128, 0), (256, 32), (1024, 32)])
def test_the_buffer_of_deepep(tokens: int, redundant: int) -> None:
    # Two of each: what is sent and received (7168 bfloat16 and 56 pairs of scales a message), and one counter an expert.
    experts = 256 + redundant
    wanted = 2 * (2 * tokens * experts * (7168 * 2 + 56 * 4) + (experts * 4 + 127) // 128 * 128)
    assert memory.dispatch_buffer_bytes(R1, Layout(8, redundant_experts=redundant), tokens) == wanted


def test_the_layer_for_multi_token_prediction() -> None:
    # huggingface.co/lmsys/DeepSeek-R1-NextN: one file of 11.7 GB without embedding and head.
    assert memory.draft_per_gpu(R1, Layout(1)) == pytest.approx(11.7e9, rel=0.01)
