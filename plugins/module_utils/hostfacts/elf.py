# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of symbols that a shared library defines (GLIBCXX_3.4.30, GLIBC_2.34 ...), read from its ELF file.

Layout: System V ABI, chapter 4; Linux Standard Base Core Specification 5.0, symbol versioning (section type SHT_GNU_verdef).
"""

from __future__ import annotations

import re
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

MAGIC = b"\x7fELF"
VERDEF = 0x6FFFFFFD
BASE = 1  # VER_FLG_BASE: the entry names the library itself
# Real libraries have some dozens of each.
SECTIONS_LIMIT = 4096
VERSIONS_LIMIT = 4096
NUMBERED = re.compile(r"^(\w+?_)(\d+(?:\.\d+)*)$")


class Section(NamedTuple):
    """One row of the section table, offsets and sizes in bytes."""

    kind: int
    offset: int
    size: int
    link: int
    info: int


def _sections(data: bytes) -> Tuple[str, List[Section]]:
    """Return the byte order (for struct) and the section table. Raises struct.error or ValueError for what is no ELF file."""
    if data[:4] != MAGIC or data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ValueError("no ELF file")
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    (start,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 0x28 if wide else 0x20)
    size, count = struct.unpack_from(order + "HH", data, 0x3A if wide else 0x2E)
    layout = order + ("IIQQQQII" if wide else "IIIIIIII")
    found = []
    for number in range(min(count, SECTIONS_LIMIT)):
        _name, kind, _flags, _address, offset, length, link, info = struct.unpack_from(layout, data, start + number * size)
        found.append(Section(kind, offset, length, link, info))
    return order, found


def _text(data: bytes, table: Section, place: int) -> str:
    """Return the name at a place of a string table."""
    begin = table.offset + place
    end = data.index(b"\0", begin, table.offset + table.size)
    return data[begin:end].decode("ascii")


def defined_versions(data: bytes) -> Optional[List[str]]:
    """Return the names of the symbol versions that a library defines, in its own order; None if that cannot be read.

    A library without versions defines none: an empty list.

    :param data: the whole file.
    """
    try:
        order, sections = _sections(data)
        table = next((section for section in sections if section.kind == VERDEF), None)
        if table is None:
            return []
        names = sections[table.link]
        found, place = [], table.offset
        for _number in range(min(table.info, VERSIONS_LIMIT)):
            _version, flags, _index, _count, _hash, auxiliary, following = struct.unpack_from(order + "HHHHIII", data, place)
            (name,) = struct.unpack_from(order + "I", data, place + auxiliary)
            if not flags & BASE:
                found.append(_text(data, names, name))
            if not following:
                break
            place += following
    except (struct.error, ValueError, IndexError):
        return None
    return found


def newest(versions: List[str], prefix: str) -> Optional[str]:
    """Return the newest version with a prefix like GLIBCXX_, None if there is none."""
    numbered: Dict[Tuple[int, ...], str] = {}
    for version in versions:
        match = NUMBERED.match(version)
        if match and match.group(1) == prefix:
            numbered[tuple(int(part) for part in match.group(2).split("."))] = version
    return numbered[max(numbered)] if numbered else None


def prefix_of(version: str) -> str:
    """Return GLIBCXX_ for GLIBCXX_3.4.30. Raises ValueError if it is no such version."""
    match = NUMBERED.match(version)
    if not match:
        raise ValueError(version)
    return match.group(1)
