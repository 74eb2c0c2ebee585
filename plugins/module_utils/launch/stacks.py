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
    :ivar device: V(cpu) or V(cuda).
    :ivar arguments: arguments that the device needs, by dest; an operator's value wins.
    :ivar environment: environment that the device needs, with a reason for each.
    """

    name: str
    flags: str
    device: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RouterStack:
    """A router stack: the Python module that launches it and its option table."""

    name: str
    flags: str
    module: str


ENGINES = {
    stack.name: stack
    for stack in (
        EngineStack(
            name="sglang-0.5.8-cpu",
            flags="sglang-0.5.8",
            device="cpu",
            arguments={
                "device": "cpu",
                "attention_backend": "torch_native",
                "sampling_backend": "pytorch",
                "grammar_backend": "none",
                "disable_overlap_schedule": True,
                "disable_cuda_graph": True,
                "skip_server_warmup": True,
                "sleep_on_idle": True,
            },
            environment={
                "SGLANG_USE_CPU_ENGINE": ("1", "the stack has no CUDA kernels"),
                "MC_FORCE_TCP": ("1", "a CPU host has no RDMA device: Mooncake moves the KV cache over TCP"),
                "TORCHDYNAMO_DISABLE": ("1", "there is no compiler on the host"),
                "OMP_NUM_THREADS": ("1", "several ranks share few cores"),
            },
        ),
    )
}

ROUTERS = {
    stack.name: stack
    for stack in (
        RouterStack(name="sglang-router-0.3.2", flags="sglang-router-0.3.2", module="sglang_router.launch_router"),
    )
}
