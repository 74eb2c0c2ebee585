# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories for tests: the lab's shape in any size, and changes of it written as data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue, plan
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Finding, PlanError
from ansible_collections.railyard.sglang.tests.unit.support.machines import beside, machine, roce

GONE = object()
FILES = {"/controller/deepep.json": b'{"num_sms": 24}\n', "/controller/map.pt": b"PK\x03\x04\xff\x00"}


def read(path: str) -> bytes:
    """Return a file of the controller."""
    try:
        return FILES[path]
    except KeyError:
        raise FileNotFoundError(2, "No such file or directory", path) from None


@dataclass
class Inventory:
    """Groups and variables by host, as Ansible's magic variables hold them, and facts of the hosts that were looked at."""

    groups: dict[str, list[str]]
    hostvars: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> dict[str, Any]:
        """Return the plan."""
        return plan.build(self.groups, self.hostvars, read, self.facts)

    def findings(self) -> list[Any]:
        """Return what the plan refuses, or what it warns of."""
        try:
            return [Finding(**row) for row in self.plan()["findings"]]
        except PlanError as error:
            return list(error.findings)

    def change(self, changes: Mapping[str, Any]) -> Inventory:
        """Return a changed copy.

        :param changes: C(@GROUP) replaces a group's hosts, C(!HOST) the facts of a host, C(HOST:NAME) one host's variable, C(NAME.KEY)
            a variable of all hosts; GONE removes.
        """
        changed = copy.deepcopy(self)
        for path, value in changes.items():
            if path.startswith("@"):
                changed.groups[path[1:]] = value
                continue
            if path.startswith("!"):
                _put(changed.facts, [path[1:]], value)
                continue
            host, _colon, name = path.rpartition(":")
            for variables in [changed.hostvars[host]] if host else changed.hostvars.values():
                _put(variables, name.split("."), value)
        return changed


def _put(variables: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        variables = variables.setdefault(key, {})
    if value is GONE:
        variables.pop(keys[-1], None)
    else:
        variables[keys[-1]] = copy.deepcopy(value)


def cluster(prefill: int = 2, decode: int = 2, nodes: int = 2, tp: int = 2) -> Inventory:
    """Return a cluster of so many hosts in pools of so many hosts per instance, and a router."""
    groups = {
        "prefill": [f"p{index}" for index in range(prefill)],
        "decode": [f"d{index}" for index in range(decode)],
        "router": ["r0"],
    }
    groups["all"] = [host for members in list(groups.values()) for host in members]
    pool = {"nodes_per_instance": nodes, "tp": tp}
    common = {
        "sglang_cluster": "lab",
        "sglang_stack": "sglang-0.5.8-cpu",
        "sglang_router_stack": "sglang-router-0.3.2",
        "sglang_model": {"path": "/opt/models/tiny", "name": "tiny", "source": "tiny"},
        "sglang_fabric_network": "203.0.113.0/24",
        "sglang_fabric_interface": "fab0",
        "sglang_cpu_cores": 2,
        "sglang_args": {"max-total-tokens": 4096, "mem-fraction-static": 0.1},
        "sglang_pools": {"prefill": {**pool, "port": 30000}, "decode": {**pool, "port": 30001}},
    }
    bases = {"p": 10, "d": 110, "r": 210}
    hostvars = {}
    for host in groups["all"]:
        number = bases[host[0]] + int(host[1:])
        hostvars[host] = {
            **copy.deepcopy(common),
            "ansible_host": f"198.51.100.{number}",
            "sglang_fabric_address": f"203.0.113.{number}",
        }
    return Inventory(groups, hostvars)


# Rules that the plan's action reports, which tests of module_utils may not import.
RULES_OF_THE_ACTION = frozenset({"input.vaulted"})
DEVICES = [f"mlx5_{number}" for number in (0, 3, 4, 5, 6, 9, 10, 11)]


def gpu_cluster(prefill: int = 2, decode: int = 2, nodes: int = 2) -> Inventory:
    """Return hosts of eight 80 GB GPUs and eight NICs that serve DeepSeek-R1, TP 16 over two hosts each."""
    changes = {
        "sglang_stack": "sglang-0.5.8-cu12",
        "sglang_model": {"path": "/opt/models/DeepSeek-R1", "name": "deepseek-r1", "config": "deepseek-r1"},
        "sglang_args": {"mem-fraction-static": 0.8, "trust-remote-code": True, "context-length": 8192},
        "sglang_gpu": {"count": 8, "memory_gib": 80, "arch": "sm90"},
        "sglang_rdma_devices": DEVICES,
        "sglang_gid_index": 3,
    }
    return cluster(prefill, decode, nodes, 8 * nodes).change(changes)


def rails(number: int, **more: Any) -> dict[str, Any]:
    """Return the facts of a host with eight GPUs, a 400 Gb/s NIC beside each in a network of its own, and two management ports.

    :param number: last part of its addresses.
    :param more: what is different about the first NIC.
    """
    rows = [roce(name, 3, f"203.0.113.{32 * rail + number}/27") for rail, name in enumerate(DEVICES)]
    rows[0] |= {key: value for key, value in more.items() if key in rows[0]}
    rows[0]["ports"][0] |= {key: value for key, value in more.items() if key not in rows[0]}
    slow = [roce(name, 3, rate=100) for name in ("mlx5_1", "mlx5_2")]
    return machine([*rows, *slow], beside(*DEVICES), system={"peermem": {"loaded": True}})


def looked(prefill: int = 2, decode: int = 2, nodes: int = 2) -> Inventory:
    """Return the cluster with GPUs, of whose devices the inventory says nothing and the hosts everything."""
    inventory = gpu_cluster(prefill, decode, nodes).change({"sglang_rdma_devices": GONE, "sglang_gid_index": GONE})
    hosts = inventory.groups["prefill"] + inventory.groups["decode"]
    inventory.facts = {host: rails(1 + index) for index, host in enumerate(hosts)}
    return inventory


@dataclass(frozen=True)
class Refusal:
    """A change of the lab's inventory that breaks one rule, and how the finding must read."""

    rule: str
    changes: Mapping[str, Any]
    variable: str
    text: str
    fix: str = ""
    host: str = ""
    severity: str = ""

    def check(self, inventory: Inventory | None = None) -> None:
        """Assert that the plan refuses the change for this reason, or warns of it where that is the rule's severity.

        :param inventory: another one than the lab's.
        """
        findings = (inventory or cluster()).change(self.changes).findings()
        rows = [(found.rule, found.variable, found.host) for found in findings]
        assert (self.rule, self.variable, self.host) in rows, rows
        matching = [found for found in findings if (found.rule, found.variable, found.host) == (self.rule, self.variable, self.host)]
        assert {found.severity for found in matching} == {self.severity or catalogue.RULES[self.rule].severity}
        assert any(self.text in found.text and self.fix in found.fix for found in matching), [str(found) for found in matching]


def options(argv: list[str]) -> dict[str, list[str]]:
    """Return option to its words, of an argument vector that gives no option twice."""
    found: dict[str, list[str]] = {}
    for word in argv:
        if word.startswith("--"):
            assert word not in found, f"{word} is given twice"
            found[word] = []
        elif found:
            found[list(found)[-1]].append(word)
    return found
