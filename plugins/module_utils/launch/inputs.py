# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the clusters of an inventory, typed.

Cluster variables (all named C(sglang_*)) must have one value on all hosts; host variables belong to one host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import (
    ADDRESSES,
    CLUSTER,
    GPU,
    HIGHEST_PORT,
    HOST,
    INSTANCE,
    MODEL,
    MODES,
    POOL,
    ROUTER,
    WORKER,
    Key,
    read_map,
)


@dataclass(frozen=True)
class Cluster:
    """The typed variables of one cluster.

    :ivar groups: inventory group name to host names in inventory order.
    :ivar hosts: host name to its host variables.
    :ivar looks: host name to what was seen on it, of hosts that were looked at.
    :ivar written: host name to its variables before they were completed from what was seen.
    """

    variables: dict[str, Any]
    model: dict[str, Any]
    pools: dict[str, dict[str, Any]]
    router: dict[str, Any]
    groups: Mapping[str, list[str]]
    hosts: dict[str, dict[str, Any]]
    looks: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def _not_finite(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of floats that are no numbers; they are not even equal to themselves."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield path


def _finite(given: Mapping[str, Any], findings: Findings, host: str = "") -> Mapping[str, Any]:
    """Return variables without those that hold no finite number, each of which is reported."""
    wrong = {name: paths for name, value in given.items() if (paths := list(_not_finite(value, name)))}
    for path in (path for paths in wrong.values() for path in paths):
        findings.add("input.type", path, "is .nan or .inf, which is no number", "write a number", host)
    return {name: value for name, value in given.items() if name not in wrong}


def _cluster_variables(
    hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]], findings: Findings,
) -> dict[str, Any]:
    first = hosts[0]
    given = _finite({name: hostvars[first].get(name) for name in CLUSTER}, findings)
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


SSH_PORT = 22
# A device by name, one of its ports, or a PCI function.
DEVICE = re.compile(r"(?P<name>[^\s,:=^]+)(:[0-9]{1,3})?|([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")


def _devices(written: list[Any]) -> dict[str, Any]:
    """Return the data devices as written, and their names, which only a look at the host tells of PCI addresses."""
    found = [DEVICE.fullmatch(str(item)) for item in written]
    names = [match["name"] for match in found if match and match["name"]]
    written = [str(item).lower() if match and not match["name"] else item for item, match in zip(written, found)]
    return {"rdma_written": written, "sglang_rdma_devices": list(dict.fromkeys(names)) if len(names) == len(written) else []}


def _check_devices(row: dict[str, Any], findings: Findings, host: str) -> None:
    for index, name in enumerate(row["sglang_rdma_devices"]):
        if not isinstance(name, str) or not DEVICE.fullmatch(name):
            findings.add(
                "input.type", f"sglang_rdma_devices[{index}]", f"{name!r} is neither the name of a device nor a PCI address",
                "write mlx5_0, mlx5_0:1 for one of several ports, or 0000:1a:00.0", host,
            )
    for gpu, names in row["sglang_rdma_device_map"].items():
        if not re.fullmatch(r"[0-9]+", str(gpu)) or not isinstance(names, str) or not names:
            findings.add(
                "input.type", f"sglang_rdma_device_map.{gpu}", f"{gpu!r}: {names!r} is not the number of a GPU and its devices as one text",
                'write "0": mlx5_0, or "0": mlx5_0,mlx5_1', host,
            )


def _ssh_port(given: Any) -> int:
    """Return the port by which the controller reaches a host; what is no port is Ansible's to complain about."""
    text = str(given)
    return int(text) if text.isdecimal() and 1 <= int(text) <= HIGHEST_PORT else SSH_PORT


def _host(host: str, hostvars: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    row = read_map(_finite({name: hostvars.get(name) for name in HOST}, findings, host), HOST, "", findings, host)
    row["sglang_gpu"] = read_map(row["sglang_gpu"], GPU, "sglang_gpu", findings, host)
    _check_devices(row, findings, host)
    row |= _devices(row["sglang_rdma_devices"])
    row["ansible_host"] = str(hostvars.get("ansible_host") or host)
    row["ansible_port"] = _ssh_port(hostvars.get("ansible_port"))
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
