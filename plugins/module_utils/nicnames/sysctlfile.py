# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sysctl.conf and the files of sysctl.d name interfaces."""

from __future__ import annotations

import re
from typing import List, Mapping, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import masking, tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Reference

# The first separator of a key decides what the others mean: after a dot, a slash stands for a dot in a name; after a slash, a dot is a dot.
_DOTS = re.compile(r"^\s*-?\s*net[.](?:ipv4|ipv6|mpls)[./](?:conf|neigh)[./]([^.=\s]+)[./][^=]*$")
_SLASHES = re.compile(r"^\s*-?\s*net/(?:ipv4|ipv6|mpls)/(?:conf|neigh)/([^/=\s]+)/[^=]*$")


def rewrite(path: str, text: str, names: Mapping[str, str]) -> Tuple[str, List[Reference]]:
    """Return such a file with the new names, and what is not understood: VLANs of a NIC, patterns, values.

    :param text: decoded as Latin-1.
    :param names: old name to new name.
    """
    lines = tokens.lines(text)
    unclear: List[Reference] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith(("#", ";")):
            continue
        key, equals, value = line.partition("=")
        pattern = _SLASHES if _SLASHES.match(key) else _DOTS
        new, left = tokens.replaced(key.rstrip("\r\n") if not equals else key, pattern, names)
        rest = key[len(key.rstrip("\r\n")) :] if not equals else equals + value
        match = pattern.match(key)
        if match and tokens.GLOB.search(match.group(1)):
            left += tokens.glob_changes(match.group(1), names)
        left += tokens.words(value, names)
        lines[number] = new + rest
        unclear += tokens.unclear(path, number + 1, masking.excerpt(line), dict.fromkeys(left))
    return "".join(lines), unclear
