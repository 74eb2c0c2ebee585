# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks: two are apart only where what is known of them leaves no other possibility."""

from __future__ import annotations

import bisect

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import listed

VARIABLE = "preflight_clock_seconds"


def gap(one: Clock, other: Clock) -> float:
    """Return by how many seconds two clocks differ at least; negative where they may be equal."""
    return max(one.low - other.high, other.low - one.high)


def check(seen: Comparison, report: Report) -> None:
    """Compare the clocks of each cluster."""
    for cluster in dict.fromkeys(host.member.cluster for host in seen.hosts):
        rows = [(host, host.clock) for host in seen.hosts if host.member.cluster == cluster and host.clock is not None]
        _apart(rows, seen.clock_seconds, report)
        vague = sorted(host.name for host, clock in rows if clock.error * 2 > seen.clock_seconds or not clock.steady)
        if vague and len(rows) > 1:
            worst = max(clock.error for _host, clock in rows)
            report.add(
                "compare.clock-unknown", VARIABLE,
                f"the clocks of {listed(vague)} are not known better than {worst:.3f} s, so that they are apart only where more proves it",
                "run again when the controller and the hosts are less busy, or give host_clock more attempts", cluster=cluster,
            )
        free = sorted(host.name for host, clock in rows if clock.synchronised is False)
        if free and len(rows) > 1:
            report.add(
                "compare.clock-free", VARIABLE, f"no time service keeps the clocks of {listed(free)}",
                "enable one: chrony, systemd-timesyncd, ptp4l with phc2sys", cluster=cluster,
            )


def _apart(rows: list[tuple[Host, Clock]], most: float, report: Report) -> None:
    """Name the hosts that have to be corrected: of two that are apart the one that more hosts are apart from, else the one that is
    further from the controller."""
    left = sorted(rows, key=lambda row: (row[1].low, row[1].high, row[0].name))
    while left:
        lows = [clock.low for _host, clock in left]
        highs = sorted(clock.high for _host, clock in left)
        if lows[-1] - highs[0] <= most:
            return
        last, first = left[-1], min(left, key=lambda row: (row[1].high, row[0].name))

        def conflicts(clock: Clock, lows: list[float] = lows, highs: list[float] = highs) -> int:
            later = len(lows) - bisect.bisect_right(lows, clock.high + most)
            return later + bisect.bisect_left(highs, clock.low - most)

        worst = max((first, last), key=lambda row: (conflicts(row[1]), abs(row[1].middle), row[0].name))
        left.remove(worst)
        _tell(worst, [row for row in left if gap(row[1], worst[1]) > most], report)


def _tell(worst: tuple[Host, Clock], others: list[tuple[Host, Clock]], report: Report) -> None:
    """Report a clock that is apart from others."""
    host, clock = worst
    other, against = min(others, key=lambda row: (row[1].error, row[0].name))
    number = f", and {len(others) - 1} more" if len(others) > 1 else ""
    apart = f"at least {gap(clock, against):.3f} s {'ahead of' if clock.middle > against.middle else 'behind'} that of {other.name}{number}"
    end = report.add(
        "compare.clock", VARIABLE, f"the clock is {apart}; it is {clock.text()} from the controller's, theirs {against.text()}",
        "synchronise the clocks (chrony, ptp4l), and set this one once: chronyc makestep", cluster=host.member.cluster, host=host.name,
    )
    report.mark(host.name, "clock", apart, end)
