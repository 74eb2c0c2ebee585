# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP by an injected opener: an answer or the reason why there is none."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Tuple

Opener = Callable[..., Any]
# Of an answer in one piece; /server_info and /v1/models have some KiB.
LONGEST_ANSWER, PIECE = 1 << 24, 1 << 16


@dataclass(frozen=True)
class Answer:
    """What came back from one request.

    :ivar status: HTTP status, 0 when there was no HTTP answer at all.
    :ivar error: why there was none, for example "refused" or "timed out".
    """

    status: int
    text: str = ""
    error: str = ""

    def json(self) -> Any:
        """Return the body as data, or None when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, ConnectionRefusedError):
        return "refused"
    if isinstance(inner, TimeoutError) or "timed out" in str(inner):
        return "timed out"
    return str(inner) or type(inner).__name__


def _told(error: Any) -> Answer:
    """Return the answer that an exception of the opener carries, or the reason why there is none."""
    status = getattr(error, "code", 0) or 0
    text = error.read(LONGEST_ANSWER).decode("utf-8", "replace") if status and hasattr(error, "read") else ""
    return Answer(int(status), text, "" if status else _reason(error))


def _open(opener: Opener, url: str, timeout: float, body: Optional[Any]) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    return opener(url, data=data, headers=headers, method="POST" if data else "GET", timeout=timeout, use_proxy=False)


def _piece(response: Any, size: int) -> bytes:
    """Return what has come, at most so many bytes, without waiting for all of them; empty at the end."""
    read = getattr(response, "read1", response.read)
    found: bytes = read(size)
    return found


def _whole(response: Any, end: float, found: bytes = b"") -> Answer:
    while True:
        piece = _piece(response, PIECE)
        found += piece
        if not piece:
            return Answer(response.getcode(), found.decode("utf-8", "replace"))
        if len(found) > LONGEST_ANSWER:
            return Answer(0, error=f"more than {LONGEST_ANSWER >> 20} MiB")
        if time.monotonic() > end:
            return Answer(0, error="timed out")


def request(opener: Opener, url: str, timeout: float, body: Optional[Any] = None) -> Answer:
    """Ask a URL, without any proxy.

    :param opener: C(open_url) of C(ansible.module_utils.urls).
    :param timeout: seconds for each step of the exchange, and for all of it once an answer comes in drops.
    :param body: sent as JSON by POST when given.
    """
    end = time.monotonic() + timeout
    try:
        response = _open(opener, url, timeout, body)
        return _whole(response, end)
    except Exception as error:  # the opener raises many kinds; each becomes a reason
        return _told(error)


# What a server-sent event line begins with.
EVENT = b"data:"
LONGEST_LINE = 1 << 22


def events(opener: Opener, url: str, seconds: float, body: Any) -> Tuple[Answer, List[Tuple[float, str]]]:
    """Ask for a stream of server-sent events and return each with the second in which it came; C(text) is empty for a whole one.

    :param seconds: for all of it: a stream that goes on for longer is cut, which is an error.
    """
    began = time.monotonic()
    found: List[Tuple[float, str]] = []
    try:
        response = _open(opener, url, seconds, body)
        rest = b""
        while True:
            piece = _piece(response, PIECE)
            now = time.monotonic() - began
            text = rest + piece
            *lines, rest = text.split(b"\n") if piece else (text, b"")
            for line in lines:
                if line.startswith(EVENT):
                    found.append((now, line[len(EVENT) :].strip().decode("utf-8", "replace")))
                elif line.strip() and not found:
                    return _whole(response, began + seconds, text), found
            if not piece:
                return Answer(response.getcode()), found
            if now > seconds or len(rest) > LONGEST_LINE:
                return Answer(response.getcode(), error="timed out" if now > seconds else "a line without an end"), found
    except Exception as error:  # the opener raises many kinds; each becomes a reason
        return _told(error), found
