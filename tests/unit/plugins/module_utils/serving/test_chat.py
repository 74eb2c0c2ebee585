# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What chats are sent, and what is read from answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import chat
from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

USAGE = {"prompt_tokens": 12, "completion_tokens": 2}


def test_a_request_for_exactly_so_many_tokens() -> None:
    body = chat.body("tiny", "Say hello.", 8)
    assert (body["max_tokens"], body["ignore_eos"], body["temperature"], body["stream"]) == (8, True, 0, False)
    assert body["messages"] == [{"role": "user", "content": "Say hello."}]
    assert "logprobs" not in body
    assert "stream_options" not in body


def test_a_request_for_a_stream_with_probabilities() -> None:
    body = chat.body("tiny", "x", 8, exact=False, stream=True, logprobs=True)
    assert (body["ignore_eos"], body["stream"], body["stream_options"]) == (False, True, {"include_usage": True})
    assert (body["logprobs"], body["top_logprobs"]) == (True, chat.TOP)


def whole(**changes: Any) -> Answer:
    choice = {"message": {"content": "The sea"}, "finish_reason": "length", "logprobs": None}
    return Answer(200, json.dumps({"model": "tiny", "choices": [choice], "usage": USAGE, **changes}))


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        (whole(), []),
        (
            whole(usage={**USAGE, "completion_tokens": 1}),
            ["1 tokens came back, 2 were asked for (one token: prefill and decode may be swapped)"],
        ),
        (whole(usage={**USAGE, "completion_tokens": 3}), ["3 tokens came back, 2 were asked for"]),
        (whole(usage=None), ["None tokens came back, 2 were asked for", "usage names no prompt tokens"]),
        (whole(model="unknown"), ["the answer names model 'unknown', planned is 'tiny'"]),
        (whole(choices=[]), ["the answer has no text", "finish_reason is 'None', expected 'length'"]),
        (whole(choices=[{"message": {"content": ""}, "finish_reason": "length"}]), ["the answer has no text"]),
        (whole(choices=[{"message": {"content": None}, "finish_reason": "length"}]), ["the answer has no text"]),
        (whole(choices=[{"message": {"content": None, "reasoning_content": "Hm"}, "finish_reason": "length"}]), []),
        (whole(choices=[{"message": {"content": "x"}, "finish_reason": "abort"}]), ["finish_reason is 'abort', expected 'length'"]),
        (Answer(500, '{"error": "KVTransferError"}'), ['answered 500: {"error": "KVTransferError"}']),
        (Answer(503, "no prefill worker"), ["answered 503: no prefill worker"]),
        (Answer(0, error="timed out"), ["no answer: timed out after 3 s"]),
        (Answer(200, "[]"), ["answered 200: []"]),
        (Answer(200, "<html>"), ["answered 200: <html>"]),
        (whole(choices=["x"]), ["the answer has no text", "finish_reason is 'None', expected 'length'"]),
    ],
)
def test_an_answer_in_one_piece(answer: Answer, problems: list[str]) -> None:
    assert chat.problems(chat.whole(answer, 3.0), "tiny", 2) == problems


def test_probabilities() -> None:
    rows = [{"token": "The", "logprob": -0.5, "top_logprobs": [{"token": "The", "logprob": -0.5}, {"token": "A", "logprob": None}]}]
    choice = {"message": {"content": "The"}, "finish_reason": "length", "logprobs": {"content": rows}}
    (token,) = chat.whole(whole(choices=[choice]), 1.0).chosen
    assert (token.text, token.logprob, token.top) == ("The", -0.5, (("The", -0.5), ("A", 0.0)))


def event(content: str | None = None, **more: Any) -> str:
    delta = {} if content is None else {"content": content}
    return json.dumps({"model": "tiny", "choices": [{"delta": delta, "finish_reason": None, **more}], "usage": None})


STREAM = [
    (0.5, event("")),
    (0.6, event("The")),
    (0.9, event(" sea")),
    (0.9, event(None, finish_reason="length")),
    (1.0, json.dumps({"model": "tiny", "choices": [], "usage": USAGE})),
    (1.0, "[DONE]"),
]


