# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a keyfile names interfaces."""

from __future__ import annotations

import re
from typing import List, Mapping, Pattern, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import keyfile, masking, tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

_TOKEN = re.compile(r"(?:^|[;,])\s*((?:[|&]|\\\\)?(?:!)?(?:\\\\)?)([^;,\s]*)")

#: Section and key to where the names are in the value. The first that fits counts.
PLACES: Tuple[Tuple[Pattern[str], Pattern[str], Pattern[str]], ...] = tuple(
    (re.compile(section), re.compile(key), place)
    for section, key, place in (
        (r"connection", r"id|interface-name|master|controller|primary", tokens.WHOLE),
        (r"bond|bridge|team", r"interface-name", tokens.WHOLE),
        (r".*", r"parent", tokens.WHOLE),
        (r"hsr", r"port[12]", tokens.WHOLE),
        (r"veth|ovs-patch", r"peer", tokens.WHOLE),
        (r"bond", r"primary|active[_-]slave", tokens.WHOLE),
        (r"bond", r"options", re.compile(r"(?:^|[,;\s])(?:primary|active[_-]slave)=([^,;\s]+)")),
        (r"match", r"interface-name", re.compile(r"(?:^|[;,])\s*[|&]?!?([^;,\s|&!]+)")),
        (r"ipv[46]", r"routing-rule\d+", tokens.AFTER_WORD),
        (r"ipv[46]", r"routes?\d+_options", tokens.IN_OPTIONS),
        (r"tc", r".*", tokens.AFTER_WORD),
    )
)
#: What never names an interface in a way that counts, though it may hold such a word.
LABELS = re.compile(r"uuid|timestamp|zone")


def _place(section: str, key: str) -> Pattern[str]:
    for sections, keys, place in PLACES:
        if sections.fullmatch(section) and keys.fullmatch(key):
            return place
    return tokens.NOWHERE


def _globs(value: str, names: Mapping[str, str]) -> List[str]:
    found: List[str] = []
    for match in _TOKEN.finditer(value):
        if tokens.GLOB.search(match.group(2)):
            found += tokens.glob_changes(match.group(2), names)
    return found


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return a keyfile with the new names, and what is not understood.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    lines = tokens.lines(text)
    unclear: List[Reference] = []
    kinds = {}
    found = keyfile.entries(lines)
    others = set(range(len(lines))) - {entry.line for entry in found}
    for number in sorted(number for number in others if not lines[number].lstrip().startswith("#")):
        unclear += tokens.unclear(path, number + 1, masking.excerpt(lines[number]), tokens.words(lines[number], names))
    for entry in found:
        section = keyfile.SHORT.get(entry.section, entry.section)
        if (section, entry.key) in (("connection", "type"), ("connection", "interface-name"), ("vlan", "parent"), ("vlan", "id")):
            kinds[section, entry.key] = entry
        if masking.secret_key(section, entry.key) or LABELS.fullmatch(entry.key):
            continue
        value, left = tokens.replaced(entry.value, _place(section, entry.key), names)
        if (section, entry.key) == ("match", "interface-name"):
            left = list(dict.fromkeys([*left, *_globs(entry.value, names)]))
        line = lines[entry.line]
        unclear += tokens.unclear(path, entry.line + 1, line, dict.fromkeys([*tokens.words(entry.key, names), *left]))
        lines[entry.line] = line[: entry.begin] + value + line[entry.begin + len(entry.value) :]
    kind, parent = kinds.get(("connection", "type")), kinds.get(("vlan", "parent"))
    if kind and kind.value.strip() == "vlan" and parent and parent.value.strip() in names and ("connection", "interface-name") not in kinds:
        old, vlan = parent.value.strip(), kinds[("vlan", "id")].value.strip() if ("vlan", "id") in kinds else "?"
        text = f"the VLAN has no interface-name and is called after its parent: {old}.{vlan} becomes {names[old]}.{vlan}"
        unclear.append(Reference(path, parent.line + 1, old, text))
    return "".join(lines), unclear
