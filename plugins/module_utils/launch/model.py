# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules know of the model, and what an engine will make of its arguments for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import attention, layout, memory, modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.layout import Layout
from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import ModelShapeError, Shape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.texts import number
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# State-space and linear attention layers (0.5.8 model_runner.py mambaish_config), and sliding windows with a pool of their own
# (is_hybrid_swa_model in configs/model_config.py): they carry state beside the KV cache.
STATE_MODELS = ("qwen3_next", "jet_nemotron", "jet_vlm", "falcon_h1", "nemotron_h", "lfm2")
WINDOW_ARCHITECTURES = ("Llama4ForConditionalGeneration", "GptOssForCausalLM", "MiMoV2FlashForCausalLM", "MiMoV2MTP")
# SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK when it is not set (environ.py, both versions).
DISPATCH_VARIABLE, DISPATCH_TOKENS = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", 128


@dataclass(frozen=True)
class Model:
    """The model that a cluster serves.

    :ivar shape: its figures, None where they are not known.
    :ivar config: its config.json, as far as it is known.
    :ivar problem: why C(sglang_model.config) is wrong, empty when it is not.
    :ivar unknown: why there are no figures, empty when there are.
    """

    shape: Shape | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    unknown: str = ""

    @property
    def has_state(self) -> bool:
        """Whether its layers carry state beside the KV cache, which 0.5.8 does not divide anew between unequal TP sizes."""
        architectures = self.config.get("architectures")
        windows = isinstance(architectures, list) and any(name in WINDOW_ARCHITECTURES for name in architectures)
        return self.config.get("model_type") in STATE_MODELS or windows


def _shipped() -> dict[str, str]:
    """Return the models that come with the collection: short and Hugging Face names in lower case, and their files."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(modelshape.MODELS)):
        path = os.path.join(modelshape.MODELS, name)
        with open(path, encoding="utf-8") as stream:
            names = [name.removesuffix(".json"), *json.load(stream)["models"]]
        found |= {row.lower(): path for row in names}
    return found


def _config(contract: Contract, given: str) -> Any:
    path = _shipped().get(given.lower())
    if path is None:
        try:
            content = contract.read(given)
        except (ValueError, RuntimeError) as error:  # a path with a null byte, or of a user that there is not
            raise OSError(str(error)) from error
        return json.loads(content)
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)["config"]


def load(contract: Contract) -> Model:
    """Return the model of a cluster, from C(sglang_model.config)."""
    given = contract.cluster.model["config"]
    if not given:
        return Model(unknown="sglang_model.config is not set")
    try:
        config = _config(contract, given)
    except OSError as error:
        names = ", ".join(name for name in _shipped() if "/" not in name)
        text = f"{given!r} is none of the models that come with the collection ({names}), and no file that can be read: {error}"
        return Model(problem=text, unknown=text)
    except (ValueError, RecursionError) as error:
        text = f"{given} is not JSON: {error}"
        return Model(problem=text, unknown=text)
    if not isinstance(config, dict):
        return Model(problem=f"{given} holds no map", unknown=f"{given} holds no map")
    try:
        return Model(modelshape.read(config), config)
    except ModelShapeError as error:
        return Model(None, config, unknown=str(error))


def spread(contract: Contract, rank: Rank, shape: Shape | None = None) -> Layout:
    """Return how an instance spreads over its GPUs, in either version's spelling."""
    sizes = rank.instance.sizes
    value = contract.value
    page_size, _why = attention.page_size(contract, rank, shape)
    return layout.of({
        "tensor_parallel_size": sizes.tp, "pipeline_parallel_size": sizes.pp, "data_parallel_size": sizes.dp,
        "expert_parallel_size": sizes.ep, "enable_dp_attention": sizes.dp_attention and sizes.dp > 1,
        "enable_dp_lm_head": sizes.dp_attention and value(rank, "enable-dp-lm-head"),
        "moe_dense_tp_size": value(rank, "moe-dense-tp-size"),
        "moe_a2a_backend": value(rank, "moe-a2a-backend"),
        "ep_num_redundant_experts": value(rank, "ep-num-redundant-experts"),
        "speculative_algorithm": value(rank, "speculative-algorithm"),
        "kv_cache_dtype": value(rank, "kv-cache-dtype"),
        "page_size": page_size,
    })


def gpu_gib(contract: Contract, rank: Rank) -> int:
    """Return the memory of the smallest GPU of a rank's instance, 0 when one is not known."""
    return min(int(contract.cluster.hosts[host]["sglang_gpu"]["memory_gib"]) for host in rank.instance.hosts)


def has_graphs(contract: Contract, rank: Rank) -> bool:
    """Whether decode steps run as CUDA graphs."""
    off = contract.value(rank, "disable-cuda-graph") or contract.value(rank, "cuda-graph-backend-decode") == "disabled"
    normal = contract.value(rank, "moe-a2a-backend") == "deepep" and contract.value(rank, "deepep-mode") == "normal"
    return contract.engine.device in ("cuda", "rocm") and not off and not normal and rank.instance.mode != "prefill"


def graph_batch(contract: Contract, rank: Rank) -> tuple[int, str]:
    """Return the largest batch that a CUDA graph is captured for and the option that says so; 0 when it is not known or there is none."""
    if not has_graphs(contract, rank):
        return 0, ""
    for spelling in ("cuda-graph-bs", "cuda-graph-bs-decode", "cuda-graph-max-bs", "cuda-graph-max-bs-decode"):
        given = contract.value(rank, spelling)
        if given:
            return max(int(size) for size in (given if isinstance(given, list) else [given])), spelling
    gib = gpu_gib(contract, rank)
    if contract.engine.version == "0.5.8" and gib:
        _limit, _chunk, few, many = next(row for row in memory.TIERS if gib < row[0])
        return (few if rank.instance.sizes.tp < 4 else many), "cuda-graph-max-bs"
    return 0, ""


def decode_batch(contract: Contract, rank: Rank) -> tuple[int, str, str]:
    """Return the most requests that one attention group decodes at once, the option that decides, and how; 0 when it is not known.

    Graphs are captured up to their largest batch, whatever max-running-requests is per group (0.5.8 cuda_graph_runner.py
    get_batch_sizes_to_capture); max-running-requests is divided by the attention groups (model_runner.py).
    """
    groups = rank.instance.sizes.dp if rank.instance.sizes.dp_attention else 1
    running = contract.value(rank, "max-running-requests") or 0
    graph, spelling = graph_batch(contract, rank)
    graph = min(graph, running) if running else graph
    if graph and graph >= running // groups:
        how = "written" if contract.value(rank, spelling) else f"SGLang's default for {gpu_gib(contract, rank)} GiB"
        return graph, spelling, f"{spelling}, {how}"
    return running // groups, "max-running-requests", f"max-running-requests {running} / {groups} attention group(s)"


def low_latency(contract: Contract, rank: Rank) -> bool:
    """Whether DeepEP's low-latency kernels run in decode steps."""
    on = contract.value(rank, "moe-a2a-backend") == "deepep"
    return on and contract.value(rank, "deepep-mode") != "normal" and rank.instance.mode != "prefill"


def dispatch_tokens(rank: Rank) -> int:
    """Return DeepEP's limit of tokens per rank; the default where the variable holds no number."""
    given = number(rank.environment.get(DISPATCH_VARIABLE, ""))
    return DISPATCH_TOKENS if given is None else given
