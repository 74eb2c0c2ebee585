# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator wrote as arguments, checked against the option table, and how arguments reach a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import files, flags, refusals
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

# Decided by the topology; written as an argument they would contradict it. Spelling -> the variable to use instead.
TYPED = {
    "config": "sglang_args itself",
    "host": "sglang_fabric_address (or sglang_bind_address, to set it apart)",
    "port": "sglang_pools.<pool>.port",
    "nnodes": "sglang_pools.<pool>.nodes_per_instance",
    "node-rank": "the order of hosts in the instance",
    "dist-init-addr": "sglang_fabric_address and sglang_pools.<pool>.dist_init_port",
    "nccl-port": "sglang_pools.<pool>.dist_init_port",
    "tp-size": "sglang_pools.<pool>.tp",
    "dp-size": "sglang_pools.<pool>.dp",
    "attn-dp-size": "sglang_pools.<pool>.dp",
    "enable-dp-attention": "sglang_pools.<pool>.dp_attention",
    "pp-size": "sglang_pools.<pool>.pp",
    "ep-size": "sglang_pools.<pool>.ep",
    "base-gpu-id": "sglang_pools.<pool>.instances[].first_gpu",
    "gpu-id-step": "sglang_pools.<pool>.instances[].first_gpu (an instance takes GPUs that follow each other)",
    "model-path": "sglang_model.path",
    "served-model-name": "sglang_model.name",
    "disaggregation-mode": "the pool's mode",
    "disaggregation-bootstrap-port": "sglang_pools.<pool>.bootstrap_port",
    "disaggregation-transfer-backend": "sglang_transfer_backend",
}
ROUTER_TYPED = {
    "host": "sglang_management_address",
    "port": "sglang_router.port",
    "prometheus-host": "sglang_management_address",
    "prometheus-port": "sglang_router.metrics_port",
    "pd-disaggregation": "sglang_pools",
    "prefill": "sglang_pools.prefill, or sglang_router.workers",
    "decode": "sglang_pools.decode, or sglang_router.workers",
    "worker-urls": "sglang_pools, or sglang_router.workers",
}
ROUTER_VARIABLE = "sglang_router.args"
# On the command line, where `ps` and an operator look for them; the rest goes into the argument file.
ON_COMMAND_LINE = (
    "model-path", "served-model-name", "disaggregation-mode", "host", "port", "tp-size", "dp-size", "attn-dp-size", "enable-dp-attention",
    "pp-size", "ep-size", "nnodes", "node-rank", "dist-init-addr", "nccl-port", "base-gpu-id", "disaggregation-bootstrap-port",
)


@dataclass(frozen=True)
class Given:
    """An argument as an operator wrote it.

    :ivar variable: the inventory variable that holds it, with its path.
    """

    value: Any
    variable: str


