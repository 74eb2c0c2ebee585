# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rank has come."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import ranks
from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

RANK = cluster().plan()["hosts"]["p1"]["ranks"][0]
OK, LOADING, REFUSED = Answer(200), Answer(503), Answer(0, error="refused")
# What the bootstrap server of 0.5.8 answers: a rank that is there, one that is not (KeyError), another address.
MINE = Answer(200, '{"rank_ip": "203.0.113.11", "rank_port": 41063}')
NULLS = Answer(200, '{"rank_ip": null, "rank_port": null}')
MISSING = Answer(500, "500 Internal Server Error")
ELSEWHERE = Answer(200, '{"rank_ip": "198.51.100.11", "rank_port": 41063}')


def seen(**changes: Any) -> ranks.Observed:
    facts = {"installed": True, "load": "loaded", "active": "active", "restarts": 0, "health": OK, "registrations": {"1": MINE}}
    return ranks.Observed(**{**facts, **changes})


@pytest.mark.parametrize(
    ("observed", "state", "detail", "hopeless"),
    [
        (seen(), "ready", "", False),
        (seen(registrations={}), "ready", "", False),
        (seen(installed=False, load="not-found", active="inactive"), "installing", "bin/python is not there yet", False),
        (seen(load="not-found", active="inactive"), "installing", "sglang-prefill-0.service is not there yet", False),
        (seen(active="inactive", health=REFUSED), "stopped", "is inactive", True),
        (seen(active="failed", health=REFUSED), "stopped", "is failed", True),
        (seen(active="activating", restarts=2, health=REFUSED), "restarting", "restart 2 of", False),
        (seen(active="activating", health=REFUSED, registrations={"1": REFUSED}), "loading", "/health: refused", False),
        (seen(health=REFUSED, registrations={"1": REFUSED}), "loading", "/health: refused", False),
        (seen(health=LOADING, registrations={"1": MISSING}), "loading", "/health: 503", False),
        (seen(health=LOADING, registrations={}), "loading", "/health: 503", False),
        (seen(health=LOADING), "registered", "/health: 503", False),
        (seen(health=Answer(0, error="timed out")), "registered", "/health: timed out", False),
        (seen(health=LOADING, waited=20.1), "hanging", "/health: 503 after 20 s; a rank of the instance is stopped", False),
        (seen(health=Answer(0, error="timed out"), waited=21.0, registrations={"1": REFUSED}), "hanging", "timed out after 21 s", False),
        (seen(waited=18.0), "ready", "", False),
        (seen(active="failed", waited=20.0, health=REFUSED), "stopped", "is failed", True),
        (seen(registrations={"1": MISSING}), "serving", "engine rank 1 is not registered (500)", False),
        (seen(registrations={"1": NULLS}), "serving", "engine rank 1 is not registered (200)", False),
        (seen(registrations={"1": REFUSED}), "serving", "engine rank 1 is not registered (refused)", False),
        (seen(registrations={"1": MINE, "2": MISSING}), "serving", "engine rank 2 is not registered (500)", False),
        (seen(registrations={"1": ELSEWHERE}), "serving", "engine rank 1 registered as 198.51.100.11, planned is 203.0.113.11", True),
        (seen(health=LOADING, registrations={"1": ELSEWHERE}), "loading", "/health: 503", True),
        (seen(restarts=3), "ready", "restarted 3 time(s)", False),
        (seen(restarts=9, health=REFUSED, registrations={"1": REFUSED}), "loading", "/health: refused, restarted 9 time(s)", False),
    ],
)
def test_judge(observed: ranks.Observed, state: str, detail: str, hopeless: bool) -> None:
    found = ranks.judge(RANK, observed)
    assert (found["instance"], found["rank"], found["host"]) == ("prefill-0", 1, "p1")
    assert (found["state"], found["hopeless"], found["restarts"]) == (state, hopeless, observed.restarts)
    assert detail in found["detail"]
    assert bool(found["detail"]) == bool(detail)


@pytest.mark.parametrize("text", ["null", "[]", '"x"', "<html>", ""])
def test_nonsense_is_not_a_registration(text: str) -> None:
    assert ranks.registration_problems(RANK, {"1": Answer(200, text)}) == ["engine rank 1 is not registered (200)"]


def test_the_question() -> None:
    rows = [{"engine_rank": 3, "dp_group": 0, "pp_rank": 0}, {"engine_rank": 0, "dp_group": 2, "pp_rank": 1}]
    urls = ranks.registration_urls({"registration": {"url": "http://203.0.113.10:8998", "engine_ranks": rows}})
    assert urls == {
        "3": "http://203.0.113.10:8998/route?engine_rank=3&target_dp_group=0&target_pp_rank=0"
        "&target_tp_rank=3&prefill_dp_rank=0&prefill_cp_rank=0",
        "0 of DP group 2 of stage 1": "http://203.0.113.10:8998/route?engine_rank=0&target_dp_group=2&target_pp_rank=1"
        "&target_tp_rank=0&prefill_dp_rank=2&prefill_cp_rank=0",
    }
    assert ranks.registration_urls({"registration": None}) == {}


def rows(*states: str) -> list[dict[str, str]]:
    return [{"state": state} for state in states]


def test_a_state_that_lasts_is_a_verdict() -> None:
    first = ranks.since([], rows("loading", "hanging"), 21.0)
    assert first == [("loading", 21.0), ("hanging", 21.0)]
    assert not ranks.lasting(first, 21.0)
    second = ranks.since(first, rows("loading", "hanging"), 42.0)
    assert second == first
    assert ranks.lasting(second, 42.0)
    # Busy once, and then not any more; and what loads may take its time.
    healed = ranks.since(first, rows("loading", "ready"), 42.0)
    assert not ranks.lasting(healed, 1000.0)
    again = ranks.since(healed, rows("serving", "hanging"), 1000.0)
    assert again == [("serving", 1000.0), ("hanging", 1000.0)]
    assert not ranks.lasting(again, 1014.0)
    assert ranks.lasting(again, 1015.0)


@pytest.mark.parametrize(
    ("nodes", "restarts", "state", "loop"),
    [(1, 6, "loading", False), (1, 7, "loading", True), (2, 7, "loading", False), (2, 8, "restarting", True), (1, 9, "ready", False)],
)
def test_a_loop_of_crashes(nodes: int, restarts: int, state: str, loop: bool) -> None:
    planned, rows = [{"nodes": 2}, {"nodes": nodes}], [{"state": "ready", "restarts": 0}, {"state": state, "restarts": restarts}]
    assert ranks.looping(planned, [0, 5], rows) is loop


@pytest.mark.parametrize(
    ("known", "state", "restarts", "ended"),
    [
        ([0, 5], "loading", 5, False),
        ([0, 5], "loading", 6, True),
        ([0, 5], "ready", 6, False),
        ([0, 5], "loading", 0, False),
        ([], "loading", 6, False),
    ],
)
def test_a_rank_has_ended(known: list[int], state: str, restarts: int, ended: bool) -> None:
    rows = [{"state": "ready", "restarts": 0}, {"state": state, "restarts": restarts}]
    assert ranks.ended(known, rows) == [False, ended]


@pytest.mark.parametrize(("before", "restarts", "told"), [(0, 1, True), (3, 4, False), (3, 5, True), (0, 0, False)])
def test_a_start_of_before_the_first_look_does_not_count(before: int, restarts: int, told: bool) -> None:
    assert ranks.tells_of_now(before, {"restarts": restarts}) is told
