# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a host's table: what was looked at, what was found, what is wanted, and what follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict

OK, NOTE, WARNING, ERROR, WAIVED, UNKNOWN, NEEDLESS = "ok", "note", "warning", "error", "waived", "unknown", "n/a"
# Worst first.
STATES = (ERROR, UNKNOWN, WARNING, WAIVED, NOTE, OK, NEEDLESS)


@dataclass(frozen=True)
class Row:
    """One line.

    :ivar rule: identifier of the rule, for example preflight.address.
    :ivar state: V(ok), V(note), V(warning), V(error), V(waived), V(unknown) where it could not be looked at, V(n/a) where the plan does
        not need it. An empty one stands for the severity of the rule.
    :ivar text: the finding as a sentence with the values, or why it is unknown or not needed.
    :ivar fix: what to do about a finding.
    :ivar variable: the inventory variable that is concerned, empty where it is none.
    """

    rule: str
    state: str
    found: str = ""
    wanted: str = ""
    text: str = ""
    fix: str = ""
    variable: str = ""

    def plain(self) -> Dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def good(rule: str, found: str, wanted: str = "") -> Row:
    """Return the line of what is as it should be."""
    return Row(rule, OK, found, wanted)


def bad(rule: str, text: str, fix: str, found: str = "", wanted: str = "", *, variable: str = "", state: str = "") -> Row:
    """Return the line of what is not.

    :param state: another one than the rule's severity.
    """
    return Row(rule, state, found, wanted, text, fix, variable)


def unknown(rule: str, why: str, wanted: str = "") -> Row:
    """Return the line of what could not be looked at."""
    return Row(rule, UNKNOWN, "", wanted, why)


def needless(rule: str, why: str) -> Row:
    """Return the line of what the plan does not need."""
    return Row(rule, NEEDLESS, "", "", why)


def some(names: Any, most: int = 4) -> str:
    """Return a few of some names as a person reads them."""
    found = [str(name) for name in names]
    return ", ".join(found) if len(found) <= most else f"{', '.join(found[:most])} and {len(found) - most} more"
