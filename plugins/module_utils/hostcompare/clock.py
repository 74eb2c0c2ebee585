# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's clock against the controller's: what readings of it, each taken within a known span of time, prove."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Seconds with as many digits as date gives; busybox knows no %N and leaves it out or as it is.
READING = re.compile(r"^(\d{1,12})(?:\.(\d{1,9}))?(?:\.?%?N)?$", re.MULTILINE)
SYNCHRONISED = re.compile(r"^synchronised=(yes|no)$", re.MULTILINE)


@dataclass(frozen=True)
class Clock:
    """How far a host's clock is ahead of the controller's, in seconds: somewhere from C(low) to C(high).

    :ivar steady: whether all readings agree; a clock that was set meanwhile is not steady.
    :ivar synchronised: what the host's kernel says, None where nobody asks it.
    """

    low: float
    high: float
    steady: bool = True
    synchronised: bool | None = None

    @property
    def middle(self) -> float:
        """The likeliest offset."""
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """How far the offset may be from C(middle)."""
        return (self.high - self.low) / 2

    def text(self) -> str:
        """Return the offset with its uncertainty, to milliseconds."""
        return f"{self.middle:+.3f} s within {self.error:.3f} s"


def reading(text: str) -> tuple[float, float] | None:
    """Return the least and the greatest time that an answer of C(date +%s.%N) may mean, None where it is none."""
    found = READING.search(text)
    if not found:
        return None
    seconds, fraction = found.groups()
    if fraction is None:
        return float(seconds), float(seconds) + 1
    value = float(f"{seconds}.{fraction}")
    return value, value + 10.0 ** -len(fraction)


def synchronised(text: str) -> bool | None:
    """Return what the host's answer says of its synchronisation."""
    found = SYNCHRONISED.search(text)
    return found.group(1) == "yes" if found else None


def span(before: float, after: float, told: tuple[float, float]) -> tuple[float, float]:
    """Return least and greatest offset that one reading leaves.

    :param before: the controller's time when the question was sent.
    :param after: and when the answer was there.
    :param told: least and greatest time that the answer means.
    """
    return told[0] - after, told[1] - before


def combine(spans: Sequence[tuple[float, float]], told: bool | None = None) -> Clock:
    """Return what several readings prove together.

    :param spans: at least one.
    """
    low, high = max(row[0] for row in spans), min(row[1] for row in spans)
    if low <= high:
        return Clock(low, high, True, told)
    return Clock(min(row[0] for row in spans), max(row[1] for row in spans), False, told)


def data(clock: Clock) -> dict[str, Any]:
    """Return a clock as plain data."""
    return {
        "low": round(clock.low, 6), "high": round(clock.high, 6), "offset": round(clock.middle, 6), "uncertainty": round(clock.error, 6),
        "steady": clock.steady, "synchronised": clock.synchronised,
    }


def of(row: Mapping[str, Any] | None) -> Clock | None:
    """Return a clock from plain data, None where there is none."""
    return Clock(float(row["low"]), float(row["high"]), bool(row["steady"]), row.get("synchronised")) if row else None


@dataclass(frozen=True)
class Apart:
    """A clock that has to be corrected.

    :ivar name: of its host.
    :ivar other: the host whose clock is known best among those that it is apart from.
    :ivar text: how far it is from that, at least.
    """

    name: str
    other: str
    text: str


def gap(one: Clock, other: Clock) -> float:
    """Return by how many seconds two clocks differ at least; negative where they may be equal."""
    return max(one.low - other.high, other.low - one.high)


def apart(clocks: Mapping[str, Clock], most: float) -> list[Apart]:
    """Return the clocks that have to be corrected: of two that are apart the one that more are apart from, else the one that is further
    from the controller.

    :param most: how many seconds clocks may be apart.
    """
    left, found = sorted(clocks.items(), key=lambda row: (row[1].low, row[1].high, row[0])), []
    while left:
        lows = [clock.low for _name, clock in left]
        highs = sorted(clock.high for _name, clock in left)
        if lows[-1] - highs[0] <= most:
            break
        last, first = left[-1], min(left, key=lambda row: (row[1].high, row[0]))

        def conflicts(clock: Clock, lows: list[float] = lows, highs: list[float] = highs) -> int:
            later = len(lows) - bisect.bisect_right(lows, clock.high + most)
            return later + bisect.bisect_left(highs, clock.low - most)

        worst = max((first, last), key=lambda row: (conflicts(row[1]), abs(row[1].middle), row[0]))
        left.remove(worst)
        found.append(_told(worst, [row for row in left if gap(row[1], worst[1]) > most]))
    return found


def _told(worst: tuple[str, Clock], others: Sequence[tuple[str, Clock]]) -> Apart:
    name, clock = worst
    other, against = min(others, key=lambda row: (row[1].error, row[0]))
    number = f", and {len(others) - 1} more" if len(others) > 1 else ""
    way = "ahead of" if clock.middle > against.middle else "behind"
    return Apart(name, other, f"at least {gap(clock, against):.3f} s {way} that of {other}{number}")
