# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call for eight interfaces costs a fraction of a loop of tasks that does the same."""

from __future__ import annotations

import json
import sys

import pytest
from nickit import HOST, NicLab

pytestmark = [pytest.mark.lab, pytest.mark.full]


def test_a_fifth_for_the_change_and_a_tenth_for_nothing_to_do(host: NicLab) -> None:
    out = host.scratch / "bench.json"
    bench = [sys.executable, "tests/bench/bench_nic_names.py", "-i", "inventory/lab", "--host", HOST, "--out", str(out)]
    # The loop of tasks is long, and runs four times.
    done = host.command(*bench, seconds=3600)
    assert out.exists(), done.stderr
    host.record("cost", json.loads(out.read_text(encoding="utf-8"))["rows"])
    assert done.returncode == 0, done.stdout
