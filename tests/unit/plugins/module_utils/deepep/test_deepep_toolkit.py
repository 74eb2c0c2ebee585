# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CUDA toolkits: versions read, faults named, made of archives; and the real nvcc where this machine has one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.recipe import Archive
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import Compiler, HostFacts
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Least
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit

HOME = os.environ.get("RAILYARD_CUDA_HOME", "/usr/local/cuda")
needs_nvcc = pytest.mark.skipif(not os.path.exists(f"{HOME}/bin/nvcc"), reason=f"no nvcc in {HOME}: see RAILYARD_CUDA_HOME")
PRINTED = {
    "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 12.9, V12.9.86\nBuild cuda_12.9.r12.9/x": "12.9.86",
    "Cuda compilation tools, release 13.0, V13.0.88": "13.0.88",
    "Cuda compilation tools, release 11.8, V11.8.89": "11.8.89",
    "gcc (Debian 12.2.0) 12.2.0": "",
    "": "",
}
DEFINED = {
    "#define CUDA_VERSION 12090\n": "12.9", "/* x */\n#define CUDA_VERSION 13000": "13.0", "  # define  CUDA_VERSION 12030": "12.3",
    "#define CUDART_VERSION 13000": "", "": "",
}


@pytest.mark.parametrize("text", PRINTED)
def test_version_of_nvcc(text: str) -> None:
    assert toolkit.parse_version(text) == PRINTED[text]


@pytest.mark.parametrize("text", DEFINED)
def test_version_of_headers(text: str) -> None:
    assert toolkit.header_version(text) == DEFINED[text]


CU12 = Least("12.3", "DeepGEMM", "13")
BLACKWELL = Least("12.9", "code for 10.0")
FAULTS = [
    (toolkit.Toolkit("/c", "12.9.86", "12.9"), [CU12, BLACKWELL], []),
    (toolkit.Toolkit("/c", "12.2.140", "12.2"), [CU12], ["nvcc of /c is 12.2.140; DeepGEMM needs 12.3 or newer"]),
    (toolkit.Toolkit("/c", "13.0.88", "13.0"), [CU12], ["nvcc of /c is 13.0.88; DeepGEMM needs one below 13"]),
    (toolkit.Toolkit("/c", "12.8.93", "12.8"), [CU12, BLACKWELL], ["nvcc of /c is 12.8.93; code for 10.0 needs 12.9 or newer"]),
    (toolkit.Toolkit("/c", "12.9.86", "12.4"), [CU12], ["nvcc of /c is 12.9.86, and its headers are of 12.4"]),
    (toolkit.Toolkit("/c", "12.9.86", "12.9", ("cuda_fp8.h", "nv/target")), [], ["/c/include lacks cuda_fp8.h, nv/target"]),
    (toolkit.Toolkit("/c", problem="there is no /c/bin/nvcc"), [CU12], ["there is no /c/bin/nvcc"]),
    (toolkit.Toolkit("/c", problem="/c/bin/nvcc --version does not end", missing=("cuda.h",)), [CU12],
     ["/c/bin/nvcc --version does not end", "/c/include lacks cuda.h"]),
]


@pytest.mark.parametrize(("there", "wanted", "found"), FAULTS)
def test_what_does_not_fit_is_named(there: toolkit.Toolkit, wanted: list[Least], found: list[str]) -> None:
    assert toolkit.faults(there, wanted) == found


def test_a_directory_is_looked_at(tmp_path: Path) -> None:
    home = kernelkit.write(tmp_path / "cuda", kernelkit.toolkit_files("12.9.86"))
    assert toolkit.inspect(str(home)) == toolkit.Toolkit(str(home), "12.9.86", "12.9")
    (home / "include/cuda_fp8.h").unlink()
    (home / "include/nv/target").unlink()
    kernelkit.write(home, {"include/cccl/nv/target": ""})
    assert toolkit.inspect(str(home)).missing == ("cuda_fp8.h",)
    (home / "bin/nvcc").write_text("#!/bin/sh\necho broken >&2\nexit 3\n", encoding="utf-8")
    assert toolkit.inspect(str(home)).problem.endswith("--version says: broken")
    assert toolkit.inspect(str(tmp_path / "none")).problem == f"there is no {tmp_path}/none/bin/nvcc"


def test_headers_that_flashinfer_includes_are_looked_for(tmp_path: Path) -> None:
    home = kernelkit.write(tmp_path / "cuda", kernelkit.toolkit_files("12.9.86"))
    (home / "include/curand_kernel.h").unlink()
    assert toolkit.faults(toolkit.inspect(str(home)), []) == [f"{home}/include lacks curand_kernel.h"]


def test_the_toolkit_that_programs_find_comes_first() -> None:
    facts = HostFacts("x86_64", "debian-12", "Debian", compilers=(Compiler("/usr/local/cuda-12.9", "12.9"),))
    assert toolkit.usual(facts) == "/usr/local/cuda-12.9"
    assert toolkit.usual(replace(facts, compilers=())) == toolkit.USUAL


