# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that cannot serve a rank."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster

P1, D0 = "p1:sglang_fabric_address", "d0:sglang_fabric_address"
ADDRESS = "sglang_fabric_address"
REFUSALS = {
    "missing": Refusal("address.missing", {P1: GONE}, ADDRESS, "is not set", "carries the KV cache", "p1"),
    "empty": Refusal("address.missing", {P1: ""}, ADDRESS, "is not set", host="p1"),
    "a name": Refusal("address.not-an-address", {P1: "gpu01.example.com"}, ADDRESS, "'gpu01.example.com'", "not a name", "p1"),
    "a network": Refusal("address.not-an-address", {P1: "203.0.113.11/24"}, ADDRESS, "'203.0.113.11/24'", host="p1"),
    "half an address": Refusal("address.not-an-address", {P1: "203.0.113"}, ADDRESS, "'203.0.113'", host="p1"),
    "the management address": Refusal(
        "address.not-in-fabric", {P1: "198.51.100.11"}, ADDRESS, "198.51.100.11 is not in", "not the management one", "p1"
    ),
    "IPv6 in an IPv4 fabric": Refusal("address.not-in-fabric", {P1: "2001:db8::1"}, ADDRESS, "2001:db8::1 is not in", host="p1"),
    **{
        f"wildcard or loopback {text}": Refusal("address.wildcard", {P1: text}, ADDRESS, "cannot be reached from another host", host="p1")
        for text in ("0.0.0.0", "::", "127.0.0.1", "127.1.2.3", "::1")
    },
    "twice": Refusal("address.twice", {D0: "203.0.113.10"}, ADDRESS, "203.0.113.10 is also the address of p0", host="d0"),
    "twice in two spellings": Refusal(
        "address.twice",
        {"sglang_fabric_network": "2001:db8::/64", P1: "2001:db8::1", D0: "[2001:DB8:0::0001]"},
        ADDRESS,
        "2001:db8::1 is also the address of p1",
        host="d0",
    ),
    "a router at an engine's": Refusal(
        "address.twice", {"r0:sglang_fabric_address": "203.0.113.10"}, ADDRESS, "is also the address of p0", host="r0"
    ),
    "one machine under two names": Refusal(
        "address.same-host", {"p1:ansible_host": "198.51.100.10"}, "ansible_host", "198.51.100.10 is also ansible_host of p0", "own", "p1"
    ),
    "a router on an engine's machine": Refusal(
        "address.same-host", {"r0:ansible_host": "198.51.100.110"}, "ansible_host", "is also ansible_host of d0", host="r0"
    ),
    "not a network": Refusal("address.network", {"sglang_fabric_network": "203.0.113.0"}, "sglang_fabric_network", "is not a network"),
    "no interface": Refusal(
        "address.interface", {"p0:sglang_fabric_interface": GONE}, "sglang_fabric_interface", "prefill-0 spans 2 hosts", "Gloo", "p0"
    ),
    "a router by name": Refusal(
        "address.management", {"r0:ansible_host": "head01"}, "sglang_management_address", "ansible_host 'head01'", host="r0"
    ),
    "a router by its inventory name": Refusal(
        "address.management", {"r0:ansible_host": GONE}, "sglang_management_address", "ansible_host 'r0'", host="r0"
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


ACCEPTED: dict[str, dict[str, Any]] = {
    "no network given": {"sglang_fabric_network": GONE},
    "the last address of a network": {"p1:sglang_fabric_address": "203.0.113.254"},
    "an address in brackets": {
        "sglang_fabric_network": "2001:db8::/64",
        **{f"{host}:sglang_fabric_address": f"[2001:db8::{number}]" for number, host in enumerate(("p0", "p1", "d0", "d1", "r0"), 1)},
    },
    "a router without a fabric address": {"r0:sglang_fabric_address": GONE},
    "a name for ssh, an address for clients": {"r0:ansible_host": "router.example.org", "r0:sglang_management_address": "198.51.100.210"},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changes: dict[str, Any]) -> None:
    found = cluster().change(changes).findings()
    assert [str(row) for row in found if row.severity in ("error", "warning")] == []
