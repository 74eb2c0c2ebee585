# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of workers that an operator wrote, and that do not fit the plan."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster

WORKERS = "sglang_router.workers"
PREFILL = {"url": "http://203.0.113.10:30000", "role": "prefill", "bootstrap_port": 8998}
DECODE = {"url": "http://203.0.113.110:30001", "role": "decode"}


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    return {WORKERS: list(rows)}


def prefill(**changes: Any) -> dict[str, Any]:
    return {**PREFILL, **changes}


def decode(**changes: Any) -> dict[str, Any]:
    return {**DECODE, **changes}


REFUSALS = {
    "rank 1 of prefill": Refusal(
        "router.not-rank-0",
        listed(PREFILL, prefill(url="http://203.0.113.11:30000"), DECODE),
        f"{WORKERS}[1].url",
        "is rank 1 of prefill-0, which answers /health and serves nothing",
        "list rank 0 only: http://203.0.113.10:30000",
        "p1",
    ),
    "rank 1 of decode": Refusal(
        "router.not-rank-0",
        listed(PREFILL, decode(url="http://203.0.113.111:30001/")),
        f"{WORKERS}[1].url",
        "rank 1 of decode-0",
        host="d1",
    ),
    "the management address": Refusal(
        "router.unknown-worker",
        listed(prefill(url="http://198.51.100.10:30000"), DECODE),
        f"{WORKERS}[0].url",
        "no instance of this plan is reached at http://198.51.100.10:30000",
        "http://203.0.113.10:30000",
    ),
    "another port": Refusal(
        "router.unknown-worker", listed(PREFILL, decode(url="http://203.0.113.110:30000")), f"{WORKERS}[1].url", "no instance"
    ),
    "TLS that the engine does not have": Refusal(
        "router.unknown-worker", listed(PREFILL, decode(url="https://203.0.113.110:30001")), f"{WORKERS}[1].url", "no instance"
    ),
    "roles swapped": Refusal(
        "router.role",
        listed(PREFILL, decode(role="prefill")),
        f"{WORKERS}[1].role",
        "decode-0 is listed as prefill and runs as decode",
        "role: decode",
    ),
    "no bootstrap port": Refusal(
        "router.bootstrap-port",
        listed(prefill(bootstrap_port=0), DECODE),
        f"{WORKERS}[0].bootstrap_port",
        "no port is given, and prefill-0 listens on 8998",
        "bootstrap_port: 8998",
    ),
    "another bootstrap port": Refusal(
        "router.bootstrap-port",
        listed(prefill(bootstrap_port=8999), DECODE),
        f"{WORKERS}[0].bootstrap_port",
        "8999 is given, and prefill-0",
    ),
    "decode left out": Refusal(
        "router.missing-worker", listed(PREFILL), WORKERS, "decode-0 (http://203.0.113.110:30001) is not listed", "list it"
    ),
    "no decode at all": Refusal(
        "router.no-worker", listed(PREFILL), WORKERS, "no decode worker of this plan is listed", "list decode-0 with role: decode"
    ),
    "no prefill at all": Refusal("router.no-worker", listed(DECODE), WORKERS, "no prefill worker", "list prefill-0"),
    "a worker twice": Refusal(
        "router.worker-twice", listed(PREFILL, DECODE, decode(url="http://203.0.113.110:30001/")), WORKERS, "is listed 2 times", "once"
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize("rows", [(), (PREFILL, DECODE), (DECODE, PREFILL), (prefill(url=PREFILL["url"] + "/"), DECODE)])
def test_accepted(rows: tuple[dict[str, Any], ...]) -> None:
    assert cluster().change(listed(*rows)).findings() == []


def test_an_address_has_several_spellings() -> None:
    addresses = {"p0": "2001:db8::10", "p1": "2001:db8::11", "d0": "2001:db8::12", "d1": "2001:db8::13"}
    six = {"sglang_fabric_network": "2001:db8::/64", **{f"{host}:sglang_fabric_address": text for host, text in addresses.items()}}
    rows = listed(prefill(url="http://[2001:DB8:0::10]:30000"), decode(url="http://[2001:db8:0:0::12]:30001"))
    assert not [row for row in cluster().change({**six, **rows}).findings() if row.rule.startswith("router.")]
    other = listed(prefill(url="http://[2001:db8::10]:30000"), decode(url="http://[2001:db8::14]:30001"))
    assert {row.rule for row in cluster().change({**six, **other}).findings()} >= {"router.unknown-worker", "router.no-worker"}


def test_a_worker_is_looked_for_where_the_router_reaches_it() -> None:
    changes = {"p0:sglang_bind_address": "0.0.0.0", **listed(PREFILL, DECODE)}
    assert {row.rule for row in cluster().change(changes).findings()} == {"address.wildcard-bind"}
    apart = {"d0:sglang_bind_address": "198.51.100.110", **listed(PREFILL, decode(url="http://198.51.100.110:30001"))}
    assert not [row for row in cluster().change(apart).findings() if row.rule.startswith("router.")]


def test_a_waived_list_is_planned_as_written() -> None:
    rows = listed(PREFILL, DECODE, decode(url="http://203.0.113.111:30001"))
    with pytest.raises(PlanError):
        cluster().change(rows).plan()
    waived = cluster().change({**rows, "sglang_waive": {"router.not-rank-0": "a trial of what the router does with it"}})
    argv = waived.plan()["routers"][0]["argv"]
    assert argv[-6:] == [
        "http://203.0.113.10:30000",
        "8998",
        "--decode",
        "http://203.0.113.110:30001",
        "--decode",
        "http://203.0.113.111:30001",
    ]
