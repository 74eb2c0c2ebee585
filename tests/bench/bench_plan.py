# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan costs from 8 to 1,000 hosts: the pure call, its memory, and playbooks/plan.yml beside it.

Seconds are those of the processor, since machines are busy. The baseline is `json.dumps` and `json.loads` of the plan that
came out, in the same process: what merely writing and reading that much data costs. The pure call may take 2 s and 300 MB
for 1,000 hosts, and its cost per host may not grow.

    python tests/bench/bench_plan.py [--out result.json] [--plot curve.svg] [--playbook]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIZES = (8, 16, 64, 128, 256, 512, 1000)
NODES, GPUS = 8, 8
SECONDS, MEGABYTES = 2.0, 300.0
# Cost per host of the largest size over that of 128 hosts; below that constant costs count.
GROWTH = 1.5


def inventory(hosts: int) -> dict[str, Any]:
    """Return a cluster of instances of eight hosts with eight GPUs each, and a router, as Ansible inventory data."""
    prefill = max(NODES, hosts // 2 // NODES * NODES)
    names = [f"gpu{number:04d}" for number in range(max(hosts, prefill))]

    def host(number: int) -> dict[str, str]:
        return {"ansible_host": f"2001:db8:1::{number + 1:x}", "sglang_fabric_address": f"2001:db8:2::{number + 1:x}"}

    rows = {name: host(number) for number, name in enumerate(names)}
    pool = {"nodes_per_instance": NODES, "tp": NODES * GPUS, "dp": NODES * GPUS, "dp_attention": True}
    # The smallest size is one instance, which serves alone.
    if hosts <= NODES:
        pools: dict[str, Any] = {"serve": {**pool, "mode": "plain", "group": "prefill", "port": 30000}}
    else:
        pools = {"prefill": {**pool, "port": 30000}, "decode": {**pool, "port": 30001}}
    return {
        "all": {
            "vars": {
                "sglang_cluster": "bench",
                "sglang_stack": "sglang-0.5.8-cu12",
                "sglang_router_stack": "sglang-router-0.3.2",
                "sglang_model": {"path": "/opt/models/r1", "name": "r1"},
                "sglang_fabric_network": "2001:db8:2::/64",
                "sglang_fabric_interface": "fab0",
                "sglang_gpu": {"count": GPUS, "memory_gib": 80, "arch": "sm90"},
                "sglang_rdma_devices": [f"mlx5_{number}" for number in range(GPUS)],
                "sglang_gid_index": 3,
                "sglang_args": {"mem-fraction-static": 0.8, "trust-remote-code": True, "enable-metrics": True},
                "sglang_pools": pools,
            },
            "children": {
                "prefill": {"hosts": {name: rows[name] for name in names[:prefill]}},
                "decode": {"hosts": {name: rows[name] for name in names[prefill:]}},
                "router": {"hosts": {"head": {"ansible_host": "2001:db8:1::ffff"}}},
            },
        }
    }


def magic(data: dict[str, Any]) -> tuple[dict[str, list[str]], dict[str, dict[str, Any]]]:
    """Return groups and variables by host as the inventory, once loaded, offers them."""
    children, common = data["all"]["children"], data["all"]["vars"]
    groups = {name: list(group["hosts"]) for name, group in children.items()}
    hostvars = {name: {**common, **row} for group in children.values() for name, row in group["hosts"].items()}
    return {**groups, "all": list(hostvars)}, hostvars


def measure(hosts: int) -> dict[str, Any]:
    """Return the cost of the pure call, best of three, in this process."""
    sys.path.insert(0, str(ROOT / ".tree"))
    from ansible_collections.railyard.sglang.plugins.module_utils.launch import plan

    groups, hostvars = magic(inventory(hosts))
    seconds, written = [], []
    for _run in range(3):
        start = time.process_time()
        built = plan.build(groups, hostvars)
        seconds.append(time.process_time() - start)
        start = time.process_time()
        json.loads(json.dumps(built))
        written.append(time.process_time() - start)
    assert sum(len(row["ranks"]) for row in built["instances"]) == hosts
    return {
        "hosts": hosts,
        "instances": len(built["instances"]),
        "seconds": round(min(seconds), 4),
        "json_seconds": round(min(written), 4),
        "in_json": round(min(seconds) / min(written), 1),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def playbook(hosts: int) -> float:
    """Return the seconds of playbooks/plan.yml on an inventory of that size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts.json"
        path.write_text(json.dumps(inventory(hosts)), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(path), "playbooks/plan.yml", "-e", f"plan_directory={folder}/plan"]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
        return time.perf_counter() - start


def plot(rows: list[dict[str, Any]]) -> str:
    """Return the curve as an SVG: seconds over hosts, with the straight line that the largest size stands for."""
    width, height, edge = 640, 360, 48
    most, slowest = max(row["hosts"] for row in rows), max(row["seconds"] for row in rows)

    def at(hosts: float, seconds: float) -> str:
        return f"{edge + hosts / most * (width - 2 * edge):.1f},{height - edge - seconds / slowest * (height - 2 * edge):.1f}"

    points = " ".join(at(row["hosts"], row["seconds"]) for row in rows)
    marks = "".join(
        '<circle cx="{}" cy="{}" r="3"/>'.format(*at(row["hosts"], row["seconds"]).split(",")) for row in rows
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<line x1="{edge}" y1="{height - edge}" x2="{width - edge}" y2="{height - edge}" stroke="black"/>'
        f'<line x1="{edge}" y1="{edge}" x2="{edge}" y2="{height - edge}" stroke="black"/>'
        f'<polyline points="{at(0, 0)} {at(most, rows[-1]["seconds"])}" stroke="silver" fill="none" stroke-dasharray="4"/>'
        f'<polyline points="{points}" stroke="steelblue" fill="none" stroke-width="2"/>{marks}'
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">hosts (0 to {most})</text>'
        f'<text x="12" y="{edge - 16}">seconds of the pure plan call (0 to {slowest:.2f}); dashed: linear</text></svg>\n'
    )


def complaints(rows: list[dict[str, Any]]) -> list[str]:
    """Return what is above the bounds."""
    found = [f"{row['hosts']} hosts: {row['seconds']} s, allowed {SECONDS}" for row in rows if row["seconds"] > SECONDS]
    found += [f"{row['hosts']} hosts: {row['megabytes']} MB, allowed {MEGABYTES}" for row in rows if row["megabytes"] > MEGABYTES]
    largest, first = rows[-1], next(row for row in rows if row["hosts"] >= 128)
    growth = (largest["seconds"] / largest["hosts"]) / (first["seconds"] / first["hosts"])
    if growth > GROWTH:
        found.append(f"a host of {largest['hosts']} costs {growth:.2f} times one of {first['hosts']}, allowed {GROWTH}")
    return found


def main() -> int:
    """Measure each size in a process of its own, print, write and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--playbook", action="store_true", help="time playbooks/plan.yml on the smallest and the largest size, too")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    rows = []
    for hosts in SIZES:
        command = [sys.executable, __file__, "--one", str(hosts)]
        done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        rows.append(json.loads(done.stdout))
        print("{hosts:5d} hosts {instances:4d} instances {seconds:8.3f} s {in_json:6.1f} x json {megabytes:7.1f} MB".format(**rows[-1]))
    result: dict[str, Any] = {"curve": rows}
    if options.playbook:
        result["playbook_seconds"] = {hosts: round(statistics.median([playbook(hosts)]), 1) for hosts in (SIZES[1], SIZES[-1])}
        print(f"playbooks/plan.yml: {result['playbook_seconds']}")
    for path, text in ((options.out, json.dumps(result, indent=1) + "\n"), (options.plot, plot(rows))):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    found = complaints(rows)
    for text in found:
        print(f"over the bound: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
