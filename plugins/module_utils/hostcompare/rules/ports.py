# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data devices of different hosts: their number, what is missing, rates, link layers and MTUs."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import majority
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import RULES, Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.majority import Odd
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import common
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison

MTU_FIX = "set the same MTU on the interfaces of a rail and on its switch ports: 4200 or more lets RoCE use 4096"


def check(seen: Comparison, report: Report) -> None:
    """Compare the data ports of all hosts."""
    _number(seen, report)
    _missing(seen, report)
    rates = common.by_rail(seen, lambda host, rail: rail.rate)
    common.tell_rails(report, "compare.rate", rates, "rate", "look at the cable, the switch port and the card's settings", unit=" Gb/s")
    layers = common.by_rail(seen, lambda host, rail: rail.layer or None)
    common.tell_rails(
        report, "compare.link-layer", layers, "link layer", "set LINK_TYPE of the card (mlxconfig), or correct sglang_rdma_devices",
        level=lambda odd: _whole("compare.link-layer", odd),
    )
    _mtu(seen, report)


def _whole(rule: str, odd: Odd) -> str:
    """Return how bad a difference is that keeps hosts apart: as bad between instances as within one, if they exchange data."""
    return common.severity(rule, odd) if odd.host.member.alone else RULES[rule].severity


def _number(seen: Comparison, report: Report) -> None:
    """Ports that are missing count: each has a finding of its own."""
    for odd in majority.odd([(host, len(host.rails)) for host in seen.engines if host.railed]):
        host, count = odd.host, f"{odd.value} data devices"
        names = ", ".join(rail.label for rail in host.rails) or "none"
        why = f", because of a question that is open: {host.question}" if host.question else f" ({names})"
        end = common.severity("compare.devices", odd)
        others = common.among(odd.rivals, " data devices") if odd.rivals else f"the others have {odd.usual}"
        end = report.add(
            "compare.devices", "sglang_rdma_devices",
            f"data devices: {others}: none of them is usual" if odd.rivals else f"{count}{why}, {others}",
            "bring the missing device up, or name the data devices of every host in sglang_rdma_devices",
            cluster=host.member.cluster, host="" if odd.rivals else host.name, place=common.place(odd), severity=end,
        )
        report.mark(host.name, "host", f"{count}; {others}", end)


def _missing(seen: Comparison, report: Report) -> None:
    there: dict[tuple[str, str, int], int] = {}
    for index in range(seen.width):
        for host, _rail in seen.rail(index):
            for place in host.member.places:
                key = (host.member.cluster, place, index)
                there[key] = there.get(key, 0) + 1
    for host in seen.engines:
        for index, rail in enumerate(host.rails):
            if rail.active:
                continue
            peers = any(there.get((host.member.cluster, place, index)) for place in host.member.places)
            end = report.add(
                "compare.missing", common.FACTS,
                f"rail {common.named(index, rail)} is {rail.state}, not ACTIVE",
                f"look at the cable and the switch port, and at the link of {rail.netdev or rail.device}; "
                "or leave it out with sglang_rdma_exclude on every host",
                cluster=host.member.cluster, host=host.name, place=host.member.places[0], severity=common.error_or_warning(peers),
            )
            report.mark(host.name, f"rail {index}", f"rail {index} is {rail.state}", end)


def _mtu(seen: Comparison, report: Report) -> None:
    """What RDMA uses of it counts; where that is equal, the network devices' own."""
    active = common.by_rail(seen, lambda host, rail: rail.active_mtu)
    common.tell_rails(
        report, "compare.active-mtu", active, "active MTU", MTU_FIX, level=lambda odd: _whole("compare.active-mtu", odd),
    )
    known = {entry.odd.host.name: {index for index, _rail, _odd in entry.rows} for entry in active}
    own = common.by_rail(seen, lambda host, rail: rail.mtu, without=known)
    common.tell_rails(report, "compare.mtu", own, "MTU", MTU_FIX)
