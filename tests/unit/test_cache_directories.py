# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of caches in the engine's unit, by Ansible itself, from the template and the plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, gpu_cluster

TEMPLATE = Path(__file__).resolve().parents[2] / "roles/engine/templates/unit.service.j2"
BASE = "sglang/sglang-0.5.8-cu12/prefill"
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "as planned": ({}, [f"CacheDirectory={BASE}", f"CacheDirectory={BASE}/cuda"]),
    "elsewhere": (
        {"sglang_env": {"SGLANG_DG_CACHE_DIR": "/lssd/kernels", "CUDA_CACHE_PATH": "/lssd/cuda", "TRITON_CACHE_DIR": "/var/lib/sglang/t"}},
        [f"CacheDirectory={BASE}", "ReadWritePaths=-/lssd/cuda", "ReadWritePaths=-/lssd/kernels"],
    ),
    "taken back": ({"sglang_env": {"CUDA_CACHE_PATH": None}}, [f"CacheDirectory={BASE}"]),
    "AMD": ({"sglang_stack": "sglang-0.5.8-rocm"}, ["CacheDirectory=sglang/sglang-0.5.8-rocm/prefill"]),
}


def lines(rank: Any) -> list[str]:
    """Return what the template makes of its part about caches, without comments."""
    text = TEMPLATE.read_text(encoding="utf-8")
    part = re.search(r"^CacheDirectory=sglang\n(.*?)^RuntimeDirectory=", text, re.DOTALL | re.MULTILINE)
    assert part
    made = Templar(DataLoader(), {"rank": rank}).template(trust_as_template("#\n" + part.group(1) + "#\n"))
    return [line for line in str(made).splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(("changes", "wanted"), CASES.values(), ids=CASES)
def test_every_cache_can_be_written_under_the_hardening(changes: dict[str, Any], wanted: list[str]) -> None:
    assert lines(gpu_cluster().change(changes).plan()["instances"][0]["ranks"][0]) == wanted


def test_a_unit_on_cpus_is_what_it_was() -> None:
    rank = cluster().plan()["instances"][0]["ranks"][0]
    assert lines(rank) == lines({name: value for name, value in rank.items() if name != "caches"}) == []


def engine_task(name: str) -> Any:
    tasks = yaml.safe_load((TEMPLATE.parents[1] / "tasks/turn.yml").read_text(encoding="utf-8"))
    names = [row["name"] for row in tasks]
    assert names.index("Stop their other ranks") < names.index(name) < names.index("Start the ranks")
    return tasks[names.index(name)]


def test_kernels_that_waited_are_put_in_use_between_stop_and_start() -> None:
    task = engine_task("Put in use the kernels that waited for the stop")
    waiting = [{"unit": f"sglang-{name}.service", "key": name} for name in ("prefill-0", "prefill-1", "decode-0")]
    variables = {
        "deepgemm_waiting": waiting, "__engine_restart": ["sglang-prefill-0.service"], "__engine_start": ["sglang-decode-0.service"],
    }
    text = trust_as_template(task["vars"]["__engine_kernels"])
    assert [row["key"] for row in Templar(DataLoader(), variables).template(text)] == ["prefill-0", "decode-0"]
    assert Templar(DataLoader(), {**variables, "deepgemm_waiting": []}).template(text) == []


@pytest.mark.parametrize(
    ("changes", "asked"), [({}, False), ({"sglang_env": {"TRITON_CACHE_DIR": "/lssd/t"}}, True), ({"sglang_env": {"X": "/lssd"}}, False)],
)
def test_directories_elsewhere_are_asked_for_where_there_are_some(changes: dict[str, Any], asked: bool) -> None:
    task = engine_task("Make the directories of caches that are placed elsewhere")
    for inventory, wanted in ((gpu_cluster().change(changes), asked), (cluster(), False)):
        ranks = inventory.plan()["instances"][0]["ranks"]
        found = Templar(DataLoader(), {"engine_ranks": ranks}).template(trust_as_template("{{ " + task["when"] + " }}"))
        assert found is wanted


@pytest.mark.parametrize(
    ("tags", "skipped", "follows"),
    [
        (["all"], [], True), (["deepgemm"], [], False), (["deepgemm", "engine"], [], True), (["all"], ["engine"], False),
        (["tagged"], [], True), (["deepgemm", "engine"], ["engine"], False),
    ],
)
def test_site_tells_whether_the_engine_stage_follows(tags: list[str], skipped: list[str], follows: bool) -> None:
    plays = yaml.safe_load((TEMPLATE.parents[3] / "playbooks/site.yml").read_text(encoding="utf-8"))
    (role,) = [role for play in plays for role in play.get("roles", []) if role["role"].endswith(".deepgemm")]
    text = trust_as_template(role["vars"]["deepgemm_engine_follows"])
    assert Templar(DataLoader(), {"ansible_run_tags": tags, "ansible_skip_tags": skipped}).template(text) is follows
