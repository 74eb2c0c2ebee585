# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rank has come: installing, starting, loading, registered, ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

READY = "ready"


@dataclass(frozen=True)
class Observed:
    """What was seen of one rank on its own host.

    :ivar installed: whether the stack's Python is there.
    :ivar active: ActiveState of the unit.
    :ivar restarts: how often systemd has restarted it since it was started.
    :ivar health: answer of its own /health.
    :ivar registrations: answers of the bootstrap server, by name of the engine rank; empty for decode.
    """

    installed: bool
    load: str
    active: str
    restarts: int
    health: Answer
    registrations: Dict[str, Answer]


def registration_urls(rank: Dict[str, Any]) -> Dict[str, str]:
    """Return the queries that 0.5.8's bootstrap server answers with an address (disaggregation/common/conn.py), by engine rank."""
    registration = rank.get("registration") or {"engine_ranks": []}
    found = {}
    for row in registration["engine_ranks"]:
        name = str(row["engine_rank"])
        name += f" of DP group {row['dp_group']}" if row["dp_group"] else ""
        name += f" of stage {row['pp_rank']}" if row["pp_rank"] else ""
        query = f"engine_rank={row['engine_rank']}&target_dp_group={row['dp_group']}&target_pp_rank={row['pp_rank']}"
        found[name] = f"{registration['url']}/route?{query}"
    return found


def registration_problems(rank: Dict[str, Any], answers: Dict[str, Answer]) -> List[str]:
    """Return engine ranks that are not registered, or registered by an address that the plan does not have."""
    found = []
    for engine_rank, answer in sorted(answers.items()):
        data = answer.json() if answer.status == 200 else None
        planned = rank["registration"]["address"]
        if not isinstance(data, dict) or not data.get("rank_ip"):
            found.append(f"engine rank {engine_rank} is not registered ({answer.error or answer.status})")
        elif data["rank_ip"] != planned:
            found.append(f"engine rank {engine_rank} registered as {data['rank_ip']}, planned is {planned}")
    return found


def judge(rank: Dict[str, Any], seen: Observed) -> Dict[str, Any]:
    """Return the state of a rank, a detail for people, and whether waiting longer is pointless."""
    missing = registration_problems(rank, seen.registrations)
    misplaced = [text for text in missing if "registered as" in text]
    if not seen.installed:
        state, detail = "installing", f"{rank['python']} is not there yet"
    elif seen.load == "not-found":
        state, detail = "installing", f"{rank['unit']} is not there yet"
    elif seen.active in ("inactive", "failed"):
        state, detail = "stopped", f"{rank['unit']} is {seen.active}: --tags engine starts it"
    elif seen.restarts and seen.active == "activating":
        state, detail = "restarting", f"restart {seen.restarts} of {rank['unit']}"
    elif seen.health.status == 200 and not missing:
        state, detail = READY, ""
    elif seen.health.status == 200:
        state, detail = "serving", "; ".join(missing)
    elif seen.registrations and not missing:
        state, detail = "registered", f"/health: {seen.health.error or seen.health.status}"
    else:
        state, detail = "loading", f"/health: {seen.health.error or seen.health.status}"
    if seen.restarts:
        detail = f"{detail + ', ' if detail else ''}restarted {seen.restarts} time(s)"
    return {
        "instance": rank["instance"],
        "rank": rank["rank"],
        "host": rank["host"],
        "state": state,
        "detail": detail,
        "restarts": seen.restarts,
        "hopeless": bool(misplaced) or state == "stopped",
    }
