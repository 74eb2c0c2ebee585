# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes cuda and deepep: those of the collection, and what is wrong with others."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import recipe
from ansible_collections.railyard.sglang.plugins.module_utils.launch import stacks
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import parse_table
from ansible_collections.railyard.sglang.plugins.modules import mirror

FILES = Path(__file__).resolve().parents[5] / "roles" / "stack" / "files"
ENGINES = [stack for stack in stacks.ENGINES.values() if stack.device == "cuda"]


def definition(name: str) -> dict[str, Any]:
    return read_definition(FILES / name, FILES / "installer.txt", yaml.safe_load)


@pytest.mark.parametrize("stack", ENGINES, ids=lambda stack: stack.name)
def test_stack_names_what_the_plan_says_of_it(stack: stacks.EngineStack) -> None:
    recipes = parse_definition(definition(stack.name)).recipes
    assert recipe.parse_cuda(recipes["cuda"]).version == stack.cuda
    assert ("deepep" in recipes) == (stack.deepep == "source")
    locked = parse_definition(definition(stack.name)).packages()
    assert ("sgl-deep-ep" in locked) == (stack.deepep == "wheel")


def test_a_toolkit_fits_the_nvcc_that_its_stacks_need() -> None:
    for stack in ENGINES:
        needs = parse_definition(definition(stack.name)).needs
        assert needs.nvcc is not None
        assert tuple(map(int, needs.nvcc.least.split("."))) <= tuple(map(int, stack.cuda.split("."))), stack.name
        assert int(stack.cuda.partition(".")[0]) < int(needs.nvcc.below), stack.name


def test_deepep_names_rows_that_the_table_of_packages_has() -> None:
    table = parse_table(yaml.safe_load((FILES / "os_packages.yml").read_text(encoding="utf-8")))
    read = recipe.parse_deepep(definition("sglang-0.5.8-cu12")["deepep"])
    assert set(read.features) <= set(table.features)
    assert "make" in table.features
    assert list(read.architectures) == ["9.0", "10.0", "10.3"]


def test_recipes_do_not_change_what_a_stack_is_called_after() -> None:
    data = definition("sglang-0.5.8-cu12")
    without = {key: value for key, value in data.items() if key not in ("cuda", "deepep")}
    assert parse_definition(data).content_id(12) == parse_definition(without).content_id(12)


def test_a_mirror_carries_what_the_stacks_name(tmp_path: Path) -> None:
    params = {
        "path": str(tmp_path), "definitions": [definition("sglang-0.5.8-cu12"), definition("sglang-0.5.8-cu13")], "key": "key",
        "models": {}, "os_packages": {}, "systems": [], "table": {}, "verify": False,
        "sources": [{"name": "gdrcopy-2.5.1.tar.gz", "origin": "/mine/gdrcopy.tar.gz", "sha256": "0" * 64}],
    }
    found = {row.name: row.origin for row in mirror.request_from(params).sources}
    assert found["gdrcopy-2.5.1.tar.gz"] == "/mine/gdrcopy.tar.gz"
    assert found["DeepEP-9af0e0d0.tar.gz"].startswith("https://github.com/deepseek-ai/DeepEP/archive/9af0e0d0")
    assert {name.split("-linux")[0] for name in found} >= {"cuda_nvcc", "libnvvm", "cuda_cudart", "cuda_cccl"}
    assert len(found) == 2 + 5 + 8


@pytest.mark.parametrize("stack", ENGINES, ids=lambda stack: stack.name)
def test_archives_have_what_flashinfer_includes(stack: stacks.EngineStack) -> None:
    archives = recipe.parse_cuda(parse_definition(definition(stack.name)).recipes["cuda"]).archives
    for machine, rows in archives.items():
        assert any(row.name.startswith("libcurand-") for row in rows), machine


CUDA = {
    "version": "12.9", "packages": {"rhel": ["cuda-nvcc-12-9"]},
    "archives": {"x86_64": [{"name": "a.tar.xz", "origin": "o", "sha256": "1" * 64}]},
}
DEEPEP = {
    "version": "1.2.1", "distribution": "deep_ep", "probe": "a.cu", "architectures": {"9.0": "12.3"}, "os": [], "patches": [],
    "source": {"name": "d.tar.gz", "origin": "o", "sha256": "2" * 64},
    "gdrcopy": {"version": "2.5.1", "source": {"name": "g.tar.gz", "origin": "o", "sha256": "3" * 64}},
}
PATCH = {"path": "a", "reason": "r", "replace": [{"before": "x", "after": "y"}]}
WRONG: list[tuple[str, str, Any, str]] = [
    ("cuda", "version", 12.9, "version is not a text"),
    ("cuda", "version", "12", "is not one like '12.9'"),
    ("cuda", "packages", {}, "packages is not a mapping"),
    ("cuda", "packages", {"rhel": "x"}, "packages.rhel is not a list"),
    ("cuda", "archives", {"x86_64": "x"}, "archives.x86_64 is not a list"),
    ("cuda", "archives", {"x86_64": [{"name": "a"}]}, "is not a mapping of name, origin, sha256"),
    ("cuda", "archives", {"x86_64": [{"name": "../a", "origin": "o", "sha256": "1" * 64}]}, "is no name of a file"),
    ("cuda", "archives", {"x86_64": [{"name": "a", "origin": "o", "sha256": "1" * 63}]}, "not 64 hexadecimal digits"),
    ("deepep", "distribution", "", "distribution is not a text"),
    ("deepep", "source", None, "is not a mapping of name"),
    ("deepep", "architectures", {"sm90": "12.3"}, "is not a compute capability"),
    ("deepep", "architectures", {"9.0": "new"}, "is not a compute capability"),
    ("deepep", "os", "make", "os is not a list"),
    ("deepep", "gdrcopy", None, "gdrcopy is not a mapping"),
    ("deepep", "patches", [{"path": "a"}], "is not a mapping of path, reason, replace"),
    ("deepep", "patches", [{**PATCH, "path": "../a"}], "leads out of the source"),
    ("deepep", "patches", [{**PATCH, "replace": [{"before": "x"}]}], "is not a mapping of before and after"),
]


@pytest.mark.parametrize(("name", "key", "value", "problem"), WRONG)
def test_what_is_wrong_is_named(name: str, key: str, value: Any, problem: str) -> None:
    data = copy.deepcopy({"cuda": CUDA, "deepep": DEEPEP}[name])
    data[key] = value
    with pytest.raises(StackError, match="recipe of") as caught:
        recipe.archives({name: data})
    assert problem in str(caught.value)


def test_good_ones_are_read() -> None:
    found = recipe.archives({"cuda": CUDA, "deepep": {**DEEPEP, "patches": [PATCH]}})
    assert [row.name for row in found] == ["a.tar.xz", "d.tar.gz", "g.tar.gz"]
    assert recipe.parse_deepep(DEEPEP).distribution == "deep-ep"
    assert recipe.archives({}) == []
