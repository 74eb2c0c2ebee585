# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of a kernel cache: what changes it, what does not, and that nothing else does."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import key
from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags

BASE: dict[str, Any] = {
    "tree": "sglang-0.5.8-cu12-0f3a5c1d2e4b", "architectures": ["9.0"], "devices": ["0x2330"], "nvcc": "12.9",
    "models": [{"hidden_size": 7168, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}],
    "counted": {"tensor_parallel_size": 16, "chunked_prefill_size": 8192}, "variables": {"SGLANG_ENABLE_JIT_DEEPGEMM": "1"},
}
CHANGES: dict[str, dict[str, Any]] = {
    "lock": {"tree": "sglang-0.5.8-cu12-111111111111"},
    "GPU": {"architectures": ["10.0"]},
    "two kinds of GPU": {"architectures": ["9.0", "10.0"]},
    "another GPU of one capability": {"devices": ["0x2331"]},
    "compiler": {"nvcc": "13.0"},
    "model": {"models": [{"hidden_size": 4096}]},
    "draft model": {"models": [*BASE["models"], {"hidden_size": 4096}]},
    "argument": {"counted": {**BASE["counted"], "chunked_prefill_size": 16384}},
    "argument that is not known": {"counted": {**BASE["counted"], "some_new_option": 1}},
    "variable": {"variables": {"SGLANG_ENABLE_JIT_DEEPGEMM": "1", "SGLANG_JIT_DEEPGEMM_FAST_WARMUP": "1"}},
    "stage of a pipeline": {"stage": 1},
}
# As llm-compressor writes them (recipe FP8_BLOCK).
BLOCKS = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
CHANNEL = {"strategy": "channel", "block_structure": None}


def compressed(groups: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6,
)


def name(**changes: Any) -> str:
    return key.digest(key.parts(**{**BASE, **changes}))


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_what_decides_about_kernels_changes_the_key(changes: dict[str, Any]) -> None:
    assert name(**changes) != name()


def test_every_change_makes_another_key() -> None:
    assert len({name(**changes) for changes in CHANGES.values()}) == len(CHANGES)


@pytest.mark.parametrize("count", [2, 8])
def test_the_number_of_gpus_does_not(count: int) -> None:
    assert name(architectures=["9.0"] * count, devices=["0x2330"] * count) == name()


@pytest.mark.parametrize("field", ["_name_or_path", "transformers_version", "rope_scaling", "eos_token_id"])
def test_fields_without_a_shape_do_not(field: str) -> None:
    assert name(models=[{**BASE["models"][0], field: "another"}]) == name()


def test_the_key_is_the_name_of_a_directory() -> None:
    assert name().isalnum()
    assert len(name()) == key.DIGITS


@hypothesis.settings(deadline=None)
@hypothesis.given(st.dictionaries(st.text(max_size=8), plain, max_size=5), st.randoms())
def test_the_order_of_maps_is_nothing(given: dict[str, Any], chance: Any) -> None:
    rows = list(given.items())
    chance.shuffle(rows)
    assert key.digest(dict(rows)) == key.digest(given)
    assert key.digest(json.loads(json.dumps(given))) == key.digest(given)


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.dictionaries(st.sampled_from(sorted(key.WITHOUT_EFFECT)), plain), st.dictionaries(st.text(max_size=8), plain, max_size=4),
)
def test_arguments_without_effect_never_count(without: dict[str, Any], others: dict[str, Any]) -> None:
    assert key.arguments({**others, **without}) == key.arguments({name: value for name, value in others.items() if name not in without})


@hypothesis.settings(deadline=None)
@hypothesis.given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.integers(1) | st.text(min_size=1), min_size=1))
def test_every_other_argument_counts(given: dict[str, Any]) -> None:
    assert set(key.arguments(given)) == set(given) - key.WITHOUT_EFFECT


@pytest.mark.parametrize("value", [None, False])
def test_a_flag_that_is_off_is_none(value: Any) -> None:
    assert key.arguments({"enable_dp_attention": value}) == {}
    assert key.arguments({"random": 0}) == {"random": 0}


@hypothesis.settings(deadline=None)
@hypothesis.given(st.dictionaries(st.from_regex(r"(SGLANG_|SGL_|DG_|NCCL_|MC_|)[A-Z_]{1,10}", fullmatch=True), st.text(max_size=4)))
def test_variables_of_the_engine_count_and_no_others(given: dict[str, str]) -> None:
    kept = key.environment(given)
    assert all(name.startswith(("SGLANG_", "SGL_", "DG_")) for name in kept)
    assert {name for name in given if name.startswith("DG_")} - key.WITHOUT_EFFECT_VARIABLES <= set(kept)
    assert key.environment(kept) == kept


@pytest.mark.parametrize(
    "variable", ["SGLANG_HOST_IP", "SGLANG_DG_CACHE_DIR", "SGLANG_DISAGGREGATION_WAITING_TIMEOUT", "NCCL_IB_HCA", "PATH"],
)
def test_what_differs_between_hosts_does_not_count(variable: str) -> None:
    assert key.environment({variable: "x"}) == {}


def test_arguments_without_effect_are_arguments() -> None:
    known = {dest for table in ("sglang-0.5.8", "sglang-0.5.23") for dest in flags.load(table).options}
    assert key.WITHOUT_EFFECT - known == set()


@pytest.mark.parametrize(
    ("config", "block"),
    [
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, True),
        ({"text_config": {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}}, True),
        ({"quantization_config": {"quant_method": "fp8"}}, False),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": None}}, False),
        ({"quantization_config": {"quant_method": "awq", "weight_block_size": [128, 128]}}, False),
        ({"quantization_config": "fp8"}, False),
        (compressed({"group_0": {"weights": BLOCKS}}), True),
        (compressed({"g": {"weights": {**BLOCKS, **CHANNEL}}}), False),
        (compressed({"g": {"weights": {**BLOCKS, "type": "int"}}}), False),
        (compressed([1]), False),
        (compressed({"g": {"weights": None}, "h": 1}), False),
        (compressed(None), False),
        ({"torch_dtype": "bfloat16"}, False),
        ({}, False),
    ],
)
def test_only_block_fp8_uses_deepgemm(config: dict[str, Any], block: bool) -> None:
    assert key.block_fp8(config) is block


def test_differences_name_what_has_changed() -> None:
    old, new = key.parts(**BASE), key.parts(**{**BASE, **CHANGES["argument"], "nvcc": "13.0", "stage": 1})
    assert key.differences(old, old) == []
    assert key.differences(old, new) == ["arguments: chunked_prefill_size: 8192 -> 16384", "nvcc: 12.9 -> 13.0", "stage: none -> 1"]
