# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of ports as net.ipv4.ip_local_reserved_ports has them: 5000,30000-30010."""

from __future__ import annotations

import re
from typing import Iterable, List, Set

HIGHEST = 65535


def numbers(text: str) -> Set[int]:
    """Return the ports of a list.

    :raises ValueError: a part is no port and no range of ports.
    """
    found: Set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if not match or not low <= high <= HIGHEST:
            raise ValueError(f"{part!r} is no port and no range of ports")
        found.update(range(low, high + 1))
    return found


def text(found: Iterable[int]) -> str:
    """Return ports as the kernel lists them: in order, neighbours as a range."""
    parts: List[List[int]] = []
    for number in sorted(set(found)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
