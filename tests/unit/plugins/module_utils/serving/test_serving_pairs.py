# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs are asked, and what is sent to one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import pairs
from ansible_collections.railyard.sglang.plugins.module_utils.serving.pairs import Pair


def workers(prefill: int, decode: int, plain: int = 0) -> list[dict[str, Any]]:
    kinds = [("prefill", prefill), ("decode", decode), ("plain", plain)]
    return [{"instance": f"{kind}-{number}", "role": kind} for kind, count in kinds for number in range(count)]


@pytest.mark.parametrize(("prefill", "decode"), [(1, 1), (2, 2), (3, 2), (1, 4), (4, 3)])
def test_every_pair_once(prefill: int, decode: int) -> None:
    every = [pair.name for pair in pairs.pairs(workers(prefill, decode))]
    assert sorted(every) == sorted(f"prefill-{a} > decode-{b}" for a in range(prefill) for b in range(decode))


def test_neighbours_share_no_instance() -> None:
    every = pairs.pairs(workers(4, 4))
    for start in range(0, 16, 4):
        own = every[start : start + 4]
        assert len({pair.prefill["instance"] for pair in own if pair.prefill}) == 4
        assert len({pair.decode["instance"] for pair in own}) == 4


def test_instances_that_do_both() -> None:
    assert [(pair.name, pair.prefill) for pair in pairs.pairs(workers(0, 0, 2))] == [("plain-0", None), ("plain-1", None)]


@pytest.mark.parametrize(
    ("prefill", "decode", "limit", "count"), [(4, 4, 64, 16), (4, 4, 6, 6), (4, 4, 1, 4), (3, 7, 1, 7), (1, 1, 1, 1), (12, 8, 20, 20)]
)
def test_covering(prefill: int, decode: int, limit: int, count: int) -> None:
    found = pairs.covering(pairs.pairs(workers(prefill, decode)), limit)
    assert len(found) == count
    assert {pair.prefill["instance"] for pair in found if pair.prefill} == {f"prefill-{number}" for number in range(prefill)}
    assert {pair.decode["instance"] for pair in found} == {f"decode-{number}" for number in range(decode)}


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://203.0.113.10:30000", "203.0.113.10"), ("http://[2001:db8::1]:30000", "[2001:db8::1]"), ("http://gpu01:30000", "gpu01")],
)
def test_a_pinned_request(url: str, host: str) -> None:
    prefill = {"instance": "prefill-0", "role": "prefill", "url": url, "bootstrap_port": 8998}
    pair = Pair(prefill, {"instance": "decode-0", "role": "decode", "url": "http://203.0.113.110:30001"})
    body = {"model": "tiny"}
    one, other = pairs.pinned(pair, body), pairs.pinned(pair, body)
    assert (one["model"], one["bootstrap_host"], one["bootstrap_port"]) == ("tiny", host, 8998)
    assert one["bootstrap_room"] != other["bootstrap_room"]
    assert 0 <= one["bootstrap_room"] < 2**63
    assert body == {"model": "tiny"}
