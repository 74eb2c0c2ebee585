# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules deepep and cuda_toolkit in this process: what they return, predict and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import cuda_toolkit, deepep
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


@pytest.fixture(name="given")
def make_given(tmp_path: Path) -> dict[str, Any]:
    """Return what is the same in all calls."""
    python = kernelkit.stack(tmp_path / "stack")
    kernelkit.write(tmp_path / "cuda", kernelkit.toolkit_files("12.9.86"))
    return {
        "stack": "mine", "recipe": kernelkit.sources(tmp_path / "sources"), "python": str(python), "root": str(tmp_path / "root"),
        "cuda_home": str(tmp_path / "cuda"), "architectures": ["9.0"], "sources": str(tmp_path / "sources"),
    }


def test_look_build_look(given: dict[str, Any], tmp_path: Path) -> None:
    looked = run(deepep.main, given)
    assert (looked["changed"], looked["needed"]) == (False, True)
    predicted = run(deepep.main, {**given, "state": "built"}, check=True)
    assert predicted["changed"]
    assert not (tmp_path / "root").exists()
    built = run(deepep.main, {**given, "state": "built"})
    assert built["changed"]
    assert built["key"] == looked["key"] == predicted["key"]
    assert built["proof"]["deep_ep"]["version"] == "1.2.1"
    assert list(built["ansible_facts"]["sglang_deepep_trees"]) == [f"{tmp_path}/root/deepep/mine"]
    again = run(deepep.main, given)
    assert (again["changed"], again["needed"]) == (False, False)
    other = run(deepep.main, {**given, "architectures": ["9.0"], "gdrcopy": True})
    assert other["needed"]
    assert other["key"] != built["key"]


def test_a_file_that_was_changed_is_found_on_request(given: dict[str, Any]) -> None:
    run(deepep.main, {**given, "state": "built"})
    (tree,) = run(deepep.main, given)["ansible_facts"]["sglang_deepep_trees"].values()
    Path(tree, "deep_ep_cpp.py").write_text("", encoding="utf-8")
    assert not run(deepep.main, given)["needed"]
    assert run(deepep.main, {**given, "verify": True})["needed"]
    assert run(deepep.main, {**given, "verify": True, "state": "built"})["changed"]
    assert not run(deepep.main, {**given, "verify": True})["needed"]


REFUSED = [
    ({"architectures": []}, "write deepep_architectures, for example ['9.0']"),
    ({"architectures": ["8.0"]}, "it has no kernels for 8.0 (Ampere)"),
    ({"cuda_home": "/nonexistent"}, "there is no /nonexistent/bin/nvcc. Fix: see the role cuda"),
    ({"python": "/nonexistent/bin/python"}, "does not answer (status 127)"),
    ({"nvshmem_home": "/nonexistent", "state": "built"}, "/nonexistent lacks include/nvshmem.h"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refused(change: dict[str, Any], message: str, given: dict[str, Any]) -> None:
    result = run(deepep.main, {**given, **change})
    assert result["failed"]
    assert message in result["msg"]


def test_before_the_stack_is_there(given: dict[str, Any]) -> None:
    missing = {**given, "python": "/nonexistent/bin/python"}
    assert run(deepep.main, missing, check=True)["needed"]
    assert run(deepep.main, {**missing, "state": "installed"}, check=True)["changed"]
    assert not run(deepep.main, {**missing, "way": "wheel"}, check=True)["needed"]


def test_a_wheel_was_proven_by_the_stage_stack(given: dict[str, Any], tmp_path: Path) -> None:
    wheel = {**given, "way": "wheel", "recipe": {}}
    result = run(deepep.main, wheel)
    assert "has not imported deep_ep when it was installed" in result["msg"]
    marker = {"format": 1, "imports": {"deep_ep": "0.1.2.post1"}}
    (tmp_path / "stack/.stack.json").write_text(json.dumps(marker), encoding="utf-8")
    result = run(deepep.main, wheel)
    assert (result["changed"], result["needed"]) == (False, False)
    assert result["proof"]["deep_ep"]["version"] == "0.1.2.post1"
    assert not (tmp_path / "root").exists()


CUDA = {"version": "12.9", "packages": {system: ["cuda-nvcc-12-9"] for system in ("debian", "ubuntu", "rhel")}, "archives": {"any": []}}


def test_a_toolkit_is_checked(given: dict[str, Any]) -> None:
    result = run(cuda_toolkit.main, {"recipe": CUDA, "home": given["cuda_home"]})
    assert result["toolkit"] == {"home": given["cuda_home"], "nvcc": "12.9.86", "headers": "12.9"}
    assert not result["changed"]
    needs = {"name": "mine", "host": {"nvcc": {"least": "13.0", "of": "DeepGEMM"}}}
    result = run(cuda_toolkit.main, {"recipe": CUDA, "home": given["cuda_home"], "needs": needs})
    assert "nvcc of" in result["msg"]
    assert "is 12.9.86; DeepGEMM needs 13.0 or newer. Fix: set sglang_cuda_home" in result["msg"]


def test_packages_are_left_to_the_caller(tmp_path: Path) -> None:
    given = {"recipe": CUDA, "home": str(tmp_path / "none"), "install": "packages"}
    assert run(cuda_toolkit.main, {**given, "defer": True})["missing_packages"] == ["cuda-nvcc-12-9"]
    assert "see whether NVIDIA's repository is configured" in run(cuda_toolkit.main, given)["msg"]
    nothing = {**CUDA, "packages": {"other": ["x"]}}
    assert "no packages of CUDA 12.9 are known" in run(cuda_toolkit.main, {**given, "recipe": nothing, "defer": True})["msg"]


def test_no_archives_for_this_machine(tmp_path: Path) -> None:
    result = run(cuda_toolkit.main, {"recipe": CUDA, "install": "archives", "root": str(tmp_path)})
    assert "there are no archives of CUDA 12.9 for" in result["msg"]
    assert not run(cuda_toolkit.main, {"recipe": CUDA, "state": "absent", "root": str(tmp_path)})["changed"]
