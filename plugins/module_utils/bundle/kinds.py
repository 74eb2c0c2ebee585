# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes megabytes cheap: lines that differ in digits only are one kind of line, and are looked at once."""

from __future__ import annotations

from typing import Set

DIGITS = {ord(digit): "0" for digit in "123456789"}
# Kinds that are remembered; longer lines are not.
REMEMBERED, LONGEST = 100000, 2048


def kind_of(line: str) -> str:
    """Return what lines that differ in digits only have in common."""
    return line.translate(DIGITS)


class Kinds:
    """A set of kinds of bounded size: it begins anew when it is full."""

    def __init__(self) -> None:
        self._known: Set[str] = set()

    def __contains__(self, kind: str) -> bool:
        return kind in self._known

    def add(self, kind: str) -> None:
        """Remember a kind."""
        if len(kind) <= LONGEST:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known.add(kind)
