# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real argument parsers, each in the Python that has its program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags
from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT

VARIABLES = {
    "sglang-0.5.8": "RAILYARD_STACK_PYTHON",
    "sglang-0.5.23": "RAILYARD_STACK_0523_PYTHON",
    "sglang-router-0.3.2": "RAILYARD_ROUTER_PYTHON",
    "smg-1.13.0": "RAILYARD_SMG_PYTHON",
}
PYTHONS = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
NEEDS = {
    name: pytest.mark.skipif(not PYTHONS[name], reason=f"set {variable} to a Python that has {name}")
    for name, variable in VARIABLES.items()
}
LEAST = {"sglang": ["--model-path", "/m"], "sglang-router": [], "smg": []}


def environment() -> dict[str, str]:
    """Return this environment without what would reach into the stack's Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANSIBLE"))}
    cpu = {"SGLANG_USE_CPU_ENGINE": "1", "HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **cpu, "PYTHONNOUSERSITE": "1"}


def parse(
    name: str, argvs: Sequence[list[str]] = (), start: Sequence[list[str]] = (), **more: Sequence[list[str]]
) -> dict[str, Any]:
    """Return what the real parser of the program that a table is of makes of argument vectors.

    :param more: C(refused) and C(judge), see parse_arguments.py.
    """
    program = flags.load(name).distribution
    others = {kind: list(more.get(kind, ())) for kind in ("refused", "judge")}
    asked = {"program": program, "least": LEAST[program], "parse": list(argvs), "start": list(start), **others}
    command = [PYTHONS[name], str(ROOT / "tests/unit/support/parse_arguments.py")]
    done = subprocess.run(
        command, input=json.dumps(asked), env=environment(), capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    rows = [line for line in done.stdout.split("\n") if line.startswith("RESULT ")]
    assert rows, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(rows[0].removeprefix("RESULT "))
    return found
