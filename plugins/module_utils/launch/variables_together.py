# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with environment variables of one process that only several of them, or one that is missing, show."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import variable_tables as tables
from ansible_collections.railyard.sglang.plugins.module_utils.launch.variables import Context, Verdict

# The same setting under the name of each library, and the feature that brings the library into the process.
TRAFFIC_CLASS = {"NCCL_IB_TC": "nccl", "MC_IB_TC": "mooncake", "NVSHMEM_IB_TRAFFIC_CLASS": "deepep", "UCX_IB_TRAFFIC_CLASS": "nixl"}
SERVICE_LEVEL = {"NCCL_IB_SL": "nccl", "MC_IB_SL": "mooncake", "NVSHMEM_IB_SL": "deepep", "UCX_IB_SL": "nixl"}
GID_INDEX = {"NCCL_IB_GID_INDEX": "nccl", "MC_GID_INDEX": "mooncake", "NVSHMEM_IB_GID_INDEX": "deepep", "UCX_IB_GID_INDEX": "nixl"}
# Not a choice of the operator: the library looks for itself.
AUTOMATIC = {"-1", "auto"}
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
# Defaults of srt/disaggregation/mooncake/conn.py: 4 queues; not fewer threads than 4.
QUEUES = 4


def _set(env: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: env[name] for name in names if env.get(name, "") not in AUTOMATIC | {""}}


def _disagree(env: Mapping[str, str], names: Collection[str], rule: str, what: str, fix: str) -> list[Verdict]:
    found = _set(env, names)
    if len({tables.number(value) for value in found.values()}) < 2:
        return []
    shown = ", ".join(f"{name}={value}" for name, value in found.items())
    return [Verdict("environment." + rule, "warning", f"{what} differ: {shown}", fix)]


def _missing(env: Mapping[str, str], context: Context, names: Mapping[str, str], what: str) -> list[Verdict]:
    """Report the libraries of the process that do not get what NCCL was given."""
    first = next(iter(names))
    if not _set(env, [first]):
        return []
    found = []
    for name, feature in names.items():
        over_tcp = name.startswith("MC_") and "MC_FORCE_TCP" in env
        too_old = name == "MC_IB_SL" and (not context.mooncake or tables.older(context.mooncake, "0.3.12"))
        if feature in context.features and not env.get(name) and not over_tcp and not too_old:
            text = f"{first}={env[first]} is set and {name} is not: it is not taken over, so that traffic has the default {what}"
            found.append(Verdict("environment.traffic-class", "warning", text, f"set {name}={env[first]}"))
    return found


def _traffic_class(env: Mapping[str, str], context: Context) -> list[Verdict]:
    fix = "one fabric has one lossless class: give all of them the value that the switches expect"
    found = []
    for names, one, several in ((TRAFFIC_CLASS, "traffic class", "traffic classes"), (SERVICE_LEVEL, "service level", "service levels")):
        found += _disagree(env, names, "traffic-class", several, fix) + _missing(env, context, names, one)
    return found


def _gid_index(env: Mapping[str, str], context: Context) -> list[Verdict]:
    fix = "the index is a property of the port: set what `show_gids` shows for RoCE v2 and the fabric's address"
    found = _disagree(env, GID_INDEX, "gid-index", "GID indexes", fix)
    inherited = _set(env, ["NCCL_IB_GID_INDEX"]) and "MC_GID_INDEX" not in env and "mooncake" in context.features
    if inherited and "MC_FORCE_TCP" not in env:
        text = f"Mooncake follows NCCL_IB_GID_INDEX={env['NCCL_IB_GID_INDEX']}, because MC_GID_INDEX is not set"
        found.append(Verdict("environment.gid-index", "note", text, "set both, or neither"))
    return found


