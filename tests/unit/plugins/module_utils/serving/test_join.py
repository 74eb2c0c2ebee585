# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One result of what the hosts have said, as table and page."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock, data
from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny
from ansible_collections.railyard.sglang.plugins.module_utils.serving import join, proof_page, proof_text
from ansible_collections.railyard.sglang.plugins.module_utils.serving.join import Told
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

PLAN = cluster().plan()
STEPS = ("router", "workers", "pairs", "chat")
SIZE = 1 << 20


def counts(size: int) -> dict[str, Any]:
    row = {"rx_bytes": size, "tx_bytes": size}
    return {"fabric": {"interface": "fab0", **row}, "management": {"interface": "eth0", **row}, "rdma": {}}


def told(plan: dict[str, Any] | None = None) -> Told:
    """What a healthy cluster says."""
    plan = PLAN if plan is None else plan
    ranks: dict[str, Any] = {}
    for rank in (rank for row in plan["instances"] for rank in row["ranks"]):
        planned = rank["registration"]
        found = {str(row["engine_rank"]): planned["address"] for row in planned["engine_ranks"]} if planned else {}
        row = {"instance": rank["instance"], "rank": rank["rank"], "host": rank["host"], "state": "ready", "registered": found}
        ranks[rank["host"]] = {"ranks": [row], "before": counts(0), "clock": clock(0.0)}
    usual = {"after": counts(SIZE), "listening": 2, "ports": [], "lines": {}, "config": tiny._configuration()}
    servers = {
        rank["host"]: [{**row, "problem": ""} for row in rank["bootstraps"]] for instance in plan["instances"] for rank in instance["ranks"]
    }
    evidence = {host: {**usual, "bootstraps": servers[host]} for host in ranks}
    steps = [{"step": name, "state": "proven", "seconds": 0.5, "evidence": f"saw {name}", "problems": [], "notes": []} for name in STEPS]
    pair = {
        "pair": "prefill-0 > decode-0", "prefill": "prefill-0", "decode": "decode-0", "tokens": 16, "text": "The <harbour>", "problems": [],
        "first": [0.5, 0.6], "between": [0.02, 0.02], "first_seconds": 0.55, "between_seconds": 0.02,
    }  # fmt: skip
    proof = {"clock": clock(0.0), "steps": steps, "pairs": [pair], "workers": {}, "sent": {"prefill-0": 100, "decode-0": 100}}
    return Told(ranks=ranks, proofs={"r0": proof}, evidence=evidence)


def clock(ahead: float, error: float = 0.05) -> dict[str, Any]:
    """Return what host_clock says of a clock that is so many seconds ahead of the controller's."""
    return data(Clock(ahead - error, ahead + error))


def states(document: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in document["clusters"][0]["steps"]}


def test_a_healthy_cluster() -> None:
    document = join.document(PLAN, told())
    assert document["verdict"] == "proven"
    names = ("clocks", "ranks", "ports", "registration", "bootstrap", *STEPS, "transport", "slow pairs")
    assert states(document) == dict.fromkeys(names, "proven")
    assert join.problems(document) == []
    said = {step["step"]: step["evidence"] for step in document["clusters"][0]["steps"]}
    assert said["registration"] == "2 engine ranks at 1 bootstrap server, each by its planned address"
    assert said["bootstrap"] == "2 decode hosts reach 1 bootstrap server over new connections"
    assert said["ranks"].startswith("4 ranks are ready")
    assert said["clocks"] == "of 5 clocks none is known to be more than 1 s off"
    assert said["ports"] == "8 planned ports are held by their units on 4 hosts"


def test_the_table_and_the_page() -> None:
    document = join.document(PLAN, told())
    lines = proof_text.view(document)
    assert lines[1] == "Proof of lab: proven"
    assert any(line.startswith("transport") and "tcp as planned" in line for line in lines)
    page = proof_page.view(document, "Proof of lab", "now")
    assert '<span class="verdict good">proven</span>' in page
    assert "The &lt;harbour&gt;" in page
    assert "<harbour>" not in page
    assert page.count("prefill / decode") == 2


def fault(change: Any) -> dict[str, Any]:
    given = copy.deepcopy(told())
    change(given)
    return join.document(PLAN, given)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda given: given.ranks["p1"]["ranks"][0].update(registered={"1": "198.51.100.11"}),
            "registration: prefill-0 rank 1 on p1: engine rank 1 is registered by 198.51.100.11, planned is 203.0.113.11",
        ),
        (
            lambda given: given.ranks["p0"]["ranks"][0].update(registered={}),
            "registration: prefill-0 rank 0 on p0: 1 of 1 engine ranks are not registered at http://203.0.113.10:8998",
        ),
        (
            lambda given: given.ranks["d1"]["ranks"][0].update(state="hanging", detail="/health: 503 after 20 s"),
            "ranks: decode-0 rank 1 on d1 is hanging: /health: 503 after 20 s",
        ),
        (
            lambda given: given.ranks.update(d1={"failed": True, "msg": "systemctl show: no answer"}),
            "ranks: d1: systemctl show: no answer",
        ),
        (
            lambda given: given.ranks["d0"].update(clock=clock(5.0)),
            "clocks: d0: its clock is at least 4.900 s ahead of that of d1, and 3 more. Fix: synchronise the clocks",
        ),
        (
            lambda given: given.evidence["d0"].update(ports=["nobody listens on 203.0.113.110:30001"]),
            "ports: d0: nobody listens on 203.0.113.110:30001",
        ),
        (
            lambda given: given.evidence["d1"]["bootstraps"][0].update(problem="timed out"),
            "bootstrap: d1: the bootstrap server of prefill-0 at http://203.0.113.10:8998 is not reached: timed out. decode goes on",
        ),
        (
            lambda given: given.proofs["r0"]["steps"][2].update(state="failed", problems=["pair prefill-0 > decode-0: no answer"]),
            "pairs: pair prefill-0 > decode-0: no answer",
        ),
        (
            lambda given: given.evidence["p0"].update(after=counts(0)) or given.evidence["p1"].update(after=counts(0)),
            "transport: prefill-0 sent",
        ),
    ],
)
def test_what_is_not_proven(change: Any, problem: str) -> None:
    document = fault(change)
    assert document["verdict"] == "failed"
    (text,) = join.problems(document)
    assert text.startswith(problem)
    assert any(line.startswith(f"- {problem}") for line in proof_text.view(document))


