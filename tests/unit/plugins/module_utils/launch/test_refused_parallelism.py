# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes that do not go together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import clusters
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, gpu_cluster

PREFILL, DECODE = "sglang_pools.prefill", "sglang_pools.decode"
NEW = {"sglang_stack": "sglang-0.5.23-cu13"}
STATE, CONFIG = "/controller/qwen3-next.json", {"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"]}
WINDOW, WINDOWS = "/controller/gpt-oss.json", {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]}
DP = {f"{DECODE}.dp_attention": True, f"{DECODE}.dp": 4}
# Two stages of one host each.
STAGES = {f"{PREFILL}.pp": 2, f"{PREFILL}.tp": 8}
HINT = "disaggregation-decode-tp"
# tp 12 and 16, attention TP 2 on both sides.
ODD = {f"{PREFILL}.tp": 12, f"{PREFILL}.dp_attention": True, f"{PREFILL}.dp": 6, f"{DECODE}.dp_attention": True, f"{DECODE}.dp": 8}

REFUSALS = {
    "one visible GPU": Refusal(
        "parallel.visible-devices",
        {"sglang_env.CUDA_VISIBLE_DEVICES": "0"},
        "sglang_env.CUDA_VISIBLE_DEVICES",
        "shows 1 GPU(s) to prefill-0, which takes 8 from number 0 on",
        "--base-gpu-id",
        "p0",
    ),
    "a list that ends early": Refusal(
        "parallel.visible-devices",
        {"p1:sglang_host_env": {"CUDA_VISIBLE_DEVICES": "0,1,2,3,-1,4,5,6"}},
        "sglang_host_env.CUDA_VISIBLE_DEVICES",
        "shows 4 GPU(s)",
        host="p1",
    ),
    "a GPU twice": Refusal(
        "parallel.visible-devices",
        {"sglang_stack": "sglang-0.5.8-rocm", "sglang_env.HIP_VISIBLE_DEVICES": "0,1,2,3,4,5,6,6"},
        "sglang_env.HIP_VISIBLE_DEVICES",
        "shows 7 GPU(s)",
        host="d1",
    ),
    "attention TP sizes": Refusal(
        "parallel.attention-tp",
        {f"{DECODE}.tp": 12},
        f"{DECODE}.tp",
        "16 and 12 of prefill-0 and decode-0 are not multiples",
        "divides the other",
    ),
    "attention TP sizes by dp": Refusal(
        "parallel.attention-tp",
        {f"{PREFILL}.tp": 12, f"{DECODE}.dp_attention": True, f"{DECODE}.dp": 2},
        f"{DECODE}.tp",
        "attention TP sizes 12 and 8",
    ),
    "tp in 0.5.8": Refusal(
        "parallel.decode-tp-hint",
        {**ODD, f"{PREFILL}.args.{HINT}": 16},
        f"{PREFILL}.args.{HINT}",
        "prefill-0 has tp 12 and is given --disaggregation-decode-tp 16",
        "to null",
    ),
    "context parallel decode": Refusal(
        "parallel.decode-cp",
        {**NEW, f"{DECODE}.args.attn-cp-size": 2},
        f"{DECODE}.args.attn-cp-size",
        "divides the context over 2",
        "prefill pool only",
    ),
    "state beside the KV cache": Refusal(
        "parallel.state-tp",
        {"sglang_model.config": STATE, f"{DECODE}.tp": 8},
        f"{DECODE}.tp",
        "16 and 8 of prefill-0 and decode-0 differ",
        "same tp",
    ),
    "windows with a pool of their own": Refusal("parallel.state-tp", {"sglang_model.config": WINDOW, **DP}, f"{DECODE}.tp", "16 and 4"),
    "unequal without MLA": Refusal(
        "parallel.unequal-tp", {"sglang_model.config": "llama-3.1-8b", f"{DECODE}.tp": 8}, f"{DECODE}.tp", "16 and 8", "same tp"
    ),
    "stages of decode": Refusal(
        "parallel.decode-pp",
        {f"{DECODE}.pp": 2, f"{DECODE}.tp": 8},
        f"{DECODE}.pp",
        "decode-0 has 2 pipeline stages, prefill-0 1",
        "as many as",
    ),
    "ep with DeepEP": Refusal(
        "parallel.ep-forced",
        {f"{DECODE}.ep": 8, f"{DECODE}.args.moe-a2a-backend": "deepep"},
        f"{DECODE}.ep",
        "moe-a2a-backend deepep makes ep equal to tp 16, whatever 8 says",
        "write ep: 16",
    ),
    "ep with DeepEP, 0.5.23": Refusal(
        "parallel.ep-forced", {**NEW, f"{DECODE}.ep": 4, "sglang_args.moe-a2a-backend": "pplx"}, f"{DECODE}.ep", "pplx makes ep equal to tp"
    ),
    "one attention group": Refusal("parallel.dp-one", {f"{PREFILL}.dp_attention": True}, f"{PREFILL}.dp", "switches it off"),
    "DP head without DP": Refusal(
        "parallel.dp-lm-head",
        {"sglang_args.enable-dp-lm-head": True, **DP},
        "sglang_args.enable-dp-lm-head",
        "ignores it with dp 1",
        "dp_attention: true",
        severity="warning",
    ),
    "speculation over stages": Refusal(
        "parallel.pp-excludes",
        {**STAGES, "sglang_args.speculative-algorithm": "EAGLE"},
        "sglang_args.speculative-algorithm",
        "does not go with 2 pipeline stages in 0.5.8",
        "set pp: 1 for prefill",
    ),
    "mixed chunks over stages": Refusal(
        "parallel.pp-excludes",
        {**STAGES, f"{PREFILL}.args.enable-mixed-chunk": True},
        f"{PREFILL}.args.enable-mixed-chunk",
        "pipeline stages",
    ),
    "STANDALONE": Refusal(
        "parallel.standalone-dp",
        {**DP, "sglang_args.speculative-algorithm": "STANDALONE"},
        "sglang_args.speculative-algorithm",
        "does not go with DP attention",
    ),
    "decode without graphs": Refusal(
        "parallel.decode-graph",
        {"sglang_args.disable-cuda-graph": True},
        "sglang_args.disable-cuda-graph",
        "decode-0 decodes without CUDA graphs",
    ),
    "decode without graphs, 0.5.23": Refusal(
        "parallel.decode-graph",
        {**NEW, f"{DECODE}.args.cuda-graph-backend-decode": "disabled"},
        f"{DECODE}.args.cuda-graph-backend-decode",
        "without CUDA graphs",
    ),
    "graphs of prefill": Refusal(
        "parallel.prefill-graph", {f"{PREFILL}.args.cuda-graph-max-bs": 64}, f"{PREFILL}.args.cuda-graph-max-bs", "no effect on prefill-0"
    ),
}


