# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes that cannot be divided, GPUs that are not there, addresses that are bound too widely, waivers that do not count."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Refusal, cluster

POOL, DECODE, BIND = "sglang_pools.prefill", "sglang_pools.decode", "sglang_bind_address"
REASON = "accepted until the second rack is cabled"
FOUR = {"sglang_gpu": {"count": 4}}


def instances(*rows: dict[str, Any]) -> dict[str, Any]:
    return {f"{POOL}.instances": [{"name": f"i{index}", "hosts": ["p0", "p1"], **row} for index, row in enumerate(rows)]}


def waive(rule: str, reason: Any = REASON) -> dict[str, Any]:
    return {"sglang_waive": {rule: reason}}


REFUSALS = {
    "stages and hosts": Refusal(
        "parallel.pp-nodes",
        {f"{POOL}.tp": 6, f"{POOL}.pp": 2, f"{POOL}.instances": [{"name": "a", "hosts": ["p0", "p1", "p2"]}]},
        f"{POOL}.pp",
        "2 pipeline stages and 3 hosts of a do not divide each other",
        "whole number of hosts",
    ),
    "attention groups": Refusal(
        "parallel.dp-tp",
        {f"{DECODE}.tp": 4, f"{DECODE}.dp": 3, f"{DECODE}.dp_attention": True},
        f"{DECODE}.dp",
        "3 attention groups do not divide tp 4",
    ),
    "replicas over hosts": Refusal("parallel.plain-dp", {f"{POOL}.dp": 2}, f"{POOL}.dp", "cannot be over 2 hosts", "dp_attention: true"),
    "replicas in a pair": Refusal(
        "parallel.plain-dp",
        {f"{POOL}.dp": 2, f"{POOL}.nodes_per_instance": 1},
        f"{POOL}.dp",
        "prefill-0 cannot be in pool mode prefill",
        "an instance of its own",
    ),
    "experts": Refusal("parallel.ep-tp", {f"{DECODE}.tp": 4, f"{DECODE}.ep": 3}, f"{DECODE}.ep", "ep 3 does not divide tp 4 of decode-0"),
    "one GPU for two": Refusal(
        "placement.gpu-twice",
        {**FOUR, **instances({"first_gpu": 1}, {"first_gpu": 1})},
        f"{POOL}.instances[1].first_gpu",
        "GPUs 1-1 of i1 overlap 1-1 of i0",
        "leave it out to have them counted",
        "p1",
    ),
    "GPUs that overlap": Refusal(
        "placement.gpu-twice",
        {"sglang_gpu": {"count": 8}, f"{POOL}.tp": 4, **instances({"first_gpu": 0}, {"first_gpu": 1})},
        f"{POOL}.instances[1].first_gpu",
        "GPUs 1-2 of i1 overlap 0-1 of i0",
        host="p0",
    ),
    "more than the host has": Refusal(
        "placement.gpu-count",
        {**FOUR, f"{DECODE}.tp": 16},
        f"{DECODE}.hosts",
        "decode-0 needs GPUs 0-7, and the host has 4",
        "use fewer",
        "d1",
    ),
    "more than the others leave": Refusal(
        "placement.gpu-count",
        {**FOUR, f"{POOL}.tp": 6, **instances({}, {})},
        f"{POOL}.instances[1].hosts",
        "i1 needs GPUs 3-5, and the host has 4 (i0 before it)",
        host="p0",
    ),
    "a shared host of unknown size": Refusal(
        "placement.gpu-unknown",
        instances({}, {}),
        f"{POOL}.instances[1].hosts",
        "p1 serves i0 and i1, and the number",
        "sglang_gpu.count",
        "p1",
    ),
    **{
        f"bound to {address}": Refusal(
            "address.wildcard-bind",
            {f"p0:{BIND}": address},
            BIND,
            "binds every network of the host",
            "the fabric address is then bound",
            "p0",
        )
        for address in ("0.0.0.0", "::", "[::]")
    },
    "a waiver of no rule": Refusal(
        "waiver.invalid", waive("router.rank-0"), "sglang_waive.router.rank-0", "is not a rule", "docs/rules.md"
    ),
    "a waiver of what no plan can do without": Refusal(
        "waiver.invalid", waive("input.missing"), "sglang_waive.input.missing", "cannot be waived: without it there is no plan"
    ),
    "a waiver without a reason": Refusal(
        "waiver.invalid", waive("topology.idle-host", ""), "sglang_waive.topology.idle-host", "has no reason: ''"
    ),
    "a waiver with hardly a reason": Refusal(
        "waiver.invalid",
        waive("topology.idle-host", "  because  "),
        "sglang_waive.topology.idle-host",
        "has no reason",
        "why its violation is accepted",
    ),
    "a waiver that is no text": Refusal(
        "waiver.invalid", waive("topology.idle-host", True), "sglang_waive.topology.idle-host", "has no reason: True"
    ),
    "decode alone beside plain workers": Refusal(
        "topology.mixed-modes",
        {POOL: GONE, "sglang_pools.plain": {"tp": 1, "port": 30002, "group": "prefill"}},
        "sglang_pools",
        "decode, plain",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check(cluster(3) if refusal.rule == "parallel.pp-nodes" else None)


@pytest.mark.parametrize(
    "changes",
    [
        {f"{POOL}.tp": 4, f"{POOL}.pp": 1},
        {f"{DECODE}.tp": 4, f"{DECODE}.dp": 2, f"{DECODE}.dp_attention": True},
        {f"{DECODE}.tp": 4, f"{DECODE}.ep": 2},
        {**FOUR, f"{POOL}.tp": 8},
        {**FOUR, **instances({"first_gpu": 1}, {"first_gpu": 2})},
        {**FOUR, f"{POOL}.tp": 4, **instances({}, {})},
        waive("topology.idle-host"),
        waive("address.wildcard-bind"),
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    found = cluster().change(changes).findings()
    assert [
        row for row in found if row.rule.split(".")[0] in ("placement", "waiver", "topology", "address") or row.severity == "error"
    ] == []


def test_a_waiver_counts_for_its_rule_only() -> None:
    changes = {f"p0:{BIND}": "0.0.0.0", "p1:sglang_kv_address": "203.0.113.99", **waive("address.wildcard-bind")}
    found = {row.rule: (row.severity, REASON in row.text) for row in cluster().change(changes).findings()}
    assert found == {"address.wildcard-bind": ("waived", True), "networks.kv-apart": ("warning", False)}
