# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rank has come: installing, starting, loading, registered, ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

READY = "ready"
# An engine that loads does not listen yet, or answers 503 at once. 0.5.8 says 503 after 20 s when its schedulers do not generate a token
# (SGLANG_HEALTH_CHECK_TIMEOUT); one that is stopped does not answer at all.
HANGING, HANGING_SECONDS = "hanging", 15.0
# Up, and not where the decode instances will look for it: all that 0.5.8 does for its registration is done before it is up.
SERVING = "serving"
# Of these states no waiting mends one that has lasted: seconds from when it was first seen.
LASTING = {HANGING: 20.0, SERVING: 15.0}
# A loop of crashes is a verdict long before the deadline. What ends alone will do so again; ranks of several hosts may take each other down
# once more before they meet.
CRASHES_ALONE, CRASHES = 2, 3


@dataclass(frozen=True)
class Observed:
    """What was seen of one rank on its own host.

    :ivar installed: whether the stack's Python is there.
    :ivar active: ActiveState of the unit.
    :ivar restarts: how often systemd has restarted it since it was started.
    :ivar health: answer of its own /health.
    :ivar registrations: answers of the bootstrap server, by name of the engine rank; empty for decode.
    :ivar waited: seconds that the answer of /health took.
    """

    installed: bool
    load: str
    active: str
    restarts: int
    health: Answer
    registrations: Dict[str, Answer]
    waited: float = 0.0


def registration_urls(rank: Dict[str, Any]) -> Dict[str, str]:
    """Return the queries that a bootstrap server answers with an address, by engine rank.

    0.5.8 reads engine_rank, target_dp_group and target_pp_rank, 0.5.23 the other names, for the same numbers, and target_pp_rank
    (disaggregation/common/conn.py of both); neither minds those it does not know.
    """
    registration = rank.get("registration") or {"engine_ranks": []}
    found = {}
    for row in registration["engine_ranks"]:
        name = str(row["engine_rank"])
        name += f" of DP group {row['dp_group']}" if row["dp_group"] else ""
        name += f" of stage {row['pp_rank']}" if row["pp_rank"] else ""
        query = f"engine_rank={row['engine_rank']}&target_dp_group={row['dp_group']}&target_pp_rank={row['pp_rank']}"
        later = f"target_tp_rank={row['engine_rank']}&prefill_dp_rank={row['dp_group']}&prefill_cp_rank=0"
        found[name] = f"{registration['url']}/route?{query}&{later}"
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


def registered(answers: Dict[str, Answer]) -> Dict[str, str]:
    """Return the address by which each engine rank is registered, as far as it is."""
    rows = {name: answer.json() for name, answer in answers.items() if answer.status == 200}
    return {name: str(row["rank_ip"]) for name, row in sorted(rows.items()) if isinstance(row, dict) and row.get("rank_ip")}


def since(before: Sequence[Tuple[str, float]], rows: Sequence[Mapping[str, Any]], seconds: float) -> List[Tuple[str, float]]:
    """Return of each rank its state, and the second in which it was first seen in it without an interruption.

    :param before: what the former look returned; empty at the first.
    """
    old = [*before, *[("", 0.0)] * (len(rows) - len(before))]
    return [known if known[0] == row["state"] else (str(row["state"]), seconds) for known, row in zip(old, rows)]


def lasting(states: Sequence[Tuple[str, float]], seconds: float) -> bool:
    """Return whether a rank has been for too long in a state that no waiting mends."""
    return any(seconds - begin >= LASTING[state] for state, begin in states if state in LASTING)


def looping(planned: Sequence[Mapping[str, Any]], before: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a rank ends again and again.

    :param planned: the ranks of the plan that C(rows) are about.
    :param before: their restarts at the first look.
    """
    return any(
        row["state"] != READY and row["restarts"] - count >= (CRASHES_ALONE if rank.get("nodes") == 1 else CRASHES)
        for rank, count, row in zip(planned, before, rows)
    )


def ended(known: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> List[bool]:
    """Return of each rank whether it has ended and is not ready again.

    :param known: restarts at the former look; empty at the first, which cannot tell.
    """
    counts = [*known, *[row["restarts"] for row in rows[len(known) :]]]
    return [row["state"] != READY and row["restarts"] > count for count, row in zip(counts, rows)]


def tells_of_now(before: int, row: Mapping[str, Any]) -> bool:
    """Return whether the start that has ended last tells of the host as it is.

    :param before: restarts at the first look. Where there were some, it was ending already, and the start of then may have met what
        somebody has mended since; the first start after a deployment counts.
    """
    return int(row["restarts"]) > before + (before > 0)


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
        state, detail = SERVING, "; ".join(missing)
    elif seen.waited >= HANGING_SECONDS:
        said = seen.health.error or seen.health.status
        state, detail = HANGING, f"/health: {said} after {seen.waited:.0f} s; a rank of the instance is stopped or waits for another"
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
        "registered": registered(seen.registrations),
    }
