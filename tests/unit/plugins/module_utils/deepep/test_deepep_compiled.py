# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real nvcc makes of it: kernels by the role's own command, and DeepEP and gdrcopy themselves where their archives are at hand.

RAILYARD_DEEPEP_SOURCES names a directory with the archives of the recipe. RAILYARD_DEEPEP_PYTHON names an interpreter whose environment
has torch for CUDA, setuptools, ninja and NVSHMEM; RAILYARD_DEEPEP_INCLUDE a directory with infiniband/mlx5dv.h where the system has none.
No GPU is needed, and none is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build, kind, recipe, toolkit
from ansible_collections.railyard.sglang.plugins.module_utils.deepep.running import run
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import read_marker
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit

HOME = os.environ.get("RAILYARD_CUDA_HOME", "/usr/local/cuda")
SOURCES, PYTHON = os.environ.get("RAILYARD_DEEPEP_SOURCES", ""), os.environ.get("RAILYARD_DEEPEP_PYTHON", "")
INCLUDE = os.environ.get("RAILYARD_DEEPEP_INCLUDE", "/usr/include")
RECIPE = Path(__file__).resolve().parents[5] / "roles/stack/files/deepep-9af0e0d0.yml"
needs_nvcc = pytest.mark.skipif(not os.path.exists(f"{HOME}/bin/nvcc"), reason=f"no nvcc in {HOME}: see RAILYARD_CUDA_HOME")
needs_sources = pytest.mark.skipif(not SOURCES, reason="no archives of the recipe: RAILYARD_DEEPEP_SOURCES names their directory")
needs_python = pytest.mark.skipif(not PYTHON, reason="there is no torch for CUDA: RAILYARD_DEEPEP_PYTHON names an interpreter that has it")
needs_headers = pytest.mark.skipif(
    not os.path.exists(f"{INCLUDE}/infiniband/mlx5dv.h"), reason="no infiniband/mlx5dv.h: RAILYARD_DEEPEP_INCLUDE names its directory"
)
needs_make = pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="there is no make or no C compiler")
# The features that kernels of an exchange of experts take: types of 8 and 16 bits, launches in clusters, system-wide atomics, inline PTX.
KERNEL = """
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include "layout.h"
template <int kRanks> __global__ void count(const int64_t *expert, int *tokens, int number) {
    __shared__ int shared[kRanks];
    if (threadIdx.x < kRanks) shared[threadIdx.x] = 0;
    __syncthreads();
    for (int row = blockIdx.x * blockDim.x + threadIdx.x; row < number; row += gridDim.x * blockDim.x)
        atomicAdd_block(shared + expert[row] % kRanks, 1);
    __syncthreads();
    if (threadIdx.x < kRanks) atomicAdd_system(tokens + threadIdx.x, shared[threadIdx.x]);
    asm volatile("fence.acq_rel.sys;" ::: "memory");
}
__global__ void pack(const __nv_bfloat16 *in, __nv_fp8_storage_t *out, float scale) {
    out[threadIdx.x] = __nv_cvt_float_to_fp8(__bfloat162float(in[threadIdx.x]) * scale, __NV_SATFINITE, __NV_E4M3);
}
cudaError_t launch(const int64_t *expert, int *tokens, int number, cudaStream_t stream) {
    cudaLaunchAttribute attribute[1];
    attribute[0].id = cudaLaunchAttributeCooperative;
    attribute[0].val.cooperative = 1;
    cudaLaunchConfig_t config = {dim3(8), dim3(BLOCK), 0, stream, attribute, 1};
    return cudaLaunchKernelEx(&config, count<8>, expert, tokens, number);
}
"""


