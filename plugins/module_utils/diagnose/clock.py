# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time stamps of logs: ISO 8601, syslog, SGLang's brackets, glog of Mooncake and torch, dmesg -T, seconds since 1970.

Seconds since the kernel's start say nothing across hosts and are left out.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass, replace

MONTHS = {
    name: number for number, name in enumerate(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1)
}
_ISO = r"(?P<y>\d{4})-(?P<mo>\d\d)-(?P<d>\d\d)[T ](?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?(?P<z>Z| ?[+-]\d\d:?\d\d)?"
_FORMS = (
    # With or without a bracket before it: SGLang writes [2026-11-20 06:04:08 TP0], the router 2026-11-20 06:04:08, the journal its zone.
    re.compile(r"\[?" + _ISO),
    # glog I1120 06:04:20.514158, newer I20261120 06:04:20.514158; torch writes it in brackets.
    re.compile(r"\[?[IWEF](?P<y>\d{4})?(?P<mo>\d\d)(?P<d>\d\d) (?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)\.(?P<f>\d{1,9})"),
    # syslog
    re.compile(r"(?P<mon>[A-Z][a-z]{2}) {1,2}(?P<d>\d{1,2}) (?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:\.(?P<f>\d{1,9}))?"),
    # dmesg -T
    re.compile(r"\[[A-Z][a-z]{2} (?P<mon>[A-Z][a-z]{2}) {1,2}(?P<d>\d{1,2}) (?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d) (?P<y>\d{4})\]"),
    re.compile(r"(?P<epoch>1[5-9]\d{8}|2\d{9})(?:\.(?P<f>\d{1,9}))?(?=[ \t:])"),
)
DAY = 86400.0


@dataclass(frozen=True)
class Stamp:
    """One time stamp.

    :ivar seconds: since 1970; as if in UTC where no zone is written.
    :ivar zoned: whether its zone is written.
    :ivar dated: whether its year is written.
    :ivar end: where the text behind it begins.
    """

    seconds: float
    zoned: bool
    dated: bool
    end: int


def read(text: str, start: int = 0) -> Stamp | None:
    """Return the time stamp that stands at a place of a text, or None."""
    for form in _FORMS:
        match = form.match(text, start)
        if match is not None:
            found = _stamp(match)
            if found is not None:
                return found
    return None


def _stamp(match: re.Match[str]) -> Stamp | None:
    part = match.groupdict()
    fraction = float(f"0.{part['f']}") if part.get("f") else 0.0
    if part.get("epoch"):
        return Stamp(int(part["epoch"]) + fraction, True, True, match.end())
    month = MONTHS.get(part["mon"], 0) if part.get("mon") else int(part["mo"])
    hour, minute, second = int(part["h"]), int(part["mi"]), int(part["s"])
    year, day = int(part.get("y") or 1972), int(part["d"])
    if not (1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    zone = (part.get("z") or "").strip()
    shift = 0
    if len(zone) > 1:
        digits = zone[1:].replace(":", "")
        shift = (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * (-1 if zone[0] == "-" else 1)
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - shift
    return Stamp(seconds + fraction, bool(zone), bool(part.get("y")), match.end())


def with_year(stamp: Stamp, near: float) -> Stamp:
    """Return a stamp without a year as the last one of its kind that is not a day after a known time.

    :param near: seconds since 1970 that the log is from or was last written at.
    """
    if stamp.dated:
        return stamp
    parts = time.gmtime(stamp.seconds)
    best = None
    year = time.gmtime(near + DAY).tm_year
    # 29 February needs a look back of up to eight years.
    for candidate in range(year, year - 9, -1):
        if parts.tm_mon == 2 and parts.tm_mday == 29 and not calendar.isleap(candidate):
            continue
        seconds = calendar.timegm((candidate, parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec)) + stamp.seconds % 1
        if seconds <= near + DAY:
            best = float(seconds)
            break
    return replace(stamp, seconds=stamp.seconds if best is None else best, dated=best is not None)


def text(seconds: float | None) -> str:
    """Return a time in UTC as text to the second, empty where it is unknown."""
    if seconds is None:
        return ""
    parts = time.gmtime(seconds)
    return f"{parts.tm_year:04d}-{parts.tm_mon:02d}-{parts.tm_mday:02d}T{parts.tm_hour:02d}:{parts.tm_min:02d}:{parts.tm_sec:02d}Z"
