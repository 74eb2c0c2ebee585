# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of failures that show before an engine runs, and what catches each: rules of the plan, rules of the host checks, stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import Rule


@dataclass(frozen=True)
class Signature:
    """One signature.

    :ivar blocks: whether the cluster does not start by it; otherwise it runs worse without a word.
    :ivar text: what is seen of it.
    :ivar plan: rules of the plan that catch it on the controller, before a host is reached.
    :ivar more: what else does.
    """

    id: str
    blocks: bool
    text: str
    plan: Tuple[str, ...] = ()
    more: str = ""


def _signature(key: str, kind: str, text: str, plan: str = "", more: str = "") -> Tuple[str, Signature]:
    return key, Signature(key, kind == "F", text, tuple(plan.split()), more)


# In the order of their numbers. What the plan can tell from the inventory alone is not looked for again on the hosts.
SIGNATURES: Dict[str, Signature] = dict(
    (
        _signature("D01", "F", "launch_server.py: error: unrecognized arguments",
                   "argument.unknown argument.other-version argument.other-engine argument.abbreviation"),
        _signature("D09", "F", "open: Address family not supported by protocol"),
        _signature("D10", "F", "Failed to register memory: Bad address, Invalid argument"),
        _signature("D11", "F", "modprobe nvidia_peermem: Invalid argument"),
        _signature("D12", "F", "DMA BUF supported required; Failed to open device with GID 3"),
        _signature("D13", "D", "expandable segments of PyTorch's allocator with registered memory", "environment.dangerous"),
        _signature("D14", "F", "Failed to modify QP to RTR: Connection timed out; a GID that begins with fe80 or is zero",
                   "environment.gid-index"),
        _signature("D15", "F", "ibv_modify_qp failed with 110 between rails that are not routed",
                   "rails.differ rdma.cross-nic rdma.devices-differ", "comparison of hosts; fabric test"),
        _signature("D16", "D", "NCCL takes mlx5_10 where mlx5_1 was listed", "environment.hca-prefix"),
        _signature("D17", "F", "Invalid IB devices specified, Duplicate IB devices specified",
                   "rdma.form rdma.twice rdma.map-incomplete rdma.device-unknown"),
        _signature("D21", "F", "GLIBCXX_3.4.30 not found"),
        _signature("D22", "F", "common_ops.abi3.so: undefined symbol", "",
                   "stage stack imports what it installs, each module in a process of its own"),
        _signature("D23", "D", "an installation replaced NCCL or cuDNN", "", "stage stack compares what is installed with its lock"),
        _signature("D26", "F", "compile_deep_gemm: CUDA out of memory, for lack of --tp", "argument.typed",
                   "the plan writes tp, and stage deepgemm compiles with the arguments of serving"),
        _signature("D27", "F", "NVSHMEM: No devices selected, not enumerated as an mlx5 device", "deepep.hca-prefix environment.dangerous"),
        _signature("D28", "F", "cannot allocate mlx5dv_devx_uar, GPU cannot map UAR of device", "deepep.hosts"),
        _signature("D29", "F", "assert num_max_dispatch_tokens_per_rank", "deepep.dispatch-tokens"),
        _signature("D30", "F", "reg_mr, create_cq, create_qp: Cannot allocate memory"),
        _signature("D31", "F", "Error 802: system not yet initialized; NVLS multicast; NCCL hangs after Init COMPLETE"),
        _signature("D32", "D", "every path is NODE, one NUMA node on two sockets", "environment.dangerous"),
        _signature("D33", "D", "GPUDirect at a fraction of the line rate"),
    )
)


def catchers(rules: Mapping[str, Rule]) -> Dict[str, List[str]]:
    """Return signature to the rules of the host checks that catch it."""
    return {key: [rule.id for rule in rules.values() if key in rule.failures] for key in SIGNATURES}


def _table(header: Tuple[str, ...], rows: Sequence[Tuple[str, ...]]) -> List[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]


def document(rules: Mapping[str, Rule]) -> str:
    """Return the tables of the page of host checks, in Markdown."""
    by_rule = [
        (f"`{rule.id}`", rule.severity, " ".join(rule.failures) or "-", rule.stage, rule.text, rule.evidence) for rule in rules.values()
    ]
    caught = catchers(rules)
    by_failure = [
        (
            row.id, "blocks" if row.blocks else "degrades", row.text, ", ".join(f"`{name}`" for name in row.plan) or "-",
            ", ".join(f"`{name}`" for name in caught[row.id]) or "-", row.more or "-",
        )
        for row in SIGNATURES.values()
    ]
    lines = ["## Rules", ""]
    lines += _table(("rule", "severity", "catches", "else seen in", "what must hold", "known from"), by_rule)
    lines += ["## Failures that they are for", ""]
    lines += _table(("failure", "it", "what is seen of it", "rules of the plan", "rules of the host", "besides"), by_failure)
    return "\n".join(lines)
