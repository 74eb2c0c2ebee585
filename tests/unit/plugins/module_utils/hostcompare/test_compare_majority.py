# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is usual and who is odd: in the instance, in the pool, in the cluster."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import majority
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host, Member


def rows(*instances: str) -> list[tuple[Host, Any]]:
    """Return hosts with one letter each: C(p:aab) is an instance of pool p whose hosts have the values a, a and b."""
    found = []
    for index, text in enumerate(instances):
        pool, _colon, values = text.partition(":")
        for number, value in enumerate(values):
            member = Member(f"{pool}{index}.{number}", "east", (f"{pool}-{index}",), (pool,), ({},))
            found.append((Host(member), value))
    return found


@pytest.mark.parametrize(("values", "wider", "expected"), [
    ("aab", [], "a"),
    ("ab", [], None),
    ("ab", ["abb"], "b"),
    ("ab", ["ccc"], None),
    ("ab", ["ab", "abb"], "b"),
    ("abc", ["abbc"], "b"),
    ("abcc", ["aaaa"], "c"),
    ("aabbc", ["cccb"], "b"),
    ("", ["a"], None),
])
def test_usual(values: str, wider: list[str], expected: str | None) -> None:
    assert majority.usual(values, [Counter(text) for text in wider]) == expected


@pytest.mark.parametrize(("given", "beyond", "expected"), [
    (("p:aa", "d:aa"), "cluster", {}),
    (("p:aab", "d:aaa"), "cluster", {"p0.2": ("a", True)}),
    # The pool decides for an instance of two, the cluster for a pool of one instance.
    (("p:ab", "p:aa"), "cluster", {"p0.1": ("a", True)}),
    (("p:ab", "d:bb"), "cluster", {"p0.0": ("b", True)}),
    (("p:ab", "p:bb", "d:aaaa"), "cluster", {"p0.0": ("b", True), "p1.0": ("a", False), "p1.1": ("a", False), "p0.1": ("a", False)}),
    # An instance that is unlike the others.
    (("p:bb", "p:aa", "p:aa"), "cluster", {"p0.0": ("a", False), "p0.1": ("a", False)}),
    (("p:aa", "d:bbb"), "pools", {}),
    (("p:aa", "d:bbb"), "cluster", {"p0.0": ("b", False), "p0.1": ("b", False)}),
    # Nothing is usual: all are odd.
    (("p:a", "d:b"), "cluster", {"p0.0": (None, False), "d1.0": (None, False)}),
    (("p:ab",), "cluster", {"p0.0": (None, True), "p0.1": (None, True)}),
])
def test_odd(given: tuple[str, ...], beyond: str, expected: dict[str, tuple[str | None, bool]]) -> None:
    found = majority.odd(rows(*given), beyond=beyond)
    assert {row.host.name: (row.usual, row.inside) for row in found} == expected


def test_rivals_and_a_hint() -> None:
    (first, second) = majority.odd(rows("p:a", "d:b"))
    assert first.rivals == second.rivals == (("b", ("d1.0",)), ("a", ("p0.0",)))
    (only,) = majority.odd(rows("p:a", "d:b"), hint=Counter("aaab"))
    assert (only.host.name, only.usual, only.rivals) == ("d1.0", "a", ())
