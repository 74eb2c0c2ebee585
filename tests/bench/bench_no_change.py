# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a no-change run of site.yml costs, on a running cluster that site.yml has already converged.

The seconds of a run say little by themselves, since machines differ and are busy: they are given as a multiple of one
`ansible all -m ping` on the same hosts in the same minute. The count of task-host pairs (results that executed
something, skipped ones, and loop items beyond the first) depends on no machine: it may not exceed budget.json.

    python tests/bench/bench_no_change.py -i inventory/lab [--runs 3] [--out result.json] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUDGET = Path(__file__).with_name("budget.json")
COUNTS = ("executed", "skipped", "extra_items")


def timed(command: list[str], env: dict[str, str]) -> float:
    """Run a command in the repository root and return its seconds; print its output if it fails.

    Raises:
        SystemExit: if the command fails.
    """
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - start


def measure(inventory: str, playbook: str, runs: int) -> dict[str, Any]:
    """Return seconds and counts of pings and no-change runs, taken in turns.

    Raises:
        SystemExit: if a run fails or changes something.
    """
    pings, sites, counted = [], [], {}
    with tempfile.TemporaryDirectory() as log:
        env = dict(
            os.environ,
            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests" / "plugins" / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="run_log",
            RAILYARD_RUN_LOG=log,
        )
        ping = ["ansible", "-i", inventory, "all", "-m", "ansible.builtin.ping"]
        timed(ping, env)  # opens the connections that both sides then share
        for _run in range(runs):
            pings.append(timed(ping, env))
            sites.append(timed(["ansible-playbook", "-i", inventory, playbook], env))
            counted = json.loads(max(Path(log).glob("*-site.json")).read_text(encoding="utf-8"))
            changed = [task["name"] for task in counted["tasks"] if "changed" in task["results"]]
            if changed:
                sys.exit(f"this was no no-change run: changed by {', '.join(changed)}")
    ping_seconds, site_seconds = statistics.median(pings), statistics.median(sites)
    slowest = sorted(counted["tasks"], key=lambda task: task["seconds"], reverse=True)[:8]
    return {
        "hosts": sum(host != "localhost" for host in counted["hosts"]),
        "ping_seconds": round(ping_seconds, 2),
        "site_seconds": round(site_seconds, 2),
        "site_in_pings": round(site_seconds / ping_seconds, 1),
        **{count: counted[count] for count in COUNTS},
        "slowest": [{"name": task["name"], "seconds": task["seconds"], "results": task["results"]} for task in slowest],
    }


def over_budget(result: dict[str, Any], budget: dict[str, dict[str, int]]) -> list[str]:
    """Return a complaint for every count above the budget for this number of hosts."""
    allowed = budget.get(f"{result['hosts']} hosts")
    if allowed is None:
        return [f"budget.json has no entry '{result['hosts']} hosts' (there are: {', '.join(budget)})"]
    return [f"{count}: {result[count]}, budget {allowed[count]}" for count in COUNTS if result[count] > allowed[count]]


def main() -> int:
    """Measure, print, write and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-i", "--inventory", default="inventory/lab")
    parser.add_argument("--playbook", default="site.yml")
    parser.add_argument("--runs", type=int, default=3, help="pings and runs to take the median of")
    parser.add_argument("--out", type=Path, help="write the result there as JSON")
    parser.add_argument("--record", action="store_true", help="make the counts of this run the budget")
    options = parser.parse_args()

    result = measure(options.inventory, options.playbook, options.runs)
    print(
        f"no-change {options.playbook} on {result['hosts']} hosts: {result['site_seconds']} s,"
        f" {result['site_in_pings']} times one ping of all ({result['ping_seconds']} s);"
        f" {result['executed']} task-host pairs executed, {result['skipped']} skipped,"
        f" {result['extra_items']} more loop items"
    )
    for task in result["slowest"]:
        print(f"  {task['seconds']:6.2f} s  {task['name']}  {task['results']}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    budget = json.loads(BUDGET.read_text(encoding="utf-8")) if BUDGET.is_file() else {}
    if options.record:
        budget[f"{result['hosts']} hosts"] = {count: result[count] for count in COUNTS}
        BUDGET.write_text(json.dumps(budget, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    complaints = over_budget(result, budget)
    for complaint in complaints:
        print(f"over budget: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
