# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the facts reads what it says, and its limits can be exceeded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[4] / "bench" / "bench_rdma_facts.py"


@pytest.fixture(name="bench")
def load_bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_rdma_facts", BENCH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_run(bench: ModuleType) -> None:
    result = bench.captured(1)
    assert (result["devices"], result["slots"]) == (12, 12 * 256)
    # Every slot is read, and nothing twice over.
    assert 12 * 256 < result["reads"] < 1.2 * result["files"]


@pytest.mark.parametrize(
    ("result", "count"),
    [
        ({"facts_ms": 150.0, "ratio": 9}, 0),
        ({"facts_ms": 150.1, "ratio": 1}, 1),
        ({"facts_ms": 900.0, "ratio": 0.25, "tools_ms": 3600}, 0),
        ({"facts_ms": 1.0, "ratio": 0.26, "tools_ms": 4}, 1),
    ],
)
def test_limits(bench: ModuleType, result: dict[str, Any], count: int) -> None:
    assert len(bench.complaints(result)) == count
