# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan's part of the kernel caches: where they are, and for which instances kernels are compiled beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster

BASE = "/var/cache/sglang/sglang-0.5.8-cu12"
NEW = {"sglang_stack": "sglang-0.5.23-cu13", "sglang_router_stack": "smg-1.13.0"}
VARIABLES = {
    "CUDA_CACHE_PATH": "cuda", "FLASHINFER_WORKSPACE_BASE": "flashinfer", "SGLANG_DG_CACHE_DIR": "deep_gemm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton",
}


def caches(inventory: Inventory, instance: int = 0, rank: int = 0) -> Any:
    return inventory.plan()["instances"][instance]["ranks"][rank]["caches"]


def test_a_cluster_on_cpus_has_none() -> None:
    plan = cluster().plan()
    ranks = [rank for instance in plan["instances"] for rank in instance["ranks"]]
    assert [rank["caches"] for rank in ranks] == [None] * 4
    assert not set(VARIABLES) & {name for rank in ranks for name in rank["environment"]}


def test_each_pool_has_its_own() -> None:
    plan = gpu_cluster().plan()
    for instance in plan["instances"]:
        for rank in instance["ranks"]:
            assert rank["caches"]["directory"] == f"{BASE}/{instance['pool']}"
            assert rank["caches"]["variables"] == {name: f"{BASE}/{instance['pool']}/{folder}" for name, folder in VARIABLES.items()}
            assert {name: rank["environment"][name] for name in VARIABLES} == rank["caches"]["variables"]
            assert all("kept over restarts" in rank["reasons"][name] for name in VARIABLES)
    assert plan["hosts"]["p0"]["ranks"][0]["caches"] == plan["instances"][0]["ranks"][0]["caches"]


@pytest.mark.parametrize("changes", [{}, NEW], ids=["0.5.8", "0.5.23"])
def test_the_command_has_every_argument_on_its_line(changes: dict[str, Any]) -> None:
    plan = gpu_cluster().change(changes).plan()
    for instance in plan["instances"]:
        for rank in instance["ranks"]:
            words = rank["caches"]["deepgemm"]["argv"]
            assert words[:2] == ["-m", "sglang.compile_deep_gemm"]
            assert "--config" not in words
            served = [word for word in rank["argv"][2:] if word.startswith("--") and word != "--config"]
            in_file = [f"--{name}" for name in rank["arguments"]]
            assert sorted(word for word in words if word.startswith("--")) == sorted([*served, *in_file])
            for name, value in rank["arguments"].items():
                if value is not True:
                    assert words[words.index(f"--{name}") + 1] == str(value)
            assert words[words.index("--node-rank") + 1] == str(rank["rank"])


def test_the_ranks_of_an_instance_and_instances_of_a_pool_have_one_key() -> None:
    plan = gpu_cluster(4, 2).plan()
    counted = {
        instance["name"]: [tuple(rank["caches"]["deepgemm"][part] for part in ("arguments", "environment")) for rank in instance["ranks"]]
        for instance in plan["instances"]
    }
    first = counted["prefill-0"][0]
    assert counted["prefill-0"] == counted["prefill-1"] == [first, first]
    assert counted["decode-0"][0] != first
    assert first[0]["disaggregation_mode"] == "prefill"
    assert "host" not in first[0]
    table = flags.load("sglang-0.5.8").options
    assert set(first[0]) <= set(table)


NONE: dict[str, dict[str, Any]] = {
    "switched off": {"sglang_env": {"SGLANG_ENABLE_JIT_DEEPGEMM": "0"}},
    "in other words": {"sglang_env": {"SGLANG_ENABLE_JIT_DEEPGEMM": "False"}},
    "its place taken back": {"sglang_env": {"SGLANG_DG_CACHE_DIR": None}},
    "weights of 16 bits": {"sglang_model.config": "llama-3.1-8b"},
    "AMD": {"sglang_stack": "sglang-0.5.8-rocm"},
}


