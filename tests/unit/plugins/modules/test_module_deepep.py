# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules deepep and cuda_toolkit in this process: what they return, predict and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.services import units
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import Compiler, Gpu, HostFacts
from ansible_collections.railyard.sglang.plugins.modules import cuda_toolkit, deepep
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit
from ansible_collections.railyard.sglang.tests.unit.support.modules import run


def told(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a module has warned of. In a process that has loaded the controller's display, ansible-core shows it itself."""
    return " ".join((str(result.get("warnings")) + capsys.readouterr().err).split())


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


def test_a_toolkit_is_checked(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result = run(cuda_toolkit.main, {"recipe": CUDA, "home": given["cuda_home"]})
    assert result["toolkit"] == {"home": given["cuda_home"], "nvcc": "12.9.86", "headers": "12.9"}
    assert not result["changed"]
    needs = {"name": "mine", "host": {"nvcc": {"least": "13.0", "of": "DeepGEMM"}}}
    result = run(cuda_toolkit.main, {"recipe": CUDA, "home": given["cuda_home"], "needs": needs})
    assert "nvcc of" in result["msg"]
    assert "is 12.9.86; DeepGEMM needs 13.0 or newer. Fix: set sglang_cuda_home" in result["msg"]
    assert result["msg"].startswith("stack.nvcc: ")
    waived = {"recipe": CUDA, "home": given["cuda_home"], "needs": needs, "waive": {"stack.nvcc": "the image brings one at first boot"}}
    text = told(run(cuda_toolkit.main, waived), capsys)
    assert "needs 13.0 or newer" in text
    assert "(waived: the image brings one at first boot)" in text
    assert "stack.nvc is no rule" in run(cuda_toolkit.main, {**waived, "waive": {"stack.nvc": "x"}})["msg"]


def test_the_toolkit_of_the_first_nvcc_on_the_path_is_checked(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = HostFacts("x86_64", "debian-12", "Debian", compilers=(Compiler(given["cuda_home"], "12.9.86"),))
    monkeypatch.setattr(cuda_toolkit, "look", lambda *_given: facts)
    monkeypatch.setattr(deepep, "look", lambda *_given: facts)
    assert run(cuda_toolkit.main, {"recipe": CUDA})["toolkit"]["home"] == given["cuda_home"]
    assert run(deepep.main, {**given, "cuda_home": ""})["key"] == run(deepep.main, given)["key"]


def test_a_host_without_a_compiler_of_its_own(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    failing = kernelkit.toolkit_files("12.9.86")
    failing["bin/nvcc"] = failing["bin/nvcc"].replace("while", "echo g++: not found; exit 1; while")
    kernelkit.write(tmp_path / "cuda", failing)
    facts = HostFacts("x86_64", "debian-12", "Debian", gpus=(Gpu("nvidia", "9.0"),))
    monkeypatch.setattr(cuda_toolkit, "look", lambda *_given: facts)
    monkeypatch.setattr(cuda_toolkit.toolkit, "has_host_compiler", lambda: False)
    call = {"recipe": CUDA, "home": given["cuda_home"]}
    assert "Fix: install g++ (gcc-c++ on RHEL), which nvcc starts" in run(cuda_toolkit.main, call)["msg"]
    assert "install g++" in told(run(cuda_toolkit.main, call, check=True), capsys)
    monkeypatch.setattr(cuda_toolkit.toolkit, "has_host_compiler", lambda: True)
    assert "does not compile for 9.0" in run(cuda_toolkit.main, call, check=True)["msg"]


def test_the_key_follows_the_tree_and_not_the_link_to_it(given: dict[str, Any], tmp_path: Path) -> None:
    """A link that running engines hold is switched later: before and after, the same is built for the same tree."""
    old, new = tmp_path / "store/old", tmp_path / "store/new"
    kernelkit.stack(old)
    kernelkit.stack(new, torch="2.10.0")
    link = tmp_path / "mine"
    link.symlink_to(old)
    held = {**given, "python": f"{link}/bin/python", "trees": {str(link): str(new)}}
    built = run(deepep.main, {**held, "state": "built"})
    (tree,) = built["ansible_facts"]["sglang_deepep_trees"].values()
    kind = json.loads(Path(tree, ".stack.json").read_text(encoding="utf-8"))["kind"]
    assert (kind["torch"], kind["nvshmem_home"]) == ("2.10.0", f"{new}/site/nvidia/nvshmem")
    link.unlink()
    link.symlink_to(new)
    for trees in ({}, {str(link): str(new)}):
        again = run(deepep.main, {**held, "trees": trees})
        assert (again["key"], again["needed"]) == (built["key"], False)
    # Below a root that is a link itself, too.
    (tmp_path / "alias").symlink_to(tmp_path)
    aliased = {**held, "python": f"{tmp_path}/alias/mine/bin/python", "trees": {}}
    assert run(deepep.main, aliased)["key"] == built["key"]


def service(directory: Path, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a running service that records a link."""
    (directory / "sglang-x.service").write_text("# railyard.sglang: unit of cluster lab, role engine\n", encoding="utf-8")
    script = Path(units.recorder_path("sglang-x.service", str(directory)))
    script.parent.mkdir(exist_ok=True)
    script.write_text(units.recorder([], [], [link]), encoding="utf-8")
    monkeypatch.setattr(units, "DIRECTORY", str(directory))
    running = units.Unit("sglang-x.service", "loaded", "active", "running", True, 1, 0)
    monkeypatch.setattr(units, "show", lambda _run, _name: running)


def test_a_link_of_running_engines_is_left_to_the_stage_engine(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    first = run(deepep.main, {**given, "state": "built"})
    ((link, former),) = first["ansible_facts"]["sglang_deepep_trees"].items()
    (tmp_path / "units").mkdir()
    service(tmp_path / "units", link, monkeypatch)
    kernelkit.write(tmp_path / "cuda", kernelkit.toolkit_files("12.9.90"))
    said = ""
    for check in (True, False):
        built = run(deepep.main, {**given, "state": "built", "keep": 1}, check=check)
        assert (built["changed"], built["held"]) == (True, ["sglang-x.service"])
        assert built["ansible_facts"]["sglang_deepep_trees"][link] != former
        assert Path(link).readlink() == Path(former)
        assert Path(former, ".stack.json").exists()
        said += told(built, capsys)
    # The controller's display shows a warning once.
    assert "sglang-x.service runs with what it points to; the stage engine switches the link" in said
    again = run(deepep.main, given)
    assert (again["changed"], again["needed"]) == (False, False)
    # What runs from the very tree is not replaced under it.
    kernelkit.write(tmp_path / "cuda", kernelkit.toolkit_files("12.9.86"))
    refused = run(deepep.main, {**given, "state": "built", "rebuild": True})
    assert f"sglang-x.service runs with {former}, which is to be built anew. Fix: stop that first" in refused["msg"]
    for check in (True, False):
        assert "sglang-x.service runs with" in run(deepep.main, {"state": "absent", "root": given["root"]}, check=check)["msg"]
    assert Path(former, ".stack.json").exists()


def test_nothing_to_take_away_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "deepep").mkdir()
    (tmp_path / "deepep/mine").symlink_to("/usr")
    for check in (True, False):
        assert not run(deepep.main, {"state": "absent", "root": str(tmp_path)}, check=check)["changed"]


def test_a_toolkit_that_the_same_run_installs_may_be_missing_in_check_mode(given: dict[str, Any]) -> None:
    missing = {**given, "cuda_home": "/nonexistent"}
    predicted = run(deepep.main, {**missing, "cuda_installed": True}, check=True)
    assert (predicted["changed"], predicted["needed"], predicted["key"]) == (False, True, "")
    assert run(deepep.main, {**missing, "cuda_installed": True, "state": "built"}, check=True)["changed"]
    assert "there is no /nonexistent/bin/nvcc" in run(deepep.main, missing, check=True)["msg"]
    assert "there is no /nonexistent/bin/nvcc" in run(deepep.main, {**missing, "cuda_installed": True})["msg"]


needs_make = pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="there is no make or no C compiler")


@needs_make
def test_a_wheel_with_gdrcopy_is_proven_as_without(given: dict[str, Any], tmp_path: Path) -> None:
    wheel = {**given, "way": "wheel", "gdrcopy": True, "state": "built"}
    assert "has not imported deep_ep when it was installed" in run(deepep.main, wheel)["msg"]
    assert not (tmp_path / "root").exists()
    (tmp_path / "stack/.stack.json").write_text(json.dumps({"format": 1, "imports": {"deep_ep": "0.1.2"}}), encoding="utf-8")
    built = run(deepep.main, wheel)
    assert {name: row["version"] for name, row in built["proof"].items()} == {"deep_ep": "0.1.2", "gdrcopy": "2.5.1"}
    assert built["nvshmem"] == "3.3.20"


def test_an_environment_with_its_own_deepep(given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {**given, "way": "own"}
    assert "has no deep_ep. Fix: install it there, or leave sglang_deepep_own out" in run(deepep.main, own)["msg"]
    metadata = {"deep_ep-1.1.0.dist-info/METADATA": "Name: deep_ep\nVersion: 1.1.0\n"}
    kernelkit.write(tmp_path / "stack/site", {"deep_ep/__init__.py": "", **metadata})
    looked = run(deepep.main, own)
    assert looked["proof"]["deep_ep"] == {"version": "1.1.0", "file": f"{tmp_path}/stack/site/deep_ep/__init__.py"}
    assert (looked["changed"], looked["needed"]) == (False, False)
    assert "has a DeepEP of its own (1.1.0)" in told(run(deepep.main, given), capsys)
    (tmp_path / "stack/site/deep_ep/__init__.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    assert "own deep_ep does not import" in run(deepep.main, own)["msg"]


def test_a_carried_archive_goes_whether_it_was_good_or_not(given: dict[str, Any], tmp_path: Path) -> None:
    archive = tmp_path / "carried.tar.gz"
    archive.write_bytes(b"nothing")
    result = run(deepep.main, {**given, "state": "installed", "archive": str(archive), "sha256": "0" * 64})
    assert "run again: it is copied anew" in result["msg"]
    assert not archive.exists()


def test_no_directory_of_the_caller_is_imported_from(given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernelkit.write(tmp_path / "here", {"deep_ep/__init__.py": "", "torch-9.dist-info/METADATA": "Name: torch\nVersion: 9\n"})
    before = run(deepep.main, given)["key"]
    monkeypatch.chdir(tmp_path / "here")
    assert run(deepep.main, given)["key"] == before


def test_packages_are_left_to_the_caller(tmp_path: Path) -> None:
    given = {"recipe": CUDA, "home": str(tmp_path / "none"), "install": "packages"}
    assert run(cuda_toolkit.main, {**given, "defer": True})["missing_packages"] == ["cuda-nvcc-12-9"]
    assert "see whether NVIDIA's repository is configured" in run(cuda_toolkit.main, given)["msg"]
    nothing = {**CUDA, "packages": {"other": ["x"]}}
    assert "no packages of CUDA 12.9 are known" in run(cuda_toolkit.main, {**given, "recipe": nothing, "defer": True})["msg"]


def test_no_archives_for_this_machine(tmp_path: Path) -> None:
    result = run(cuda_toolkit.main, {"recipe": CUDA, "install": "archives", "root": str(tmp_path)})
    assert "there are no archives of CUDA 12.9 for" in result["msg"]
    (tmp_path / "cuda-12.9").symlink_to("/usr")
    for check in (True, False):
        assert not run(cuda_toolkit.main, {"state": "absent", "root": str(tmp_path)}, check=check)["changed"]
