# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts with the names that a host will have."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import renamed
from ansible_collections.railyard.sglang.tests.unit.support.clusters import DEVICES, GONE, looked

ROWS = [
    {"before": "ens1", "after": "roce0", "rdma_before": "mlx5_0", "rdma_after": "mlx5_rail0"},
    {"before": "ens2", "after": "ens2", "rdma_before": "mlx5_1", "rdma_after": "mlx5_1"},
    {"before": "ens3", "after": "roce3", "rdma_before": "", "rdma_after": ""},
]


def test_names() -> None:
    assert renamed.names(ROWS) == {"ens1": "roce0", "mlx5_0": "mlx5_rail0", "ens3": "roce3"}
    assert renamed.names([]) == {}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            {"ens1": {"name": "ens1", "mtu": 9000}, "ens1.7": {"lower": ["ens1"]}},
            {"roce0": {"name": "roce0", "mtu": 9000}, "ens1.7": {"lower": ["roce0"]}},
        ),
        (
            {"name": "mlx5_0", "ports": [{"netdev": "ens1", "state": None}]},
            {"name": "mlx5_rail0", "ports": [{"netdev": "roce0", "state": None}]},
        ),
        (["ens2", "ens11", 1, True], ["ens2", "ens11", 1, True]),
    ],
)
def test_facts(found: Any, wanted: Any) -> None:
    assert renamed.facts(found, renamed.names(ROWS)) == wanted


def test_two_names_change_places() -> None:
    new = {"roce0": "roce1", "roce1": "roce0"}
    found = {"roce0": {"name": "roce0", "pci": "a"}, "roce1": {"name": "roce1", "pci": "b"}}
    assert renamed.facts(found, new) == {"roce1": {"name": "roce1", "pci": "a"}, "roce0": {"name": "roce0", "pci": "b"}}
    assert renamed.facts(renamed.facts(found, new), new) == found


def test_the_plan_of_the_new_names() -> None:
    inventory = looked()
    new = {f"{name}_if": f"roce{rail}" for rail, name in enumerate(DEVICES)} | {DEVICES[0]: "mlx5_rail0"}
    inventory.facts = {host: renamed.facts(facts, new) for host, facts in inventory.facts.items()}
    rdma = inventory.plan()["hosts"]["p0"]["rdma"]
    assert [row["netdev"] for row in rdma["rails"]] == [f"roce{rail}" for rail in range(8)]
    assert sorted(rdma["devices"]) == sorted(["mlx5_rail0", *DEVICES[1:]])
    assert rdma["gpu_map"]["0"] == ["mlx5_rail0"]


def test_the_plan_finds_the_interface_of_the_fabric_address() -> None:
    inventory = looked().change({"sglang_fabric_interface": GONE})
    for number, host in enumerate(inventory.facts, 10):
        address = inventory.hostvars[host]["sglang_fabric_address"]
        inventory.facts[host]["interfaces"] = {"ens7": {"addresses": ["fe80::1/64", f"{address}/24"]}, "eno1": {"addresses": []}}
        if host == "d1":
            inventory.facts[host] = renamed.facts(inventory.facts[host], {"ens7": f"roce{number}"})
    ranks = {host: row["ranks"][0]["environment"] for host, row in inventory.plan()["hosts"].items() if row["ranks"]}
    assert ranks["p0"]["GLOO_SOCKET_IFNAME"] == "ens7"
    assert ranks["d1"]["GLOO_SOCKET_IFNAME"] == "roce13"
    assert ranks["d1"]["NCCL_SOCKET_IFNAME"] == "=roce13"
    assert inventory.change({"p0:sglang_fabric_interface": "bond0"}).plan()["hosts"]["p0"]["fabric_interface"] == "bond0"


@pytest.mark.parametrize("interfaces", [{}, {"ens7": {"addresses": ["192.0.2.1/24"]}}, "twice"])
def test_no_interface_of_the_fabric_address(interfaces: Any) -> None:
    inventory = looked().change({"sglang_fabric_interface": GONE})
    address = inventory.hostvars["p0"]["sglang_fabric_address"]
    twice = {name: {"addresses": [f"{address}/24"]} for name in ("ens7", "ens8")}
    for facts in inventory.facts.values():
        facts["interfaces"] = twice if interfaces == "twice" else interfaces
    found = [row for row in inventory.findings() if row.rule == "address.interface"]
    assert {row.severity for row in found} == {"error"}
    assert f"is not set, and instance prefill-0 spans 2 hosts, and no interface of the host has {address}" in found[0].text


def test_a_plan_without_a_look_warns_only() -> None:
    inventory = looked().change({"sglang_fabric_interface": GONE, "sglang_waive": {}})
    inventory.facts = {}
    found = [row for row in inventory.plan()["findings"] if row["rule"] == "address.interface"]
    assert {row["severity"] for row in found} == {"warning"}
    assert found[0]["fix"].startswith("a run finds it on the host")


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"sglang_rdma_devices": ["mlx5_0", "mlx5_1"]}, {"sglang_rdma_devices": ["mlx5_rail0", "mlx5_1"]}),
        ({"sglang_rdma_devices": ["mlx5_0:1", "0000:1a:00.0", 7]}, {"sglang_rdma_devices": ["mlx5_rail0:1", "0000:1a:00.0", 7]}),
        ({"sglang_rdma_exclude": ["mlx5_0", "mlx5_01"]}, {"sglang_rdma_exclude": ["mlx5_rail0", "mlx5_01"]}),
        ({"sglang_rdma_device_map": {"0": "mlx5_0, mlx5_1", "1": "mlx5_1", "2": 3}},
         {"sglang_rdma_device_map": {"0": "mlx5_rail0, mlx5_1", "1": "mlx5_1", "2": 3}}),
        ({"sglang_rail_addresses": {"mlx5_0": "203.0.113.1"}}, {"sglang_rail_addresses": {"mlx5_rail0": "203.0.113.1"}}),
        ({"sglang_rdma_devices": ["mlx5_rail0"], "sglang_env": {"NCCL_IB_HCA": "mlx5_0"}}, {}),
        ({"sglang_rdma_devices": "mlx5_0", "sglang_rdma_device_map": None, "sglang_rail_addresses": "x"}, {}),
    ],
)
def test_variables(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert renamed.variables(row, renamed.names(ROWS)) == wanted


def test_two_devices_change_places_in_variables() -> None:
    new = {"mlx5_0": "mlx5_1", "mlx5_1": "mlx5_0"}
    row = {"sglang_rdma_device_map": {"0": "mlx5_0", "1": "mlx5_1"}}
    assert renamed.variables(row, new) == {"sglang_rdma_device_map": {"0": "mlx5_1", "1": "mlx5_0"}}
