# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where firewalld's zones name interfaces."""

from __future__ import annotations

import re
from typing import List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

#: A comment, or an element that binds an interface: the name is in the group that follows the quote.
_PIECE = re.compile(r"""<!--.*?-->|<interface\b[^<>]*?\bname\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)')""", re.DOTALL)


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return a zone with the new names, and what is not understood. Comments stay.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    parts: List[str] = []
    rest: List[str] = []
    unclear: List[Reference] = []
    done = 0
    for match in _PIECE.finditer(text):
        group = 1 if match.group(1) is not None else 2
        name = match.group(group)
        if name is None:
            # Line feeds stay, so that the lines keep their numbers.
            rest += [text[done : match.start()], "\n" * match.group().count("\n")]
            parts.append(text[done : match.end()])
            done = match.end()
            continue
        begin, end = match.span(group)
        if name in names:
            parts += [text[done:begin], names[name]]
            rest.append(text[done:begin])
            done = end
        elif name.endswith(("+", "*")):
            number = text.count("\n", 0, begin) + 1
            unclear += tokens.unclear(path, number, match.group(), tokens.glob_changes(name[:-1] + "*", names))
    parts.append(text[done:])
    rest.append(text[done:])
    for number, line in enumerate("".join(rest).split("\n"), 1):
        unclear += tokens.unclear(path, number, line, tokens.words(line, names))
    return "".join(parts), unclear
