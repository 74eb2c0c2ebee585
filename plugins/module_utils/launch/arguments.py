# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of every process: what the plan derives, what the operator wrote, and how both reach a command line."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, files, flags, refusals
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.topology import Instance, management_address

# Derived from the topology; written as an argument they would contradict it. dest -> the variable to use instead.
TYPED = {
    "config": "sglang_args itself",
    "host": "sglang_fabric_address",
    "port": "sglang_pools.<pool>.port",
    "nnodes": "sglang_pools.<pool>.nodes_per_instance",
    "node_rank": "the order of hosts in the instance",
    "dist_init_addr": "sglang_fabric_address and sglang_pools.<pool>.dist_init_port",
    "nccl_port": "sglang_pools.<pool>.dist_init_port",
    "tensor_parallel_size": "sglang_pools.<pool>.tp",
    "model_path": "sglang_model.path",
    "served_model_name": "sglang_model.name",
    "disaggregation_mode": "the pool itself",
    "disaggregation_bootstrap_port": "sglang_pools.<pool>.bootstrap_port",
    "disaggregation_transfer_backend": "sglang_transfer_backend",
}
ROUTER_TYPED = {
    "host": "sglang_management_address",
    "port": "sglang_router.port",
    "prometheus_host": "sglang_management_address",
    "prometheus_port": "sglang_router.metrics_port",
    "pd_disaggregation": "sglang_pools",
    "prefill": "sglang_pools.prefill",
    "decode": "sglang_pools.decode",
    "worker_urls": "sglang_pools",
}
ROUTER_VARIABLE = "sglang_router.args"
# On the command line, where `ps` and an operator look for them; the rest goes into the argument file.
ON_COMMAND_LINE = (
    "model_path", "served_model_name", "disaggregation_mode", "host", "port", "tensor_parallel_size", "nnodes", "node_rank",
    "dist_init_addr", "nccl_port", "disaggregation_bootstrap_port",
)
ROUTER_DEFAULTS = {
    "health_check_interval_secs": (10, "a dead worker is found in two intervals, not in three minutes"),
    "health_check_timeout_secs": (20, "/health of a worker generates a token and may take up to 20 s"),
    "health_failure_threshold": (2, "one slow answer is not a dead worker"),
    "health_success_threshold": (1, "the first good answer brings a restarted worker back"),
    "worker_startup_check_interval": (5, "workers that load are looked at every 5 s"),
}


def refuse_typed(arguments: dict[str, Any], typed: dict[str, str], variable: str, findings: Findings) -> dict[str, Any]:
    """Return arguments without those that a typed variable decides, reporting each."""
    for dest in sorted(set(arguments) & set(typed)):
        findings.add(
            "argument.typed", f"{variable}.{dest.replace('_', '-')}", "is decided by the topology",
            f"set {typed[dest]} instead",
        )
    return {dest: value for dest, value in arguments.items() if dest not in typed}


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


def _checked(
    table: flags.FlagTable, given: dict[str, Any], variable: str, typed: dict[str, str], findings: Findings,
) -> dict[str, Any]:
    """Return an operator's arguments by dest, as written, after all checks that need the option table only."""
    resolved = flags.resolve(table, {key: files.without_references(value) for key, value in given.items()}, variable, findings)
    originals = {option.dest: value for key, value in given.items() if (option := table.find(str(key)))}
    kept = refuse_typed(resolved, typed, variable, findings)
    for dest, value in kept.items():
        refusals.argument(dest, value, variable, findings)
        _check_path(dest, originals[dest], variable, findings)
    return {dest: originals[dest] for dest in kept}


def operator(table: flags.FlagTable, layers: list[tuple[str, dict[str, Any]]], findings: Findings) -> dict[str, Any]:
    """Merge layers of an operator's arguments, later ones win; null takes an earlier value back."""
    merged: dict[str, Any] = {}
    for variable, given in layers:
        merged |= _checked(table, given, variable, TYPED, findings)
    return merged


def router_operator(table: flags.FlagTable, given: dict[str, Any], folder: files.Folder, findings: Findings) -> dict[str, Any]:
    """Return what the operator wrote for the router, by dest, its files resolved."""
    checked = _checked(table, given, ROUTER_VARIABLE, ROUTER_TYPED, findings)
    return {dest: folder.resolve(value, f"{ROUTER_VARIABLE}.{dest.replace('_', '-')}", findings) for dest, value in checked.items()}


