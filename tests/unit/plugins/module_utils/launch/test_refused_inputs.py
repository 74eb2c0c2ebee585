# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that are missing, unknown or of the wrong type, and stacks that do not exist."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster

REFUSALS = {
    "no pools anywhere": Refusal("input.missing", {"sglang_pools": GONE}, "sglang_pools", "is set on no host", "-i"),
    "no stack": Refusal("input.missing", {"sglang_stack": GONE}, "sglang_stack", "is not set", "a text"),
    "no decode pool": Refusal("input.missing", {"sglang_pools.decode": GONE}, "sglang_pools.decode", "is not set", "both pools"),
    "no port": Refusal("input.missing", {"sglang_pools.prefill.port": GONE}, "sglang_pools.prefill.port", "is not set"),
    "no model path": Refusal("input.missing", {"sglang_model.path": GONE}, "sglang_model.path", "is not set"),
    "port as a text": Refusal("input.type", {"sglang_pools.prefill.port": "30000"}, "sglang_pools.prefill.port", "'30000' is not a whole"),
    "tp as a boolean": Refusal("input.type", {"sglang_pools.prefill.tp": True}, "sglang_pools.prefill.tp", "True is not a whole number"),
    "port too high": Refusal("input.type", {"sglang_pools.prefill.port": 65536}, "sglang_pools.prefill.port", "65536 is above 65535"),
    "port zero": Refusal("input.type", {"sglang_router.port": 0}, "sglang_router.port", "0 is below 1"),
    "no room above the rendezvous port": Refusal(
        "input.type", {"sglang_pools.decode.dist_init_port": 65500}, "sglang_pools.decode.dist_init_port", "is above 65486"
    ),
    "an unknown source": Refusal("input.type", {"sglang_model.source": "hub"}, "sglang_model.source", "is not one of path, tiny"),
    "an unknown backend": Refusal(
        "backend.unknown", {"sglang_transfer_backend": "tcp"}, "sglang_transfer_backend", "no transfer backend 'tcp'", "mooncake, nixl"
    ),
    "arguments as a list": Refusal("input.type", {"sglang_args": ["--x"]}, "sglang_args", "is not a map"),
    "hosts as a text": Refusal(
        "input.type",
        {"sglang_pools.prefill.instances": [{"name": "a", "hosts": "p0"}]},
        "sglang_pools.prefill.instances[0].hosts",
        "'p0' is not a list",
    ),
    "an instance as a text": Refusal(
        "input.type", {"sglang_pools.prefill.instances": ["p0"]}, "sglang_pools.prefill.instances[0]", "'p0' is not a map", "write a map of"
    ),
    "a host variable of the wrong type": Refusal(
        "input.type", {"p1:sglang_host_env": "A=1"}, "sglang_host_env", "'A=1' is not a map", host="p1"
    ),
    "a cluster name with a blank": Refusal("input.type", {"sglang_cluster": "my lab"}, "sglang_cluster", "does not match"),
    "a cluster name with a line break": Refusal("input.type", {"sglang_cluster": "lab\nUser=root"}, "sglang_cluster", "does not match"),
    "a misspelt key": Refusal(
        "input.unknown-key", {"sglang_pools.prefill.nodes": 2}, "sglang_pools.prefill.nodes", "is not a key", "nodes_per_instance"
    ),
    "a misspelt model key": Refusal("input.unknown-key", {"sglang_model.sha256": "x"}, "sglang_model.sha256", "is not a key", "checksum"),
    "a pool without a mode": Refusal(
        "input.missing", {"sglang_pools.encode": {}}, "sglang_pools.encode.mode", "is not set", "prefill, decode"
    ),
    "a pool that is no map": Refusal("input.type", {"sglang_pools.more": 3}, "sglang_pools.more", "3 is not a map"),
    "a plain pool beside pairs": Refusal(
        "topology.mixed-modes",
        {"sglang_pools.more": {"mode": "plain", "tp": 1, "port": 30002, "group": "router"}},
        "sglang_pools",
        "decode, plain",
    ),
    "a cluster variable with two values": Refusal(
        "input.not-one-value", {"d1:sglang_args": {"page-size": 32}}, "sglang_args", "differs between p0 and d1", "group_vars", "d1"
    ),
    "a relative model path": Refusal("input.type", {"sglang_model.path": "models/x"}, "sglang_model.path", "does not match"),
    "a root with a blank": Refusal("input.type", {"sglang_root": "/opt/a b"}, "sglang_root", "does not match"),
    **{
        f"a model in {path}": Refusal("model.path", {"sglang_model.path": path}, "sglang_model.path", "is not visible to the units")
        for path in ("/root/models/x", "/tmp/x", "/var/tmp/x", "/ho" + "me/x")
    },
    "an unknown stack": Refusal("stack.unknown", {"sglang_stack": "sglang-9"}, "sglang_stack", "'sglang-9'", "sglang-0.5.8-cpu"),
    "an unknown stack, and no router's": Refusal(
        "stack.unknown", {"sglang_stack": "vllm", "sglang_router_stack": ""}, "sglang_stack", "'vllm'"
    ),
    "an unknown router stack": Refusal("stack.unknown", {"sglang_router_stack": "nginx"}, "sglang_router_stack", "'nginx'"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


def test_all_findings_come_at_once() -> None:
    found = cluster().change({"sglang_stack": GONE, "sglang_pools.prefill.tp": "2", "sglang_router.prt": 1}).findings()
    assert {row.variable for row in found} == {"sglang_stack", "sglang_pools.prefill.tp", "sglang_router.prt"}


def test_a_finding_reads_as_variable_host_rule_and_fix() -> None:
    (found,) = cluster().change({"p1:sglang_fabric_address": ""}).findings()
    assert str(found) == (
        "sglang_fabric_address (host p1): is not set [rule address.missing] "
        "Fix: set it to the host's address on the network that carries the KV cache"
    )


def test_hosts_outside_of_the_cluster_are_left_alone() -> None:
    inventory = cluster()
    inventory.groups["all"].append("mail")
    inventory.hostvars["mail"] = {}
    assert "mail" not in inventory.plan()["hosts"]


ACCEPTED: dict[str, dict[str, Any]] = {
    "a name with dots": {"sglang_cluster": "lab.west-1"},
    "the highest port": {"sglang_pools.prefill.port": 65535},
    "a pool with its mode written": {"sglang_pools.prefill.mode": "prefill"},
    "null where nothing was to be written": {"sglang_args": None, "sglang_env": None, "sglang_files": None},
    "an instance as a map": {"sglang_pools.prefill.instances": [{"name": "a", "hosts": ["p0", "p1"]}]},
    "host variables": {"p1:sglang_host_env": {"NCCL_DEBUG": "WARN"}, "p0:sglang_host_env": {"NCCL_DEBUG": "WARN"}},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changes: dict[str, Any]) -> None:
    found = cluster().change(changes).findings()
    assert [str(row) for row in found if row.severity in ("error", "warning")] == []