def _hca(env: Mapping[str, str], devices: Collection[str]) -> list[Verdict]:
    value = env.get("NCCL_IB_HCA", "")
    listed = [name.split(":")[0] for name in value.lstrip("^").split(",") if name]
    if not listed or "=" in value[:2]:
        return []
    verb = "leaves out" if value.startswith("^") else "takes"
    fix = f"NCCL_IB_HCA={'^=' if value.startswith('^') else '='}{value.lstrip('^')}"
    rule = "environment.hca-prefix"
    more = sorted({device for device in devices for name in listed if device.startswith(name) and device not in listed})
    if more:
        return [Verdict(rule, "error", f"names are prefixes, so NCCL_IB_HCA={value} also {verb} {', '.join(more)}", fix)]
    longer = sorted({other for other in listed for name in listed if other.startswith(name) and other != name})
    if longer or not devices:
        why = f"{', '.join(longer)} would be meant by a shorter name, too" if longer else "the devices of the host are not known"
        return [Verdict(rule, "note", f"names are prefixes in NCCL_IB_HCA={value}: {why}", fix)]
    return []


def _interfaces(env: Mapping[str, str], context: Context) -> list[Verdict]:
    if not context.multi_host or env.get("GLOO_SOCKET_IFNAME"):
        return []
    text = "GLOO_SOCKET_IFNAME is not set: Gloo takes the address of the host name, which other hosts may not reach"
    return [Verdict("environment.gloo-interface", "warning", text, "set it to the interface of the rank's own address")]


def _nvshmem(env: Mapping[str, str]) -> list[Verdict]:
    found = []
    lists = [name for name in ("NVSHMEM_HCA_LIST", "NVSHMEM_HCA_PE_MAPPING") if env.get(name)]
    if len(lists) > 1:
        text = "NVSHMEM_HCA_LIST and NVSHMEM_HCA_PE_MAPPING exclude each other: NVSHMEM ignores the second"
        found.append(Verdict("environment.exclusive", "error", text, "keep one"))
    if lists == ["NVSHMEM_HCA_PE_MAPPING"] and env.get("NVSHMEM_ENABLE_NIC_PE_MAPPING", "0")[:1] in "0nNfF":
        text = "NVSHMEM_HCA_PE_MAPPING without NVSHMEM_ENABLE_NIC_PE_MAPPING=1: NVSHMEM deals no devices by it"
        found.append(Verdict("environment.incomplete", "warning", text, "set NVSHMEM_ENABLE_NIC_PE_MAPPING=1, or leave the mapping out"))
    return found


def _threads(env: Mapping[str, str]) -> list[Verdict]:
    threads = tables.number(env.get("SGLANG_DISAGGREGATION_THREAD_POOL_SIZE", ""), int)
    queues = tables.number(env.get("SGLANG_DISAGGREGATION_QUEUE_SIZE", str(QUEUES)), int)
    if queues is None or (threads is not None and threads >= queues) or (threads is None and queues <= QUEUES):
        return []
    shown = "its default, which may be as low as 4" if threads is None else str(threads)
    text = f"SGLANG_DISAGGREGATION_QUEUE_SIZE is {queues}, SGLANG_DISAGGREGATION_THREAD_POOL_SIZE {shown}: with fewer threads prefill stops"
    return [Verdict("environment.threads", "warning" if threads is None else "error", text, "set as many threads as queues, or more")]


def _proxy(env: Mapping[str, str]) -> list[Verdict]:
    given = [name for name in PROXIES if env.get(name)]
    if not given or env.get("NO_PROXY") or env.get("no_proxy"):
        return []
    text = f"{', '.join(given)} without NO_PROXY: bootstrap requests between ranks go to the proxy"
    return [Verdict("environment.proxy", "warning", text, "take the proxy out, or name the fabric's network in NO_PROXY")]


def together(env: Mapping[str, str], context: Context, devices: Collection[str] = ()) -> list[Verdict]:
    """Return what is wrong with the variables of one process together.

    :param env: the whole environment that the process will have.
    :param devices: names of all RDMA devices of its host; empty when they are not known.
    """
    found = _traffic_class(env, context) + _gid_index(env, context) + _hca(env, devices)
    return found + _interfaces(env, context) + _nvshmem(env) + _threads(env) + _proxy(env)