def real_job(base: Path, python: str, architectures: tuple[str, ...] = ("9.0",), **more: bool) -> build.Job:
    """Return a build by the collection's recipe."""
    data = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    environment = kind.environment_of(python, "the test")
    own = kind.Kind(
        recipe=kind.recipe_id(data), gdrcopy=more.get("gdrcopy", False), deepep=more.get("kernels", True), architectures=architectures,
        nvcc=toolkit.inspect(HOME).nvcc, torch=environment.torch, python=environment.abi, nvshmem=environment.nvshmem,
        nvshmem_home=environment.nvshmem_home, system="debian-12", glibc="2.36", machine="x86_64",
    )
    return build.Job(
        base, "sglang-x", own, recipe.parse_deepep(data), environment, python, HOME, [INCLUDE] if INCLUDE != "/usr/include" else [],
        Path(SOURCES), kernels=more.get("kernels", True),
    )


def shown(path: Path) -> str:
    return subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout


@needs_nvcc
@pytest.mark.parametrize(
    "architectures",
    [("9.0",), pytest.param(("9.0", "10.0"), marks=pytest.mark.full), pytest.param(("10.0", "10.3"), marks=pytest.mark.full)],
)
def test_the_command_of_the_probe_compiles_kernels(tmp_path: Path, architectures: tuple[str, ...]) -> None:
    job = kernelkit.job(tmp_path)
    job = replace(job, cuda_home=HOME, kind=replace(job.kind, architectures=architectures))
    source = kernelkit.write(tmp_path / "source", {"csrc/probe.cu": KERNEL, "csrc/layout.h": "#include <cstdint>\n#define BLOCK 256\n"})
    job.place.work.mkdir(parents=True)
    status, output = run(build.commands(job, tmp_path / "out")["probe"], job.variables(), 300, source)
    assert status == 0, output
    assert (job.place.work / "probe.o").stat().st_size > 1000
    kernelkit.write(source, {"csrc/layout.h": "#error no such thing\n"})
    status, output = run(build.commands(job, tmp_path / "out")["probe"], job.variables(), 300, source)
    assert status != 0
    assert "no such thing" in output


@pytest.mark.full
@needs_sources
@needs_make
def test_gdrcopy_itself_is_built(tmp_path: Path) -> None:
    job = real_job(tmp_path, str(kernelkit.stack(tmp_path / "stack")), gdrcopy=True, kernels=False)
    assert build.make(job)
    assert "libgdrapi.so.2" in shown(job.place.tree / "lib" / "libgdrapi.so.2")


@pytest.mark.full
@needs_nvcc
@needs_sources
def test_a_kernel_of_deepep_is_compiled_without_torch(tmp_path: Path) -> None:
    from ansible_collections.railyard.sglang.plugins.module_utils.deepep.unpack import unpack

    job = real_job(tmp_path, str(kernelkit.stack(tmp_path / "stack")), ("9.0", "10.0"))
    source = job.place.work / "deepep"
    unpack(build.obtain(job, job.recipe.source), source, job.subject)
    status, output = run(build.commands(job, tmp_path / "out")["probe"], job.variables(), 600, source)
    assert status == 0, output


@pytest.mark.full
@needs_nvcc
@needs_sources
@needs_python
@needs_headers
def test_deepep_itself_is_built_proven_and_carried(tmp_path: Path) -> None:
    job = real_job(tmp_path / "one", PYTHON)
    assert build.make(job)
    marker = read_marker(job.place.tree)
    assert marker is not None
    assert marker["proof"]["deep_ep"]["version"] == "1.2.1"
    assert all(path.startswith(os.path.realpath(job.environment.nvshmem_home)) for path in marker["proof"]["deep_ep"]["nvshmem"])
    (extension,) = job.place.tree.glob("deep_ep_cpp*.so")
    assert f"[{job.environment.nvshmem_home}/lib]" in shown(extension)
    text = (job.place.tree / "deep_ep" / "__init__.py").read_text(encoding="utf-8")
    assert "deep_ep_cpp" in text
    offer = build.offer(job)
    other = real_job(tmp_path / "two", PYTHON)
    assert build.make(other, Path(offer["path"]), offer["sha256"], "p0")
    assert (read_marker(other.place.tree) or {})["files"] == marker["files"]
