# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The budget of task-host pairs is one that can be exceeded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench_no_change.py"


@pytest.fixture(name="bench")
def load_bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_no_change", BENCH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("measured", "complaints"),
    [
        ({"hosts": 5, "executed": 80, "skipped": 20, "extra_items": 0}, 0),
        ({"hosts": 5, "executed": 81, "skipped": 20, "extra_items": 0}, 1),
        ({"hosts": 5, "executed": 81, "skipped": 21, "extra_items": 1}, 3),
        ({"hosts": 3, "executed": 1, "skipped": 0, "extra_items": 0}, 1),
    ],
)
def test_over_budget(bench: ModuleType, measured: dict[str, int], complaints: int) -> None:
    budget = {"5 hosts": {"executed": 80, "skipped": 20, "extra_items": 0}}
    assert len(bench.over_budget(measured, budget)) == complaints
