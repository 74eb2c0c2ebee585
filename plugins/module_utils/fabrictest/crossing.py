# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether rails reach each other, by the ways between them that were measured. On the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Codes that mean that RDMA has no way between two ports that both ends have tried.
NO_WAY = ("no-data", "completion", "rtr", "gid")

Record = Mapping[str, Any]


def crossing(found: Sequence[Record]) -> tuple[bool | None, str]:
    """Return whether rails reach each other (None: some do, none was tried, or it is not known) and what to set, for all clusters."""
    clusters = dict.fromkeys(row["cluster"] for row in found if row["kind"] == "cross")
    if not clusters:
        return _crossing([])
    told = {name: _crossing([row for row in found if row["kind"] == "cross" and row["cluster"] == name]) for name in clusters}
    reached = {way for way, _advice in told.values()}
    advice = [f"{name}: {text}" if len(told) > 1 else text for name, (_way, text) in told.items()]
    return reached.pop() if len(reached) == 1 else None, "; ".join(advice)


def _crossing(found: Sequence[Record]) -> tuple[bool | None, str]:
    """Return the same for the ways of one cluster. What broke for another reason says nothing of a way."""
    rows = [row for row in found if row["state"] != "not measured"]
    good = sum(row["state"] in ("ok", "slow") for row in rows)
    if not rows:
        return None, "no way between rails was measured"
    unknown = [row for row in rows if row["state"] == "failed" and row["code"] not in NO_WAY]
    if unknown:
        return None, (
            f"not known: {len(unknown)} of {len(rows)} ways between rails failed for another reason than a way that is not there. "
            f"First: {unknown[0]['reason']}"
        )
    if good == len(rows):
        return True, f"all {good} ways between rails that were tried carry RDMA: sglang_rdma_cross_rail: true is possible"
    if not good:
        return False, f"none of {len(rows)} ways between rails carries RDMA: set sglang_rdma_cross_rail: false (NCCL_CROSS_NIC=0)"
    return None, (
        f"{good} of {len(rows)} ways between rails carry RDMA: set sglang_rdma_cross_rail: false (NCCL_CROSS_NIC=0), or repair the others"
    )