def by_dest(table: flags.FlagTable, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dest instead of spelling, without options that this version does not have."""
    return {option.dest: value for spelling, value in values.items() if (option := table.find(spelling)) is not None}


def _refuse_typed(
    table: flags.FlagTable, arguments: dict[str, Any], typed: Mapping[str, str], variable: str, findings: Findings,
) -> dict[str, Any]:
    """Return arguments without those that a typed variable decides, reporting each."""
    decided = by_dest(table, typed)
    for dest in sorted(set(arguments) & set(decided)):
        findings.add(
            "argument.typed", f"{variable}.{dest.replace('_', '-')}", "is decided by the topology",
            f"set {decided[dest]} instead",
        )
    return {dest: value for dest, value in arguments.items() if dest not in decided}


def _check_path(dest: str, original: Any, variable: str, findings: Findings) -> None:
    where = f"{variable}.{dest.replace('_', '-')}"
    router = variable == ROUTER_VARIABLE
    source, paths = ("sglang_router.files", files.ROUTER_PATH_ARGUMENTS) if router else ("sglang_files", files.PATH_ARGUMENTS)
    if dest in paths and files.is_path(original):
        findings.add(
            "argument.bare-path", where, f"{original!r} names a file that the plan does not know",
            f"put the file into {source} and write {{file: NAME}}: every host then holds the same bytes",
        )
    if dest == "disaggregation_ib_device" and files.is_reference(original) and not str(original["file"]).endswith(".json"):
        findings.add(
            "argument.ib-device-file", where,
            f"{str(original['file'])!r} does not end in .json: SGLang would take the path for a device name",
            "call the file NAME.json",
        )


def _known(
    table: flags.FlagTable, given: dict[str, Any], variable: str, typed: Mapping[str, str], findings: Findings,
) -> dict[str, Any]:
    """Return arguments without abbreviations and other versions' spellings of what the topology decides, reporting each."""
    decided = by_dest(table, typed)
    kept = {}
    for key, value in given.items():
        word = str(key).lstrip("-").replace("_", "-")
        meant = ""
        if table.find(word) is None:
            begun = {option.dest for spelling in table.abbreviated(word) if (option := table.find(spelling)) is not None}
            meant = typed.get(word) or (decided.get(next(iter(begun)), "") if len(begun) == 1 else "")
        if meant:
            findings.add("argument.typed", f"{variable}.{key}", "is decided by the topology", f"set {meant} instead")
        else:
            kept[key] = value
    return kept


def _checked(
    table: flags.FlagTable, given: dict[str, Any], variable: str, typed: Mapping[str, str], findings: Findings,
) -> dict[str, Given]:
    """Return an operator's arguments by dest, as written, after all checks that need the option table only."""
    given = _known(table, given, variable, typed, findings)
    resolved = flags.resolve(table, {key: files.without_references(value) for key, value in given.items()}, variable, findings)
    originals = {option.dest: value for key, value in given.items() if (option := table.find(str(key)))}
    kept = _refuse_typed(table, resolved, typed, variable, findings)
    for dest, value in kept.items():
        refusals.argument(dest, value, variable, findings)
        _check_path(dest, originals[dest], variable, findings)
    return {dest: Given(originals[dest], f"{variable}.{dest.replace('_', '-')}") for dest in kept}


def operator(table: flags.FlagTable, layers: list[tuple[str, dict[str, Any]]], findings: Findings) -> dict[str, Given]:
    """Merge layers of an operator's arguments, later ones win; null takes an earlier value back."""
    merged: dict[str, Given] = {}
    for variable, given in layers:
        merged |= _checked(table, given, variable, TYPED, findings)
    return merged


def router_operator(table: flags.FlagTable, given: dict[str, Any], folder: files.Folder, findings: Findings) -> dict[str, Any]:
    """Return what the operator wrote for the router, by dest, its files resolved."""
    checked = _checked(table, given, ROUTER_VARIABLE, ROUTER_TYPED, findings)
    return {dest: folder.resolve(row.value, row.variable, findings) for dest, row in checked.items()}


def split(table: flags.FlagTable, arguments: dict[str, Any], with_file: bool) -> tuple[list[str], dict[str, Any]]:
    """Return the command line words and the content of the argument file.

    SGLang's --config reads plain store and store_true options only, and wants model-path on the command line
    (0.5.8 server_args_config_parser.py; tried with the real parser).

    :param with_file: whether the version takes an argument file that can hold all of these; 0.5.23 refuses some of them.
    """
    line: list[str] = []
    first = by_dest(table, dict.fromkeys(ON_COMMAND_LINE))
    for dest in first:
        if arguments.get(dest) is not None:
            line += flags.words(table.options[dest], arguments[dest])
    in_file: dict[str, Any] = {}
    for dest, value in sorted(arguments.items()):
        option = table.options[dest]
        if dest in first or value is None or (option.kind == "flag" and not value):
            continue
        if with_file and option.fits_argument_file and not isinstance(value, (dict, list)) and not str(value).startswith("-"):
            in_file[option.name] = value
        else:
            line += flags.words(option, value)
    return line, in_file
