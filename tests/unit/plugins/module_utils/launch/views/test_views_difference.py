# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import difference, report
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory, cluster

FILE = {"deepep.json": {"content": "{}"}}
SHA = hashlib.sha256(b"{}").hexdigest()[:12]
# Two instances of two hosts each; p2 and p3 are free.
LAB = cluster(4, 2).change({"@prefill": ["p0", "p1"]})
FOUR = LAB.change({"@prefill": ["p0", "p1", "p2", "p3"]})
# Inventory, its change, and each change of the plan: kind, what, name, and details among those that it must have.
CHANGES: dict[str, tuple[Inventory, Mapping[str, Any], list[tuple[str, str, str, list[str]]]]] = {
    "nothing": (LAB, {}, []),
    "environment": (
        LAB, {"sglang_pools.prefill.env": {"NCCL_DEBUG": "INFO"}},
        [("restarted", "instance", "prefill-0", ["environment NCCL_DEBUG: not set -> INFO"])],
    ),
    "environment of one host": (
        LAB, {"d1:sglang_host_env": {"NCCL_DEBUG": "INFO"}},
        [("restarted", "instance", "decode-0", ["environment NCCL_DEBUG: not set -> INFO (rank 1)"])],
    ),
    "environment taken back": (
        LAB.change({"sglang_pools.prefill.env": {"NCCL_DEBUG": "INFO"}}), {"sglang_pools.prefill.env": GONE},
        [("restarted", "instance", "prefill-0", ["environment NCCL_DEBUG: INFO -> not set"])],
    ),
    "argument of the file": (
        LAB, {"sglang_pools.decode.args": {"mem-fraction-static": 0.2}},
        [("restarted", "instance", "decode-0", ["argument --mem-fraction-static: 0.1 -> 0.2"])],
    ),
    "argument of the command line": (
        LAB, {"sglang_pools.prefill.port": 31000},
        [
            ("restarted", "instance", "prefill-0", ["argument --port: 30000 -> 31000"]),
            ("restarted", "router", "r0", ["argument --prefill: http://203.0.113.10:30000 8998 -> http://203.0.113.10:31000 8998"]),
        ],
    ),
    "flag": (
        LAB, {"sglang_pools.decode.args": {"enable-metrics": True}},
        [("restarted", "instance", "decode-0", ["argument --enable-metrics: not set -> true"])],
    ),
    "file": (
        LAB, {"sglang_pools.prefill.files": FILE},
        [("restarted", "instance", "prefill-0", [f"file /etc/sglang/prefill-0/deepep.json: not set -> {SHA}"])],
    ),
    "argument of the router": (
        LAB, {"sglang_router.args": {"policy": "random"}}, [("restarted", "router", "r0", ["argument --policy: not set -> random"])],
    ),
    "nothing that a process sees": (LAB, {"sglang_fabric_network": "203.0.112.0/23"}, []),
    "instance added": (
        LAB, {"@prefill": FOUR.groups["prefill"]},
        [
            ("added", "instance", "prefill-1", ["hosts: p2, p3"]),
            ("restarted", "router", "r0", []),
        ],
    ),
    "instance removed": (
        FOUR, {"@prefill": ["p0", "p1"]}, [("removed", "instance", "prefill-1", []), ("restarted", "router", "r0", [])],
    ),
    "instance moved": (
        LAB, {"@prefill": ["p0", "p2"]},
        [(
            "moved", "instance", "prefill-0",
            [
                "host: p1 -> p2 (rank 1)",
                "argument --host: 203.0.113.11 -> 203.0.113.12 (rank 1)",
                "environment SGLANG_HOST_IP: 203.0.113.11 -> 203.0.113.12 (rank 1)",
            ],
        )],
    ),
    "instance grown": (
        FOUR, {"sglang_pools.prefill.nodes_per_instance": 4, "sglang_pools.prefill.tp": 4},
        [
            ("moved", "instance", "prefill-0", ["hosts: p0, p1 -> p0, p1, p2, p3", "argument --nnodes: 2 -> 4"]),
            ("removed", "instance", "prefill-1", []),
            ("restarted", "router", "r0", []),
        ],
    ),
    "router moved": (LAB, {"@router": ["p2"]}, [("moved", "router", "p2", ["host: r0 -> p2"])]),
    "router added": (LAB, {"@router": ["r0", "p2"]}, [("added", "router", "p2", [])]),
    "router removed": (LAB.change({"@router": ["r0", "p2"]}), {"@router": ["r0"]}, [("removed", "router", "p2", [])]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name: str) -> None:
    inventory, changes, wanted = CHANGES[name]
    found = difference.changes(inventory.plan(), inventory.change(changes).plan())
    assert sorted((one.kind, one.what, one.name) for one in found) == sorted(row[:3] for row in wanted)
    for kind, what, called, details in wanted:
        (one,) = [one for one in found if (one.kind, one.what, one.name) == (kind, what, called)]
        assert [line for line in details if line not in one.details] == []


def test_ranks_that_change_places_restart() -> None:
    changes = {"p0:sglang_fabric_address": "203.0.113.11", "p1:sglang_fabric_address": "203.0.113.10"}
    found = difference.changes(LAB.plan(), LAB.change(changes).plan())
    assert ("restarted", "instance", "prefill-0") in [(one.kind, one.what, one.name) for one in found]


def test_a_restart_always_says_why() -> None:
    old = cluster().plan()
    for changes in ({"sglang_root": "/srv/sglang"}, {"sglang_cpu_cores": 1}, {"sglang_model.name": "small"}):
        found = difference.changes(old, cluster().change(changes).plan())
        assert found
        assert all(one.details for one in found)


def test_text() -> None:
    old, new = cluster().plan(), cluster().change({"sglang_pools.prefill.env": {"NCCL_DEBUG": "INFO"}}).plan()
    assert difference.text(difference.changes(old, new)) == (
        "prefill-0 (cluster lab) would restart\n  environment NCCL_DEBUG: not set -> INFO\n"
    )
    assert difference.text([]) == "Nothing would restart.\n"
    moved = difference.Change("moved", "router", "lab", "r1", ("host: r0 -> r1",))
    assert difference.text([moved]) == "router on r1 (cluster lab) would be moved\n  host: r0 -> r1\n"


@pytest.mark.parametrize(
    ("previous", "words"),
    [
        ("", "There is no earlier plan"),
        ("{", "is not JSON"),
        ("[]", "has schema None"),
        ('{"schema": 1}', "has schema 1, this one 2"),
    ],
)
def test_nothing_to_compare_with(previous: str, words: str) -> None:
    found, said = report.compare(previous, cluster().change({"sglang_cluster": "a"}).plan())
    assert found == []
    assert words in said


@pytest.mark.parametrize(
    "damage",
    [
        {"instances": GONE},
        {"routers": GONE},
        {"instances": None},
        {"instances": "x"},
        {"instances": [{}]},
        {"instances": [{"cluster": "lab", "name": "prefill-0"}]},
        {"routers": [{"cluster": "lab", "host": "r0", "digest": ""}]},
    ],
)
def test_an_earlier_plan_that_was_cut(damage: dict[str, Any]) -> None:
    plan = LAB.plan()
    old = {key: value for key, value in {**plan, **damage}.items() if value is not GONE}
    assert difference.comparable(plan, plan)
    assert not difference.comparable(old, plan)
    found, words = report.compare(json.dumps(old), plan)
    assert found == []
    assert "nothing to compare with" in words
