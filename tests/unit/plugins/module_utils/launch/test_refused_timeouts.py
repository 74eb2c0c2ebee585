# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeouts that switch detection off, or end what still works."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster

ROUTER = "sglang_router.args"
REFUSALS = {
    "two hours of silence": Refusal(
        "timeouts.watchdog", {"sglang_args.watchdog-timeout": 7200}, "sglang_args.watchdog-timeout", "7200 s: an engine of decode-0", "300"
    ),
    "a watchdog of a day": Refusal("timeouts.watchdog", {"sglang_args.watchdog-timeout": 86400}, "sglang_args.watchdog-timeout", "86400 s"),
    "no watchdog to speak of": Refusal(
        "timeouts.watchdog",
        {"sglang_pools.decode.args": {"watchdog_timeout": 1000000}},
        "sglang_pools.decode.args.watchdog-timeout",
        "1e+06 s: an engine of decode-0 that hangs",
        severity="error",
    ),
    "a watchdog of zero": Refusal(
        "timeouts.watchdog", {"sglang_args.watchdog-timeout": 0}, "sglang_args.watchdog-timeout", "does not switch it off", severity="error"
    ),
    "on one host": Refusal(
        "timeouts.watchdog",
        {"d1:sglang_host_args": {"soft-watchdog-timeout": 90000}},
        "sglang_host_args.soft-watchdog-timeout",
        "90000 s",
        host="d1",
        severity="error",
    ),
    "a soft watchdog that comes too late": Refusal(
        "timeouts.soft-watchdog",
        {"sglang_args.soft-watchdog-timeout": 300},
        "sglang_args.soft-watchdog-timeout",
        "is not below watchdog-timeout 300 s",
    ),
    "a soft watchdog with the hard one": Refusal(
        "timeouts.soft-watchdog",
        {"sglang_args": {"watchdog-timeout": 3600, "soft-watchdog-timeout": 3600}},
        "sglang_args.soft-watchdog-timeout",
        "3600 s is not below watchdog-timeout 3600 s",
    ),
    "ranks that wait for a dead one": Refusal(
        "timeouts.dist", {"sglang_args.dist-timeout": 36000}, "sglang_args.dist-timeout", "36000 s: ranks of decode-0 wait"
    ),
    "ranks that do not wait": Refusal(
        "timeouts.dist", {"sglang_args.dist-timeout": 30}, "sglang_args.dist-timeout", "30 s: a rank that loads", "1800"
    ),
    "a heartbeat that keeps prefill away": Refusal(
        "timeouts.absence",
        {"sglang_pools.decode.env": {"SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE": "21"}},
        "sglang_pools.decode.env.SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE",
        "decode-0 misses a prefill instance after 126 s of heartbeats",
        "12 s by their defaults",
    ),
    **{
        f"the router's {name}": Refusal("timeouts.router", {ROUTER: {name: value}}, f"{ROUTER}.{name}", text, default)
        for name, value, text, default in (
            ("cb-failure-threshold", 100000, "the circuit breaker", ": 10,"),
            ("cb-timeout-duration-secs", 7200, "stays shut out", ": 60,"),
            ("request-timeout-secs", 1000000, "holds its connection", ": 1800,"),
            ("retry-max-retries", 1000, "again and again", ": 5,"),
        )
    },
    "a router that gives up before its workers": Refusal(
        "timeouts.request",
        {ROUTER: {"request-timeout-secs": 120}},
        f"{ROUTER}.request-timeout-secs",
        "after 120 s, and its workers wait 300 s",
        "above 300",
    ),
    "workers that wait longer": Refusal(
        "timeouts.request",
        {"sglang_pools.decode.env": {"SGLANG_DISAGGREGATION_WAITING_TIMEOUT": "3000"}},
        f"{ROUTER}.request-timeout-secs",
        "after 1800 s, and its workers wait 3000 s",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sglang_args.watchdog-timeout": 3600},
        {"sglang_args": {"watchdog-timeout": 600, "soft-watchdog-timeout": 300}},
        {"sglang_args.dist-timeout": 1800},
        {"sglang_args.dist-timeout": 60},
        {"sglang_args.dist-timeout": 7200},
        {ROUTER: {"request-timeout-secs": 300}},
        {ROUTER: {"request-timeout-secs": 86400, "cb-failure-threshold": 1000, "cb-timeout-duration-secs": 3600, "retry-max-retries": 100}},
        {"sglang_args": {"watchdog-timeout": 3600, "soft-watchdog-timeout": 3599}},
        {"sglang_args": {"watchdog-timeout": None}},
        {ROUTER: {"request-timeout-secs": 600, "cb-failure-threshold": 50, "retry-max-retries": 3}},
        {"sglang_pools.prefill.env": {"SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT": "600"}},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert [found for found in cluster().change(changes).findings() if found.rule.startswith("timeouts.")] == []


def test_plain_workers_wait_for_no_cache() -> None:
    changes = {"sglang_pools": {"plain": {"tp": 2, "port": 30000, "group": "prefill"}}, ROUTER: {"request-timeout-secs": 30}}
    assert [found.rule for found in cluster().change(changes).findings() if found.rule.startswith("timeouts.")] == []


def test_a_value_of_the_wrong_type_is_no_timeout() -> None:
    found = cluster().change({"sglang_args.watchdog-timeout": "for ever", ROUTER: {"request-timeout-secs": "1h"}}).findings()
    assert {row.rule for row in found} == {"argument.value"}
