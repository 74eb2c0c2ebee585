# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for one prefill and one decode instance, and which pairs are asked in which order.

The router of 0.3.2 cannot be told a pair: its policies choose prefill and decode apart and see the same headers. What it then does can
be done without it (sgl-model-gateway 0.3.2, routers/http/pd_router.rs, execute_dual_dispatch): the same request goes to both at once, with
the bootstrap server's host and port and a random room in it, and the decode instance's answer is the answer.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple
from urllib.parse import urlsplit

from ansible_collections.railyard.sglang.plugins.module_utils.serving import chat, http
from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply

Worker = Dict[str, Any]
ROOMS = 2**63
# After a refusal by the prefill instance nothing comes from the decode instance but a timeout.
GRACE = 2.0


@dataclass(frozen=True)
class Pair:
    """A prefill and a decode instance; C(prefill) is None for an instance that does both."""

    prefill: Optional[Worker]
    decode: Worker

    @property
    def name(self) -> str:
        """Names of the instances."""
        return f"{self.prefill['instance']} > {self.decode['instance']}" if self.prefill else str(self.decode["instance"])


def pairs(workers: Sequence[Worker]) -> List[Pair]:
    """Return every pair of a router's workers, such that neighbours in the list share no instance as far as possible."""
    prefill = [row for row in workers if row["role"] == "prefill"]
    decode = [row for row in workers if row["role"] == "decode"]
    plain = [Pair(None, row) for row in workers if row["role"] not in ("prefill", "decode")]
    # Diagonals of the matrix: each has every instance of the longer side once.
    long, short = (prefill, decode) if len(prefill) >= len(decode) else (decode, prefill)
    rows = [(long[at], short[(at + shift) % len(short)]) for shift in range(len(short)) for at in range(len(long))]
    return [Pair(a, b) if a["role"] == "prefill" else Pair(b, a) for a, b in rows] + plain


def covering(every: Sequence[Pair], limit: int) -> List[Pair]:
    """Return so many pairs, and at least so many that each instance is in one."""
    instances = {row["instance"] for pair in every for row in (pair.prefill, pair.decode) if row}
    found: List[Pair] = []
    seen: Set[str] = set()
    for pair in every:
        own = {row["instance"] for row in (pair.prefill, pair.decode) if row}
        if len(found) < limit or not own <= seen:
            found.append(pair)
            seen |= own
        if len(found) >= limit and seen == instances:
            break
    return found


def bootstrap_host(url: str) -> str:
    """Return what the router gives as bootstrap host: the host of the prefill instance's URL, an IPv6 address in brackets."""
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name


def room() -> int:
    """Return a number for one transfer. Two alike would stop an engine, so they are drawn from as many as the router draws from."""
    return random.SystemRandom().randrange(ROOMS)


def pinned(pair: Pair, body: Dict[str, Any]) -> Dict[str, Any]:
    """Return a request that is for a pair."""
    if pair.prefill is None:
        return body
    place = {"bootstrap_host": bootstrap_host(pair.prefill["url"]), "bootstrap_port": pair.prefill["bootstrap_port"]}
    return {**body, **place, "bootstrap_room": room()}


def ask(opener: http.Opener, url: str, body: Dict[str, Any], seconds: float) -> Reply:
    """Send a chat and return its reply, whole or as a stream, as the body says."""
    began = time.monotonic()
    if body.get("stream"):
        answer, events = http.events(opener, url + chat.PATH, seconds, body)
        return chat.streamed(answer, events, time.monotonic() - began)
    answer = http.request(opener, url + chat.PATH, seconds, body)
    return chat.whole(answer, time.monotonic() - began)


def _refusal(reply: Reply) -> str:
    """Return why a prefill instance did not take a request, or an empty text."""
    return reply.error or ("" if reply.status == 200 else f"{reply.status}: {reply.raw}")


def ask_pair(opener: http.Opener, pair: Pair, body: Dict[str, Any], seconds: float) -> Tuple[Reply, str]:
    """Send a chat to a pair as the router does.

    :return: the decode instance's reply, and why the prefill instance did not do its part (empty: it did).
    """
    request = pinned(pair, body)
    if pair.prefill is None:
        return ask(opener, pair.decode["url"], request, seconds), ""
    came: queue.Queue[Tuple[str, Reply]] = queue.Queue()

    def send(side: str, url: str) -> None:
        came.put((side, ask(opener, url, request, seconds)))

    for side, row in (("prefill", pair.prefill), ("decode", pair.decode)):
        # What hangs must not keep the module: it ends with it.
        threading.Thread(target=send, args=(side, row["url"]), daemon=True).start()
    end = time.monotonic() + seconds + GRACE
    found: Dict[str, Reply] = {}
    while len(found) < 2:
        try:
            side, reply = came.get(timeout=max(0.05, end - time.monotonic()))
        except queue.Empty:
            break
        found[side] = reply
        if side == "prefill" and _refusal(reply):
            end = min(end, time.monotonic() + GRACE)
    late = Reply(0, error="timed out", seconds=seconds)
    refusal = _refusal(found["prefill"]) if "prefill" in found else ("" if "decode" in found else "no answer")
    return found.get("decode", late), refusal
