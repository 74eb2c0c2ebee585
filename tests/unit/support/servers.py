# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTP server in a thread, for code that asks one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Answers from a table and keeps what it was asked.

    :ivar routes: path to status and body; a body that is not bytes is sent as JSON. A status of 0 never answers.
    :ivar asked: method, path, content type and body of every request.
    """

    def __init__(self, routes: dict[str, tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes = routes
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        """The server's URL, without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Looks the path up."""

    server: Server

    def answer(self) -> None:
        """Send what the table holds."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Content-Type") or "", body))
        status, content = self.server.routes.get(self.path, (404, b"not here"))
        if not status:
            self.server.ending.wait(20)
            return
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


for method in ("GET", "POST"):
    setattr(Handler, f"do_{method}", Handler.answer)


@contextmanager
def serving(routes: dict[str, tuple[int, Any]]) -> Iterator[Server]:
    """Serve routes on a port of loopback."""
    server = Server(routes)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
