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
LAUNCH = {"args": Key(dict, {}), "env": Key(dict, {}), "files": Key(dict, {})}

CLUSTER = {
    "sglang_cluster": Key(str, "cluster", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "sglang_root": Key(str, "/opt/sglang", pattern=r"/[A-Za-z0-9._/-]+"),
    "sglang_stack": Key(str),
    "sglang_router_stack": Key(str),
    "sglang_model": Key(dict),
    "sglang_transfer_backend": Key(str, "mooncake", ("mooncake", "nixl")),
    "sglang_fabric_network": Key(str, ""),
    "sglang_cpu_cores": Key(int, 1, minimum=1),
    "sglang_args": Key(dict, {}),
    "sglang_env": Key(dict, {}),
    "sglang_files": Key(dict, {}),
    "sglang_pools": Key(dict),
    "sglang_router": Key(dict, {}),
}
MODEL = {
    "path": Key(str, pattern=r"/\S+"),
    "name": Key(str),
    "source": Key(str, "path", ("path", "tiny")),
    "checksum": Key(str, ""),
}
POOL = {
    "group": Key(str),
    "nodes_per_instance": Key(int, 1, minimum=1),
    "tp": Key(int, minimum=1),
    "port": Key(int, minimum=1, maximum=HIGHEST_PORT),
    "bootstrap_port": Key(int, 8998, minimum=1, maximum=HIGHEST_PORT),
    "dist_init_port": Key(int, 5000, minimum=1, maximum=65486),
    "instances": Key(list, []),
    **LAUNCH,
}
INSTANCE = {
    "name": Key(str),
    "hosts": Key(list),
    "port": Key(int, 0, minimum=0, maximum=HIGHEST_PORT),
    **LAUNCH,
}
ROUTER = {
    "group": Key(str, "router"),
    "port": Key(int, 8000, minimum=1, maximum=HIGHEST_PORT),
    "metrics_port": Key(int, 29000, minimum=1, maximum=HIGHEST_PORT),
    **LAUNCH,
}
HOST = {
    "sglang_fabric_address": Key(str, ""),
    "sglang_fabric_interface": Key(str, ""),
    "sglang_management_address": Key(str, ""),
    "sglang_host_args": Key(dict, {}),
    "sglang_host_env": Key(dict, {}),
}


def _type_name(kind: type) -> str:
    return {dict: "a map", list: "a list", int: "a whole number", str: "a text"}[kind]


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
        values[name] = dict(value) if key.type is dict else list(value) if key.type is list else value
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


def _pools(given: dict[str, Any], findings: Findings) -> dict[str, dict[str, Any]]:
    pools = {}
    for name in ("prefill", "decode"):
        variable = "sglang_pools." + name
        if not isinstance(given.get(name), Mapping):
            findings.add("input.missing", variable, "is not set", "a prefill/decode cluster has both pools")
            continue
        pool = read_map({"group": name, **given[name]}, POOL, variable, findings)
        rows = []
        for index, row in enumerate(pool["instances"]):
            where = f"{variable}.instances[{index}]"
            if isinstance(row, Mapping):
                rows.append(read_map(row, INSTANCE, where, findings))
            else:
                findings.add("input.type", where, f"{row!r} is not a map", "write {name: ..., hosts: [...]}")
        pools[name] = {**pool, "instances": rows}
    for name in given:
        if name not in ("prefill", "decode"):
            findings.add("input.unknown-key", f"sglang_pools.{name}", "is not a pool", "the pools are prefill and decode")
    return pools


def read(groups: Mapping[str, list[str]], hostvars: Mapping[str, Mapping[str, Any]]) -> Cluster:
    """Read the variables of the cluster that an inventory describes.

    :param groups: inventory groups, as Ansible's magic variable of that name.
    :param hostvars: variables by host, as Ansible's magic variable of that name.
    :raises PlanError: a variable is missing, unknown or of the wrong type.
    """
    findings = Findings()
    everyone = [host for host in groups.get("all", []) if hostvars[host].get("sglang_pools") is not None]
    if not everyone:
        findings.add(
            "input.missing", "sglang_pools", "is set on no host of this inventory",
            "name the inventory of a cluster with -i, or set sglang_pools in its group_vars/all.yml",
        )
        findings.stop()
    variables = _cluster_variables(everyone, hostvars, findings)
    model = read_map(variables["sglang_model"], MODEL, "sglang_model", findings)
    pools = _pools(variables["sglang_pools"], findings)
    router = read_map(variables["sglang_router"], ROUTER, "sglang_router", findings)
    findings.stop()
    hosts = {
        host: read_map({name: hostvars[host].get(name) for name in HOST}, HOST, "", findings, host)
        | {"ansible_host": str(hostvars[host].get("ansible_host") or host)}
        for host in everyone
    }
    for row in hosts.values():
        for name in ("sglang_fabric_address", "sglang_management_address", "ansible_host"):
            row[name] = addresses.canonical(row[name])
    findings.stop()
    return Cluster(variables, model, pools, router, groups, hosts)
