# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rank_state action shows."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.action import rank_state

ROW = {"instance": "prefill-0", "rank": 1, "host": "p1", "state": "loading", "detail": "/health: refused"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "  prefill-0 rank 1 on p1: loading (/health: refused), 12 s"),
        ({"state": "ready", "detail": ""}, "  prefill-0 rank 1 on p1: ready, 12 s"),
    ],
)
def test_line(changes: dict[str, Any], line: str) -> None:
    assert rank_state._line({**ROW, **changes}, 12.3) == line


def test_the_verdict_names_host_cause_and_fix() -> None:
    text = rank_state.ActionModule._verdict(None, [ROW], 300.2, [f"line {number}" for number in range(20)])
    assert text.startswith("Not ready after 300 s:\n- prefill-0 rank 1 on p1 is loading: /health: refused\n")
    assert "line 4\n" not in text
    assert "line 5\n" in text
    assert "line 19\nFix: what the journal names" in text


ENDED = [
    "2026-11-28T12:28:10+0000 d0 python[372]: [2026-11-28 12:28:10] Load weight begin. avail mem=9.31 GB",
    "2026-11-28T12:28:12+0000 d0 python[372]: safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata",
    "2026-11-28T12:28:13+0000 d0 systemd[1]: sglang-decode-0.service: Scheduled restart job, restart counter is at 1.",
]


def answer(*rows: tuple[str, int, list[str]]) -> dict[str, Any]:
    """Return what the module says of ranks: state, restarts, and the journal of one that has just ended."""
    return {
        "ranks": [
            {**ROW, "instance": f"decode-{number}", "rank": 0, "state": state, "restarts": restarts, "ended": ended, "hopeless": False}
            for number, (state, restarts, ended) in enumerate(rows)
        ],
        "log": ["its last line"],
    }


class Action(rank_state.ActionModule):
    """Takes its module's answers from a list, and keeps what it was called with."""

    def __init__(self, answers: list[dict[str, Any]], nodes: int) -> None:
        ranks = [{"nodes": nodes} for _row in answers[0]["ranks"]]
        self._task = type("Task", (), {"args": {"ranks": ranks, "deadline": 30}, "check_mode": False, "async_val": 0})()
        self.answers, self.calls = answers, list[dict[str, Any]]()

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        self.calls.append(module_args)
        return self.answers.pop(0)

    def _low_level_execute_command(self, command: str, sudoable: bool) -> dict[str, Any]:
        return {"stdout": f"{time.time():.9f}\n"}


@pytest.fixture(name="quiet")
def without_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base class wants a connection; what it does there is Ansible's."""
    monkeypatch.setattr(rank_state.ActionBase, "run", lambda *_words: {})


@pytest.mark.parametrize(
    ("answers", "nodes", "calls", "told"),
    [
        # Of two ranks the second one has ended, and its own journal says why.
        (
            [answer(("loading", 0, []), ("loading", 0, [])), answer(("loading", 0, []), ("restarting", 1, ENDED))],
            1,
            2,
            "decode-1 rank 0 has ended",
        ),
        # Of several hosts as well.
        ([answer(("loading", 0, [])), answer(("loading", 1, ENDED))], 2, 2, "L26: A file of the model"),
        # It ended for another reason, and comes up.
        ([answer(("loading", 0, [])), answer(("loading", 1, ENDED[:1] + ENDED[2:])), answer(("ready", 1, []))], 1, 3, ""),
        # A start of before the first look may have met what was mended since.
        ([answer(("loading", 4, [])), answer(("loading", 5, ENDED)), answer(("ready", 5, []))], 2, 3, ""),
        # Started by hand meanwhile.
        ([answer(("loading", 4, [])), answer(("loading", 0, [])), answer(("loading", 1, ENDED))], 2, 3, "L26: A file of the model"),
    ],
)
def test_the_first_end_for_a_cause_that_stays_ends_the_wait(
    answers: list[dict[str, Any]], nodes: int, calls: int, told: str, quiet: None
) -> None:
    restarts = [[row["restarts"] for row in each["ranks"]] for each in answers]
    action = Action(list(answers), nodes)
    result = action.run()
    assert len(action.calls) == calls
    assert [call["restarts"] for call in action.calls] == [[], *restarts[: calls - 1]]
    assert bool(result.get("failed")) == bool(told)
    if told:
        assert told in result["msg"]
        assert "SafetensorError: Error while deserializing header: incomplete metadata\nFix: " in result["msg"]