def test_a_stream() -> None:
    reply = chat.streamed(Answer(200), STREAM, 1.0)
    assert chat.problems(reply, "tiny", 2) == []
    assert (reply.text, reply.chunks, reply.first, reply.last) == ("The sea", 2, 0.5, 0.9)
    assert reply.between == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("answer", "events", "problem"),
    [
        (Answer(200), STREAM[:-1], "the stream ended without [DONE]"),
        (Answer(200), STREAM[:-2], "None tokens came back"),
        (Answer(200), [], "None tokens came back, 2 were asked for"),
        (Answer(200, error="timed out"), STREAM[:2], "no answer: timed out after 2 s"),
        (Answer(503, "no worker"), [], "answered 503: no worker"),
        (Answer(200), [(0.1, '{"error": {"message": "KVTransferError"}}'), (0.1, "[DONE]")], 'answered 200: {"error"'),
        # Router 0.3.2 on a failed decode worker.
        (Answer(500), [(0.1, '{\'error\': {"message":"x","status":500}}')], "answered 500: {'error'"),
    ],
)
def test_a_stream_that_is_none(answer: Answer, events: list[tuple[float, str]], problem: str) -> None:
    found = chat.problems(chat.streamed(answer, events, 2.0), "tiny", 2)
    assert any(problem in text for text in found), found


# Of sglang 0.5.8 on CPUs: a token within a character has no event of its own, and its probability is in none.
REAL = """\
{"id":"e9a1","object":"chat.completion.chunk","model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null},\
"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"e9a1","object":"chat.completion.chunk","model":"tiny","choices":[{"index":0,"delta":{"role":null,"content":"<|reserved_53|>"},"logprobs":\
{"content":[{"token":"<|reserved_53|>","bytes":[60],"logprob":-1.22,"top_logprobs":[{"token":"<|reserved_53|>","bytes":[60],"logprob":-1.22}]}]},\
"finish_reason":null}],"usage":null}
{"id":"e9a1","object":"chat.completion.chunk","model":"tiny","choices":[{"index":0,"delta":{"role":null,"content":"\ufffde"},"logprobs":\
{"content":[{"token":"e","bytes":[101],"logprob":-0.24,"top_logprobs":[{"token":"e","bytes":[101],"logprob":-0.24}]}]},"finish_reason":null}],"usage":null}
{"id":"e9a1","object":"chat.completion.chunk","model":"tiny","choices":[{"index":0,"delta":{"role":null,"content":null},"logprobs":null,\
"finish_reason":"length"}],"usage":null}
{"id":"e9a1","object":"chat.completion.chunk","model":"tiny","choices":[],"usage":{"prompt_tokens":29,"total_tokens":32,"completion_tokens":3}}
[DONE]"""


def test_a_real_stream() -> None:
    reply = chat.streamed(Answer(200), [(0.1 * number, line) for number, line in enumerate(REAL.splitlines(), 1)], 1.0)
    assert chat.problems(reply, "tiny", 3) == []
    assert (reply.text, reply.chunks, reply.prompt_tokens) == ("<|reserved_53|>\ufffde", 2, 29)
    assert [token.text for token in reply.chosen] == ["<|reserved_53|>", "e"]


def test_an_answer_may_end_by_itself_where_words_are_judged() -> None:
    choice = {"message": {"content": "The sea."}, "finish_reason": "stop"}
    reply = chat.whole(whole(choices=[choice]), 1.0)
    assert chat.problems(reply, "tiny", 64, exact=False) == []
    assert chat.problems(reply, "tiny", 1, exact=False) == ["2 tokens came back, 2 to 1 were asked for"]


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (Answer(400, "top_logprobs is not supported with speculative decoding"), True),
        (Answer(400, "context length"), False),
        (Answer(200, "logprob"), False),
    ],
)
def test_a_server_without_probabilities(answer: Answer, refused: bool) -> None:
    assert chat.refuses_logprobs(chat.whole(answer, 1.0)) == refused
