# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP by an injected opener: an answer or the reason why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Callable, Optional

Opener = Callable[..., Any]


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


def request(opener: Opener, url: str, timeout: float, body: Optional[Any] = None) -> Answer:
    """Ask a URL, without any proxy.

    :param opener: C(open_url) of C(ansible.module_utils.urls).
    :param timeout: seconds for each step of the exchange.
    :param body: sent as JSON by POST when given.
    """
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    try:
        response = opener(url, data=data, headers=headers, method="POST" if data else "GET", timeout=timeout, use_proxy=False)
        return Answer(response.getcode(), response.read().decode("utf-8", "replace"))
    except Exception as error:  # the opener raises many kinds; each becomes a reason
        status = getattr(error, "code", 0) or 0
        text = error.read().decode("utf-8", "replace") if status and hasattr(error, "read") else ""
        return Answer(int(status), text, "" if status else _reason(error))
