# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether greedy answers are the same, whichever pair gave them."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import same
from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply, Token


def reply(*tokens: tuple[str, dict[str, float]]) -> Reply:
    """A reply of tokens with the likeliest ones in their place; the chosen one is the first of them."""
    chosen = tuple(Token(text, top[text], tuple(top.items())) for text, top in tokens)
    return Reply(200, text="".join(text for text, _top in tokens), chosen=chosen)


SEA = ("sea", {"sea": -0.1, "quay": -3.0})
QUAY_TIE = ("quay", {"quay": -0.70, "sea": -0.71})
SEA_TIE = ("sea", {"sea": -0.69, "quay": -0.72})
FAR = ("xyz", {"xyz": -0.1, "abc": -3.0})
THE = ("the ", {"the ": -0.2})


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        (reply(THE, SEA), reply(THE, SEA), None),
        (reply(THE, SEA_TIE), reply(THE, QUAY_TIE), (1, True)),
        (reply(THE, SEA), reply(THE, FAR), (1, False)),
        # One thinks little of the other's choice: that is another context, not another order of sums.
        (reply(THE, SEA), reply(THE, QUAY_TIE), (1, False)),
        (reply(FAR, SEA), reply(THE, SEA), (0, False)),
        (reply(THE, SEA), reply(THE), (1, False)),
        (Reply(200, text="a"), Reply(200, text="b"), (0, False)),
        (Reply(200, text="a"), Reply(200, text="a"), None),
    ],
)
def test_difference(a: Reply, b: Reply, found: tuple[int, bool] | None) -> None:
    seen = same.difference(a, b)
    assert (seen[:2] if seen else None) == found


def test_the_odd_one_of_three_is_named() -> None:
    wrong, ties = same.compare({"one": reply(THE, SEA), "two": reply(THE, FAR), "three": reply(THE, SEA)})
    assert wrong == {"two": "token 2 is 'xyz' instead of 'sea'"}
    assert ties == {}


def test_a_tie_is_told_apart() -> None:
    wrong, ties = same.compare({"one": reply(THE, SEA_TIE), "two": reply(THE, QUAY_TIE), "three": reply(THE, SEA_TIE)})
    assert (wrong, list(ties)) == ({}, ["two"])


def test_one_and_none() -> None:
    assert same.compare({}) == ({}, {})
    assert same.compare({"one": reply(THE)}) == ({}, {})


def test_who_is_right_may_be_undecided() -> None:
    assert same.undecided([reply(THE), reply(FAR)])
    assert not same.undecided([reply(THE), reply(FAR), reply(THE)])
    assert not same.undecided([reply(THE)])
