# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a real server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.serving import http
from ansible_collections.railyard.sglang.tests.unit.support.servers import serving


@pytest.mark.parametrize(
    ("status", "body", "data"),
    [
        (200, {"a": [1]}, {"a": [1]}),
        (200, b"", None),
        (200, b"{", None),
        (200, "é😀", "é😀"),
        (404, b"no such route", None),
        (500, {"error": "x"}, {"error": "x"}),
        (503, b"Service Unavailable", None),
    ],
)
def test_an_answer(status: int, body: object, data: object) -> None:
    with serving({"/x": (status, body)}) as server:
        answer = http.request(open_url, server.url + "/x", 5)
    assert (answer.status, answer.error, answer.json()) == (status, "", data)
    if isinstance(body, bytes):
        assert answer.text == body.decode()


def test_get_and_post() -> None:
    with serving({"/x": (200, {})}) as server:
        http.request(open_url, server.url + "/x", 5)
        http.request(open_url, server.url + "/x", 5, {"model": "é", "n": 1})
    get, post = server.asked
    assert get == ("GET", "/x", "", b"")
    assert post[:3] == ("POST", "/x", "application/json")
    assert json.loads(post[3]) == {"model": "é", "n": 1}


def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert http.request(open_url, f"http://127.0.0.1:{port}/", 5) == http.Answer(0, error="refused")


def test_timed_out() -> None:
    started = time.monotonic()
    with serving({"/x": (0, None)}) as server:
        assert http.request(open_url, server.url + "/x", 0.3) == http.Answer(0, error="timed out")
    assert time.monotonic() - started < 5


def drip(server: socket.socket, head: bytes, ended: threading.Event) -> None:
    connection, _address = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while not ended.wait(0.02):
            connection.sendall(b".")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_drops_is_cut(stream: bool) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread = threading.Thread(target=drip, args=(server, b"Content-Length: 1000000\r\n", ended))
        thread.start()
        answer = http.events(open_url, url, 0.5, {})[0] if stream else http.request(open_url, url, 0.5)
        ended.set()
        thread.join()
    assert answer.error == "timed out"


def hang_up(server: socket.socket) -> None:
    connection, _address = server.accept()
    connection.close()


def test_a_connection_that_is_closed_has_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        answer = http.request(open_url, url, 5)
    assert answer.status == 0
    assert answer.error


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving({"/x": (200, {})}) as server:
        assert http.request(open_url, server.url + "/x", 5).status == 200


@pytest.mark.parametrize(
    ("status", "body", "answer", "events"),
    [
        (200, b"data: {}\n\n: comment\n\ndata:  \xc3\xa9\n\ndata: [DONE]\n\n", http.Answer(200), ["{}", "é", "[DONE]"]),
        (200, b'{"choices": []}', http.Answer(200, '{"choices": []}'), []),
        (200, b"\n{\n 1}\n", http.Answer(200, "\n{\n 1}\n"), []),
        (200, b"data: a", http.Answer(200), ["a"]),
        (500, b"KVTransferError", http.Answer(500, "KVTransferError"), []),
        (200, b"", http.Answer(200), []),
    ],
)
def test_events(status: int, body: bytes, answer: http.Answer, events: list[str]) -> None:
    with serving({"/x": (status, body)}) as server:
        found, rows = http.events(open_url, server.url + "/x", 20, {"stream": True})
    assert (found, [text for _second, text in rows]) == (answer, events)
    assert all(second >= 0 for second, _text in rows)


def test_events_that_do_not_come() -> None:
    with serving({"/x": (0, None)}) as server:
        assert http.events(open_url, server.url + "/x", 0.3, {})[0] == http.Answer(0, error="timed out")
