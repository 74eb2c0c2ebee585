# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router, a prefill and a decode instance on loopback that answer in the form of sglang 0.5.8 and router 0.3.2, without a model.

A stand-in: it proves what the client does with answers, never that a cluster gives them. A decode instance answers a room only once a
prefill instance has got the same one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = (
    "The",
    " harbour",
    " wakes",
    " slowly",
    " while",
    " boats",
    " leave",
    " for",
    " the",
    " open",
    " sea",
    ".",
    " Gulls",
    " cry",
    " over",
    " nets",
    " and",
    " ropes",
    " on",
    " a",
    " grey",
    " morning",
    " quay",
    " again",
)
CHAT = "/v1/chat/completions"


@dataclass
class Fault:
    """What is wrong.

    :ivar paths: answers by path instead of the usual ones, status and body; status 0 never answers.
    :ivar chat: changes of the answer to chats: C(tokens), C(model), C(finish), C(words), C(logprob), C(seconds) before the first token,
        C(prompt_tokens), C(done).
    """

    paths: dict[str, tuple[int, Any]] = field(default_factory=dict)
    chat: dict[str, Any] = field(default_factory=dict)


class Part(ThreadingHTTPServer):
    """One of the three."""

    daemon_threads = True

    def __init__(self, kind: str, rooms: dict[int, threading.Event]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kind, self.rooms = kind, rooms
        self.fault = Fault()
        self.usual: dict[str, tuple[int, Any]] = {}
        self.chats: list[dict[str, Any]] = []
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def room(self, body: dict[str, Any]) -> threading.Event:
        """Return what tells that the prefill instance has got a request."""
        return self.rooms.setdefault(body["bootstrap_room"], threading.Event())


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    server: Part

    def _send(self, status: int, content: Any, kind: str = "application/json") -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        """Answer by the path."""
        status, content = self.server.fault.paths.get(self.path, self.server.usual.get(self.path, (404, {"detail": "Not Found"})))
        if not status:
            self.server.ending.wait(20)
            return
        self._send(status, content)

    def do_POST(self) -> None:
        """Answer a chat."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.server.chats.append(body)
        if CHAT in self.server.fault.paths:
            self.path = CHAT
            self.do_GET()
            return
        if self.server.kind == "prefill":
            self.server.room(body).set()
            self._send(200, {"choices": []})
            return
        if self.server.kind == "decode" and not self.server.room(body).wait(5):
            self._send(500, {"message": "KVTransferError"})
            return
        time.sleep(float(self.server.fault.chat.get("seconds", 0)))
        self._chat(body)

    def _chat(self, body: dict[str, Any]) -> None:
        fault = self.server.fault.chat
        tokens = fault.get("tokens", body["max_tokens"])
        source = fault.get("words", WORDS)
        words = [source[at % len(source)] for at in range(tokens)]
        finish = fault.get("finish", "length")
        model = fault.get("model", body["model"])
        prompt = body["messages"][0]["content"]
        usage = {"prompt_tokens": fault.get("prompt_tokens", 4 + len(prompt.encode()) // 4), "completion_tokens": tokens}
        rows = [
            {"token": word, "logprob": fault.get("logprob", -0.3), "top_logprobs": [{"token": word, "logprob": fault.get("logprob", -0.3)}]}
            for word in words
        ]
        told = {"content": rows} if body.get("logprobs") else None
        if not body.get("stream"):
            choice = {"message": {"role": "assistant", "content": "".join(words)}, "finish_reason": finish, "logprobs": told}
            self._send(200, {"model": model, "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.end_headers()
        events: list[Any] = [{"model": model, "choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}]
        for word, row in zip(words, rows):
            part = {"content": [row]} if body.get("logprobs") else None
            events.append({"model": model, "choices": [{"delta": {"content": word}, "logprobs": part, "finish_reason": None}]})
        events.append({"model": model, "choices": [{"delta": {}, "finish_reason": finish}]})
        events.append({"model": model, "choices": [], "usage": usage})
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if fault.get("done", True) else "")
        self.wfile.write(text.encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def information(mode: str) -> dict[str, Any]:
    """Return the fields of /server_info that the proof reads, with the values of the lab."""
    return {
        "version": "0.5.8",
        "disaggregation_mode": mode,
        "served_model_name": "tiny",
        "model_path": "/opt/models/tiny",
        "page_size": 1,
        "kv_cache_dtype": "auto",
        "tp_size": 2,
        "dp_size": 1,
        "pp_size": 1,
        "nnodes": 2,
        "node_rank": 0,
        "disaggregation_transfer_backend": "mooncake",
        "disaggregation_bootstrap_port": 8998,
        "chunked_prefill_size": 64,
        "context_length": 2048,
        "max_total_num_tokens": 4096,
        "internal_states": [],
    }


@dataclass
class Engines:
    """The three, and the router of the plan with their addresses."""

    router: Part
    prefill: Part
    decode: Part

    @property
    def workers(self) -> list[dict[str, Any]]:
        """Workers as the plan has them."""
        return [
            {"instance": "prefill-0", "role": "prefill", "url": self.prefill.url, "bootstrap_port": 8998},
            {"instance": "decode-0", "role": "decode", "url": self.decode.url, "bootstrap_port": 8998},
        ]


@contextmanager
def engines() -> Iterator[Engines]:
    """Serve the three."""
    rooms: dict[int, threading.Event] = {}
    parts = [Part(kind, rooms) for kind in ("router", "prefill", "decode")]
    found = Engines(*parts)
    for part, mode in ((found.prefill, "prefill"), (found.decode, "decode")):
        part.usual = {"/health": (200, b""), "/server_info": (200, information(mode))}
    listed = [
        {"url": row["url"], "worker_type": row["role"], "is_healthy": True, "model_id": "tiny", "bootstrap_port": 8998}
        for row in found.workers
    ]
    found.router.usual = {
        "/readiness": (200, {"status": "ready"}),
        "/workers": (200, {"workers": listed}),
        "/v1/models": (200, {"data": [{"id": "tiny"}]}),
    }
    threads = [threading.Thread(target=part.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for part, thread in zip(parts, threads):
            part.ending.set()
            part.shutdown()
            thread.join()
            part.server_close()
