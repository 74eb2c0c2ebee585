# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What readings of a clock prove, and which of many clocks are apart."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host, Member
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import clocks
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison


@pytest.mark.parametrize(("text", "expected"), [
    ("1700000000.250000000\n", (1700000000.25, 1700000000.25)),
    ("Welcome to host 7\n1700000000.5\nsynchronised=yes\n", (1700000000.5, 1700000000.6)),
    ("1700000000", (1700000000, 1700000001)),
    ("1700000000.%N", (1700000000, 1700000001)),
    ("1700000000.N", (1700000000, 1700000001)),
    ("date: not found", None),
    ("", None),
    ("17e8", None),
    ("9" * 400, None),
])
def test_reading(text: str, expected: tuple[float, float] | None) -> None:
    assert clock.reading(text) == (pytest.approx(expected, abs=1e-6) if expected else None)


@pytest.mark.parametrize(("text", "expected"), [
    ("1.5\nsynchronised=yes\n", True), ("1.5\nsynchronised=no", False), ("1.5\nsynchronised=\n", None), ("1.5", None),
])
def test_synchronised(text: str, expected: bool | None) -> None:
    assert clock.synchronised(text) is expected


def test_a_reading_holds_between_question_and_answer() -> None:
    # The host is 5 s ahead: asked at 100.0, answered 105.2 somewhere on the way, back at 100.5.
    low, high = clock.span(100.0, 100.5, (105.2, 105.2))
    assert (low, high) == (pytest.approx(4.7), pytest.approx(5.2))
    assert low <= 5 <= high


def test_readings_narrow_each_other() -> None:
    known = clock.combine([(-0.4, 0.2), (-0.1, 0.3), (-0.3, 0.25)], True)
    assert known == Clock(-0.1, 0.2, True, True)
    assert (known.middle, known.error) == (pytest.approx(0.05), pytest.approx(0.15))
    assert known.text() == "+0.050 s within 0.150 s"


def test_a_clock_that_was_set_meanwhile_is_not_steady() -> None:
    assert clock.combine([(-0.1, 0.1), (4.9, 5.1)]) == Clock(-0.1, 5.1, False, None)


def test_data_there_and_back() -> None:
    known = Clock(-0.125, 0.5, False, None)
    assert clock.of(clock.data(known)) == known
    assert clock.data(known)["offset"] == 0.1875
    assert clock.of(None) is None


def apart(seconds: float = 1.0, **given: tuple[float, float]) -> dict[str, str]:
    """Return the hosts whose clocks are to be corrected, with what is said of them."""
    hosts = [Host(Member(name, "east", (f"i-{name}",)), clock=Clock(*row, True, True)) for name, row in given.items()]
    report = Report()
    clocks.check(Comparison(hosts, clock_seconds=seconds), report)
    return {found.host: found.text for found in report.findings() if found.rule == "compare.clock"}


@pytest.mark.parametrize(("given", "expected"), [
    ({"a": (0, 0.1), "b": (0.9, 1)}, set()),
    # 1.1 s apart at most, and not provably.
    ({"a": (0, 0.1), "b": (1.05, 1.2)}, set()),
    ({"a": (0, 0.1), "b": (1.15, 1.2)}, {"b"}),
    ({"a": (-3, -2.9), "b": (1.15, 1.2)}, {"a"}),
    # The majority is right, wherever the controller is.
    ({"a": (7, 7.1), "b": (7, 7.1), "c": (0, 0.1)}, {"c"}),
    ({"a": (0, 0.1), "b": (0, 0.1), "c": (-4, -3.9), "d": (4, 4.1)}, {"c", "d"}),
    # A clock of which little is known excuses itself only.
    ({"a": (0, 0.1), "b": (-9, 9), "c": (4, 4.1)}, {"c"}),
    ({"a": (0, 0.1), "b": (0.9, 1.0), "c": (1.8, 1.9)}, {"c"}),
    ({"a": (0, 0.1)}, set()),
    ({}, set()),
])
def test_who_is_apart(given: dict[str, tuple[float, float]], expected: set[str]) -> None:
    assert set(apart(**given)) == expected


def test_what_is_said() -> None:
    text = apart(a=(0, 0.1), b=(5, 5.2))["b"]
    assert text == "the clock is at least 4.900 s ahead of that of a; it is +5.100 s within 0.100 s from the controller's, " \
                   "theirs +0.050 s within 0.050 s"
    assert apart(seconds=10, a=(0, 0.1), b=(5, 5.2)) == {}


def test_gap() -> None:
    assert clock.gap(Clock(0, 1), Clock(3, 4)) == clock.gap(Clock(3, 4), Clock(0, 1)) == 2
    assert clock.gap(Clock(0, 2), Clock(1, 4)) < 0
