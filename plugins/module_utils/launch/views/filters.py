# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows of a plan as input for packet filters: groups of addresses by family, and names that the filters take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Group

FAMILIES = (4, 6)
# Without networks given, these may come from anywhere: a filter that shuts out the controller or all clients is of no use.
OPEN = (porttable.CLIENTS, porttable.CONTROLLERS, porttable.RAILS)


def family(text: str) -> int:
    """Return 4 or 6 for an address or a network, 0 for anything else."""
    address = addresses.parse(text.partition("/")[0])
    return address.version if address is not None else 0


def sources(groups: Mapping[str, Group], outside: Mapping[str, Iterable[str]]) -> dict[str, dict[int, list[str]]]:
    """Return addresses by group and family.

    :param outside: networks of clients, monitoring and controllers, as far as they are given.
    """
    given = {name: group.addresses for name, group in groups.items()} | {name: list(outside.get(name, ())) for name in porttable.OUTSIDE}
    return {name: {kind: [text for text in texts if family(text) == kind] for kind in FAMILIES} for name, texts in given.items()}


def anywhere(source: str, found: Mapping[str, Mapping[int, list[str]]]) -> bool:
    """Whether a source is not narrowed."""
    return source in OPEN and not any(found[source].values())


class Names:
    """Gives each key a name of letters, digits and one other character, never the same twice."""

    def __init__(self, glue: str, most: int) -> None:
        self.glue = glue
        self.most = most
        self._given: dict[str, str] = {}

    def of(self, key: str) -> str:
        """Return the name of a key, always the same one."""
        if key not in self._given:
            name = re.sub(r"[^a-z0-9]+", self.glue, key.lower()).strip(self.glue)[: self.most] or "x"
            number, free = 1, name
            while free in self._given.values():
                number += 1
                free = f"{name[: self.most - 4]}{self.glue}{number}"
            self._given[key] = free
        return self._given[key]


def plain(text: str) -> str:
    """Return a text without what would end a quoted comment, short enough for one."""
    return re.sub(r"[^\w .,:;/+()-]", "?", text)[:120]