def archives(base: Path, version: str = "12.9.86") -> list[Archive]:
    """Return a toolkit in two archives, compiler and headers."""
    files = kernelkit.toolkit_files(version)
    base.mkdir(exist_ok=True)
    rows = []
    for name, part in (("nvcc", ["bin/nvcc"]), ("headers", [path for path in files if path.startswith("include")])):
        sha256 = kernelkit.pack(base / f"{name}.tar.gz", {path: files[path] for path in part} | {"lib/x": name}, top=f"{name}-archive")
        rows.append(Archive(f"{name}.tar.gz", f"https://archive.example/{name}.tar.gz", sha256))
    return rows


def test_a_toolkit_is_made_of_archives_and_taken_away(tmp_path: Path) -> None:
    rows, root = archives(tmp_path / "sources"), tmp_path / "root"
    assert toolkit.install(root, "12.9", rows, tmp_path / "sources", check=True)
    assert not root.exists()
    assert toolkit.install(root, "12.9", rows, tmp_path / "sources")
    assert not toolkit.install(root, "12.9", rows, tmp_path / "sources")
    assert not toolkit.install(root, "12.9", rows, tmp_path / "sources", check=True)
    home = root / "cuda-12.9"
    assert toolkit.faults(toolkit.inspect(str(home)), [CU12]) == []
    assert os.readlink(home / "lib64") == "lib"
    (root / "cuda-mine").mkdir()
    (root / "cuda-11.8").symlink_to("/usr")
    (root / "store/sglang-x-0123456789ab").mkdir()
    assert toolkit.install(root, "13.0", archives(tmp_path / "newer", "13.0.88"), tmp_path / "newer")
    gone = [Path(path).name[:9] for path in toolkit.remove(root)]
    assert gone == ["cuda-12.9", "cuda-13.0", ".cuda-12.", ".cuda-13.", "cuda-12.9", "cuda-13.0"]
    assert sorted(path.name for path in root.iterdir()) == ["cuda-11.8", "cuda-mine", "store"]
    assert [path.name for path in (root / "store").iterdir()] == ["sglang-x-0123456789ab"]
    assert toolkit.remove(root) == []


def test_archives_that_are_not_the_named_ones_are_refused(tmp_path: Path) -> None:
    rows, root = archives(tmp_path / "sources"), tmp_path / "root"
    path = tmp_path / "sources" / "headers.tar.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StackError, match=r"headers\.tar\.gz is not what the recipe names"):
        toolkit.install(root, "12.9", rows, tmp_path / "sources")
    path.unlink()
    with pytest.raises(StackError, match=r"there is no .*headers\.tar\.gz. Fix: put headers\.tar\.gz there \(https://archive\.example"):
        toolkit.install(root, "12.9", rows, tmp_path / "sources")
    assert not (root / "cuda-12.9").is_symlink()
    assert not list((root / "store").glob("cuda-*"))


def test_a_kill_at_any_time_leaves_no_half_toolkit(tmp_path: Path) -> None:
    rows, root = archives(tmp_path / "sources"), tmp_path / "root"
    place = toolkit.place_of(root, "12.9", rows)
    place.tree.mkdir(parents=True)
    (place.tree / "bin").mkdir()
    (place.tree / "bin/nvcc").write_text("half", encoding="utf-8")
    assert toolkit.install(root, "12.9", rows, tmp_path / "sources")
    assert toolkit.inspect(str(root / "cuda-12.9")).nvcc == "12.9.86"


def test_another_release_is_switched_to_by_the_link(tmp_path: Path) -> None:
    root = tmp_path / "root"
    toolkit.install(root, "12.9", archives(tmp_path / "a", "12.9.41"), tmp_path / "a")
    first = os.readlink(root / "cuda-12.9")
    toolkit.install(root, "12.9", archives(tmp_path / "b"), tmp_path / "b")
    assert os.readlink(root / "cuda-12.9") != first
    assert toolkit.inspect(str(root / "cuda-12.9")).nvcc == "12.9.86"


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    from ansible_collections.railyard.sglang.plugins.module_utils.deepep import running

    begin = time.monotonic()
    assert running.run(["/bin/sh", "-c", "sleep 60 & sleep 60"], {}, 0.5) == (running.HANGS, "")
    assert time.monotonic() - begin < 20
    assert running.run(["/nonexistent/nvcc"], {}, 5)[0] == running.NOT_FOUND


@needs_nvcc
def test_the_real_nvcc_compiles_for_the_gpus_that_deepep_knows() -> None:
    # Packages of nvcc alone do not bring cuRAND.
    there = replace(toolkit.inspect(HOME), missing=())
    assert toolkit.faults(there, [Least("12.3", "this test")]) == []
    assert toolkit.trial(HOME, ["9.0", "10.0"]) == ""
    assert "does not compile for 5.2" in toolkit.trial(HOME, ["5.2"])


def test_killing_the_caller_frees_the_lock_only_when_the_compiler_has_ended(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.railyard.sglang.plugins.module_utils.deepep import running\n"
        "from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import hold\n"
        "with hold(Path(sys.argv[1]), 5, 'test') as lock:\n"
        "    running.run(['/bin/sh', '-c', f'touch {sys.argv[1]}.runs; sleep 3'], {}, 60, None, lock)\n"
    )
    lock = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", program, str(lock)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    until = time.monotonic() + 30
    while not Path(f"{lock}.runs").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import hold

    with pytest.raises(StackError, match="another run holds"), hold(lock, 0.2, "test"):
        pass
    with hold(lock, 20, "test"):
        pass
