# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times that journalctl takes for --since."""

from __future__ import annotations

import re

# systemd.time(7) of systemd 252: counted from now, or told as a time. Timestamps and spans; no calendar events.
_FORM = re.compile(
    r"(?:now|today|yesterday|tomorrow"
    r"|@\d+"
    r"|[-+]?(?:\d+(?:\.\d+)?[ ]*[a-zµ]+[ ]*)+(?:[ ]ago)?"
    r"|(?:[a-z]{3},?[ ])?\d{2,4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:[ ]?[a-z/_+-]+\d*)?"
    r"|\d\d:\d\d(?::\d\d)?)",
    re.IGNORECASE,
)


def is_time(text: str) -> bool:
    """Return whether a text has the form of a time for journalctl --since; whether there is such a day is not asked."""
    return _FORM.fullmatch(text) is not None
