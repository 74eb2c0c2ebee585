# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIXL in the place of Mooncake: the same answers, by one variable, and back."""

from __future__ import annotations

import pytest
from labkit import Lab
from test_pair import PROMPTS

pytestmark = [pytest.mark.lab, pytest.mark.full]

TOKENS = 48


def answers(lab: Lab) -> dict[str, list[int]]:
    return {name: lab.generated(prompt, TOKENS) for name, prompt in PROMPTS.items()}


def log(lab: Lab, instance: str) -> str:
    """Return what an instance has written since its last start."""
    rank = lab.rank(instance, 0)
    run = lab.show(rank["host"], rank["unit"], "InvocationID")["InvocationID"]
    return lab.ssh(rank["host"], f"journalctl _SYSTEMD_INVOCATION_ID={run} --output cat --no-pager")


def test_it_answers_like_mooncake(pair: Lab) -> None:
    usual, by_mooncake = pair.variables, answers(pair)
    try:
        # site.yml ends with the proof that the planned backend and TCP carried the cache.
        there = pair.converge(variables={**usual, "sglang_transfer_backend": "nixl"})
        by_nixl = answers(pair)
        logs = {name: log(pair, name) for name in ("prefill-0", "decode-0")}
        again = pair.play(variables=pair.variables).succeeded()
    finally:
        back = pair.converge(variables=usual)
    pair.record("nixl", {"there": round(there.seconds, 1), "back": round(back.seconds, 1)})
    assert by_nixl == by_mooncake
    assert {len(tokens) for tokens in by_nixl.values()} == {TOKENS}
    assert again.changed == {}
    for text in logs.values():
        assert "Backend UCX was instantiated" in text
        assert "tcp_transport.cpp" not in text, "Mooncake was there, too"
    assert answers(pair) == by_mooncake
