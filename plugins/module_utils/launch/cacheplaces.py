# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an engine keeps what is compiled while it runs: for each stack and pool a directory of its own, kept over restarts.

Evidence: layers/deep_gemm_wrapper/compile_utils.py of sglang (SGLANG_DG_CACHE_DIR, below HOME where it is not set), jit/env.py of
FlashInfer (FLASHINFER_WORKSPACE_BASE, else HOME), torch/_inductor (TORCHINDUCTOR_CACHE_DIR; by default below the temporary directory,
which is private to a unit and gone with it), documentation of Triton (TRITON_CACHE_DIR) and CUDA (CUDA_CACHE_PATH).
"""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

# The CacheDirectory of the units.
BASE = "/var/cache/sglang"
KERNELS = "SGLANG_DG_CACHE_DIR"
# Variable: directory, of what, on which devices.
PLACES = {
    "CUDA_CACHE_PATH": ("cuda", "what the driver compiles from PTX", ("cuda",)),
    "FLASHINFER_WORKSPACE_BASE": ("flashinfer", "kernels that FlashInfer compiles", ("cuda",)),
    KERNELS: ("deep_gemm", "DeepGEMM kernels", ("cuda",)),
    "TORCHINDUCTOR_CACHE_DIR": ("inductor", "what torch.compile makes", ("cuda", "rocm")),
    "TRITON_CACHE_DIR": ("triton", "kernels of Triton", ("cuda", "rocm")),
}


def directory(instance: Instance, rank: int, stack: EngineStack) -> str:
    """Return the directory of all caches of a rank.

    Instances of a pool share it. One with arguments or variables of its own needs other kernels, and so do the stages of a pipeline.
    """
    own = any(instance.launch[kind][1] for kind in ("args", "env") if kind in instance.launch)
    name = instance.name if own else instance.pool
    return f"{BASE}/{stack.name}/{name}" + (f"-stage{rank}" if instance.sizes.pp > 1 else "")


def environment(instance: Instance, rank: int, stack: EngineStack) -> dict[str, tuple[str, str]]:
    """Return the variables that name the caches, each with its reason."""
    base = directory(instance, rank, stack)
    return {
        name: (f"{base}/{folder}", f"{what}, kept over restarts, for this stack and pool alone")
        for name, (folder, what, devices) in PLACES.items() if stack.device in devices
    }