@pytest.fixture(autouse=True)
def configs(monkeypatch: pytest.MonkeyPatch) -> None:
    for path, content in ((STATE, CONFIG), (WINDOW, WINDOWS)):
        monkeypatch.setitem(clusters.FILES, path, json.dumps(content).encode())


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(gpu_cluster())


def test_a_dp_head_stops_an_engine_whose_replicas_share_nothing() -> None:
    plain = {"port": 30000, "tp": 4, "dp": 2, "mode": "plain", "group": "prefill"}
    changes = {"sglang_pools": {"plain": plain}, "sglang_args.enable-dp-lm-head": True}
    Refusal("parallel.dp-lm-head", changes, "sglang_args.enable-dp-lm-head", "the engine does not start").check(gpu_cluster(1, 0, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"sglang_env.CUDA_VISIBLE_DEVICES": "7,6,5,4,3,2,1,0"},
        {"sglang_env.HIP_VISIBLE_DEVICES": "0"},
        {f"{DECODE}.tp": 8},
        {f"{DECODE}.tp": 8, "sglang_model.config": "deepseek-ai/DeepSeek-R1"},
        {**NEW, **ODD},
        {**ODD, f"{PREFILL}.args.{HINT}": None},
        {**NEW, "sglang_model.config": STATE, f"{DECODE}.tp": 8},
        {"sglang_model.config": STATE},
        {"sglang_model.config": ""},
        STAGES,
        {**STAGES, f"{DECODE}.pp": 2, f"{DECODE}.tp": 8},
        {**NEW, **STAGES, "sglang_args.speculative-algorithm": "EAGLE"},
        {f"{DECODE}.ep": 16, "sglang_args.moe-a2a-backend": "deepep"},
        {f"{DECODE}.ep": 8},
        {f"{DECODE}.args.enable-dp-lm-head": True, **DP},
        {f"{PREFILL}.args.disable-cuda-graph": True},
        {"sglang_args.cuda-graph-max-bs": 64},
        {f"{PREFILL}.args": {"cuda-graph-max-bs": 64, "enable-piecewise-cuda-graph": True}},
        {**NEW, f"{PREFILL}.args.cuda-graph-max-bs-prefill": 64},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    rules = {row.rule for row in REFUSALS.values()}
    assert not [str(found) for found in gpu_cluster().change(changes).findings() if found.rule in rules]
