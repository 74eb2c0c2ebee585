# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What carries the KV cache must exist in the version and on the device."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract


def check(contract: Contract, findings: Findings) -> None:
    """Report a transfer backend that the stack does not have."""
    backend, engine = contract.cluster.variables["sglang_transfer_backend"], contract.engine
    if contract.of("prefill") and backend not in engine.backends:
        findings.add(
            "backend.unknown", "sglang_transfer_backend", f"{engine.name} has no transfer backend {backend!r}",
            "its backends are " + ", ".join(engine.backends),
        )
