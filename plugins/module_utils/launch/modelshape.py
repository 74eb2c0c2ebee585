# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model's config.json says, as far as memory and divisibility depend on it.

Evidence, sglang 0.5.8 (paths below sglang/srt): configs/model_config.py for the fields, models/*.py for what each architecture makes
of them. An architecture that was not read there is refused by name: a guessed figure is worse than none.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODELS = os.path.join(os.path.dirname(__file__), "data", "models")
DENSE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
MLA = ("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM")
ARCHITECTURES = (*DENSE, "Qwen3MoeForCausalLM", *MLA)
# With --dtype auto the engine holds float32, which no torch_dtype means too, as float16 (_get_and_verify_dtype).
# No model has more of either: a greater figure is a slip, and arithmetic with it would not end.
MOST_LAYERS, LARGEST_FIGURE = 2000, 2**31
BITS = {"bfloat16": 16, "float16": 16, "float32": 16}


class ModelShapeError(Exception):
    """A config.json that the arithmetic cannot be done from; the text names the field."""


@dataclass(frozen=True)
class Shape:
    """The figures of a config.json that memory and divisibility depend on.

    :ivar experts: routed experts per mixture-of-experts layer, 0 for a dense model.
    :ivar kv_lora_rank: width of the compressed KV cache of multi-head latent attention (MLA), 0 without MLA.
    :ivar mtp_layers: layers for multi-token prediction that come with the checkpoint.
    :ivar bits: of a number outside the quantised matrices (embeddings, norms, router), as the engine holds it.
    :ivar weight_bits: of a number in the linear layers, as the engine holds it.
    :ivar block: rows and columns that share one FP8 scale; (0, 0) without block scales.
    :ivar scales_ue8m0: the scales are powers of two, as DeepGEMM wants them on SM100.
    """

    architecture: str
    layers: int
    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    intermediate: int
    tied: bool
    context_length: int
    bits: int
    weight_bits: int
    block: tuple[int, int] = (0, 0)
    scales_ue8m0: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    dense_layers: tuple[int, ...] = ()
    experts: int = 0
    experts_per_token: int = 0
    moe_intermediate: int = 0
    shared_experts: int = 0
    router_bias: bool = False
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    mtp_layers: int = 0

    @property
    def mla(self) -> bool:
        """Whether attention keeps one compressed vector per token instead of keys and values per head."""
        return self.kv_lora_rank > 0

    @property
    def moe_layers(self) -> int:
        """The number of layers with routed experts."""
        return self.layers - len(self.dense_layers) if self.experts else 0


class _Config:
    """Typed access to a config.json."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def number(self, name: str, default: int | None = None) -> int:
        value = self.config.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_FIGURE:
            text = "is missing" if value is None else f"is {value!r}, which is not a whole number up to {LARGEST_FIGURE}"
            raise ModelShapeError(f"config.json: {name} {text}")
        return value

    def positive(self, name: str, default: int | None = None) -> int:
        value = self.number(name, default)
        if not value:
            raise ModelShapeError(f"config.json: {name} is 0")
        return value


def _precision(config: Mapping[str, Any]) -> dict[str, Any]:
    name = str(config.get("torch_dtype") or config.get("dtype") or "float32")
    if name not in BITS:
        raise ModelShapeError(f"config.json: torch_dtype is {name!r}, not one of {', '.join(BITS)}")
    bits = BITS[name]
    quantization = config.get("quantization_config") or config.get("compression_config")
    if not quantization:
        return {"bits": bits, "weight_bits": bits}
    if not isinstance(quantization, Mapping):
        raise ModelShapeError(f"config.json: quantization_config is {quantization!r}, which is not a map")
    method = quantization.get("quant_method")
    if method != "fp8":
        raise ModelShapeError(f"config.json: quantization_config.quant_method {method!r} is not covered, only fp8 is")
    block = quantization.get("weight_block_size") or (0, 0)
    sides = [side for side in block if isinstance(side, int) and 0 <= side <= LARGEST_FIGURE] if isinstance(block, (list, tuple)) else []
    if len(sides) != 2 or len(block) != 2 or bool(sides[0]) != bool(sides[1]):
        raise ModelShapeError(f"config.json: quantization_config.weight_block_size is {block!r}, which is not two whole numbers")
    return {"bits": bits, "weight_bits": 8, "block": (sides[0], sides[1]), "scales_ue8m0": quantization.get("scale_fmt") == "ue8m0"}


def _attention(architecture: str, config: _Config) -> dict[str, Any]:
    heads = config.positive("num_attention_heads")
    if architecture in MLA:
        return {
            "heads": heads, "kv_heads": heads, "v_head_dim": config.positive("v_head_dim"), "q_lora_rank": config.number("q_lora_rank", 0),
            "kv_lora_rank": config.positive("kv_lora_rank"), "qk_nope_head_dim": config.positive("qk_nope_head_dim"),
            "qk_rope_head_dim": config.positive("qk_rope_head_dim"),
            "head_dim": config.positive("qk_nope_head_dim") + config.positive("qk_rope_head_dim"),
        }
    hidden = config.positive("hidden_size")
    head_dim = config.positive("head_dim", hidden // heads)
    qkv_bias = architecture == "Qwen2ForCausalLM" or bool(config.config.get("attention_bias"))
    return {
        "heads": heads, "kv_heads": config.positive("num_key_value_heads", heads), "head_dim": head_dim, "v_head_dim": head_dim,
        "qkv_bias": qkv_bias, "qk_norm": architecture.startswith("Qwen3"),
    }


def _experts(architecture: str, config: _Config, layers: int) -> dict[str, Any]:
    if architecture in DENSE:
        return {"dense_layers": tuple(range(layers))}
    found: dict[str, Any] = {
        "experts_per_token": config.positive("num_experts_per_tok"), "moe_intermediate": config.positive("moe_intermediate_size"),
    }
    if architecture in MLA:
        first, frequency = config.number("first_k_dense_replace"), config.positive("moe_layer_freq", 1)
        found["dense_layers"] = tuple(layer for layer in range(layers) if layer < first or layer % frequency)
        found["experts"] = config.positive("n_routed_experts")
        found["shared_experts"] = config.number("n_shared_experts", 0)
        found["router_bias"] = config.config.get("topk_method") == "noaux_tc"
        found["mtp_layers"] = config.number("num_nextn_predict_layers", 0)
        return found
    step, listed = config.positive("decoder_sparse_step", 1), config.config.get("mlp_only_layers") or ()
    found["dense_layers"] = tuple(layer for layer in range(layers) if layer in listed or (layer + 1) % step)
    found["experts"] = config.positive("num_experts")
    return found


def read(config: Mapping[str, Any]) -> Shape:
    """Return the shape of a model.

    :param config: the content of its config.json.
    :raises ModelShapeError: a field is missing, or the model is of a kind that is not covered; the text names the field.
    """
    try:
        return _shape(config)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelShapeError(f"config.json: a field has another form than it should ({type(error).__name__}: {error})") from error


def _shape(config: Mapping[str, Any]) -> Shape:
    names = config.get("architectures") or ["none"]
    if not isinstance(names, list):
        raise ModelShapeError(f"config.json: architectures is {names!r}, which is not a list")
    architecture = str(names[0])
    if architecture not in ARCHITECTURES:
        raise ModelShapeError(f"config.json: architectures {architecture} is not covered, only {', '.join(ARCHITECTURES)} are")
    fields = _Config(config)
    layers = fields.positive("num_hidden_layers")
    if layers > MOST_LAYERS:
        raise ModelShapeError(f"config.json: num_hidden_layers is {layers}, more than any model has ({MOST_LAYERS})")
    return Shape(
        architecture=architecture,
        layers=layers,
        hidden=fields.positive("hidden_size"),
        vocabulary=fields.positive("vocab_size"),
        intermediate=fields.positive("intermediate_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        context_length=fields.positive("max_position_embeddings"),
        **_precision(config), **_attention(architecture, fields), **_experts(architecture, fields, layers),
    )


@functools.cache
def known() -> dict[str, Shape]:
    """Return the shapes that come with the collection, by Hugging Face name in lower case."""
    found: dict[str, Shape] = {}
    for name in sorted(os.listdir(MODELS)):
        with open(os.path.join(MODELS, name), encoding="utf-8") as stream:
            entry = json.load(stream)
        found.update({model.lower(): read(entry["config"]) for model in entry["models"]})
    return found
