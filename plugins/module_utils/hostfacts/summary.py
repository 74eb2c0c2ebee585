# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A choice of devices in one sentence."""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Sequence, Set

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import gbps
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import Port
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import natural

# More ports than this with one reason are counted: a card may have hundreds of virtual functions.
MANY = 8


def _short(ports: Dict[str, Port], left_out: Dict[str, str]) -> List[str]:
    """Return what was left out and why in a few words: port by port, or their number where many have one reason."""
    reasons = {key: left_out[key].split(",")[0].split(":")[0] for key in sorted(left_out, key=natural) if key in ports}
    count = Counter(reasons.values())
    found: List[str] = []
    told: Set[str] = set()
    for key, why in reasons.items():
        if count[why] <= MANY:
            found.append(f"{ports[key].label} {why}")
        elif why not in told:
            found.append(f"{ports[key].label} and {count[why] - 1} more {why}")
        told.add(why)
    return found


def sentence(chosen: Sequence[Port], ports: Sequence[Port], left_out: Dict[str, str]) -> str:
    """Return the choice in one sentence, for example C(8 ACTIVE 400 Gb/s ports; left out mlx5_1 100 Gb/s)."""
    rates = " and ".join(sorted({gbps(port.rate) for port in chosen}, key=natural))
    text = f"{len(chosen)} ACTIVE {rates} port{'s' if len(chosen) != 1 else ''}" if chosen else "no ACTIVE port to carry data"
    short = _short({port.key: port for port in ports}, left_out)
    return f"{text}; left out {', '.join(short)}" if short else text
