# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes the fabric test's schedule on the controller; the documentation is that of the module of the same name."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import groups, rails, report
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.perftest import BANDWIDTH, PACKAGE, TESTS
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rounds import CROSS
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.schedule import SPARE_SECONDS, Options, Schedule, make
from ansible_collections.railyard.sglang.plugins.plugin_utils.controller import ControllerAction

WHOLE: dict[str, tuple[int, int]] = {
    "ports_at_once": (0, 64), "bandwidth_size": (2, 1 << 30), "bandwidth_seconds": (1, 600), "bandwidth_iterations": (0, 1 << 24),
    "latency_size": (1, 1 << 20), "latency_iterations": (5, 1 << 24), "queue_pairs": (1, 1024), "tcp_port": (1024, 65535),
    "test_seconds": (5, 3600), "cross_seconds": (5, 3600), "connect_seconds": (3, 600), "max_seconds": (30, 86400),
}
REDUCE: dict[str, tuple[int, int]] = {"iterations": (1, 10000), "seconds": (30, 3600), "connect_seconds": (15, 600), "port": (1024, 65528)}
# Options whose variable has another name.
VARIABLES = {"allreduce_port": "fabric_rendezvous_port"}
SPEC: dict[str, dict[str, Any]] = {
    "hosts": {"type": "dict", "required": True},
    "instances": {"type": "list", "elements": "dict", "required": True},
    "tests": {"type": "list", "elements": "str", "choices": list(TESTS), "default": ["write_bw", "write_lat"]},
    "both_directions": {"type": "bool", "default": True},
    "cross_rails": {"type": "str", "choices": list(CROSS), "default": "sample"},
    "notes": {"type": "list", "elements": "str", "default": []},
    "trim": {"type": "bool", "default": False},
    "pairs": {"type": "bool", "default": True},
    "allreduce": {"type": "bool", "default": True},
    "allreduce_mib": {"type": "list", "elements": "float", "default": [8, 64, 256, 1024]},
    "allow_serving": {"type": "bool", "default": False},
    "require_perftest": {"type": "bool", "default": True},
    "poll_seconds": {"type": "int", "default": 5},
    **{name: {"type": "int", "default": getattr(Options(), name)} for name in WHOLE},
    **{f"allreduce_{name}": {"type": "int", "default": getattr(groups.Options(), name)} for name in REDUCE},
}


def wrong(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    limits = {**WHOLE, "poll_seconds": (1, 600), **{f"allreduce_{name}": span for name, span in REDUCE.items()}}
    outside = ((name, low, high) for name, (low, high) in limits.items() if not low <= given[name] <= high)
    found = [f"{VARIABLES.get(name, f'fabric_{name}')} is {given[name]}, not from {low} to {high}" for name, low, high in outside]
    if not given["tests"]:
        found.append("fabric_tests is empty")
    timed = given["pairs"] and not given["bandwidth_iterations"] and any(test in BANDWIDTH for test in given["tests"])
    if timed and given["bandwidth_seconds"] + SPARE_SECONDS > given["test_seconds"]:
        found.append(
            f"fabric_bandwidth_seconds is {given['bandwidth_seconds']}, and fabric_test_seconds {given['test_seconds']}: a test would be "
            f"ended before it is through. Fix: fabric_test_seconds of {given['bandwidth_seconds'] + SPARE_SECONDS} or more, or fewer "
            "fabric_bandwidth_seconds"
        )
    if not given["allreduce_mib"] or not all(1 / 1024 <= size <= 16384 for size in given["allreduce_mib"]):
        found.append("fabric_allreduce_mib is not a list of sizes from 1/1024 to 16384 MiB")
    for host, row in given["hosts"].items():
        try:
            high = int(row.get("traffic_class") or 0)
        except (TypeError, ValueError):
            high = 256
        if high > 255:
            found.append(
                f"{host}: fabric_traffic_class (unset: sglang_rdma_traffic_class) is {row['traffic_class']}, not a number up to 255"
            )
    return found


def options(given: Mapping[str, Any]) -> Options:
    """Return the options of a schedule."""
    reduce = groups.Options(
        wanted=given["allreduce"], sizes=given["allreduce_mib"], **{name: given[f"allreduce_{name}"] for name in REDUCE},
    )
    names = ("tests", "both_directions", "cross_rails", "trim", "pairs", *WHOLE)
    return Options(allreduce=reduce, **{name: given[name] for name in names})


def refusals(given: Mapping[str, Any], schedule: Schedule) -> list[str]:
    """Return why nothing may be measured."""
    found = []
    for host, row in given["hosts"].items():
        serving = row["looked"]["serving"]
        if serving and not given["allow_serving"]:
            found.append(
                f"{host}: {', '.join(serving)} would be disturbed. Fix: stop it, or consent by fabric_allow_serving: true"
            )
        if row["looked"]["lacking"] and given["require_perftest"] and any(part["kind"] in TESTS for part in schedule.parts[host]):
            found.append(
                f"{host}: {', '.join(row['looked']['lacking'])} not found. Fix: install the package {PACKAGE}, or set "
                "fabric_require_perftest: false to go on without its pairs"
            )
    if schedule.estimate > given["max_seconds"]:
        found.append(
            f"about {schedule.estimate:.0f} s are needed, and fabric_max_seconds is {given['max_seconds']}. Fix: more time, "
            "fabric_cross_rails: none, or fabric_trim: true to leave out what does not fit"
        )
    last = max((part["tcp_port"] for parts in schedule.parts.values() for part in parts if "tcp_port" in part), default=0)
    if last > 65535:
        found.append(f"ports up to {last} would be needed. Fix: a lower fabric_tcp_port")
    return found


class ActionModule(ControllerAction):
    """Touches no host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the schedule, show it, and refuse what must not be run."""
        result, given = self.begin(tmp, task_vars, SPEC)
        if bad := wrong(given):
            return {**result, "failed": True, "msg": "; ".join(bad)}
        hosts = {host: rails.summary(row) for host, row in given["hosts"].items()}
        schedule = make(hosts, given["instances"], options(given))
        schedule.notes += given["notes"]
        task_vars = task_vars or {}
        taken = [str(host) for host in task_vars.get("ansible_play_hosts_all", [])]
        schedule.notes += [f"{host} did not answer, and takes no part" for host in taken if host not in hosts]
        Display().display("\n".join(report.announce(schedule)))
        if bad := refusals(given, schedule):
            return {**result, "failed": True, "msg": "\n".join(["Nothing was measured:", *(f"- {line}" for line in bad)])}
        forks = int(task_vars.get("ansible_forks") or 5)
        return {
            **result, "changed": False, "run": secrets.token_hex(4), "rounds": schedule.rounds, "parts": schedule.parts,
            # The last of the hosts is started so much later than the first.
            "head_start": 5 + 5 * -(-len(hosts) // max(1, forks)),
            "bound": min(schedule.bound, given["max_seconds"]), "estimate": round(schedule.estimate),
            "measurements": schedule.measurements, "left_out": schedule.left_out, "notes": schedule.notes,
            "rails": schedule.rails.rails, "missing": schedule.rails.missing,
        }
