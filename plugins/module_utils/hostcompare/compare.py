# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the hosts of a plan with each other, by their facts and clocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import hosts
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.clock import Clock
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import clocks, gids, machines, networks, ports
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison

RULES = (machines.check, ports.check, gids.check, networks.check, clocks.check)


def compare(
    plan: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]],
    clocks_of: Mapping[str, Clock] | None = None,
    *,
    absent: Collection[str] = (),
    routed: Collection[str] = (),
    waived: Mapping[str, Mapping[str, str]] | None = None,
    clock_seconds: float = 1.0,
    only_clocks: bool = False,
) -> tuple[Comparison, Report]:
    """Return what was compared, and what was found.

    :param plan: instances, routers and hosts of a plan.
    :param facts: host to what rdma_facts returned; hosts without are left out.
    :param clocks_of: host to its clock.
    :param absent: hosts that the run does not look at.
    :param routed: clusters whose rails are routed.
    :param waived: cluster to rule to the operator's reason.
    :param clock_seconds: how far clocks may be apart.
    :param only_clocks: compare nothing else.
    """
    rows = [
        (hosts.read(member, facts.get(member.name), (clocks_of or {}).get(member.name), looked_at=member.name not in absent), member.name)
        for member in hosts.members(plan)
    ]
    hosts.complete([(host, facts[name]) for host, name in rows if host.facts])
    seen, report = Comparison([host for host, _name in rows], frozenset(routed), clock_seconds), Report(waived)
    for rule in (clocks.check,) if only_clocks else RULES:
        rule(seen, report)
    return seen, report
