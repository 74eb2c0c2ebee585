# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as one structure (fabric.json), as tables of text, and what of it is a failure. On the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import judging
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.crossing import crossing
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import KINDS, Schedule
from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table

Row = Mapping[str, Any]
SHOWN = 20


def name(row: Row) -> str:
    """Return what a measurement is of, in words."""
    if row["kind"] == "port":
        return f"{row['host']} " + (f"rail {row['rail']}" if row["rail"] is not None else row["port"] or "ports")
    if row["kind"] == "allreduce":
        return f"{row['instance']} on {row['hosts'][0]}" if row["scope"] == "host" else f"{row['instance']} over {', '.join(row['hosts'])}"
    client, server = row["client"], row["server"]
    rail = f"rail {client['rail']}" + (f" to {server['rail']}" if client["rail"] != server["rail"] else "")
    return f"{client['host']} to {server['host']}, {rail}"


def errors(found: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Return the error counters that moved, summed by port: host, device and port."""
    total: dict[str, dict[str, int]] = {}
    for row in found:
        for role in ("client", "server"):
            end = row.get(role)
            if not end or (role == "server" and end["host"] == row["client"]["host"]):
                continue
            own = total.setdefault(f"{end['host']} {end['device']}:{end['port']}", {})
            for counter, value in (row["errors"].get(end["host"]) or {}).items():
                own[counter] = own.get(counter, 0) + value
    return {port: own for port, own in sorted(total.items()) if own}


def counts(found: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Return how many measurements of each kind came to which state."""
    total: dict[str, dict[str, int]] = {}
    for row in found:
        own = total.setdefault(row["kind"], {})
        own[row["state"]] = own.get(row["state"], 0) + 1
    return total


def document(
    schedule: Schedule, hosts: Mapping[str, Row], records: Mapping[str, Sequence[Row]], limits: judging.Limits, spent: float,
) -> dict[str, Any]:
    """Return the whole result.

    :param hosts: what each host said of itself: perftest, user, unit.
    """
    found = judging.judge(schedule.measurements, schedule.rails.missing, records, limits)
    reached, advice = crossing(found)
    return {
        "schema": judging.SCHEMA,
        "hosts": dict(hosts),
        "rails": [dict(rail) for rail in schedule.rails.rails],
        "seconds": {"estimate": round(schedule.estimate), "bound": schedule.bound, "spent": round(spent)},
        "limits": vars(limits),
        "measurements": found,
        "left_out": [{"what": name(row), "test": row["test"], "kind": row["kind"], "why": row["why"]} for row in schedule.left_out],
        "notes": schedule.notes,
        "counts": counts(found),
        "errors": errors(row for row in found if "errors" in row and row["kind"] != "cross"),
        "cross_rail_reachable": reached,
        "cross_rail": advice,
    }


def failures(result: Row, require_perftest: bool) -> list[Row]:
    """Return the measurements that a run must not pass over; ways between rails are none of them."""
    return [
        row for row in result["measurements"]
        if row["kind"] != "cross"
        and (row["state"] in ("failed", "slow") or (row["state"] == "not measured" and (require_perftest or row["code"] != "no-perftest")))
    ]


def _number(value: Any, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _span(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}" if values else ""


def _by_rail(result: Row) -> list[str]:
    """Return one line per rail and test."""
    rows: dict[tuple[Any, ...], list[Row]] = {}
    for row in result["measurements"]:
        if row["kind"] in ("same", "loopback"):
            rows.setdefault((row["client"]["rail"], row["test"]), []).append(row)
    lines = []
    for (rail, test), own in sorted(rows.items()):
        gbps = [row["gbps"] for row in own if row["gbps"] is not None]
        latency = [row["latency_us"] for row in own if row["latency_us"] is not None]
        bad = [row for row in own if row["state"] != "ok"]
        lines.append((rail, test, len(own), len(own) - len(bad), _span(gbps, 2), _span(latency, 1), ", ".join(map(_where, bad[:3]))))
    return table(("rail", "test", "ways", "ok", "Gb/s", "us", "not ok"), lines) if lines else []


def _where(row: Row) -> str:
    return f"{row['client']['host']} to {row['server']['host']} {row['state']}"


def _groups(result: Row) -> list[str]:
    rows = [row for row in result["measurements"] if row["kind"] == "allreduce"]
    lines = [(name(row), row["test"], len(row["where"]), _number(row["busbw_gbps"]), row["state"]) for row in rows]
    return table(("all-reduce", "backend", "processes", "bus Gb/s", "state"), lines) if lines else []


def _faults(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows[:SHOWN]:
        mark = f" [{row['signature']}]" if row["signature"] else ""
        lines.append(f"- {row['state']}: {name(row)}{' ' + row['test'] if row['test'] else ''}: {row['reason']}{mark}")
        lines += [f"    {line}" for line in row["said"][-2:]]
        lines.append(f"    fix: {row['fix']}")
    return lines + ([f"... and {len(rows) - SHOWN} more, in fabric.json"] if len(rows) > SHOWN else [])


def first(result: Row) -> Row | None:
    """Return what failed first."""
    bad = [row for row in result["measurements"] if row["state"] in ("failed", "slow") and row["kind"] != "cross"]
    return min(bad, key=lambda row: row.get("round", -1), default=None)


def text(result: Row, require_perftest: bool) -> list[str]:
    """Return the tables that end a run."""
    lines = ["", "Fabric test", "==========="]
    for host, row in result["hosts"].items():
        lines.append(f"{host}: measured as {row['user']}, hardening of {row['unit']}, {row['perftest'] or 'perftest is not installed'}")
    for block in (_by_rail(result), _groups(result)):
        lines += ["", *block] if block else []
    lines += ["", "Between rails: " + result["cross_rail"]] if result["counts"].get("cross") or not result["measurements"] else []
    for title, rows in (
        ("Error counters that moved", [f"- {port}: {', '.join(f'{key} +{value}' for key, value in own.items())}"
                                       for port, own in result["errors"].items()]),
        ("Left out", [f"- {row['what']} {row['test']}: {row['why']}" for row in result["left_out"][:SHOWN]]
         + ([f"... {len(result['left_out'])} in all"] if len(result["left_out"]) > SHOWN else [])),
        ("Notes", [f"- {note}" for note in result["notes"]]),
        ("Not as it should be", _faults(failures(result, require_perftest))),
    ):
        lines += ["", title, *rows] if rows else []
    return lines


def announce(schedule: Schedule) -> list[str]:
    """Return what is shown before anything is measured."""
    lines = ["", "Schedule of the fabric test"]
    rows = []
    for kind, label in KINDS.items():
        own = [row for row in schedule.rounds if row["kind"] == kind]
        if own:
            tests = ", ".join(dict.fromkeys(row["test"] for row in own))
            rows.append((label, tests, sum(len(row["ids"]) for row in own), len(own), round(sum(row["typical"] for row in own))))
    lines += table(("what", "tests", "measurements", "rounds", "seconds"), rows) if rows else ["nothing to measure"]
    lines.append(f"About {schedule.estimate:.0f} s; {schedule.bound} s at most, where hosts die in the middle.")
    lines += [f"- {note}" for note in schedule.notes]
    if schedule.left_out:
        lines.append(f"{len(schedule.left_out)} measurements are left out: {schedule.left_out[0]['why']}")
    return lines
