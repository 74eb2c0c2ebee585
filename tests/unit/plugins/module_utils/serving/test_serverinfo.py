# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker says of itself, and what the plan expects of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import expect, serverinfo
from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, looked

PLAN = cluster().plan()
OK = Answer(200)


def told(**fields: Any) -> Answer:
    return Answer(200, json.dumps({"disaggregation_mode": "prefill", "version": "0.5.8", "log_level": "info", **fields}))


@pytest.mark.parametrize(
    ("health", "info", "problem"),
    [
        (OK, told(), ""),
        (OK, Answer(404, '{"detail":"Not Found"}'), "/health answers and /server_info does not (404): it is a rank above 0"),
        (OK, Answer(0, error="timed out"), "/server_info answered timed out"),
        (OK, Answer(200, "{}"), "/server_info answered 200"),
        (Answer(503), Answer(0), "/health answered 503"),
        (Answer(0, error="refused"), Answer(0), "/health answered refused"),
    ],
)
def test_an_answer_or_why_not(health: Answer, info: Answer, problem: str) -> None:
    assert serverinfo.answer_problem(health, info).startswith(problem)
    assert bool(serverinfo.answer_problem(health, info)) == bool(problem)


def test_only_fields_that_matter_are_kept() -> None:
    assert serverinfo.kept(told(page_size=1)) == {"disaggregation_mode": "prefill", "version": "0.5.8", "page_size": 1}
    assert serverinfo.kept(Answer(404, "{}")) == {}


def test_the_plan_expects() -> None:
    prefill, decode = expect.workers(PLAN, PLAN["routers"][0])
    assert (prefill["host"], decode["host"]) == ("p0", "d0")
    assert prefill["expected"] == {
        "served_model_name": "tiny",
        "model_path": "/opt/models/tiny",
        "disaggregation_mode": "prefill",
        "tp_size": 2,
        "dp_size": 1,
        "pp_size": 1,
        "nnodes": 2,
        "node_rank": 0,
        "version": "0.5.8",
        "disaggregation_transfer_backend": "mooncake",
        "disaggregation_bootstrap_port": 8998,
    }
    assert decode["expected"]["disaggregation_mode"] == "decode"


def test_options_of_the_operator_are_expected() -> None:
    plan = cluster().change({"sglang_args.page-size": 16, "sglang_args.kv-cache-dtype": "fp8_e4m3"}).plan()
    expected = expect.workers(plan, plan["routers"][0])[0]["expected"]
    assert (expected["page_size"], expected["kv_cache_dtype"]) == (16, "fp8_e4m3")


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ({"disaggregation_mode": "prefill", "tp_size": 2}, []),
        ({"disaggregation_mode": "decode"}, ["role is decode, planned is prefill"]),
        ({"disaggregation_mode": "null"}, ["role is plain, planned is prefill"]),
        ({"node_rank": 1, "served_model_name": "other"}, ["model is other, planned is tiny", "node_rank is 1, planned is 0"]),
        ({}, []),
    ],
)
def test_against_the_plan(found: dict[str, Any], problems: list[str]) -> None:
    expected = expect.info(PLAN, PLAN["instances"][0])
    assert serverinfo.plan_problems(expected, {**expected, **found}) == problems


def test_what_a_worker_does_not_say_is_not_proven() -> None:
    expected = {"page_size": 64, "version": "0.5.8"}
    assert serverinfo.plan_problems(expected, {"version": "0.5.8"}) == ["page size is not in /server_info, planned is 64"]


def test_against_the_others() -> None:
    rows = [{"instance": name, "info": {"page_size": size}} for name, size in (("prefill-0", 1), ("prefill-1", 1), ("decode-0", 64))]
    assert serverinfo.peer_problems(rows) == ["page size differs: 1 on prefill-0, prefill-1; 64 on decode-0"]
    assert serverinfo.peer_problems(rows[:2]) == []


def test_the_planned_transport() -> None:
    rank = PLAN["hosts"]["p0"]["ranks"][0]
    assert expect.transport(rank, None) == "tcp"
    assert expect.transport(rank, {"known": True}) == "tcp", "MC_FORCE_TCP is in its environment"
    plan = looked().plan()
    row = plan["hosts"]["p0"]
    assert expect.transport(row["ranks"][0], row["rdma"]) == "rdma"
