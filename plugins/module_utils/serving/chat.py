# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chats: what is sent, and what came back, whole or as a stream (OpenAI's form, as sglang 0.5.8 speaks it)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

PATH = "/v1/chat/completions"
# So many likely tokens are asked for beside each chosen one: enough to tell a near tie from another context.
TOP = 5
DONE = "[DONE]"
SHOWN = 300


@dataclass(frozen=True)
class Token:
    """One token of an answer.

    :ivar logprob: natural logarithm of its probability.
    :ivar top: the likeliest tokens in its place with theirs.
    """

    text: str
    logprob: float
    top: Tuple[Tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Reply:
    """What came back.

    :ivar status: HTTP status; 0 without an answer, and then C(error) says why.
    :ivar text: the model's words.
    :ivar tokens: completion tokens that the server has counted, None where it says nothing; C(prompt_tokens) likewise.
    :ivar finish: finish_reason.
    :ivar model: the name in the answer.
    :ivar chosen: the tokens with their probabilities, where they were asked for.
    :ivar raw: the beginning of an answer that is none of a chat's.
    :ivar seconds: until the end.
    :ivar first: until the first event of a stream.
    :ivar chunks: number of events that carried words; C(done) whether the stream ended as it should.
    """

    status: int
    error: str = ""
    text: str = ""
    tokens: Optional[int] = None
    prompt_tokens: Optional[int] = None
    finish: str = ""
    model: str = ""
    chosen: Tuple[Token, ...] = ()
    raw: str = ""
    seconds: float = 0.0
    first: Optional[float] = None
    last: Optional[float] = None
    chunks: int = 0
    done: bool = True

    @property
    def between(self) -> Optional[float]:
        """Seconds between two tokens of a stream, on average."""
        if self.first is None or self.last is None or not self.tokens or self.tokens < 2:
            return None
        return max(0.0, self.last - self.first) / (self.tokens - 1)


def body(model: str, prompt: str, tokens: int, *, exact: bool = True, stream: bool = False, logprobs: bool = False) -> Dict[str, Any]:
    """Return a greedy chat request.

    :param exact: exactly so many tokens must come, whatever the model would rather do; otherwise at most so many.
    """
    request: Dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": exact,
        "stream": stream,
    }
    if stream:
        request["stream_options"] = {"include_usage": True}
    if logprobs:
        request["logprobs"], request["top_logprobs"] = True, TOP
    return request


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _maps(rows: Any) -> List[Dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _chosen(rows: Any) -> List[Token]:
    found = []
    for row in _maps(rows.get("content")) if isinstance(rows, dict) else []:
        top = tuple((str(other.get("token")), _number(other.get("logprob"))) for other in _maps(row.get("top_logprobs")))
        found.append(Token(str(row.get("token")), _number(row.get("logprob")), top))
    return found


def _words(message: Any) -> str:
    """Return the words of a message or a part of one; what a reasoning parser sets apart comes first."""
    row: Mapping[str, Any] = message if isinstance(message, dict) else {}
    return f"{row.get('reasoning_content') or ''}{row.get('content') or ''}"


def _count(usage: Any, name: str) -> Optional[int]:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None


def whole(answer: Answer, seconds: float) -> Reply:
    """Return what an answer in one piece says."""
    data = answer.json()
    choices = data.get("choices") if isinstance(data, dict) else None
    if answer.status != 200 or not isinstance(choices, list):
        return Reply(answer.status, error=answer.error, raw=answer.text[:SHOWN], seconds=seconds)
    choice = (_maps(choices) or [{}])[0]
    return Reply(
        200,
        text=_words(choice.get("message")),
        finish=str(choice.get("finish_reason")),
        model=str(data.get("model")),
        chosen=tuple(_chosen(choice.get("logprobs"))),
        seconds=seconds,
        tokens=_count(data.get("usage"), "completion_tokens"),
        prompt_tokens=_count(data.get("usage"), "prompt_tokens"),
    )


@dataclass
class _Stream:
    text: List[str] = field(default_factory=list)
    chosen: List[Token] = field(default_factory=list)
    finish: str = ""
    model: str = ""
    usage: Any = None
    chunks: int = 0
    done: bool = False
    last: Optional[float] = None
    fault: str = ""

    def take(self, second: float, data: str) -> None:
        if data == DONE:
            self.done = True
            return
        try:
            row = json.loads(data)
        except ValueError:
            row = None
        if not isinstance(row, dict) or "choices" not in row:
            self.fault = self.fault or data[:SHOWN]
            return
        self.usage = row.get("usage") or self.usage
        self.model = row.get("model") or self.model
        for choice in _maps(row["choices"]):
            words = _words(choice.get("delta"))
            self.text.append(words)
            self.chosen += _chosen(choice.get("logprobs"))
            self.finish = choice.get("finish_reason") or self.finish
            if words:
                self.chunks += 1
                self.last = second


def streamed(answer: Answer, events: Sequence[Tuple[float, str]], seconds: float) -> Reply:
    """Return what a stream of events says."""
    seen = _Stream()
    for second, data in events:
        seen.take(second, data)
    if answer.status != 200 or answer.error or seen.fault or not events:
        return Reply(
            answer.status,
            error=answer.error,
            raw=seen.fault or answer.text[:SHOWN],
            seconds=seconds,
            text="".join(seen.text),
            done=seen.done,
            tokens=_count(seen.usage, "completion_tokens"),
            prompt_tokens=_count(seen.usage, "prompt_tokens"),
        )
    return Reply(
        200,
        text="".join(seen.text),
        finish=seen.finish,
        model=seen.model,
        chosen=tuple(seen.chosen),
        seconds=seconds,
        first=events[0][0],
        last=seen.last,
        chunks=seen.chunks,
        done=seen.done,
        tokens=_count(seen.usage, "completion_tokens"),
        prompt_tokens=_count(seen.usage, "prompt_tokens"),
    )


def refuses_logprobs(reply: Reply) -> bool:
    """Whether a server does not give probabilities, as some ways of speculative decoding cannot; the words alone are compared then."""
    return reply.status in (400, 501) and "logprob" in reply.raw


def problems(reply: Reply, model: str, tokens: int, *, exact: bool = True) -> List[str]:
    """Return what is wrong with a reply; health is not proof, counted tokens are."""
    if reply.error:
        return [f"no answer: {reply.error} after {reply.seconds:.0f} s"]
    if reply.status != 200 or reply.raw:
        return [f"answered {reply.status}: {reply.raw}"]
    found = []
    if exact and reply.tokens != tokens:
        swapped = " (one token: prefill and decode may be swapped)" if reply.tokens == 1 else ""
        found.append(f"{reply.tokens} tokens came back, {tokens} were asked for{swapped}")
    if not exact and not (isinstance(reply.tokens, int) and 2 <= reply.tokens <= tokens):
        found.append(f"{reply.tokens} tokens came back, 2 to {tokens} were asked for")
    if not reply.prompt_tokens:
        found.append("usage names no prompt tokens")
    if reply.model != model:
        found.append(f"the answer names model {reply.model!r}, planned is {model!r}")
    if not reply.text:
        found.append("the answer has no text")
    wanted = ("length",) if exact else ("length", "stop")
    if reply.finish not in wanted:
        found.append(f"finish_reason is {reply.finish!r}, expected {' or '.join(map(repr, wanted))}")
    if not reply.done:
        found.append(f"the stream ended without {DONE}")
    return found
