# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an inventory holds, the plan answers with a plan or with findings, and both can be shown."""

from __future__ import annotations

import json
import os
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.launch import modelshape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import CLUSTER, HOST
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import report
from ansible_collections.railyard.sglang.tests.unit.support import clusters
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, gpu_cluster

CONFIG = "/controller/config.json"
WORDS: list[Any] = [
    None, True, False, 0, -1, 1, 65535, 10**30, 1.5, float("nan"), float("inf"), "", " ", "\u00e9\u202e", "x\ny", "\0",
    "{", "[]", "-1", "--", "%n%s", "\u00b2", "\u0663", "eight", "::1", "2001:db8::1", "[2001:db8::1]", "192.0.2.0/24",
    "fe80::1%eth0", "http://[", "a" * 3000, "64k", [], {}, [None], [[]], [{}], [1, 2], {"a": None}, {1: 2}, {"": ""},
    {"file": "x"}, {"file": ["x"]}, {"content": None}, {"src": "\0"},
]
ARGUMENTS = (
    "page-size", "chunked-prefill-size", "max-running-requests", "mem-fraction-static", "context-length", "max-total-tokens",
    "cuda-graph-max-bs", "cuda-graph-bs", "disaggregation-ib-device", "attention-backend", "moe-a2a-backend", "deepep-mode",
    "ep-num-redundant-experts", "speculative-algorithm", "watchdog-timeout", "dist-timeout", "quantization", "moe-dense-tp-size",
)
VARIABLES = (
    "SGLANG_PORT", "MC_MIN_PRC_PORT", "MC_MAX_RPC_PORT", "SGLANG_HEALTH_CHECK_TIMEOUT", "SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT",
    "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "NCCL_IB_HCA", "MC_IB_TC", "NO_PROXY", "http_proxy", "UCX_NET_DEVICES",
)
POOL = ("instances", "port", "tp", "dp", "pp", "ep", "dp_attention", "nodes_per_instance", "group", "mode", "args", "env", "files")
INSTANCE = {"name": "a", "hosts": ["p0", "p1"], "port": 1, "dist_init_port": 1, "first_gpu": 0, "tp": 1, "dp": 1, "args": {}, "files": {}}


def places() -> list[str]:
    """Return the variables that are spoilt, as Inventory.change names them."""
    pools = [f"sglang_pools.{pool}.{key}" for pool in ("prefill", "decode") for key in POOL]
    nested = [f"sglang_model.{key}" for key in ("path", "name", "config", "source")]
    nested += [f"sglang_gpu.{key}" for key in ("count", "memory_gib", "arch")] + ["sglang_rdma_device_map.0", "sglang_files.a.src"]
    nested += [f"sglang_router.{key}" for key in ("workers", "port", "args", "args.policy", "args.health-check-timeout-secs", "env")]
    return [
        *CLUSTER, *HOST, "ansible_host", *(f"p1:{name}" for name in HOST), *pools, *nested,
        *(f"sglang_args.{name}" for name in ARGUMENTS), *(f"sglang_env.{name}" for name in VARIABLES),
    ]


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """Draw one or two values that make no sense, and where they stand."""
    value = st.sampled_from(WORDS)
    changes: dict[str, Any] = draw(st.dictionaries(st.sampled_from(places()), value, min_size=1, max_size=2))
    if draw(st.integers(0, 9)) == 0:
        changes = {"sglang_pools.prefill.instances": [{**INSTANCE, draw(st.sampled_from([*INSTANCE])): draw(value)}]}
    elif draw(st.booleans()):
        changes["sglang_stack"] = draw(st.sampled_from(("sglang-0.5.23-cu13", "sglang-0.5.8-ascend", "sglang-0.5.8-rocm")))
    paths = [path.rpartition(":")[2] for path in changes]
    hypothesis.assume(not any(one.startswith(other + ".") for one in paths for other in paths))
    return changes


def answer(inventory: Inventory) -> tuple[dict[str, str], set[str]]:
    """Return the files that an inventory's plan or refusal is shown in, and the rules of its findings."""
    try:
        plan = inventory.plan()
    except PlanError as error:
        return report.refused([vars(found) for found in error.findings]), {found.rule for found in error.findings}
    return report.files(plan, {}, 22, "public"), {row["rule"] for row in plan["findings"]}


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(changes=spoilt())
def test_the_plan_has_an_answer(changes: dict[str, Any]) -> None:
    shown, rules = answer(gpu_cluster().change(changes))
    assert "plan.txt" in shown
    assert "plan.internal" not in rules


FIELDS = (
    "architectures", "num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "quantization_config", "torch_dtype",
    "model_type", "n_routed_experts", "moe_layer_freq", "q_lora_rank", "first_k_dense_replace", "max_position_embeddings",
)
BLOCKS: list[Any] = [[128], ["a", "b"], [0, 0], [-1, 128], [0, 128], "ab", {"a": 1, "b": 2}, [128, 128]]


def test_a_model_s_config_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.path.join(modelshape.MODELS, "deepseek-r1.json"), encoding="utf-8") as stream:
        config = json.load(stream)["config"]
    changed: list[dict[str, Any]] = [{"quantization_config": {"quant_method": "fp8", "weight_block_size": block}} for block in BLOCKS]
    changed += [{name: value} for name in FIELDS for value in (10**9, *WORDS[::4])]
    inventory = gpu_cluster().change({"sglang_model.config": CONFIG})
    for change in changed:
        monkeypatch.setitem(clusters.FILES, CONFIG, json.dumps({**config, **change}).encode())
        rules = {found.rule for found in inventory.findings()}
        assert "plan.internal" not in rules, (change, [str(found) for found in inventory.findings()])


def test_files_that_are_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = gpu_cluster().change({"sglang_model.config": CONFIG})
    for content in (b"", b"\xff", b"[" * 100_000, b"null", b"NaN"):
        monkeypatch.setitem(clusters.FILES, CONFIG, content)
        assert {found.rule for found in inventory.findings() if found.severity == "error"} == {"capacity.config"}, content[:9]


def test_paths_that_cannot_be_looked_up() -> None:
    for error in (OSError("gone"), ValueError("embedded null byte"), RuntimeError("no home directory")):

        def read(path: str, error: Exception = error) -> bytes:
            raise error

        for change, rule in (("sglang_model.config", "capacity.config"), ("sglang_files.a.src", "file.source")):
            inventory = gpu_cluster().change({change: "~nobody/x"})
            with pytest.raises(PlanError) as caught:
                clusters.plan.build(inventory.groups, inventory.hostvars, read)
            assert {found.rule for found in caught.value.findings if found.severity == "error"} == {rule}
