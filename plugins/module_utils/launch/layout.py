# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a model spreads over the GPUs of an instance, and what of it cannot be divided so.

Evidence, sglang 0.5.8 (paths below sglang/srt): the groups are those of layers/dp_attention.py and distributed/parallel_state.py; what
must divide is asserted in models/*.py, layers/linear.py, layers/vocab_parallel_embedding.py, layers/quantization/fp8.py,
layers/moe/fused_moe_triton/layer.py, model_executor/model_runner.py and server_args.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape

# They make --ep-size equal to --tp-size, whatever it was (server_args.py, _handle_a2a_moe).
ALL_TO_ALL = ("deepep", "mooncake", "ascend_fuseep")
# Their attention is cut by tp whatever attention data parallelism says (models/llama.py, which mistral.py is made of, models/qwen2.py).
WITHOUT_DP_ATTENTION = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
# Algorithms that draft with the model's own layers for multi-token prediction.
DRAFTS = ("EAGLE", "NEXTN")
# Choices of --kv-cache-dtype that are not 16 bits wide.
KV_BITS = {"fp8_e4m3": 8, "fp8_e5m2": 8, "fp4_e2m1": 4}
VOCABULARY_PADDING = 64
# layers/moe/token_dispatcher/deepep.py asserts it: DeepEP's low-latency kernels tag a finished transfer with 1024.
DISPATCH_LIMIT = 1024
# Compute capabilities whose DeepGEMM wants power-of-two scales: the majors of is_blackwell_supported in utils/common.py.
UE8M0_MAJORS = (10, 12)


@dataclass(frozen=True)
class Layout:
    """How an instance spreads over its GPUs, in the names of SGLang's arguments.

    :ivar moe_dense_tp: --moe-dense-tp-size, 0 when not set.
    :ivar draft: multi-token prediction is on: --speculative-algorithm EAGLE or NEXTN with the model's own layers.
    :ivar kv_bits: of one number in the KV cache: 16, 8 or 4.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    enable_dp_attention: bool = False
    enable_dp_lm_head: bool = False
    moe_dense_tp: int = 0
    moe_a2a_backend: str = "none"
    redundant_experts: int = 0
    draft: bool = False
    kv_bits: int = 16
    page_size: int = 1

    @property
    def attention_dp(self) -> int:
        """Attention groups, each with its own KV pool; --dp-size without --enable-dp-attention copies the whole engine instead."""
        return self.dp if self.enable_dp_attention else 1

    @property
    def attention_tp(self) -> int:
        """GPUs that share the heads of one attention group."""
        return max(1, self.tp // self.attention_dp)

    @property
    def all_to_all(self) -> bool:
        """Whether tokens travel to their experts through an all-to-all library."""
        return self.moe_a2a_backend in ALL_TO_ALL

    @property
    def moe_ep(self) -> int:
        """GPUs that share the experts of a layer."""
        return self.tp if self.all_to_all else self.ep

    @property
    def moe_tp(self) -> int:
        """GPUs that share each single expert."""
        return max(1, self.tp // self.moe_ep)


def of(arguments: Mapping[str, Any], tp: int = 0) -> Layout:
    """Return the layout that an engine's arguments make.

    :param arguments: by dest as the option table has them; what is missing or null has SGLang's default.
    :param tp: instead of C(tensor_parallel_size), where the plan has derived it.
    """

    def number(name: str, default: int) -> int:
        value = arguments.get(name)
        return default if value is None else int(value)

    return Layout(
        tp=tp or number("tensor_parallel_size", 1),
        pp=number("pipeline_parallel_size", 1),
        dp=number("data_parallel_size", 1),
        ep=number("expert_parallel_size", 1),
        enable_dp_attention=bool(arguments.get("enable_dp_attention")),
        enable_dp_lm_head=bool(arguments.get("enable_dp_lm_head")),
        moe_dense_tp=number("moe_dense_tp_size", 0),
        moe_a2a_backend=str(arguments.get("moe_a2a_backend") or "none"),
        redundant_experts=number("ep_num_redundant_experts", 0),
        draft=arguments.get("speculative_algorithm") in DRAFTS,
        kv_bits=KV_BITS.get(str(arguments.get("kv_cache_dtype")), 16),
        page_size=number("page_size", 1),
    )


def cuts(shape: Shape, layout: Layout) -> dict[str, int]:
    """Return by how many GPUs each kind of matrix is divided."""
    embedding = layout.tp
    if layout.attention_dp > 1:
        embedding = layout.attention_tp if shape.mla else 1
    return {
        "whole": 1,
        "attention": layout.attention_tp,
        "kv": min(layout.attention_tp, shape.kv_heads),
        "embedding": embedding,
        "head": layout.attention_tp if layout.enable_dp_lm_head else layout.tp,
        "dense": 1 if layout.moe_dense_tp == 1 and shape.mla else layout.tp,
        "experts": layout.moe_ep * layout.moe_tp,
        "shared": 1 if layout.all_to_all else layout.tp,
    }


def stages(layers: int, pp: int) -> list[range]:
    """Return the layers of each pipeline stage: the last ones get one more where it does not divide (distributed/utils.py)."""
    base, more = divmod(layers, pp)
    sizes = [base + (1 if stage >= pp - more else 0) for stage in range(pp)]
    return [range(sum(sizes[:stage]), sum(sizes[: stage + 1])) for stage in range(pp)]


class _Checks:
    """Collects what does not divide."""

    def __init__(self, block: tuple[int, int]) -> None:
        self.block = block
        self.found: list[str] = []

    def divides(self, what: str, number: int, by: str, divisor: int) -> bool:
        if number % divisor:
            self.found.append(f"{what} {number:,} is not divisible by {by} {divisor}")
        return number % divisor == 0

    def width(self, what: str, number: int, by: str, divisor: int) -> None:
        """Check a width that is cut, and that no FP8 block is cut through."""
        if not self.divides(what, number, by, divisor):
            return
        for side in sorted({size for size in self.block if size}):
            if number // divisor % side:
                self.found.append(
                    f"{what} {number:,} / {by} {divisor} = {number // divisor:,} is not divisible by the FP8 block of {side}",
                )


def _attention(shape: Shape, layout: Layout, checks: _Checks) -> None:
    by = "attention tp" if layout.attention_dp > 1 else "tp"
    size = layout.attention_tp
    if layout.attention_dp > 1 and shape.architecture in WITHOUT_DP_ATTENTION:
        checks.found.append(f"{shape.architecture} has no attention data parallelism: it cuts its heads by tp, not by attention tp")
    if not checks.divides("num_attention_heads", shape.heads, by, size):
        return
    if shape.mla:
        # With dp attention the quantised layer compares its cut with tp and asks for nothing.
        if layout.attention_dp == 1 and size > 1:
            checks.width("q_b_proj", shape.heads * shape.head_dim, by, size)
            checks.width("kv_b_proj", shape.heads * (shape.qk_nope_head_dim + shape.v_head_dim), by, size)
            checks.width("o_proj", shape.heads * shape.v_head_dim, by, size)
        return
    if shape.kv_heads >= size:
        even = checks.divides("num_key_value_heads", shape.kv_heads, by, size)
    else:
        even = size % shape.kv_heads == 0
        if not even:
            checks.found.append(f"{by} {size} is not divisible by num_key_value_heads {shape.kv_heads}, which it would replicate")
    if even and shape.block[0]:
        checks.width("query width", shape.heads * shape.head_dim, by, size)
        checks.width("key width", shape.kv_heads * shape.head_dim, f"{by} (replicated)", min(size, shape.kv_heads))


def _experts(shape: Shape, layout: Layout, checks: _Checks) -> None:
    if not checks.divides("tp", layout.tp, "ep", layout.moe_ep):
        return
    redundant = f" + {layout.redundant_experts} redundant" if layout.redundant_experts else ""
    checks.divides(f"routed experts ({shape.experts}{redundant})", shape.experts + layout.redundant_experts, "ep", layout.moe_ep)
    checks.width("moe_intermediate_size", shape.moe_intermediate, "moe tp (tp / ep)", layout.moe_tp)
    if shape.shared_experts:
        by = "1 (whole on each GPU)" if layout.all_to_all else "tp"
        checks.width("shared experts' intermediate size", shape.shared_experts * shape.moe_intermediate, by, cuts(shape, layout)["shared"])


def divisible(shape: Shape, layout: Layout) -> list[str]:
    """Return what cannot be divided among the GPUs, empty when everything can.

    :param shape: the model.
    :param layout: what the instance's arguments say.
    """
    checks = _Checks(shape.block)
    divisors = cuts(shape, layout)
    if layout.moe_dense_tp not in (0, 1):
        checks.found.append(f"moe-dense-tp-size {layout.moe_dense_tp} is neither 1 nor left out")
    if layout.pp > shape.layers:
        checks.found.append(f"num_hidden_layers {shape.layers} is less than pp {layout.pp}")
    if layout.attention_dp > 1 and not checks.divides("tp", layout.tp, "dp", layout.dp):
        return checks.found
    _attention(shape, layout, checks)
    padded = -(-shape.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    what = f"vocab_size (padded to a multiple of {VOCABULARY_PADDING})"
    checks.divides(what, padded, "the GPUs of the embedding:", divisors["embedding"])
    if divisors["head"] != divisors["embedding"]:
        checks.divides(what, padded, "the GPUs of the output head (enable-dp-lm-head lowers it):", divisors["head"])
    if shape.dense_layers:
        by = "tp" if divisors["dense"] == layout.tp else "moe dense tp"
        checks.width("intermediate_size", shape.intermediate, by, divisors["dense"])
    if shape.experts:
        _experts(shape, layout, checks)
    return checks.found


def dispatch(layout: Layout, tokens: int, decode_batch: int, draft_tokens: int = 1) -> list[str]:
    """Return what is wrong with the token limit of DeepEP's low-latency mode.

    DeepEP asserts at every dispatch that a GPU sends no more than the limit (csrc/deep_ep.cpp, low_latency_dispatch).

    :param tokens: SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK, 128 when it is not set.
    :param decode_batch: requests that one attention group decodes at once: max-running-requests / dp, or cuda-graph-max-bs.
    :param draft_tokens: --speculative-num-draft-tokens, 1 without speculative decoding.
    """
    found = []
    if tokens > DISPATCH_LIMIT:
        found.append(f"{tokens} dispatch tokens per rank are more than DeepEP's limit of {DISPATCH_LIMIT}")
    needed = -(-decode_batch * draft_tokens // layout.attention_tp)
    if needed > tokens:
        drafts = f" x {draft_tokens} draft tokens" if draft_tokens > 1 else ""
        shared = f" / attention tp {layout.attention_tp}" if layout.attention_tp > 1 else ""
        found.append(f"{decode_batch} requests{drafts}{shared} = {needed} tokens per rank exceed the {tokens} dispatch tokens per rank")
    return found


def scale_warning(shape: Shape, compute_capability: int) -> str:
    """Return what to say about FP8 block scales that are not powers of two on a Blackwell GPU, or an empty text.

    0.5.8 warns of it and requantises the weights at load (configs/model_config.py, layers/quantization/fp8.py).

    :param compute_capability: major and minor as one number: 90 for H100, 100 for B200.
    """
    if not shape.block[0] or shape.scales_ue8m0 or compute_capability // 10 not in UE8M0_MAJORS:
        return ""
    return (
        f"the checkpoint's FP8 scales are not ue8m0, and DeepGEMM on SM{compute_capability} needs them so: "
        "SGLang requantises the weights at load, which can cost accuracy"
    )
