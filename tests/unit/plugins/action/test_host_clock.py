# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the action asks a host for the time. Its runs over a connection are in test_host_compare.py and tests/lab/test_qemu_compare.py."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import host_clock
from ansible_collections.railyard.sglang.plugins.modules import host_clock as module


class Clock:
    """A host whose clock is ahead, and which answers late."""

    def __init__(self, ahead: float, delays: tuple[float, ...], steps: tuple[float, ...] = ()) -> None:
        self.ahead, self.delays, self.steps = ahead, delays, steps
        self.asked: list[str] = []

    def __call__(self, command: str) -> str:
        number = len(self.asked)
        self.asked.append(command)
        late = self.delays[min(number, len(self.delays) - 1)]
        time.sleep(late / 2)
        ahead = self.ahead + sum(self.steps[: number + 1])
        answer = f"{time.time() + ahead:.9f}\n" + ("synchronised=yes\n" if command == host_clock.FIRST else "")
        time.sleep(late / 2)
        return answer


@pytest.mark.parametrize("ahead", [0.0, 5.0, -3600.0])
def test_the_offset_is_within_what_is_said(ahead: float) -> None:
    found, spans, _answer = host_clock.measure(Clock(ahead, (0.05, 0.01)), 4, 0.0, 20.0)
    assert found is not None
    assert found.low <= ahead <= found.high
    assert found.error < 0.03
    assert found.steady
    assert found.synchronised is True
    assert len(spans) == 4


def test_it_stops_when_enough_is_known_and_never_after_one_answer() -> None:
    host = Clock(0.0, (0.0,))
    host_clock.measure(host, 20, 0.5, 20.0)
    assert host.asked == [host_clock.FIRST, host_clock.READ]


def test_it_stops_when_its_time_is_over() -> None:
    host = Clock(0.0, (0.05,))
    found, _spans, _answer = host_clock.measure(host, 20, 0.0, 0.06)
    assert len(host.asked) == 2
    assert found is not None


def test_a_clock_that_is_set_meanwhile_is_not_steady() -> None:
    found, _spans, _answer = host_clock.measure(Clock(0.0, (0.0,), (0.0, 0.0, 30.0)), 4, 0.0, 20.0)
    assert found is not None
    assert not found.steady
    assert found.low < 0.01
    assert found.high > 29.9


def test_an_answer_that_is_no_time() -> None:
    found, spans, answer = host_clock.measure(lambda command: "date: not found\n", 4, 0.1, 20.0)
    assert (found, spans, answer) == (None, [], "date: not found\n")


def test_commands_are_understood_by_a_shell() -> None:
    for command in (host_clock.READ, host_clock.FIRST):
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
        low, high = host_clock.clock.reading(done.stdout) or (0, 0)
        assert low - 60 < time.time() < high + 60


@pytest.mark.parametrize(("change", "text"), [
    ({}, ""), ({"attempts": 1}, "attempts 1 is not from 2 to 20"), ({"attempts": 21}, "attempts 21"), ({"enough": -0.1}, "enough -0.1"),
    ({"enough": float("nan")}, "enough nan"), ({"seconds": 0}, "seconds 0 is not above 0"),
])
def test_options_that_make_no_sense(change: dict[str, Any], text: str) -> None:
    found = host_clock.wrong_option({"attempts": 4, "enough": 0.1, "seconds": 20.0, **change})
    assert text in found
    assert bool(found) == bool(text)


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    known = ("type", "elements", "default", "choices", "required")
    assert {name: {key: row[key] for key in known if key in row} for name, row in documented.items()} == host_clock.SPEC