@pytest.mark.parametrize("changes", NONE.values(), ids=NONE)
def test_nothing_to_compile(changes: dict[str, Any]) -> None:
    found = caches(gpu_cluster().change(changes))
    assert found["deepgemm"] is None
    assert "TRITON_CACHE_DIR" in found["variables"]


def test_amd_has_what_amd_has() -> None:
    assert set(caches(gpu_cluster().change(NONE["AMD"]))["variables"]) == {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"}


@pytest.mark.parametrize(("config", "certain"), [("deepseek-r1", True), ("", False)])
def test_a_model_that_the_plan_does_not_know(config: str, certain: bool) -> None:
    found = caches(gpu_cluster().change({"sglang_model.config": config}))
    assert found["deepgemm"]["certain"] is certain


def test_an_operators_place_wins() -> None:
    found = caches(gpu_cluster().change({"sglang_env": {"SGLANG_DG_CACHE_DIR": "/lssd/kernels"}}))
    assert found["deepgemm"]["path"] == found["variables"]["SGLANG_DG_CACHE_DIR"] == "/lssd/kernels"


def test_an_instance_with_arguments_of_its_own_has_a_directory_of_its_own() -> None:
    own = {"args": {"chunked-prefill-size": 16384}}
    rows = [{"name": "prefill-0", "hosts": ["p0", "p1"]}, {"name": "prefill-1", "hosts": ["p2", "p3"], **own}]
    plan = gpu_cluster(4, 2).change({"sglang_pools.prefill.instances": rows}).plan()
    assert [instance["ranks"][0]["caches"]["directory"] for instance in plan["instances"][:2]] == [f"{BASE}/prefill", f"{BASE}/prefill-1"]


def test_stages_of_a_pipeline_have_directories_of_their_own() -> None:
    plan = gpu_cluster().change({"sglang_pools.prefill.tp": 8, "sglang_pools.prefill.pp": 2})
    found = [caches(plan, 0, rank) for rank in (0, 1)]
    assert [row["directory"] for row in found] == [f"{BASE}/prefill-stage0", f"{BASE}/prefill-stage1"]
    assert [row["deepgemm"]["stage"] for row in found] == [0, 1]


def test_a_file_counts_by_its_bytes_and_not_by_its_path() -> None:
    def counted(content: Any, hosts: int = 4) -> list[Any]:
        files = {"sglang_files": {"deepep.json": {"content": content}}, "sglang_args.deepep-config": {"file": "deepep.json"}}
        changes = {**files, "sglang_env.SGLANG_MOE_CONFIG_DIR": {"file": "."}}
        plan = gpu_cluster(hosts, 2).change(changes).plan()
        return [
            (row["arguments"]["deepep_config"], row["environment"]["SGLANG_MOE_CONFIG_DIR"])
            for instance in plan["instances"] if instance["pool"] == "prefill"
            for row in [instance["ranks"][0]["caches"]["deepgemm"]]
        ]

    one, other = counted({"n": 1}), counted({"n": 2})
    assert len(one) == 2
    assert one[0] == one[1], "two instances have the same bytes in directories of their own"
    assert all(text.startswith("sha256:") for text in one[0])
    assert not set(one[0]) & set(other[0])


def test_a_draft_model_by_its_name_counts() -> None:
    def part(draft: str) -> Any:
        changes = {"sglang_args.speculative-algorithm": "EAGLE", "sglang_args.speculative-draft-model-path": draft}
        return caches(gpu_cluster().change(changes))["deepgemm"]

    assert part("lmsys/one")["arguments"]["speculative_draft_model_path"] == "lmsys/one"
    assert part("lmsys/one")["drafts"] == []
    assert part("/models/one")["drafts"] == ["/models/one"]
    assert "speculative_draft_model_path" not in part("/models/one")["arguments"]


@pytest.mark.parametrize(("bound", "asked"), [("::", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")])
def test_the_program_can_ask_its_own_server(bound: str, asked: str) -> None:
    words = caches(gpu_cluster().change({"sglang_bind_address": bound}))["deepgemm"]["argv"]
    assert words[words.index("--host") + 1] == asked
