# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's variables, typed: what an operator may write, and a finding for everything else.

Cluster variables (all named C(sglang_*)) must have one value on all hosts; host variables belong to one host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

NOT_GIVEN: Any = object()


@dataclass(frozen=True)
class Key:
    """One key of a variable: its type, its default (none: it must be given) and its legal values."""

    type: type
    default: Any = NOT_GIVEN
    choices: tuple[Any, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""


HIGHEST_PORT = 65535
MODES = ("prefill", "decode", "plain")
LAUNCH = {"args": Key(dict, {}), "env": Key(dict, {}), "files": Key(dict, {})}

CLUSTER = {
    "sglang_cluster": Key(str, "cluster", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "sglang_root": Key(str, "/opt/sglang", pattern=r"/[A-Za-z0-9._/-]+"),
    "sglang_stack": Key(str),
    "sglang_router_stack": Key(str),
    "sglang_model": Key(dict),
    "sglang_transfer_backend": Key(str, "mooncake"),
    "sglang_fabric_network": Key(str, ""),
    "sglang_cpu_cores": Key(int, 1, minimum=1),
    "sglang_args": Key(dict, {}),
    "sglang_env": Key(dict, {}),
    "sglang_files": Key(dict, {}),
    "sglang_pools": Key(dict),
    "sglang_router": Key(dict, {}),
    "sglang_waive": Key(dict, {}),
}
MODEL = {
    "path": Key(str, pattern=r"/\S+"),
    "name": Key(str),
    "source": Key(str, "path", ("path", "tiny")),
    "checksum": Key(str, ""),
    "config": Key(str, ""),
}
# Highest rendezvous port: DP attention needs 13 more above it (sglang 0.5.8 DP_ATTENTION_HANDSHAKE_PORT_DELTA).
HIGHEST_DIST_INIT = 65486
PARALLEL = {
    "tp": Key(int, minimum=1),
    "dp": Key(int, 1, minimum=1),
    "pp": Key(int, 1, minimum=1),
    "ep": Key(int, 1, minimum=1),
    "dp_attention": Key(bool, False),
}
POOL = {
    "mode": Key(str, "", ("", "prefill", "decode", "plain")),
    "group": Key(str),
    "nodes_per_instance": Key(int, 1, minimum=1),
    "port": Key(int, minimum=1, maximum=HIGHEST_PORT),
    "bootstrap_port": Key(int, 8998, minimum=1, maximum=HIGHEST_PORT),
    "dist_init_port": Key(int, 5000, minimum=1, maximum=HIGHEST_DIST_INIT),
    "instances": Key(list, []),
    **PARALLEL,
    **LAUNCH,
}
# What an instance does not say is its pool's.
INSTANCE = {
    "name": Key(str),
    "hosts": Key(list),
    "port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
    "bootstrap_port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
    "dist_init_port": Key(int, 0, minimum=0, maximum=HIGHEST_DIST_INIT),
    "first_gpu": Key(int, -1, minimum=0),
    **{name: Key(key.type, -1 if key.type is int else None, minimum=key.minimum) for name, key in PARALLEL.items()},
    **LAUNCH,
}
ROUTER = {
    "group": Key(str, "router"),
    "port": Key(int, 8000, minimum=1, maximum=HIGHEST_PORT),
    "metrics_port": Key(int, 29000, minimum=1, maximum=HIGHEST_PORT),
    "workers": Key(list, []),
    **LAUNCH,
}
WORKER = {
    "url": Key(str, pattern=r"https?://\S+"),
    "role": Key(str, choices=("prefill", "decode", "plain")),
    "bootstrap_port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
}
GPU = {
    "count": Key(int, 0, minimum=0),
    "memory_gib": Key(int, 0, minimum=0),
    "arch": Key(str, ""),
}
HOST = {
    "sglang_fabric_address": Key(str, ""),
    "sglang_fabric_interface": Key(str, ""),
    "sglang_management_address": Key(str, ""),
    "sglang_host_args": Key(dict, {}),
    "sglang_host_env": Key(dict, {}),
    "sglang_bind_address": Key(str, ""),
    "sglang_kv_address": Key(str, ""),
    "sglang_dist_init_address": Key(str, ""),
    "sglang_gpu": Key(dict, {}),
    "sglang_rdma_devices": Key(list, []),
    "sglang_rdma_device_map": Key(dict, {}),
    # How far the NICs are from the GPUs, as nvidia-smi topo -m says it.
    "sglang_gpu_nic_path": Key(str, "", ("", "PIX", "PXB", "PHB", "NODE", "SYS")),
    "sglang_gid_index": Key(int, -1, minimum=0),
}
ADDRESSES = (
    "sglang_fabric_address", "sglang_management_address", "sglang_bind_address", "sglang_kv_address", "sglang_dist_init_address",
    "ansible_host",
)


def _type_name(kind: type) -> str:
    return {dict: "a map", list: "a list", int: "a whole number", str: "a text", bool: "true or false"}[kind]


def _value_problem(key: Key, value: Any) -> str:
    if key.type is dict:
        good = isinstance(value, Mapping)
    elif key.type is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    elif key.type is list:
        good = isinstance(value, (list, tuple))
    else:
        good = isinstance(value, key.type)
    if not good:
        return f"{value!r} is not {_type_name(key.type)}"
    if key.choices and value not in key.choices:
        return f"{value!r} is not one of {', '.join(map(str, key.choices))}"
    if key.pattern and not re.fullmatch(key.pattern, value):
        return f"{value!r} does not match {key.pattern}"
    if key.minimum is not None and value < key.minimum:
        return f"{value} is below {key.minimum}"
    if key.maximum is not None and value > key.maximum:
        return f"{value} is above {key.maximum}"
    return ""


def read_map(
    given: Mapping[str, Any], keys: Mapping[str, Key], variable: str, findings: Findings, host: str = "",
) -> dict[str, Any]:
    """Return the typed values of a map, defaults filled in; a bad value is reported and replaced by its default."""
    prefix = variable + "." if variable else ""
    if variable:
        for name in given:
            if name not in keys:
                findings.add(
                    "input.unknown-key", prefix + str(name), "is not a key of this variable",
                    "the keys are " + ", ".join(sorted(keys)), host,
                )
    values: dict[str, Any] = {}
    for name, key in keys.items():
        value = given.get(name)
        if value is None:
            if key.default is NOT_GIVEN:
                findings.add("input.missing", prefix + name, "is not set", f"set it to {_type_name(key.type)}", host)
            value = key.type() if key.default is NOT_GIVEN else key.default
        else:
            problem = _value_problem(key, value)
            if problem:
                findings.add("input.type", prefix + name, problem, f"write {_type_name(key.type)}", host)
                value = key.type() if key.default is NOT_GIVEN else key.default
        values[name] = dict(value) if key.type is dict else list(value) if key.type is list and value is not None else value
    return values


@dataclass(frozen=True)
class Cluster:
    """The typed variables of one cluster.

    :ivar groups: inventory group name to host names in inventory order.
    :ivar hosts: host name to its host variables.
    """

    variables: dict[str, Any]
    model: dict[str, Any]
    pools: dict[str, dict[str, Any]]
    router: dict[str, Any]
    groups: Mapping[str, list[str]]
    hosts: dict[str, dict[str, Any]]


def _cluster_variables(
    hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]], findings: Findings,
) -> dict[str, Any]:
    first = hosts[0]
    given = {name: hostvars[first].get(name) for name in CLUSTER}
    for host in hosts[1:]:
        for name, value in given.items():
            if hostvars[host].get(name) != value:
                findings.add(
                    "input.not-one-value", name, f"differs between {first} and {host}",
                    "a cluster variable has one value: set it in the group_vars of a group that holds every host", host,
                )
    return read_map(given, CLUSTER, "", findings)


