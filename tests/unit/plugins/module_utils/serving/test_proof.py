# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the router has the planned workers and model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import proof
from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

PLANNED = cluster().plan()["routers"][0]["workers"]
PREFILL = {"url": "http://203.0.113.10:30000", "worker_type": "prefill", "is_healthy": True}
DECODE = {"url": "http://203.0.113.110:30001", "worker_type": "decode", "is_healthy": True}


def listed(*rows: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps({"workers": list(rows), "total": len(rows)}))


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (listed(PREFILL, DECODE), []),
        (listed(DECODE, PREFILL), []),
        (listed(PREFILL), ["decode decode-0 http://203.0.113.110:30001 is not listed"]),
        (
            listed(),
            ["prefill prefill-0 http://203.0.113.10:30000 is not listed", "decode decode-0 http://203.0.113.110:30001 is not listed"],
        ),
        (listed({**PREFILL, "is_healthy": False}, DECODE), ["prefill prefill-0 http://203.0.113.10:30000 is not healthy"]),
        (
            listed({**PREFILL, "worker_type": "decode"}, {**DECODE, "worker_type": "prefill"}),
            [
                "prefill prefill-0 http://203.0.113.10:30000 is listed as decode",
                "decode decode-0 http://203.0.113.110:30001 is listed as prefill",
            ],
        ),
        (
            listed(PREFILL, DECODE, {**PREFILL, "url": "http://203.0.113.11:30000"}),
            ["http://203.0.113.11:30000 is listed, but not planned"],
        ),
        (
            listed({**PREFILL, "bootstrap_port": 8999}, DECODE),
            ["prefill prefill-0 http://203.0.113.10:30000 is listed with bootstrap port 8999, planned is 8998"],
        ),
        (
            listed({**PREFILL, "model_id": "unknown"}, {**DECODE, "model_id": "tiny"}),
            ["prefill prefill-0 http://203.0.113.10:30000 is listed with an unknown model: it has not said what it serves"],
        ),
        (Answer(503), ["/workers answered 503"]),
        (Answer(0, error="refused"), ["/workers answered refused"]),
        (Answer(200, "[]"), ["/workers answered 200"]),
        (Answer(200, '{"workers": null}'), ["/workers answered 200"]),
        (Answer(200, "<html>"), ["/workers answered 200"]),
    ],
)
def test_workers(answer: Answer, problems: list[str]) -> None:
    assert proof.worker_problems(PLANNED, answer) == problems


# Of router 0.3.2 with sglang 0.5.8 behind it.
REAL = """{"workers":[{"id":"b762","url":"http://203.0.113.10:30000","model_id":"tiny","priority":50,"cost":1.0,"worker_type":"prefill",\
"is_healthy":true,"load":0,"connection_mode":"HTTP","bootstrap_port":8998,"metadata":{"load_balance_method":"follow_bootstrap_room",\
"tp_size":"1","disaggregation_mode":"prefill","served_model_name":"tiny","dp_size":"1"},"disable_health_check":false},{"id":"25df",\
"url":"http://203.0.113.110:30001","model_id":"tiny","priority":50,"cost":1.0,"worker_type":"decode","is_healthy":true,"load":0,\
"connection_mode":"HTTP","metadata":{"dp_size":"1","served_model_name":"tiny","disaggregation_mode":"decode","tp_size":"1"},\
"disable_health_check":false}],"total":2,"stats":{"prefill_count":1,"decode_count":1,"regular_count":0}}"""


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (REAL, []),
        (REAL.replace("8998", "8999"), ["prefill prefill-0 http://203.0.113.10:30000 is listed with bootstrap port 8999, planned is 8998"]),
        (
            REAL.replace('e":"prefill"', "@").replace('e":"decode"', 'e":"prefill"').replace("@", 'e":"decode"'),
            [
                "prefill prefill-0 http://203.0.113.10:30000 is listed as decode",
                "decode decode-0 http://203.0.113.110:30001 is listed as prefill",
            ],
        ),
    ],
)
def test_the_real_routers_list(text: str, problems: list[str]) -> None:
    assert proof.worker_problems(PLANNED, Answer(200, text)) == problems
    assert proof.lasting_problems(PLANNED, Answer(200, text)) == problems


MODELS = "/v1/models answered"


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (Answer(200, '{"object":"list","data":[{"id":"tiny","object":"model","owned_by":"self"}]}'), []),
        (
            Answer(200, '{"object":"list","data":[{"id":"unknown"},{"id":"tiny"}]}'),
            ["/v1/models names tiny, unknown, planned is tiny: a worker did not say what it serves, as a rank above 0 does not"],
        ),
        (Answer(200, '{"data":[{"id":"other"}]}'), ["/v1/models names other, planned is tiny"]),
        (Answer(200, '{"data":[]}'), ["/v1/models names no model, planned is tiny"]),
        (Answer(503, "No models available"), [f"{MODELS} 503"]),
        (Answer(0, error="refused"), [f"{MODELS} refused"]),
        (Answer(200, "[]"), [f"{MODELS} 200"]),
    ],
)
def test_models(answer: Answer, problems: list[str]) -> None:
    assert proof.model_problems("tiny", answer) == problems


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (listed(PREFILL, DECODE), set()),
        (listed(), {PREFILL["url"], DECODE["url"]}),
        (listed({**PREFILL, "is_healthy": False}), {DECODE["url"]}),
        # One that gives no list leaves nobody out.
        (Answer(0, error="refused"), set()),
        (Answer(200, "[]"), set()),
    ],
)
def test_who_is_left_out(answer: Answer, missing: set[str]) -> None:
    assert proof.unlisted(PLANNED, answer) == missing


@pytest.mark.parametrize(
    ("argv", "seconds"),
    [
        (["python", "--worker-startup-check-interval", "5", "--port", "8000"], 30),
        (["python", "--worker-startup-check-interval=1"], 30),
        (["python", "--worker-startup-check-interval", "10", "--worker-startup-delay", "60"], 105),
        (["python"], 105),
        ([], 105),
    ],
)
def test_how_long_a_router_may_take_to_list_a_worker(argv: list[str], seconds: float) -> None:
    assert proof.patience(argv) == seconds


@pytest.mark.parametrize(
    ("answer", "lasting"),
    [
        (listed(PREFILL, DECODE), 0),
        (listed(), 0),
        (listed({**PREFILL, "is_healthy": False}), 0),
        (Answer(0, error="refused"), 0),
        (listed({**PREFILL, "worker_type": "decode"}), 1),
        (listed({**PREFILL, "bootstrap_port": 8999}), 1),
        (listed(PREFILL, DECODE, {**PREFILL, "url": "http://203.0.113.11:30000"}), 1),
    ],
)
def test_what_no_waiting_mends(answer: Answer, lasting: int) -> None:
    assert len(proof.lasting_problems(PLANNED, answer)) == lasting
