# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the hosts that other rules compare with, and that are not known."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings, listed
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract


def check(contract: Contract, findings: Findings) -> None:
    """Note hosts whose number of GPUs is not known: nothing then says that an instance takes more than there are."""
    if contract.engine.device == "cpu":
        return
    ranks = {rank.host: rank for rank in contract.ranks if not contract.cluster.hosts[rank.host]["sglang_gpu"]["count"]}
    if ranks:
        findings.add(
            "plan.gpu-count", "sglang_gpu.count",
            f"is not set on {listed(list(ranks))}: that these hosts have the GPUs of their instances is not checked",
            "set it to the number of GPUs of the host",
        )
