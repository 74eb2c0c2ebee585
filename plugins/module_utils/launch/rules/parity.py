# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be the same on all ranks of an instance, and on prefill and decode instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import attention, files, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

# The only arguments that belong to a host: its place, its addresses, its NICs, its GPUs and CPUs.
OF_A_HOST = ("node-rank", "host", "port", "disaggregation-ib-device", "base-gpu-id", "gpu-id-step", "numa-node")
# Variables that name addresses, interfaces, NICs, GPUs or CPUs of a host.
HOST_VARIABLES = frozenset({
    "SGLANG_HOST_IP", "SGLANG_LOCAL_IP_NIC", "SGLANG_ZMQ_SOURCE_IP", "SGLANG_CPU_OMP_THREADS_BIND", "MOONCAKE_LOCAL_HOSTNAME",
    "MOONCAKE_DEVICE", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_IB_GID_INDEX",
    "NCCL_IB_ADDR_FAMILY",
    "NCCL_IB_ADDR_RANGE", "NCCL_TOPO_FILE", "HCCL_IF_IP", "HCCL_SOCKET_IFNAME", "MC_GID_INDEX", "MC_IB_PORT", "MC_FORCE_HCA",
    "MC_CUSTOM_TOPO_JSON", "NVSHMEM_HCA_LIST", "NVSHMEM_HCA_PREFIX", "NVSHMEM_HCA_PE_MAPPING", "NVSHMEM_IB_GID_INDEX",
    "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME", "UCX_NET_DEVICES", "UCX_IB_GID_INDEX", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES",
})
SAME_DTYPE = {"bf16": "bfloat16", "half": "float16", "float": "float32"}
SIXTEEN_BITS = ("auto", "bfloat16", "float16")
TOKENIZER = ("tokenizer-path", "tokenizer-mode", "chat-template", "completion-template", "trust-remote-code")
MODEL = ("revision", "dtype", "quantization", "load-format", "json-model-override-args")
# Algorithms that keep no KV cache of a draft model, so that nothing of it crosses to decode.
WITHOUT_DRAFT_CACHE = (None, "NGRAM")
SPECULATIVE = ("speculative-eagle-topk", "speculative-num-steps", "speculative-num-draft-tokens")


def check(contract: Contract, findings: Findings) -> None:
    """Report what differs and must not."""
    _check_ranks(contract, findings)
    _check_page_size(contract, findings)
    _check_kv_dtype(contract, findings)
    _check_model(contract, findings)
    _check_speculative(contract, findings)
    _check_disaggregation(contract, findings)


def _blame(contract: Contract, ranks: tuple[Rank, ...], spelling: str) -> tuple[str, Rank]:
    """Return the variable to blame for a difference, and the rank that has it: the one that was written closest to the host."""
    def closeness(rank: Rank) -> int:
        variable = contract.variable(rank, spelling)
        option = contract.table.find(spelling)
        if option is None or option.dest not in rank.written:
            return 0
        return 3 if variable.startswith("sglang_host_args") else 2 if variable.startswith("sglang_pools") else 1

    rank = max(ranks, key=closeness)
    return contract.variable(rank, spelling), rank


def _check_ranks(contract: Contract, findings: Findings) -> None:
    own = {option.dest for spelling in OF_A_HOST if (option := contract.table.find(spelling)) is not None}
    heads = {rank.instance.name: rank for rank in contract.heads}
    for rank in contract.ranks:
        head = heads[rank.instance.name]
        for dest in sorted((set(rank.arguments) | set(head.arguments)) - own):
            spelling = contract.table.options[dest].name
            mine, theirs = contract.value(rank, spelling), contract.value(head, spelling)
            if mine != theirs:
                variable, blamed = _blame(contract, (rank, head), spelling)
                findings.add(
                    "parity.ranks", variable,
                    f"--{spelling} is {mine!r} on {rank.host} and {theirs!r} on {head.host}, ranks of {head.instance.name}",
                    "ranks of one instance differ in place, address, NIC and GPU only: write it for the pool or the instance",
                    blamed.host, place=head.instance.name,
                )
        for name in sorted((set(rank.environment) | set(head.environment)) - HOST_VARIABLES):
            values = [row.environment.get(name) for row in (rank, head)]
            if values[0] != values[1]:
                where = sorted((row.written.get(name, ""), row.host) for row in (rank, head))
                variable, host = next((pair for pair in where if pair[0].startswith("sglang_host_env")), where[-1])
                shown = ["not set" if value is None else repr(value) for value in values]
                findings.add(
                    "parity.environment", variable or f"sglang_host_env.{name}",
                    f"{name} is {shown[0]} on {rank.host} and {shown[1]} on {head.host}, ranks of {head.instance.name}",
                    "ranks of one instance differ in what names their host, NICs and GPUs only: write it for the pool or the instance",
                    host, place=head.instance.name,
                )


def pairs(contract: Contract, value: Callable[[Rank], Any]) -> Iterator[tuple[Rank, Rank, Any, Any]]:
    """Yield prefill and decode instances that differ in something, one pair for each two values: the router pairs any with any."""
    first: dict[str, dict[str, tuple[Rank, Any]]] = {"prefill": {}, "decode": {}, "plain": {}}
    for head in contract.heads:
        found = value(head)
        first[head.instance.mode].setdefault(repr(found), (head, found))
    for decode, right in first["decode"].values():
        for prefill, left in first["prefill"].values():
            if left != right:
                yield prefill, decode, left, right


