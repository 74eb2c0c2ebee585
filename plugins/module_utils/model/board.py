# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who receives from whom while a model goes from one host to many, and how far each one is.

The hosts form a chain: each receives from the one before it and passes every piece on as soon as it has it, so the source sends the
model once, whatever the number of hosts. A host that stops reporting drops out, and the one behind it receives from the one before.
"""

from __future__ import annotations

import hmac
import http.client
import http.server
import json
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

TORRENT, OK, READING = "/torrent", 200, 202
# waiting: the source reads the model still. preparing: the host reads what it has of it.
BEFORE = ("waiting", "preparing")
STATES = (*BEFORE, "receiving", "checking", "whole", "failed")
# Seconds: until the one behind a host no longer waits for it, until one that fell silent counts as lost, and until one that never
# reported does.
GRACE, LOST, COME = 15.0, 60.0, 300.0


class Chain:
    """The state of one distribution.

    :ivar order: names of the hosts, the source first.
    """

    def __init__(
        self, order: Sequence[str], star: bool = False, clock: Callable[[], float] = time.monotonic, *,
        grace: float = GRACE, lost: float = LOST, come: float = COME,
    ) -> None:
        self.order = list(order)
        self.rows: Dict[str, Dict[str, Any]] = {}
        self._star, self._clock, self._grace, self._lost, self._come = star, clock, grace, lost, come
        self._began = clock()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Count the time for hosts that have yet to come from now on: the source is ready."""
        with self._lock:
            self._began = self._clock()
            for row in self.rows.values():
                row["since"] = self._began

    def _alive(self, name: str) -> bool:
        row = self.rows.get(name)
        if row is None:
            return self._clock() - self._began < self._grace
        return row["state"] == "whole" or (row["state"] != "failed" and self._clock() - row["seen"] < self._grace)

    def _before(self, name: str) -> Optional[str]:
        """Return whom a host receives from; None while the one before it has yet to come."""
        if self._star:
            return self.order[0]
        for other in reversed(self.order[: self.order.index(name)]):
            if other == self.order[0] or not self._alive(other):
                continue
            row = self.rows.get(other)
            if row and row["state"] not in BEFORE:
                return other
            # It has nothing to pass on before it has read what it has, which may take long.
            if row is None or self._clock() - row["since"] < self._grace:
                return None
        return self.order[0]

    def report(self, name: str, state: str, done: int) -> Optional[str]:
        """Take a host's report; return the host that it receives from."""
        with self._lock:
            now, row = self._clock(), self.rows.get(name)
            since = row["since"] if row and (row["state"] in BEFORE) == (state in BEFORE) else now
            self.rows[name] = {"state": state, "done": done, "seen": now, "since": since}
            return self._before(name)

    def missing(self) -> List[str]:
        """Return the hosts that neither have the model nor are lost or failed."""
        with self._lock:
            now = self._clock()
            return [
                name for name in self.order[1:]
                if (self.rows[name]["state"] not in ("whole", "failed") and now - self.rows[name]["seen"] < self._lost
                    if name in self.rows else now - self._began < self._come)
            ]

    def late(self) -> List[str]:
        """Return the hosts that have neither the model nor said that they failed, the lost ones among them."""
        with self._lock:
            return [name for name in self.order[1:] if name not in self.rows or self.rows[name]["state"] not in ("whole", "failed")]

    def states(self) -> Dict[str, Dict[str, Any]]:
        """Return state and bytes of every host that has reported."""
        with self._lock:
            return {name: {"state": row["state"], "done": row["done"]} for name, row in self.rows.items()}


class Board:
    """A chain as a small HTTP server on one address, for the planned hosts only.

    :param addresses: address of every host by its name; from others nothing is answered.
    :param token: what every request has to name, too.
    :ivar torrent: what receivers are given to begin with; as long as it is empty they are told that the source reads.
    """

    def __init__(self, chain: Chain, addresses: Dict[str, str], token: str, *, bind: Tuple[str, int], torrent: bytes = b"") -> None:
        self.chain, self.torrent = chain, torrent
        board = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def log_message(self, *_args: Any, **_more: Any) -> None:
                """Write nothing: the token is part of the header."""

            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(parts.query))
                name, state, done = query.get("host", ""), query.get("state", ""), query.get("done", "")
                given = self.headers.get("Authorization", "")
                known = addresses.get(name) == self.client_address[0] and hmac.compare_digest(given, f"Bearer {token}")
                if not known or name not in chain.order[1:] or state not in STATES or not done.isdigit():
                    self.send_error(403)
                    return
                before = chain.report(name, state, int(done))
                answer = {"from": before, "address": addresses[before] if before else "", "finished": not chain.missing()}
                body = board.torrent if parts.path == TORRENT else json.dumps(answer).encode()
                self.send_response(OK if body else READING)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            address_family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET

        self._server = Server(bind, Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def __enter__(self) -> Board:
        """Answer from now on."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class RefusedError(Exception):
    """The board does not know who asks."""


@dataclass(frozen=True)
class Client:
    """How a receiver speaks with the board.

    :ivar host: its own name.
    :ivar own: its own address, by which the board knows it; a host with several may speak with any of them otherwise.
    """

    address: str
    port: int
    token: str
    host: str
    own: str

    def _ask(self, path: str, state: str, done: int, timeout: float) -> bytes:
        query = urllib.parse.urlencode({"host": self.host, "state": state, "done": done})
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout, source_address=(self.own, 0))
        try:
            connection.request("GET", f"{path}?{query}", headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            if answer.status not in (OK, READING):
                raise RefusedError(f"{answer.status} {answer.reason}")
            return answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def report(self, state: str, done: int) -> Dict[str, Any]:
        """Report and return the board's answer. Raises OSError, ValueError or RefusedError."""
        answer: Dict[str, Any] = json.loads(self._ask("/", state, done, 10))
        return answer

    def torrent(self) -> bytes:
        """Return the torrent that the board has, nothing while the source reads the model. Raises OSError or RefusedError."""
        return self._ask(TORRENT, "waiting", 0, 30)
