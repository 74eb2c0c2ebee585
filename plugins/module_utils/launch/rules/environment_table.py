# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of environment variables, held against what an operator wrote and what every process will see."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import environment, looked, variables
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables import Context, Verdict
from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables_together import together
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OF_ONE_HOST = "sglang_host_env."
# Libraries of an engine that a router does not load.
ENGINE_ONLY = ("SGL_", "NCCL_", "MC_", "NVSHMEM_", "GLOO_", "UCX_", "CUDA_", "PYTORCH_", "DG_", "MOONCAKE_", "TORCH_", "HCCL_", "HIP_")
# Of the router's own runtime.
ROUTER_OWN = ("RUST_", "OTEL_")
# What can be said of a variable without knowing what the process is.
OF_ANY_PROCESS = ("environment.unknown", "environment.value", "environment.dangerous", "environment.renamed")


def check(contract: Contract, findings: Findings) -> None:
    """Report what the table says of the engines' and the router's environment."""
    _check_written(contract, findings)
    _check_together(contract, findings)
    _check_router(contract, findings)


def context(contract: Contract, rank: Rank) -> Context:
    """Return what the process of a rank is and uses."""
    row = contract.cluster.hosts[rank.host]
    devices = row["sglang_rdma_devices"] or row["sglang_rdma_device_map"] or contract.value(rank, "disaggregation-ib-device")
    rdma = looked.wanted(contract.cluster.variables, contract.engine)
    exchange = str(contract.value(rank, "moe-a2a-backend"))
    uses = {
        "rdma": rdma and (bool(devices) or bool({"NCCL_IB_HCA", "NCCL_IB_GID_INDEX"} & set(rank.environment))),
        "deepep": exchange.startswith("deepep"),
        "hicache": bool(contract.value(rank, "enable-hierarchical-cache")),
    }
    backend = contract.cluster.variables["sglang_transfer_backend"] if rank.instance.mode != "plain" else "none"
    return Context(
        engine=contract.engine.version, backend=backend, device=contract.engine.device, multi_host=rank.instance.nodes > 1,
        uses=frozenset(name for name, used in uses.items() if used), mooncake=contract.engine.mooncake,
    )


def written(rank: Rank) -> dict[str, str]:
    """Return the environment variables that an operator wrote for a rank: name to inventory variable."""
    return {name: variable for name, variable in rank.written.items() if variable.endswith(f"env.{name}")}


def _check_written(contract: Contract, findings: Findings) -> None:
    """Once for each place where a variable is written, not for each rank that sees it."""
    places: dict[tuple[str, str, Verdict], list[str]] = {}
    for rank in contract.ranks:
        seen = context(contract, rank)
        for name, variable in written(rank).items():
            if name not in rank.environment:
                continue  # Taken back.
            host = rank.host if variable.startswith(OF_ONE_HOST) else ""
            for verdict in variables.judge(name, rank.environment[name], seen):
                places.setdefault((variable, host, verdict), []).append(rank.instance.name)
    for (variable, host, verdict), names in places.items():
        place = names[0] if len(set(names)) == 1 else ""
        findings.add(verdict.rule, variable, verdict.text, verdict.fix, host, severity=verdict.severity, place=place)


def blame(text: str, given: Mapping[str, str], env: Mapping[str, str]) -> str:
    """Return the inventory variable behind what was said of several variables: one that is named there and written."""
    names = WORD.findall(text)
    for name in names:
        if name in given:
            return given[name]
    return "sglang_env." + next((name for name in names if name in env or name.isupper()), names[0])


def _check_together(contract: Contract, findings: Findings) -> None:
    for rank in contract.ranks:
        devices = environment.known_devices(contract.cluster.hosts[rank.host])
        for verdict in together(rank.environment, context(contract, rank), devices):
            variable = blame(verdict.text, written(rank), rank.environment)
            host = rank.host if variable.startswith(OF_ONE_HOST) else ""
            findings.add(verdict.rule, variable, verdict.text, verdict.fix, host, severity=verdict.severity, place=rank.instance.name)


def _check_router(contract: Contract, findings: Findings) -> None:
    """A router's process is neither an engine nor a GPU's: only what holds for any process is said of it."""
    given = contract.cluster.router["env"]
    process = Context(engine=contract.engine.version, backend="none", device="cpu")
    for router in contract.routers[:1]:
        for name in given:
            value = router["environment"].get(name)
            if value is None or name.startswith(ROUTER_OWN):
                continue
            if name.startswith(ENGINE_ONLY):
                findings.add(
                    "environment.never-read", f"sglang_router.env.{name}", "belongs to the engines: a router does not read it",
                    "harmless; remove it, or write it in sglang_env", severity="note", place="router",
                )
                continue
            for verdict in variables.judge(name, value, process):
                if verdict.rule in OF_ANY_PROCESS:
                    findings.add(
                        verdict.rule, f"sglang_router.env.{name}", verdict.text, verdict.fix, severity=verdict.severity, place="router",
                    )