def _rows(given: list[Any], keys: Mapping[str, Key], variable: str, findings: Findings) -> list[dict[str, Any]]:
    rows = []
    for index, row in enumerate(given):
        where = f"{variable}[{index}]"
        if isinstance(row, Mapping):
            rows.append(read_map(row, keys, where, findings))
        else:
            findings.add("input.type", where, f"{row!r} is not a map", "write a map of " + ", ".join(sorted(keys)))
    return rows


def _pools(given: dict[str, Any], findings: Findings) -> dict[str, dict[str, Any]]:
    pools = {}
    for name, written in given.items():
        variable = f"sglang_pools.{name}"
        if not isinstance(written, Mapping):
            findings.add("input.type", variable, f"{written!r} is not a map", "write a map of " + ", ".join(sorted(POOL)))
            continue
        pool = read_map({"group": str(name), **written}, POOL, variable, findings)
        pool["mode"] = pool["mode"] or (str(name) if name in MODES else "")
        if not pool["mode"]:
            findings.add("input.missing", variable + ".mode", "is not set", "set it to one of " + ", ".join(MODES))
        pools[str(name)] = {**pool, "instances": _rows(pool["instances"], INSTANCE, variable + ".instances", findings)}
    _check_modes({pool["mode"] for pool in pools.values()} - {""}, findings)
    return pools


