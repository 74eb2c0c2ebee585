# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From records of hosts to a verdict on each measurement and on the whole. On the controller."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.perftest import BANDWIDTH
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.reasons import ECHOES, REASONS

SCHEMA = 1
SHARE_OF_RATE = 0.9
# What 8b/10b leaves of the rate of these speeds of InfiniBand. Ethernet of the same names states what it carries.
CODED = ("SDR", "DDR", "QDR")
SHARE_OF_CODED = 0.8
# Fewer ways have no median to speak of.
FEWEST_FOR_MEDIAN = 4
STATES = ("failed", "slow", "not measured", "ok")
ABSENT: Mapping[str, Any] = {"state": "failed", "code": "no-report", "said": []}
GOOD: Mapping[str, Any] = {"state": "ok", "code": "", "reason": "", "fix": "", "signature": "", "said": []}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """Thresholds; None sets none, or the derived one where hardware has a true rate.

    :ivar outlier: share of the rail's median below which a way is slow.
    """

    min_gbps: float | None = None
    max_latency_us: float | None = None
    derived_latency_us: float = 10
    outlier: float = 0.6
    min_busbw_gbps: float | None = None


def _told(code: str, values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    reason = REASONS.get(code, REASONS["unknown"])
    return {"code": code, "reason": reason.text.format(**{"limit": "", **values, **more}), "fix": reason.fix, "signature": reason.signature}


def carries(end: Record) -> float:
    """Return the Gb/s of data that a port carries at its rate."""
    coded = end.get("link_layer") == "InfiniBand" and end.get("speed") in CODED
    return float(end["rate"] * (SHARE_OF_CODED if coded else 1))


def least_gbps(measurement: Record, limits: Limits) -> float | None:
    """Return the Gb/s that a way must have: the operator's, or nine tenths of what the slower port carries where rates are true."""
    if limits.min_gbps is not None:
        return limits.min_gbps
    ends = (measurement["client"], measurement["server"])
    if all(end["rate"] and end["rate_true"] for end in ends):
        return round(SHARE_OF_RATE * min(carries(end) for end in ends), 1)
    return None


def most_us(measurement: Record, limits: Limits) -> float | None:
    """Return the microseconds that a way may have at most."""
    if limits.max_latency_us is not None:
        return limits.max_latency_us
    true = all(measurement[role]["rate_true"] for role in ("client", "server"))
    return limits.derived_latency_us if true else None


def _pair(measurement: Record, records: Mapping[str, Record], limits: Limits) -> dict[str, Any]:
    """Judge one way from what its two ends say."""
    ends: list[dict[str, Any]] = [{**(records.get(role) or ABSENT), "host": measurement[role]["host"]} for role in ("client", "server")]
    client = ends[0]
    found: dict[str, Any] = {
        **measurement, "errors": {end["host"]: end.get("errors") or {} for end in ends},
        "carried": next((end["carried"] for end in ends if end.get("carried")), None),
        "seconds": max((end.get("seconds") or 0 for end in ends), default=0),
        **{key: client.get(key) for key in ("gbps", "latency_us", "latency_p99_us", "mtu", "bytes", "iterations")},
    }
    if client["state"] == "ok":
        found |= GOOD
        least, most = least_gbps(measurement, limits), most_us(measurement, limits)
        if found["gbps"] is not None and least is not None and found["gbps"] < least:
            found |= {"state": "slow", **_told("slow-bandwidth", {"gbps": round(found["gbps"], 1), "least": least})}
        if found["latency_us"] is not None and most is not None and found["latency_us"] > most:
            found |= {"state": "slow", **_told("slow-latency", {"latency": round(found["latency_us"], 1), "most": most})}
        return found
    # The end that knows more speaks.
    bad = [end for end in ends if end["state"] != "ok"]
    worst = min(bad, key=lambda end: ECHOES.index(end["code"]) if end["code"] in ECHOES else -1)
    state = "not measured" if worst["state"] == "not measured" else "failed"
    told = _told(worst["code"], {"limit": worst.get("limit") or ""})
    told["reason"] = f"{worst['host']}: {told['reason']}"
    return {**found, "state": state, **told, "said": worst.get("said") or []}


def _group(measurement: Record, records: Mapping[str, Record], limits: Limits) -> dict[str, Any]:
    """Judge one all-reduce from what the hosts of its ranks say."""
    ends: dict[str, Record] = {host: records.get(host) or ABSENT for host in dict.fromkeys(measurement["hosts"])}
    rows: list[Record] = next((end["rows"] for end in ends.values() if end.get("rows")), [])
    # Every rank prints what all of them came to.
    sizes = {row["bytes"]: row for row in rows}
    best = max((row["busbw_gbps"] for row in sizes.values()), default=None)
    found = {
        **measurement, "busbw_gbps": best, "rows": list(sizes.values()), **GOOD,
        "seconds": max(end.get("seconds") or 0 for end in ends.values()), "culprits": [],
    }
    bad = {host: end for host, end in ends.items() if end["state"] != "ok"}
    if not bad:
        least = limits.min_busbw_gbps
        if least is not None and best is not None and best < least:
            found |= {"state": "slow", **_told("slow-reduce", {"busbw": round(best, 2), "least": least})}
        return found
    missing = sorted({rank for end in bad.values() for rank in end.get("missing") or []})
    culprits = list(dict.fromkeys(measurement["where"][rank] for rank in missing))
    # A host that others miss says less than they do.
    speaking = [host for host, end in bad.items() if host not in culprits and end["code"] != "no-report"] or list(bad)
    host = speaking[0]
    values = {"missing": ", ".join(culprits) or "nobody", "address": measurement["address"]}
    told = _told(bad[host]["code"], values)
    told["reason"] = f"{host}: {told['reason']}"
    state = "not measured" if all(end["state"] == "not measured" for end in bad.values()) else "failed"
    return {**found, "state": state, **told, "said": list(bad[host].get("said") or []), "culprits": culprits}


def _outliers(found: Sequence[dict[str, Any]], share: float) -> None:
    """Mark ways that are far below the median of their rail."""
    rails: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found:
        if row["kind"] == "same" and row["test"] in BANDWIDTH and row["gbps"] is not None:
            rails.setdefault((row["cluster"], row["client"]["rail"], row["test"]), []).append(row)
    for rows in rails.values():
        if len(rows) < FEWEST_FOR_MEDIAN:
            continue
        median = statistics.median(row["gbps"] for row in rows)
        for row in rows:
            if row["state"] == "ok" and row["gbps"] < share * median:
                row |= {"state": "slow", **_told("outlier", {"gbps": round(row["gbps"], 2), "median": round(median, 2)})}


def _absent(missing: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a failed measurement for every rail on which a host has no port, and for every port that ought to carry data."""
    rows: list[dict[str, Any]] = []
    for row in missing:
        told = _told("no-port" if row["rail"] is not None else "port-missing" if row["port"] else "no-ports", {})
        if row["rail"] is not None:
            told["reason"] = f"{row['host']} has no data port on rail {row['rail']}: {row['why']}"
        else:
            told["reason"] = f"{row['host']}: {told['reason']}: {row['why']}"
        rows.append({
            "id": f"p{len(rows)}", "kind": "port", "test": "", "host": row["host"], "rail": row["rail"], "port": row.get("port", ""),
            "state": "failed", **told, "said": [],
        })
    return rows


def judge(
    measurements: Mapping[str, Record], missing: Sequence[Record], records: Mapping[str, Sequence[Record]], limits: Limits,
) -> list[dict[str, Any]]:
    """Return every measurement with state, reason and fix.

    :param missing: places of rails without a port.
    :param records: what each host reported.
    """
    told: dict[str, dict[str, Record]] = {}
    for host, rows in records.items():
        for row in rows:
            told.setdefault(row["id"], {})[host if row["role"] == "member" else row["role"]] = row
    found = []
    for name, row in measurements.items():
        one = _group if row["kind"] == "allreduce" else _pair
        found.append(one(row, told.get(name, {}), limits))
    _outliers(found, limits.outlier)
    return _absent(missing) + found
