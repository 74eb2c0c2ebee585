# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether words are an answer."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.serving import judge
from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply, Token

HARBOUR = "The harbour wakes slowly while boats leave for the open sea. Gulls cry over nets and ropes on a grey quay."
GERMAN = "Der Hafen erwacht langsam; Möwen schreien über den Netzen, und ein Boot fährt hinaus."
CHINESE = "清晨的港口很安静,渔船慢慢驶向大海,海鸥在码头上空盘旋。"
HINDI = "सुबह बंदरगाह शांत है और नावें धीरे-धीरे समुद्र की ओर निकलती हैं।"
THINKING = "<think>\nOkay, the user wants three sentences about a harbour. Let me think of boats, gulls and light.\n</think>\n"
CODE = "def harbour(morning):\n    boats = [boat for boat in quay if boat.ready]\n    return len(boats)\n"


def reply(text: str, logprob: float | None = None) -> Reply:
    chosen = () if logprob is None else tuple(Token(word, logprob) for word in text.split())
    return Reply(200, text=text, chosen=chosen)


@pytest.mark.parametrize("text", [HARBOUR, GERMAN, CHINESE, HINDI, THINKING, CODE])
def test_what_is_an_answer(text: str) -> None:
    assert judge.problems(reply(text, -0.4), (), judge.Limits()) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(""), "too short"),
        (reply("!!!!"), "too short"),
        (reply("the the the the the the the the the the"), "says the same again"),
        (reply("a boat and a boat and a boat and a boat and a boat and a boat"), "says the same again"),
        (reply("ababababababababababab"), "says the same again"),
        (reply("!!!!!!!!!!!!!!!!!!!!!!!!"), "letters, digits or spaces"),
        (reply("}}];%$&/(==?{{[](*#'~+-_"), "letters, digits or spaces"),
        (reply("sea\ufffd\ufffdboat\ufffd\ufffdquay\ufffd"), "characters are in no text"),
        (reply("boat \x00\x01\x02 quay \x03\x04 sea"), "characters are in no text"),
        (reply(HARBOUR, -6.5), "mean log-probability of its tokens is -6.50"),
    ],
)
def test_what_is_garbage(answer: Reply, words: str) -> None:
    found = judge.problems(answer, (), judge.Limits())
    assert any(words in text for text in found), found


@pytest.mark.parametrize(
    ("text", "wanted", "good"),
    [
        ("The harbour wakes", ["The harbour"], True),
        ("The harbour wakes", ["A boat", "The harbour wakes"], True),
        # The known one is longer than what was asked for.
        ("The harbour wakes", ["The harbour wakes slowly"], True),
        ("The", ["The harbour wakes slowly"], False),
        ("A harbour wakes", ["The harbour"], False),
        ("\ufffd\x01", ["\ufffd\x01"], True),
        ("", ["The"], False),
    ],
)
def test_a_known_continuation(text: str, wanted: list[str], good: bool) -> None:
    found = judge.problems(reply(text, -20), wanted, judge.Limits())
    assert bool(found) != good
    assert all("known is" in row for row in found)


def test_limits_of_an_operator() -> None:
    assert judge.limits_of({"repeated": 0.9}) == judge.Limits(repeated=0.9)
    with pytest.raises(TypeError, match="nosuch"):
        judge.limits_of({"nosuch": 1.0})
