# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyfiles of NetworkManager, read and edited by the line: nothing but the one value changes, comments and order stay.

The rules are those of GLib's key files: a later section of the same name goes on with the earlier one, the last of two equal keys counts,
white space before a line and around the first '=' means nothing, only '#' begins a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import tokens
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Profile

#: Names of sections and of types in files to those of NetworkManager's settings.
ALIASES = {"ethernet": "802-3-ethernet", "wifi": "802-11-wireless", "wifi-security": "802-11-wireless-security"}
SHORT = {name: alias for alias, name in ALIASES.items()}

_SECTION = re.compile(r"\s*\[([^\[\]]*)\]\s*\Z")
_VALUE = re.compile(r"\s*([^=\s][^=]*?)\s*=[ \t\f\v]*([^\n]*?)(\r?\n?)\Z")


@dataclass(frozen=True)
class Entry:
    """A value in its place.

    :ivar line: number of its line from 0.
    :ivar begin: where it begins in the line; it ends before the line's end.
    """

    line: int
    section: str
    key: str
    value: str
    begin: int


def full(section: str) -> str:
    """Return the name of a section by which its setting goes."""
    return ALIASES.get(section, section)


def entries(lines: List[str]) -> List[Entry]:
    """Return all values of a file, in their order, by its lines."""
    found, section = [], ""
    for number, line in enumerate(lines):
        head = line.lstrip()
        if not head or head.startswith("#"):
            continue
        match = _SECTION.match(line)
        if match:
            section = match.group(1)
            continue
        match = _VALUE.match(line)
        if match:
            found.append(Entry(number, section, match.group(1), match.group(2), match.start(2)))
    return found


def _headed(line: str) -> str:
    """Return the section that a line begins, empty for other lines."""
    match = _SECTION.match(line)
    return match.group(1) if match else ""


def _taken(lines: List[str], section: str) -> str:
    """Return by which of its names NetworkManager reads a section: beside one of the full name, one of the short name is ignored."""
    return full(section) if full(section) in map(_headed, lines) else SHORT.get(full(section), section)


def _found(lines: List[str], section: str, key: str) -> List[Entry]:
    """Return the values of a key; the last one counts."""
    taken = _taken(lines, section)
    return [entry for entry in entries(lines) if entry.section == taken and entry.key == key]


def get(content: bytes, section: str, key: str) -> Optional[str]:
    """Return a value as it is written, None where there is none. Either name of a section will do."""
    found = _found(tokens.lines(content.decode("latin-1")), section, key)
    return found[-1].value.encode("latin-1").decode("utf-8", "replace").rstrip() if found else None


def _end(lines: List[str]) -> str:
    """Return how the lines of a file end."""
    return "\r\n" if sum(line.endswith("\r\n") for line in lines) * 2 > len(lines) else "\n"


def _place(lines: List[str], section: str) -> Optional[int]:
    """Return the number of the line before which a new key of a section goes, None where there is no such section."""
    place, inside, taken = None, False, _taken(lines, section)
    for number, line in enumerate(lines):
        headed = _headed(line)
        inside = headed == taken if headed else inside
        # After the section's last key, not after the comments and empty lines that lead to the next section.
        if inside and line.strip() and not line.lstrip().startswith("#"):
            place = number + 1
    return place


def put(content: bytes, section: str, key: str, value: Optional[str]) -> bytes:
    """Return a file with one value set.

    :param value: as it is written; None removes the key.
    :raises ValueError: the value has a line break.
    """
    if value is not None and ("\n" in value or "\r" in value):
        raise ValueError(f"a value of {section}.{key} has a line break")
    lines = tokens.lines(content.decode("latin-1"))
    found = _found(lines, section, key)
    if value is None:
        gone = {entry.line for entry in found}
        return "".join(line for number, line in enumerate(lines) if number not in gone).encode("latin-1")
    new = value.encode().decode("latin-1")
    end = _end(lines)
    if found:
        entry = found[-1]
        line = lines[entry.line]
        lines[entry.line] = line[: entry.begin] + new + line[entry.begin + len(entry.value) :]
        return "".join(lines).encode("latin-1")
    place = _place(lines, section)
    added = [f"{key}={new}{end}"]
    if place is None:
        place = len(lines)
        added.insert(0, f"{end if lines else ''}[{section}]{end}")
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += end
    lines[place:place] = added
    return "".join(lines).encode("latin-1")


def _mac(value: str) -> str:
    """Return an address in lower case; old files hold it as decimal numbers."""
    parts = [part for part in value.split(";") if part]
    if len(parts) == 6 and all(part.isdigit() and int(part) < 256 for part in parts):
        return ":".join(f"{int(part):02x}" for part in parts)
    return value.lower().replace("-", ":")


def _first(content: bytes, places: Tuple[Tuple[str, str], ...]) -> str:
    return next((value for value in (get(content, *place) for place in places) if value), "")


def profile(content: bytes) -> Profile:
    """Return which connection a file is: path and device are empty, the type is that of files (C(ethernet), not C(802-3-ethernet))."""
    kind = get(content, "connection", "type") or ""
    return Profile(
        uuid=(get(content, "connection", "uuid") or "").lower(),
        id=get(content, "connection", "id") or "",
        type=SHORT.get(kind, kind),
        interface_name=_first(
            content, (("connection", "interface-name"), *((name, "interface-name") for name in ("bond", "bridge", "team", "vlan")))
        ),
        mac_address=_mac(_first(content, (("ethernet", "mac-address"), ("infiniband", "mac-address"), ("wifi", "mac-address")))),
    )
