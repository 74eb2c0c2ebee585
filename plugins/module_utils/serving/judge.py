# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether words are an answer: by a known continuation, else by limits that consistent garbage does not keep."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply


@dataclass(frozen=True)
class Limits:
    """What an answer of a model that knows a language keeps to, greedily decoded.

    :ivar logprob: the mean natural logarithm of the chosen tokens' probabilities. Models in order have -0.1 to -0.7; from a uniform
        distribution over 32,000 tokens it is about -10.
    :ivar strange: share of characters that no text holds: replacement, control, private and unassigned ones.
    :ivar letters: least share of letters, digits and spaces among the characters.
    :ivar repeated: share of the words, or of the characters where there are few words, that one and the same piece may make up.
    """

    logprob: float = -2.5
    strange: float = 0.02
    letters: float = 0.5
    repeated: float = 0.5


# Fewer characters tell nothing of a distribution.
ENOUGH = 12
WORDS = 8
PIECE = 4
STRANGE = ("Cc", "Cn", "Co", "Cs")


def _strange(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) in STRANGE and character not in "\n\t\r")


def _readable(character: str) -> bool:
    # Marks belong to letters in many scripts.
    return unicodedata.category(character)[0] in "LMNZ" or character in "\n\t\r"


def repetition(text: str) -> float:
    """Return the largest share of a text that one piece of it makes up by being said again and again, from 0 to 1."""
    words = text.split()
    if len(words) >= WORDS:
        pieces = [" ".join(words[at : at + PIECE]) for at in range(len(words) - PIECE + 1)]
        single = Counter(words).most_common(1)[0][1] / len(words)
        again = 1 - len(set(pieces)) / len(pieces)
        return max(single, again)
    if len(text) < 2 * PIECE:
        return 0.0
    pieces = [text[at : at + PIECE] for at in range(len(text) - PIECE + 1)]
    return 1 - len(set(pieces)) / len(pieces)


def limit_problems(reply: Reply, limits: Limits) -> List[str]:
    """Return which limits an answer breaks."""
    text, found = reply.text, []
    if len(text.strip()) < ENOUGH:
        return [f"the answer is {text!r}: too short to be judged"]
    strange = sum(map(_strange, text)) / len(text)
    if strange > limits.strange:
        found.append(f"{strange:.0%} of its characters are in no text (at most {limits.strange:.0%})")
    letters = sum(map(_readable, text)) / len(text)
    if letters < limits.letters:
        found.append(f"{letters:.0%} of its characters are letters, digits or spaces (at least {limits.letters:.0%})")
    again = repetition(text)
    if again > limits.repeated:
        found.append(f"{again:.0%} of it says the same again (at most {limits.repeated:.0%})")
    if reply.chosen:
        mean = sum(token.logprob for token in reply.chosen) / len(reply.chosen)
        if mean < limits.logprob:
            found.append(f"the mean log-probability of its tokens is {mean:.2f} (at least {limits.logprob})")
    return [f"garbage: {said}: {text[:120]!r}" for said in found]


def known_problems(text: str, wanted: Sequence[str]) -> List[str]:
    """Return whether an answer is none of the known continuations; one may be longer than the other."""
    known = [one for one in wanted if one]
    if any(text.startswith(one) or (len(text) >= ENOUGH and one.startswith(text)) for one in known):
        return []
    return [f"the answer is {text[:120]!r}, known is {' or '.join(repr(one[:120]) for one in known)}"]


def problems(reply: Reply, wanted: Sequence[str], limits: Limits) -> List[str]:
    """Return why an answer is none.

    :param wanted: known continuations of its prompt; empty where none is known, and then limits decide.
    """
    return known_problems(reply.text, wanted) if wanted else limit_problems(reply, limits)


def limits_of(given: Dict[str, float]) -> Limits:
    """Return the limits with an operator's own.

    :raises TypeError: one of them is unknown.
    """
    return Limits(**given)
