# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run ends with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.callback import stages
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster


class Shown(list[str]):
    """Keeps what is displayed."""

    def display(self, message: str, **_options: Any) -> None:
        self.append(message)


@pytest.fixture(name="clock")
def make_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(stages.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture(name="callback")
def make_callback(clock: list[float]) -> Any:
    callback = stages.CallbackModule()
    callback._display = Shown()
    return callback


def play(callback: Any, name: str) -> None:
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: name))


def result(callback: Any, action: str, data: dict[str, Any], host: str = "r0", resolved: bool = True) -> None:
    task = SimpleNamespace(resolved_action=action if resolved else None, action=action)
    callback.v2_runner_on_ok(SimpleNamespace(task=task, result=data, host=SimpleNamespace(get_name=lambda: host)))


def test_a_whole_run(callback: Any, clock: list[float]) -> None:
    play(callback, "Plan")
    result(callback, "railyard.sglang.plan", {"plan": cluster().plan()})
    clock[0] += 2
    play(callback, "Nothing")
    clock[0] += 0.01
    play(callback, "Verify")
    rows = [{"instance": "decode-0", "rank": 0, "host": "d0", "state": "ready"}]
    result(callback, "railyard.sglang.rank_state", {"ranks": rows}, "d0", resolved=False)
    result(callback, "railyard.sglang.serving_proof", {"answer": "é\n", "tokens": 8, "seconds": 0.9})
    clock[0] += 1.5
    callback.v2_playbook_on_stats(None)
    text = "\n".join(callback._display)
    assert "d0    decode-0" in text
    assert [line.split()[-1] for line in callback._display if line.startswith(("d0", "r0"))] == ["ready", "ready"]
    assert 'Answer through the router, 8 tokens in 0.9 s:\n  "é\\n"' in text
    assert callback._display[-5:] == ["stage   seconds", "------  -------", "Plan        2.0", "Verify      1.5", "all         3.5"]


def test_a_play_that_ran_on_nothing_is_not_counted(callback: Any, clock: list[float]) -> None:
    play(callback, "Plan")
    result(callback, "railyard.sglang.plan", {"plan": cluster().plan()})
    clock[0] += 1
    play(callback, "Kernels")
    callback.v2_playbook_on_no_hosts_matched()
    clock[0] += 5
    callback.v2_playbook_on_stats(None)
    assert callback._display[-2:] == ["Plan       1.0", "all        1.0"]
    assert not any("Kernels" in line for line in callback._display)


def test_runs_without_a_plan_show_nothing(callback: Any) -> None:
    play(callback, "Something else")
    result(callback, "ansible.builtin.debug", {"plan": "x"})
    callback.v2_playbook_on_stats(None)
    assert callback._display == []
