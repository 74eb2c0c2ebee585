# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of the kernels of its ranks: hosts as trees of files, a nvcc that is a script, real directories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import acting, look, store, view
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.errors import CacheError
from ansible_collections.railyard.sglang.plugins.module_utils.model.mounts import parse
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.jitcache.kernels import kernels
from ansible_collections.railyard.sglang.tests.unit.support.described import Described
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

FP8 = {"hidden_size": 7168, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
MOUNTS = "22 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw"
TREE = "sglang-0.5.8-cu12-0f3a5c1d2e4b"


class World:
    """One host with a model, a stack and a compiler."""

    def __init__(self, place: Path, gpus: tuple[str, ...] = ("H100",) * 8) -> None:
        self.place = place
        Described("ubuntu-22.04", gpus, "570.124.06").write(place / "root")
        self.tree(TREE)
        (place / "stack").symlink_to(place / "store" / TREE)
        self.nvcc("12.9")
        self.config(FP8)

    def tree(self, name: str, whole: bool = True) -> str:
        """Make a tree with a Python and return its path."""
        tree = self.place / "store" / name
        (tree / "bin").mkdir(parents=True)
        (tree / "bin/python").symlink_to("/bin/sh")
        if whole:
            (tree / ".stack.json").write_text('{"format": 1}')
        return str(tree)

    def nvcc(self, version: str) -> None:
        path = self.place / "cuda/bin/nvcc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {version}, V{version}.86'\n")
        path.chmod(0o755)

    def config(self, content: Any) -> None:
        (self.place / "model").mkdir(exist_ok=True)
        (self.place / "model/config.json").write_text(content if isinstance(content, str) else json.dumps(content))

    def rank(self, **changes: Any) -> dict[str, Any]:
        path = str(self.place / "caches/deep_gemm")
        deepgemm = {"path": path, "argv": [], "arguments": {"tensor_parallel_size": 8}, "environment": {}, "drafts": [], "certain": True}
        return {
            "instance": "prefill-0", "rank": 0, "nodes": 1, "unit": "sglang-prefill-0.service", "gpus": list(range(8)),
            "stack_link": str(self.place / "stack"), "links": [str(self.place / "stack")], "python": f"{self.place}/stack/bin/python",
            "environment": {"CUDA_HOME": str(self.place / "cuda")},
            "caches": {"directory": str(self.place / "caches"), "variables": {"SGLANG_DG_CACHE_DIR": path}, "deepgemm": deepgemm},
            **changes,
        }

    def host(self, mounts: str = MOUNTS, **changes: Any) -> look.Host:
        def run(command: list[str]) -> tuple[int, str, str]:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr

        given = {"model": str(self.place / "model"), "architectures": ["9.0", "10.0", "10.3"], **changes}
        return look.Host(Root(str(self.place / "root")), parse(mounts), run, **given)

    def row(self, rank: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        return look.rank_row(rank or self.rank(), self.host(**changes))


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_key_of_the_host(world: World) -> None:
    row = world.row()
    assert (row["state"], row["error"], len(row["key"])) == ("missing", "", 16)
    assert {name: row["parts"][name] for name in ("stack", "architectures", "devices", "nvcc")} == {
        "stack": TREE, "architectures": ["9.0"], "devices": ["0x2330"], "nvcc": "12.9",
    }
    assert row["trees"] == {str(world.place / "stack"): str(world.place / "store" / TREE)}
    assert row["partial"] == str(world.place / f"caches/.versions/deep_gemm/.partial/{row['key']}")


def test_whole_and_of_another_compiler(world: World) -> None:
    row = world.row()
    cache = store.CacheStore(row["path"])
    cache.prepare(row["key"], row["parts"])
    kernels(Path(row["partial"]))
    cache.finish(row["key"], row["parts"])
    found = world.row()
    assert (found["state"], found["kernels"], found["key"]) == ("whole", 4, row["key"])
    world.nvcc("13.0")
    found = world.row()
    assert (found["state"], found["differs"]) == ("missing", ["nvcc: 12.9 -> 13.0"])
    rows = {"p0": {"caches": [found], "kept": look.kept(found["path"]), "bytes": look.sizes({"DG": found["path"] + "/"})}}
    text = view.text(rows, ["p1"])
    assert [line.split()[:5] for line in text.splitlines()[2:4]] == [
        ["p0", "prefill-0", found["key"], "missing", "0"], ["p0", "-", row["key"], "whole", "4"],
    ]
    assert "p0: prefill-0: not the key in use: nvcc: 12.9 -> 13.0" in text
    assert "not looked at: p1" in text
    assert json.loads(json.dumps(view.data(rows, ["p1"])))["hosts"]["p0"]["kept"][0]["state"] == "whole"


def test_a_warning_is_shown_and_is_no_problem(world: World) -> None:
    row = {**world.row(), "state": "whole", "warnings": ["/run/x (TRITON_CACHE_DIR) is on tmpfs"]}
    rows = {"p0": {"caches": [row]}}
    assert view.problems(rows) == []
    assert "p0: prefill-0: /run/x (TRITON_CACHE_DIR) is on tmpfs" in view.text(rows, [])


def test_no_caches_at_all() -> None:
    assert view.text({}, []) == "No host of this plan has kernel caches.\n"


UNUSED: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "weights of 16 bits": (("H100",), {"torch_dtype": "bfloat16"}, "no FP8 weights with block scales"),
    "FP8 per tensor": (("H100",), {"quantization_config": {"quant_method": "fp8"}}, "no FP8 weights"),
    "A100": (("A100",), FP8, "8.0 (deepgemm_architectures)"),
    "L40S": (("L40S",), FP8, "8.9 (deepgemm_architectures)"),
}


