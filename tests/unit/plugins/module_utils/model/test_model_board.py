# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who receives from whom, and who may ask."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model.board import Board, Chain, Client, RefusedError

TOKEN = "a-long-token"
ORDER = ["s", "a", "b", "c"]
ADDRESSES = {"s": "127.0.0.1", "a": "127.0.0.1", "b": "127.0.0.9", "c": "127.0.0.8"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def make_clock() -> Clock:
    return Clock()


@pytest.fixture(name="chain")
def make_chain(clock: Clock) -> Chain:
    return Chain(ORDER, clock=clock)


def test_each_receives_from_the_one_before(chain: Chain) -> None:
    assert chain.report("a", "receiving", 0) == "s"
    assert chain.report("b", "receiving", 0) == "a"
    assert chain.report("c", "receiving", 0) == "b"


def test_one_that_has_yet_to_come_is_waited_for_and_then_passed_over(chain: Chain, clock: Clock) -> None:
    assert chain.report("b", "receiving", 0) is None
    clock.now = 16
    assert chain.report("b", "receiving", 0) == "s"
    assert chain.report("a", "receiving", 0) == "s"
    assert chain.report("b", "receiving", 0) == "a"


def test_one_that_falls_silent_or_fails_drops_out(chain: Chain, clock: Clock) -> None:
    for name in "abc":
        chain.report(name, "receiving", 0)
    clock.now = 10
    chain.report("b", "failed", 5)
    assert chain.report("c", "receiving", 0) == "a"
    clock.now = 20
    assert chain.report("c", "receiving", 0) == "s"


def test_one_that_has_it_goes_on_passing_it_on_without_a_word(chain: Chain, clock: Clock) -> None:
    chain.report("a", "whole", 9)
    clock.now = 50
    assert chain.report("b", "receiving", 0) == "a"


def test_it_ends_when_all_have_it_or_are_lost(chain: Chain, clock: Clock) -> None:
    assert chain.missing() == ["a", "b", "c"]
    chain.report("a", "whole", 9)
    chain.report("b", "failed", 0)
    assert chain.missing() == ["c"]
    chain.report("c", "checking", 9)
    assert chain.missing() == ["c"]
    clock.now = 61
    assert chain.missing() == []
    assert chain.late() == ["c"]
    assert chain.states()["b"] == {"state": "failed", "done": 0}


def test_one_that_comes_late_is_waited_for(clock: Clock) -> None:
    chain = Chain(ORDER, clock=clock, come=300)
    clock.now = 1000
    # The source has read the model until now.
    chain.begin()
    clock.now = 1299
    assert chain.missing() == ["a", "b", "c"]
    # Those that have waited all the time have their moment to begin after it.
    chain.report("a", "waiting", 0)
    clock.now = 2000
    chain.begin()
    chain.report("a", "waiting", 0)
    assert chain.report("b", "receiving", 0) is None
    clock.now = 2299
    assert chain.missing() == ["c"]
    chain.report("b", "waiting", 0)
    clock.now = 2310
    assert chain.missing() == ["b"]
    assert chain.late() == ["a", "b", "c"]


@pytest.mark.parametrize("state", ["waiting", "preparing"])
def test_one_that_reads_what_it_has_is_waited_for_a_moment(chain: Chain, clock: Clock, state: str) -> None:
    chain.report("a", "receiving", 0)
    for now, wanted in ((0, None), (10, None), (14, None), (16, "a")):
        clock.now = now
        chain.report("a", "receiving", 0)
        chain.report("b", state, 0)
        assert chain.report("c", "receiving", 0) == wanted, now
    # Then it passes on what it receives.
    chain.report("b", "receiving", 0)
    assert chain.report("c", "receiving", 0) == "b"
    assert chain.missing() == ["a", "b", "c"]


def test_in_a_star_all_receive_from_the_source() -> None:
    chain = Chain(ORDER, star=True)
    assert [chain.report(name, "receiving", 0) for name in "abc"] == ["s", "s", "s"]


def test_the_board_answers_the_planned_hosts_alone(chain: Chain) -> None:
    with Board(chain, ADDRESSES, TOKEN, bind=("127.0.0.1", 0), torrent=b"pieces") as board:

        def client(host: str, token: str = TOKEN, own: str = "127.0.0.1") -> Client:
            return Client("127.0.0.1", board.port, token, host, own)

        assert client("a").report("receiving", 3) == {"from": "s", "address": "127.0.0.1", "finished": False}
        board.torrent = b""
        assert client("a").torrent() == b""
        board.torrent = b"pieces"
        assert client("a").torrent() == b"pieces"
        client("a").report("receiving", 0)
        assert client("b", own="127.0.0.9").report("receiving", 0)["from"] == "a"
        # Another token, another address than planned, the source itself, a name and a state that nobody knows.
        for stranger in (client("a", "another-token"), client("b"), client("s"), client("x")):
            for ask in (stranger.torrent, lambda stranger=stranger: stranger.report("receiving", 0)):
                with pytest.raises(RefusedError, match="403"):
                    ask()
        with pytest.raises(RefusedError):
            client("a").report("king", 0)
        assert chain.states() == {name: {"state": "receiving", "done": 0} for name in "ab"}
    with pytest.raises(OSError, match="refused"):
        client("a").report("receiving", 0)
