# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The all-reduce program with the stack's real torch, where RAILYARD_STACK_PYTHON names its Python."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.measure import events

PROGRAM = Path(__file__).resolve().parents[2] / "roles/fabric/files/allreduce.py"
PYTHON = os.environ.get("RAILYARD_STACK_PYTHON", "")
real = pytest.mark.skipif(not PYTHON, reason="RAILYARD_STACK_PYTHON names no Python with torch")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Half:
    """One host's half of a group."""

    def __init__(self, port: int, ranks: list[int], **change: Any) -> None:
        order = {
            "backend": "gloo", "address": "127.0.0.1", "port": port, "world": 2, "ranks": [{"rank": rank, "gpu": rank} for rank in ranks],
            "sizes": [65536, 1 << 20], "iterations": 3, "meet_seconds": 60, "run_seconds": 30, **change,
        }
        self.process = subprocess.Popen(
            [PYTHON, "-c", PROGRAM.read_text(encoding="utf-8"), json.dumps(order)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def child(self) -> int:
        """Return the process of its rank."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(text.split()[0])

    def met(self) -> None:
        """Wait until all ranks know each other, and reduce."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"row"' in line:
                return

    def end(self) -> list[dict[str, Any]]:
        """Return its events after its end."""
        text, _nothing = self.process.communicate(timeout=120)
        return events(text)


@pytest.fixture
def halves() -> Iterator[list[Half]]:
    """Return a list of what has to be gone after the test."""
    found: list[Half] = []
    yield found
    for half in found:
        if half.process.poll() is None:
            os.kill(half.child(), signal.SIGKILL)
            half.process.kill()
            half.process.wait(20)


@real
def test_sums_and_bus_bandwidth(halves: list[Half]) -> None:
    halves.append(Half(free_port(), [0, 1]))
    rows = [row for row in halves[0].end() if row["event"] == "row"]
    assert halves[0].process.returncode == 0
    assert [row["bytes"] for row in rows if row["rank"] == 0] == [65536, 1 << 20]
    assert all(row["right"] for row in rows)
    for row in rows:
        assert row["busbw_gbps"] == pytest.approx(2 * 1 / 2 * row["bytes"] * 8 / row["seconds"] / 1e9)


@real
def test_rank_that_does_not_come(halves: list[Half]) -> None:
    halves.append(Half(free_port(), [0], meet_seconds=15))
    began = time.monotonic()
    failed = [row for row in halves[0].end() if row["event"] == "failed"]
    assert time.monotonic() - began < 40
    assert (failed[0]["code"], failed[0]["missing"]) == ("missing", [1])


@real
@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victim", [0, 1])
def test_rank_that_falls_silent_is_named_by_the_other(halves: list[Half], victim: int, number: signal.Signals) -> None:
    port = free_port()
    halves += [Half(port, [rank], sizes=[1 << 16, *[1 << 22] * 2000], run_seconds=15) for rank in (0, 1)]
    halves[victim].met()
    began = time.monotonic()
    os.kill(halves[victim].child(), number)
    failed = [row for row in halves[1 - victim].end() if row["event"] == "failed"]
    assert time.monotonic() - began < 60
    assert failed[0]["missing"] == [victim], failed


def test_program_stays_clear_of_what_the_service_manager_replaces() -> None:
    assert "$" not in PROGRAM.read_text(encoding="utf-8")
