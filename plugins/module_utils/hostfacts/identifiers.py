# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of hardware addresses and serial numbers, and new ones of the same form."""

from __future__ import annotations

import re
from typing import Callable, Dict, Hashable, Optional, Sequence, Set, Tuple, TypeVar

# Their form alone says what they are, wherever they stand.
UNMISTAKABLE = re.compile(
    r"(?<![0-9a-fA-F:])(?:(?P<gid>(?:[0-9a-fA-F]{4}:){7}[0-9a-fA-F]{4})|(?P<guid>(?:[0-9a-fA-F]{4}:){3}[0-9a-fA-F]{4})"
    r"|(?P<hardware>(?:[0-9a-fA-F]{2}:){19}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}))(?![0-9a-fA-F:])"
    r"|(?<![0-9a-fA-F])(?P<uuid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?![0-9a-fA-F])"
)
# Devices that udev names by their addresses: enx and 12 digits, rocex or ibx and up to 16.
NAMED_BY_ADDRESS = re.compile(r"(?<=x)[0-9a-f]{12,16}(?![0-9a-f])")
QEMU = 0x525400
LOCAL = 0x020000

Key = TypeVar("Key", bound=Hashable)


def colons(value: int, digits: int, groups: int) -> str:
    """Return a number as groups of hexadecimal digits."""
    text = f"{value:0{digits * groups}x}"
    return ":".join(text[place : place + digits] for place in range(0, len(text), digits))


def mac_of(value: int) -> Optional[Tuple[int, int]]:
    """Return the MAC address that a 64-bit identifier was made of, and the 16 bits in its middle; None when it was not."""
    middle = value >> 24 & 0xFFFF
    address = value >> 40 << 24 | value & 0xFFFFFF
    if middle == 0xFFFE:
        return address ^ 0x02 << 40, middle
    # NVIDIA's cards put this between vendor and number.
    return (address, middle) if middle == 0x0300 else None


def with_middle(mac: int, middle: int) -> int:
    """Return the 64-bit identifier that a MAC address makes."""
    address = mac ^ 0x02 << 40 if middle == 0xFFFE else mac
    return address >> 24 << 40 | middle << 24 | address & 0xFFFFFF


def vendor_part(mac: int) -> int:
    """Return the vendor part that a MAC address's new one has. One that is administered locally has none, and is random in it."""
    return mac >> 24 if mac >> 24 == QEMU or not mac >> 41 & 1 else LOCAL


def numbered(old: Sequence[Key], new: Callable[[Key, int], Key], taken: Optional[Set[Key]] = None) -> Dict[Key, Key]:
    """Return a new value for every old one, by number, that is no old one and none of those taken."""
    found: Dict[Key, Key] = {}
    avoid: Set[Key] = set(old) | (taken or set())
    number: Dict[Key, int] = {}
    for value in old:
        # Values that differ only in what stays count apart.
        kind = new(value, 0)
        count = number.get(kind, 0) + 1
        while new(value, count) in avoid:
            count += 1
        number[kind] = count
        found[value] = new(value, count)
        avoid.add(found[value])
    return found


def same_length(value: int, count: int) -> int:
    """Return a number with as many decimal and hexadecimal digits as another."""
    return max(16 ** (len(f"{value:x}") - 1), 10 ** (len(str(value)) - 1)) + count


def opaque(text: str, count: int) -> str:
    """Return a serial number of no known form, as long as another."""
    head = "GPU-" if text.startswith("GPU-") else ""
    return head + str(count).zfill(len(text) - len(head))
