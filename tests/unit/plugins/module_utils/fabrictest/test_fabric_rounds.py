# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds: nobody waits for a port, everybody meets, and no round too many."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rounds import (
    Link,
    Round,
    at_once,
    cross_rail,
    loopback,
    same_rail,
    tournament,
)


def names(count: int) -> list[str]:
    return [f"h{number}" for number in range(count)]


def assert_apart(rounds: list[Round]) -> None:
    for links in rounds:
        used = Counter(port for link in links for port in link.ports)
        assert max(used.values()) == 1, links


@pytest.mark.parametrize("count", range(2, 26))
def test_every_pair_meets_once_and_no_round_is_too_many(count: int) -> None:
    rounds = tournament(names(count))
    met = Counter(frozenset(pair) for pairs in rounds for pair in pairs)
    assert len(met) == count * (count - 1) // 2
    assert set(met.values()) == {1}
    assert len(rounds) == (count if count % 2 else count - 1)
    for pairs in rounds:
        hosts = [host for pair in pairs for host in pair]
        assert len(hosts) == len(set(hosts))


@pytest.mark.parametrize(("count", "rails"), [(2, 8), (3, 8), (4, 1), (5, 4), (12, 8), (13, 8)])
def test_whole_meshes_take_the_fewest_rounds_that_there_can_be(count: int, rails: int) -> None:
    hosts = names(count)
    rounds = same_rail([hosts] * rails, hosts)
    assert_apart(rounds)
    ways = [link for links in rounds for link in links]
    assert len(ways) == len(set(ways)) == rails * count * (count - 1) // 2
    # A port has count - 1 peers, so that no schedule has fewer rounds; with an odd number one host always pauses.
    assert len(rounds) <= count - 1 + count % 2


@st.composite
def gaps(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Draw hosts, and the hosts of each rail."""
    hosts = names(draw(st.integers(2, 9)))
    return hosts, draw(st.lists(st.lists(st.sampled_from(hosts), unique=True), min_size=1, max_size=8))


@settings(max_examples=80, deadline=None)
@given(gaps())
def test_rails_with_gaps(drawn: tuple[list[str], list[list[str]]]) -> None:
    hosts, rails = drawn
    rounds = same_rail(rails, hosts)
    assert_apart(rounds)
    found = Counter((frozenset((link.a, link.b)), link.rail_a) for links in rounds for link in links)
    wanted = {(frozenset((a, b)), rail) for rail, own in enumerate(rails) for a in own for b in own if a != b}
    assert set(found) == wanted
    assert set(found.values()) <= {1}
    assert len(rounds) <= len(hosts) - 1 + len(hosts) % 2


@pytest.mark.parametrize("mode", ["sample", "all"])
@settings(max_examples=40, deadline=None)
@given(size=st.integers(2, 7), count=st.integers(2, 8))
def test_ways_between_rails(mode: str, size: int, count: int) -> None:
    hosts = names(size)
    rails = [hosts] * count
    rounds = cross_rail(rails, hosts, mode)
    assert_apart(rounds)
    ways = [link for links in rounds for link in links]
    assert len(ways) == len(set(ways))
    assert all(link.rail_a != link.rail_b for link in ways)
    distances = Counter((frozenset((link.a, link.b)), (link.rail_b - link.rail_a) % count) for link in ways)
    pairs = len(hosts) * (len(hosts) - 1) // 2
    assert len(distances) == pairs * (count - 1)
    assert set(distances.values()) == {count if mode == "all" else 1}
    # A sample of one pair fits into two rounds.
    assert len(rounds) <= len(tournament(hosts)) * (2 if mode == "sample" else count - 1)


def test_no_ways_between_rails_where_none_is_wanted_or_there_is_one_rail() -> None:
    assert cross_rail([["a", "b"]] * 4, ["a", "b"], "none") == []
    assert cross_rail([["a", "b"]], ["a", "b"], "all") == []


def test_a_host_alone_talks_to_itself() -> None:
    assert loopback([["a"], ["a"]], ["a"]) == [[Link("a", 0, "a", 0), Link("a", 1, "a", 1)]]


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_ports_at_once(most: int) -> None:
    hosts = names(4)
    whole = same_rail([hosts] * 8, hosts)
    rounds = at_once(whole, most)
    assert_apart(rounds)
    assert sorted(map(str, (link for links in rounds for link in links))) == sorted(map(str, (link for links in whole for link in links)))
    assert len(rounds) == len(whole) * -(-8 // most)
    for links in rounds:
        assert max(Counter(host for link in links for host in (link.a, link.b)).values()) <= most
