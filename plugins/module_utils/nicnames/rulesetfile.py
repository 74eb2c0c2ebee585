# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the file of host_firewall's nftables rules names interfaces."""

from __future__ import annotations

import hashlib
import re
from typing import List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

MARK = "module host_firewall: changes are lost."
#: Of the lines, those that the mark is made of.
BODY = slice(5, -2)
_JUMP = re.compile(r"^(\s*iifname )(\{ .* \}|\"[^\"]*\")( jump .*)$", re.DOTALL)
_NAME = re.compile(r'"([^"]*)"')
_DIGEST = re.compile(r"railyard ([0-9a-f]{16})(?=\")")


def _mark(text: str) -> str:
    """Return the mark that belongs to the rules of a text; host_firewall tells by it whether they are loaded."""
    body = "\n".join(text.split("\n")[BODY])
    return hashlib.sha256(_DIGEST.sub("railyard DIGEST", body).encode("latin-1")).hexdigest()[:16]


def _marked(before: str, after: str) -> str:
    match = _DIGEST.search(before)
    return _DIGEST.sub(f"railyard {_mark(after)}", after) if match and match.group(1) == _mark(before) else after


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return the rules with the new names, as host_firewall writes them, and what is not understood.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    lines = tokens.lines(text)
    unclear: List[Reference] = []
    own = MARK in text
    for number, line in enumerate(lines):
        match = _JUMP.match(line)
        if match is None:
            left = [] if own or line.lstrip().startswith("#") else tokens.words(line, names)
            unclear += tokens.unclear(path, number + 1, line, left)
            continue
        held = _NAME.findall(match.group(2))
        new = [names.get(name, name) for name in held]
        if held == sorted(held):
            new.sort()
        unclear += tokens.unclear(path, number + 1, line, tokens.words(" ".join(name for name in held if name not in names), names))
        shown = [f'"{name}"' for name in new]
        lines[number] = match.group(1) + (shown[0] if match.group(2).startswith('"') else "{ " + ", ".join(shown) + " }") + match.group(3)
    return _marked(text, "".join(lines)), unclear
