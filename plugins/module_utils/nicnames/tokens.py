# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of interfaces in a text: finding them as whole words, replacing them all at once, telling what is left.

Texts are decoded as Latin-1, byte for character, so that what is written back differs in the names alone.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import Iterable, List, Mapping, Pattern, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

#: A value that is one name, in the group.
WHOLE = re.compile(r"^\s*(\S+)\s*$")
#: A name after a word of iproute2.
AFTER_WORD = re.compile(r"(?<!\S)(?:dev|iif|oif)\s+(\S+)")
#: A name in options with commas between them.
IN_OPTIONS = re.compile(r"(?:^|[,\s])(?:dev|iif|oif)=([^,\s]+)")
#: No name stands anywhere.
NOWHERE = re.compile(r"(?!)()")
#: What makes a word a pattern of the shell.
GLOB = re.compile(r"[*?\[]")
#: Characters of an excerpt.
EXCERPT = 200


def lines(text: str) -> List[str]:
    """Return the lines of a text with their ends. Only a line feed ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


@functools.lru_cache(maxsize=64)
def _pattern(names: Tuple[str, ...]) -> Pattern[str]:
    # A longer name may hold '-', '_' and what follows. A dot or a colon ends a name: of a VLAN and of an alias.
    begin = r"(?:(?<![A-Za-z0-9_])(?<![A-Za-z0-9_]-)|(?<=ifcfg-)|(?<=route-)|(?<=route6-)|(?<=rule-)|(?<=rule6-)|(?<=keys-))"
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"{begin}({listed})(?![A-Za-z0-9_])(?!-[A-Za-z0-9_])")


def words(text: str, names: Iterable[str]) -> List[str]:
    """Return which names are in a text, each as a whole word, not as a part of a longer name. C(old.100) and C(old:1) hold C(old)."""
    listed = tuple(sorted(names))
    return list(dict.fromkeys(_pattern(listed).findall(text))) if listed else []


def replaced(value: str, pattern: Pattern[str], names: Mapping[str, str]) -> Tuple[str, List[str]]:
    """Return a value with the old names replaced, all at once, and the old names in it that are left.

    :param pattern: where a name stands: the first group is one, whole.
    :param names: old name to new name.
    """
    parts, rest, done = [], [], 0
    for match in pattern.finditer(value):
        begin, end = match.span(1)
        new = names.get(match.group(1))
        if begin < done or new is None:
            continue
        parts += [value[done:begin], new]
        rest.append(value[done:begin])
        done = end
    parts.append(value[done:])
    rest.append(value[done:])
    return "".join(parts), words("\n".join(rest), names)


def glob_changes(glob: str, names: Mapping[str, str]) -> List[str]:
    """Return the old names that a pattern of the shell matches while it does not match the new one, or the other way round."""
    return [old for old, new in sorted(names.items()) if fnmatch.fnmatchcase(old, glob) != fnmatch.fnmatchcase(new, glob)]


def shown(text: str) -> str:
    """Return a piece of a text for people."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace").strip()[:EXCERPT]


def unclear(path: str, number: int, text: str, names: Iterable[str]) -> List[Reference]:
    """Return one reference for each name.

    :param number: of the line, from 1; 0 is the file itself.
    """
    return [Reference(path, number, name, shown(text)) for name in names]
