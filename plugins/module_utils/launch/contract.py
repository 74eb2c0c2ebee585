# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: what must hold between the parts of a plan, checked before anything on a host changes."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, PlanError
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules import (
    backend,
    bootstrap,
    capacity,
    deepep,
    drawn_ports,
    environment_table,
    facts,
    location,
    networks,
    parallelism,
    parity,
    rails,
    rdma,
    router,
    router_network,
    routing,
    stack,
    timeouts,
    transfer,
    values,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

RULES = (
    location.check,
    values.check,
    backend.check,
    router.check,
    networks.check,
    router_network.check,
    bootstrap.check,
    routing.check,
    drawn_ports.check,
    rdma.check,
    facts.check,
    rails.check,
    timeouts.check,
    parity.check,
    transfer.check,
    parallelism.check,
    deepep.check,
    capacity.check,
    environment_table.check,
    stack.check,
)


def check(contract: Contract, findings: Findings) -> None:
    """Report every rule of the contract that the plan violates."""
    for rule in RULES:
        try:
            rule(contract, findings)
        except PlanError:
            raise
        except Exception as error:
            # A fault of this collection must not hide what the other rules say.
            where = f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
            findings.add(
                "plan.internal", "sglang_pools", f"the rule function {where} ended with {type(error).__name__}: {error}",
                "report it; sglang_waive does not help",
            )
