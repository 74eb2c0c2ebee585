# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the router has the planned workers, and whether tokens come out."""

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
        (Answer(503), ["/workers answered 503"]),
        (Answer(0, error="refused"), ["/workers answered refused"]),
        (Answer(200, "[]"), ["/workers answered 200"]),
        (Answer(200, '{"workers": null}'), ["/workers answered 200"]),
        (Answer(200, "<html>"), ["/workers answered 200"]),
    ],
)
def test_workers(answer: Answer, problems: list[str]) -> None:
    assert proof.worker_problems(PLANNED, answer) == problems


def chat(**changes: Any) -> Answer:
    body = {
        "model": "tiny",
        "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "length"}],
        "usage": {"completion_tokens": 16},
        **changes,
    }
    return Answer(200, json.dumps(body))


def choice(content: Any, reason: str = "length") -> list[dict[str, Any]]:
    return [{"message": {"content": content}, "finish_reason": reason}]


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (chat(), []),
        (chat(usage={"completion_tokens": 1}), ["1 tokens came back, 16 were asked for (one token: prefill and decode may be swapped)"]),
        (chat(usage={"completion_tokens": 15}), ["15 tokens came back"]),
        (chat(usage=None), ["None tokens came back"]),
        (chat(model="unknown"), ["the answer names model 'unknown', planned is 'tiny'"]),
        (chat(choices=[]), ["the answer has no text"]),
        (chat(choices=choice("")), ["the answer has no text"]),
        (chat(choices=choice(None)), ["the answer has no text"]),
        (chat(choices=choice("x", "abort")), ["finish_reason is 'abort', expected 'length'"]),
        (chat(choices=choice("x", "stop"), model="m"), ["names model 'm'", "finish_reason is 'stop'"]),
        (Answer(500, '{"error": "KVTransferError"}'), ["the chat answered 500", "KVTransferError"]),
        (Answer(503, "no prefill worker"), ["the chat answered 503: no prefill worker"]),
        (Answer(0, error="timed out"), ["the chat answered timed out"]),
        (Answer(200, "[]"), ["the chat answered 200: []"]),
    ],
)
def test_answer(answer: Answer, problems: list[str]) -> None:
    found = proof.answer_problems(answer, "tiny", 16)
    assert bool(found) == bool(problems)
    for text in problems:
        assert any(text in row for row in found), found


def test_the_request_asks_for_exactly_so_many_tokens() -> None:
    body = proof.chat("tiny", "Say hello.", 8)
    assert (body["max_tokens"], body["ignore_eos"], body["temperature"], body["stream"]) == (8, True, 0, False)
    assert body["messages"] == [{"role": "user", "content": "Say hello."}]


def test_content() -> None:
    assert proof.content(chat(choices=choice("é"))) == "é"
