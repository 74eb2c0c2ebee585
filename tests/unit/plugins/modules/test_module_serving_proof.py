# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module serving_proof against a real HTTP server that answers as router 0.3.2 does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import serving_proof
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.modules import run
from ansible_collections.railyard.sglang.tests.unit.support.servers import serving

ROUTER = cluster().plan()["routers"][0]
WORKERS = {
    "workers": [
        {"url": "http://203.0.113.10:30000", "worker_type": "prefill", "is_healthy": True},
        {"url": "http://203.0.113.110:30001", "worker_type": "decode", "is_healthy": True},
    ]
}
CHAT = "/v1/chat/completions"


def answer(tokens: int) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": "x" * tokens}, "finish_reason": "length"}
    return {"model": "tiny", "choices": [choice], "usage": {"completion_tokens": tokens}}


GOOD: dict[str, tuple[int, Any]] = {"/readiness": (200, b"OK"), "/workers": (200, WORKERS), CHAT: (200, answer(8))}


def prove(routes: dict[str, tuple[int, Any]]) -> tuple[dict[str, Any], list[Any]]:
    with serving(routes) as server:
        arguments = {"router": {**ROUTER, "url": server.url}, "tokens": 8, "timeout": 0, "answer_timeout": 1}
        return run(serving_proof.main, arguments), server.asked


def test_tokens_are_counted() -> None:
    result, asked = prove(GOOD)
    assert (result["changed"], result["answer"], result["tokens"]) == (False, "x" * 8, 8)
    assert result["seconds"] >= 0
    assert [row[1] for row in asked] == ["/readiness", "/workers", CHAT]
    assert json.loads(asked[-1][3])["max_tokens"] == 8


@pytest.mark.parametrize(
    ("route", "reply", "problem", "chats"),
    [
        ("/readiness", (503, b"no healthy decode"), "/readiness answered 503", 0),
        ("/workers", (200, {"workers": WORKERS["workers"][:1]}), "decode decode-0 http://203.0.113.110:30001 is not listed", 0),
        (CHAT, (200, answer(1)), "1 tokens came back, 8 were asked for", 1),
        (CHAT, (500, {"error": "x"}), "the chat answered 500", 1),
        (CHAT, (0, None), "the chat answered timed out", 1),
    ],
)
def test_what_does_not_serve(route: str, reply: tuple[int, Any], problem: str, chats: int) -> None:
    result, asked = prove({**GOOD, route: reply})
    assert result["failed"]
    assert [text for text in result["problems"] if problem in text]
    assert "The cluster does not serve through r0" in result["msg"]
    assert "Fix: journalctl -u sglang-router.service on r0" in result["msg"]
    assert [row[1] for row in asked].count(CHAT) == chats