@pytest.mark.parametrize(("gpus", "config", "why"), UNUSED.values(), ids=UNUSED)
def test_not_used(tmp_path: Path, gpus: tuple[str, ...], config: Any, why: str) -> None:
    world = World(tmp_path, gpus)
    world.config(config)
    (tmp_path / "cuda/bin/nvcc").unlink()
    row = world.row()
    assert (row["state"], row["error"], row["key"]) == ("unused", "", "")
    assert why in row["why"]


def test_the_plan_knows_that_it_is_not_used(world: World) -> None:
    rank = world.rank()
    rank["caches"]["deepgemm"] = None
    assert world.row(rank)["state"] == "unused"
    assert world.row({**rank, "caches": None})["state"] == "unused"


def test_other_gpus_of_the_host_do_not_count(tmp_path: Path) -> None:
    world = World(tmp_path, ("H100", "H100", "B200", "B200"))
    assert world.row(world.rank(gpus=[0, 1]))["parts"]["architectures"] == ["9.0"]
    assert world.row(world.rank(gpus=[2, 3]))["parts"]["architectures"] == ["10.0"]


WRONG: dict[str, tuple[Any, bool, str]] = {
    "no stack": (lambda world: (world.place / "stack").unlink(), True, "is not there. Fix: install the stack first: site.yml --tags stack"),
    "no model": (lambda world: (world.place / "model/config.json").unlink(), True, "provide the model first: site.yml --tags model"),
    "half a model": (lambda world: world.config('{"a"'), True, "cannot be read"),
    "a list": (lambda world: world.config("[]"), False, "holds no map"),
    "no nvcc": (lambda world: (world.place / "cuda/bin/nvcc").unlink(), False, "cuda/bin/nvcc (CUDA_HOME): is not there. Fix: have stage"),
    "a stack without its Python": (lambda world: (world.place / "store" / TREE / "bin/python").unlink(), True, "is not there, and would"),
    "another nvcc": (lambda world: (world.place / "cuda/bin/nvcc").write_text("#!/bin/sh\necho no\n"), False, "its version: no"),
    "a file in its place": (
        lambda world: ((world.place / "caches").mkdir(), (world.place / "caches/deep_gemm").write_text("")), False, "is a file",
    ),
}


