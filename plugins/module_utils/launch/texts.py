# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that stand in texts."""

from __future__ import annotations

# More digits than any port, timeout or size has; int() itself refuses some thousands of them.
LONGEST = 18


def number(text: str) -> int | None:
    """Return the whole number that a text is, written in ASCII digits only, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST else None
