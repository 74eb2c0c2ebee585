# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says: counts against published ones, and refusals that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import matrices, modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import ModelShapeError
from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny

DATA = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(modelshape.MODELS).glob("*.json"))]
CONFIGS = {entry["models"][0].split("/")[1]: entry["config"] for entry in DATA}
TINY = json.loads(tiny.parts()["config.json"])
# Qwen3-30B-A3B, from its config.json; 30.5 billion parameters by its model card.
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"], "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144,
    "max_position_embeddings": 40960, "mlp_only_layers": [], "moe_intermediate_size": 768, "num_attention_heads": 32, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}


def size(config: dict[str, Any]) -> int:
    counts = matrices.parameters(modelshape.read(config))
    return sum(counts.values()) - counts.get("mtp", 0)


@pytest.mark.parametrize("entry", DATA, ids=lambda entry: entry["models"][0])
def test_parameters_are_the_published_ones(entry: dict[str, Any]) -> None:
    published = entry["published"]
    assert size(entry["config"]) == pytest.approx(published["parameters"], rel=0.003)
    if "mtp" in published:
        extra = matrices.parameters(modelshape.read(entry["config"]))["mtp"]
        assert extra == pytest.approx(published["mtp"], rel=0.05)
    if "files_bytes" in published:
        estimate = matrices.checkpoint_bytes(modelshape.read(entry["config"]))
        assert estimate == pytest.approx(published["files_bytes"], rel=0.0001)


def test_parameters_of_a_mixture_of_experts_without_mla() -> None:
    assert size(QWEN3_MOE) == pytest.approx(30.5e9, rel=0.003)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, ()),
        ({"decoder_sparse_step": 2}, tuple(range(0, 48, 2))),
        ({"mlp_only_layers": [0, 47]}, (0, 47)),
    ],
)
def test_dense_layers_of_qwen3_moe(change: dict[str, Any], wanted: tuple[int, ...]) -> None:
    assert modelshape.read({**QWEN3_MOE, **change}).dense_layers == wanted


@pytest.mark.parametrize(
    ("rows", "columns", "linear", "wanted"),
    [
        (128, 128, True, 128 * 128 + 4),
        (129, 128, True, 129 * 128 + 8),
        (128, 129, True, 128 * 129 + 8),
        (128, 129, False, 128 * 129 * 2),
    ],
)
def test_bytes_with_block_scales(rows: int, columns: int, linear: bool, wanted: int) -> None:
    shape = modelshape.read(CONFIGS["DeepSeek-R1"])
    assert matrices.matrix_bytes(shape, matrices.Matrix("x", rows, columns, linear=linear)) == wanted


def test_a_tied_head_is_a_copy_on_another_pipeline_stage() -> None:
    shape = modelshape.read({**CONFIGS["Llama-3.1-8B-Instruct"], "tie_word_embeddings": True})
    assert [[matrix.part for matrix in matrices.ends(shape, pp)[1]] for pp in (1, 2)] == [["norms"], ["norms", "head"]]


def test_the_tiny_model_is_counted_exactly() -> None:
    shape = modelshape.read(TINY)
    assert matrices.parameters(shape) == {"embedding": 20480, "attention": 24576, "norms": 320, "dense": 49152, "head": 20480}
    assert sum(matrices.parameters(shape).values()) == 115_008
    raw = tiny.parts()["model.safetensors"]
    assert matrices.checkpoint_bytes(shape) == len(raw) - 8 - int.from_bytes(raw[:8], "little")


