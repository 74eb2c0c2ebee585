# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks: two are apart only where what is known of them leaves no other possibility."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock, apart
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import listed

VARIABLE = "preflight_clock_seconds"


def check(seen: Comparison, report: Report) -> None:
    """Compare the clocks of each cluster."""
    for cluster in dict.fromkeys(host.member.cluster for host in seen.hosts):
        rows = [(host, host.clock) for host in seen.hosts if host.member.cluster == cluster and host.clock is not None]
        known: dict[str, Clock] = {host.name: clock for host, clock in rows}
        for found in apart(known, seen.clock_seconds):
            told = f"it is {known[found.name].text()} from the controller's, theirs {known[found.other].text()}"
            end = report.add(
                "compare.clock", VARIABLE, f"the clock is {found.text}; {told}",
                "synchronise the clocks (chrony, ptp4l), and set this one once: chronyc makestep", cluster=cluster, host=found.name,
            )
            report.mark(found.name, "clock", found.text, end)
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
