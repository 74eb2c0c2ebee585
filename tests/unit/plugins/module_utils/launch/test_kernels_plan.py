# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan says of CUDA and DeepEP: who needs them, and what of them is in an environment."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster

ON = {"sglang_args.moe-a2a-backend": "deepep"}
TREE = "/opt/sglang/deepep/sglang-0.5.8-cu12"
NEW = {"sglang_stack": "sglang-0.5.23-cu13", "sglang_args.context-length": 8192}
DECODE = {"sglang_pools.decode.args": {"moe-a2a-backend": "deepep"}}


def variables(inventory: Inventory, host: str = "p0") -> dict[str, str]:
    """Return what of a rank's environment this is about."""
    environment = inventory.plan()["hosts"][host]["ranks"][0]["environment"]
    return {name: environment[name] for name in ("CUDA_HOME", "PYTHONPATH", "LD_LIBRARY_PATH") if name in environment}


CASES: dict[str, tuple[Inventory, dict[str, str]]] = {
    "no GPU": (cluster(), {}),
    "no GPU, and variables for other hosts": (cluster().change({"sglang_cuda_home": "/opt/cuda", "sglang_deepep_gdrcopy": True}), {}),
    "GPUs": (gpu_cluster(), {}),
    "a toolkit by name": (gpu_cluster().change({"sglang_cuda_home": "/usr/local/cuda-12.8"}), {"CUDA_HOME": "/usr/local/cuda-12.8"}),
    "a toolkit of packages": (gpu_cluster().change({"sglang_cuda_install": "packages"}), {"CUDA_HOME": "/usr/local/cuda-12.9"}),
    "a toolkit of archives": (gpu_cluster().change({"sglang_cuda_install": "archives"}), {"CUDA_HOME": "/opt/sglang/cuda-12.9"}),
    "a name before what is installed": (
        gpu_cluster().change({"sglang_cuda_install": "packages", "sglang_cuda_home": "/opt/cuda"}), {"CUDA_HOME": "/opt/cuda"},
    ),
    "an operator's variable": (
        gpu_cluster().change({"sglang_cuda_install": "packages", "sglang_env": {"CUDA_HOME": "/x"}}), {"CUDA_HOME": "/x"},
    ),
    "DeepEP that is built": (gpu_cluster().change(ON), {"PYTHONPATH": TREE}),
    "and gdrcopy": (gpu_cluster().change({**ON, "sglang_deepep_gdrcopy": True}), {"PYTHONPATH": TREE, "LD_LIBRARY_PATH": f"{TREE}/lib"}),
    "DeepEP of the other pool": (gpu_cluster().change(DECODE), {}),
    "DeepEP of the wheels": (gpu_cluster().change({**ON, **NEW}), {}),
    "DeepEP of the wheels and gdrcopy": (
        gpu_cluster().change({**ON, **NEW, "sglang_deepep_gdrcopy": True}),
        {"LD_LIBRARY_PATH": "/opt/sglang/deepep/sglang-0.5.23-cu13/lib"},
    ),
    "DeepEP of an environment": (gpu_cluster().change({**ON, "sglang_deepep_own": True}), {}),
    "another root": (gpu_cluster().change({**ON, "sglang_root": "/srv/sglang"}), {"PYTHONPATH": "/srv/sglang/deepep/sglang-0.5.8-cu12"}),
}


@pytest.mark.parametrize("name", CASES)
def test_environment(name: str) -> None:
    inventory, wanted = CASES[name]
    assert variables(inventory) == wanted


def test_each_value_has_its_reason() -> None:
    rank = gpu_cluster().change({**ON, "sglang_cuda_install": "packages"}).plan()["hosts"]["d0"]["ranks"][0]
    assert rank["reasons"]["CUDA_HOME"].endswith("sglang_cuda_install is packages: the role cuda installs CUDA 12.9 there")
    assert rank["reasons"]["PYTHONPATH"] == "DeepEP, which the stage deepep builds for this stack"
    assert rank["links"] == ["/opt/sglang/sglang-0.5.8-cu12", TREE]
    assert rank["deepep"] is True