def clocks_step(given: Told, demands: join.Demands | None = None) -> dict[str, Any]:
    (step,) = [step for step in join.document(PLAN, given, demands)["clusters"][0]["steps"] if step["step"] == "clocks"]
    return dict(step)


def test_clocks_that_may_be_apart() -> None:
    given = told()
    given.ranks["d0"]["clock"] = clock(-3.0)
    assert clocks_step(given)["state"] == "failed"
    assert clocks_step(given, join.Demands(clock_seconds=4))["problems"] == []
    waived = clocks_step(given, join.Demands(waived={"lab": {join.CLOCK_RULE: "the time server is being replaced"}}))
    assert clocks_step(given, join.Demands(waived={"other": {join.CLOCK_RULE: "not this cluster"}}))["state"] == "failed"
    assert waived["evidence"] == "of 5 clocks 1 is known to be more than 1 s off"
    assert (waived["state"], waived["problems"]) == ("proven", [])
    assert waived["notes"] == ["d0: its clock is at least 2.900 s behind that of d1, and 3 more"]
    # Little is known of it.
    given.ranks["d0"]["clock"] = clock(-3.0, 2.5)
    assert clocks_step(given)["state"] == "proven"


def test_clocks_that_were_not_looked_at() -> None:
    given = told()
    for host in ("p0", "p1"):
        del given.ranks[host]["clock"]
    assert clocks_step(given)["notes"] == ["not looked at in this run: p0, p1"]
    for host in ("d0", "d1"):
        given.ranks[host]["clock"] = {"problem": "its answer is no time"}
    step = clocks_step(given)
    assert (step["state"], step["evidence"]) == ("not tried", "not looked at in this run")
    assert step["notes"][0] == "d0: its clock was not measured: its answer is no time"


def test_a_run_without_the_router_is_in_part() -> None:
    document = fault(lambda given: given.proofs.clear())
    assert document["verdict"] == "in part"
    assert states(document)["requests"] == states(document)["transport"] == "not tried"
    assert join.problems(document) == []


def test_a_run_with_nothing_but_the_router() -> None:
    document = fault(lambda given: given.ranks.clear() or given.evidence.clear())
    assert document["verdict"] == "in part"
    assert states(document)["pairs"] == "proven"
    assert states(document)["registration"] == states(document)["ranks"] == "not tried"


def test_a_server_of_an_instance_that_was_not_looked_at_is_no_failure() -> None:
    """--limit to decode, while prefill is not there yet or stands still."""

    def limited(given: Told) -> None:
        for host in ("p0", "p1"):
            given.ranks.pop(host)
            given.evidence.pop(host)
        given.proofs.clear()
        for host in ("d0", "d1"):
            given.evidence[host]["bootstraps"][0].update(problem="refused")

    document = fault(limited)
    assert (document["verdict"], join.problems(document)) == ("in part", [])
    (step,) = [step for step in document["clusters"][0]["steps"] if step["step"] == "bootstrap"]
    assert step["notes"] == ["not looked at in this run: prefill-0"]
    assert step["evidence"] == "2 decode hosts reach 0 bootstrap servers over new connections"


def test_a_server_that_is_none_of_the_plan_counts() -> None:
    row = {"instance": "", "url": "http://192.0.2.7:8998", "problem": "timed out"}
    (text,) = join.problems(fault(lambda given: given.evidence["d0"]["bootstraps"].append(row)))
    assert text.startswith("bootstrap: d0: the bootstrap server of no planned instance at http://192.0.2.7:8998 is not reached: timed out")


def test_a_plan_and_a_host_of_before_this_step_are_not_looked_at() -> None:
    plan, given = copy.deepcopy(PLAN), copy.deepcopy(told())
    for rank in (rank for row in plan["instances"] for rank in row["ranks"]):
        del rank["bootstraps"]
    assert states(join.document(plan, given))["bootstrap"] == "not tried"
    for row in given.evidence.values():
        del row["bootstraps"]
    assert join.problems(join.document(PLAN, given)) == []


def test_slow_pairs_are_named_with_hosts_and_counters() -> None:
    plan = cluster(3, 1, 1, 1).plan()
    given = told(plan)
    (usual,) = given.proofs["r0"]["pairs"]
    slow = {**usual, "pair": "prefill-2 > decode-0", "prefill": "prefill-2", "first_seconds": 95.0}
    other = {**usual, "pair": "prefill-1 > decode-0", "prefill": "prefill-1", "first_seconds": 0.56}
    given.proofs["r0"]["pairs"] += [other, slow]
    document = join.document(plan, given)
    (found,) = document["clusters"][0]["slow"]
    assert (found["name"], found["hosts"]) == ("prefill-2 > decode-0", ["p2", "d0"])
    assert "no error counter moved" in found["counters"]
    assert document["verdict"] != "failed"
    assert any("takes 95.00 s to the first token, usual are 0.56 s, on p2, d0" in line for line in proof_text.view(document))
    assert 'class="slow"' in proof_page.view(document, "x", "y")
    assert join.document(plan, given, join.Demands(fail_on_slow=True))["verdict"] == "failed"
