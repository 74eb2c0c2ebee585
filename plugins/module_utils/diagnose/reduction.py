# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes gigabytes cheap: lines that differ in numbers and identifiers only are one kind of line, and each kind is searched once.

A line is reduced by taking characters out of it; a literal is reduced alike. A line that holds a literal then holds the reduced literal in
its reduced form, so nothing is missed; what is found too much is sorted out on the line itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Digits and the letters of hexadecimal numbers; what colours of a terminal are made of; the backslash of JSON's escapes.
TAKEN_OUT = b"0123456789abcdef\x1b[;m\\"
# The router's request ids are random letters: 'request_id="..."' in its reduced form.
RANDOM = re.compile(rb'rqust_i="[^"\n]{0,120}"')
# Everything but letters and the underscore parts words.
WORDS = bytes(byte if (chr(byte).isalpha() and byte < 128) or byte == ord("_") else 32 for byte in range(256))
# Bytes of kinds that are remembered, and the longest that is.
REMEMBERED = 16 << 20
LONGEST = 4096


def _inner_word(needle: bytes) -> bytes:
    """Return the longest word of a literal that other characters of it stand before and behind, empty where there is none.

    A line that holds the literal has it as a whole word; of the first and the last word a line may hold more.
    """
    words = needle.translate(WORDS)
    return max(words.split(b" ")[1:-1], key=len, default=b"")


def reduce(line: bytes) -> bytes:
    """Return a line, or many, in reduced form."""
    return line.translate(None, TAKEN_OUT)


class Prefilter:
    """Finds the lines that may hold one of the literals; it remembers the kinds of lines that it has seen.

    :ivar literals: what to look for; answers name them by their position.
    """

    def __init__(self, literals: Sequence[bytes]) -> None:
        self.literals = list(literals)
        needles: dict[bytes, list[int]] = {}
        for number, literal in enumerate(self.literals):
            needles.setdefault(reduce(literal), []).append(number)
        self._needles = []
        for needle, numbers in needles.items():
            inner = _inner_word(needle)
            outer = b"" if inner else max(needle.translate(WORDS).split(), key=len, default=b"")
            self._needles.append((needle, inner, outer, numbers))
        self._boring: set[bytes] = set()
        self._marked: dict[bytes, tuple[int, ...]] = {}
        self._size = 0

    def scan(self, block: bytes) -> tuple[int, list[tuple[int, tuple[int, ...]]]]:
        """Look through lines.

        :param block: whole lines, without the end of the last one.
        :returns: the number of lines, and of each that may hold literals its index and the positions of the literals.
        """
        reduced = reduce(block).split(b"\n")
        kinds = set(reduced)
        fresh = kinds - self._boring
        fresh.difference_update(self._marked)
        if fresh:
            self._learn(fresh)
        hot = kinds.intersection(self._marked)
        if not hot:
            return len(reduced), []
        marked = self._marked
        return len(reduced), [(index, marked[kind]) for index, kind in enumerate(reduced) if kind in hot]

    def _learn(self, fresh: set[bytes]) -> None:
        if self._size > REMEMBERED:
            self._boring.clear()
            self._marked.clear()
            self._size = 0
        lines = list(fresh)
        text = b"\n".join(lines)
        self._size += len(text)
        # Kinds that differ in random letters only are searched once.
        squeezed = RANDOM.sub(b"", text).split(b"\n")
        groups: dict[bytes, list[int]] = {}
        for number, line in enumerate(squeezed):
            groups.setdefault(line, []).append(number)
        found = self._search(b"\n".join(groups))
        for line, numbers in groups.items():
            marks = found.get(line)
            if marks is not None:
                places = tuple(sorted(set(marks)))
                self._marked.update((lines[number], places) for number in numbers)
            else:
                self._boring.update(lines[number] for number in numbers if len(lines[number]) <= LONGEST)

    def _search(self, text: bytes) -> dict[bytes, list[int]]:
        """Return the lines of a text that hold needles, with the positions of the literals."""
        found: dict[bytes, list[int]] = {}
        words = set(text.translate(WORDS).split())
        spelled = b" ".join(words)
        for needle, word, outer, numbers in self._needles:
            # Most texts lack most words: then they need not be searched for the literal.
            if (word and word not in words) or outer not in spelled:
                continue
            at = text.find(needle)
            while at >= 0:
                begin = text.rfind(b"\n", 0, at) + 1
                end = text.find(b"\n", at)
                end = len(text) if end < 0 else end
                found.setdefault(text[begin:end], []).extend(numbers)
                at = text.find(needle, end)
        return found