def _same_everywhere(contract: Contract, spelling: str) -> Callable[[Rank], Any]:
    """Return what reads an option's value, with a file of the plan below the same directory for all instances."""
    def value(rank: Rank) -> Any:
        found = contract.value(rank, spelling)
        return found.replace(files.directory(rank.instance.name) + "/", "file ") if isinstance(found, str) else found

    return value


def _check_page_size(contract: Contract, findings: Findings) -> None:
    shape = model.load(contract).shape

    def size(rank: Rank) -> tuple[int | None, str]:
        return attention.page_size(contract, rank, shape)

    for prefill, decode, (left, left_why), (right, right_why) in pairs(contract, size):
        known = left is not None and right is not None
        if left == right or (not known and {left, right} == {None, 1}):
            continue
        spelling = next(
            (name for name in ("page-size", "attention-backend", "decode-attention-backend", "prefill-attention-backend")
             if contract.value(prefill, name) != contract.value(decode, name)), "page-size",
        )
        variable, _rank = _blame(contract, (decode, prefill), spelling)
        findings.add(
            "parity.page-size", variable,
            f"{prefill.instance.name} has page size {left or 'unknown'} ({left_why}), "
            f"{decode.instance.name} {right or 'unknown'} ({right_why})",
            f"set page-size to {max(left or 1, right or 1)} and one attention backend for both, in sglang_args",
            place=decode.instance.name, severity="" if known else "warning",
        )


def _check_kv_dtype(contract: Contract, findings: Findings) -> None:
    def dtype(rank: Rank) -> str:
        given = str(contract.value(rank, "kv-cache-dtype"))
        given = str(contract.value(rank, "dtype")) if given == "auto" else given
        return SAME_DTYPE.get(given, given)

    for prefill, decode, left, right in pairs(contract, dtype):
        open_question = "auto" in (left, right) and left in SIXTEEN_BITS and right in SIXTEEN_BITS
        written = "kv-cache-dtype"
        if contract.value(prefill, written) == contract.value(decode, written):
            written = "dtype"
        variable, _rank = _blame(contract, (decode, prefill), written)
        findings.add(
            "parity.kv-cache-dtype", variable,
            f"the KV cache of {prefill.instance.name} is {left}, that of {decode.instance.name} {right}"
            + (": the same only if the checkpoint says so" if open_question else ": decode would read other numbers than prefill wrote"),
            "set kv-cache-dtype once, in sglang_args", place=decode.instance.name, severity="warning" if open_question else "",
        )


def _check_model(contract: Contract, findings: Findings) -> None:
    for spelling in TOKENIZER:
        for prefill, decode, left, right in pairs(contract, _same_everywhere(contract, spelling)):
            findings.add(
                "parity.tokenizer", _blame(contract, (decode, prefill), spelling)[0],
                f"--{spelling} is {left!r} on {prefill.instance.name} and {right!r} on {decode.instance.name}: "
                "both make tokens of the same request, and decode would continue another prompt",
                "write it once, in sglang_args", place=decode.instance.name,
            )
    for spelling in MODEL:
        for prefill, decode, left, right in pairs(contract, _same_everywhere(contract, spelling)):
            findings.add(
                "parity.model", _blame(contract, (decode, prefill), spelling)[0],
                f"--{spelling} is {left!r} on {prefill.instance.name} and {right!r} on {decode.instance.name}",
                "both sides serve the same weights: write it once, in sglang_args", place=decode.instance.name,
            )
    own = "the model's own"
    for prefill, decode, left, right in pairs(contract, _same_everywhere(contract, "context-length")):
        findings.add(
            "parity.context-length", _blame(contract, (decode, prefill), "context-length")[0],
            f"--context-length is {left or own} on {prefill.instance.name} and {right or own} on {decode.instance.name}: "
            "a request that one takes, the other refuses",
            "write it once, in sglang_args", place=decode.instance.name,
        )


def _check_speculative(contract: Contract, findings: Findings) -> None:
    def algorithm(rank: Rank) -> tuple[Any, Any]:
        given = contract.value(rank, "speculative-algorithm")
        name = "EAGLE" if given == "NEXTN" else given
        return (None, None) if name in WITHOUT_DRAFT_CACHE else (name, contract.value(rank, "speculative-draft-model-path"))

    for prefill, decode, left, right in pairs(contract, algorithm):
        findings.add(
            "parity.speculative", _blame(contract, (decode, prefill), "speculative-algorithm")[0],
            f"{prefill.instance.name} drafts with {left[0] or 'nothing'} {left[1] or ''}".rstrip()
            + f", {decode.instance.name} with {right[0] or 'nothing'} {right[1] or ''}".rstrip()
            + ": the draft model's KV cache crosses with the model's own",
            "write the speculative-* arguments once, in sglang_args", place=decode.instance.name,
        )
    for spelling in SPECULATIVE:
        for prefill, decode, left, right in pairs(contract, _same_everywhere(contract, spelling)):
            if algorithm(prefill) == algorithm(decode) != (None, None):
                findings.add(
                    "parity.speculative", _blame(contract, (decode, prefill), spelling)[0],
                    f"--{spelling} is {left} on {prefill.instance.name} and {right} on {decode.instance.name}",
                    "write the speculative-* arguments once, in sglang_args", place=decode.instance.name, severity="warning",
                )


def _check_disaggregation(contract: Contract, findings: Findings) -> None:
    policy = "disaggregation-decode-allocation-policy"
    for prefill, decode, left, right in pairs(contract, _same_everywhere(contract, policy)):
        findings.add(
            "parity.allocation-policy", _blame(contract, (decode, prefill), policy)[0],
            f"--{policy} is {left} on {prefill.instance.name} and {right} on {decode.instance.name}",
            "write it once, in sglang_args: prefill must know when decode makes room", place=decode.instance.name,
        )
