# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: what must hold between the parts of a plan, checked before anything on a host changes."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules import (
    backend,
    bootstrap,
    capacity,
    deepep,
    drawn_ports,
    environment_table,
    location,
    networks,
    parallelism,
    parity,
    rdma,
    router,
    routing,
    stack,
    timeouts,
)
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

RULES = (
    location.check,
    backend.check,
    router.check,
    networks.check,
    bootstrap.check,
    routing.check,
    drawn_ports.check,
    rdma.check,
    timeouts.check,
    parity.check,
    parallelism.check,
    deepep.check,
    capacity.check,
    environment_table.check,
    stack.check,
)


def check(contract: Contract, findings: Findings) -> None:
    """Report every rule of the contract that the plan violates."""
    for rule in RULES:
        rule(contract, findings)
