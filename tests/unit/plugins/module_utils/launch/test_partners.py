# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What prefill and decode must know of each other."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import partners
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

INTERVAL, FAILURES = "SGLANG_DISAGGREGATION_HEARTBEAT_INTERVAL", "SGLANG_DISAGGREGATION_HEARTBEAT_MAX_FAILURE"


@pytest.mark.parametrize(
    ("environments", "seconds"),
    [
        ([], 0),
        ([{}], 12),
        ([{INTERVAL: "7.5"}], 17),
        ([{INTERVAL: "7.6"}], 18),
        ([{INTERVAL: "0.5"}], 6),  # the engine takes no less than 2
        ([{FAILURES: "5"}], 30),
        ([{FAILURES: "0"}], 6),
        ([{INTERVAL: "ten"}], 12),
        ([{INTERVAL: "inf"}], 12),
        ([{INTERVAL: "nan"}], 12),
        ([{INTERVAL: "1e999"}], 12),
        ([{INTERVAL: "3600"}], 600),  # nobody waits longer; a rule says so before
        ([{}, {INTERVAL: "20"}, {FAILURES: "1"}], 42),
    ],
)
def test_how_long_prefill_is_away_before_every_decode_rank_misses_it(environments: list[dict[str, str]], seconds: int) -> None:
    assert partners.away(environments) == seconds


def test_servers_are_those_that_routers_name() -> None:
    workers: list[dict[str, Any]] = [
        {"instance": "prefill-0", "role": "prefill", "url": "http://203.0.113.10:30000", "bootstrap_port": 8998},
        {"instance": "", "role": "prefill", "url": "http://[2001:db8::7]:30000", "bootstrap_port": 9000},
        {"instance": "", "role": "prefill", "url": "http://p9.example.com:30000", "bootstrap_port": 8998},
        {"instance": "", "role": "prefill", "url": "http://p8.example.com:30000", "bootstrap_port": None},
        {"instance": "", "role": "prefill", "url": "http://[2001:db8::8", "bootstrap_port": 8998},
        {"instance": "", "role": "prefill", "url": "p7", "bootstrap_port": 8998},
        {"instance": "decode-0", "role": "decode", "url": "http://203.0.113.20:30001", "bootstrap_port": None},
    ]
    assert partners.bootstraps(workers) == [
        {"instance": "prefill-0", "url": "http://203.0.113.10:8998"},
        {"instance": "", "url": "http://[2001:db8::7]:9000"},
        {"instance": "", "url": "http://p9.example.com:8998"},
    ]


def test_only_rank_0_of_prefill_stays_away_and_every_decode_rank_looks_it_up() -> None:
    plan = cluster().change({"sglang_pools.decode.env": {INTERVAL: "8"}}).plan()
    rows = {(rank["mode"], rank["rank"]): rank for instance in plan["instances"] for rank in instance["ranks"]}
    server = {"instance": "prefill-0", "url": "http://203.0.113.10:8998"}
    assert {key: row["absence"] for key, row in rows.items()} == {
        ("prefill", 0): {"seconds": 18, "port": 30000, "bootstrap_port": 8998},
        ("prefill", 1): None,
        ("decode", 0): None,
        ("decode", 1): None,
    }
    assert {key: row["bootstraps"] for key, row in rows.items()} == {
        ("prefill", 0): [],
        ("prefill", 1): [],
        ("decode", 0): [server],
        ("decode", 1): [server],
    }


def test_engines_that_do_both_know_nobody() -> None:
    ranks: list[dict[str, Any]] = [{"mode": "plain", "rank": number, "environment": {}, "ports": []} for number in range(2)]
    partners.add([{"ranks": ranks}], [])
    assert [(rank["absence"], rank["bootstraps"]) for rank in ranks] == [(None, [])] * 2