@pytest.mark.parametrize(("change", "later", "text"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(world: World, change: Any, later: bool, text: str) -> None:
    change(world)
    row = world.row()
    assert (row["state"], row["later"]) == ("unknown", later)
    assert text in row["error"]
    assert row["path"]
    assert look.kept(row["path"]) == []


def test_no_gpu(tmp_path: Path) -> None:
    assert "no NVIDIA GPU is seen" in World(tmp_path, ()).row()["error"]


def test_a_network_file_system_is_refused_for_every_cache(world: World) -> None:
    mounts = f"{MOUNTS}\n40 22 0:40 / {world.place}/shared rw - nfs4 filer:/x rw"
    rank = world.rank()
    rank["caches"]["variables"]["TRITON_CACHE_DIR"] = f"{world.place}/shared/triton"
    row = world.row(rank, mounts=mounts)
    assert row["error"].startswith(f"TRITON_CACHE_DIR: {world.place}/shared/triton is on nfs4 (filer:/x")
    rank["caches"]["deepgemm"] = None
    assert "is on nfs4" in world.row(rank, mounts=mounts)["error"]


def test_the_stack_of_this_run_in_check_mode(world: World) -> None:
    (world.place / "stack").unlink()
    trees = {str(world.place / "stack"): f"/x/{TREE}"}
    assert world.row(trees=trees, check=True)["parts"]["stack"] == TREE
    assert "stack: is not there" in world.row(trees=trees)["error"]


@pytest.mark.parametrize(("whole", "found"), [(True, "new"), (False, TREE)])
def test_a_tree_that_is_told_counts_where_it_is_whole(world: World, whole: bool, found: str) -> None:
    told = world.tree("new", whole)
    row = world.row(trees={str(world.place / "stack"): told})
    assert row["parts"]["stack"] == found
    assert row["trees"] == {str(world.place / "stack"): str(world.place / "store" / found)}


def test_cuda_that_this_run_would_install(world: World) -> None:
    (world.place / "cuda/bin/nvcc").unlink()
    row = world.row(check=True)
    assert row["later"]
    assert row["error"] == (
        f"{world.place}/cuda/bin/nvcc (CUDA_HOME): is not there. Fix: have stage deepgemm install CUDA (sglang_cuda_install: packages or "
        "archives), or name a toolkit by sglang_cuda_home"
    )


def test_the_tree_of_deepep(world: World) -> None:
    rank = world.rank()
    rank["links"] = [*rank["links"], str(world.place / "deepep")]
    assert "deepep: is not there. Fix: install the deepep first: site.yml --tags deepep" in world.row(rank)["error"]
    tree = world.tree("built")
    (world.place / "deepep").symlink_to(world.tree("older"))
    found = world.row(rank, trees={str(world.place / "deepep"): tree})
    assert found["trees"][str(world.place / "deepep")] == tree
    assert found["key"] == world.row()["key"]


def test_gpus_of_one_capability_differ(tmp_path: Path) -> None:
    rows = [World(tmp_path / name, (name,)).row() for name in ("H100", "H200")]
    assert [row["parts"]["architectures"] for row in rows] == [["9.0"], ["9.0"]]
    assert rows[0]["key"] != rows[1]["key"]


def test_two_keys_at_one_path(world: World) -> None:
    other = world.rank(instance="prefill-1")
    other["caches"]["deepgemm"] = {**other["caches"]["deepgemm"], "arguments": {"tensor_parallel_size": 4}}
    rows = look.rows([world.rank(), other], world.host())
    wanted = [f"{name} needs other kernels at the same path. Fix" for name in ("prefill-1", "prefill-0")]
    assert [row["error"].split(": ")[1] for row in rows] == wanted
    assert [row["error"] for row in look.rows([world.rank(), world.rank(instance="prefill-1")], world.host())] == ["", ""]


def test_a_draft_model_counts(world: World) -> None:
    draft = world.place / "draft"
    draft.mkdir()
    (draft / "config.json").write_text(json.dumps({"hidden_size": 1}))
    rank = world.rank()
    rank["caches"]["deepgemm"] = {**rank["caches"]["deepgemm"], "drafts": [str(draft)]}
    assert world.row(rank)["key"] != world.row()["key"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cuda compilation tools, release 12.9, V12.9.86", "12.9"), ("nvcc: NVIDIA\nBuilt on x\nCuda, release 13.0, V13.0.88\n", "13.0"),
        ("", ""), ("release notes", ""),
    ],
)
def test_release(text: str, found: str) -> None:
    assert look.release(text) == found


def test_the_compiler_is_looked_for_as_torch_does(world: World) -> None:
    own = str(world.place / "cuda/bin/nvcc")
    assert look.nvcc_of({"CUDA_HOME": str(world.place / "cuda"), "PATH": ""})[0] == own
    assert look.nvcc_of({"CUDA_PATH": str(world.place / "cuda")})[0] == own
    assert look.nvcc_of({"PATH": f"/nowhere:{world.place}/cuda/bin"})[0] == own
    assert look.nvcc_of({"DG_JIT_NVCC_COMPILER": own, "CUDA_HOME": "/nowhere"})[0] == own
    assert look.nvcc_of({"CUDA_HOME": "/nowhere", "PATH": f"{world.place}/cuda/bin"}) == ("", "/nowhere/bin/nvcc (CUDA_HOME)")


def test_the_place_of_a_cache_is_the_engines(tmp_path: Path) -> None:
    path = tmp_path / "var/cache/sglang/stack/pool"
    acting.base(str(path), None)
    assert path.is_dir()
    acting.base(str(path), None)
    with acting.acting(None):
        (path / "x").mkdir()


def test_a_user_that_cannot_be_made() -> None:
    with pytest.raises(CacheError, match=r"no-such-user: systemd-sysusers did not create the user: denied"):
        acting.made("no-such-user", "/nowhere", lambda command: (1, "", "denied"))


@pytest.mark.parametrize(
    ("wanted", "devices"), [([0], ["0x2330"]), ([1], ["0x2335"]), ([0, 1], ["0x2330", "0x2335"]), ([7], ["0x2330", "0x2335"])],
)
def test_gpus_are_those_that_a_process_sees(tmp_path: Path, wanted: list[int], devices: list[str]) -> None:
    host = Host(tmp_path)
    for place, (driver, device) in enumerate((("vfio-pci", "0x2901"), ("nvidia", "0x2330"), ("nvidia", "0x2335"))):
        host.gpu(f"1{place}:01.0 2{place}:00.0", driver=driver, device=device)
    assert look.devices_of(Root(str(tmp_path)), wanted) == devices
