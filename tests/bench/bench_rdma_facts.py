# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gathering the RDMA facts costs in process.

Without arguments: a machine with 12 devices x 256 GID slots is written to memory (tmpfs) and read; the median may not exceed 150 ms. Since
machines differ and are busy, it is also given as a multiple of a plain walk that reads the same files.

With --live: this machine's own devices, against ibv_devinfo -v, ibstat, rdma link and lspci -vvv once each in the same turns; what the
four tell (RDMA devices, their GID tables and network devices, PCI functions) may cost at most a quarter of the four together. What all
facts cost, with network devices and system, stands beside it. Needs the four tools and RDMA devices; says so and ends with status 2 where
they are not.

    PYTHONPATH=.tree python tests/bench/bench_rdma_facts.py [--runs 15] [--out result.json] [--live]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host, hgx

LIMIT_MS = 150.0
LIMIT_SHARE = 0.25
# What the tools tell, too.
TOLD = ("rdma", "gpu")
TOOLS = (["ibv_devinfo", "-v"], ["ibstat"], ["rdma", "link"], ["lspci", "-vvv"])


def timed(work: Callable[[], Any]) -> float:
    """Return the milliseconds that something takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def walk(root: str) -> int:
    """Read every file below a directory and return their number."""
    count = 0
    for directory, _names, files in os.walk(root):
        for name in files:
            with open(os.path.join(directory, name), "rb") as stream:
                stream.read()
            count += 1
    return count


def summary(facts: list[float], others: list[float], key: str) -> dict[str, Any]:
    """Return medians and their ratio."""
    mine, other = statistics.median(facts), statistics.median(others)
    row = {"runs": len(facts), "facts_ms": round(mine, 1), "facts_min_ms": round(min(facts), 1)}
    return {**row, key: round(other, 1), "ratio": round(mine / other, 2)}


def captured(runs: int) -> dict[str, Any]:
    """Measure on a machine with 12 devices, 4 of them for management, in memory."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        hgx(Host(Path(directory)), 8, management=(1, 2, 7, 8), slots=256)
        found = gather(Root(directory))
        slots = sum(port["gid_slots"] for device in found["devices"] for port in device["ports"])
        pairs = [(timed(lambda: gather(Root(directory))), timed(lambda: walk(directory))) for _run in range(runs)]
        result = summary([row[0] for row in pairs], [row[1] for row in pairs], "walk_ms")
        counts = {"devices": len(found["devices"]), "slots": slots, "reads": found["reads"], "files": walk(directory)}
        return {**result, **counts, "tmpfs": memory is not None}


def live(runs: int) -> dict[str, Any] | None:
    """Measure on this machine against the tools; None where it lacks one of them, or devices."""
    missing = [words[0] for words in TOOLS if not shutil.which(words[0])]
    found = gather(Root("/"))
    if missing or not found["present"]:
        print(f"not measured: no {', '.join(missing) or 'RDMA device'} here")
        return None

    def tools() -> None:
        for words in TOOLS:
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    rows = [(timed(lambda: gather(Root("/"), TOLD)), timed(tools), timed(lambda: gather(Root("/")))) for _run in range(runs)]
    result = summary([row[0] for row in rows], [row[1] for row in rows], "tools_ms")
    everything = round(statistics.median(row[2] for row in rows), 1)
    return {**result, "everything_ms": everything, "devices": len(found["devices"]), "reads": gather(Root("/"), TOLD)["reads"]}


def complaints(result: dict[str, Any]) -> list[str]:
    """Return what a result exceeds."""
    if "tools_ms" in result:
        return [f"{result['ratio']} of the tools' time, at most {LIMIT_SHARE} allowed"] if result["ratio"] > LIMIT_SHARE else []
    return [f"{result['facts_ms']} ms, at most {LIMIT_MS:g} allowed"] if result["facts_ms"] > LIMIT_MS else []


def main() -> int:
    """Measure, print, write and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="runs to take the median of")
    parser.add_argument("--out", type=Path, help="write the result there as JSON")
    parser.add_argument("--live", action="store_true", help="this machine's devices, against the usual tools")
    options = parser.parse_args()

    result = live(options.runs) if options.live else captured(options.runs)
    if result is None:
        return 2
    print(json.dumps(result))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    found = complaints(result)
    for complaint in found:
        print(f"too slow: {complaint}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
