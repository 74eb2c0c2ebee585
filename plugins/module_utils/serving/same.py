# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether greedy answers to one prompt are the same, whichever pair gave them.

Floating-point sums depend on their order, and that on batch and kernel: where two tokens are nearly as likely as each other, two healthy
instances may choose differently. A difference counts where one of them thinks little of the other's choice.
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply, Token

# Natural logarithms by which the likeliest two tokens may be apart for a tie: 1.6 times as likely.
TIE = 0.5


def _texts(reply: Reply) -> Tuple[str, ...]:
    return tuple(token.text for token in reply.chosen) or (reply.text,)


def _tie(one: Token, other: Token) -> bool:
    """Whether each holds the other's choice for nearly as likely as its own."""
    seen = [(mine.logprob, dict(reversed(mine.top)).get(theirs.text)) for mine, theirs in ((one, other), (other, one))]
    return all(rival is not None and own - rival <= TIE for own, rival in seen)


def difference(usual: Reply, reply: Reply) -> Optional[Tuple[int, bool, str]]:
    """Return where a reply leaves the usual one: place of the token, whether it was a near tie, and a sentence. None: nowhere."""
    if usual.text == reply.text:
        return None
    ours, theirs = _texts(usual), _texts(reply)
    place = next((at for at, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    tie = place < len(usual.chosen) and place < len(reply.chosen) and _tie(usual.chosen[place], reply.chosen[place])
    a, b = (texts[place] if place < len(texts) else "" for texts in (ours, theirs))
    return place, tie, f"token {place + 1} is {b[:40]!r} instead of {a[:40]!r}" + (", a near tie" if tie else "")


def compare(replies: Mapping[str, Reply]) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Compare the replies of pairs to one prompt.

    :return: by name of the pair what differs from what most answered, and what differs only by a near tie.
    """
    if not replies:
        return {}, {}
    most = Counter(reply.text for reply in replies.values()).most_common(1)[0][0]
    usual = next(reply for reply in replies.values() if reply.text == most)
    wrong: Dict[str, str] = {}
    ties: Dict[str, str] = {}
    for name, reply in replies.items():
        found = difference(usual, reply)
        if found is not None:
            (ties if found[1] else wrong)[name] = found[2]
    return wrong, ties


def undecided(replies: Sequence[Reply]) -> bool:
    """Whether no answer was given by more pairs than any other, so that it is not known which one is right."""
    ranks: List[int] = [number for _text, number in Counter(reply.text for reply in replies).most_common(2)]
    return len(ranks) == 2 and ranks[0] == ranks[1]
