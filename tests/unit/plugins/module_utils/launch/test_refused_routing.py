# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers that lose living workers, or keep dead ones."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags, router, stacks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster

ARGS = "sglang_router.args"
SMG = {"sglang_stack": "sglang-0.5.23-cpu", "sglang_router_stack": "smg-1.13.0"}


def args(**given: Any) -> dict[str, Any]:
    return {ARGS: {name.replace("_", "-"): value for name, value in given.items()}}


REFUSALS = {
    "a health check shorter than /health": Refusal(
        "routing.health-timeout",
        args(health_check_timeout_secs=5),
        f"{ARGS}.health-check-timeout-secs",
        "5 s, and /health of a worker generates a token and may take 20 s",
        "health-check-timeout-secs: 25",
    ),
    "the router's own health timeout": Refusal(
        "routing.health-timeout", args(health_check_timeout_secs=None), f"{ARGS}.health-check-timeout-secs", "5 s, and"
    ),
    "an engine that answers later": Refusal(
        "routing.health-timeout",
        {"sglang_pools.decode.env": {"SGLANG_HEALTH_CHECK_TIMEOUT": "60"}},
        f"{ARGS}.health-check-timeout-secs",
        "20 s, and /health of a worker generates a token and may take 60 s",
        ": 65",
    ),
    "the router's own intervals": Refusal(
        "routing.health-detection",
        args(health_check_interval_secs=None, health_failure_threshold=None),
        f"{ARGS}.health-check-interval-secs",
        "60 s times 3 failures: a dead worker gets requests for 180 s",
        "health-failure-threshold: 2",
    ),
    "an hour between two looks": Refusal(
        "routing.health-detection",
        args(health_check_interval_secs=3600),
        f"{ARGS}.health-check-interval-secs",
        "for 7200 s",
        severity="warning",
    ),
    "/ready before it was there": Refusal(
        "routing.health-endpoint", args(health_check_endpoint="/ready"), f"{ARGS}.health-check-endpoint", "/ready does not say", "/health"
    ),
    "an endpoint that asks nobody": Refusal(
        "routing.health-endpoint",
        {**SMG, **args(health_check_endpoint="/model_info")},
        f"{ARGS}.health-check-endpoint",
        "sglang 0.5.23 answers",
        "/ready",
    ),
    **{
        name: Refusal("routing.protection-off", {ARGS: {name: True}}, f"{ARGS}.{name}", text, f"remove {name}")
        for name, text in (
            ("disable-health-check", "a dead worker stays"),
            ("disable-circuit-breaker", "requests keep going"),
            ("disable-retries", "shows in every client"),
        )
    },
    "an underscore in the name": Refusal(
        "routing.protection-off", {ARGS: {"disable_retries": True}}, f"{ARGS}.disable_retries", "shows in every client"
    ),
    "no retries by their number": Refusal(
        "routing.protection-off", args(retry_max_retries=0), f"{ARGS}.retry-max-retries", "every client", "5"
    ),
    "a policy that follows a key": Refusal(
        "routing.policy-key", args(decode_policy="manual"), f"{ARGS}.decode-policy", "manual keeps requests"
    ),
    "a policy of smg that follows a key": Refusal(
        "routing.policy-key",
        {**SMG, **args(policy="consistent_hashing")},
        f"{ARGS}.policy",
        "consistent_hashing keeps",
        "X-SMG-Routing-Key",
    ),
    "two routers with a tree each": Refusal("routing.several-trees", {"@router": ["r0", "d1"]}, f"{ARGS}.policy", "each of 2 routers"),
    "the debugging router": Refusal("routing.mini-lb", args(mini_lb=True), f"{ARGS}.mini-lb", "is for debugging", "remove mini-lb"),
    "discovery of Kubernetes": Refusal("routing.discovery", args(service_discovery=True), f"{ARGS}.service-discovery", "a Kubernetes API"),
    "an old router": Refusal(
        "routing.version", {"sglang_stack": "sglang-0.5.23-cpu"}, "sglang_router_stack", "sglang-router-0.3.2 and sglang 0.5.23"
    ),
    "a new router": Refusal(
        "routing.version", {"sglang_router_stack": "smg-1.13.0"}, "sglang_router_stack", "smg-1.13.0 and sglang 0.5.8", "sglang-router"
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SMG,
        args(health_check_timeout_secs=20),
        args(health_check_timeout_secs=25, health_check_interval_secs=30, health_failure_threshold=2),
        args(health_check_endpoint="/health_generate"),
        {**SMG, **args(health_check_endpoint="/ready", health_check_timeout_secs=2)},
        args(disable_retries=False, retry_max_retries=1),
        {"@router": ["r0", "d1"], **args(prefill_policy="round_robin")},
        args(prefill_policy="cache_aware", decode_policy="power_of_two"),
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert [found for found in cluster().change(changes).findings() if found.rule.startswith("routing.")] == []


def test_ten_minutes_are_still_a_note() -> None:
    found = cluster().change(args(health_check_interval_secs=60, health_failure_threshold=10)).findings()
    assert [(row.rule, row.severity) for row in found] == [("routing.health-detection", "note")]


def test_checks_that_are_off_have_no_timeout() -> None:
    found = cluster().change(args(disable_health_check=True, health_check_timeout_secs=1, health_check_endpoint="/x")).findings()
    assert [row.rule for row in found if row.rule.startswith("routing.")] == ["routing.protection-off"]


@pytest.mark.parametrize("stack", stacks.ROUTERS)
def test_every_router_has_what_the_plan_gives_it(stack: str) -> None:
    table = flags.load(stacks.ROUTERS[stack].flags)
    assert [name for name in router.DEFAULTS if table.find(name) is None] == []
