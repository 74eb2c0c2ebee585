# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that cannot be divided, or do not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import clusters
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, Refusal, cluster, gpu_cluster

PREFILL, DECODE = "sglang_pools.prefill", "sglang_pools.decode"
CONFIG, PATH = "sglang_model.config", "/controller/config.json"
QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "num_hidden_layers": 4,
    "hidden_size": 1024,
    "vocab_size": 32000,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
ONE_HOST = {f"{PREFILL}.nodes_per_instance": 1, f"{PREFILL}.tp": 8}

REFUSALS = {
    "R1 on eight GPUs of 80 GB": Refusal(
        "capacity.weights",
        ONE_HOST,
        f"{PREFILL}.tp",
        "prefill-0: 79.53 GiB of weights per GPU leave no KV pool in 61.60 GiB (mem-fraction-static 0.8; no fraction is enough",
        "more than 8 GPUs",
    ),
    "the arithmetic": Refusal(
        "capacity.weights",
        ONE_HOST,
        f"{PREFILL}.tp",
        "usable: 80.00 GiB per GPU - 3.00 GiB (CUDA context, NCCL) = 77.00 GiB; static pool: ",
    ),
    "a fraction below the weights": Refusal(
        "capacity.weights",
        {f"{DECODE}.args.mem-fraction-static": 0.5},
        f"{DECODE}.tp",
        "0.523 holds the weights alone",
        "or raise mem-fraction-static",
    ),
    "the smallest GPU decides": Refusal(
        "capacity.weights", {"d1:sglang_gpu.memory_gib": 40}, f"{DECODE}.tp", "usable: 40.00 GiB per GPU", "more than 16 GPUs"
    ),
    "one request": Refusal(
        "capacity.kv",
        {f"{DECODE}.args.max-total-tokens": 4096},
        "sglang_args.context-length",
        "decode-0: the KV cache holds 4,096 tokens, less than one request of the context length 8,192",
        "set context-length to at most 4096",
        severity="error",
    ),
    "one request of the model's length": Refusal(
        "capacity.kv",
        {"sglang_args": {"mem-fraction-static": 0.55}},
        f"{DECODE}.args.context-length",
        "less than one request of the context length 163,840",
        "raise mem-fraction-static",
    ),
    "one request of a length with a unit": Refusal(
        "capacity.kv",
        {"sglang_stack": "sglang-0.5.23-cu13", "sglang_args.context-length": "8Ki", "sglang_args.max-total-tokens": "4k"},
        "sglang_args.context-length",
        "holds 4,000 tokens, less than one request of the context length 8,192",
        severity="error",
    ),
    "buffers": Refusal(
        "capacity.buffers",
        {
            f"{DECODE}.args": {"moe-a2a-backend": "deepep", "mem-fraction-static": 0.95, "cuda-graph-max-bs": 128},
            f"{DECODE}.env": {"SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "1024"},
        },
        f"{DECODE}.args.mem-fraction-static",
        "DeepEP buffer for 1024 dispatch tokens per rank take",
        "lower mem-fraction-static",
    ),
    "heads": Refusal(
        "capacity.divisible",
        {CONFIG: "qwen2.5-7b"},
        f"{DECODE}.tp",
        "num_attention_heads 28 is not divisible by tp 16",
        "sizes that divide",
    ),
    "blocks of FP8": Refusal(
        "capacity.divisible",
        {"sglang_stack": "sglang-0.5.8-rocm", f"{PREFILL}.tp": 24, **{f"{host}:sglang_gpu.count": 12 for host in ("p0", "p1")}},
        f"{PREFILL}.tp",
        "num_attention_heads 128 is not divisible by tp 24: prefill-0 cannot load DeepseekV3ForCausalLM",
    ),
    "no such model": Refusal(
        "capacity.config",
        {CONFIG: "deepseek-r9"},
        CONFIG,
        "is none of the models that come with the collection (deepseek-r1, ",
        "path of its config",
    ),
    "no JSON": Refusal("capacity.config", {CONFIG: "/controller/map.pt"}, CONFIG, "/controller/map.pt is not JSON"),
    "no map": Refusal("capacity.config", {CONFIG: "/controller/list.json"}, CONFIG, "holds no map"),
    "no figures": Refusal(
        "capacity.unknown", {CONFIG: ""}, CONFIG, "is not checked: sglang_model.config is not set", "path of the model's config"
    ),
    "a model that is not covered": Refusal(
        "capacity.unknown", {CONFIG: "/controller/deepep.json"}, CONFIG, "architectures none is not covered"
    ),
    "GPUs not known": Refusal(
        "capacity.unknown", {"d1:sglang_gpu.memory_gib": 0}, "sglang_gpu.memory_gib", "fits decode-0 is not checked", "nvidia-smi", "d1"
    ),
    "a draft model": Refusal(
        "capacity.unknown",
        {CONFIG: "llama-3.1-8b", "sglang_args.speculative-algorithm": "EAGLE", f"{PREFILL}.tp": 8, f"{DECODE}.tp": 8},
        "sglang_args.speculative-algorithm",
        "memory of the draft model is not counted",
    ),
    "quantized at load": Refusal(
        "capacity.unknown",
        {CONFIG: "llama-3.1-8b", "sglang_args": {"quantization": "fp8"}, f"{PREFILL}.tp": 8, f"{DECODE}.tp": 8},
        "sglang_args.quantization",
        "fp8 makes other weights",
        "count them",
    ),
    "on Ascend": Refusal(
        "capacity.weights",
        {"sglang_stack": "sglang-0.5.8-ascend", "sglang_transfer_backend": "ascend", "sglang_gpu.memory_gib": 32},
        f"{DECODE}.tp",
        "usable: 32.00 GiB per GPU",
    ),
    "chunk and page": Refusal(
        "capacity.chunk-page",
        {"sglang_args": {"page-size": 64, "chunked-prefill-size": 1000}},
        "sglang_args.chunked-prefill-size",
        "1000 is not a multiple of page size 64 (page-size)",
        "a multiple of 64",
    ),
    "chunk of a group and page": Refusal(
        "capacity.chunk-page",
        {
            "sglang_args": {"chunked-prefill-size": 1024},
            "sglang_gpu.arch": "sm100",
            f"{PREFILL}.dp_attention": True,
            f"{PREFILL}.dp": 32,
            f"{PREFILL}.tp": 32,
            f"{PREFILL}.nodes_per_instance": 4,
        },
        "sglang_args.chunked-prefill-size",
        "1024 / 32 attention groups = 32 is not a multiple of page size 64 (the attention backend trtllm_mla forces it)",
        "a multiple of 2048",
    ),
    "a long chunk": Refusal(
        "capacity.chunk",
        {f"{PREFILL}.args.chunked-prefill-size": 32768},
        f"{PREFILL}.args.chunked-prefill-size",
        "32768 is more than max-prefill-tokens 16384",
        "raise max-prefill-tokens",
    ),
    "FP8 on Blackwell": Refusal(
        "capacity.fp8-scales", {"d1:sglang_gpu.arch": "sm100"}, "sglang_gpu.arch", "not ue8m0", "ue8m0 scales", "d1"
    ),
}


@pytest.fixture(autouse=True)
def configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(clusters.FILES, PATH, json.dumps(QWEN).encode())
    monkeypatch.setitem(clusters.FILES, "/controller/list.json", b"[]")


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster(4) if f"{PREFILL}.nodes_per_instance" in refusal.changes else gpu_cluster())


