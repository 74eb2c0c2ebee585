# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of other .link files that ours repeat: udev applies one .link file to a device, so theirs would be lost with the next boot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Collection, Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkmatch, tokens, unitfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

#: What ours say themselves.
NAMING = ("Name", "NamePolicy", "Description")
ALTERNATIVE, ALTERNATIVES, POLICY, PERSISTENT = "AlternativeName", "AlternativeNamesPolicy", "MACAddressPolicy", "persistent"
_SECTION = re.compile(r"\s*\[([^\[\]]*)\]\s*\Z")


@dataclass(frozen=True)
class Settings:
    """What a file of ours repeats.

    :ivar link: lines of its section [Link].
    :ivar more: lines of further sections.
    :ivar alternatives: which alternative names udev gives by itself, empty where the file does not say; systemd 257 has one more than 252.
    """

    link: Tuple[str, ...] = ()
    more: Tuple[str, ...] = ()
    alternatives: str = ""

    @property
    def keys(self) -> List[str]:
        """What is repeated, for people."""
        sections = [f"section {line}" for line in self.more if _SECTION.match(line)]
        return list(dict.fromkeys([*(line.partition("=")[0] for line in self.link), *sections]))


NONE = Settings()


def _kept(key: str, value: str, nic: Nic, names: Collection[str]) -> str:
    """Return a line of [Link], empty where it is not repeated."""
    if key in NAMING or key == ALTERNATIVES:
        return ""
    if key == ALTERNATIVE:
        words = [word for word in value.split() if word not in names]
        return f"{key}={' '.join(words)}" if words or not value else ""
    if key == POLICY and value == PERSISTENT and (linkmatch.infiniband(nic) or (nic.permanent_mac and not nic.virtual_function)):
        # A card that has an address of its own keeps it anyway.
        return ""
    return f"{key}={value}"


def settings(content: bytes, nic: Nic, names: Collection[str]) -> Settings:
    """Return what of a .link file, with its drop-ins, is to be repeated for a device.

    :param names: that are given to devices of this host, and can be nobody's alternative names.
    """
    lines = tokens.lines(content.decode("latin-1"))
    rows = [row for row in unitfile.values(lines) if row.section == "Link"]
    link = [_kept(row.key, row.value, nic, names) for row in rows]
    policies = [row.value for row in rows if row.key == ALTERNATIVES]
    more: List[str] = []
    section = ""
    for line in lines:
        head = _SECTION.match(line)
        section = head.group(1) if head else section
        other = section not in ("", "Match", "Link") and not section.startswith("X-")
        if other and line.strip() and not line.lstrip().startswith(("#", ";")):
            more += ["", line.strip()] if head else [line.rstrip()]
    return Settings(tuple(filter(None, link)), tuple(more), policies[-1] if policies else "")


def told(found: Dict[str, Tuple[str, Settings]]) -> List[str]:
    """Return what is repeated, a sentence for each file that it is from.

    :param found: path of a file of ours to the file whose settings it repeats, and these.
    """
    rows: Dict[Tuple[str, str], List[str]] = {}
    for path, (source, kept) in found.items():
        if kept.keys:
            rows.setdefault((source, ", ".join(kept.keys)), []).append(path)
    return [
        f"{source} would set {keys} without {', '.join(paths)}, which set the same, since udev applies one .link file to a device"
        for (source, keys), paths in rows.items()
    ]
