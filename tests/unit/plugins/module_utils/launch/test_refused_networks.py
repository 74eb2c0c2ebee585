# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that others cannot reach, or that belong to somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster, gpu_cluster

BIND, KV, MEET, FABRIC = "sglang_bind_address", "sglang_kv_address", "sglang_dist_init_address", "sglang_fabric_address"
MANAGEMENT = {"p0": "198.51.100.10", "p1": "198.51.100.11", "d0": "198.51.100.110", "d1": "198.51.100.111"}
# The field cluster: everything bound to the management network, ranks meeting on the fabric.
FIELD: dict[str, Any] = {f"{host}:{BIND}": address for host, address in MANAGEMENT.items()}
FIELD |= {f"p0:{MEET}": "203.0.113.10", f"d0:{MEET}": "203.0.113.110"}
SIX = {"p0": "2001:db8::10", "p1": "2001:db8::11", "d0": "2001:db8::12", "d1": "2001:db8::13"}
IPV6: dict[str, Any] = {"sglang_fabric_network": "2001:db8::/64", **{f"{host}:{FABRIC}": address for host, address in SIX.items()}}
NO_NETWORK = {"sglang_fabric_network": GONE}
REFUSALS = {
    "Gloo on another network": Refusal(
        "networks.socket-interface",
        {"sglang_env.GLOO_SOCKET_IFNAME": "bond0"},
        "sglang_env.GLOO_SOCKET_IFNAME",
        "GLOO_SOCKET_IFNAME=bond0 does not take fab0",
        "leave it out",
        "p0",
    ),
    "NCCL on another network": Refusal(
        "networks.socket-interface", {"sglang_env.NCCL_SOCKET_IFNAME": "=bond0"}, "sglang_env.NCCL_SOCKET_IFNAME", "=bond0", host="d1"
    ),
    "NCCL keeps off the fabric": Refusal(
        "networks.socket-interface", {"sglang_env.NCCL_SOCKET_IFNAME": "^fab"}, "sglang_env.NCCL_SOCKET_IFNAME", "^fab", host="p0"
    ),
    "the field cluster's prefill": Refusal(
        "networks.bootstrap-unreachable",
        FIELD,
        BIND,
        "are two networks: the ranks of prefill-0 register at 203.0.113.10:8998",
        "set both to 203.0.113.10",
        "p0",
    ),
    "the field cluster's decode": Refusal("networks.bind-apart", FIELD, BIND, "the API of decode-0", "leave sglang_bind_address out", "d0"),
    "two addresses of one network": Refusal(
        "networks.bootstrap-unreachable",
        {f"p0:{BIND}": "203.0.113.20", f"p0:{MEET}": "203.0.113.10"},
        BIND,
        "two addresses of one network",
        host="p0",
    ),
    "only the rendezvous set apart": Refusal(
        "networks.bootstrap-unreachable", {f"p0:{MEET}": "198.51.100.10"}, MEET, "bound to 203.0.113.10, does not listen", host="p0"
    ),
    "all of prefill on the management network": Refusal(
        "networks.bind-apart", {f"p0:{BIND}": "198.51.100.10"}, BIND, "and the router and every decode host must reach", host="p0"
    ),
    "the rendezvous of another host": Refusal(
        "networks.dist-init-not-own",
        {f"d0:{MEET}": "203.0.113.10"},
        MEET,
        "is an address of p0, and rank 0 of decode-0",
        "203.0.113.110",
        "d0",
    ),
    "an unknown rendezvous": Refusal(
        "networks.dist-init-not-own",
        {f"d0:{MEET}": "192.0.2.7"},
        MEET,
        "no address that the inventory gives",
        "sglang_management_address",
        "d0",
    ),
    "no SGLANG_HOST_IP": Refusal(
        "networks.kv-address-unset",
        {"sglang_env.SGLANG_HOST_IP": None},
        "sglang_env.SGLANG_HOST_IP",
        "rank 1 of decode-0 then tells its peers the source address of its default route",
        "the plan sets it to 203.0.113.111",
        "d1",
    ),
    "no SGLANG_HOST_IP on one host": Refusal(
        "networks.kv-address-unset",
        {"p1:sglang_host_env": {"SGLANG_HOST_IP": None}},
        "sglang_host_env.SGLANG_HOST_IP",
        "rank 1 of prefill-0",
        host="p1",
    ),
    "another address for the KV cache": Refusal("networks.kv-apart", {f"p1:{KV}": "203.0.113.99"}, KV, "are told 203.0.113.99", host="p1"),
    "IPv6 without Mooncake's variable": Refusal(
        "networks.mooncake-ipv6",
        {**IPV6, "sglang_env.MC_USE_IPV6": None},
        "sglang_env.MC_USE_IPV6",
        "is IPv6, and without MC_USE_IPV6",
        'MC_USE_IPV6: "1"',
    ),
    "loopback for the KV cache": Refusal(
        "networks.loopback", {**NO_NETWORK, f"p0:{KV}": "127.0.0.1"}, KV, "the cluster has 5 hosts", host="p0"
    ),
    "loopback bound": Refusal("networks.loopback", {f"d1:{BIND}": "127.0.0.1"}, BIND, "reached from this host only", host="d1"),
    "the network's first address": Refusal(
        "networks.unusable", {f"p1:{FABRIC}": "203.0.113.0"}, FABRIC, "first or last address of 203.0.113.0/24", host="p1"
    ),
    "the broadcast address": Refusal("networks.unusable", {f"p1:{FABRIC}": "203.0.113.255"}, FABRIC, "first or last address", host="p1"),
    "a link-local address": Refusal("networks.unusable", {**IPV6, f"d1:{BIND}": "fe80::1"}, BIND, "a link-local address", host="d1"),
    "a multicast address": Refusal("networks.unusable", {f"p1:{BIND}": "224.0.0.1"}, BIND, "a multicast address", host="p1"),
    "IPv4 and IPv6": Refusal(
        "networks.family", {**NO_NETWORK, f"d0:{FABRIC}": "2001:db8::12"}, FABRIC, "is IPv6, and 203.0.113.10 of p0 is IPv4", host="d0"
    ),
    "IPv4 and IPv6 for the KV cache": Refusal("networks.family", {**NO_NETWORK, f"d1:{KV}": "2001:db8::12"}, KV, "is IPv6", host="d1"),
    "an unnamed network, and a management address in it": Refusal(
        "networks.several",
        {**NO_NETWORK, f"d1:{FABRIC}": "198.51.100.111"},
        "sglang_fabric_network",
        "2 networks: 203.0.113.0/24 (d0), 198.51.100.0/24 (d1)",
    ),
    "bound to the address of another host": Refusal(
        "networks.address-shared", {f"d1:{BIND}": "203.0.113.10"}, BIND, "an address of p0", host="d1"
    ),
    "the KV cache at another host": Refusal("networks.address-shared", {f"d1:{KV}": "203.0.113.10"}, KV, "an address of p0", host="d1"),
    "two routers at one address": Refusal(
        "networks.address-shared",
        {"@router": ["r0", "d1"], "d1:sglang_management_address": "198.51.100.210"},
        "sglang_management_address",
        "an address of r0",
        host="d1",
    ),
    "a router on every network": Refusal(
        "networks.router-wildcard",
        {"r0:sglang_management_address": "0.0.0.0"},
        "sglang_management_address",
        "the router binds 0.0.0.0",
        host="r0",
    ),
    "a router without a fabric address": Refusal(
        "networks.router-fabric",
        {"r0:sglang_fabric_address": GONE},
        "sglang_fabric_address",
        "must reach the engines in 203.0.113.0/24",
        "of the router host",
        "r0",
    ),
    "clients in the fabric": Refusal(
        "networks.clients-in-fabric",
        {"r0:sglang_management_address": "203.0.113.210"},
        "sglang_management_address",
        "in the fabric network 203.0.113.0/24",
        host="r0",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


def rules(changes: dict[str, Any]) -> set[str]:
    return {found.rule for found in cluster().change(changes).findings() if found.rule.startswith("networks.")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        # Both on the management network works; only the way of the requests is another one.
        ({f"p0:{BIND}": "198.51.100.10", f"p0:{MEET}": "198.51.100.10"}, {"networks.bind-apart"}),
        # A wildcard listens where ranks register.
        ({f"p0:{BIND}": "0.0.0.0"}, set()),
        ({f"p0:{BIND}": "0.0.0.0", f"p0:{MEET}": "198.51.100.10"}, set()),
        # Decode has no bootstrap server.
        ({f"d0:{MEET}": "198.51.100.110"}, set()),
        ({f"d0:{FABRIC}": "203.0.113.110", f"d0:{MEET}": "203.0.113.110"}, set()),
        (IPV6, set()),
        ({**IPV6, "sglang_env.MC_USE_IPV6": "1"}, set()),
        ({**IPV6, "sglang_transfer_backend": "nixl"}, set()),
        (NO_NETWORK, set()),
        ({**NO_NETWORK, "r0:sglang_fabric_address": GONE}, {"networks.router-fabric"}),
        ({"r0:sglang_fabric_address": GONE, "r0:sglang_management_address": "203.0.113.210"}, {"networks.clients-in-fabric"}),
        ({"sglang_env": {"GLOO_SOCKET_IFNAME": "bond0,fab0", "NCCL_SOCKET_IFNAME": "fab"}}, set()),
        ({"sglang_env": {"GLOO_SOCKET_IFNAME": "fab0", "NCCL_SOCKET_IFNAME": "=bond0,fab0"}}, set()),
        ({"sglang_env": {"NCCL_SOCKET_IFNAME": "^docker,lo"}}, set()),
        ({"sglang_fabric_network": "203.0.113.0/24", f"d1:{FABRIC}": "203.0.113.254"}, set()),
        ({"sglang_fabric_network": "192.0.0.0/4", f"d1:{FABRIC}": "198.51.100.111"}, {"networks.clients-in-fabric"}),
    ],
)
def test_what_else_is_said(changes: dict[str, Any], expected: set[str]) -> None:
    assert rules(changes) == expected


def test_ranks_of_one_host_register_at_their_own_address() -> None:
    one = cluster(1, 1, 1, 2).change({f"p0:{BIND}": "198.51.100.10", f"p0:{MEET}": "203.0.113.10"})
    assert {found.rule for found in one.findings()} == {"networks.bind-apart"}


def test_two_hosts_may_be_a_network_of_two_addresses() -> None:
    changes = {"sglang_fabric_network": "203.0.113.10/31", "d0:sglang_fabric_address": "203.0.113.11"}
    assert cluster(1, 1, 1, 2).change(changes).findings() == []


def test_a_cluster_of_one_host_may_meet_on_loopback() -> None:
    changes = {
        "@prefill": ["p0"],
        "@router": ["p0"],
        "sglang_pools": {"plain": {"tp": 2, "port": 30000, "group": "prefill"}},
        f"p0:{BIND}": "127.0.0.1",
    }
    assert {found.rule for found in cluster().change(changes).findings()} == {"networks.bind-apart"}


def test_the_field_cluster_is_refused_for_each_of_its_addresses() -> None:
    found = gpu_cluster().change({**FIELD, "sglang_env.SGLANG_HOST_IP": None}).findings()
    places = {(row.rule, row.place) for row in found if row.rule.startswith("networks.")}
    assert places == {
        ("networks.bootstrap-unreachable", "prefill-0"),
        ("networks.bind-apart", "decode-0"),
        ("networks.kv-address-unset", "prefill-0"),
        ("networks.kv-address-unset", "decode-0"),
    }


def test_a_plain_worker_of_one_host_needs_no_kv_address() -> None:
    pools = {"sglang_pools": {"plain": {"tp": 2, "port": 30000, "group": "prefill"}}, "sglang_env.SGLANG_HOST_IP": None}
    assert "networks.kv-address-unset" not in rules(pools)
    pools["sglang_pools"]["plain"]["nodes_per_instance"] = 2
    assert "networks.kv-address-unset" in rules(pools)