def _check_modes(modes: set[str], findings: Findings) -> None:
    """One router serves either prefill/decode pairs or plain workers (sglang-router 0.3.2 router_args.py)."""
    if not modes:
        findings.add("input.missing", "sglang_pools", "has no pool", "write the pools prefill and decode, or one of mode plain")
    elif "plain" in modes and modes & {"prefill", "decode"}:
        findings.add(
            "topology.mixed-modes", "sglang_pools", f"has pools of the modes {', '.join(sorted(modes))}",
            "a router serves prefill/decode pairs or plain workers: make two clusters",
        )
    elif len(modes) == 1 and "plain" not in modes:
        missing = ({"prefill", "decode"} - modes).pop()
        findings.add("input.missing", f"sglang_pools.{missing}", "is not set", "a prefill/decode cluster has both pools")


def clusters(groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the clusters of an inventory: name to hosts, in inventory order.

    :raises PlanError: no host has C(sglang_pools).
    """
    found: dict[str, list[str]] = {}
    for host in groups.get("all", []):
        if hostvars[host].get("sglang_pools") is not None:
            found.setdefault(str(hostvars[host].get("sglang_cluster") or CLUSTER["sglang_cluster"].default), []).append(host)
    if not found:
        findings = Findings()
        findings.add(
            "input.missing", "sglang_pools", "is set on no host of this inventory",
            "name the inventory of a cluster with -i, or set sglang_pools in its group_vars/all.yml",
        )
        findings.stop()
    return found


def _check_devices(row: dict[str, Any], findings: Findings, host: str) -> None:
    for index, name in enumerate(row["sglang_rdma_devices"]):
        if not isinstance(name, str) or not re.fullmatch(r"[^\s,:=^]+", name):
            findings.add(
                "input.type", f"sglang_rdma_devices[{index}]", f"{name!r} is not the name of a device", "write it without a port: mlx5_0",
                host,
            )
    for gpu, names in row["sglang_rdma_device_map"].items():
        if not re.fullmatch(r"[0-9]+", str(gpu)) or not isinstance(names, str) or not names:
            findings.add(
                "input.type", f"sglang_rdma_device_map.{gpu}", f"{gpu!r}: {names!r} is not the number of a GPU and its devices as one text",
                'write "0": mlx5_0, or "0": mlx5_0,mlx5_1', host,
            )


def _host(host: str, hostvars: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    row = read_map({name: hostvars.get(name) for name in HOST}, HOST, "", findings, host)
    row["sglang_gpu"] = read_map(row["sglang_gpu"], GPU, "sglang_gpu", findings, host)
    _check_devices(row, findings, host)
    row["ansible_host"] = str(hostvars.get("ansible_host") or host)
    return row | {name: addresses.canonical(row[name]) for name in ADDRESSES}


def read(
    members: list[str], groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, Any]], findings: Findings,
) -> Cluster:
    """Read the variables of one cluster.

    :param members: its hosts.
    :param groups: inventory groups, as Ansible's magic variable of that name.
    :param hostvars: variables by host, as Ansible's magic variable of that name.
    :raises PlanError: a variable is missing, unknown or of the wrong type.
    """
    variables = _cluster_variables(members, hostvars, findings)
    model = read_map(variables["sglang_model"], MODEL, "sglang_model", findings)
    pools = _pools(variables["sglang_pools"], findings)
    router = read_map(variables["sglang_router"], ROUTER, "sglang_router", findings)
    router["workers"] = _rows(router["workers"], WORKER, "sglang_router.workers", findings)
    findings.stop()
    hosts = {host: _host(host, hostvars[host], findings) for host in members}
    findings.stop()
    return Cluster(variables, model, pools, router, groups, hosts)
