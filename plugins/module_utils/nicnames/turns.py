# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which turns a set of things gets its names, when some want a name that another of them still has."""

from __future__ import annotations

from typing import Dict, Mapping, Set, Tuple


def turns(current: Mapping[int, str], wanted: Mapping[int, str]) -> Tuple[Dict[int, str], Dict[int, str]]:
    """Return two rounds of renames, number to name: what can have its name at once or goes out of the way, and what follows.

    Between the rounds NetworkManager has to notice the first: in a hurry it loses devices whose names go round.
    """
    moving = {number: name for number, name in wanted.items() if current[number] != name}
    held: Set[str] = {current[number] for number in moving}
    late = {number: name for number, name in moving.items() if name in held}
    return {number: f"_nn{number}" if number in late else name for number, name in moving.items()}, late
