# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what means prefill and decode move the KV cache, and how they mark its packets: environment that both must have alike."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules.parity import pairs
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# What both sides of a transfer must have alike: variable to the transfer backend that reads it and what unset means.
TRANSPORT = {
    "MC_FORCE_TCP": ("mooncake", ""),
    "MC_FORCE_MNNVL": ("mooncake", ""),
    "SGLANG_MOONCAKE_CUSTOM_MEM_POOL": ("mooncake", "FALSE"),
    "SGLANG_DISAGGREGATION_NIXL_BACKEND": ("nixl", "UCX"),
}
PRESENCE = ("MC_FORCE_TCP", "MC_FORCE_MNNVL")
# Of the KV cache transfer; NCCL and NVSHMEM stay inside of an instance.
OF_TRANSFER = {"mooncake": ("MC_IB_TC", "MC_IB_SL"), "nixl": ("UCX_IB_TRAFFIC_CLASS", "UCX_IB_SL")}
OF_INSTANCE = ("NCCL_IB_TC", "NCCL_IB_SL", "NVSHMEM_IB_TRAFFIC_CLASS", "NVSHMEM_IB_SL")


def check(contract: Contract, findings: Findings) -> None:
    """Report pools whose transfers do not go together."""
    _check_transport(contract, findings)
    _check_marks(contract, findings)


def _written(ranks: tuple[Rank, ...], name: str) -> str:
    """Return the variable to blame for a difference of the environment: the pool's before the cluster's."""
    written = [variable for rank in ranks if (variable := rank.written.get(name))]
    return next((variable for variable in written if variable.startswith("sglang_pools")), written[0] if written else f"sglang_env.{name}")


def _variable(name: str) -> Callable[[Rank], str]:
    return lambda rank: rank.environment.get(name, "")


def _transport(name: str, default: str) -> Callable[[Rank], str]:
    def value(rank: Rank) -> str:
        if name in PRESENCE:
            return "set" if name in rank.environment else "not set"
        found = rank.environment.get(name, default).upper()
        return {"TRUE": "NVLINK", "": default}.get(found, found)

    return value


def _check_transport(contract: Contract, findings: Findings) -> None:
    backend = str(contract.cluster.variables["sglang_transfer_backend"])
    for name, (reader, default) in TRANSPORT.items():
        # mooncake_tcp sets it by itself, on both sides.
        if not backend.startswith(reader) or (name == "MC_FORCE_TCP" and backend == "mooncake_tcp"):
            continue
        for prefill, decode, left, right in pairs(contract, _transport(name, default)):
            findings.add(
                "parity.transport", _written((decode, prefill), name),
                f"{name} is {left} on {prefill.instance.name} and {right} on {decode.instance.name}: "
                "one side cannot talk to the other, and every request ends in a 500",
                "write it once, in sglang_env, or leave it out of both pools", place=decode.instance.name,
            )


def _check_marks(contract: Contract, findings: Findings) -> None:
    """Traffic classes and service levels: of the transfer also where one side has none."""
    backend = str(contract.cluster.variables["sglang_transfer_backend"])
    of_transfer = OF_TRANSFER.get("mooncake" if backend.startswith("mooncake") else backend, ())
    for name in (*of_transfer, *OF_INSTANCE):
        for prefill, decode, left, right in pairs(contract, _variable(name)):
            if name in of_transfer or (left and right):
                findings.add(
                    "parity.traffic-class", _written((decode, prefill), name),
                    f"{name} is {left or 'not set'} on {prefill.instance.name} and {right or 'not set'} on {decode.instance.name}: "
                    "switches treat their traffic differently",
                    "one fabric has one lossless class: write it once, in sglang_env", place=decode.instance.name,
                )
