# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs are slow: a robust test against all the others, and what the slow ones have in common. On the controller."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A deviation is measured in medians of deviations, scaled as for a normal distribution.
SCALE = 1.4826
# Fewer values have no usual one, only a fast and a slow one.
LEAST = 3


@dataclass(frozen=True)
class Test:
    """When a value is an outlier.

    :ivar deviations: above the median by so many scaled MADs, by C(times) and by C(floor) seconds, all at once.
    :ivar ratio: or so many times what the fast ones take, and C(floor) above it: where half of the pairs are slow, the median is, too.
    """

    deviations: float = 6.0
    times: float = 2.0
    ratio: float = 3.0
    floor: float = 0.5


FIRST = Test(floor=0.5)
BETWEEN = Test(floor=0.02)
MEASURES = (("first_seconds", "to the first token", FIRST), ("between_seconds", "between tokens", BETWEEN))


def fast(values: Sequence[float]) -> float:
    """Return what the fast ones take: the value below which a quarter lies, so that a single lucky one of many is no measure."""
    return sorted(values)[(len(values) - 1) // 4]


def bound(values: Sequence[float], test: Test) -> float | None:
    """Return the value above which one is an outlier, None where there is nothing to compare."""
    if len(values) < 2:
        return None
    by_ratio = max(fast(values) * test.ratio, fast(values) + test.floor)
    if len(values) < LEAST:
        return by_ratio
    middle = statistics.median(values)
    spread = SCALE * statistics.median([abs(value - middle) for value in values])
    return min(by_ratio, max(middle + test.deviations * spread, middle * test.times, middle + test.floor))


def _common(slow: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """Return what slow pairs have in common: instances all of whose pairs are slow, and single pairs otherwise."""
    found, left = [], list(slow)
    for side in ("prefill", "decode"):
        for name in dict.fromkeys(row[side] for row in slow if row[side]):
            own = [row for row in rows if row[side] == name]
            others = [row for row in rows if row[side] != name]
            if len(own) > 1 and others and all(row in slow for row in own):
                found.append((side, name, own))
                left = [row for row in left if row not in own]
    return found + [("pair", row["pair"], [row]) for row in left]


def find(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the outliers among pairs.

    :param rows: C(pair), C(prefill), C(decode), C(first_seconds) and C(between_seconds) of each.
    :return: C(measure), C(kind) (prefill, decode or pair), C(name), C(instances), C(seconds), C(usual) and C(text) of each.
    """
    found = []
    for measure, words, test in MEASURES:
        known = [row for row in rows if row.get(measure) is not None]
        values = [float(row[measure]) for row in known]
        limit = bound(values, test)
        if limit is None:
            continue
        slow = [row for row in known if row[measure] > limit]
        usual = statistics.median([value for value in values if value <= limit])
        for kind, name, own in _common(slow, known):
            seconds = statistics.median([row[measure] for row in own])
            what = f"every pair of {kind} instance {name}" if kind != "pair" else f"pair {name}"
            instances = [name] if kind != "pair" else [part for part in (own[0]["prefill"], own[0]["decode"]) if part]
            found.append({
                "measure": measure, "kind": kind, "name": name, "instances": instances, "seconds": seconds, "usual": usual,
                "text": f"{what} takes {seconds:.2f} s {words}, usual are {usual:.2f} s",
            })  # fmt: skip
    return found