def slices(changes: dict[str, Any], host: str = "p0") -> tuple[Any, Any]:
    """Return what the roles cuda and deepep read."""
    row = gpu_cluster().change(changes).plan()["hosts"][host]
    return row["cuda"], row["deepep"]


CUDA = {"stack": "sglang-0.5.8-cu12", "version": "12.9", "home": "", "install": "no"}
DEEPEP = {
    "stack": "sglang-0.5.8-cu12", "way": "source", "path": TREE, "python": "/opt/sglang/sglang-0.5.8-cu12/bin/python", "gdrcopy": False,
    "nodes": 2, "handlers": ["auto"],
}
PARTS: list[tuple[dict[str, Any], str, Any, Any]] = [
    ({}, "p0", CUDA, None),
    ({}, "r0", None, None),
    (ON, "p0", CUDA, DEEPEP),
    (ON, "r0", None, None),
    (DECODE, "p0", CUDA, None),
    (DECODE, "d1", CUDA, DEEPEP),
    ({"sglang_cuda_home": "/opt/cuda", "sglang_cuda_install": "archives"}, "p0", {**CUDA, "home": "/opt/cuda"}, None),
    ({"sglang_cuda_install": "archives"}, "p0", {**CUDA, "home": "/opt/sglang/cuda-12.9", "install": "archives"}, None),
    ({**ON, "sglang_env": {"NVSHMEM_IBGDA_NIC_HANDLER": "cpu_host_memory"}}, "p0", CUDA, {**DEEPEP, "handlers": ["cpu_host_memory"]}),
    # What is checked and built with is what the ranks use, whoever wrote it.
    ({"sglang_env": {"CUDA_HOME": "/x"}}, "p0", {**CUDA, "home": "/x"}, None),
    ({"sglang_env": {"CUDA_HOME": "/x"}, "sglang_cuda_install": "archives"}, "p0", {**CUDA, "home": "/x"}, None),
    ({"sglang_env": {"CUDA_HOME": None}, "sglang_cuda_home": "/opt/cuda"}, "p0", CUDA, None),
    ({**ON, "sglang_deepep_own": True}, "p0", CUDA, {**DEEPEP, "way": "own", "path": ""}),
]


@pytest.mark.parametrize(("changes", "host", "cuda", "deepep"), PARTS)
def test_slice_of_a_host(changes: dict[str, Any], host: str, cuda: Any, deepep: Any) -> None:
    assert slices(changes, host) == (cuda, deepep)


def test_who_rings_doorbells_matters_between_hosts_only() -> None:
    changes = {**ON, "sglang_env": {"NVSHMEM_IBGDA_NIC_HANDLER": "gpu"}, "sglang_gpu.memory_gib": 140}
    one = gpu_cluster(1, 1, 1).change(changes).plan()["hosts"]["p0"]
    assert (one["deepep"]["nodes"], one["deepep"]["handlers"]) == (1, [])


def test_nothing_of_it_concerns_hosts_without_gpus() -> None:
    rows = cluster().plan()["hosts"].values()
    assert all(row["cuda"] is None and row["deepep"] is None for row in rows)
    assert all(rank["links"] == [rank["stack_link"]] and not rank["deepep"] for row in rows for rank in row["ranks"])


@pytest.mark.parametrize("stack", ["sglang-0.5.8-rocm", "sglang-0.5.8-cu13"])
def test_other_stacks(stack: str) -> None:
    row = gpu_cluster().change({**ON, "sglang_stack": stack}).plan()["hosts"]["p0"]
    assert (row["deepep"] is not None) == (stack == "sglang-0.5.8-cu13")
    assert (row["cuda"] or {}).get("version") == (None if "rocm" in stack else "13.0")