def capacity(inventory: Inventory) -> list[str]:
    return [str(found) for found in inventory.findings() if found.rule.startswith("capacity.")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {CONFIG: "deepseek-ai/DeepSeek-R1"},
        {CONFIG: "DeepSeek-R1"},
        {CONFIG: PATH, f"{PREFILL}.tp": 8, f"{DECODE}.tp": 8, "sglang_args": {}},
        {"sglang_stack": "sglang-0.5.23-cu13"},
        {"sglang_stack": "sglang-0.5.8-rocm", "sglang_gpu.memory_gib": 192, "sglang_gpu.arch": "gfx942"},
        {**ONE_HOST, "sglang_gpu.memory_gib": 140},
        {"sglang_stack": "sglang-0.5.8-ascend", "sglang_transfer_backend": "ascend", "sglang_gpu.memory_gib": 0},
        {"sglang_args.quantization": "fp8"},  # as the checkpoint is
        {"sglang_args.chunked-prefill-size": -1, "sglang_args.page-size": 64},
        {"sglang_args.chunked-prefill-size": 8192, "sglang_args.page-size": 64},
        {f"{DECODE}.args.chunked-prefill-size": 1000, "sglang_args.page-size": 64},  # decode prefills nothing
        {f"{PREFILL}.args.chunked-prefill-size": 262144, f"{PREFILL}.dp_attention": True, f"{PREFILL}.dp": 16},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert capacity(gpu_cluster().change(changes)) == []


def test_a_cpu_has_no_gpu_memory_but_divides_all_the_same() -> None:
    assert capacity(cluster().change({CONFIG: PATH})) == []
    found = capacity(cluster(tp=6).change({CONFIG: PATH}))
    assert [row.split(":")[0] for row in found if "num_attention_heads 8 is not divisible by tp 6" in row] == [
        f"{PREFILL}.tp",
        f"{DECODE}.tp",
    ]
    assert {row.split("[rule ")[1].split("]")[0] for row in found} == {"capacity.divisible"}


def test_blackwell_is_warned_of_once_for_each_pool() -> None:
    found = capacity(gpu_cluster(4, 4).change({"sglang_gpu.arch": "sm100"}))
    assert len(found) == 2
    assert all("not verified on such GPUs by us" in row for row in found)
