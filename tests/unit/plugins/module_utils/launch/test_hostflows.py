# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a host's slice that says what must reach it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.launch import hostflows, porttable
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster, looked

Row = tuple[str, str, str, str, str]
P0: list[Row] = [
    ("lab routers", "fabric", "203.0.113.10", "tcp 30000", "API"),
    ("monitoring", "fabric", "203.0.113.10", "tcp 30000", "metrics and health"),
    ("lab prefill and decode", "fabric", "203.0.113.10", "tcp 8998", "KV bootstrap"),
    ("lab/prefill-0", "fabric", "203.0.113.10", "tcp 5000", "rendezvous"),
    ("lab decode", "fabric", "203.0.113.10", "tcp 15000-17000", "Mooncake handshake"),
    ("lab engines", "fabric", "", "tcp 32768-60999", "ephemeral ports between engines"),
    ("controllers", "management", "", "tcp 22", "SSH"),
]
R0: list[Row] = [
    ("clients", "management", "198.51.100.210", "tcp 8000", "router API"),
    ("monitoring", "management", "198.51.100.210", "tcp 29000", "router metrics"),
    ("controllers", "management", "", "tcp 22", "SSH"),
]


def part(inventory: Inventory, host: str) -> dict[str, Any]:
    found: dict[str, Any] = inventory.plan()["hosts"][host]["firewall"]
    return found


def rows(found: Mapping[str, Any]) -> list[Row]:
    return [(row["source"], row["scope"], row["address"], f"{row['protocol']} {row['port']}", row["purpose"]) for row in found["flows"]]


@pytest.mark.parametrize(("host", "wanted"), [("p0", P0), ("r0", R0)])
def test_every_flow_of_the_lab(host: str, wanted: list[Row]) -> None:
    assert sorted(rows(part(cluster(), host))) == sorted(wanted)


def test_it_is_the_port_table_and_nothing_else() -> None:
    plan = cluster().plan()
    table = {(flow.host, flow.source, flow.address, flow.protocol, flow.port) for flow in porttable.flows(plan)}
    keys = ("source", "address", "protocol", "port")
    assert {(host, *(flow[key] for key in keys)) for host, row in plan["hosts"].items() for flow in row["firewall"]["flows"]} == table


def test_sources_are_the_groups_that_are_named_with_exactly_their_addresses() -> None:
    plan = cluster().plan()
    groups = porttable.groups(plan)
    for row in plan["hosts"].values():
        found = row["firewall"]
        named = {flow["source"] for flow in found["flows"]} - set(porttable.OUTSIDE)
        assert set(found["sources"]) == named | ({found["peers"]} if found["peers"] else set())
        for name, networks in found["sources"].items():
            assert {str(address) for text in networks for address in ipaddress.ip_network(text)} == set(groups[name].addresses)
    assert plan["hosts"]["p0"]["firewall"]["peers"] == "lab engines"
    assert plan["hosts"]["r0"]["firewall"]["peers"] == ""


# Inventory, changes, host, a row that must be there.
SHAPES: dict[str, tuple[Inventory, Mapping[str, Any], str, Row]] = {
    "port of SSH": (cluster(), {"p0:ansible_port": 2222}, "p0", ("controllers", "management", "", "tcp 2222", "SSH")),
    "port of SSH as text": (cluster(), {"p0:ansible_port": "2222"}, "p0", ("controllers", "management", "", "tcp 2222", "SSH")),
    "port of SSH that is none": (cluster(), {"p0:ansible_port": "{{ x }}"}, "p0", P0[6]),
    "rendezvous on another network": (
        cluster(), {"p0:sglang_bind_address": "0.0.0.0", "p0:sglang_dist_init_address": "198.51.100.10"}, "p0",
        ("lab/prefill-0", "management", "198.51.100.10", "tcp 5000", "rendezvous"),
    ),
    "no fabric network is named": (cluster(), {"sglang_fabric_network": ""}, "p0", P0[0]),
    "soft RoCE": (looked(), {}, "p0", ("lab rails", "fabric", "", "udp 4791", "RoCE v2")),
    "rails that are not known": (gpu_cluster(), {}, "p0", ("rails of engines", "fabric", "", "udp 4791", "RoCE v2")),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name: str) -> None:
    inventory, changes, host, wanted = SHAPES[name]
    assert wanted in rows(part(inventory.change(changes), host))


def test_rdma_of_cards_needs_no_port_of_the_host() -> None:
    (row,) = [flow for flow in part(gpu_cluster(), "p0")["flows"] if flow["port"] == "4791"]
    assert row["needed"] == hostflows.SOFT_ROCE
    assert not [flow for flow in part(cluster(), "p0")["flows"] if flow["protocol"] == "udp"]


def test_rails_are_sources_where_those_of_all_engines_are_known() -> None:
    inventory = looked()
    plan = inventory.plan()
    wanted = {
        address.partition("/")[0] for row in plan["hosts"].values() for rail in (row["rdma"] or {}).get("rails", [])
        for address in rail["addresses"]
    }
    found = plan["hosts"]["p0"]["firewall"]["sources"]["lab rails"]
    assert {str(address) for text in found for address in ipaddress.ip_network(text)} == wanted
    assert len(wanted) > 1


def test_the_management_address_is_an_address_or_nothing() -> None:
    assert part(cluster(), "p0")["management_address"] == "198.51.100.10"
    assert part(cluster().change({"p0:ansible_host": "p0.example"}), "p0")["management_address"] == ""
    assert part(cluster().change({"p0:sglang_management_address": "198.51.100.99"}), "p0")["management_address"] == "198.51.100.99"


def test_a_slice_does_not_grow_with_the_cluster() -> None:
    sizes = [len(json.dumps(part(cluster(size, size, 1, 1), "p0"))) for size in (4, 64)]
    assert sizes[1] < 1.5 * sizes[0]


NEAR = st.integers(0, 40).map(lambda number: ipaddress.ip_address("192.0.2.0") + number)


@given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6), NEAR)))
def test_networks_hold_exactly_the_addresses(given_addresses: list[Any]) -> None:
    found = [ipaddress.ip_network(text) for text in hostflows.exactly(map(str, given_addresses))]
    assert {address for network in found for address in network} == set(given_addresses)
    assert sum(network.num_addresses for network in found) == len(set(given_addresses))