@pytest.mark.parametrize(
    ("name", "change", "part", "wanted"),
    [
        ("Llama-3.1-8B-Instruct", {"tie_word_embeddings": True}, "head", None),
        ("Llama-3.1-8B-Instruct", {"attention_bias": True}, "attention", 1342177280 + 32 * 6144),
        ("DeepSeek-R1", {"n_shared_experts": 2}, "shared", 2 * 2554331136),
        ("DeepSeek-R1", {"num_nextn_predict_layers": 0}, "mtp", None),
        ("DeepSeek-R1", {"first_k_dense_replace": 0}, "dense", None),
        ("DeepSeek-R1", {"moe_layer_freq": 2}, "router", 29 * (256 * 7168 + 256)),
        ("DeepSeek-R1", {"q_lora_rank": None}, "attention", 61 * (576 * 7168 + 24576 * 7168 + 32768 * 512 + 7168 * 16384)),
    ],
)
def test_parts(name: str, change: dict[str, Any], part: str, wanted: int | None) -> None:
    assert matrices.parameters(modelshape.read({**CONFIGS[name], **change})).get(part) == wanted


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, (16, 16, (0, 0), False)),
        ({"torch_dtype": "float32"}, (16, 16, (0, 0), False)),
        ({"torch_dtype": None}, (16, 16, (0, 0), False)),
        ({"torch_dtype": None, "dtype": "float16"}, (16, 16, (0, 0), False)),
        ({"quantization_config": FP8}, (16, 8, (128, 128), False)),
        ({"quantization_config": {**FP8, "scale_fmt": "ue8m0"}}, (16, 8, (128, 128), True)),
        ({"quantization_config": {"quant_method": "fp8"}}, (16, 8, (0, 0), False)),
    ],
)
def test_precision(change: dict[str, Any], wanted: tuple[int, int, tuple[int, int], bool]) -> None:
    shape = modelshape.read({**TINY, **change})
    assert (shape.bits, shape.weight_bits, shape.block, shape.scales_ue8m0) == wanted


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("Llama-3.1-8B-Instruct", {"hidden_size": None}, "hidden_size is missing"),
        ("Llama-3.1-8B-Instruct", {"num_hidden_layers": "32"}, "num_hidden_layers is '32'"),
        ("Llama-3.1-8B-Instruct", {"num_attention_heads": 0}, "num_attention_heads is 0"),
        ("Llama-3.1-8B-Instruct", {"vocab_size": True}, "vocab_size is True"),
        ("Llama-3.1-8B-Instruct", {"max_position_embeddings": None}, "max_position_embeddings is missing"),
        ("Llama-3.1-8B-Instruct", {"torch_dtype": "int8"}, "torch_dtype is 'int8'"),
        ("Llama-3.1-8B-Instruct", {"quantization_config": {"quant_method": "awq"}}, "quant_method 'awq' is not covered"),
        ("Llama-3.1-8B-Instruct", {"compression_config": {"quant_method": "compressed-tensors"}}, "'compressed-tensors' is not covered"),
        ("Llama-3.1-8B-Instruct", {"architectures": ["GptOssForCausalLM"]}, "architectures GptOssForCausalLM is not covered"),
        ("Llama-3.1-8B-Instruct", {"architectures": None}, "architectures none is not covered"),
        ("Llama-3.1-8B-Instruct", {"architectures": {"a": 1}}, "architectures is {'a': 1}, which is not a list"),
        ("Llama-3.1-8B-Instruct", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, more than any model has"),
        ("Llama-3.1-8B-Instruct", {"hidden_size": 10**30}, "which is not a whole number up to"),
        ("Llama-3.1-8B-Instruct", {"quantization_config": "fp8"}, "quantization_config is 'fp8', which is not a map"),
        ("Llama-3.1-8B-Instruct", {**QWEN3_MOE, "mlp_only_layers": 5}, "a field has another form than it should (TypeError: "),
        *(
            ("DeepSeek-R1", {"quantization_config": {"quant_method": "fp8", "weight_block_size": block}}, "is not two whole numbers")
            for block in ([128], ["a", "b"], [-1, 128], [0, 128], "ab", 7, [128, 128, 128])
        ),
        ("DeepSeek-R1", {"kv_lora_rank": None}, "kv_lora_rank is missing"),
        ("DeepSeek-R1", {"first_k_dense_replace": None}, "first_k_dense_replace is missing"),
        ("DeepSeek-R1", {"n_routed_experts": None}, "n_routed_experts is missing"),
    ],
)
def test_refused(name: str, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelShapeError, match=r"^config\.json: ") as caught:
        modelshape.read({**CONFIGS[name], **change})
    assert text in str(caught.value)


def test_known_models_are_found_by_their_name() -> None:
    known = modelshape.known()
    assert known["deepseek-ai/deepseek-v3-0324"] == known["deepseek-ai/deepseek-r1"]
    assert known["qwen/qwen2.5-7b-instruct"].heads == 28
    assert (known["deepseek-ai/deepseek-r1"].moe_layers, known["qwen/qwen3-32b"].moe_layers) == (58, 0)
