# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a stack takes from a local directory of wheels, against pip with the same lock from the same directory in the same run.

Both make a virtual environment, compare every wheel with its locked sha256, install all of them without a network and compile the bytecode.
They take turns, and the median of each counts. More than half of pip's time is a failure (status 1). What a build of a stack does besides,
above all the import of what it is for, is told and does not count: pip proves nothing.

    PYTHONPATH=.tree python tests/bench/bench_stack_install.py [--stack sglang-router-0.3.2] [--wheels DIR] [--runs 3] [--out result.json]

Wheels that are not in the directory are fetched first, by pip with its own configuration (and --index, for torch for CPUs PyTorch's).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Build, Source, build_tree
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import Definition, parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import Fetch, fetch, find_pip
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import find_python
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import Place
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_target

LIMIT = 0.5
FILES = Path(__file__).resolve().parents[2] / "roles" / "stack" / "files"
# The steps of a build that pip does, too.
COMPARED = ("hash", "installer", "install", "bytecode")


def seconds_of_pip(definition: Definition, python: str, wheels: Path, place: Path) -> float:
    """Return how long pip takes to do it."""
    lock = place / "requirements.txt"
    lock.write_text("".join(pin.line() + "\n" for pin in definition.pins.values()), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(place)}
    target = place / "environment"
    pip = [*find_pip("", "the benchmark"), "--python", str(target / "bin" / "python")]
    install = ["install", "--quiet", "--no-index", "--find-links", str(wheels), "--no-deps", "--require-hashes", "--no-cache-dir"]
    install += ["--requirement", str(lock)]
    begin = time.monotonic()
    subprocess.run([python, "-m", "venv", "--without-pip", str(target)], check=True, env=environment)
    subprocess.run([*pip, *install], check=True, env=environment)
    return time.monotonic() - begin


def seconds_of_stack(definition: Definition, python: tuple[str, tuple[int, int, int]], wheels: Path, place: Path) -> dict[str, float]:
    """Return how long a build takes: by step, and as a whole."""
    path, version = python
    build = Build(definition, Place(place, definition.name, definition.content_id(version[1])), path, version, Source(wheels))
    begin = time.monotonic()
    build_tree(build)
    return {**build.seconds, "whole": time.monotonic() - begin}


def measure(definition: Definition, wheels: Path, runs: int, index: str) -> dict[str, Any]:
    """Let both take turns; return what they took."""
    python = find_python(definition.pythons, "", definition.name)
    pins = {**definition.installer, **definition.pins}
    fetch(Fetch(wheels, pins, local_target(python[1][1]), index=index), definition.name)
    pips, stacks = [], []
    for _run in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "pip").mkdir()
            pips.append(seconds_of_pip(definition, python[0], wheels, Path(scratch) / "pip"))
        with tempfile.TemporaryDirectory() as scratch:
            stacks.append(seconds_of_stack(definition, python, wheels, Path(scratch) / "store"))
    compared = [sum(row[step] for step in COMPARED) for row in stacks]
    return {
        "stack": definition.name,
        "packages": len(definition.pins),
        "python": ".".join(map(str, python[1])),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "pip_s": [round(seconds, 2) for seconds in pips],
        "stack_s": [round(seconds, 2) for seconds in compared],
        "whole_s": [round(row["whole"], 2) for row in stacks],
        "steps_s": stacks[-1],
        "ratio": round(statistics.median(compared) / statistics.median(pips), 3),
        "ratio_whole": round(statistics.median(row["whole"] for row in stacks) / statistics.median(pips), 3),
        "limit": LIMIT,
    }


def main() -> int:
    """Measure, write the result down, and return 1 if the limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="sglang-router-0.3.2")
    parser.add_argument("--wheels", type=Path, help="directory with the wheels; a directory that goes afterwards if none is given")
    parser.add_argument("--index", default="", help="one more index for pip")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    definition = parse_definition(read_definition(FILES / options.stack, FILES / "installer.txt", yaml.safe_load))
    wheels = options.wheels or Path(tempfile.mkdtemp())
    try:
        result = measure(definition, wheels, options.runs, options.index)
    finally:
        if not options.wheels:
            shutil.rmtree(wheels)
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
    print(text, end="")
    if result["ratio"] > LIMIT:
        print(f"{definition.name} takes {result['ratio']} of pip's time, at most {LIMIT} is allowed", file=sys.stderr)
    return int(result["ratio"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