def derived(instance: Instance, rank: int, cluster: Cluster) -> dict[str, tuple[Any, str]]:
    """Return the arguments that follow from the topology, each with its reason."""
    host = instance.hosts[rank]
    address = cluster.hosts[host]["sglang_fabric_address"]
    head = cluster.hosts[instance.head]["sglang_fabric_address"]
    arguments: dict[str, tuple[Any, str]] = {
        "model_path": (cluster.model["path"], "sglang_model.path"),
        "served_model_name": (cluster.model["name"], "sglang_model.name"),
        "disaggregation_mode": (instance.pool, f"{host} is a host of pool {instance.pool}"),
        "disaggregation_transfer_backend": (cluster.variables["sglang_transfer_backend"], "sglang_transfer_backend"),
        "disaggregation_bootstrap_port": (instance.bootstrap_port, "one value for prefill, decode and router"),
        "host": (address, f"the fabric address of {host}: the one that peers dial and that ranks register by"),
        "port": (instance.port, f"port of pool {instance.pool}"),
        "tensor_parallel_size": (instance.tp, f"tp of pool {instance.pool}"),
    }
    arguments["uvicorn_access_log_exclude_prefixes"] = (["/health", "/metrics"], "checks every few seconds would drown the log")
    if instance.nodes > 1:
        arguments |= {
            "nnodes": (instance.nodes, f"{instance.name} is {', '.join(instance.hosts)}"),
            "node_rank": (rank, f"place of {host} in {instance.name}"),
            "dist_init_addr": (
                addresses.host_port(head, instance.dist_init_port),
                f"rank 0 of {instance.name} is {instance.head}; prefill ranks register at this host, so it equals --host there",
            ),
        }
    else:
        arguments["nccl_port"] = (instance.dist_init_port, "one host meets on loopback; a fixed port cannot clash by chance")
    return arguments


def decode_tp(instance: Instance, instances: list[Instance]) -> dict[str, tuple[Any, str]]:
    """Return the hint that 0.5.8 wants on prefill when decode's tensor parallel size differs."""
    sizes = {other.tp for other in instances if other.pool == "decode"}
    if instance.pool == "prefill" and len(sizes) == 1 and sizes != {instance.tp}:
        return {"disaggregation_decode_tp": (sizes.pop(), "tp of pool decode, which prefill must know when it differs")}
    return {}


def split(table: flags.FlagTable, arguments: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the command line words and the content of the argument file.

    SGLang's --config reads plain store and store_true options only, and wants model-path on the command line
    (0.5.8 server_args_config_parser.py; tried with the real parser).
    """
    line: list[str] = []
    for dest in ON_COMMAND_LINE:
        if dest in arguments:
            line += flags.words(table.options[dest], arguments[dest])
    in_file: dict[str, Any] = {}
    for dest, value in sorted(arguments.items()):
        option = table.options[dest]
        if dest in ON_COMMAND_LINE or value is None or (option.kind == "flag" and not value):
            continue
        if option.fits_argument_file and not isinstance(value, (dict, list)) and not str(value).startswith("-"):
            in_file[option.name] = value
        else:
            line += flags.words(option, value)
    return line, in_file


def router(
    cluster: Cluster, host: str, given: dict[str, Any], instances: list[Instance], table: flags.FlagTable,
) -> tuple[list[str], dict[str, str]]:
    """Return the router's command line words and the reasons of what was derived.

    :param given: what the operator wrote, by dest.
    """
    host_address = management_address(cluster, host)
    values: dict[str, tuple[Any, str]] = {
        "host": (host_address, "the router's own management address, by which clients reach the cluster"),
        "port": (cluster.router["port"], "sglang_router.port"),
        "prometheus_host": (host_address, "metrics are for the management network"),
        "prometheus_port": (cluster.router["metrics_port"], "sglang_router.metrics_port"),
        "pd_disaggregation": (True, "the workers are prefill and decode instances"),
        **ROUTER_DEFAULTS,
    }
    values |= {dest: (value, ROUTER_VARIABLE) for dest, value in given.items()}
    line: list[str] = []
    for dest, (value, _why) in values.items():
        if value is not None:
            line += flags.words(table.options[dest], value)
    for worker in workers(cluster, instances):
        line += ["--" + worker["role"], worker["url"]]
        line += [str(worker["bootstrap_port"])] if worker["role"] == "prefill" else []
    reasons = {"--" + table.options[dest].name: why for dest, (_value, why) in values.items()}
    return line, reasons


def workers(cluster: Cluster, instances: list[Instance]) -> list[dict[str, Any]]:
    """Return what the router lists: rank 0 of every instance, and nothing else (ranks 1.. only pretend to serve)."""
    return [
        {
            "instance": instance.name,
            "role": instance.pool,
            "url": addresses.url(cluster.hosts[instance.head]["sglang_fabric_address"], instance.port),
            "bootstrap_port": instance.bootstrap_port,
        }
        for instance in instances
    ]
