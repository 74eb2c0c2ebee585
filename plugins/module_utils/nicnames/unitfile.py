# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of systemd, of sections and values, with continued lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Tuple

_SECTION = re.compile(r"\s*\[([^\[\]]*)\]\s*\Z")
_VALUE = re.compile(r"\s*([^=\s#;\[][^=]*?)\s*=[ \t]*([^\r\n]*)\r?\n?\Z")


@dataclass(frozen=True)
class Value:
    """A value in its place.

    :ivar line: number of its first line from 0.
    :ivar begin: where it begins in that line.
    :ivar value: of a continued line, all of it, with the line breaks that came after a backslash as spaces.
    """

    line: int
    section: str
    key: str
    value: str
    begin: int


def values(lines: List[str]) -> List[Value]:
    """Return all values of a file, in their order, by its lines."""
    found: List[Value] = []
    section, number = "", 0
    while number < len(lines):
        first, line = number, lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        head = _SECTION.match(line)
        if head:
            section = head.group(1)
            continue
        match = _VALUE.match(line)
        if not match:
            continue
        value = match.group(2).rstrip()
        while value.endswith("\\") and number < len(lines):
            # A comment amid a continued line is no part of it.
            more = lines[number].rstrip("\r\n")
            number += 1
            if not more.lstrip().startswith(("#", ";")):
                value = value[:-1] + " " + more.strip()
        found.append(Value(first, section, match.group(1), value.rstrip("\\").rstrip(), match.start(2)))
    return found


def lists(found: List[Value], section: str) -> Dict[str, Tuple[str, ...]]:
    """Return the words of every key of a section: assignments add up, an empty one begins anew."""
    words: Dict[str, Tuple[str, ...]] = {}
    for value in found:
        if value.section == section:
            parts = tuple(part.strip("\"'") for part in value.value.split())
            words[value.key] = words.get(value.key, ()) + parts if parts else ()
    return words
