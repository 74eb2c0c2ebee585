# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each stack is to the plan: the parser it has, the device it runs on, and what that device needs.

The packages of a stack are the business of the role stack; here is only what reaches a command line or an environment.
CPU values: found by running sglang 0.5.8 on a host without a GPU (torch-native attention, no CUDA graph).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EngineStack:
    """An engine stack.

    :ivar flags: name of its option table.
    :ivar version: of SGLang.
    :ivar device: V(cpu), V(cuda), V(rocm) or V(npu).
    :ivar arguments: arguments that the device needs, by dest; an operator's value wins.
    :ivar environment: environment that the device needs, with a reason for each.
    :ivar backends: KV transfer backends of this version on this device, the usual one first.
    :ivar installable: whether this version of the collection installs it; the others can be planned only.
    :ivar mooncake: version of Mooncake that comes with the stack, empty where it is not known.
    :ivar cuda: version of the toolkit that its compilers at run time are of, empty where it needs none.
    :ivar deepep: how DeepEP gets to it: V(source) is built by the stage deepep, V(wheel) is one of its packages; empty: not at all.
    :ivar unverified: what could not be tried without the hardware, for the plan to say.
    """

    name: str
    flags: str
    version: str
    device: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, tuple[str, str]] = field(default_factory=dict)
    backends: tuple[str, ...] = ("mooncake", "nixl")
    installable: bool = False
    unverified: str = ""
    mooncake: str = ""
    cuda: str = ""
    deepep: str = ""

    @property
    def nixl_devices(self) -> bool:
        """Whether NIXL reads --disaggregation-ib-device: that of 0.5.8 follows UCX_NET_DEVICES only."""
        return self.version != "0.5.8"

    @property
    def router(self) -> str:
        """The router stack of its time: sglang-router ended with 0.3.2, and 0.5.23 names smg."""
        return "sglang-router-0.3.2" if self.version == "0.5.8" else "smg-1.13.0"

    @property
    def argument_file(self) -> bool:
        """Whether arguments go into a file for --config: 0.5.23 refuses 16 options there."""
        return self.version == "0.5.8"


@dataclass(frozen=True)
class RouterStack:
    """A router stack: the Python module that launches it and its option table."""

    name: str
    flags: str
    module: str
    installable: bool = False


CPU_ENVIRONMENT = {
    "SGLANG_USE_CPU_ENGINE": ("1", "the stack has no CUDA kernels"),
    "MC_FORCE_TCP": ("1", "a CPU host has no RDMA device: Mooncake moves the KV cache over TCP"),
    "TORCHDYNAMO_DISABLE": ("1", "there is no compiler on the host"),
    "OMP_NUM_THREADS": ("1", "several ranks share few cores"),
}
CPU_ARGUMENTS = {
    "device": "cpu",
    "attention_backend": "torch_native",
    "sampling_backend": "pytorch",
    "grammar_backend": "none",
    "disable_overlap_schedule": True,
    "disable_cuda_graph": True,
    "skip_server_warmup": True,
    "sleep_on_idle": True,
}
NO_GPU = "planned from the sources of this version and the real argument parser; not run on such GPUs by us"
# Backends of a version: sglang server_args.py DISAGG_TRANSFER_BACKEND_CHOICES.
BACKENDS_0_5_23 = ("mooncake", "nixl", "mooncake_tcp")

ENGINES = {
    stack.name: stack
    for stack in (
        EngineStack(
            "sglang-0.5.8-cpu", "sglang-0.5.8", "0.5.8", "cpu", CPU_ARGUMENTS, CPU_ENVIRONMENT, installable=True,
            mooncake="0.3.13.post1",
        ),
        # The official image of 0.5.8.
        EngineStack(
            "sglang-0.5.8-cu12", "sglang-0.5.8", "0.5.8", "cuda", unverified=NO_GPU, mooncake="0.3.8.post1", installable=True,
            cuda="12.9", deepep="source",
        ),
        # The same with a Mooncake whose wheel imports on RHEL 8 and 9.
        EngineStack(
            "sglang-0.5.8-cu12-el9", "sglang-0.5.8", "0.5.8", "cuda", unverified=NO_GPU, mooncake="0.3.13.post1", installable=True,
            cuda="12.9", deepep="source",
        ),
        EngineStack("sglang-0.5.8-cu13", "sglang-0.5.8", "0.5.8", "cuda", unverified=NO_GPU, cuda="13.0", deepep="source"),
        EngineStack("sglang-0.5.8-rocm", "sglang-0.5.8", "0.5.8", "rocm", unverified=NO_GPU),
        EngineStack("sglang-0.5.8-ascend", "sglang-0.5.8", "0.5.8", "npu", {"device": "npu"}, backends=("ascend",), unverified=NO_GPU),
        EngineStack(
            "sglang-0.5.23-cpu", "sglang-0.5.23", "0.5.23", "cpu",
            {**CPU_ARGUMENTS, "disaggregation_decode_retraction_backup": "cpu_tensor"}, CPU_ENVIRONMENT,
            # Its lock has no NIXL.
            backends=("mooncake", "mooncake_tcp"), installable=True, mooncake="0.3.13.post1",
        ),
        EngineStack(
            "sglang-0.5.23-cu13", "sglang-0.5.23", "0.5.23", "cuda", backends=BACKENDS_0_5_23, unverified=NO_GPU, mooncake="0.3.13.post1",
            installable=True, cuda="13.0", deepep="wheel",
        ),
        EngineStack("sglang-0.5.23-rocm", "sglang-0.5.23", "0.5.23", "rocm", backends=(*BACKENDS_0_5_23, "mori"), unverified=NO_GPU),
        EngineStack("sglang-0.5.23-ascend", "sglang-0.5.23", "0.5.23", "npu", {"device": "npu"}, backends=("ascend",), unverified=NO_GPU),
    )
}

ROUTERS = {
    stack.name: stack
    for stack in (
        RouterStack("sglang-router-0.3.2", "sglang-router-0.3.2", "sglang_router.launch_router", installable=True),
        RouterStack("smg-1.13.0", "smg-1.13.0", "smg.launch_router", installable=True),
    )
}
