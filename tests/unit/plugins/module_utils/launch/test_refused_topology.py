# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies that cannot be planned."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster


def instances(*rows: tuple[str, list[str]]) -> dict[str, object]:
    return {"sglang_pools.prefill.instances": [{"name": name, "hosts": hosts} for name, hosts in rows]}


POOL = "sglang_pools.prefill"
REFUSALS = {
    "an odd number of hosts for the declared ranks": Refusal(
        "topology.odd-hosts", {"@prefill": ["p0"]}, f"{POOL}.nodes_per_instance", "has 1 hosts (p0)", "add 1 host(s)"
    ),
    "three hosts per instance": Refusal(
        "topology.odd-hosts", {f"{POOL}.nodes_per_instance": 3}, f"{POOL}.nodes_per_instance", "not a multiple of 3", "take 2 out"
    ),
    "an empty group": Refusal("topology.group-empty", {"@decode": []}, "sglang_pools.decode.group", "group decode has no host"),
    "a group that is not there": Refusal(
        "topology.group-empty", {f"{POOL}.group": "prefil"}, f"{POOL}.group", "group prefil has no host", "name the group"
    ),
    "no router": Refusal("topology.group-empty", {"@router": []}, "sglang_router.group", "group router has no host"),
    "a host of the other pool": Refusal(
        "topology.wrong-group",
        instances(("prefill-0", ["p0", "d1"])),
        f"{POOL}.instances[0].hosts",
        "d1 is not in group prefill",
        host="d1",
    ),
    "a host that is nowhere": Refusal(
        "topology.wrong-group",
        instances(("prefill-0", ["p0", "p9"])),
        f"{POOL}.instances[0].hosts",
        "p9 is not in group prefill",
        host="p9",
    ),
    "a host in two groups": Refusal(
        "placement.gpu-unknown",
        {"@decode": ["d0", "p1"]},
        "sglang_pools.decode.hosts",
        "p1 serves prefill-0 and decode-0, and the number",
        "take it out of one",
        "p1",
    ),
    "a host in two instances": Refusal(
        "placement.gpu-unknown",
        instances(("a", ["p0", "p1"]), ("b", ["p1", "p0"])),
        f"{POOL}.instances[1].hosts",
        "serves a and b",
        host="p1",
    ),
    "a host twice in one instance": Refusal(
        "topology.host-twice", instances(("a", ["p0", "p0"])), f"{POOL}.instances[0].hosts", "p0 is two ranks of a", host="p0"
    ),
    "two instances with the same name": Refusal(
        "topology.name-twice", instances(("a", ["p0"]), ("a", ["p1"])), f"{POOL}.instances[1].name", "two instances are called a"
    ),
    "the same name in the other pool": Refusal(
        "topology.name-twice",
        {**instances(("a", ["p0", "p1"])), "sglang_pools.decode.instances": [{"name": "a", "hosts": ["d0", "d1"]}]},
        "sglang_pools.decode.instances[0].name",
        "two instances are called a",
    ),
    "a host left over": Refusal(
        "topology.idle-host", instances(("a", ["p0"])), f"{POOL}.instances", "p1 of group prefill is in no instance", host="p1"
    ),
    "no hosts": Refusal("topology.no-hosts", instances(("a", [])), f"{POOL}.instances[0].hosts", "the list is empty"),
    "tp that the hosts do not divide": Refusal(
        "topology.tp-nodes",
        {f"{POOL}.tp": 3},
        f"{POOL}.tp",
        "size 3 times 1 pipeline stage(s) cannot be split over 2 hosts of prefill-0",
        "divide tp",
    ),
    "a host without the cluster's variables": Refusal(
        "topology.foreign-host", {"p1:sglang_pools": GONE}, f"{POOL}.group", "p1 has no sglang_pools", host="p1"
    ),
    "a router without the cluster's variables": Refusal(
        "topology.foreign-host", {"r0:sglang_pools": GONE}, "sglang_router.group", "r0 has no sglang_pools", host="r0"
    ),
    **{
        f"instance name {name!r}": Refusal("topology.name", instances((name, ["p0", "p1"])), f"{POOL}.instances[0].name", repr(name))
        for name in ("", "0a", "a b", "a/b", "A", "a-", "a" * 41, "a\n", "router")
    },
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


ACCEPTED: dict[str, dict[str, Any]] = {
    "one host for each instance": {f"{POOL}.nodes_per_instance": 1, f"{POOL}.tp": 2, "sglang_pools.decode.nodes_per_instance": 1},
    "the longest name": instances(("a" * 40, ["p0", "p1"])),
    "hosts in another order": instances(("a", ["p1", "p0"])),
    "the router beside an engine": {"@router": ["d1"]},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changes: dict[str, Any]) -> None:
    found = cluster().change(changes).findings()
    assert [str(row) for row in found if row.severity in ("error", "warning")] == []
